"""A DELETE in MariaDB of rows that a query found, which may skip what others hold. It knows no condition.

Only a query can skip locked rows. It stands in the FROM of the DELETE, where it runs once and first, and holds each row
that it found; STRAIGHT_JOIN keeps the optimizer from beginning with the table, and so from waiting for the others.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import Executable

__all__ = ["DeleteFound"]


class DeleteFound(Executable, sa.ClauseElement):
    """A DELETE of the rows of a table whose keys a query of the same table returns."""

    inherit_cache = False

    def __init__(self, table: sa.Table, found: sa.Select[Any]) -> None:
        self.table, self.found = table, found.subquery("resourcekit_found")


@compiles(DeleteFound, "mysql", "mariadb")
def _text(element: DeleteFound, compiler: Any, **kw: Any) -> str:
    table = compiler.process(element.table, asfrom=True, **kw)
    found = compiler.process(element.found, asfrom=True, **kw)
    same = sa.and_(*(column == element.found.c[column.name] for column in element.table.primary_key))
    return f"DELETE {table} FROM {found} STRAIGHT_JOIN {table} ON {compiler.process(same, **kw)}"
