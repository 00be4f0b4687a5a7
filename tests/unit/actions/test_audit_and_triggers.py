"""The extensions that the how-to describes: an audit trail that is last and atomic, and triggers that run actions on due records."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import attrs
import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Resource,
    attribute,
    create,
    increment,
    query,
    transaction,
    update,
    uuid7,
)
from resourcekit.data_layers import SQL
from resourcekit.extending import (
    Capability,
    Change,
    Entity,
    Extension,
    Field,
    Origin,
    Service,
    ServiceContext,
    State,
    Transformer,
    UpdateAction,
    named,
    option,
    resolve,
)
from resourcekit.supervisor import Supervisor


@attrs.frozen
class Record(Change):
    """Writes an entry with the count before and after, in the transaction of the write."""

    log: Any

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        return changeset.after_action(self.written)

    def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        return changeset.after_action(self.written)

    async def written(self, changeset: Changeset, outcome: Any, context: Context) -> None:
        before: Any = changeset.record
        await resolve(self.log()).write.aio(before=before.count, after=outcome.count)


class RecordAll(Transformer):
    """Audits the updates of all extensions."""

    phase = "last"

    def transform(self, state: State, options: Any) -> State:
        for action in state.all_of(UpdateAction).values():
            state = state.replace(attrs.evolve(action, changes=(*action.changes, Record(options.log))))
        return state


@attrs.frozen(kw_only=True)
class Audit(Extension):
    """The audit trail."""

    transformers: ClassVar[tuple[type[Transformer], ...]] = (RecordAll,)
    log: Any = option()


class AddBump(Transformer):
    """Adds an update, in the normal phase."""

    def transform(self, state: State, options: object) -> State:
        return state.add(named("bump", update(changes=[increment("count")])))


@attrs.frozen(kw_only=True)
class Bumping(Extension):
    """An extension with an action of its own."""

    transformers: ClassVar[tuple[type[Transformer], ...]] = (AddBump,)


@attrs.frozen(kw_only=True, eq=False)
class Trigger(Entity):
    """Runs an action on due records."""

    section: ClassVar[str] = "triggers"
    action: str = option()
    when: Any = option()


class Pull(Service):
    """Runs one trigger."""

    name = "trigger"
    each = Trigger
    once_per_fleet = True
    needs = frozenset({Capability.LEASE})

    def interval(self, options: object) -> timedelta:
        return timedelta(minutes=1)

    async def run(self, context: ServiceContext) -> int:
        action = getattr(context.resource, context.entity.action)
        done = await action.bulk.aio(query(context.resource).filter(context.entity.when), strategy="stream")
        count: int = done.count
        return count


@attrs.frozen(kw_only=True)
class Triggers(Extension):
    """Brings triggers."""

    entities: ClassVar[tuple[type[Entity], ...]] = (Trigger,)
    services: ClassVar[tuple[type[Service], ...]] = (Pull,)


@pytest.fixture
def declared(tmp_path) -> tuple[Any, Any]:
    """A counter with an audit trail that is named before the extension whose action it audits, and the entries."""
    url, domain = f"sqlite:///{tmp_path}/audit.db", Domain("audit")

    class Entry(Resource, domain=domain, data_layer=SQL(url, table="entries")):
        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        before: Attr[int] = attribute()
        after: Attr[int] = attribute()
        write = create(accept=["before", "after"])

    extensions = [Audit(log=lambda: Entry), Bumping, Triggers]

    class Counter(Resource, domain=domain, data_layer=SQL(url, table="counters"), extensions=extensions):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        make = create(accept=["id", "count"])
        bumping = Trigger(action="bump", when=Field("count") < 5, origin=Origin.here())

    domain.create_storage()
    return Counter, Entry


def test_no_update_is_lost_under_an_audit_trail(declared) -> None:
    """Concurrent increments of another extension's action all count, and each has an entry with its own old state."""
    counter, entry = declared
    counter.make(id=1)
    threads = [threading.Thread(target=lambda: [counter.bump(1) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 40 == query(counter).one().count
    assert [(count, count + 1) for count in range(40)] == sorted((each.before, each.after) for each in query(entry).all())


def test_an_entry_goes_with_the_write_that_is_rolled_back(declared) -> None:
    """The audit trail holds only what was committed."""
    counter, entry = declared
    counter.make(id=1)
    with pytest.raises(KeyError), transaction(counter):
        counter.bump(1)
        raise KeyError

    assert (0, 0) == (query(counter).one().count, query(entry).count())


def test_a_trigger_runs_its_action_on_due_records_only(declared) -> None:
    """The service writes through the action, so the audit trail sees it."""
    counter, entry = declared
    counter.make(id=1)
    counter.make(id=2, count=9)

    assert {"trigger.bumping": 1} == Supervisor(counter).run_now(counter)
    assert [1, 9] == sorted(each.count for each in query(counter).all())
    assert [(0, 1)] == [(each.before, each.after) for each in query(entry).all()]
