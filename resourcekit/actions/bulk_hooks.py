"""Hooks of a bulk update or destroy that runs as one statement: its records are read first, and hooks run for each of them.

Edit this module if a hook of a bulk action sees a wrong record, runs twice, or runs in a wrong order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import starmap
from typing import Any

import attrs

from resourcekit.actions.lifecycle import after_action, after_transaction, in_transaction
from resourcekit.actions.runtime import Runtime
from resourcekit.actions.update import ChangeRunner, Target
from resourcekit.call_context import Context, Suspended
from resourcekit.changeset import Changeset
from resourcekit.data_layers.base import Capability, Row, Select, Store
from resourcekit.data_layers.callbacks import Callback, run_callbacks
from resourcekit.errors import SerializationFailure
from resourcekit.expressions.nodes import Field, Sort
from resourcekit.expressions.query import Query
from resourcekit.expressions.shape import Shaper
from resourcekit.results import WriteResult

__all__ = ["Changed", "change_with_hooks"]

_ANOTHER = "another transaction wrote to records of this query at the same time; run it again"

Write = Callable[[], Awaitable[WriteResult]]


@attrs.frozen
class Changed:
    """The records of a bulk action with hooks, in the order of their keys: before and after, as the hooks left them."""

    before: Sequence[Any]
    after: Sequence[Any]


async def change_with_hooks(runner: ChangeRunner, query: Query[Any], ready: Changeset, context: Context, write: Write) -> Changed:
    """Read and lock the records of a query, write them with one statement, and run the hooks for each record, in order.

    write: runs the statement and returns the rows. A store without row locks writes record by record instead, in one transaction,
    each if it is as it was read. If another transaction was first, the whole is run again, unless a transaction was open.

    Raise SerializationFailure in a transaction of the caller if another one was first, the error of an after_transaction hook, and an
    ExceptionGroup of the errors of several.
    """
    runtime, store = runner.runtime, runner.runtime.store
    changesets: list[Changeset] = []

    async def work() -> list[Any]:
        changesets[:] = [attrs.evolve(ready, record=record) for record in await _locked(runtime, query)]
        if Capability.LOCK not in store.capabilities:
            rows: Sequence[Row] = [row for each in changesets for row in await _alone(runner, each, context)]
        else:
            rows = (await write()).rows if changesets else ()
        written = {_key(runtime, record): record for record in map(runtime.record, rows)}
        if written.keys() != {_key(runtime, each.record) for each in changesets}:
            raise SerializationFailure(_ANOTHER)
        return [await after_action(store, each, written[_key(runtime, each.record)], context) for each in changesets]

    try:
        after = await in_transaction(store, context, work, again=True)
    except (Suspended, GeneratorExit):
        raise  # the coroutine is being unwound and cannot await
    except BaseException as error:
        await run_callbacks([_after_end(store, changeset, None, context) for changeset in changesets], error)
        raise
    await run_callbacks(starmap(partial(_after_end, store, context=context), zip(changesets, after, strict=True)))
    return Changed([changeset.record for changeset in changesets], after)


def _after_end(store: Store, changeset: Changeset, record: Any, context: Context) -> Callback:
    """Return a function that runs the after_transaction hooks of a changeset. If one raises, the hooks of other records still run."""
    return Callback(
        lambda error: after_transaction(store, changeset, record if error is None else error, context), needs_commit=False
    )


async def _locked(runtime: Runtime, query: Query[Any]) -> list[Any]:
    """Return the records of a query in the order of their keys, locked if the store can."""
    shaper = Shaper()
    condition, shape = runtime.shape(shaper, query.condition)
    order = tuple(Sort(Field(name)) for name in runtime.key)
    plan = runtime.plan(("lock all", shape), lambda: Select(condition, order=order, lock=True))
    return [runtime.record(row) for row in await runtime.store.select(plan, shaper.params)]


async def _alone(runner: ChangeRunner, changeset: Changeset, context: Context) -> Sequence[Row]:
    """Write one record if it is as it was read; return no row if it is not."""
    runtime = runner.runtime
    only = changeset.where(runtime.as_read(changeset.record))
    plan, params = runner.compiled(only, Target(runtime.key_params(changeset.record), None, context), None)
    written = await (runtime.store.delete if runner.removes else runtime.store.update)(plan, params)
    return written.rows


def _key(runtime: Runtime, record: Any) -> tuple[Any, ...]:
    return tuple(vars(record)[name] for name in runtime.key)
