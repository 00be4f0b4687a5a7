"""Removes rows in short transactions, range by range in the order of the table's layout; no row is loaded.

Where the layout is that of the primary key (SQLite, MariaDB), ranges are ranges of the key, and only where one ends is
loaded. Where rows lie in pages by age (PostgreSQL), ranges are ranges of pages (see ``pages``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import sqlalchemy as sa

from resourcekit.data_layers.base import DeleteInBatches, Params
from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.expressions import Bind, Builder
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.plans import SQLPlan
from resourcekit.data_layers.sql.shapes import shaped
from resourcekit.data_layers.sql.statement import Statement
from resourcekit.data_layers.sql.trouble import TroubleKind
from resourcekit.flow.context import ambient_context
from resourcekit.flow.pausing import pause

__all__ = ["KeyRanges", "Ranges", "sweep"]

_GROWTH = 2.0
"""How much larger than the one before a batch may be."""

_RESTS = 4
"""How often a sweep rests after one batch, where the database is not tidy after the first."""


class Ranges(Protocol):
    """Parts of a table, in the order of its layout.

    first, least, most: how much of it a batch looks at. loose: others may take parts of the table away meanwhile.
    """

    first: int
    least: int
    most: int
    loose: bool

    def end(self, link: Link, low: Any, amount: int) -> Any:
        """Return where the range that begins at ``low`` ends (not part of it); ``None`` where it is the last one."""

    def delete(self, link: Link, low: Any, high: Any, *, skips: bool) -> int:
        """Delete what matches in a range by one statement; ``None``: from the beginning, to the end.

        skips: leave out rows that others hold.
        """
        ...

    def amount(self, link: Link, rows: int) -> int:
        """Return how much of the layout holds so many rows."""
        ...


class _Does(Protocol):
    """What a sweep needs of a store."""

    async def do(self, function: Any, *args: Any, writes: bool = True) -> Any:
        """Run a function on a connection."""


async def sweep(store: _Does, ranges: Ranges, pace: float, size: int | None) -> AsyncIterator[int]:
    """Yield the count of each batch; a batch takes about ``pace`` seconds, or looks at ``size`` rows."""
    low: Any = None
    amount = ranges.first if size is None else await store.do(ranges.amount, size, writes=False)
    while True:
        high = await store.do(ranges.end, low, amount, writes=False)
        removed, took = await store.do(_remove, ranges, low, high)
        await _leave_alone(store, took, is_last=high is None)
        yield removed
        if high is None:
            return
        low = high
        if size is None:
            amount = int(max(ranges.least, min(ranges.most, amount * min(_GROWTH, pace / max(took, 0.0001)))))


async def _leave_alone(store: _Does, took: float, *, is_last: bool) -> None:
    """Tidy up after a batch, and rest as long as the room says, but not beyond the deadline.

    Before the batch is told, so that who asks the sweep to stop meanwhile need not wait for another one.
    """
    for _ in range(_RESTS):
        rest, again = await store.do(_tidy, took, writes=False)
        if is_last:
            return
        await pause(min(rest, ambient_context().remaining(rest)))
        if not again:
            return


def _remove(link: Link, ranges: Ranges, low: Any, high: Any) -> tuple[int, float]:
    """Delete a range in one transaction of its own; return how much, and for how long others waited, in seconds.

    Where others hold a row for longer than a moment, the range is done once more without what they hold: it costs more,
    so it is not how each range is done.
    """
    room = link.room
    try:
        return _in_transaction(link, ranges, low, high, skips=False)
    except room.errors as error:
        kind = room.explain(error, None).kind
        if kind is TroubleKind.NO_STORAGE and ranges.loose:
            return 0, 0.0
        if kind is not TroubleKind.BUSY or not room.skips_locked:
            raise
    return _in_transaction(link, ranges, low, high, skips=True)


def _in_transaction(link: Link, ranges: Ranges, low: Any, high: Any, *, skips: bool) -> tuple[int, float]:
    def remove() -> tuple[int, float]:
        began = time.perf_counter()  # from here on others wait
        with link.room.batch(link, waits=skips or not link.room.skips_locked):
            return ranges.delete(link, low, high, skips=skips), began

    with link.room.unhurried(link):
        removed, began = work.atomically(link, remove, nested=False)
        return removed, time.perf_counter() - began


class KeyRanges:
    """Ranges of the primary key."""

    loose = False
    first, least, most = 500, 50, 100_000

    def __init__(self, plan: SQLPlan, table: sa.Table, params: Params) -> None:
        assert isinstance(plan.operation, DeleteInBatches)
        self._compiler, self._table = plan.compiler, table
        self._condition = shaped(plan.operation, params).condition  # type: ignore[union-attr]  # the same kind of operation
        self._params = params
        self._keys = tuple(table.primary_key)
        self._statements: dict[object, Statement] = {}

    def amount(self, link: Link, rows: int) -> int:
        """See Ranges; it is counted in rows."""
        return rows

    def end(self, link: Link, low: tuple[Any, ...] | None, amount: int) -> tuple[Any, ...] | None:
        """See Ranges."""
        statement = self._statement(("end", low is None), self._find_end, low is not None)
        found = link.fetch(statement.sql, statement.values({**_named("low", low), "offset": amount - 1}))
        return tuple(found[0]) if found else None

    def _find_end(self, bounded: bool) -> Statement:  # one of two shapes
        binds = {"offset": Bind("offset", int)}
        built = sa.select(*self._keys).order_by(*self._keys).limit(sa.literal_column("1")).offset(sa.bindparam("offset"))
        if bounded:
            built = built.where(self._beyond("low", binds))
        return Statement(built, self._compiler.dialect, binds, self._compiler.resource)

    def delete(self, link: Link, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None, *, skips: bool) -> int:
        """See Ranges."""
        shape = low is not None, high is not None, skips
        statement = self._statement(("delete", *shape), self._delete, *shape)
        return link.run(statement.sql, statement.values({**self._params, **_named("low", low), **_named("high", high)}))

    def _delete(self, from_low: bool, to_high: bool, skips: bool) -> Statement:  # one of eight shapes
        room = self._compiler.room
        builder = Builder(room, self._table, self._compiler.codecs, self._compiler.resource)
        built: Any = sa.select(*self._keys).with_for_update(skip_locked=True) if skips else sa.delete(self._table)
        if self._condition is not None:
            built = built.where(builder.test(self._condition))
        if from_low:
            built = built.where(self._beyond("low", builder.binds))
        if to_high:
            built = built.where(~self._beyond("high", builder.binds))
        if skips:
            built = room.delete_unlocked(self._table, built)
        return Statement(built, self._compiler.dialect, builder.binds, self._compiler.resource)

    def _beyond(self, name: str, binds: dict[str, Bind]) -> Any:
        bounds: list[Any] = []
        for position, column in enumerate(self._keys):
            key = f"{name}{position}"
            binds[key] = Bind(f"resourcekit {key}", _as_stored)
            bounds.append(sa.bindparam(key, type_=column.type))
        return self._compiler.room.beyond(self._keys, bounds)

    def _statement(self, key: object, make: Any, *args: Any) -> Statement:
        if key not in self._statements:
            self._statements[key] = make(*args)
        return self._statements[key]


def _as_stored(value: Any) -> Any:
    return value


def _named(name: str, key: tuple[Any, ...] | None) -> dict[str, Any]:
    """Return a bound as parameters; no parameter of the engine's has such names."""
    return {f"resourcekit {name}{position}": value for position, value in enumerate(key or ())}


def _tidy(link: Link, took: float) -> tuple[float, bool]:
    """Do what is due between two batches; see Room."""
    return link.room.tidy(link, took)
