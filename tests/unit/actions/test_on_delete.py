"""on_delete: what happens to records that refer to a removed one, the same in memory and on databases."""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from resourcekit import Attr, Domain, One, Resource, attribute, belongs_to, create, destroy, identity, query, transaction, update
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.errors import DeclarationError, ForeignKeyViolation, SerializationFailure
from resourcekit.testing import in_memory


def desk_on(any_layer: Any, rule: str = "restrict") -> Any:
    """Declare representatives, who may have a boss, tickets of them by this rule, and notes that restrict their ticket."""
    domain = Domain("desk")

    class Rep(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        code: Attr[str | None] = attribute(default=None)
        boss_id: Attr[int | None] = attribute(default=None)
        boss: One[Rep | None] = belongs_to("boss_id", to=lambda: Rep)
        by_code = identity("code")
        hire = create(accept=["id", "code", "boss_id"])
        change = update(accept=["boss_id", "code"])
        fire = destroy()

    class Ticket(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        rep_id: Attr[int | None] = attribute(default=None)
        rep: One[Rep | None] = belongs_to("rep_id", to=lambda: Rep, on_delete=rule)
        code: Attr[str | None] = attribute(default=None)
        coded: One[Rep | None] = belongs_to("code", to=lambda: Rep, to_field="code")
        submit = create(accept=["id", "rep_id", "code"])
        move = update(accept=["rep_id", "code"])
        close = destroy()

    class Note(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        ticket_id: Attr[int] = attribute()
        ticket: One[Ticket] = belongs_to("ticket_id", to=lambda: Ticket)
        write = create(accept=["id", "ticket_id"])
        wipe = destroy()

    domain.create_storage()
    domain.create_storage()
    Rep.hire.bulk([{"id": 1, "code": "a"}, {"id": 2, "boss_id": 1}, {"id": 3}])
    Ticket.submit.bulk([{"id": 1, "rep_id": 3}, {"id": 2, "rep_id": 3}, {"id": 3}])
    return SimpleNamespace(Rep=Rep, Ticket=Ticket, Note=Note)


def reported(error: Any) -> tuple[str, bool]:
    """Return the relationship that an error names, and which side of it was written."""
    return error.relationship, error.is_referred_to


def test_a_key_that_refers_to_no_record_is_refused(any_layer):
    """A create, an update, an upsert and a bulk write with such a key raise ForeignKeyViolation; nothing of them is written."""
    desk = desk_on(any_layer)

    with pytest.raises(ForeignKeyViolation, match=r"Ticket\.submit: rep_id: refers to a record that does not exist") as one:
        desk.Ticket.submit(id=9, rep_id=77)
    with pytest.raises(ForeignKeyViolation) as other:
        desk.Ticket.submit(id=9, rep_id=1, code="unknown")
    with pytest.raises(ForeignKeyViolation) as moved:
        desk.Ticket.move(1, code="unknown")
    bulk = desk.Ticket.submit.bulk([{"id": 7, "rep_id": 1}, {"id": 8, "rep_id": 77}, {"id": 9, "code": "b"}])
    with pytest.raises(ForeignKeyViolation) as all_moved:
        desk.Ticket.move.bulk(query(desk.Ticket), rep_id=77)

    assert ("Ticket.rep", False) == reported(one.value)
    assert ("rep_id",) == one.value.fields
    assert [("Ticket.coded", False)] * 2 == [reported(other.value), reported(moved.value)]
    assert [(1, "Ticket.rep"), (2, "Ticket.coded")] == [(each.index, each.error.relationship) for each in bulk.failures]
    assert ("Ticket.rep", False) == reported(all_moved.value)
    assert [(1, 3), (2, 3), (3, None), (7, 1)] == [(each.id, each.rep_id) for each in query(desk.Ticket).sort("id").all()]
    assert reported(one.value) == reported(pickle.loads(pickle.dumps(one.value)))  # of this process


def test_restrict_refuses_to_remove_what_is_referred_to(any_layer):
    """A destroy, single or bulk, and a change of the values that a key refers to are refused, and leave all as it was."""
    desk = desk_on(any_layer)
    desk.Ticket.move(3, code="a")

    with pytest.raises(ForeignKeyViolation, match=r"Rep\.fire: another record refers to it \(Ticket\.rep\)") as one:
        desk.Rep.fire(3)
    with pytest.raises(ForeignKeyViolation) as several:
        desk.Rep.fire.bulk(query(desk.Rep).filter(desk.Rep.id > 1))
    with pytest.raises(ForeignKeyViolation) as changed:
        desk.Rep.change(1, code="b")
    desk.Rep.fire(2)

    assert [("Ticket.rep", True), ("Ticket.rep", True), ("Ticket.coded", True)] == [
        reported(each.value) for each in (one, several, changed)
    ]
    assert [1, 3] == [each.id for each in query(desk.Rep).sort("id").all()]


def test_cascade_removes_what_refers_to_a_removed_record(any_layer):
    """Tickets go with their representative; a note that restricts one of them refuses all of it, and is named."""
    desk = desk_on(any_layer, "cascade")
    desk.Note.write(id=1, ticket_id=2)

    with pytest.raises(ForeignKeyViolation) as refused:
        desk.Rep.fire(3)
    before = [each.id for each in query(desk.Ticket).sort("id").all()]
    desk.Note.wipe(1)
    desk.Rep.fire(3)

    assert ("Note.ticket", True) == reported(refused.value)
    assert [1, 2, 3] == before
    assert [3] == [each.id for each in query(desk.Ticket).all()]


def test_nullify_empties_keys_that_refer_to_a_removed_record(any_layer):
    """Tickets stay without a representative, also after a removal in bulk."""
    desk = desk_on(any_layer, "nullify")
    desk.Ticket.move(3, rep_id=2)

    desk.Rep.fire.bulk(query(desk.Rep).filter(desk.Rep.id > 1))

    assert [(1, None), (2, None), (3, None)] == [(each.id, each.rep_id) for each in query(desk.Ticket).sort("id").all()]


def test_a_refused_write_in_a_transaction_leaves_the_rest_of_it(any_layer):
    """The transaction goes on after a refused write; what it wrote before and after stays, on the async side as well."""
    desk = desk_on(any_layer)

    async def work() -> None:
        async with transaction(desk.Rep):
            await desk.Ticket.submit.aio(id=7, rep_id=1)
            with pytest.raises(ForeignKeyViolation):
                await desk.Rep.fire.aio(1)
            with pytest.raises(ForeignKeyViolation):
                await desk.Ticket.submit.aio(id=8, rep_id=77)
            await desk.Ticket.close.aio(7)

    asyncio.run(work())

    assert [1, 2, 3] == [each.id for each in query(desk.Ticket).sort("id").all()]
    assert [1, 2, 3] == [each.id for each in query(desk.Rep).sort("id").all()]


def test_a_record_may_refer_to_itself_and_goes_with_those_that_refer_to_it(any_layer):
    """A tree takes its nodes, and a cascade removes all below a node."""
    domain = Domain("tree")

    class Node(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        parent_id: Attr[int | None] = attribute(default=None)
        parent: One[Node | None] = belongs_to("parent_id", to=lambda: Node, on_delete="cascade")
        add = create(accept=["id", "parent_id"])
        cut = destroy()

    domain.create_storage()
    Node.add(id=1, parent_id=1)
    Node.add.bulk([{"id": 2, "parent_id": 1}, {"id": 3, "parent_id": 2}, {"id": 4}, {"id": 5, "parent_id": 6}])
    with pytest.raises(ForeignKeyViolation):
        Node.add(id=9, parent_id=8)
    Node.cut(1)

    assert [4] == [each.id for each in query(Node).all()]


def test_a_circle_with_a_key_that_may_be_none_is_created(any_layer):
    """Two resources that refer to each other get their storage, and both keys are kept."""
    domain = Domain("team")

    class Team(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        lead_id: Attr[int | None] = attribute(default=None)
        lead: One[Person | None] = belongs_to("lead_id", to=lambda: Person)
        found = create(accept=["id"])
        promote = update(accept=["lead_id"])

    class Person(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        team_id: Attr[int] = attribute()
        team: One[Team] = belongs_to("team_id", to=lambda: Team)
        join = create(accept=["id", "team_id"])

    domain.create_storage()
    Team.found(id=1)
    Person.join(id=1, team_id=1)
    Team.promote(1, lead_id=1)
    with pytest.raises(ForeignKeyViolation) as one:
        Team.promote(1, lead_id=2)
    with pytest.raises(ForeignKeyViolation) as other:
        Person.join(id=2, team_id=2)

    assert ["Team.lead", "Person.team"] == [one.value.relationship, other.value.relationship]


def test_a_transaction_in_memory_does_not_keep_a_record_that_another_one_has_removed():
    """Of a removal and a reference that are made at the same time, the later commit is given up."""
    desk = desk_on(Memory)

    def run() -> None:
        with transaction(desk.Rep):
            desk.Ticket.submit(id=9, rep_id=1)
            outside.submit(lambda: desk.Rep.fire.bulk(query(desk.Rep).filter(desk.Rep.id < 3))).result()

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as outside, pytest.raises(SerializationFailure):
        run()

    assert [1, 2, 3] == [each.id for each in query(desk.Ticket).sort("id").all()]


def pair_on(one: Any, other: Any, **options: Any) -> Any:
    """Declare an owner and a thing that refers to it, with these options of the key."""
    domain = Domain("pair")

    class Owner(Resource, domain=domain, data_layer=one):
        id: Attr[int] = attribute(primary_key=True)
        number: Attr[int] = attribute()
        drop = destroy()

    class Thing(Resource, domain=domain, data_layer=other, notifiers=options.pop("notifiers", [])):
        id: Attr[int] = attribute(primary_key=True)
        owner_id: Attr[int] = attribute()
        owner: One[Owner] = belongs_to("owner_id", to=lambda: Owner, **options)
        drop = destroy(soft=options.get("on_delete") == "cascade")

    return domain


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        ({"on_delete": "nullify"}, "RK097", "owner_id must not be None"),
        ({"on_delete": "cascade"}, "RK097", "its action drop keeps them in an archive"),
        ({"on_delete": "cascade", "notifiers": [print]}, "RK097", "its notifiers would not learn of it"),
        ({"to_field": "number"}, "RK096", "several records of Owner may have one number"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(options, code, what):
    """Sealing names the relationship, what is wrong with its rule, and what to write."""
    with pytest.raises(DeclarationError, match=what) as refused:
        pair_on(Memory(), Memory(), **options).seal()

    assert code == refused.value.code
    assert ("relationships", "owner") == refused.value.path


def test_a_rule_across_stores_must_be_nothing(tmp_path):
    """Two databases, and stores without foreign keys, keep no rule; on_delete="nothing" is accepted. A test may move one."""
    file = SQL(f"sqlite:///{tmp_path}/a.db")
    for one, other in ((Memory(), file), (SQL(f"sqlite:///{tmp_path}/b.db"), file), (Redis("redis://h/", tag="a"),) * 2):
        with pytest.raises(DeclarationError, match=r'RK096.*Write on_delete="nothing"'):
            pair_on(one, other).seal()
        pair_on(one, other, on_delete="nothing").seal()
    domain = pair_on(file, file)
    with in_memory(domain.resources[0]):
        domain.seal()
    domain.seal()

    with pytest.raises(DeclarationError, match="option 'on_delete' must be"):
        belongs_to("owner_id", on_delete="remove")
