"""Conditions, orders and values over related records: paths, exists, parent, aggregates, calculations, on every layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Calc,
    Domain,
    Many,
    One,
    Resource,
    arg,
    argument,
    as_dict,
    attribute,
    belongs_to,
    calculated,
    calculation,
    create,
    destroy,
    has_many,
    has_one,
    load,
    many_to_many,
    parent,
    query,
    read,
    set_attribute,
    update,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError, InvalidArgument, NotLoaded

SECRET = "a secret of thirty-two characters"
DESCENDING = "-id"


def helpdesk_on(layer: Callable[[], Any]) -> Any:
    """Declare companies, representatives, tickets and tags, and store some."""
    domain = Domain("helpdesk", cursor_secret=SECRET)

    class Company(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(public=True)
        people: Many[Person] = has_many("company_id")

        make = create(accept=["id", "name"])

    class Person(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        first: Attr[str] = attribute()
        last: Attr[str] = attribute(public=True)
        most: Attr[int] = attribute(default=3)
        hidden: Attr[bool] = attribute(default=False)
        company_id: Attr[int | None] = attribute(default=None)

        company: One[Company | None] = belongs_to("company_id", public=True)
        tickets: Many[Ticket] = has_many("person_id", sort=["-priority"])
        open_ones: Many[Ticket] = has_many("person_id", where=lambda: Ticket.status == "open", to=lambda: Ticket)
        top: Many[Ticket] = has_many("person_id", sort=["-priority"], limit=2, to=lambda: Ticket)
        latest: One[Ticket | None] = has_one("person_id", sort=["-id"], to=lambda: Ticket)

        full_name: Calc[str] = calculated(lambda: Person.first + " " + Person.last, public=True)
        busy: Calc[int] = calculated(lambda: Person.tickets.count(Ticket.status == "open"))
        twice: Calc[int] = calculated(lambda: Person.busy + Person.busy)
        greeting: Calc[str] = calculated(lambda: arg("title") + " " + Person.last, arguments=[argument("title", str)])

        @calculation(needs=["first", "last"], public=True)
        def initials(people: Sequence[Any]) -> list[str]:  # noqa: N805
            """The first letters."""
            return [each.first[0] + each.last[0] for each in people]

        @calculation(needs=["id"], arguments=[argument("by", int, default=2)])
        async def scaled(people: Sequence[Any], by: int) -> list[int]:  # noqa: N805
            """An async function with an argument."""
            return [each.id * by for each in people]

        shown = read(preparations=[lambda query, context: query.filter(~Person.hidden)], primary=True)
        make = create(accept=["id", "first", "last", "most", "hidden", "company_id"])

    class Ticket(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        status: Attr[str] = attribute(default="open")
        priority: Attr[int | None] = attribute(default=None)
        person_id: Attr[int | None] = attribute(default=None)

        person: One[Person | None] = belongs_to("person_id", to=lambda: Person)
        tags: Many[Tag] = many_to_many(through=lambda: TicketTag, source="ticket_id", destination="tag_id")

        make = create(accept=["id", "status", "priority", "person_id"])
        close = update(changes=[set_attribute("status", "closed")])
        drop = destroy()

    class Tag(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute()

        make = create(accept=["id", "name"])

    class TicketTag(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        ticket_id: Attr[int] = attribute()
        tag_id: Attr[int | None] = attribute()
        off: Attr[bool] = attribute(default=False)

        shown = read(preparations=[lambda query, context: query.filter(~TicketTag.off)], primary=True)
        make = create(accept=["id", "ticket_id", "tag_id", "off"])

    domain.create_storage()
    Company.make.bulk([{"id": 1, "name": "Acme"}, {"id": 2, "name": "Bolt"}])
    people = [(1, "Joe", "Ng", 3, 1), (2, "Ann", "Bo", 5, None), (3, "Cy", "Ng", 3, 2)]
    Person.make.bulk(
        [{"id": n, "first": first, "last": last, "most": most, "company_id": c} for n, first, last, most, c in people]
    )
    Person.make(id=4, first="Di", last="Xu", company_id=1, hidden=True)
    rows = [(1, 1, "open", 1), (2, 4, "open", 1), (3, None, "closed", 1), (4, 9, "open", 2), (5, 2, "open", None)]
    rows += [(6, 2, "closed", 2), (7, 7, "open", 1), (8, 9, "open", 4)]
    Ticket.make.bulk([{"id": n, "priority": p, "status": s, "person_id": who} for n, p, s, who in rows])
    Tag.make.bulk([{"id": n, "name": name} for n, name in enumerate("abc", 1)])
    joins = [(1, 1, 1, False), (2, 1, 2, False), (3, 2, 2, False), (4, 4, 3, True), (5, 1, 2, False), (6, 7, None, False)]
    TicketTag.make.bulk([{"id": n, "ticket_id": ticket, "tag_id": tag, "off": off} for n, ticket, tag, off in joins])
    domain.Company, domain.Person, domain.Ticket, domain.Tag = Company, Person, Ticket, Tag
    return domain


@pytest.fixture
def desk(any_layer: Callable[[], Any]) -> Any:
    """Return the resources on a layer."""
    return helpdesk_on(any_layer)


def ids(found: Any) -> list[int]:
    """Return the keys of the records of a query, in order."""
    return sorted(each.id for each in found.all())


def test_a_path_reads_the_one_related_record_and_none_without_one(desk: Any) -> None:
    """A condition over a path compares None if there is no record, or the primary read hides it; its negation is exact."""
    of, last = query(desk.Ticket), desk.Ticket.person[desk.Person.last]

    assert ids(of.filter(last == "Ng")) == [1, 2, 3, 7]
    assert ids(of.filter(~(last == "Ng"))) == [4, 5, 6, 8]
    assert ids(of.filter(last.is_none())) == [5, 8]
    assert ids(of.filter(desk.Ticket.person[desk.Person.company][desk.Company.name] == "Acme")) == [1, 2, 3, 7]
    assert ids(of.filter(desk.Ticket.person[desk.Person.full_name] == "Ann Bo")) == [4, 6]
    assert of.filter(desk.Ticket.person[desk.Person.tickets].count() == 2).count() == 2
    assert [each.id for each in of.sort(last.desc(), "id").all()] == [1, 2, 3, 7, 4, 6, 5, 8]
    assert ids(query(desk.Person).filter(desk.Person.latest[desk.Ticket.priority] == 7)) == [1]
    assert ids(of.filter(desk.Ticket.person[desk.Person.id] == "1")) == [1, 2, 3, 7]


def test_exists_asks_many_records_without_multiplying_them(desk: Any) -> None:
    """Exists takes conditions, refers to the record around it one or two levels out, and goes over a many_to_many."""
    person, ticket = desk.Person, desk.Ticket
    high = person.tickets.exists(ticket.priority > parent(person.most))
    inner = (ticket.priority > parent(person.most)) & (parent(parent(desk.Company.name)) == "Acme")

    assert ids(query(person).filter(high)) == [1, 2]
    assert ids(query(person).filter(~person.tickets.exists())) == [3]
    assert ids(query(desk.Company).filter(desk.Company.people.exists(person.tickets.exists(inner)))) == [1]
    assert ids(query(ticket).filter(ticket.tags.exists(desk.Tag.name == "b"))) == [1, 2]
    assert ids(query(ticket).filter(~ticket.tags.exists())) == [3, 4, 5, 6, 7, 8]
    assert query(person).filter(person.open_ones.count() == 3).count() == 1
    assert query(person).filter(person.tickets.exists(ticket.tags.exists())).exists()


def test_values_of_related_records_equal_what_python_computes(desk: Any) -> None:
    """Each aggregate is what Python computes of the loaded records; a relationship with a limit is bounded first."""
    person, ticket = desk.Person, desk.Ticket
    asked = {
        "n": person.tickets.count(),
        "total": person.tickets.sum(ticket.priority),
        "mean": person.tickets.avg(ticket.priority),
        "least": person.tickets.min(ticket.priority),
        "most": person.tickets.max(ticket.priority),
        "best": person.tickets.first(ticket.id),
        "oldest": person.tickets.first(ticket.id, sort="id"),
        "all": person.tickets.collect(ticket.priority, sort="priority"),
        "kinds": person.tickets.collect(ticket.status, sort="status", distinct=True),
        "fine": person.tickets.every(ticket.status == "open"),
        "tops": person.top.count(ticket.status == "open"),
        "top": person.top.sum(ticket.priority),
        "tags": person.tickets.sum(ticket.tags.count()),
    }
    found = query(person).sort("id").load(**{f"x_{name}": node for name, node in asked.items()}).all()

    assert [{name: each.extra[f"x_{name}"] for name in asked} for each in found] == [
        {
            "n": 4, "total": 12, "mean": 4.0, "least": 1, "most": 7, "best": 7, "oldest": 1, "all": (None, 1, 4, 7),
            "kinds": ("closed", "open"), "fine": False, "tops": 2, "top": 11, "tags": 3,
        },
        {
            "n": 2, "total": 11, "mean": 5.5, "least": 2, "most": 9, "best": 4, "oldest": 4, "all": (2, 9),
            "kinds": ("closed", "open"), "fine": False, "tops": 1, "top": 11, "tags": 0,
        },
        {
            "n": 0, "total": None, "mean": None, "least": None, "most": None, "best": None, "oldest": None, "all": (),
            "kinds": (), "fine": True, "tops": 0, "top": None, "tags": None,
        },
    ]  # fmt: skip


def test_the_smallest_of_several_limits_bounds_a_relationship(desk: Any) -> None:
    """A limit that a query asks for counts beside the declared one, for each record, in the order that it asks for."""
    person, ticket = desk.Person, desk.Ticket
    asked = (
        query(person).load(n=person.top.limit(1).count(), s=person.tickets.sort("id").limit(2).sum(ticket.priority)).sort("id")
    )

    assert [(each.extra["n"], each.extra["s"]) for each in asked.all()] == [(1, 5), (1, 11), (0, None)]


def test_calculations_are_loaded_filtered_sorted_and_shown(desk: Any) -> None:
    """A calculation is a value in loads, conditions and orders; as_dict shows public ones, and reading computes nothing."""
    person = desk.Person
    found = query(person).filter(person.full_name != "Cy Ng").sort("-busy").load(person.busy, person.full_name, person.twice)
    first, second = found.load(hello=person.greeting(title="Ms.")).all()

    assert (first.busy, first.twice, first.full_name, first.extra["hello"]) == (3, 6, "Joe Ng", "Ms. Ng")
    assert as_dict(second) == {"id": 2, "last": "Bo", "full_name": "Ann Bo"}
    with pytest.raises(NotLoaded, match=r"load\(Person.busy\)"):
        _ = query(person).first().busy
    named = query(person).select(person.last).sort("id").load(person.initials, s=person.scaled(by=3)).all()
    assert [(each.initials, each.extra["s"]) for each in named] == [("JN", 3), ("AB", 6), ("CN", 9)]
    again = load(query(person).sort("id").all(), person.busy, person.initials, n=person.tickets.count())
    assert [(each.busy, each.initials, each.extra["n"]) for each in again] == [(3, "JN", 4), (1, "AB", 2), (0, "CN", 0)]
    assert [each.busy for each in query(person).sort("id").load(person.busy).stream()] == [3, 1, 0]
    nested = query(desk.Company).sort("id").load(desk.Company.people.load(person.busy, person.initials)).all()
    assert [[(each.busy, each.initials) for each in one.people] for one in nested] == [[(3, "JN")], [(0, "CN")]]


def test_pages_over_related_values_are_the_full_scan(desk: Any) -> None:
    """Keyset pages by paths, aggregates and calculations return each record once, forwards and backwards."""
    ticket, person = desk.Ticket, desk.Person
    orders: list[list[Any]] = [
        [ticket.person[person.last].desc(), "priority"],
        [ticket.person[person.last].asc(nulls="last"), ticket.priority.desc()],
        [ticket.tags.count().desc(), ticket.person[person.busy]],
        [ticket.tags.min(desk.Tag.name)],
        [ticket.tags.exists(), DESCENDING],
        [ticket.person[person.tickets].avg(ticket.priority).desc()],
    ]
    for order in orders:
        asked = query(ticket).sort(*order)
        page, walked = asked.page(limit=2), list[Any]()
        while True:
            walked += page.records
            if not page.has_next:
                break
            page = asked.page(limit=2, after=page.end_cursor)
        total = asked if order[-1] is DESCENDING else query(ticket).sort(*order, "id")  # pages add the key; a query does not
        assert [each.id for each in walked] == [each.id for each in total.all()]
        back = asked.page(limit=6, before=page.start_cursor)
        assert [each.id for each in back.records] == [each.id for each in walked[-len(page.records) - 6 : -len(page.records)]]
        assert not any(getattr(each, "__loaded__", None) and each.extra for each in walked)


def test_updates_and_destroys_take_conditions_over_related_records(desk: Any) -> None:
    """Bulk updates and destroys over a query write to the records that a path, an exists or a calculation finds."""
    ticket, person = desk.Ticket, desk.Person

    assert ticket.close.bulk(query(ticket).filter(ticket.person[person.last] == "Bo")).count == 2
    assert ticket.close.bulk(query(ticket).filter(ticket.tags.exists(desk.Tag.name == "b"))).count == 2
    assert ids(query(ticket).filter(ticket.status == "closed")) == [1, 2, 3, 4, 6]
    assert ticket.drop.bulk(query(ticket).filter(ticket.person[person.busy] == 1)).count == 4
    assert ids(query(ticket)) == [4, 5, 6, 8]


def test_a_list_with_two_aggregates_is_one_statement(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two aggregates and a path are computed in the statement that reads the records."""
    kind = type(desk.Person.__runtime__.store)
    sent: list[Any] = []
    before = kind.select

    async def select(self: Any, plan: Any, params: Any) -> Any:
        sent.append(plan)
        return await before(self, plan, params)

    monkeypatch.setattr(kind, "select", select)
    person, ticket = desk.Person, desk.Ticket
    asked = query(person).sort(person.company[desk.Company.name]).load(person.busy, n=person.tickets.sum(ticket.priority))

    assert [(each.busy, each.extra["n"]) for each in asked.all()] == [(1, 11), (3, 12), (0, None)]
    assert len(sent) == 1


def test_async_calls_compute_the_same(desk: Any) -> None:
    """An async query resolves and computes as a sync one does."""
    asked = query(desk.Person).filter(desk.Person.tickets.exists()).sort("id").load(desk.Person.busy, desk.Person.scaled)

    async def run() -> list[Any]:
        found = await asked.all.aio()
        page = await asked.sort("-busy").page.aio(limit=1)
        return [*((each.busy, each.scaled) for each in found), page.records[0].id]

    assert [(each.busy, each.scaled) for each in asked.all()] == [(3, 2), (1, 4)]
    assert asyncio.run(run()) == [(3, 2), (1, 4), 1]


def test_what_cannot_be_asked_is_refused_with_the_next_step() -> None:
    """Parent without a row around it, a path over many, a function in a condition, wrong arguments and unknown names are refused."""
    desk = helpdesk_on(Memory)
    person, ticket = desk.Person, desk.Ticket
    cases = {
        "parent": query(person).filter(ticket.priority > parent(person.most)),
        "function over loaded records": query(person).filter(person.initials == "JN"),
        "greeting.title: is required": query(person).filter(person.greeting() == "x"),
        "Person.full_name is no calculation of Ticket": query(person).filter(person.tickets.exists(person.full_name == "x")),
        "last: is no attribute": query(person).filter(person.tickets.exists(person.last == "x")),
        "no relationship of Person": query(person).filter(ticket.person[person.last] == "x"),
        "sum takes numbers": query(person).filter(person.tickets.sum(ticket.status) == "x"),
        "has no order": query(person).sort(person.tickets.collect(ticket.id)),
    }
    for message, asked in cases.items():
        with pytest.raises(InvalidArgument, match=message):
            asked.all()
    with pytest.raises(InvalidArgument, match="without a name"):
        query(person).load(person.tickets.count())
    with pytest.raises(InvalidArgument, match="loaded twice"):
        query(person).load(n=person.busy).load(n=person.busy)


def test_resources_in_two_stores_are_loaded_and_not_filtered(tmp_path: Path) -> None:
    """Over two stores a condition is refused with the cure, and an aggregate is computed of loaded records."""
    domain = Domain("two stores")

    class Owner(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)
        pets: Many[Pet] = has_many("owner_id")
        heavy: Calc[Decimal | None] = calculated(lambda: Owner.pets.sum(Pet.weight, Pet.weight > 1))
        make = create(accept=["id"])

    class Pet(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/pets.db")):
        id: Attr[int] = attribute(primary_key=True)
        weight: Attr[Decimal] = attribute()
        owner_id: Attr[int] = attribute()
        owner: One[Owner] = belongs_to("owner_id", to=lambda: Owner, on_delete="nothing")
        make = create(accept=["id", "weight", "owner_id"])

    domain.create_storage()
    Owner.make.bulk([{"id": 1}, {"id": 2}])
    Pet.make.bulk([{"id": n, "weight": Decimal(n), "owner_id": 1} for n in (1, 2, 3)])

    assert [each.heavy for each in query(Owner).sort("id").load(Owner.heavy).all()] == [Decimal(5), None]
    with pytest.raises(InvalidArgument, match=r"different stores; load Owner.pets instead, or query Pet first"):
        query(Owner).filter(Owner.pets.exists()).all()
    with pytest.raises(InvalidArgument, match=r"different stores.*Pet.owner_id.in_"):
        query(Pet).filter(Pet.owner[Owner.id] == 1).all()


def test_calculations_that_need_themselves_are_refused() -> None:
    """A circle of calculations, an unknown attribute and a type that does not fit are found when the domain is sealed."""
    domain = Domain("circles")

    class Loop(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)
        one: Calc[int] = calculated(lambda: Loop.two + 1)
        two: Calc[int] = calculated(lambda: Loop.one + 1)
        text: Calc[str] = calculated(lambda: Loop.id + 1)
        lost: Calc[int] = calculated(lambda: Loop.nothing + 1)

        @calculation(needs=["absent"])
        def odd(loops: Sequence[Any]) -> list[int]:  # noqa: N805
            """Name no attribute."""
            return [1 for _ in loops]

    with pytest.raises(DeclarationError) as raised:
        domain.seal()
    text = str(raised.value)
    assert "needs itself: Loop.one needs Loop.two needs Loop.one" in text
    assert "is declared as str" in text
    assert "no attribute, action or function 'nothing'" in text
    assert "needs 'absent'" in text
