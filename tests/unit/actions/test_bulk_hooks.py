"""Hooks of bulk writes whose records others write at the same time, on every layer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from resourcekit import Attr, Changeset, Context, Domain, Resource, attribute, create, increment, query, update
from resourcekit.extending import Change

PATIENCE = timedelta(minutes=2)
"""How long a call may take on a machine that is busy with other tests."""


@pytest.mark.parametrize("strategy", ["atomic", "stream"])
def test_audited_increments_of_many_records_are_all_kept(every_layer: Callable[[], Any], strategy: str) -> None:
    """Threads that write to the same records at once lose no step, and each hook sees its own."""
    steps: list[tuple[int, int, int]] = []

    class Trail(Change):
        def change(self, changeset: Changeset, context: Context) -> Changeset:
            return changeset.after_transaction(lambda done, record, _: steps.append((record.id, done.record.count, record.count)))

        atomic = change

    class Kept(Trail):
        def change(self, changeset: Changeset, context: Context) -> Changeset:
            return super().change(changeset, context).after_action(lambda done, record, _: None)

        atomic = change

    domain = Domain("many counters")

    class Counter(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        put = create(accept=["id"])
        bump = update(changes=[increment("count"), Kept()])

    domain.create_storage()
    Counter.put.bulk([{"id": number} for number in range(5)])
    with ThreadPoolExecutor(4) as threads:
        found = list(
            threads.map(lambda _: Counter.bump.using(deadline=PATIENCE).bulk(query(Counter), strategy=strategy), range(8))
        )

    assert [[8] * 5, [5] * 8] == [[each.count for each in query(Counter).all()], [each.count for each in found]]
    assert [(number, step, step + 1) for number in range(5) for step in range(8)] == sorted(steps)


@pytest.mark.parametrize("fails_before", [False, True], ids=["committed", "rolled back"])
def test_the_hook_of_one_record_does_not_keep_the_others_from_theirs(every_layer: Callable[[], Any], fails_before: bool) -> None:
    """All records learn of the end of the transaction; the error of the one hook is raised after that."""
    heard: list[int] = []

    def end(done: Changeset, outcome: Any, _: Context) -> None:
        heard.append(done.record.id)
        assert fails_before is isinstance(outcome, RuntimeError)
        if done.record.id == 0:
            raise LookupError("of a hook")

    def note(done: Changeset, record: Any, _: Context) -> None:
        if fails_before:
            raise RuntimeError("of the write")

    class Trail(Change):
        def change(self, changeset: Changeset, context: Context) -> Changeset:
            return changeset.after_action(note).after_transaction(end)

        atomic = change

    domain = Domain("heard")

    class Counter(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        put = create(accept=["id"])
        bump = update(changes=[increment("count"), Trail()])

    domain.create_storage()
    Counter.put.bulk([{"id": number} for number in range(3)])
    with pytest.raises(LookupError, match="of a hook"):
        Counter.bump.bulk(query(Counter))

    assert [0, 1, 2] == heard
    assert [0 if fails_before else 1] * 3 == [each.count for each in query(Counter).all()]
