"""Runs one action on many inputs or records, with honest counts: what is not written is a failure by index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from resourcekit.data_layers.base import Delete, UnsupportedExpression, Update
from resourcekit.declarations.change import BatchChange
from resourcekit.declarations.value_type import Kind
from resourcekit.engine.change import ChangeRunner
from resourcekit.engine.create import CreateRunner, placed
from resourcekit.engine.grouping import Entry, grouped
from resourcekit.engine.notify import notify_after_commit
from resourcekit.engine.read import fetch_all, read_named
from resourcekit.engine.runtime import Runtime
from resourcekit.engine.steps import apply_changes, settled
from resourcekit.errors import DataLayerError, Invalid, InvalidArgument
from resourcekit.flow.changeset import NO_HOOKS, Changeset
from resourcekit.flow.clock import utc_now
from resourcekit.flow.context import Context
from resourcekit.flow.expression import Compare, Expression, Field, Sort, Value, all_of, any_of
from resourcekit.flow.query import Query
from resourcekit.flow.result import BulkFailure, BulkResult, Outcome, WriteResult
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

    @contextmanager
    def failing(self, index: int) -> Generator[None]:
        """Note what is raised inside as the failure of one input: that error it would have raised alone."""
        try:
            yield
        except Exception as error:  # see above
            self.failures.append(BulkFailure(index, error))

    def has_failed(self, index: int) -> bool:
        """Tell whether an input failed."""
        return any(failure.index == index for failure in reversed(self.failures))

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
    """Create many records in batches, each batch by one statement and in one transaction, if its inputs are of one kind.

    Upserts of which different attributes came, or that compute from different values, are so many statements. What is written
    twice is written in the order of the inputs. An input that is wrong, or that hits an identity, is a failure of its own; the others of its batch are written. A
    store that fails takes the rest of the input along, as failures, unless a transaction is open: then it raises.
    """
    if type(batch_size) is not int or batch_size < 1:
        raise InvalidArgument(f"batch_size must be a whole number from 1 on, not {batch_size!r}", **_place(runner))
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
        raise InvalidArgument(f"takes several mappings of inputs, not a {type(rows).__name__}", **_place(runner))
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
    entries: list[Entry] = []
    moment = utc_now()
    for index, changeset in await _prepared(runner, batch, tally, context):
        with tally.failing(index):
            entries.append(Entry(index, runner.row(changeset), *runner.plan(changeset, moment)))
    store = runner.runtime.store
    try:
        for group in grouped(runner.runtime.info, entries):
            written = await store.insert(group.plan, [entry.row for entry in group.entries], group.params)
            indexes = [entry.index for entry in group.entries]
            await _count(runner, written, indexes, tally, context, return_records=return_records)
    except DataLayerError as error:
        if store.current_transaction() is not None:
            raise
        return error
    return None


async def _prepared(
    runner: CreateRunner, batch: Sequence[tuple[int, Mapping[str, Any]]], tally: _Tally, context: Context
) -> list[tuple[int, Changeset]]:
    """Run changes and validations; inputs with hooks of their own are created one by one right here."""
    changesets: dict[int, Changeset] = {}
    for index, given in batch:
        with tally.failing(index):
            if not isinstance(given, Mapping):
                raise Invalid(f"must be a mapping of inputs, is {type(given).__name__}", **_place(runner))
            changesets[index] = runner.bind(given)
    await _apply_changes(runner, changesets, tally, context)
    ready: list[tuple[int, Changeset]] = []
    for index, changeset in changesets.items():
        with tally.failing(index):
            valid = await runner.validated(changeset, context)
            if valid.hooks is NO_HOOKS and not runner.action.transaction:
                ready.append((index, valid))
                continue
            record = await runner.write(valid, context)
            tally.count += 1
            tally.records.append((index, record))
    return ready


async def _apply_changes(runner: CreateRunner, changesets: dict[int, Changeset], tally: _Tally, context: Context) -> None:
    """Run the changes in their order, each over all inputs; one that serves many at once gets them together."""
    for change in runner.changes:
        indexes = list(changesets)
        owner = getattr(change, "__self__", None)
        if isinstance(owner, BatchChange):
            changed = await settled(owner.batch([changesets[index] for index in indexes], context))
            changesets.update(zip(indexes, changed, strict=True))
            continue
        for index in indexes:
            with tally.failing(index):
                changesets[index] = await apply_changes(changesets[index], [change], context)
            if tally.has_failed(index):
                del changesets[index]


async def _count(
    runner: CreateRunner, written: Any, indexes: list[int], tally: _Tally, context: Context, *, return_records: bool
) -> None:
    tally.count += written.count
    for failure in written.failures:
        error = placed(failure.error, runner.runtime.info.name, runner.action.name)
        tally.failures.append(BulkFailure(indexes[failure.index], error))
    stored = [
        index for index, outcome in zip(indexes, written.outcomes, strict=True) if outcome in (Outcome.INSERTED, Outcome.UPDATED)
    ]
    for index, row in zip(stored, written.rows, strict=False):
        if return_records or runner.notifiers:
            record = runner.runtime.record(row)
            if return_records:
                tally.records.append((index, record))
            await _notify(runner, record, context)


async def _notify(runner: CreateRunner | ChangeRunner, record: Any, context: Context) -> None:
    if runner.notifiers:
        runtime = runner.runtime
        await notify_after_commit(runtime.store, runner.notifiers, runtime.resource, runner.action, record, context)


async def bulk_change(
    runner: ChangeRunner,
    target: Query[Any] | Iterable[Any],
    given: Mapping[str, Any],
    context: Context,
    *,
    strategy: Literal["atomic", "stream"] | None,
) -> BulkResult[Any]:
    """Write to all records of a query, or to the records (or keys) that are given.

    strategy: ``"atomic"`` is one statement for all records of a query, and what a query is written by unless said;
    refused (InvalidArgument) where a step must read first or the query has a limit. ``"stream"`` reads pages of 500 in
    the order of the key and writes record by record, each by itself; what fails is told by its place in that order.
    Given records are always written so.
    """
    where = _place(runner)
    if strategy not in ("atomic", "stream", None):
        raise InvalidArgument(f"strategy is 'atomic' or 'stream', not {strategy!r}", **where)
    runner.bind(given)  # a wrong input is wrong for all of them
    if not isinstance(target, Query):
        if isinstance(target, (str, bytes)) or not isinstance(target, Iterable):
            raise InvalidArgument(f"takes a query or records, not {type(target).__name__}", **where)
        if strategy == "atomic":
            raise InvalidArgument("one statement needs a query; given records are written with strategy='stream'", **where)
        return await _change_each(runner, _each(target), given, context)
    if (resource := getattr(target, "resource", None)) is not None and resource is not runner.runtime.resource:
        raise InvalidArgument(f"got a query over {resource.__name__}", **where)
    query = await read_named(runner.runtime, runner.action.finds_with).prepare(target, {}, context)
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
        except DataLayerError as error:
            if runner.runtime.store.current_transaction() is not None:
                raise
            tally.failures.append(BulkFailure(index, error))
        except Exception as error:  # of this record only: it would have been raised had the record been written alone
            tally.failures.append(BulkFailure(index, error))
        index += 1
    return tally.result()


async def _pages(runtime: Runtime, query: Query[Any]) -> AsyncIterator[Any]:
    """Yield records in the order of the key, a page at a time, so that writing to them never disturbs the reading."""
    is_bounded = query.order or query.row_limit is not None or query.row_offset
    # Members of an enum can be sorted by, and not be compared with: such a key has no "after this one".
    if is_bounded or any(runtime.info.attributes[name].type.kind is Kind.ENUM for name in runtime.key):
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
    _require_atomic(runner, query)
    try:
        result = await _write_at_once(runner, query, await runner.atomic(runner.bind(given), context))
    except UnsupportedExpression as error:
        raise _not_at_once(runner, f"the data layer cannot compute it ({error})") from None
    except Invalid as error:
        raise placed(error, runner.runtime.info.name, runner.action.name) from None
    for row in result.rows:
        await _notify(runner, runner.runtime.record(row), context)
    return BulkResult(result.count)


async def _write_at_once(runner: ChangeRunner, query: Query[Any], ready: Changeset) -> WriteResult:
    if ready.condition is not None:
        raise _not_at_once(runner, "the limits of an attribute must tell which record they refuse")
    shaper, returning = Shaper(), bool(runner.notifiers)
    condition, shape = runner.runtime.shape(shaper, query.condition)
    if runner.removes:
        plan = runner.runtime.plan(("delete all", shape, returning), lambda: Delete(condition, returning=returning))
        return await runner.runtime.store.delete(plan, shaper.params)
    assignments, names = runner.assignments(ready, shaper)
    key = ("update all", shape, names, returning)
    plan = runner.runtime.plan(key, lambda: Update(condition, assignments, returning=returning))
    return await runner.runtime.store.update(plan, shaper.params)


def _require_atomic(runner: ChangeRunner, query: Query[Any]) -> None:
    if not runner.is_atomic:
        raise _not_at_once(runner, "a change or validation has no atomic form")
    if runner.action.validations:
        raise _not_at_once(runner, "its validations must tell which record they refuse")
    if query.row_limit is not None or query.row_offset:
        raise _not_at_once(runner, "the query has a limit or an offset")
    if runner.action.transaction:
        raise _not_at_once(runner, "the action asks for a transaction of its own")


def _not_at_once(runner: ChangeRunner, reason: str) -> InvalidArgument:
    return InvalidArgument(f"cannot run as one statement: {reason}; say strategy='stream'", **_place(runner))


def _place(runner: CreateRunner | ChangeRunner) -> dict[str, str]:
    """Return what every error of an action says of its place."""
    return {"resource": runner.runtime.info.name, "action": runner.action.name}
