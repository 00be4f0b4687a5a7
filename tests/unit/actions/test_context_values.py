"""The actor and the tenant of a call in conditions, orders, calculations, changes and validations, on every layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Calc,
    Domain,
    Resource,
    actor,
    arg,
    argument,
    attribute,
    calculated,
    case,
    coalesce,
    compare,
    context,
    count,
    create,
    existing,
    get,
    greatest,
    incoming,
    load,
    parent,
    query,
    row,
    set_attribute,
    tenant,
    update,
)
from resourcekit.declarations.action import Upsert
from resourcekit.errors import Invalid, InvalidArgument, NotFound, StaleRecord
from resourcekit.expressions.context_nodes import Actor
from resourcekit.expressions.nodes import Field
from tests.support.desks import desk_on, ids

ANN = SimpleNamespace(id=1, name="Ann", team={"id": 7})
NOBODY: Any = None


@pytest.fixture
def desk(any_layer: Callable[[], Any]) -> Any:
    """The desk on a layer."""
    return desk_on(any_layer)


def test_a_condition_reads_the_actor_of_the_call(desk: Any) -> None:
    """One query value finds other records for another actor; values are cast like the field that they meet."""
    asked = query(desk.Ticket).filter(desk.Ticket.owner_id == actor("id"))
    with context(actor=ANN):
        assert [1, 4] == ids(asked)
        assert 2 == asked.count()
    with context(actor={"id": "2"}):
        assert [2] == ids(asked)
    with context(actor=ANN):
        assert [1, 2] == ids(query(desk.Ticket).filter(desk.Ticket.team_id == actor("team", "id")))
        assert [1, 2, 4] == ids(query(desk.Ticket).filter(desk.Ticket.owner_id.in_([actor("id"), 2])))
    with context(actor={"ids": [2, 1]}):
        assert [1, 2, 4] == ids(query(desk.Ticket).filter(desk.Ticket.owner_id.in_(actor("ids"))))
    with context(actor=2):
        assert [2] == ids(query(desk.Ticket).filter(desk.Ticket.owner_id == actor()))


@pytest.mark.parametrize("who", [NOBODY, {}, {"id": None}])
def test_a_missing_value_matches_nothing_nor_does_its_opposite(desk: Any, who: Any) -> None:
    """Without the value a comparison does not hold, also under ``~``, deep in an expression, and in sums."""
    Ticket = desk.Ticket  # noqa: N806  # a class
    with context(actor=who):
        for condition in (
            Ticket.owner_id == actor("id"),
            ~(Ticket.owner_id == actor("id")),
            Ticket.owner_id != actor("id"),
            Ticket.owner_id < actor("id"),
            ~(Ticket.owner_id < actor("id") + 1),
            Ticket.owner_id.in_([actor("id")]),
            ~Ticket.owner_id.in_([actor("id"), 2]),
            Ticket.owner_id.in_(actor("ids")),
            ~Ticket.owner_id.in_(actor("ids")),
            Ticket.org.like(actor("id")),
            ~Ticket.org.like(actor("id")),
            ~(~(Ticket.owner_id == actor("id"))),
            Ticket.team[desk.Team.id] == actor("team", "id"),
            ~Ticket.team[desk.Team.tickets.exists(Ticket.owner_id == actor("id"))],
        ):
            assert [] == ids(query(Ticket).filter(condition)), condition
        assert [1, 2, 3, 4] == ids(query(Ticket).filter(actor("id").is_none()))
        assert [2] == ids(query(Ticket).filter(Ticket.owner_id.in_([actor("id"), 2])))
        assert [2, 4] == ids(query(Ticket).filter((Ticket.org == "south") | (Ticket.owner_id == actor("id"))))
    with context(actor=ANN):
        assert [] == ids(query(Ticket).filter(actor("id").is_none()))
        assert [2, 3] == ids(query(Ticket).filter(~(Ticket.owner_id == actor("id"))))


@pytest.mark.parametrize("who", [None, {"id": None}])
def test_a_missing_value_matches_nothing_in_choices_and_over_relationships(desk: Any, who: Any) -> None:
    """Neither a choice of missing values, nor a path, an option of ``in_`` or a test beside true and false finds a record."""
    Team, Ticket = desk.Team, desk.Ticket  # noqa: N806  # classes
    mine, lacking = Ticket.owner_id == actor("id"), coalesce(actor("id"), actor("deputy"))
    with context(actor=who):
        for condition in (
            Ticket.owner_id == lacking,
            Ticket.owner_id == greatest(actor("id"), actor("deputy")),
            Ticket.owner_id == case(Ticket.id > 1, actor("id"), actor("deputy")),
            Ticket.owner_id.in_([lacking]),
            Ticket.org.like(coalesce(actor("name"), actor("org"))),
            Ticket.owner_id == Ticket.team[actor("id")],
            Ticket.by == Ticket.team[Team.tickets.first(Ticket.reader)],
            Ticket.owner_id == Ticket.team[Team.tickets.max(actor("id"))],
            Ticket.team[Team.tickets.exists(Ticket.owner_id == parent(actor("id")))],
            Ticket.team[Team.tickets.exists(Ticket.owner_id.in_([actor("id"), -1]))],
            Ticket.team[Team.tickets.exists(Ticket.owner_id.in_(actor("ids")))],
            Ticket.team[Team.tickets.filter(mine).exists()],
            Ticket.team[Team.own.exists()],
            case(Ticket.id > 0, mine, Ticket.by == actor("name")),
            coalesce(mine, False),
            mine == True,  # noqa: E712  # an expression
            mine == False,  # noqa: E712  # an expression
            Ticket.is_mine != True,  # noqa: E712  # an expression
            mine.in_([True, False]),
            Ticket.team[Team.tickets.exists(mine)] == False,  # noqa: E712  # an expression
            Ticket.team[Team.tickets.exists(mine)].in_([False]),
            coalesce(mine, False) != True,  # noqa: E712  # an expression
            (Ticket.team[Team.own.exists()] != True).in_([True]),  # noqa: E712  # an expression
            actor("is_admin"),
        ):
            assert [] == ids(query(Ticket).filter(condition)) == ids(query(Ticket).filter(~condition)), condition
        some = case(Ticket.id > 2, actor("id"), 1)
        for condition in (Ticket.owner_id == some, Ticket.owner_id.in_([some]), Ticket.owner_id + 1 == some + 1):
            assert [1] == ids(query(Ticket).filter(condition))
            assert [2] == ids(query(Ticket).filter(~condition))
        assert [] == ids(query(Ticket).filter(Ticket.owner_id == coalesce(Ticket.team_id * actor("x"), actor("id"))))
        assert [] == ids(query(Ticket).filter(Ticket.by == coalesce(Ticket.by, actor("name"))))


def test_an_unknown_field_is_refused_without_an_actor_too(desk: Any) -> None:
    """A comparison that cannot hold is checked too."""
    with pytest.raises(InvalidArgument, match="nothing_such"):
        query(desk.Ticket).filter(Field("nothing_such") == actor("id")).all()


def test_a_sort_by_the_actor_alone_orders_nothing(desk: Any) -> None:
    """What is the same for all records leaves their order to the other keys, whether the actor has the value or not."""
    ticket = desk.Ticket
    for who in (None, SimpleNamespace(id=2), SimpleNamespace(id="x")):
        with context(actor=who):
            for key in (actor("id"), actor("id").desc(), actor("id").asc(nulls="last"), actor("id").desc(nulls="first")):
                asked = query(ticket).sort(key, "-id")
                assert [4, 3, 2, 1] == [each.id for each in asked.all()] == [each.id for each in asked.page(limit=9).records]
                loaded = query(desk.Team).sort("id").load(desk.Team.tickets.sort(key, "-id").limit(1)).all()
                assert [2, 4] == [each.id for team in loaded for each in team.tickets]
                first = desk.Team.tickets.first(ticket.id, sort=[key, ticket.id.desc()])
                assert [2, 4] == [each.extra["n"] for each in query(desk.Team).sort("id").load(n=first).all()]
            if who is None:
                assert [1, 2, 3, 4] == [each.id for each in query(ticket).sort((ticket.id * actor("id")).desc(), "id").all()]


def test_tenant_is_a_value_of_the_context(desk: Any) -> None:
    """``context(tenant=...)`` and ``using(tenant=...)`` set it; ``None`` clears it."""
    asked = query(desk.Ticket).filter(desk.Ticket.org == tenant())
    assert [] == ids(asked)
    with context(tenant="south"):
        assert [2, 4] == ids(asked)
        with context(tenant=None):
            assert [] == ids(asked)
    made = desk.Ticket.open.using(actor=ANN, tenant="west")(id=9)
    assert (1, "west") == (made.owner_id, made.org)


def test_related_records_calculations_and_loads_read_the_actor(desk: Any) -> None:
    """A relationship's condition, an aggregate, a calculation with arguments, and one that is the actor's value alone."""
    Team, Ticket = desk.Team, desk.Ticket  # noqa: N806  # classes
    teams = query(Team).sort("id").load(Team.own, Team.mine)
    found = {}
    for who in (ANN, {"id": 2}, NOBODY):
        with context(actor=who):
            found[str(who)] = [([one.id for one in each.own], each.mine) for each in teams.all()]
    assert [([1], 1), ([4], 1)] == found[str(ANN)]
    assert [([2], 1), ([], 0)] == found[str({"id": 2})]
    assert [([], 0), ([], 0)] == found["None"]
    with context(actor=ANN):
        loaded = query(Ticket).sort("id").load(Ticket.is_mine, Ticket.reader, part=Ticket.share(full=9)).all()
        assert [(True, "Ann", 9), (False, "Ann", 0), (False, "Ann", 0), (True, "Ann", 9)] == [
            (each.is_mine, each.reader, each.extra["part"]) for each in loaded
        ]
        assert [4, 1] == [each.id for each in query(Ticket).filter(Ticket.is_mine).sort("-id").all()]
        assert [1, 4, 2, 3] == [each.id for each in query(Ticket).sort(Ticket.is_mine.desc(), "id").all()]
        assert [7, 8] == ids(query(Team).filter(Team.own.exists()))
        assert [True] == [load(get(Ticket, 4), Ticket.is_mine).is_mine]
        first = query(Ticket).sort(Ticket.is_mine.desc(), "id").page(limit=1)
        after = query(Ticket).sort(Ticket.is_mine.desc(), "id").page(limit=1, after=first.end_cursor)
        assert [1, 4] == [first.records[0].id, after.records[0].id]


def test_reads_changes_and_validations_read_the_actor(desk: Any) -> None:
    """A named read finds the actor's records, a change writes the actor, and a validation compares with it."""
    Ticket = desk.Ticket  # noqa: N806  # a class
    assert [1, 4] == [each.id for each in Ticket.mine.using(actor=ANN)()]
    assert [] == Ticket.mine()
    assert "Ann" == Ticket.close.using(actor=ANN)(1).by
    with pytest.raises(Invalid, match="owner_id"):
        Ticket.close.using(actor=ANN)(2)
    with pytest.raises(Invalid, match="owner_id"):
        Ticket.close(1)
    with context(actor=ANN):
        assert "east" == Ticket.close_mine(1, org="east").org
        with pytest.raises(NotFound):
            Ticket.close_mine(2, org="east")
        assert 2 == Ticket.close_mine.bulk(query(Ticket), org="west").count
    assert ["north", "south", "west", "west"] == sorted(each.org for each in query(Ticket).all())


@pytest.mark.parametrize("is_stepwise", [False, True])
def test_a_write_is_compared_with_what_is_computed_of_the_call(any_layer: Callable[[], Any], is_stepwise: bool) -> None:
    """``compare`` takes sums over attributes, the actor and arguments, in one statement and step by step, and refuses what is missing."""
    domain = Domain("compared")
    how: dict[str, Any] = {"changes": [lambda changeset, _: changeset]} if is_stepwise else {}
    least = [argument("least", int, default=0)]

    class Bid(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        owner: Attr[int | None] = attribute(default=None)
        price: Attr[int] = attribute(default=1)
        add = create(accept=["id", "owner"], validations=[compare("price", "<", Field("owner") + 1)])
        own = update(accept=["price"], validations=[compare("owner", "==", coalesce(actor("id"), actor("deputy")))], **how)
        next = update(accept=["price"], validations=[compare("owner", "==", actor("id") + 1)], **how)
        below = update(accept=["price"], validations=[compare("price", "<", Field("owner") + 1)], **how)
        limited = update(accept=["price"], validations=[compare("price", "<", Field("owner") + actor("id"))], **how)
        above = update(accept=["price"], arguments=least, validations=[compare("price", ">", arg("least"))], **how)

    domain.create_storage()
    Bid.add(id=1, owner=5)
    Bid.add(id=2)
    with pytest.raises(Invalid):
        Bid.add(id=3, owner=0)
    for action in (Bid.own, Bid.next):
        for key in (1, 2):
            with pytest.raises(Invalid, match="does not have"):
                action(key, price=2)
    with context(actor={"id": 4, "deputy": 5}):
        assert 2 == Bid.next(1, price=2).price
        with pytest.raises(Invalid, match="must be =="):
            Bid.own(1, price=2)
    with context(actor={"deputy": 5}):
        assert 3 == Bid.own(1, price=3).price
    with pytest.raises(Invalid, match="does not have"):
        Bid.limited(1, price=2)
    with context(actor={"id": 4}):
        assert 8 == Bid.limited(1, price=8).price
        with pytest.raises(Invalid, match="must be <"):
            Bid.limited(1, price=9)
        assert 99 == Bid.limited(2, price=99).price  # None on either side passes
    assert 5 == Bid.below(1, price=5).price
    assert 9 == Bid.below(2, price=9).price
    with pytest.raises(Invalid, match="must be <"):
        Bid.below(1, price=6)
    assert 8 == Bid.above(1, price=8, least=7).price
    with pytest.raises(Invalid, match="must be > 8"):
        Bid.above(1, price=8, least=8)


def test_a_stream_keeps_the_actor_that_it_began_with(desk: Any) -> None:
    """Loads and calculations of a stream are those of its own actor, and not of the one where it is consumed."""
    mine = desk.Ticket.mine.using(actor={"id": 1, "name": "Ann"}).query().load(desk.Ticket.reader, desk.Ticket.is_mine)
    with context(actor={"id": 2, "name": "Eve"}):
        streamed = [(each.reader, each.is_mine) for each in mine.stream()]
        listed = [(each.reader, each.is_mine) for each in mine.all()]

    assert [("Ann", True)] * 2 == streamed == listed


def test_groups_compare_with_the_actor(desk: Any) -> None:
    """A condition of groups reads the context too."""
    groups = query(desk.Ticket).group_by(desk.Ticket.team_id).values(n=count()).filter(row("n") == actor("n"))
    with context(actor={"n": 2}):
        assert [7, 8] == [each["team_id"] for each in groups.all()]
    assert [] == groups.all()


def test_tasks_have_their_own_actors(desk: Any) -> None:
    """Loads and queries of tasks that run at the same time never mix their actors."""

    async def one(who: int) -> list[int]:
        with context(actor={"id": who}):
            await asyncio.sleep(0)
            return sorted([each.id for each in await query(desk.Ticket).filter(desk.Ticket.owner_id == actor("id")).all.aio()])

    async def ask() -> list[list[int]]:
        try:
            return list(await asyncio.gather(*map(one, (1, 2, 3, 1))))
        finally:
            for each in (desk.Ticket, desk.Team):
                await each.__runtime__.store.close()

    assert [[1, 4], [2], [], [1, 4]] == asyncio.run(ask())


def test_the_actor_of_a_program_is_never_kept_in_a_plan(desk: Any) -> None:
    """Many actors share one plan."""
    asked, kept = query(desk.Ticket).filter(desk.Ticket.owner_id == actor("id")), desk.Ticket.__runtime__.kept
    with context(actor={"id": 1}):
        asked.all()
    before = len(kept)
    for who in range(5):
        with context(actor={"id": who}):
            asked.all()
    assert before == len(kept)


def test_names_of_the_actor_are_texts() -> None:
    """Another name is refused where it is written."""
    wrong: Any = 1
    with pytest.raises(InvalidArgument, match='actor takes names, such as actor\\("id"\\), not 1'):
        actor(wrong)
    assert Actor(("team", "id")).value(ANN, None) == 7


def test_every_layer_reads_actor_and_tenant(every_layer: Callable[[], Any]) -> None:
    """Conditions, orders, calculations, changes, bulk writes and upserts over one resource, on Redis too."""
    domain = Domain("every layer")

    class Note(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        owner: Attr[int | None] = attribute(default=None)
        org: Attr[str | None] = attribute(default=None)
        text: Attr[str] = attribute(default="")
        is_mine: Calc[bool] = calculated(lambda: Note.owner == actor("id"))

        add = create(accept=["id"], changes=[set_attribute("owner", actor("id")), set_attribute("org", tenant())])
        put = create(
            accept=["id", "text"],
            changes=[set_attribute("owner", actor("id"))],
            upsert=Upsert(where=existing("owner") == actor("id"), set={"text": incoming("text")}),
        )
        edit = update(accept=["text"], validations=[compare("owner", "==", actor("id"))])

    domain.create_storage()
    for number, (who, org) in enumerate([(1, "n"), (2, "s"), (1, "s")]):
        Note.add.using(actor={"id": who}, tenant=org)(id=number)
    Note.add(id=3)
    with context(actor={"id": 1}, tenant="s"):
        assert [0, 2] == ids(query(Note).filter(Note.owner == actor("id")))
        assert [2] == ids(query(Note).filter((Note.owner == actor("id")) & (Note.org == tenant())))
        assert [True, False, True, False] == [each.is_mine for each in query(Note).sort("id").load(Note.is_mine).all()]
        assert 2 == Note.edit.bulk(query(Note).filter(Note.owner == actor("id")), strategy="stream", text="mine").count
        assert "new" == Note.put(id=0, text="new").text
        with pytest.raises(StaleRecord):
            Note.put(id=1, text="not mine")
        with pytest.raises(Invalid):
            Note.edit(1, text="not mine")
    assert [] == ids(query(Note).filter(Note.owner != actor("id")))
    assert ["new", "", "mine", ""] == [each.text for each in query(Note).sort("id").all()]
