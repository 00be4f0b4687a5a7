"""Sweeps: deletes rows in short transactions, range by range in storage order, without loading rows.

In SQLite and MariaDB rows are stored by primary key, so ranges are ranges of the key, and only their end keys are loaded. In
PostgreSQL rows are stored in pages by age, so ranges are ranges of pages (module ``pages``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import sqlalchemy as sa

from resourcekit.call_context import ambient_context, pause
from resourcekit.data_layers.base import DeleteInBatches, Params
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.expressions import Builder
from resourcekit.data_layers.sql.compile.parts import Bind
from resourcekit.data_layers.sql.compile.statement import SQLPlan, Statement
from resourcekit.data_layers.sql.compile.variants import shaped
from resourcekit.data_layers.sql.dialects.error_info import AtCommit, ErrorKind
from resourcekit.data_layers.sql.execution.connection import Connection, atomically

__all__ = ["KeyRanges", "Ranges", "sweep"]

_GROWTH = 2.0
"""Largest growth factor from one batch to the next."""

_RESTS = 4
"""Most pauses after one batch, while the database asks for more maintenance."""


class Ranges(Protocol):
    """Parts of a table in storage order.

    first, least, most: the first, the smallest and the largest amount that a batch covers.
    loose: other processes may remove parts of the table meanwhile.
    """

    first: int
    least: int
    most: int
    loose: bool

    def end(self, connection: Connection, low: Any, amount: int) -> Any:
        """Return the exclusive end of the range that begins at ``low``; ``None`` if it is the last range."""

    def delete(self, connection: Connection, low: Any, high: Any, *, skips: bool) -> int:
        """Delete the matching rows of a range in one statement. ``None`` as a bound: from the beginning, or to the end.

        skips: skip locked rows.
        """
        ...

    def amount(self, connection: Connection, rows: int) -> int:
        """Return the amount that covers a number of rows."""
        ...


class _SweepStore(Protocol):
    """The part of a store that a sweep needs."""

    async def step(self, function: Any, *args: Any, writes: bool = True) -> Any:
        """Run a function on a connection, with the full timeout of a call."""


async def sweep(store: _SweepStore, ranges: Ranges, pace: float, size: int | None) -> AsyncIterator[int]:
    """Yield the count of each batch. A batch takes about ``pace`` seconds, or covers ``size`` rows.

    If the server refuses a transaction for its size, the range is halved and tried again, and no later range is larger. Raises
    Unavailable if it refuses the smallest range.
    """
    low: Any = None
    most = ranges.most
    amount = ranges.first if size is None else await store.step(ranges.amount, size, writes=False)
    while True:
        high = await store.step(ranges.end, low, amount, writes=False)
        batch = await store.step(_remove, ranges, low, high, amount > 1)
        if batch is None:
            most = amount = amount // 2
            continue
        removed, took = batch
        await _leave_alone(store, took, is_last=high is None)
        yield removed
        if high is None:
            return
        low = high
        if size is None:
            amount = min(most, int(max(ranges.least, amount * min(_GROWTH, pace / max(took, 0.0001)))))


async def _leave_alone(store: _SweepStore, took: float, *, is_last: bool) -> None:
    """Do maintenance after a batch, and pause as long as the dialect asks for, but not beyond the deadline.

    This happens before the count is yielded, so that a caller that stops the sweep need not wait for another batch.
    """
    for _ in range(_RESTS):
        rest, again = await store.step(_after_batch, took, writes=False)
        if is_last:
            return
        deadline = ambient_context().deadline
        await pause(rest if deadline is None else min(rest, deadline.remaining()))
        if not again:
            return


def _remove(connection: Connection, ranges: Ranges, low: Any, high: Any, may_halve: bool) -> tuple[int, float] | None:
    """Delete a range. Return what ``_remove_range`` returns, or ``None`` if the server refused the size and it can be halved."""
    dialect = connection.dialect
    refusals: tuple[type[Exception], ...] = (AtCommit, *dialect.errors)
    try:
        return _remove_range(connection, ranges, low, high)
    except refusals as error:
        cause = error.error if isinstance(error, AtCommit) else error
        if not may_halve or dialect.explain(cause, None).kind is not ErrorKind.OVERSIZED:
            raise
        return None


def _remove_range(connection: Connection, ranges: Ranges, low: Any, high: Any) -> tuple[int, float]:
    """Delete a range in one transaction of its own. Return the count, and how many seconds others had to wait.

    If other sessions hold locks on rows, the range is deleted once more without the locked rows. That costs more, so it is not
    done for each range.
    """
    dialect = connection.dialect
    try:
        return _in_transaction(connection, ranges, low, high, skips=False)
    except dialect.errors as error:
        kind = dialect.explain(error, None).kind
        if kind is ErrorKind.NO_STORAGE and ranges.loose:
            return 0, 0.0
        if kind is not ErrorKind.BUSY or not dialect.skips_locked:
            raise
    return _in_transaction(connection, ranges, low, high, skips=True)


def _in_transaction(connection: Connection, ranges: Ranges, low: Any, high: Any, *, skips: bool) -> tuple[int, float]:
    def remove() -> tuple[int, float]:
        began = time.perf_counter()  # from here on others wait
        with connection.dialect.batch(connection, waits=skips or not connection.dialect.skips_locked):
            return ranges.delete(connection, low, high, skips=skips), began

    with connection.dialect.relaxed_durability(connection):
        removed, began = atomically(connection, remove, nested=False)
        return removed, time.perf_counter() - began


class KeyRanges:
    """Ranges of the primary key."""

    loose = False
    first, least, most = 500, 50, 100_000

    def __init__(self, plan: SQLPlan, compiler: Compiler, params: Params) -> None:
        assert isinstance(plan.operation, DeleteInBatches)
        self._compiler, self._table = compiler, compiler.table
        self._condition = shaped(plan.operation, params).condition  # type: ignore[union-attr]  # the same kind of operation
        self._params = params
        self._keys = tuple(compiler.table.primary_key)
        self._statements: dict[object, Statement] = {}

    def amount(self, connection: Connection, rows: int) -> int:
        """Return the row count: amounts are counted in rows."""
        return rows

    def end(self, connection: Connection, low: tuple[Any, ...] | None, amount: int) -> tuple[Any, ...] | None:
        """Return the key at which the range ends; ``None`` if it is the last range."""
        statement = self._statement(("end", low is None), self._find_end, low is not None)
        found = connection.fetch(statement.sql, statement.values({**_named("low", low), "offset": amount - 1}))
        return tuple(found[0]) if found else None

    def _find_end(self, is_bounded: bool) -> Statement:  # one of two variants
        binds = {"offset": Bind("offset", int)}
        built = sa.select(*self._keys).order_by(*self._keys).limit(sa.literal_column("1")).offset(sa.bindparam("offset"))
        if is_bounded:
            built = built.where(self._beyond("low", binds))
        return Statement(built, self._compiler.sa_dialect, binds, self._compiler.resource)

    def delete(self, connection: Connection, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None, *, skips: bool) -> int:
        """Delete the matching rows between two keys, and return their number."""
        shape = low is not None, high is not None, skips
        statement = self._statement(("delete", *shape), self._delete, *shape)
        return connection.run(statement.sql, statement.values({**self._params, **_named("low", low), **_named("high", high)}))

    def _delete(self, from_low: bool, to_high: bool, skips: bool) -> Statement:  # one of eight variants
        dialect = self._compiler.dialect
        builder = Builder(dialect, self._table, self._compiler.codecs, self._compiler.resource)
        built: Any = sa.select(*self._keys).with_for_update(skip_locked=True) if skips else sa.delete(self._table)
        if self._condition is not None:
            built = built.where(builder.test(self._condition))
        if from_low:
            built = built.where(self._beyond("low", builder.binds))
        if to_high:
            built = built.where(~self._beyond("high", builder.binds))
        if skips:
            built = dialect.delete_unlocked(self._table, built)
        return Statement(built, self._compiler.sa_dialect, builder.binds, self._compiler.resource)

    def _beyond(self, name: str, binds: dict[str, Bind]) -> Any:
        bounds: list[Any] = []
        for position, column in enumerate(self._keys):
            key = f"{name}{position}"
            binds[key] = Bind(f"resourcekit {key}", _as_stored)
            bounds.append(sa.bindparam(key, type_=column.type))
        return self._compiler.dialect.beyond(self._keys, bounds)

    def _statement(self, key: object, make: Any, *args: Any) -> Statement:
        if key not in self._statements:
            self._statements[key] = make(*args)
        return self._statements[key]


def _as_stored(value: Any) -> Any:
    return value


def _named(name: str, key: tuple[Any, ...] | None) -> dict[str, Any]:
    """Return a bound as parameters. No parameter of an action has such names."""
    return {f"resourcekit {name}{position}": value for position, value in enumerate(key or ())}


def _after_batch(connection: Connection, took: float) -> tuple[float, bool]:
    """Do the maintenance that is due between two batches (``Dialect.after_batch``)."""
    return connection.dialect.after_batch(connection, took)
