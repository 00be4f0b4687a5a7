"""The base class of stores that keep whole rows and compute in Python.

Authors of data layers open it to store rows in a new place.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import ClassVar, TypeVar

from resourcekit.clock import current_clock
from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    Delete,
    Lease,
    Operation,
    Params,
    Plan,
    Row,
    Store,
    Transaction,
)
from resourcekit.data_layers.rows.groups import figure
from resourcekit.data_layers.rows.plan import RowPlan, moment
from resourcekit.data_layers.rows.table import Draft, Key, Table
from resourcekit.data_layers.rows.writes import InsertPlan, Keep, UpdatePlan, compile_operation
from resourcekit.errors import DataLayerError
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import WriteResult

__all__ = ["RowsStore"]

T = TypeVar("T")

_BATCH = 1000
"""Rows that a sweep examines in one write, unless the caller gives a number."""


class RowsStore(Store):
    """A store for data layers that keep whole rows and compute everything in Python: a file, a sheet, an object in a bucket.

    A subclass implements access to the rows (``read`` and ``write``) and their place (``group``, ``place``, ``health``,
    ``create_storage``, ``close``). This class implements the operations. It has no transactions over several statements and no
    leases. A data layer that has them adds them to its ``capabilities``, and overrides the methods.

    table: the committed rows, as the subclass knows them.
    keep: converts values of callers to stored values.
    """

    CAPABILITIES: ClassVar[frozenset[Capability]] = frozenset(
        {
            *(Capability.FILTER, Capability.SORT, Capability.LIMIT, Capability.OFFSET, Capability.AGGREGATE),
            *(Capability.GROUP, Capability.DISTINCT),
            *(Capability.UPSERT, Capability.UPSERT_WHERE, Capability.UPDATE_WHERE, Capability.DELETE_WHERE),
            *(Capability.CAS, Capability.ATOMIC_EXPR, Capability.RETURNING, Capability.DELETE_IN_BATCHES),
        }
    )
    capabilities = CAPABILITIES

    def __init__(self, info: ResourceInfo, keep: Keep | None = None) -> None:
        self.info = info
        self.table = Table(info)
        self.keep = keep or Keep(info)

    @abstractmethod
    async def read(self, work: Callable[[Draft], T]) -> T:
        """Return ``work(table.committed)``, called with the rows of one moment. No other call may change them meanwhile."""

    @abstractmethod
    async def write(self, work: Callable[[Draft], T]) -> T:
        """Call ``work`` with a draft of the table, commit the draft's ``rows``, all or none, and return the result of ``work``.

        Only one such call may run at a time, over all threads and processes. After an error nothing is written.
        """

    def compile(self, operation: Operation) -> Plan:
        """Compile an operation. Every expression can be computed, because Python computes it."""
        return compile_operation(operation, self.info, self.table, self.keep)

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        assert isinstance(plan, RowPlan)
        run = moment(params)
        return await self.read(lambda draft: [plan.copy(row) for row in plan.shown(plan.rows(draft, run), run)])

    async def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """Yield the rows of a Select; all of them are in memory."""
        for row in await self.select(plan, params):
            yield row

    async def aggregate(self, plan: Plan, params: Params) -> object:
        assert isinstance(plan, RowPlan)
        operation, run = plan.operation, moment(params)
        assert isinstance(operation, Aggregate)
        return await self.read(lambda draft: figure(operation, plan.shown(plan.rows(draft, run), run)))

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        assert isinstance(plan, InsertPlan)
        kept, run = plan.kept(rows), moment(params)
        return await self.write(lambda draft: plan.run(draft, kept, run))

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        assert isinstance(plan, UpdatePlan)
        run = moment(params)
        return await self.write(lambda draft: plan.run(draft, run))

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        assert isinstance(plan, RowPlan)
        assert isinstance(plan.operation, Delete)
        run = moment(params)
        removed = await self.write(lambda draft: plan.remove(draft, run))
        return WriteResult(len(removed), tuple(map(plan.copy, removed)) if plan.operation.returning else ())

    async def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Delete in order of insertion, over the rows that exist when this begins."""
        assert isinstance(plan, RowPlan)
        plan.check(params)
        keys = await self.read(lambda draft: list(draft.table.rows))
        step = size or _BATCH
        for first in range(0, len(keys), step):
            yield await self._remove(plan, keys[first : first + step], moment(params))

    async def _remove(self, plan: RowPlan, keys: Sequence[Key], run: Params) -> int:
        def remove(draft: Draft) -> int:
            found = {key: row for key in keys if (row := draft.get(key)) is not None}
            doomed = [key for key, row in found.items() if plan.matches is None or plan.matches(row, run, row)]
            for key in doomed:
                draft.put(key, None)
            return len(doomed)

        return await self.write(remove)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        raise self._lacking(Capability.TRANSACTION)

    def current_transaction(self) -> Transaction | None:
        return None

    def lease(self, name: str, ttl: timedelta) -> Lease:
        raise self._lacking(Capability.LEASE)

    def _lacking(self, capability: Capability) -> DataLayerError:
        return DataLayerError(f"{self.info.name} is kept in a store without {capability.value}")

    async def now(self) -> datetime:
        return current_clock().now()
