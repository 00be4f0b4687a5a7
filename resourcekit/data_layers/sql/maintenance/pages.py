"""Ranges of a table's pages, for a database that stores rows in any free page. A sweep visits each page once.

Rows that are added meanwhile are at the end. The last range has no end, so it includes them. A row that is updated meanwhile
may move to a page that was already visited; if it still matches, the next sweep deletes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import DeleteInBatches, Params
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.expressions import Builder
from resourcekit.data_layers.sql.compile.parts import Bind
from resourcekit.data_layers.sql.compile.statement import SQLPlan, Statement
from resourcekit.data_layers.sql.compile.variants import shaped
from resourcekit.data_layers.sql.dialects.error_info import ErrorKind
from resourcekit.data_layers.sql.execution.connection import Connection

__all__ = ["PageRanges"]

_BEGIN = "(0,0)"

_PARTS = (
    "SELECT n.nspname, c.relname FROM pg_partition_tree(to_regclass(%s)) t JOIN pg_class c ON c.oid = t.relid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.isleaf AND c.relkind = 'r' ORDER BY c.relname"
)
"""Query for the leaf partitions; no rows if the table is not partitioned."""


@attrs.frozen
class Place:
    """The begin or end of a range. part: index of the partition; ctid: position in the partition."""

    part: int = 0
    ctid: str = _BEGIN


def _read(ctid: str) -> tuple[int, int]:
    """Return the page and row numbers of a ctid."""
    page, row = ctid.strip("()").split(",")
    return int(page), int(row)


class PageRanges:
    """Ranges of ``ctid``, partition after partition. PostgreSQL 14 or later scans only the range."""

    first, least, most = 32, 1, 20_000

    def __init__(self, plan: SQLPlan, compiler: Compiler, params: Params, *, parts: Sequence[str] | None = None) -> None:
        """Take only the partitions with these names, if ``parts`` is given; otherwise all partitions."""
        assert isinstance(plan.operation, DeleteInBatches)
        self._compiler, self._params, table = compiler, params, compiler.table
        self._table, self._condition = table, shaped(plan.operation, params).condition  # type: ignore[union-attr]  # the same kind
        self._statements: dict[tuple[int, bool, bool], Statement] = {}
        self._parts = [table.to_metadata(sa.MetaData(), name=name) for name in parts or ()]
        self.loose = parts is not None
        self._pages: dict[int, int] = {}
        self._by_rows = False

    def amount(self, connection: Connection, rows: int) -> int:
        """Return the row count, and switch from counting pages to counting rows."""
        self._by_rows = True
        return rows

    def end(self, connection: Connection, low: Place | None, amount: int) -> Place | None:
        """Return the place at which the range ends; ``None`` if it is the last range."""
        if not self._parts:
            found = connection.fetch(_PARTS, (self._name(self._table),))
            self._parts = [self._part(schema, name) for schema, name in found] or [self._table]
        low = low or Place()
        ctid = (self._after_rows if self._by_rows else self._after_pages)(connection, low, amount)
        if ctid is not None:
            return Place(low.part, ctid)
        return Place(low.part + 1) if low.part + 1 < len(self._parts) else None

    def _part(self, schema: str, name: str) -> sa.Table:
        """Return a partition as a table of its own, because a ctid is a position in one partition."""
        return self._table.to_metadata(sa.MetaData(), schema=schema, name=name)

    def _name(self, table: sa.Table, *, in_text: bool = False) -> str:
        name = self._compiler.sa_dialect.identifier_preparer.format_table(table)
        return name if in_text else name.replace("%%", "%")

    def _after_rows(self, connection: Connection, low: Place, amount: int) -> str | None:
        name = self._name(self._parts[low.part], in_text=True)
        sql = f"SELECT count(*), max(ctid)::text FROM (SELECT ctid FROM {name} WHERE ctid >= %s::tid LIMIT %s) AS found"  # noqa: S608  # quoted
        try:
            count, last = connection.fetch(sql, (low.ctid, amount))[0]
        except connection.dialect.errors as error:
            if not self.loose or connection.dialect.explain(error, None).kind is not ErrorKind.NO_STORAGE:
                raise
            return None
        if count < amount:
            return None
        page, row = _read(last)
        return f"({page},{row + 1})"

    def _after_pages(self, connection: Connection, low: Place, amount: int) -> str | None:
        high = _read(low.ctid)[0] + amount
        if high >= self._pages.get(low.part, 0):
            size = "SELECT coalesce(pg_relation_size(to_regclass(%s)) / current_setting('block_size')::int, 0)"
            self._pages[low.part] = connection.fetch(size, (self._name(self._parts[low.part]),))[0][0]
        return f"({high},0)" if high < self._pages[low.part] else None

    def delete(self, connection: Connection, low: Place | None, high: Place | None, *, skips: bool) -> int:
        """Delete the matching rows between two places, and return their number."""
        low = low or Place()
        to_high = high is not None and high.part == low.part
        shape = low.part, to_high, skips
        if shape not in self._statements:
            self._statements[shape] = self._delete(*shape)
        bounds = {"resourcekit low": low.ctid, "resourcekit high": high.ctid if high else ""}
        statement = self._statements[shape]
        return connection.run(statement.sql, statement.values({**self._params, **bounds}))

    def _delete(self, part: int, to_high: bool, skips: bool) -> Statement:
        dialect, table = self._compiler.dialect, self._parts[part]
        builder = Builder(dialect, table, self._compiler.codecs, self._compiler.resource)
        place: sa.ColumnElement[Any] = sa.literal_column("ctid")
        built: Any = sa.select(place).select_from(table).with_for_update(skip_locked=True) if skips else sa.delete(table)
        if self._condition is not None:
            built = built.where(builder.test(self._condition))
        for name, operator in (("low", ">="), ("high", "<")) if to_high else (("low", ">="),):
            builder.binds[name] = Bind(f"resourcekit {name}", str)
            bound = sa.bindparam(name).op("::")(sa.literal_column("tid"))
            built = built.where(place.op(operator, is_comparison=True)(bound))
        if skips:
            built = dialect.delete_unlocked(table, built)
            if self._condition is not None:
                built = built.where(builder.test(self._condition))
        return Statement(built, self._compiler.sa_dialect, builder.binds, self._compiler.resource)
