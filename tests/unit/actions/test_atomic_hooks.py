"""Changes that are atomic and also have hooks and conditions, on every layer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Resource,
    attribute,
    create,
    destroy,
    get,
    increment,
    query,
    transaction,
    update,
    uuid7,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Invalid, InvalidArgument, NotFound, SerializationFailure, StaleRecord
from resourcekit.extending import Change, Field
from tests.conftest import SERVERS
from tests.support.databases import scratch

PATIENCE = timedelta(minutes=2)
"""How long a call may take on a machine that is busy with other tests."""

seen: list[int] = []
olds: list[tuple[int, int]] = []
ends: list[str] = []


class Audited(Change):
    """Notes each number that was written."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add the hook."""
        return changeset.after_action(note).after_transaction(note_end)

    def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        """Add the hook; nothing must be read first."""
        return self.change(changeset, context)


class Traced(Change):
    """Notes the old and the new number before and after the write."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add the hooks."""
        return changeset.before_action(note_before).after_action(note_after)

    atomic = change


def note_before(changeset: Changeset, _context: Context) -> None:
    """Keep the number before the write."""
    olds.append((changeset.record.count, changeset.record.count))


def note_after(changeset: Changeset, record: Any, _context: Context) -> None:
    """Keep both numbers."""
    olds.append((changeset.record.count, record.count))


class Followed(Change):
    """Notes the old and the new number after the write."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add the hook."""
        return changeset.after_action(note_after)

    atomic = change


def note_end(_changeset: Changeset, outcome: Any, _context: Context) -> None:
    """Keep the number that was committed, or the name of the error."""
    ends.append(type(outcome).__name__ if isinstance(outcome, BaseException) else str(outcome.count))


class Below(Change):
    """Writes only while the number is small."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add the condition."""
        return changeset.where(Field("count") < 3)

    def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        """Add the condition to the statement."""
        return self.change(changeset, context)


class Refused(Below):
    """Refuses each write."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Reject the changeset."""
        return changeset.reject("count", "is closed")


def note(_changeset: Changeset, record: Any, _context: Context) -> None:
    """Keep what was written."""
    if record.count == 13:
        raise LookupError("unlucky")
    seen.append(record.count)


@pytest.fixture
def counter(layer: Callable[[], Any]) -> Any:
    """A counter with an audited increment."""
    seen.clear()
    domain = Domain("counters")

    class Counter(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        put = create(accept=["id", "count"])
        bump = update(changes=[Audited(), increment("count")], require_atomic=True)
        guarded = update(changes=[increment("count"), Below(), Audited()], require_atomic=True)
        closed = update(changes=[Refused(), increment("count")], require_atomic=True)
        traced = update(changes=[increment("count"), Traced()], require_atomic=True)
        followed = update(changes=[increment("count"), Followed()], require_atomic=True)
        remove = destroy(changes=[Traced()], require_atomic=True)
        forget = destroy(changes=[Followed()], require_atomic=True)

    domain.create_storage()
    return Counter


def test_an_audited_increment_loses_nothing_over_a_stale_record(counter: Any) -> None:
    """The hook does not turn the statement into a read and a comparison."""
    old = counter.put(id=1)

    for _ in range(3):
        counter.bump(old)

    assert 3 == get(counter, 1).count
    assert [1, 2, 3] == seen


def test_a_hook_that_fails_takes_the_write_back(counter: Any) -> None:
    """Statement and hook are one transaction."""
    counter.put(id=1, count=12)

    with pytest.raises(LookupError, match="unlucky"):
        counter.bump(1)

    assert 12 == get(counter, 1).count


def test_a_condition_of_a_change_is_part_of_the_statement(counter: Any) -> None:
    """It is compared with the stored record, and no hook runs if it does not hold."""
    old = counter.put(id=1, count=2)
    counter.guarded(old)

    with pytest.raises(StaleRecord):
        counter.guarded(old)

    assert 3 == get(counter, 1).count
    assert [3] == seen


def test_what_a_change_rejects_is_not_written(counter: Any) -> None:
    """A finding refuses the statement."""
    counter.put(id=1)

    with pytest.raises(Invalid, match="is closed"):
        counter.closed(1)

    assert 0 == get(counter, 1).count


def test_one_statement_for_many_runs_hooks_for_each_record(counter: Any) -> None:
    """The statement writes all records; then the hooks run in the order of the keys, each with the old state of its record."""
    for number in (3, 1, 2):
        counter.put(id=number, count=number * 10)
    olds.clear()

    result = counter.followed.bulk(query(counter).filter(counter.id > 1), return_records=True)
    unseen = counter.followed.bulk(query(counter).filter(counter.id == 1))

    assert [(20, 21), (30, 31), (10, 11)] == olds
    assert (2, [(2, 21), (3, 31)]) == (result.count, [(each.id, each.count) for each in result.records])
    assert (1, ()) == (unseen.count, unseen.records)
    assert 0 == counter.followed.bulk(query(counter).filter(counter.id > 9)).count


def test_a_hook_that_fails_takes_the_whole_statement_back(counter: Any) -> None:
    """Statement and hooks are one transaction; hooks after it get the error, once for each record."""
    counter.put(id=1)
    counter.put(id=2, count=12)
    seen.clear()
    ends.clear()

    with pytest.raises(LookupError, match="unlucky"):
        counter.bump.bulk(query(counter))

    assert [0, 12] == [each.count for each in query(counter).sort("id").all()]
    assert [1] == seen
    assert ["LookupError", "LookupError"] == ends


def test_hooks_after_the_transaction_of_one_statement_get_the_records(counter: Any) -> None:
    """They run once for each record, after the commit; inside of a transaction after its end."""
    counter.put(id=1)
    counter.put(id=2)
    ends.clear()

    counter.bump.bulk(query(counter))
    with transaction(counter):
        counter.bump.bulk(query(counter))
        assert ["1", "1"] == ends

    assert ["1", "1", "2", "2"] == ends


def test_a_bulk_destroy_runs_hooks_with_the_last_state(counter: Any) -> None:
    """The hook finds what was removed."""
    counter.put(id=1, count=4)
    counter.put(id=2, count=5)
    olds.clear()

    assert 2 == counter.forget.bulk(query(counter)).count
    assert [(4, 4), (5, 5)] == olds
    assert 0 == query(counter).count()


def test_one_statement_for_many_refuses_hooks_before_the_write(counter: Any) -> None:
    """They may change what is written to one record, which one statement cannot do; record by record they run."""
    counter.put(id=1)
    olds.clear()

    with pytest.raises(InvalidArgument, match=r"hooks before the write.*strategy='stream'"):
        counter.traced.bulk(query(counter))
    counter.traced.bulk(query(counter), strategy="stream")

    assert [(0, 0), (0, 1)] == olds


def test_hooks_find_the_old_state(counter: Any) -> None:
    """The record of the changeset is the stored one, not the one that the caller holds."""
    old = counter.put(id=1)
    counter.bump(old)
    olds.clear()

    counter.traced(old)

    assert [(1, 1), (1, 2)] == olds


def test_a_destroy_may_have_a_hook_and_stay_one_statement(counter: Any) -> None:
    """A record that was changed meanwhile is removed; the hook finds its last state."""
    old = counter.put(id=1)
    counter.bump(old)
    olds.clear()

    counter.remove(old)

    assert [(1, 1), (1, 1)] == olds
    assert 0 == query(counter).count()


def test_hooks_of_a_record_that_is_gone_do_not_run(counter: Any) -> None:
    """The read before the first hook finds that there is no record."""
    olds.clear()

    with pytest.raises(NotFound):
        counter.traced(13)

    assert [] == olds


@pytest.mark.parametrize("place", ["sqlite", *SERVERS])
def test_no_increment_under_an_audit_is_lost(place: str, tmp_path: Path) -> None:
    """Threads that increment one record under hooks wait for each other, and each hook sees its own step."""
    domain, seen = Domain("races"), list[tuple[int, int]]()

    class Trail(Change):
        def change(self, changeset: Changeset, context: Context) -> Changeset:
            return changeset.after_action(lambda done, record, _: seen.append((done.record.count, record.count)))

        atomic = change

    with scratch(place, tmp_path) as database:

        class Counter(Resource, domain=domain, data_layer=SQL(database.url, table="counter")):
            id: Attr[int] = attribute(primary_key=True)
            count: Attr[int] = attribute(default=0)
            put = create(accept=["id"])
            bump = update(changes=[increment("count"), Trail()])

        domain.create_storage()
        given = Counter.put(id=1)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: Counter.bump(given), range(20)))

        assert [(number, number + 1) for number in range(20)] == sorted(seen)
        assert 20 == get(Counter, 1).count


def test_two_hundred_audited_increments_from_threads_are_kept(every_layer: Callable[[], Any]) -> None:
    """On layers with row locks they wait; on the others the write is run again. The trail has one record for each of them.

    On Valkey, two resources are in two transactions, so that the trail may also have records of attempts that were rolled back.
    """
    domain = Domain("audited")

    class Trail(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        old: Attr[int]
        new: Attr[int]
        write = create(accept=["old", "new"])

    class Recorded(Change):
        def change(self, changeset: Changeset, context: Context) -> Changeset:
            return changeset.after_action(record_step)

        atomic = change

    async def record_step(done: Changeset, record: Any, _context: Context) -> None:
        await Trail.write.aio(old=done.record.count, new=record.count)

    class Counter(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        put = create(accept=["id"])
        bump = update(changes=[increment("count"), Recorded()], require_atomic=True)

    domain.create_storage()
    given = Counter.put(id=1)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: Counter.bump.using(deadline=PATIENCE)(given), range(200)))

    assert 200 == get(Counter, 1).count
    expected, trail = [(number, number + 1) for number in range(200)], sorted((each.old, each.new) for each in query(Trail).all())
    assert expected == (trail if Trail.__runtime__.store.group == Counter.__runtime__.store.group else sorted(set(trail)))


def test_an_audited_increment_in_the_caller_s_transaction_is_not_run_again() -> None:
    """The caller's transaction must be run again as a whole, so the conflict is raised."""
    domain = Domain("callers")

    class Counter(Resource, domain=domain, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        put = create(accept=["id"])
        bump = update(changes=[increment("count"), Audited()])

    given = Counter.put(id=1)
    with pytest.raises(SerializationFailure), transaction(Counter):
        Counter.bump(given)
        ThreadPoolExecutor(1).submit(Counter.bump, given).result()

    assert (1, [1, 1]) == (get(Counter, 1).count, seen[-2:])
