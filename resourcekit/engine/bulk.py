"""Runs one action on many inputs or records, with honest counts: what is not written is a failure by index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Literal

from resourcekit.data_layers.base import Delete, Update
from resourcekit.declarations.change import BatchChange
from resourcekit.engine.change import ChangeRunner
from resourcekit.engine.create import CreateRunner
from resourcekit.engine.notify import notify_after_commit
from resourcekit.engine.read import fetch_all, read_named
from resourcekit.engine.runtime import Runtime
from resourcekit.errors import DataLayerError, Invalid, InvalidArgument
from resourcekit.flow.changeset import Changeset
from resourcekit.flow.context import Context
from resourcekit.flow.expression import Compare, Expression, Field, Sort, Value, all_of, any_of
from resourcekit.flow.query import Query
from resourcekit.flow.result import BulkFailure, BulkResult, Outcome
from resourcekit.flow.shape import Shaper

__all__ = ["bulk_change", "bulk_create"]

_PAGE = 500
"""Records that a streamed bulk action holds at a time."""


class _Tally:
    """What was done so far."""

    def __init__(self) -> None:
        self.count = 0
        self.records: list[tuple[int, Any]] = []
        self.failures: list[BulkFailure] = []

    def result(self) -> BulkResult[Any]:
        """Return it as the caller gets it, in the order of the input."""
        records = tuple(record for _, record in sorted(self.records, key=lambda pair: pair[0]))
        return BulkResult(self.count, records, tuple(sorted(self.failures, key=lambda failure: failure.index)))


async def bulk_create(
    runner: CreateRunner,
    rows: Iterable[Mapping[str, Any]],
    context: Context,
    *,
    batch_size: int = 1000,
    return_records: bool = True,
) -> BulkResult[Any]:
    """Create many records in batches, each batch in one transaction.

    An input that is wrong, or that hits an identity, is a failure of its own; the others of its batch are written. A
    store that fails takes the rest of the input along, as failures, unless a transaction is open: then it raises.
    """
    if batch_size < 1:
        raise InvalidArgument(f"batch_size must be at least 1, not {batch_size}", resource=runner.runtime.info.name)
    tally, batch, index = _Tally(), list[tuple[int, Mapping[str, Any]]](), -1
    broken: DataLayerError | None = None
    for index, row in enumerate(rows):
        batch.append((index, row))
        if len(batch) == batch_size:
            broken = broken or await _create_batch(runner, batch, tally, context, return_records=return_records)
            _fail_rest(broken, batch, tally)
            batch = []
    if batch:
        broken = broken or await _create_batch(runner, batch, tally, context, return_records=return_records)
        _fail_rest(broken, batch, tally)
    return tally.result()


def _fail_rest(broken: DataLayerError | None, batch: Sequence[tuple[int, Any]], tally: _Tally) -> None:
    if broken is not None:
        known = {failure.index for failure in tally.failures}
        tally.failures.extend(BulkFailure(index, broken) for index, _ in batch if index not in known)


async def _create_batch(
    runner: CreateRunner, batch: Sequence[tuple[int, Mapping[str, Any]]], tally: _Tally, context: Context, *, return_records: bool
) -> DataLayerError | None:
    ready = await _prepared(runner, batch, tally, context)
    groups: dict[int, tuple[Any, Any, list[tuple[int, dict[str, Any]]]]] = {}
    for index, changeset in ready:
        try:
            row = runner.row(changeset)
        except Invalid as error:
            tally.failures.append(BulkFailure(index, error))
            continue
        plan, params = runner.plan(changeset)
        groups.setdefault(id(plan), (plan, params, []))[2].append((index, row))
    store = runner.runtime.store
    try:
        for plan, params, members in groups.values():
            written = await store.insert(plan, [row for _, row in members], params)
            _count(runner, written, [index for index, _ in members], tally, context, return_records=return_records)
    except DataLayerError as error:
        if store.current_transaction() is not None:
            raise
        return error
    return None


async def _prepared(
    runner: CreateRunner, batch: Sequence[tuple[int, Mapping[str, Any]]], tally: _Tally, context: Context
) -> list[tuple[int, Changeset]]:
    """Run changes and validations; inputs with hooks of their own are created one by one right here."""
    ready: list[tuple[int, Changeset]] = []
    for index, given in batch:
        try:
            changeset = await runner.prepare(given, context, batched=True)
            if changeset.hooks == Changeset("create").hooks and not runner.action.transaction:
                ready.append((index, changeset))
                continue
            record = await runner.write(changeset, context)
        except (Invalid, TypeError) as error:
            tally.failures.append(BulkFailure(index, error))
        else:
            tally.count += 1
            tally.records.append((index, record))
    for change in runner.action.changes:
        if isinstance(change, BatchChange) and ready:
            changed = change.batch([changeset for _, changeset in ready], context)
            changesets = await changed if hasattr(changed, "__await__") else changed
            ready = [(index, changeset) for (index, _), changeset in zip(ready, changesets, strict=True)]
    return ready


def _count(
    runner: CreateRunner, written: Any, indexes: list[int], tally: _Tally, context: Context, *, return_records: bool
) -> None:
    tally.count += written.count
    tally.failures.extend(BulkFailure(indexes[failure.index], failure.error) for failure in written.failures)
    stored = [
        index for index, outcome in zip(indexes, written.outcomes, strict=True) if outcome in (Outcome.INSERTED, Outcome.UPDATED)
    ]
    for index, row in zip(stored, written.rows, strict=False):
        if return_records or runner.notifiers:
            record = runner.runtime.record(row)
            if return_records:
                tally.records.append((index, record))
            notify_after_commit(runner.runtime.store, runner.notifiers, runner.runtime.resource, runner.action, record, context)


async def bulk_change(
    runner: ChangeRunner,
    target: Query[Any] | Iterable[Any],
    given: Mapping[str, Any],
    context: Context,
    *,
    strategy: Literal["atomic", "stream"],
) -> BulkResult[Any]:
    """Write to all records of a query.

    strategy: ``"atomic"`` is one statement for all of them, refused (InvalidArgument) where a step must read first or
    the query has an order or a limit. ``"stream"`` reads pages of 500 in the order of the key and writes record by
    record; what fails is told by its place in that order.
    """
    if strategy not in ("atomic", "stream"):
        raise InvalidArgument(f"strategy is 'atomic' or 'stream', not {strategy!r}", resource=runner.runtime.info.name)
    if not isinstance(target, Query):
        return await _change_each(runner, _each(target), given, context)
    query = read_named(runner.runtime, runner.action.finds_with).prepare(target, {}, context)
    if strategy == "stream":
        return await _change_each(runner, _pages(runner.runtime, query), given, context)
    return await _change_at_once(runner, query, given, context)


async def _each(records: Iterable[Any]) -> AsyncIterator[Any]:
    for record in records:
        yield record


async def _change_each(
    runner: ChangeRunner, records: AsyncIterator[Any], given: Mapping[str, Any], context: Context
) -> BulkResult[Any]:
    tally, index = _Tally(), 0
    async for record in records:
        try:
            tally.records.append((index, await runner.run(record, given, context)))
            tally.count += 1
        except (Invalid, DataLayerError) as error:
            if runner.runtime.store.current_transaction() is not None and isinstance(error, DataLayerError):
                raise
            tally.failures.append(BulkFailure(index, error))
        index += 1
    return tally.result()


async def _pages(runtime: Runtime, query: Query[Any]) -> AsyncIterator[Any]:
    """Yield records in the order of the key, a page at a time, so that writing to them never disturbs the reading."""
    if query.order or query.row_limit is not None or query.row_offset:
        for record in await fetch_all(runtime, query):
            yield record
        return
    keys = [Sort(Field(name)) for name in runtime.key]
    last: Any = None
    while True:
        page = query if last is None else query.filter(_beyond(runtime, last))
        records = await fetch_all(runtime, page.sort(*keys).limit(_PAGE))
        for record in records:
            yield record
        if len(records) < _PAGE:
            return
        last = records[-1]


def _beyond(runtime: Runtime, last: Any) -> Expression:
    """Return "comes after this record in the order of the key"."""
    steps: list[Expression] = []
    for position, name in enumerate(runtime.key):
        same = [Compare("==", Field(prior), Value(getattr(last, prior))) for prior in runtime.key[:position]]
        steps.append(all_of(*same, Compare(">", Field(name), Value(getattr(last, name)))))
    return any_of(*steps)


async def _change_at_once(runner: ChangeRunner, query: Query[Any], given: Mapping[str, Any], context: Context) -> BulkResult[Any]:
    changeset = runner.bind(given)
    _require_atomic(runner, query)
    ready = runner.atomic(changeset, context)
    shaper = Shaper()
    condition, shape = shaper.shape(all_of(query.condition, ready.condition))
    if runner.removes:
        plan = runner.runtime.plan(("delete all", shape), lambda: Delete(condition, returning=bool(runner.notifiers)))
        result = await runner.runtime.store.delete(plan, shaper.params)
    else:
        assignments, names = runner.assignments(ready, shaper)
        key = ("update all", shape, names, bool(runner.notifiers))
        plan = runner.runtime.plan(key, lambda: Update(condition, assignments, returning=bool(runner.notifiers)))
        result = await runner.runtime.store.update(plan, shaper.params)
    for row in result.rows:
        record = runner.runtime.record(row)
        notify_after_commit(runner.runtime.store, runner.notifiers, runner.runtime.resource, runner.action, record, context)
    return BulkResult(result.count)


def _require_atomic(runner: ChangeRunner, query: Query[Any]) -> None:
    reason = ""
    if not runner.is_atomic:
        reason = "a change or validation has no atomic form"
    elif runner.action.validations:
        reason = "its validations must tell which record they refuse"
    elif query.order or query.row_limit is not None or query.row_offset:
        reason = "the query has an order, a limit or an offset"
    elif runner.action.transaction:
        reason = "the action asks for a transaction of its own"
    if reason:
        raise InvalidArgument(
            f"cannot run as one statement: {reason}; say strategy='stream'",
            resource=runner.runtime.info.name,
            action=runner.action.name,
        )
