"""The store of one resource in an SQL database: it implements the port with plans, execution and operations.

A maintainer opens it to follow a call of an action down to the database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import attrs
import sqlalchemy as sa

from resourcekit.call_context import Call, CallMode, ambient_context, apart, call_deadline, call_mode
from resourcekit.clock import Clock, current_clock
from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    Insert,
    Operation,
    Params,
    Plan,
    Reference,
    Row,
    Store,
    Transaction,
    Update,
)
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.groups import figure_of
from resourcekit.data_layers.sql.compile.statement import SQLPlan
from resourcekit.data_layers.sql.dialects.columns import decode_moment, encode_moment
from resourcekit.data_layers.sql.execution.coalescing import Question, question_of
from resourcekit.data_layers.sql.execution.connection import Connection, change_in_savepoint
from resourcekit.data_layers.sql.execution.execute import Savepoint, execute, execute_async, open_savepoint, savepoint_of
from resourcekit.data_layers.sql.execution.failures import as_ours, storage_missing
from resourcekit.data_layers.sql.execution.fragment_errors import of_fragment
from resourcekit.data_layers.sql.execution.inserts import RowWriter, Written, write_rows
from resourcekit.data_layers.sql.execution.locked import LockedUpdate
from resourcekit.data_layers.sql.execution.streams import stream
from resourcekit.data_layers.sql.maintenance import leases, storage
from resourcekit.data_layers.sql.maintenance.foreign_keys import ForeignKeys
from resourcekit.data_layers.sql.maintenance.pages import PageRanges
from resourcekit.data_layers.sql.maintenance.sweep import KeyRanges, sweep
from resourcekit.data_layers.sql.repository import Repo
from resourcekit.data_layers.sql.transactions.scope import NestedTransaction
from resourcekit.data_layers.transactions import Outside, ambient
from resourcekit.dsl.diagnostics import Finding
from resourcekit.errors import DataLayerError, ForeignKeyViolation, Invalid, InvalidArgument, Unavailable
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import WriteResult

__all__ = ["CAPABILITIES", "SQLStore"]

T = TypeVar("T")

CAPABILITIES = frozenset(Capability) - {Capability.TTL, Capability.TENANT, Capability.CHANGE_FEED}
_NONE: tuple[Any, ...] = ()


class SQLStore(Store):
    """The store of one resource: a table of an SQL database."""

    capabilities = CAPABILITIES

    def __init__(
        self, info: ResourceInfo, repo: Repo, table: sa.Table, compiler: Compiler, leases: SQLStore | None = None
    ) -> None:
        self.info, self.repo, self.table, self._compiler, self._leases = info, repo, table, compiler, leases
        self._foreign_keys = ForeignKeys(info, table)
        self._is_made = False
        self._is_unchecked = True
        """The collations of the table, or whether there is a file of SQLite, were not checked yet."""

    @property
    def compiler(self) -> Compiler:
        """The compiler of operations for this table; statements of other resources use it for related rows."""
        return self._compiler

    @property
    def group(self) -> Hashable:
        """Return the Repo: all its stores are one group."""
        return self.repo

    @property
    def place(self) -> Hashable:
        """Return the database and table, independent of how URL and name are written."""
        return self.repo.place(self.table)

    @property
    def written_place(self) -> Hashable:
        """Return URL, schema and table. A Repo and its URL give the same value."""
        repo = self.repo.fresh
        return repo.url, repo.is_shared, self.table.schema, self.table.name

    async def identity(self) -> Hashable:
        if not self.repo.dialect.identity:
            return None
        found = await self.do(Connection.fetch, self.repo.dialect.identity, (self.table.schema, self.table.name), writes=False)
        return (self.repo.dialect.name, *found[0]) if found and None not in found[0] else None

    def compile(self, operation: Operation) -> Plan:
        if isinstance(operation, Insert):
            return RowWriter(operation, self._compiler, self.info)
        if isinstance(operation, Update) and operation.returning and not self.repo.dialect.returns_updates:
            return LockedUpdate(operation, self._compiler, self.info.primary_key)
        return SQLPlan(operation, self._compiler.statement, self._compiler.sends_whole)

    # Reading

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        assert isinstance(plan, SQLPlan)
        if call_mode.get() is not CallMode.SYNC and (asked := self._asked_together(plan, params)) is not None:
            return plan.statement.rows(await asked)
        statement, values = plan.prepared(params)
        try:
            if call_mode.get() is CallMode.SYNC:
                return statement.rows(self._run_sync(Connection.fetch, statement.sql, values, writes=False))
            return statement.rows(await self._run_async(Connection.fetch, statement.sql, values, writes=False))
        except Unavailable as error:
            raised = of_fragment(error, plan.operation, self.info.name)
        raise raised  # outside of the except block, as in _run_sync

    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        assert isinstance(plan, SQLPlan)
        statement, values = plan.prepared(params)
        self._require_file()
        return stream(self.repo, savepoint_of(self.repo), statement, values, partial(self._streamed, plan))

    def _streamed(self, plan: SQLPlan, error: Exception) -> Exception:
        raised = as_ours(error, self.repo.dialect)
        return of_fragment(raised, plan.operation, self.info.name) if isinstance(raised, Unavailable) else raised

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        assert isinstance(plan, SQLPlan)
        assert isinstance(plan.operation, Aggregate)
        if call_mode.get() is not CallMode.SYNC and (asked := self._asked_together(plan, params)) is not None:
            return bool(await asked)
        statement, values = plan.prepared(params)
        try:
            if call_mode.get() is CallMode.SYNC:
                found = self._run_sync(Connection.fetch, statement.sql, values, writes=False)
            else:
                found = await self._run_async(Connection.fetch, statement.sql, values, writes=False)
            return bool(found) if plan.operation.kind == "exists" else figure_of(plan.operation.kind, statement.rows(found))
        except Unavailable as error:
            raised = of_fragment(error, plan.operation, self.info.name)
        raise raised

    def _asked_together(self, plan: SQLPlan, params: Params) -> Awaitable[list[Any]] | None:
        """Read by key together with other tasks, in one statement; ``None`` if the read needs a statement of its own."""
        if plan.question is ...:
            plan.question = question_of(plan, self._compiler, self._run_async, self.repo.seconds)
        question: Question | None = None if plan.question is None else plan.question.of(params)
        if question is None or savepoint_of(self.repo) is not None or (keys := question.keys(params)) is None:
            return None
        deadline = call_deadline(self.repo, self.repo.seconds)
        if ambient_context().deadline is None:
            return question.ask(keys, deadline)
        # A call with more time than the default must not be limited to the timeout of the shared statement.
        return None if deadline.remaining() > self.repo.seconds else question.ask_within(deadline, keys)

    # Writing

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        assert isinstance(plan, RowWriter)
        sql, prepared = plan.prepared(rows, params)
        good = [stored for stored in prepared if not isinstance(stored, Exception)]
        if not good:
            return plan.result(rows, prepared, _NONE)
        # A single row needs no savepoint where an error of it leaves the transaction usable.
        nested = (len(good) > 1 or self.repo.dialect.aborts_transaction) and savepoint_of(self.repo) is not None
        raised = None
        written: Sequence[Any] = _NONE
        try:
            if call_mode.get() is CallMode.SYNC:
                written = self._run_sync(self.write, plan, sql, good, nested)
            else:
                written = await self._run_async(self.write, plan, sql, good, nested)
        except Unavailable as error:
            raised = of_fragment(error, plan.operation, self.info.name)
        if raised is not None:
            raise raised
        result = plan.result(rows, prepared, written, self._placed)
        if result.failures and self._foreign_keys:
            find = self._foreign_keys.found_of_row
            failures = [
                attrs.evolve(each, error=await find(self._fetch, each.error, plan, prepared[each.index], self._compiler))
                for each in result.failures
            ]
            result = attrs.evolve(result, failures=tuple(failures))
        return result

    def write(
        self, connection: Connection, writer: RowWriter, sql: str, rows: Sequence[Any], nested: bool
    ) -> list[Written]:  # passed on
        """Insert rows on a connection, and return the result of each."""
        return write_rows(connection, writer, sql, rows, nested)

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        try:
            return await self._change(plan, params)
        except (ForeignKeyViolation, Unavailable) as error:
            raised = error
        if isinstance(raised, Unavailable):
            raise of_fragment(raised, plan.operation, self.info.name)
        raise self._foreign_keys.named(raised, plan)  # outside of the except block, as in _run_sync

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        try:
            return await self._change(plan, params)
        except (ForeignKeyViolation, Unavailable) as error:
            raised = error
        if isinstance(raised, Unavailable):
            raise of_fragment(raised, plan.operation, self.info.name)
        raise await self._foreign_keys.found(self._fetch, raised, plan, params, self._compiler)

    async def _fetch(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        return await self.do(Connection.fetch, sql, values, writes=False)

    async def _change(self, plan: Plan, params: Params) -> WriteResult:
        if isinstance(plan.operation, Update) and not plan.operation.assignments:
            raise InvalidArgument("an Update needs assignments", resource=self.info.name)
        if isinstance(plan, LockedUpdate):
            rows = await self.do(plan.run, params, savepoint_of(self.repo) is not None)
            return WriteResult(len(rows), tuple(rows))
        assert isinstance(plan, SQLPlan)
        statement, values = plan.prepared(params)
        returning = plan.operation.returning  # type: ignore[union-attr]  # only updates and deletes come here
        guarded = self.repo.dialect.aborts_transaction and savepoint_of(self.repo) is not None
        change = change_in_savepoint if guarded else Connection.change
        if call_mode.get() is CallMode.SYNC:
            result = self._run_sync(change, statement, values, returning)
        else:
            result = await self._run_async(change, statement, values, returning)
        if not returning:
            return WriteResult(result)
        rows = statement.rows(result)
        return WriteResult(len(rows), tuple(rows))

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Delete in the order of the table's layout: its pages, or its primary key, depending on the dialect."""
        assert isinstance(plan, SQLPlan)
        self.refuse_inside_of_a_transaction()
        ranges = (PageRanges if self.repo.dialect.sweeps_pages else KeyRanges)(plan, self._compiler, params)
        return sweep(self, ranges, pace.total_seconds(), size)

    def refuse_inside_of_a_transaction(self) -> None:
        """Raise DataLayerError if a transaction is open, because a sweep could not commit inside it."""
        if savepoint_of(self.repo) is not None:
            msg = "a sweep makes transactions of its own; call delete_in_batches outside of a transaction"
            raise DataLayerError(msg)

    # Transactions, leases and storage

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction. It is a writer from its beginning, so it waits for other writers there."""
        return NestedTransaction(self.repo)

    def current_transaction(self) -> Savepoint | None:
        return savepoint_of(self.repo)

    def after_end(self, function: Callable[[BaseException | None], object]) -> bool:
        savepoint = open_savepoint(self.repo, self.repo.process_state, is_usable=False) if ambient.get() else None
        if savepoint is not None:
            savepoint.after_end(function)
        return savepoint is not None

    def outside(self) -> AbstractContextManager[None] | None:
        """Return a context manager for reads outside of the transaction, if it reads from a snapshot.

        Transactions that the Repo opened usually see what others commit. Transactions of the user may read from a snapshot.
        """
        if not ambient.get():
            return None
        savepoint = savepoint_of(self.repo)
        if savepoint is None or not savepoint.open_transaction.uses_snapshot:
            return None
        return Outside(self.repo)

    def lease(self, name: str, ttl: timedelta) -> leases.Lease:
        """Return a lease. All resources of a database share the names."""
        return leases.Lease(self._leases or self, name, ttl)

    async def record_setting(self, name: str, value: int, *, lowered_after: timedelta) -> int:
        """Record a number in the table of leases, under the name of this table."""
        self._require_file()
        return await leases.record_setting(self._leases or self, self._setting(name), value, lowered_after)

    async def recorded_setting(self, name: str) -> int | None:
        """Return the number that was recorded last for a name."""
        if self.repo.dialect.missing_file(self.repo.url) is not None:
            return None  # a connection would make an empty file
        return await leases.recorded_setting(self._leases or self, self._setting(name))

    def _setting(self, name: str) -> str:
        return f"setting:{self.table.fullname}:{name}"

    async def now(self) -> datetime:
        """Return the time of the server's clock; in tests that set a clock, the time of that clock."""
        clock = self.repo.dialect.clock_query
        if not clock or type(current_clock()) is not Clock:
            return current_clock().now()
        return decode_moment(int((await self.do(Connection.fetch, clock, (), writes=False))[0][0]))

    async def common_time(self) -> tuple[str, int]:
        """Return the name, and the time in microseconds, of a clock that all users of the database share. Leases use it."""
        name = self.repo.dialect.clock_name()
        if name:
            return name, int(current_clock().monotonic() * 1_000_000)
        return "", encode_moment(await self.now())

    def keep_reference(self, reference: Reference[Store]) -> None:
        holder, target = reference.holder, reference.target
        assert isinstance(holder, SQLStore)
        assert isinstance(target, SQLStore)
        self.repo.keeps_references = True
        if holder is self:
            self._foreign_keys.refer(reference, target.table)
        if target is self:
            self._foreign_keys.referred(reference, holder._foreign_keys)  # noqa: SLF001  # of the same class

    async def health(self) -> Iterable[Finding]:
        # On a connection with stale reads, which is never refused: problems of a server are reported here, not raised.
        if (path := self.repo.dialect.missing_file(self.repo.url)) is not None:
            return (storage.missing_file(path, self.info),)  # a connection would make an empty file
        repo, args = self.repo.stale, (self.info, self.table, self.repo.dialect.reads_stale)
        try:
            with apart(Call()):
                if call_mode.get() is CallMode.SYNC:
                    return execute(repo, storage.findings, args, False)
                return await execute_async(repo, storage.findings, *args, writes=False)
        except Exception as error:
            raised = self._placed(error)
        raise raised  # outside of the except block, as in _run_sync

    async def create_storage(self) -> None:
        tables = [self.table] if self._leases is None else [self.table, self._leases.table]
        await self.step(storage.create, tables, savepoint_of(self.repo) is not None)
        self._is_made = True

    async def create_storage_once(self) -> None:
        """Create storage, unless this process has done so already."""
        if not self._is_made:
            await self.create_storage()

    async def close(self) -> None:
        """Close the connections. All resources of the Repo share them."""
        await self.repo.close_everywhere()

    # Ways to a connection

    async def do(self, function: Callable[..., T], *args: Any, writes: bool = True) -> T:
        """Run ``function(connection, *args)`` in the call mode of the call."""
        if call_mode.get() is CallMode.SYNC:
            return self._run_sync(function, *args, writes=writes)
        return await self._run_async(function, *args, writes=writes)

    async def step(self, function: Callable[..., T], *args: Any, writes: bool = True) -> T:
        """Run a function as one step of a long operation. Each step has the full timeout of a call."""
        with apart(Call()):
            return await self.do(function, *args, writes=writes)

    def _run_sync(self, function: Callable[..., T], *args: Any, writes: bool = True) -> T:
        try:
            if self._is_unchecked:
                function, args = self._first(function, args)
            return execute(self.repo, function, args, writes)
        except Exception as error:
            raised = self._placed(error)
        raise raised  # raised outside of the except block, or its context would be the driver's error, which may contain values

    async def _run_async(self, function: Callable[..., T], *args: Any, writes: bool = True) -> T:
        try:
            if self._is_unchecked:
                function, args = self._first(function, args)
            return await execute_async(self.repo, function, *args, writes=writes)
        except Exception as error:
            raised = self._placed(error)
        raise raised  # outside of the except block, as in _run_sync

    def _require_file(self) -> None:
        """Raise Unavailable for an SQLite file that does not exist: a connection would make an empty one."""
        if self.repo.dialect.missing_file(self.repo.url) is not None:
            raise storage_missing(self.info.name)

    def _first(self, function: Callable[..., T], args: tuple[Any, ...]) -> tuple[Callable[..., T], tuple[Any, ...]]:
        """Return the function to run while the table is unchecked.

        ``findings`` runs without the check, to report on the table as it is.
        """
        if not self._is_unchecked or function is storage.findings:
            return function, args
        if not self.repo.dialect.is_server:
            if function is not storage.create:
                self._require_file()
            self._is_unchecked = False
            return function, args
        return self._checked, (function, args)

    def _checked(self, connection: Connection, function: Callable[..., T], args: tuple[Any, ...]) -> T:  # passed through run_sync
        """Check that the table compares text by code point, then run a function. A missing table stays unchecked."""
        storage.refuse_foreign_orders(connection, self.info, self.table)
        result = function(connection, *args)
        self._is_unchecked = False
        return result

    def _placed(self, error: Exception) -> Exception:
        """Return the error to raise: an error of resourcekit, with the names of the resource and of a violated constraint."""
        if isinstance(error, UnicodeError):  # of a driver, if its connection changed its character set; it contains the text
            return Invalid("a text cannot be written, or read, in the character set of the connection", resource=self.info.name)
        placed = as_ours(error, self.repo.dialect, self.table, self.info)
        return self._foreign_keys.named(placed) if isinstance(placed, ForeignKeyViolation) else placed
