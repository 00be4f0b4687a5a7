"""Ranges of a table's pages, for a database that keeps rows where it found room: touches each page of it once.

Rows that are added meanwhile lie at the end, and the last range has no end, so that it meets them. A row that is
written anew meanwhile may move to a page that has been passed; if it still matches, the next sweep takes it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.base import DeleteInBatches, Params
from resourcekit.data_layers.sql.expressions import Bind, Builder
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.plans import SQLPlan
from resourcekit.data_layers.sql.shapes import shaped
from resourcekit.data_layers.sql.statement import Statement

__all__ = ["PageRanges"]

_BEGIN = "(0,0)"


def _read(place: str) -> tuple[int, int]:
    """Return page and row of a ctid."""
    page, row = place.strip("()").split(",")
    return int(page), int(row)


class PageRanges:
    """Ranges of ``ctid`` on PostgreSQL 14 or later, which scans nothing but the range. A place in the table is such a ctid."""

    first, least, most = 32, 1, 20_000

    def __init__(self, plan: SQLPlan, table: sa.Table, params: Params) -> None:
        assert isinstance(plan.operation, DeleteInBatches)
        self._compiler, self._params = plan.compiler, params
        preparer = plan.compiler.dialect.identifier_preparer
        self._name = preparer.format_table(table)
        condition = shaped(plan.operation, params).condition  # type: ignore[union-attr]  # the same kind of operation
        self._bounded = self._delete(table, condition, to_high=True)
        self._open = self._delete(table, condition, to_high=False)
        self._pages = 0
        self._by_rows = False

    def amount(self, link: Link, rows: int) -> int:
        """See Ranges; counted in pages, until somebody asks for so many rows."""
        self._by_rows = True
        return rows

    def end(self, link: Link, low: str | None, amount: int) -> str | None:
        """See Ranges."""
        return self._after_rows(link, low or _BEGIN, amount) if self._by_rows else self._after_pages(link, low or _BEGIN, amount)

    def _after_rows(self, link: Link, low: str, amount: int) -> str | None:
        sql = f"SELECT count(*), max(ctid)::text FROM (SELECT ctid FROM {self._name} WHERE ctid >= %s::tid LIMIT %s) AS found"  # noqa: S608  # quoted
        count, last = link.fetch(sql, (low, amount))[0]
        if count < amount:
            return None
        page, row = _read(last)
        return f"({page},{row + 1})"

    def _after_pages(self, link: Link, low: str, amount: int) -> str | None:
        high = _read(low)[0] + amount
        if high >= self._pages:
            size = "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int"
            self._pages = link.fetch(size, (self._name.replace("%%", "%"),))[0][0]
        return f"({high},0)" if high < self._pages else None

    def delete(self, link: Link, low: str | None, high: str | None) -> int:
        """See Ranges."""
        bounds = {"resourcekit low": low or _BEGIN, "resourcekit high": high}
        statement = self._open if high is None else self._bounded
        return link.run(statement.sql, statement.values({**self._params, **bounds}))

    def _delete(self, table: sa.Table, condition: Any, *, to_high: bool) -> Statement:
        builder = Builder(self._compiler.room, table, self._compiler.codecs, self._compiler.resource)
        built: Any = sa.delete(table)
        if condition is not None:
            built = built.where(builder.test(condition))
        for name, operator in (("low", ">="), ("high", "<")) if to_high else (("low", ">="),):
            builder.binds[name] = Bind(f"resourcekit {name}", str)
            place = sa.literal_column("ctid").op(operator, is_comparison=True)
            built = built.where(place(sa.bindparam(name).op("::")(sa.literal_column("tid"))))
        return Statement(built, self._compiler.dialect, builder.binds, self._compiler.resource)
