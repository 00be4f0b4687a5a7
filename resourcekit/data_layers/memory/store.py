"""The store of one resource in memory. It knows plans, tables and transactions, and no other data layer."""

from __future__ import annotations

import time
import types
from collections.abc import AsyncIterator, Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    Delete,
    Operation,
    Params,
    Plan,
    Row,
    Store,
    Transaction,
)
from resourcekit.data_layers.memory.lease import Lease
from resourcekit.data_layers.memory.surroundings import signs
from resourcekit.data_layers.memory.transaction import ambient, block, commit, commits, current
from resourcekit.data_layers.outside import Outside
from resourcekit.data_layers.rows.plan import Copy, RowPlan, check, figure, moment
from resourcekit.data_layers.rows.table import LOCK, Draft, Key, Table, undo
from resourcekit.data_layers.rows.writes import InsertPlan, Keep, UpdatePlan, compile_operation
from resourcekit.dsl.finding import Finding
from resourcekit.errors import DataLayerError
from resourcekit.flow.clock import current_clock
from resourcekit.flow.context import Colour, colour
from resourcekit.flow.result import WriteResult
from resourcekit.resource_info import ResourceInfo

__all__ = ["CAPABILITIES", "MemoryStore"]

T = TypeVar("T")

CAPABILITIES = frozenset(Capability) - {Capability.LOCK, Capability.TTL, Capability.TENANT, Capability.CHANGE_FEED}

_SLICE = 256
"""Rows that a sweep looks at before it looks at the time; some 0.1 ms."""


class MemoryStore(Store):
    """The rows of one resource, in this process."""

    capabilities = CAPABILITIES

    def __init__(self, info: ResourceInfo) -> None:
        self.info = info
        self._table = Table(info)
        self._keep = Keep(info)

    @property
    def group(self) -> Hashable:
        """All stores in memory are one group."""
        return "memory"

    def compile(self, operation: Operation) -> Plan:
        """See the port. Everything can be computed here."""
        return compile_operation(operation, self.info, self._table, self._keep)

    # Reading

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """See the port; a look-up by key takes no lock."""
        assert isinstance(plan, RowPlan)
        if plan.point is not None and ambient.get() is None:
            row = self._committed(plan, params)
            return [] if row is None else [plan.copy(row)]
        return [plan.copy(row) for row in self._selected(plan, params)]

    def _committed(self, plan: RowPlan, params: Params) -> Row | None:
        """Return the one committed row that a point plan asks for."""
        key = params[plan.point]  # type: ignore[index]  # the caller knows that it is a point
        rows = self._table.rows
        try:
            row = rows.get(key)
        except TypeError:
            return None  # What cannot be hashed equals no key.
        if commits.running:
            # The row may be half of a commit: the other half must be there before anybody sees this one.
            with LOCK:
                row = rows.get(key)
        if row is None:
            check(key)
            return None
        return row if plan.passes(row, params) else None

    def _rows(self, plan: RowPlan, run: Params) -> Iterator[Row]:
        """Return the rows that match, as they are kept: those of one moment, or of the open transaction."""
        handle = current()
        if handle is not None:
            return plan.rows(handle.ground.draft(self._table), run)
        with LOCK:
            return plan.rows(self._table.committed, run)

    def _selected(self, plan: RowPlan, params: Params) -> Iterator[Row]:
        run = moment(params)
        return plan.shown(self._rows(plan, run), run)

    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """See the port; the rows are those of the moment at which this is called."""
        assert isinstance(plan, RowPlan)
        return _stream(self._selected(plan, params), plan.copy)

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        """See the port."""
        assert isinstance(plan, RowPlan)
        assert isinstance(plan.operation, Aggregate)
        if plan.point is not None and ambient.get() is None:
            return self._committed(plan, params) is not None
        return figure(plan.operation, self._rows(plan, moment(params)))

    # Writing

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        """See the port."""
        assert isinstance(plan, InsertPlan)
        kept = plan.kept(rows)
        run = moment(params)
        return self._write(lambda draft: plan.run(draft, kept, run))

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        """See the port."""
        assert isinstance(plan, UpdatePlan)
        run = moment(params)
        return self._write(lambda draft: plan.run(draft, run))

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        """See the port."""
        assert isinstance(plan, RowPlan)
        assert isinstance(plan.operation, Delete)
        run = moment(params)
        removed = self._write(lambda draft: plan.remove(draft, run))
        return WriteResult(len(removed), tuple(map(plan.copy, removed)) if plan.operation.returning else ())

    def _write(self, work: Callable[[Draft], T]) -> T:
        """Run one statement: in the open transaction, else in one of its own. After an error nothing of it is left."""
        handle = current()
        if handle is None:
            with LOCK:
                draft = Draft(self._table, tracked=False)
                result = work(draft)
                commit([draft])
                return result
        draft = handle.ground.draft(self._table)
        mark = len(draft.journal)
        try:
            return work(draft)
        except BaseException:
            undo(draft.journal, mark)
            raise

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """See the port; the layout is the order of insertion, as it stands when this begins."""
        assert isinstance(plan, RowPlan)
        if current() is not None:
            msg = "a sweep makes transactions of its own; call delete_in_batches outside of a transaction"
            raise DataLayerError(msg)
        plan.check(params)
        return self._sweep(plan, params, pace.total_seconds(), size)

    async def _sweep(self, plan: RowPlan, params: Params, pace: float, size: int | None) -> AsyncIterator[int]:
        with LOCK:
            keys = list(self._table.rows)
        position, is_over = 0, False
        while not is_over:
            # The machine's time, not that of a test's clock: what counts is how long others had to wait.
            ends_at = time.perf_counter() + pace
            removed, last = 0, len(keys) if size is None else position + size
            while position < last:
                here = keys[position : min(position + _SLICE, last)]
                position += max(len(here), 1)
                removed += self._remove_slice(plan, here, moment(params))
                if position >= len(keys) or time.perf_counter() >= ends_at:
                    break
            is_over = position >= len(keys)
            yield removed
            if not is_over and colour.get() is not Colour.SYNC:
                await _let_others_run()

    def _remove_slice(self, plan: RowPlan, keys: list[Key], run: Params) -> int:
        rows, matches = self._table.rows, plan.matches
        if not any((row := rows.get(key)) is not None and (matches is None or matches(row, run, row)) for key in keys):
            return 0
        with LOCK:
            draft = Draft(self._table, tracked=False)
            for key in keys:
                if (row := rows.get(key)) is not None and (matches is None or matches(row, run, row)):
                    draft.put(key, None)
            commit([draft])
            return len(draft.rows)

    # Transactions, and what is around

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """See the port; optimistic: raises SerializationFailure at its end where another one came first."""
        return block()

    def current_transaction(self) -> Transaction | None:
        """See the port."""
        return current()

    def outside(self) -> AbstractContextManager[None] | None:
        """See the port; a transaction sees the rows of one moment."""
        return None if current() is None else Outside(ambient, None)

    def lease(self, name: str, ttl: timedelta) -> Lease:
        """See the port; all stores in memory share the names."""
        return Lease(name, ttl)

    async def now(self) -> datetime:
        """See the port."""
        return current_clock().now()

    async def health(self) -> Iterable[Finding]:
        """See the port."""
        told = next(signs(), "")
        return [
            Finding(
                id="RK150",
                level="error" if told else "warning",
                what="its records are kept in the memory of one process" + (f", and {told}" if told else ""),
                why="They are gone at a restart, and no other process sees them.",
                cure='Keep them in a database, for example data_layer=SQL("sqlite:///app.db").',
            )
        ]

    async def create_storage(self) -> None:
        """See the port; there is nothing to create."""

    async def close(self) -> None:
        """See the port; the rows stay, because there is no other place from which they could come back."""


async def _stream(rows: Iterator[Row], copy: Copy) -> AsyncIterator[Row]:
    for row in rows:
        yield copy(row)


@types.coroutine
def _let_others_run() -> Generator[None]:
    yield
