"""Removes rows in short transactions, range by range in the order of the key; no row is loaded, only where a range ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import sqlalchemy as sa

from resourcekit.data_layers.base import DeleteInBatches, Params
from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.expressions import Builder
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.plans import Compiler, SQLPlan
from resourcekit.data_layers.sql.shapes import shaped
from resourcekit.data_layers.sql.statement import Statement

__all__ = ["sweep"]

_FIRST, _LEAST, _MOST = 500, 50, 100_000
"""Rows of the layout that a batch looks at: the first one, and the bounds."""

_GROWTH = 2.0
"""How much larger than the one before a batch may be."""

_BREATH = 0.005
"""Seconds that the lock is free before the next batch, at the least; a link that waits for it looks more often."""

Key = tuple[Any, ...]


class _Does(Protocol):
    """What a sweep needs of a store."""

    table: sa.Table

    async def do(self, function: Any, *args: Any, writes: bool = True) -> Any:
        """Run a function on a connection."""


async def sweep(store: _Does, plan: SQLPlan, params: Params, pace: float, size: int | None) -> AsyncIterator[int]:
    """Yield the count of each batch; a batch takes about ``pace`` seconds, or looks at ``size`` rows."""
    ranges = _Ranges(plan.compiler, store.table, plan.operation, params)
    low: Key | None = None
    rows = size or _FIRST
    while True:
        high = await store.do(ranges.end, low, rows, writes=False)
        removed, took = await store.do(ranges.delete, low, high)
        await store.do(_tidy, writes=False)
        yield removed
        if high is None:
            return
        low = high
        if size is None:
            rows = int(max(_LEAST, min(_MOST, rows * min(_GROWTH, pace / max(took, 0.0001)))))


class _Ranges:
    """The statements of one sweep."""

    def __init__(self, compiler: Compiler, table: sa.Table, operation: Any, params: Params) -> None:
        assert isinstance(operation, DeleteInBatches)
        self._compiler, self._table, self._params = compiler, table, params
        self._condition = shaped(operation, params).condition  # type: ignore[union-attr]  # the same kind of operation
        self._keys = tuple(table.primary_key)
        self._statements: dict[object, Statement] = {}

    def end(self, link: Link, low: Key | None, rows: int) -> Key | None:
        """Return the key at which the next range ends; ``None`` where it is the last one."""
        statement = self._statement(("end", low is None), self._find_end, low is not None)
        found = link.fetch(statement.sql, [*(low or ()), rows - 1])
        return tuple(found[0]) if found else None

    def _find_end(self, bounded: bool) -> Statement:  # one of two shapes
        built = sa.select(*self._keys).order_by(*self._keys).limit(sa.literal_column("1")).offset(sa.bindparam("rows"))
        if bounded:
            built = built.where(self._beyond())
        return Statement(built, self._compiler.dialect, {}, self._compiler.resource)

    def delete(self, link: Link, low: Key | None, high: Key | None) -> tuple[int, float]:
        """Delete what matches in the range, in one transaction of its own; return how much, and how long others waited."""
        key = ("delete", low is None, high is None)
        statement = self._statement(key, self._delete, low is not None, high is not None)
        bounds = (*(low or ()), *(high or ()))
        values = statement.values(self._params)

        def remove() -> tuple[int, float]:
            began = time.perf_counter()  # the lock is held: from here on others wait
            return link.run(statement.sql, [*values[: len(values) - len(bounds)], *bounds]), began

        with link.room.unhurried(link):
            removed, began = work.atomically(link, remove, nested=False)
            return removed, time.perf_counter() - began

    def _delete(self, from_low: bool, to_high: bool) -> Statement:  # one of four shapes
        builder = Builder(self._compiler.room, self._table, self._compiler.codecs, self._compiler.resource)
        built: Any = sa.delete(self._table)
        if self._condition is not None:
            built = built.where(builder.test(self._condition))
        if from_low:
            built = built.where(self._beyond())
        if to_high:
            built = built.where(~self._beyond("high"))
        return Statement(built, self._compiler.dialect, builder.binds, self._compiler.resource)

    def _beyond(self, name: str = "low") -> Any:
        bounds = [sa.bindparam(f"{name}{position}", type_=column.type) for position, column in enumerate(self._keys)]
        if len(bounds) == 1:
            return self._keys[0] > bounds[0]
        return sa.tuple_(*self._keys) > sa.tuple_(*bounds)

    def _statement(self, key: object, make: Any, *args: Any) -> Statement:
        if key not in self._statements:
            self._statements[key] = make(*args)
        return self._statements[key]


def _tidy(link: Link) -> None:
    """Keep the write-ahead log small, and give those who wait for the lock the time to see that it is free."""
    link.room.tidy(link)
    assert link.sleep is not None
    link.sleep(_BREATH)
