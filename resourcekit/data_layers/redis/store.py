"""The store of one resource on a Redis server. It knows plans, views and scripts.

What a statement means is computed here, in Python, over the rows it asks for; the server then makes sure, in one script,
that they are still as they were, and writes. Where they are not, the statement is run again over what is there now.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    Delete,
    Operation,
    Params,
    Plan,
    Row,
    Select,
    Store,
    Transaction,
)
from resourcekit.data_layers.redis.codec import StrictKeep
from resourcekit.data_layers.redis.failures import refused, too_late
from resourcekit.data_layers.redis.lease import Lease
from resourcekit.data_layers.redis.reading import Reader
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.sweep import Sweep
from resourcekit.data_layers.redis.transaction import Handle, block, current, outside
from resourcekit.data_layers.redis.view import Missing, Plot, View
from resourcekit.data_layers.redis.writing import Changed, write
from resourcekit.data_layers.rows.plan import RowPlan, Wanted, figure, moment
from resourcekit.data_layers.rows.table import Draft, Journal, Key, Table, undo
from resourcekit.data_layers.rows.writes import InsertPlan, UpdatePlan, compile_operation
from resourcekit.dsl.finding import Finding
from resourcekit.errors import DataLayerError, UnsafeStore
from resourcekit.flow.clock import Clock, current_clock
from resourcekit.flow.context import ambient_context
from resourcekit.flow.pausing import pause
from resourcekit.flow.result import WriteResult

__all__ = ["CAPABILITIES", "RedisStore"]

T = TypeVar("T")

CAPABILITIES = frozenset(Capability) - {Capability.LOCK, Capability.TENANT, Capability.CHANGE_FEED}


_ATTEMPTS = 1_000
"""Times a statement is run again because others came first; the deadline of the call comes before."""


class RedisStore(Store):
    """The records of one resource, as hashes. tag: of all names; replicas: that must have a write before it counts."""

    capabilities = CAPABILITIES

    def __init__(self, plot: Plot, server: Server, tag: str, replicas: int) -> None:
        self.info = plot.info
        self._plot, self._server, self._tag = plot, server, tag
        self._replicas = replicas
        self._table = Table(plot.info)
        self._keep = StrictKeep(plot.info, plot.codec)
        self._reader = Reader(server, tag, plot)
        self.epoch, self.keys_after = self._reader.epoch, self._reader.keys_after

    @property
    def group(self) -> Hashable:
        """Resources of one server and tag share transactions."""
        return ("redis", self._server.urls, self._tag)

    @property
    def place(self) -> Hashable:
        """The names that its records have."""
        return (*self.group, self._plot.names.row_start)  # type: ignore[misc]  # the group is a tuple

    def compile(self, operation: Operation) -> Plan:
        """See the port. Everything can be computed here."""
        return compile_operation(operation, self.info, self._table, self._keep)

    # Reading

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """See the port; a look-up by key is one round trip of two commands."""
        assert isinstance(plan, RowPlan)
        if plan.point is not None and plan.rest is None and self._handle() is None:
            assert isinstance(plan.operation, Select)
            row = await self._reader.point(plan, params, plan.operation.fields)
            return [] if row is None else [row]
        return list(await self._read(plan, params, lambda rows, run: [plan.copy(row) for row in plan.shown(rows, run)]))

    async def _read(self, plan: RowPlan, params: Params, make: Callable[[Iterator[Row], Params], T]) -> T:
        run = moment(params)
        handle = self._handle()
        view = View(self._plot) if handle is None else handle.ground.view(self)
        return await self._answered(view, plan.wanted(run), lambda: make(plan.rows(view.draft, run), run))

    async def _answered(self, view: View, wanted: Wanted, work: Callable[[], T]) -> T:
        """Run work on a view, fetching what it asks for."""
        await self._reader.fetch(view, wanted)
        while True:
            mark = len(view.draft.journal)
            try:
                return work()
            except Missing as missing:
                undo(view.draft.journal, mark)
                await self._reader.fetch(view, missing.wanted)

    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """See the port. Outside of a transaction rows are read page by page: each page is of one moment."""
        assert isinstance(plan, RowPlan)
        return self._stream(plan, params, self._handle())

    async def _stream(self, plan: RowPlan, params: Params, handle: Handle | None) -> AsyncIterator[Row]:
        if handle is not None or plan.is_ordered or not plan.wanted(moment(params)).everything:
            run = moment(params)
            view = View(self._plot) if handle is None else handle.ground.view(self)
            for row in await self._answered(view, plan.wanted(run), lambda: list(plan.shown(plan.rows(view.draft, run), run))):
                yield plan.copy(row)
            return
        run = moment(params)
        plan.check(params)
        async for row in plan.cut_async(self._matching(plan, run), run):
            yield plan.copy(row)

    async def _matching(self, plan: RowPlan, run: Params) -> AsyncIterator[Row]:
        async for page in self._reader.pages():
            for row in page:
                if plan.matches is None or plan.matches(row, run, row):
                    yield row

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        """See the port."""
        assert isinstance(plan, RowPlan)
        operation = plan.operation
        assert isinstance(operation, Aggregate)
        if plan.point is not None and self._handle() is None:
            plan.check(params)
            row = await self._reader.point(plan, params, plan.reads)
            return row is not None and plan.passes(row, params)
        return await self._read(plan, params, lambda rows, run: figure(operation, rows))

    # Writing

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        """See the port."""
        assert isinstance(plan, InsertPlan)
        kept = plan.kept(rows)
        run = moment(params)
        return await self._write(plan.wanted(kept), lambda draft: plan.run(draft, kept, run))

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        """See the port."""
        assert isinstance(plan, UpdatePlan)
        run = moment(params)
        return await self._write(plan.wanted(run), lambda draft: plan.run(draft, run))

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        """See the port."""
        assert isinstance(plan, RowPlan)
        assert isinstance(plan.operation, Delete)
        run = moment(params)
        removed = await self._write(plan.wanted(run), lambda draft: plan.remove(draft, run))
        return WriteResult(len(removed), tuple(map(plan.copy, removed)) if plan.operation.returning else ())

    async def _write(self, wanted: Wanted, work: Callable[[Draft], T]) -> T:
        """Run one statement: in the open transaction, else alone, again and again until nobody came first."""
        handle = self._handle()
        if handle is not None:
            view = handle.ground.view(self)
            mark = len(view.draft.journal)
            try:
                return await self._answered(view, wanted, lambda: work(view.draft))
            except BaseException:
                undo(view.draft.journal, mark)
                raise
        attempt = 0
        while True:
            view = View(self._plot)
            result = await self._answered(view, wanted, lambda view=view: work(view.draft))  # type: ignore[misc]  # a default in a lambda
            try:
                await self.commit({self: view}, all_reads=False)
            except Changed:
                attempt += 1
                await _before_another(attempt, self._server.seconds)
                continue
            return result

    async def commit(self, views: Mapping[RedisStore, View], *, all_reads: bool) -> None:
        """Make what the views hold stand, all at once. Raises Changed where another one came first."""
        written = {store: view for store, view in views.items() if view.is_written()}
        if not written:
            return
        canaries = [(store._plot.names.epoch, await store.epoch()) for store in views]  # noqa: SLF001  # its own kind
        await write(
            self._server, self._tag, canaries, views if all_reads else written, all_reads=all_reads, replicas=self._replicas
        )

    def new_view(self, journal: Journal) -> View:
        """Return an empty view, for a transaction."""
        return View(self._plot, journal)

    async def remove_among(self, keys: Sequence[Key], plan: RowPlan, params: Params) -> int:
        """Remove the records with these keys that match a plan, and return how many they were."""
        run = moment(params)
        matches = plan.matches

        def remove(draft: Draft) -> int:
            rows = [row for key in keys if (row := draft.get(key)) is not None and (matches is None or matches(row, run, row))]
            for row in rows:
                draft.put(self._table.key_of(row), None)
            return len(rows)

        return await self._write(Wanted(keys=tuple(keys)), remove)

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """See the port; the layout is the order of the keys."""
        assert isinstance(plan, RowPlan)
        if self._handle() is not None:
            msg = "a sweep makes transactions of its own; call delete_in_batches outside of a transaction"
            raise DataLayerError(msg)
        plan.check(params)
        return Sweep(self, self._plot, self._server, self._tag).run(plan, params, pace.total_seconds(), size)

    # Transactions, and what is around

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """See the port; optimistic: raises SerializationFailure at its end where another one came first."""
        return block(self.group)

    def _handle(self) -> Handle | None:
        return current(self.group)

    def current_transaction(self) -> Transaction | None:
        """See the port."""
        return self._handle()

    def outside(self) -> AbstractContextManager[None] | None:
        """See the port; a transaction reads each row once."""
        return None if self._handle() is None else outside(self.group)

    def lease(self, name: str, ttl: timedelta) -> Lease:
        """See the port; all resources of a tag share the names."""
        return Lease(self._server, self._tag, name, ttl)

    async def now(self) -> datetime:
        """See the port."""
        clock = current_clock()
        if type(clock) is not Clock:
            return clock.now()
        (answer,) = await self._server.ask(self._tag, [(b"TIME",)])
        if isinstance(answer, Exception):
            raise refused(answer)
        seconds, microseconds = map(int, answer)
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    async def health(self) -> Iterable[Finding]:
        """See the port."""
        try:
            there = await self._reader.ask_epoch()
        except UnsafeStore as error:
            what, _, cure = str(error).partition(". ")
            return [Finding(id="RK161", what=what, why="A revoked token would be accepted again.", cure=cure)]
        if there is None:
            what, why = (
                f"nothing was created under {self._plot.names.row_start.decode()}, or it was emptied",
                "Nothing can be read or written.",
            )
            return [Finding(id="RK160", what=what, why=why, cure="Call domain.create_storage() once, at deployment.")]
        return []

    async def create_storage(self) -> None:
        """See the port: sets the canary."""
        await self._reader.create_epoch()

    async def close(self) -> None:
        """See the port."""
        await self._server.close()


async def _before_another(attempt: int, most: float) -> None:
    """Wait a random moment, longer each time, before a statement is run again. Raises Timeout once the deadline is over."""
    left = ambient_context().remaining(most)
    if left <= 0 or attempt > _ATTEMPTS:
        raise too_late()
    await pause(min(left, random.uniform(0, 0.001 * 2 ** min(attempt, 5))))  # noqa: S311  # no secret
