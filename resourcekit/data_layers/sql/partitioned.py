"""The store of a table in partitions: how it is written, and how partitions behind are dropped as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.base import DeleteInBatches, Params, Plan
from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.calls import level_of
from resourcekit.data_layers.sql.columns import encode_moment
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.pages import PageRanges
from resourcekit.data_layers.sql.plans import Compiler, SQLPlan
from resourcekit.data_layers.sql.postgresql.partitions import REST, Layout, brief
from resourcekit.data_layers.sql.repo import Repo
from resourcekit.data_layers.sql.store import SQLStore
from resourcekit.data_layers.sql.sweep import sweep
from resourcekit.data_layers.sql.trouble import TroubleKind
from resourcekit.flow.expression import And, Argument, Compare, Expression, Field, Param, Value
from resourcekit.resource_info import ResourceInfo

__all__ = ["PartitionedStore"]

_SLICE = 20_000
"""Pages that are counted, or summarized, by one statement."""

_BLOCK = 128
"""Pages of which a BRIN index keeps one summary."""


class PartitionedStore(SQLStore):
    """The table of one resource, in partitions."""

    def __init__(
        self, info: ResourceInfo, repo: Repo, table: sa.Table, compiler: Compiler, leases: SQLStore | None, layout: Layout
    ) -> None:
        super().__init__(info, repo, table, compiler, leases)
        self.layout = layout

    def write(self, link: Link, writer: Any, sql: str, rows: Sequence[Any], nested: bool) -> list[work.Written]:
        """See SQLStore; many rows lock the table for other writers."""
        if len(rows) == 1:
            return super().write(link, writer, sql, rows, nested)

        def write() -> list[work.Written]:
            self.layout.lock_for(link, len(rows))
            return work.write_rows(link, writer, sql, rows, nested=True)

        return work.atomically(link, write, nested=nested)

    async def create_storage(self) -> None:
        """See the port; makes partitions ahead, too."""
        await super().create_storage()
        await self.do(self.layout.prepare, level_of(self.repo) is not None)

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """See the port; makes partitions ahead, and drops what has expired as a whole before it goes through the others."""
        assert isinstance(plan, SQLPlan)
        assert isinstance(plan.operation, DeleteInBatches)
        self.refuse_inside_of_a_transaction()
        return self._sweep(plan, params, pace.total_seconds(), size)

    async def _sweep(self, plan: SQLPlan, params: Params, pace: float, size: int | None) -> AsyncIterator[int]:
        await self.do(self.layout.prepare_if_possible)
        condition = plan.operation.condition  # type: ignore[union-attr]  # see delete_in_batches
        before = _before(condition, self.layout.partitions.by, params)
        numbers = await self.do(self.layout.there, writes=False)
        if before is not None:
            last = self.layout.number_at(before)
            if isinstance(condition, Compare):
                for number in [each for each in numbers if each != REST and each < last]:
                    if not await self._detach(number, before):
                        break  # who holds the table once may hold it for long: do not keep others waiting again and again
            numbers = [each for each in await self.do(self.layout.there, writes=False) if each <= last]
        # Whoever detached them: a sweep that was broken off may have left some.
        for name in await self.do(_detached, self.layout, writes=False):
            count = await self._counted(name)
            if await self.do(_drop, name):
                yield count
        names = [f"{self.table.name}_{self.layout.ending(number)}" for number in numbers]
        async for removed in sweep(self, PageRanges(plan, self.table, params, parts=names), pace, size):
            yield removed

    async def _detach(self, number: int, before: datetime) -> bool:
        name = self.layout.named(self.layout.ending(number))
        for start in range(0, await self.do(_pages, name, writes=False), _SLICE):
            await self.do(_summarize, name, start)
        return await self.do(_detach, self.layout, name, encode_moment(before)) is not None

    async def _counted(self, name: str) -> int:
        pages = await self.do(_pages, name, writes=False)
        return sum([await self.do(_count, name, start, writes=False) for start in range(0, pages, _SLICE)])


def _before(condition: Expression | None, by: str, params: Params) -> datetime | None:
    """Return the moment before which all that a condition holds for expires; ``None`` where it asks for something else."""
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


def _pages(link: Link, name: str) -> int:
    sql = "SELECT coalesce(pg_relation_size(to_regclass(%s)) / current_setting('block_size')::int, 0)"
    return int(link.fetch(sql, (name,))[0][0])


def _summarize(link: Link, name: str, start: int) -> None:
    """Bring the summaries of a part of a partition up to date, so that what expires latest in it is known at once."""
    link.fetch(
        "SELECT brin_summarize_range(i.indexrelid, block) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_am m ON m.oid = c.relam AND m.amname = 'brin', generate_series(%s::bigint, %s::bigint, %s::bigint) AS block "
        "WHERE i.indrelid = to_regclass(%s)",
        (start, start + _SLICE - 1, _BLOCK, name),
    )


def _detach(link: Link, layout: Layout, name: str, before: int) -> bool | None:
    """Take a partition out of the table, if all of it expires before; nobody can write to it while that is found out.

    Says so in a comment, by which the partition is known from now on. ``None``: others hold the table for more than a moment,
    so that nothing is done, and the next sweep tries again.
    """
    by = layout.table.c[layout.partitions.by]
    column = link.room.dialect.identifier_preparer.quote(by.name)

    def detach() -> bool:
        with brief(link):
            link.run(f"LOCK TABLE ONLY {layout.name} IN ACCESS EXCLUSIVE MODE")
            link.run(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
            link.run("SET LOCAL enable_seqscan = off")
            if link.fetch(f"SELECT 1 FROM {name} WHERE {column} >= %s LIMIT 1", (before,)):  # noqa: S608  # quoted
                return False
            link.run(f"ALTER TABLE {layout.name} DETACH PARTITION {name}")
            link.run(f"COMMENT ON TABLE {name} IS '{_left(layout)}'")
            return True

    try:
        return work.atomically(link, detach, nested=False)
    except link.room.errors as error:
        kind = link.room.explain(error, None).kind
        if kind not in (TroubleKind.BUSY, TroubleKind.NO_STORAGE):
            raise
        return None if kind is TroubleKind.BUSY else False


def _left(layout: Layout) -> str:
    """Return what is said of a partition that was taken out; of no table of anybody else's."""
    return f"resourcekit: all of this has expired, it was a part of table {layout.lock}"


def _detached(link: Link, layout: Layout) -> list[str]:
    """Return the names of partitions that were taken out of the table and are still there, quoted."""
    found = link.fetch(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_class p ON p.oid = to_regclass(%s) AND c.relnamespace = p.relnamespace "
        "WHERE c.relkind = 'r' AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') = %s ORDER BY c.relname",
        (layout.name, _left(layout)),
    )
    return [name for (name,) in found]


def _count(link: Link, name: str, start: int) -> int:
    sql = f"SELECT count(*) FROM {name} WHERE ctid >= %s::tid AND ctid < %s::tid"  # noqa: S608  # quoted
    try:
        return int(link.fetch(sql, (f"({start},0)", f"({start + _SLICE},0)"))[0][0])
    except link.room.errors as error:
        if link.room.explain(error, None).kind is not TroubleKind.NO_STORAGE:
            raise
        return 0  # another sweep has dropped it


def _drop(link: Link, name: str) -> bool:
    """Drop a partition that was taken out; say whether nobody else has done so."""
    try:
        link.run(f"DROP TABLE {name}")
    except link.room.errors as error:
        if link.room.explain(error, None).kind is not TroubleKind.NO_STORAGE:
            raise
        return False
    return True
