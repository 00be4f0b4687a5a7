"""The store of one resource in an SQL database: the port, put together from plans, calls and work."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from resourcekit.data_layers.base import Aggregate, Capability, Insert, Operation, Params, Plan, Row, Store, Transaction, Update
from resourcekit.data_layers.outside import Outside
from resourcekit.data_layers.sql import leases, storage, work
from resourcekit.data_layers.sql.blocks import Block
from resourcekit.data_layers.sql.calls import level_of, perform, perform_async, seconds_left
from resourcekit.data_layers.sql.coalescing import Question, question_of
from resourcekit.data_layers.sql.columns import decode_moment, encode_moment
from resourcekit.data_layers.sql.failures import as_ours
from resourcekit.data_layers.sql.inserts import RowWriter
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.locked import LockedUpdate
from resourcekit.data_layers.sql.pages import PageRanges
from resourcekit.data_layers.sql.plans import Compiler, SQLPlan
from resourcekit.data_layers.sql.repo import Repo
from resourcekit.data_layers.sql.streams import stream
from resourcekit.data_layers.sql.sweep import KeyRanges, sweep
from resourcekit.data_layers.sql.transaction import ambient
from resourcekit.dsl.finding import Finding
from resourcekit.errors import DataLayerError
from resourcekit.flow.clock import Clock, current_clock
from resourcekit.flow.context import Colour, ambient_context, colour
from resourcekit.flow.result import WriteResult
from resourcekit.resource_info import ResourceInfo

__all__ = ["CAPABILITIES", "SQLStore"]

T = TypeVar("T")

CAPABILITIES = frozenset(Capability) - {Capability.LOCK, Capability.TTL, Capability.TENANT, Capability.CHANGE_FEED}
_NONE: tuple[Any, ...] = ()


class SQLStore(Store):
    """The table of one resource."""

    capabilities = CAPABILITIES

    def __init__(
        self, info: ResourceInfo, repo: Repo, table: sa.Table, compiler: Compiler, leases: SQLStore | None = None
    ) -> None:
        self.info, self.repo, self.table, self._compiler, self._leases = info, repo, table, compiler, leases
        self._is_made = False

    @property
    def group(self) -> Hashable:
        """All stores of a repo are one group."""
        return self.repo

    @property
    def place(self) -> Hashable:
        """A table of a repo."""
        return self.repo, self.table.name

    def compile(self, operation: Operation) -> Plan:
        """See the port."""
        if isinstance(operation, Insert):
            return RowWriter(operation, self._compiler, self.info)
        if isinstance(operation, Update) and operation.returning and not self.repo.room.returns_updates:
            return LockedUpdate(operation, self._compiler, self.info.primary_key)
        return SQLPlan(operation, self._compiler)

    # Reading

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """See the port."""
        assert isinstance(plan, SQLPlan)
        if colour.get() is not Colour.SYNC and (asked := self._asked_together(plan, params)) is not None:
            return plan.statement.rows(await asked)
        statement, values = plan.prepared(params)
        return statement.rows(await self.do(Link.fetch, statement.sql, values, writes=False))

    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """See the port."""
        assert isinstance(plan, SQLPlan)
        statement, values = plan.prepared(params)
        return stream(self.repo, level_of(self.repo), statement, values)

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        """See the port."""
        assert isinstance(plan, SQLPlan)
        assert isinstance(plan.operation, Aggregate)
        if colour.get() is not Colour.SYNC:
            if (asked := self._asked_together(plan, params)) is not None:
                return bool(await asked)
            statement, values = plan.prepared(params)
            found = await self._soon(Link.fetch, statement.sql, values, writes=False)
        else:
            statement, values = plan.prepared(params)
            raised, found = None, []
            try:
                found = perform(self.repo, Link.fetch, (statement.sql, values), False)
            except Exception as error:
                raised = self._placed(error)
            if raised is not None:
                raise raised  # see ``_now``
        if plan.operation.kind == "exists":
            return bool(found)
        return _figure(statement.rows(found))

    def _asked_together(self, plan: SQLPlan, params: Params) -> Awaitable[list[Any]] | None:
        """Ask for what a task wants by key together with what other tasks want; ``None`` where it has to ask alone."""
        if plan.question is ...:
            plan.question = question_of(plan, self._soon, self.repo.seconds)
        question: Question | None = plan.question
        if question is None or level_of(self.repo) is not None or (keys := question.keys(params)) is None:
            return None
        if ambient_context().ends_at is None:
            return question.ask(keys)
        seconds = seconds_left(self.repo)
        # One that waits longer than others would be told to wait no longer than they do.
        return None if seconds > self.repo.seconds else question.ask_within(seconds, keys)

    # Writing

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        """See the port."""
        assert isinstance(plan, RowWriter)
        sql, prepared = plan.prepared(rows, params)
        good = [stored for stored in prepared if not isinstance(stored, Exception)]
        if not good:
            return plan.result(rows, prepared, _NONE)
        written = await self.do(self.write, plan, sql, good, level_of(self.repo) is not None)
        return plan.result(rows, prepared, written, lambda error: as_ours(error, self.repo.room, self.table, self.info))

    def write(
        self, link: Link, writer: RowWriter, sql: str, rows: Sequence[Any], nested: bool
    ) -> list[work.Written]:  # passed on
        """Insert rows on a connection, and say what became of each."""
        return work.write_rows(link, writer, sql, rows, nested)

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        """See the port."""
        return await self._change(plan, params)

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        """See the port."""
        return await self._change(plan, params)

    async def _change(self, plan: Plan, params: Params) -> WriteResult:
        if isinstance(plan.operation, Update) and not plan.operation.assignments:
            msg = "an update without assignments"
            raise ValueError(msg)
        nested = level_of(self.repo) is not None
        if isinstance(plan, LockedUpdate):
            rows = await self.do(plan.run, params, nested)
            return WriteResult(len(rows), tuple(rows))
        assert isinstance(plan, SQLPlan)
        statement, values = plan.prepared(params)
        returning = plan.operation.returning  # type: ignore[union-attr]  # only updates and deletes come here
        if colour.get() is Colour.SYNC:
            told = self._now(work.change, statement.sql, values, returning, nested)
        else:
            told = await self._soon(work.change, statement.sql, values, returning, nested)
        if not returning:
            return WriteResult(told)
        rows = statement.rows(told)
        return WriteResult(len(rows), tuple(rows))

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """See the port; the layout is what the room says: the pages of the table, or the order of the primary key."""
        assert isinstance(plan, SQLPlan)
        self.refuse_inside_of_a_transaction()
        ranges = (PageRanges if self.repo.room.sweeps_pages else KeyRanges)(plan, self.table, params)
        return sweep(self, ranges, pace.total_seconds(), size)

    def refuse_inside_of_a_transaction(self) -> None:
        """Raise DataLayerError where a transaction is open, which a sweep could not commit."""
        if level_of(self.repo) is not None:
            msg = "a sweep makes transactions of its own; call delete_in_batches outside of a transaction"
            raise DataLayerError(msg)

    # Transactions, and what is around

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """See the port; it is a writer from its beginning, and so waits for other writers there."""
        return Block(self.repo)

    def current_transaction(self) -> Transaction | None:
        """See the port."""
        return level_of(self.repo)

    def outside(self) -> AbstractContextManager[None] | None:
        """See the port; a transaction of ours sees what is committed, one of the user's may see the rows of one moment."""
        if not ambient.get():
            return None
        level = level_of(self.repo)
        if level is None or not level.root.looks_back:
            return None
        return Outside(ambient, {repo: other for repo, other in ambient.get().items() if repo is not self.repo})

    def lease(self, name: str, ttl: timedelta) -> leases.Lease:
        """See the port; all resources of a database share the names."""
        return leases.Lease(self._leases or self, name, ttl)

    async def now(self) -> datetime:
        """See the port; the server's clock, unless a test moves the time by hand."""
        clock = self.repo.room.clock()
        if not clock or type(current_clock()) is not Clock:
            return current_clock().now()
        return decode_moment(int((await self.do(Link.fetch, clock, (), writes=False))[0][0]))

    async def common_time(self) -> tuple[str, int]:
        """Return the name and the microseconds of a clock that all users of the database share; leases are counted by it."""
        name = self.repo.room.clock_name()
        if name:
            return name, int(current_clock().monotonic() * 1_000_000)
        return "", encode_moment(await self.now())

    async def health(self) -> Iterable[Finding]:
        """See the port."""
        return await self.do(storage.findings, self.info, self.table, writes=False)

    async def create_storage(self) -> None:
        """See the port."""
        tables = [self.table] if self._leases is None else [self.table, self._leases.table]
        await self.do(storage.create, tables, level_of(self.repo) is not None)
        self._is_made = True

    async def create_storage_once(self) -> None:
        """Do so, unless this process has done it."""
        if not self._is_made:
            await self.create_storage()

    async def close(self) -> None:
        """See the port; the connections are those of all resources of the repo."""
        await self.repo.close()

    # Ways to a connection

    async def do(self, function: Callable[..., T], *args: Any, writes: bool = True) -> T:
        """Run ``function(link, *args)`` in the colour of the call."""
        if colour.get() is Colour.SYNC:
            return self._now(function, *args, writes=writes)
        return await self._soon(function, *args, writes=writes)

    def _now(self, function: Callable[..., T], *args: Any, writes: bool = True) -> T:
        try:
            return perform(self.repo, function, args, writes)
        except Exception as error:
            raised = self._placed(error)
        raise raised  # out here, or it would carry the driver's error along, and with it values of records

    async def _soon(self, function: Callable[..., T], *args: Any, writes: bool = True) -> T:
        try:
            return await perform_async(self.repo, function, *args, writes=writes)
        except Exception as error:
            raised = self._placed(error)
        raise raised  # see above

    def _placed(self, error: Exception) -> Exception:
        """Return the error to raise: ours, with the resource's name, and the constraint's where one was hit."""
        return as_ours(error, self.repo.room, self.table, self.info)


def _figure(rows: Sequence[Row]) -> Any:
    """Return the one figure of an aggregate; ``None`` of nothing."""
    if rows and "high" in rows[0]:
        return _whole_sum(rows[0]["high"], rows[0]["low"])
    figures = [row["figure"] for row in rows if row["figure"] is not None]
    return functools.reduce(operator.add, figures) if figures else None


def _whole_sum(high: int | None, low: Any) -> Any:
    """Put the two halves of a sum together (see ``plans``)."""
    if high is None:
        return None
    upper = high << 32
    return timedelta(microseconds=upper) + low if isinstance(low, timedelta) else upper + low
