"""filter_input and sort_input over public relationships, calculations and aggregates; attributes of another resource."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resourcekit import Attr, Calc, Domain, Many, One, Resource, attribute, belongs_to, calculated, create, has_many, query
from resourcekit.errors import Invalid, InvalidArgument


@pytest.fixture
def desk(any_layer: Any) -> Any:
    """Tickets of representatives, who are in a team that only the program may see."""
    domain = Domain("desk")

    class Team(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        name: Attr[str] = attribute(public=True)
        add = create(accept=["id", "name"])

    class Rep(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        last: Attr[str] = attribute(public=True)
        note: Attr[str] = attribute(default="secret")
        team_id: Attr[int | None] = attribute(default=None)
        team: One[Team | None] = belongs_to("team_id", to=lambda: Team)
        tickets: Many[Ticket] = has_many("rep_id", to=lambda: Ticket, public=True)
        shout: Calc[str] = calculated(lambda: Rep.last + "!", public=True)
        open_tickets: Calc[int] = calculated(lambda: Rep.tickets.count(Ticket.status == "open"), public=True)
        hidden: Calc[int] = calculated(lambda: Rep.tickets.count() + 0)
        hire = create(accept=["id", "last", "team_id"])

    class Ticket(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        status: Attr[str] = attribute(public=True)
        rep_id: Attr[int | None] = attribute(default=None)
        rep: One[Rep | None] = belongs_to("rep_id", to=lambda: Rep, public=True)
        submit = create(accept=["id", "status", "rep_id"])

    domain.create_storage()
    Team.add(id=1, name="a")
    Rep.hire.bulk([{"id": 1, "last": "Ng", "team_id": 1}, {"id": 2, "last": "Ada"}, {"id": 3, "last": "Bo"}])
    rows = [(1, "open", 1), (2, "shut", 1), (3, "open", 2), (4, "open", None), (5, "open", 1)]
    Ticket.submit.bulk([{"id": key, "status": status, "rep_id": rep} for key, status, rep in rows])
    return SimpleNamespace(Team=Team, Rep=Rep, Ticket=Ticket)


def ids(found: Any) -> list[int]:
    """Return the keys of the records of a query."""
    return [record.id for record in found.sort(*found.order, "id").all()]


def test_a_filter_from_outside_goes_over_relationships(desk: Any) -> None:
    """Over one record by a path, over many by "at least one"; calculations and aggregates by their names."""
    tickets: list[tuple[Any, list[int]]] = [
        ({"rep": {"last": {"eq": "Ng"}}}, [1, 2, 5]),
        ({"rep": {"last": "Ng"}, "status": "open"}, [1, 5]),
        ({"rep": {"last": {"ne": "Ng"}}}, [3, 4]),
        ({"rep": {"last": {"in": ["Ada", "Bo"]}}}, [3]),
        ({"rep": {"or": [{"last": {"starts_with": "N"}}, {"id": "2"}]}}, [1, 2, 3, 5]),
        ({"rep": {"id": {"is_none": True}}}, [4]),
        ({"rep": {"shout": "Ng!"}}, [1, 2, 5]),
        ({"rep": {"open_tickets": {"ge": "2"}}}, [1, 2, 5]),
        ({"rep": {"tickets": {"status": "shut"}}}, [1, 2, 5]),
        ({"not": {"rep": {"tickets": {"status": "shut"}}}}, [3, 4]),
    ]
    reps: list[tuple[Any, list[int]]] = [
        ({"tickets": {"status": {"eq": "shut"}}}, [1]),
        ({"tickets": {}}, [1, 2]),
        ({"open_tickets": 0}, [3]),
        ({"open_tickets": {"in": ["1", 2]}}, [1, 2]),
        ({"shout": {"contains": "o!"}}, [3]),
    ]

    for given, expected in tickets:
        assert expected == ids(query(desk.Ticket).filter_input(given)), given
    for given, expected in reps:
        assert expected == ids(query(desk.Rep).filter_input(given)), given


def test_a_sort_from_outside_goes_over_relationships(desk: Any) -> None:
    """A dotted name over relationships to one record, and calculations by their names."""
    assert [4, 3, 1, 2, 5] == ids(query(desk.Ticket).sort_input("rep.last"))
    assert [1, 2, 5, 3, 4] == ids(query(desk.Ticket).sort_input("-rep.open_tickets,id"))
    assert [1, 2, 3] == ids(query(desk.Rep).sort_input("-open_tickets"))


def test_what_is_not_public_is_told_like_what_is_unknown(desk: Any) -> None:
    """Private attributes, calculations and relationships, also at the end of a path, sound like names that do not exist."""
    given = {"rep": {"note": 1, "nothing": 1, "team": {"name": "a"}, "hidden": 1, "last": {"gt": 3}, "open_tickets": "x"}}
    with pytest.raises(Invalid) as caught:
        query(desk.Ticket).filter_input(given)
    reported = {finding.path: finding.message.partition(".")[0] for finding in caught.value.findings}
    with pytest.raises(Invalid) as unsorted:
        query(desk.Ticket).sort_input("rep.note,rep.team.name,rep.nothing,team.name,rep,rep.tickets.id")
    with pytest.raises(Invalid, match="at most 5 levels"):
        query(desk.Rep).filter_input({"tickets": {"rep": {"tickets": {"rep": {"tickets": {"id": 1}}}}}})

    same = "is nothing to filter by"
    paths = ("filter.rep.note", "filter.rep.nothing", "filter.rep.team", "filter.rep.hidden")
    assert dict.fromkeys(paths, same) == {path: message for path, message in reported.items() if message == same}
    assert {"filter.rep.last.gt", "filter.rep.open_tickets"} == reported.keys() - set(paths)
    assert 6 == len(unsorted.value.findings)
    assert {"is nothing to sort by"} == {finding.message.partition(".")[0] for finding in unsorted.value.findings}


def test_an_attribute_of_another_resource_is_refused(desk: Any) -> None:
    """In a filter, a sort and a condition over related records, also where the name exists in both; that of a base is not."""
    wrong: list[Any] = [
        lambda: query(desk.Ticket).filter(desk.Rep.id == 1).all(),
        lambda: query(desk.Ticket).sort(desk.Rep.id.desc()).all(),
        lambda: query(desk.Rep).filter(desk.Rep.tickets.exists(desk.Rep.id == 1)).all(),
        lambda: query(desk.Ticket).filter(desk.Ticket.rep[desk.Ticket.id] == 1).all(),
    ]

    for each in wrong:
        with pytest.raises(InvalidArgument, match=r"is an attribute of (Rep|Ticket), and here are records of (Rep|Ticket)"):
            each()

    assert query(desk.Ticket).filter(desk.Ticket.id == 1).one().id == 1
