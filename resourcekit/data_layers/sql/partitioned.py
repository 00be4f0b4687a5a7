"""The store of a partitioned table: how it writes, and how expired partitions are dropped as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.base import Capability, DeleteInBatches, Params, Plan
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.statement import SQLPlan
from resourcekit.data_layers.sql.dialects.error_info import ErrorKind
from resourcekit.data_layers.sql.dialects.postgresql.partitions import REST, Layout, brief
from resourcekit.data_layers.sql.execution.connection import Connection, atomically
from resourcekit.data_layers.sql.execution.execute import savepoint_of
from resourcekit.data_layers.sql.execution.inserts import RowWriter, Written, write_rows
from resourcekit.data_layers.sql.maintenance.pages import PageRanges
from resourcekit.data_layers.sql.maintenance.sweep import sweep
from resourcekit.data_layers.sql.repository import Repo
from resourcekit.data_layers.sql.store import SQLStore
from resourcekit.expressions.nodes import And, Argument, Compare, Expression, Field, Param, Value
from resourcekit.resource_info import ResourceInfo

__all__ = ["PartitionedStore"]

_SLICE = 20_000
"""Pages that one statement counts or summarizes."""

_BLOCK = 128
"""Pages per summary of a BRIN index."""


class PartitionedStore(SQLStore):
    """The partitioned table of one resource."""

    capabilities = SQLStore.capabilities - {Capability.REFERENCES}  # the key of a partitioned table has one column more

    def __init__(
        self, info: ResourceInfo, repo: Repo, table: sa.Table, compiler: Compiler, leases: SQLStore | None, layout: Layout
    ) -> None:
        super().__init__(info, repo, table, compiler, leases)
        self.layout = layout

    def write(self, connection: Connection, writer: RowWriter, sql: str, rows: Sequence[Any], nested: bool) -> list[Written]:
        """Insert rows. Many rows lock the table for other writers."""
        if len(rows) == 1:
            return super().write(connection, writer, sql, rows, nested)

        def write() -> list[Written]:
            self.layout.lock_for(connection, len(rows))
            return write_rows(connection, writer, sql, rows, nested=True)

        return atomically(connection, write, nested=nested)

    async def create_storage(self) -> None:
        """Create tables and indexes, and partitions for the near future."""
        await super().create_storage()
        await self.step(_prepare, self.layout, savepoint_of(self.repo) is not None)

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Create partitions for the near future, drop expired partitions as a whole, and then delete in the others."""
        assert isinstance(plan, SQLPlan)
        assert isinstance(plan.operation, DeleteInBatches)
        self.refuse_inside_of_a_transaction()
        return self._sweep(plan, params, pace.total_seconds(), size)

    async def _sweep(self, plan: SQLPlan, params: Params, pace: float, size: int | None) -> AsyncIterator[int]:
        await self.step(_prepare_if_possible, self.layout)
        condition = plan.operation.condition  # type: ignore[union-attr]  # delete_in_batches has checked the type
        before = _before(condition, self.layout.partitions.by, params)
        numbers = await self.step(self.layout.there, writes=False)
        if before is not None:
            last = self.layout.number_at(before)
            if isinstance(condition, Compare):
                for number in [each for each in numbers if each != REST and each < last]:
                    if not await self._detach(number, before):
                        break  # a session that holds the table once may hold it for long; do not block others again and again
            numbers = [each for each in await self.step(self.layout.there, writes=False) if each <= last]
        # All detached partitions, not only those of this sweep: one that was interrupted may have left some.
        for name in await self.step(_detached, self.layout, writes=False):
            count = await self._counted(name)
            if await self.step(_drop, name):
                yield count
        names = [f"{self.table.name}_{self.layout.ending(number)}" for number in numbers]
        async for removed in sweep(self, PageRanges(plan, self._compiler, params, parts=names), pace, size):
            yield removed

    async def _detach(self, number: int, before: datetime) -> bool:
        name = self.layout.named(self.layout.ending(number))
        for start in range(0, await self.step(_pages, name, writes=False), _SLICE):
            await self.step(_summarize, name, start)
        return (
            await self.step(_detach, self.layout, name, self.compiler.codecs[self.layout.partitions.by].encode(before))
            is not None
        )

    async def _counted(self, name: str) -> int:
        pages = await self.step(_pages, name, writes=False)
        return sum([await self.step(_count, name, start, writes=False) for start in range(0, pages, _SLICE)])


def _prepare(connection: Connection, layout: Layout, nested: bool, *, waits: bool = True) -> None:
    """Create missing partitions and the function, while other processes that do the same wait."""
    if layout.is_ready(connection):
        return

    def make() -> None:
        with connection.dialect.alone(connection), contextlib.nullcontext() if waits else brief(connection):
            connection.run(layout.function())
            for number in sorted(set(layout.wanted()) - set(layout.there(connection))):
                layout.make(connection, number)

    atomically(connection, make, nested=nested)


def _prepare_if_possible(connection: Connection, layout: Layout) -> None:
    """Create missing partitions, unless others hold a lock on the table. Then the next sweep tries again."""
    try:
        _prepare(connection, layout, False, waits=False)
    except connection.dialect.errors as error:
        if connection.dialect.explain(error, None).kind is not ErrorKind.BUSY:
            raise


def _before(condition: Expression | None, by: str, params: Params) -> datetime | None:
    """Return the time before which all matching records expire; ``None`` if the condition does not limit that."""
    match condition:
        case Compare("<", Field(name), Param(param) | Argument(param)) if name == by:
            moment = params[param]
        case Compare("<", Field(name), Value(moment)) if name == by:
            pass
        case And(parts):
            return next((found for part in parts if (found := _before(part, by, params)) is not None), None)
        case _:
            return None
    return moment if isinstance(moment, datetime) else None


def _pages(connection: Connection, name: str) -> int:
    sql = "SELECT coalesce(pg_relation_size(to_regclass(%s)) / current_setting('block_size')::int, 0)"
    return int(connection.fetch(sql, (name,))[0][0])


def _summarize(connection: Connection, name: str, start: int) -> None:
    """Update the BRIN summaries of a part of a partition, so that its latest expiry is found quickly."""
    connection.fetch(
        "SELECT brin_summarize_range(i.indexrelid, block) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_am m ON m.oid = c.relam AND m.amname = 'brin', generate_series(%s::bigint, %s::bigint, %s::bigint) AS block "
        "WHERE i.indrelid = to_regclass(%s)",
        (start, start + _SLICE - 1, _BLOCK, name),
    )


def _detach(connection: Connection, layout: Layout, name: str, before: Any) -> bool | None:
    """Detach a partition if all its records expire before a time. Nothing can be written to it during the check.

    A comment on the detached table marks it. Return ``None`` if other sessions hold a lock on the table for too long; then
    nothing is done, and the next sweep tries again.
    """
    by = layout.table.c[layout.partitions.by]
    column = connection.dialect.sa_dialect.identifier_preparer.quote(by.name)

    def detach() -> bool:
        with brief(connection):
            connection.run(f"LOCK TABLE ONLY {layout.name} IN ACCESS EXCLUSIVE MODE")
            connection.run(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
            connection.run("SET LOCAL enable_seqscan = off")
            if connection.fetch(f"SELECT 1 FROM {name} WHERE {column} >= %s LIMIT 1", (before,)):  # noqa: S608  # quoted
                return False
            connection.run(f"ALTER TABLE {layout.name} DETACH PARTITION {name}")
            connection.run(f"COMMENT ON TABLE {name} IS '{_left(layout)}'")
            return True

    try:
        return atomically(connection, detach, nested=False)
    except connection.dialect.errors as error:
        kind = connection.dialect.explain(error, None).kind
        if kind not in (ErrorKind.BUSY, ErrorKind.NO_STORAGE):
            raise
        return None if kind is ErrorKind.BUSY else False


def _left(layout: Layout) -> str:
    """Return the comment of a detached partition. No table of other programs has it."""
    return f"resourcekit: all of this has expired, it was a part of table {layout.lock}"


def _detached(connection: Connection, layout: Layout) -> list[str]:
    """Return the quoted names of detached partitions that still exist.

    The name is read from the catalogue and not from ``oid::regclass``, which gives the bare number of a table that another sweep
    drops meanwhile.
    """
    found = connection.fetch(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c "
        "JOIN pg_class p ON p.oid = to_regclass(%s) AND c.relnamespace = p.relnamespace JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') = %s ORDER BY c.relname",
        (layout.name, _left(layout)),
    )
    return [name for (name,) in found]


def _count(connection: Connection, name: str, start: int) -> int:
    sql = f"SELECT count(*) FROM {name} WHERE ctid >= %s::tid AND ctid < %s::tid"  # noqa: S608  # quoted
    try:
        return int(connection.fetch(sql, (f"({start},0)", f"({start + _SLICE},0)"))[0][0])
    except connection.dialect.errors as error:
        if connection.dialect.explain(error, None).kind is not ErrorKind.NO_STORAGE:
            raise
        return 0  # another sweep has dropped it


def _drop(connection: Connection, name: str) -> bool:
    """Drop a detached partition. Return false if another process has dropped it already."""
    try:
        connection.run(f"DROP TABLE {name}")
    except connection.dialect.errors as error:
        if connection.dialect.explain(error, None).kind is not ErrorKind.NO_STORAGE:
            raise
        return False
    return True
