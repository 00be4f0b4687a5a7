"""Bulk runs of one action over many inputs or records. Every input that is not written becomes a failure with its index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from resourcekit.actions.accumulator import Accumulator
from resourcekit.actions.bulk_at_once import change_at_once, notify, place
from resourcekit.actions.bulk_groups import Entry, grouped
from resourcekit.actions.create import CreateRunner, placed
from resourcekit.actions.read import fetch_all, read_named
from resourcekit.actions.resource_query import found_by
from resourcekit.actions.runtime import Runtime
from resourcekit.actions.steps import apply_changes, run_batch
from resourcekit.actions.update import ChangeRunner
from resourcekit.call_context import Context
from resourcekit.changeset import NO_HOOKS, Changeset
from resourcekit.clock import utc_now
from resourcekit.data_layers.base import Row
from resourcekit.declarations.change import BatchChange
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import DataLayerError, Invalid, InvalidArgument
from resourcekit.expressions.nodes import Compare, Expression, Field, Sort, Value, all_of, any_of
from resourcekit.expressions.query import Query
from resourcekit.results import BulkFailure, BulkResult, Outcome, WriteResult
from resourcekit.signals import require_no_signal

__all__ = ["bulk_change", "bulk_create", "create_prepared"]

_WRITTEN = (Outcome.INSERTED, Outcome.UPDATED)
_PAGE = 500
"""Records per page of a bulk action with ``strategy="stream"``; this bounds its memory."""


async def bulk_create(
    runner: CreateRunner,
    rows: Iterable[Mapping[str, Any]],
    context: Context,
    *,
    batch_size: int = 1000,
    return_records: bool = True,
) -> BulkResult[Any]:
    """Create many records in batches. A batch runs as one statement in one transaction if its inputs are of one kind.

    Upserts whose inputs set different attributes, or compute from different values, need one statement for each kind. Rows with
    the same key are written in the order of the inputs. An invalid input, or one that violates an identity, becomes a failure of its
    own. If the store fails, all inputs from there on become failures; in an open transaction the error of the store is raised.
    """
    if type(batch_size) is not int or batch_size < 1:
        raise InvalidArgument(f"batch_size must be a whole number from 1 on, not {batch_size!r}", **place(runner))
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
        raise InvalidArgument(f"takes several mappings of inputs, not a {type(rows).__name__}", **place(runner))
    accumulator, batch, index = Accumulator(), list[tuple[int, Mapping[str, Any]]](), -1
    broken: DataLayerError | None = None
    for index, row in enumerate(rows):
        batch.append((index, row))
        if len(batch) == batch_size:
            broken = broken or await _create_batch(runner, batch, accumulator, context, return_records=return_records)
            _fail_rest(broken, batch, accumulator)
            batch = []
    if batch:
        broken = broken or await _create_batch(runner, batch, accumulator, context, return_records=return_records)
        _fail_rest(broken, batch, accumulator)
    return accumulator.result()


def _fail_rest(broken: DataLayerError | None, batch: Sequence[tuple[int, Any]], accumulator: Accumulator) -> None:
    if broken is not None:
        known = {failure.index for failure in accumulator.failures}
        accumulator.failures.extend(BulkFailure(index, broken) for index, _ in batch if index not in known)


async def _create_batch(
    runner: CreateRunner,
    batch: Sequence[tuple[int, Mapping[str, Any]]],
    accumulator: Accumulator,
    context: Context,
    *,
    return_records: bool,
) -> DataLayerError | None:
    is_inside = runner.runtime.store.current_transaction() is not None  # asked first: a failure may end it
    try:
        if runner.is_plain:
            await _write_plain(runner, batch, accumulator, return_records=return_records)
            return None
        if await _upsert_plain(runner, batch, accumulator, context, return_records=return_records):
            return None
        ready = await _prepared(runner, batch, accumulator, context)
        await _write_ready(runner, ready, accumulator, context, return_records=return_records)
    except DataLayerError as error:
        if is_inside:
            raise
        return error
    return None


async def _write_plain(
    runner: CreateRunner, batch: Sequence[tuple[int, Any]], accumulator: Accumulator, *, return_records: bool
) -> None:
    """Write the inputs of an action without steps: each becomes a row at once, without a changeset."""
    rows: list[Row] = []
    indexes: list[int] = []
    moment = utc_now()
    for index, given in batch:
        try:
            rows.append(runner.plain_row(_mapping(runner, given), moment))
        except Exception as error:
            require_no_signal(error)
            accumulator.failures.append(BulkFailure(index, error))
        else:
            indexes.append(index)
    written = await runner.insert_plain(rows, returning=return_records)
    _count_failures(runner, written, indexes, accumulator)
    if return_records:
        stored = (index for index, outcome in zip(indexes, written.outcomes, strict=True) if outcome is Outcome.INSERTED)
        accumulator.add_all(stored, map(runner.runtime.record, written.rows))


async def _upsert_plain(
    runner: CreateRunner,
    batch: Sequence[tuple[int, Any]],
    accumulator: Accumulator,
    context: Context,
    *,
    return_records: bool,
) -> bool:
    """Write a batch of an upsert without steps. Return whether its inputs were alike; if not, nothing was written."""
    inputs = [given for _, given in batch]
    written = await runner.upsert_plain(inputs, utc_now(), context, returning=return_records)
    if written is None:
        return False
    _count_failures(runner, written, [index for index, _ in batch], accumulator)
    if return_records:
        stored = [index for (index, _), outcome in zip(batch, written.outcomes, strict=True) if outcome in _WRITTEN]
        accumulator.add_all(stored, map(runner.runtime.record, written.rows))
    return True


def _mapping(runner: CreateRunner, given: Any) -> Mapping[str, Any]:
    if type(given) is dict or isinstance(given, Mapping):
        return given
    raise Invalid(f"must be a mapping of inputs, is {type(given).__name__}", **place(runner))


async def create_prepared(runner: CreateRunner, ready: Sequence[Changeset], context: Context) -> BulkResult[Any]:
    """Write changesets that are ready, inside a transaction. Those without hooks are written by one statement."""
    accumulator = Accumulator()
    await _write_ready(runner, list(enumerate(ready)), accumulator, context, return_records=True)
    return accumulator.result()


async def _write_ready(
    runner: CreateRunner,
    ready: Sequence[tuple[int, Changeset]],
    accumulator: Accumulator,
    context: Context,
    *,
    return_records: bool,
) -> None:
    entries: list[Entry] = []
    visible = await runner.visible(context)
    for index, changeset in ready:
        if changeset.hooks is NO_HOOKS and not runner.action.transaction:
            with accumulator.failing(index):
                row, planned = runner.row(changeset), runner.plan(changeset, visible, context)
                if planned.plan is not None:
                    is_open, is_compared = planned.is_open, runner.is_compared(changeset)
                    entry = Entry(index, row, planned.plan, planned.params, changeset if is_open else None)
                    entries.append(attrs.evolve(entry, compared=changeset) if is_compared else entry)
                    continue
            if accumulator.has_failed(index):
                continue
        # A row that needs its own write comes after all rows before it: the last write of a key must win.
        entries = await _without_unchanged(runner, entries, accumulator, visible, context)
        await _write_entries(runner, entries, accumulator, context, return_records=return_records)
        entries = []
        await _write_alone(runner, index, changeset, accumulator, context)
    entries = await _without_unchanged(runner, entries, accumulator, visible, context)
    await _write_entries(runner, entries, accumulator, context, return_records=return_records)


async def _without_unchanged(
    runner: CreateRunner, entries: list[Entry], accumulator: Accumulator, visible: Expression | None, context: Context
) -> list[Entry]:
    """Return the entries to write. Those that would change nothing are counted, and no notifier gets them."""
    if not any(entry.compared for entry in entries):
        return entries
    try:
        same = await runner.unchanged([(entry.compared, entry.row) for entry in entries], visible, context)
    except TypeError:  # a key that is not hashable
        return entries
    for position, record in same.items():
        accumulator.count += 1
        accumulator.add(entries[position].index, record)
    return [entry for position, entry in enumerate(entries) if position not in same]


async def _write_entries(
    runner: CreateRunner, entries: Sequence[Entry], accumulator: Accumulator, context: Context, *, return_records: bool
) -> None:
    for group in grouped(runner.runtime.info, entries):
        written = await runner.runtime.store.insert(group.plan, [entry.row for entry in group.entries], group.params)
        await _count(runner, written, group.entries, accumulator, context, return_records=return_records)


async def _write_alone(
    runner: CreateRunner, index: int, changeset: Changeset, accumulator: Accumulator, context: Context
) -> None:
    """Write one input with its hooks."""
    with accumulator.failing(index, but=DataLayerError):
        written = await runner.write(changeset, context, may_skip=True)
        if written.outcome != "skipped":
            accumulator.count += 1
            accumulator.add(index, written.record)


async def _prepared(
    runner: CreateRunner, batch: Sequence[tuple[int, Mapping[str, Any]]], accumulator: Accumulator, context: Context
) -> list[tuple[int, Changeset]]:
    """Run changes and validations. Return the changesets that are ready to be written, in the order of the inputs."""
    changesets: dict[int, Changeset] = {}
    moment = utc_now()
    for index, given in batch:
        with accumulator.failing(index):
            changesets[index] = runner.bind(_mapping(runner, given), moment)
    await _apply_changes(runner, changesets, accumulator, context)
    ready: list[tuple[int, Changeset]] = []
    for index, changeset in changesets.items():
        with accumulator.failing(index):
            ready.append((index, await runner.validated(changeset, context)))
    return ready


async def _apply_changes(
    runner: CreateRunner, changesets: dict[int, Changeset], accumulator: Accumulator, context: Context
) -> None:
    """Run the changes in order, each over all inputs. A BatchChange gets all changesets in one call."""
    for change in runner.changes:
        indexes = list(changesets)
        owner = getattr(change, "__self__", None)
        if isinstance(owner, BatchChange):
            changed = await run_batch(owner, [changesets[index] for index in indexes], context)
            changesets.update(zip(indexes, changed, strict=True))
            continue
        for index in indexes:
            with accumulator.failing(index):
                changesets[index] = await apply_changes(changesets[index], [change], context)
            if accumulator.has_failed(index):
                del changesets[index]


def _count_failures(runner: CreateRunner, written: WriteResult, indexes: Sequence[int], accumulator: Accumulator) -> None:
    """Count what was written, and take over the failures. indexes: the input of each row."""
    accumulator.count += written.count
    for failure in written.failures:
        error = placed(failure.error, runner.runtime.info.name, runner.action.name)
        accumulator.failures.append(BulkFailure(indexes[failure.index], error))


async def _count(
    runner: CreateRunner,
    written: WriteResult,
    entries: Sequence[Entry],
    accumulator: Accumulator,
    context: Context,
    *,
    return_records: bool,
) -> None:
    indexes = [entry.index for entry in entries]
    _count_failures(runner, written, indexes, accumulator)
    stored = [index for index, outcome in zip(indexes, written.outcomes, strict=True) if outcome in _WRITTEN]
    for index, row in zip(stored, written.rows, strict=False):
        if return_records or runner.notifiers:
            record = runner.runtime.record(row)
            if return_records:
                accumulator.add(index, record)
            await notify(runner, record, context)
    for entry, outcome in zip(entries, written.outcomes, strict=True):
        if outcome is Outcome.SKIPPED and entry.changeset is not None:  # skipped by the declaration, or to be refused
            await _write_alone(runner, entry.index, entry.changeset, accumulator, context)


async def bulk_change(
    runner: ChangeRunner,
    target: Query[Any] | Iterable[Any],
    given: Mapping[str, Any],
    context: Context,
    *,
    strategy: Literal["atomic", "stream"] | None,
    return_records: bool = False,
) -> BulkResult[Any]:
    """Update or destroy all records of a query, or the given records (or keys).

    strategy: ``"atomic"`` runs one statement for all records of a query; it is the default for a query. It is refused
        (InvalidArgument) if a step must read first, has a hook before the write, or the query has a limit. Hooks after the write
        run for each record in the order of the keys, and find its old state in ``changeset.record``. ``"stream"`` reads pages of 500 records in the
        order of the primary key and writes each record on its own; a failure has the record's index in that order. Given
        records are always written like this.
    return_records: return the records of a query. Given records are always returned, because the caller holds them anyway.
    """
    where = place(runner)
    if strategy not in ("atomic", "stream", None):
        raise InvalidArgument(f"strategy is 'atomic' or 'stream', not {strategy!r}", **where)
    runner.bind(given)  # an invalid input is invalid for all records, so it is refused before any write
    if not isinstance(target, Query):
        if isinstance(target, (str, bytes)) or not isinstance(target, Iterable):
            raise InvalidArgument(f"takes a query or records, not {type(target).__name__}", **where)
        if strategy == "atomic":
            raise InvalidArgument("one statement needs a query; given records are written with strategy='stream'", **where)
        return await _change_each(runner, _each(target), given, context, return_records=True)
    found = await found_by(target, runner.runtime.resource, runner.action.name, context)
    query = await read_named(runner.runtime, runner.action.finds_with).prepare(found, {}, context)
    query = attrs.evolve(query, loads=())  # a write needs no related records
    if strategy == "stream":
        return await _change_each(runner, _pages(runner.runtime, query), given, context, return_records=return_records)
    return await change_at_once(runner, query, given, context, return_records=return_records)


async def _each(records: Iterable[Any]) -> AsyncIterator[Any]:
    for record in records:
        yield record


async def _change_each(
    runner: ChangeRunner, records: AsyncIterator[Any], given: Mapping[str, Any], context: Context, *, return_records: bool
) -> BulkResult[Any]:
    accumulator, index = Accumulator(), 0
    is_inside = runner.runtime.store.current_transaction() is not None  # asked first: a failure may end it
    async for record in records:
        try:
            written = await runner.run(record, given, context)
            accumulator.count += 1
            if return_records:
                accumulator.add(index, written)
        except DataLayerError as error:
            if is_inside:
                raise
            accumulator.failures.append(BulkFailure(index, error))
        except Exception as error:  # concerns this record only: written on its own, it would raise this
            require_no_signal(error)
            accumulator.failures.append(BulkFailure(index, error))
        index += 1
    return accumulator.result()


async def _pages(runtime: Runtime, query: Query[Any]) -> AsyncIterator[Any]:
    """Yield records in the order of the primary key, one page at a time. Writing to the yielded records does not disturb the
    reads.
    """
    is_bounded = query.order or query.row_limit is not None or query.row_offset or query.distinct_on
    # An enum can be sorted but not compared, so a key with an enum has no condition "after this key": all records are read at
    # once.
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
    """Return the condition that a record comes after this one in the order of the primary key."""
    steps: list[Expression] = []
    for position, name in enumerate(runtime.key):
        same = [Compare("==", Field(prior), Value(getattr(last, prior))) for prior in runtime.key[:position]]
        steps.append(all_of(*same, Compare(">", Field(name), Value(getattr(last, name)))))
    return any_of(*steps)
