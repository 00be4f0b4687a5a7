"""Bulk updates and destroys of a query in one statement; in two if notifiers have to know which records it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resourcekit.actions.bulk_hooks import change_with_hooks
from resourcekit.actions.create import CreateRunner, placed
from resourcekit.actions.notify import notify_after_commit
from resourcekit.actions.unchanged import can_compare, changes
from resourcekit.actions.update import ChangeRunner
from resourcekit.call_context import Context
from resourcekit.changeset import NO_HOOKS, Changeset
from resourcekit.data_layers.base import Aggregate, Capability, Delete, Row, Select, UnsupportedExpression, Update
from resourcekit.errors import Invalid, InvalidArgument
from resourcekit.expressions.nodes import Case, Expression, Field, Not, all_of
from resourcekit.expressions.query import Query
from resourcekit.expressions.shape import Shaper
from resourcekit.results import BulkResult, WriteResult

__all__ = ["change_at_once", "notify", "place"]


async def notify(runner: CreateRunner | ChangeRunner, record: Any, context: Context) -> None:
    """Notify the notifiers of an action of one record."""
    if runner.notifiers:
        runtime = runner.runtime
        await notify_after_commit(runtime.store, runner.notifiers, runtime.resource, runner.action, record, context)


async def change_at_once(
    runner: ChangeRunner, query: Query[Any], given: Mapping[str, Any], context: Context, *, return_records: bool
) -> BulkResult[Any]:
    """Write to all records of a query. Raise InvalidArgument if a step needs each record on its own."""
    _require_atomic(runner, query)
    held = _Held(runner)
    try:
        ready = await runner.atomic(runner.bind(given), context)
        if ready.hooks.before_transaction or ready.hooks.before_action:
            raise _not_at_once(runner, "a change has hooks before the write, which may change what is written")
        if ready.condition is not None:
            raise _not_at_once(runner, "a condition of a step, or a limit of an attribute, must name the record that it refuses")
        if ready.hooks is not NO_HOOKS:
            return await _with_hooks(runner, query, ready, context, return_records=return_records)
        changed = await _write_changed(runner, query, ready, return_records=return_records) if runner.notifiers else None
        result, same = changed or (await held.write(query, ready, returning=return_records or bool(runner.notifiers)), ())
    except UnsupportedExpression as error:
        raise _not_at_once(runner, f"the data layer cannot compute it ({error})") from None
    except Invalid as error:
        raise placed(error, runner.runtime.info.name, runner.action.name) from None
    records = tuple(map(runner.runtime.record, result.rows))
    if runner.removes or ready.values or ready.atomics:
        for record in records:
            if not held.is_same(record):
                await notify(runner, record, context)
    if isinstance(same, int):
        return BulkResult(result.count + same, records if return_records else ())
    records = (*map(runner.runtime.record, same), *records)
    return BulkResult(result.count + len(same), records if return_records else ())


async def _with_hooks(
    runner: ChangeRunner, query: Query[Any], ready: Changeset, context: Context, *, return_records: bool
) -> BulkResult[Any]:
    """Write to all records of a query, and run the hooks after the write for each of them, in the order of their keys."""
    if Capability.TRANSACTION not in runner.runtime.store.capabilities:
        raise _not_at_once(runner, "a change has hooks, and the data layer has no transactions")
    found = await change_with_hooks(runner, query, ready, context, lambda: _write(runner, query, ready, returning=True))
    names = sorted({*ready.values, *ready.atomics})
    for old, new in zip(found.before, found.after, strict=True):
        if runner.removes or repr([vars(old)[name] for name in names]) != repr([vars(new)[name] for name in names]):
            await notify(runner, new, context)
    return BulkResult(len(found.after), tuple(found.after) if return_records else ())


class _Held:
    """The values of records before one statement wrote to them. A comparison with those after it shows which records changed."""

    def __init__(self, runner: ChangeRunner) -> None:
        self._runner = runner
        self._before: dict[str, str] = {}
        self._names: Sequence[str] = ()

    async def write(self, query: Query[Any], ready: Changeset, *, returning: bool) -> WriteResult:
        """Write to the records of a query; read them first if a notifier has to know which of them change."""
        runner, runtime = self._runner, self._runner.runtime
        written = sorted({*ready.values, *ready.atomics})
        is_notified = bool(runner.notifiers) and not runner.removes and written
        if not is_notified or Capability.TRANSACTION not in runtime.store.capabilities:
            return await _write(runner, query, ready, returning=returning)
        self._names, shaper = written, Shaper()
        condition, shape = runtime.shape(shaper, query.condition)
        select = runtime.plan(("what is there", shape), lambda: Select(condition))
        async with runtime.store.transaction():
            for row in await runtime.store.select(select, shaper.params):
                record = runtime.record(row)
                self._before[self._key(record)] = self._values(record)
            return await _write(runner, query, ready, returning=returning)

    def is_same(self, record: Any) -> bool:
        """Return whether a record holds the values that it held before, in the same spelling."""
        return bool(self._before) and self._before.get(self._key(record)) == self._values(record)

    def _key(self, record: Any) -> str:
        return repr([vars(record)[name] for name in self._runner.runtime.key])

    def _values(self, record: Any) -> str:
        return repr([vars(record)[name] for name in self._names])


async def _write_changed(
    runner: ChangeRunner, query: Query[Any], ready: Changeset, *, return_records: bool
) -> tuple[WriteResult, Sequence[Row] | int] | None:
    """Write to the records that change. Return the result, and the other records of the query, or their number.

    Return ``None`` if the store cannot report which records change.
    """
    runtime, shaper = runner.runtime, Shaper()
    written = sorted({*ready.values, *ready.atomics})
    is_able = {Capability.TRANSACTION, Capability.AGGREGATE} <= runtime.store.capabilities
    if runner.removes or not written or not is_able or not can_compare(runtime, written):
        return None
    condition, shape = runtime.shape(shaper, query.condition)
    assignments, names = runner.assignments(ready, shaper)
    differs = changes({name: assignments[name] for name in written})
    key, rest = (shape, names, tuple(written)), all_of(condition, Not(differs))
    try:
        update = runtime.plan(
            ("update what changes", key), lambda: Update(all_of(condition, differs), assignments, returning=True)
        )
        select = runtime.plan(("what stays", key), lambda: Select(rest)) if return_records else None
        count = runtime.plan(("count of what stays", key), lambda: Aggregate("count", rest))
    except UnsupportedExpression:
        return None
    async with runtime.store.transaction():
        same: Sequence[Row] | int = (
            await runtime.store.aggregate(count, shaper.params)
            if select is None
            else await runtime.store.select(select, shaper.params)
        )
        return await runtime.store.update(update, shaper.params), same


async def _write(runner: ChangeRunner, query: Query[Any], ready: Changeset, *, returning: bool) -> WriteResult:
    shaper = Shaper()
    condition, shape = runner.runtime.shape(shaper, query.condition)
    if runner.removes:
        plan = runner.runtime.plan(("delete all", shape, returning), lambda: Delete(condition, returning=returning))
        return await runner.runtime.store.delete(plan, shaper.params)
    assignments, names = runner.assignments(ready, shaper)
    written = {*ready.values, *ready.atomics}
    touched = runner.touches.keys() - written
    sets: dict[str, Mapping[str, Expression]] = {"": assignments}
    if touched and written:
        change = changes({name: assignments[name] for name in sorted(written)})
        sets["of what changes"] = {
            name: Case(change, value, Field(name)) if name in touched else value for name, value in assignments.items()
        }
    for kind, chosen in reversed(sets.items()):
        try:
            key = ("update all", shape, names, returning, kind)
            plan = runner.runtime.plan(key, lambda chosen=chosen: Update(condition, chosen, returning=returning))  # type: ignore[misc]  # bound now
        except UnsupportedExpression:
            if not kind:  # the plain assignments come last, and have to be computed
                raise
        else:
            return await runner.runtime.store.update(plan, shaper.params)
    raise AssertionError(sets)  # unreachable: the plain assignments return or raise


def _require_atomic(runner: ChangeRunner, query: Query[Any]) -> None:
    if not runner.is_atomic:
        raise _not_at_once(runner, "a change or validation has no atomic form")
    if query.row_limit is not None or query.row_offset:
        raise _not_at_once(runner, "the query has a limit or an offset")
    if query.distinct_on:
        raise _not_at_once(runner, "the query has distinct")
    if runner.action.transaction:
        raise _not_at_once(runner, "the action asks for a transaction of its own")


def _not_at_once(runner: ChangeRunner, reason: str) -> InvalidArgument:
    return InvalidArgument(f"cannot run as one statement: {reason}; use strategy='stream'", **place(runner))


def place(runner: CreateRunner | ChangeRunner) -> dict[str, str]:
    """Return the resource and action that the errors of a runner name."""
    return {"resource": runner.runtime.info.name, "action": runner.action.name}
