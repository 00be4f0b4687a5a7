"""Inserts with a conflict clause in MariaDB, and deletes that skip locked rows.

ON DUPLICATE KEY UPDATE applies to conflicts with every unique index, not only the intended one. Its row count does not show
the outcome, and it has no WHERE. So the first assignment computes a mark, a session variable, from the conflicting index and
the condition. All other assignments take effect only if the mark allows it. RETURNING returns the mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import quoted_name
from sqlalchemy.sql.base import Executable

from resourcekit.data_layers.sql.dialects.base import Conflict, ConnectionLike, Element
from resourcekit.results import Outcome

__all__ = ["MARK", "DeleteFound", "came", "insert", "on_conflict", "outcome", "send_many"]

MARK = "@resourcekit_mark"
_NEW, _UPDATED, _SKIPPED, _TAKEN = 0, 1, 2, 10
"""Values of the mark. Values from the last one on give the unique group that the row conflicts with."""

_ROW = re.compile(rf"VALUES (\(IF\({MARK} := {_NEW}, NULL, %s\)(?:, %s)*\)) ON DUPLICATE KEY UPDATE")
"""The values of one row in the text of such an insert."""

_MOST, _LONGEST = 250, 256 * 1024
"""Most rows, and most characters of values, in one statement. Both are far below the packet size that every server accepts."""

_OUTCOMES = {_NEW: Outcome.INSERTED, _UPDATED: Outcome.UPDATED, _SKIPPED: Outcome.SKIPPED}


def insert(table: sa.Table, values: Mapping[str, Element]) -> Any:
    """Return an insert of a row whose first value resets the mark."""
    first = next(iter(values))
    reset: Element = sa.literal_column(f"{MARK} := {_NEW}")
    return mysql.insert(table).values({**values, first: sa.func.IF(reset, sa.null(), values[first])})


def came(table: sa.Table) -> dict[str, Element]:
    """Return the columns of the row that met a conflict.

    SQLAlchemy's own version escapes a percent sign in a name once too often.
    """
    names: dict[str, Element] = {column.key: sa.column(quoted_name(column.name, quote=True)) for column in table.columns}
    return {name: sa.func.VALUES(bare, type_=table.c[name].type) for name, bare in names.items()}


def on_conflict(insert: Any, conflict: Conflict) -> Any:
    """Return the insert with a conflict clause."""
    table = insert.table
    key = next(iter(table.primary_key))
    chosen = _number(_SKIPPED if conflict.set is None else _UPDATED)
    if conflict.where is not None:
        chosen = sa.case((conflict.where, chosen), else_=_number(_SKIPPED))
    met = sa.case(
        (_same(table, conflict.target), chosen),
        *((_same(table, columns), _number(number)) for number, columns in enumerate(_unique_groups(table), _TAKEN)),
        else_=_number(_TAKEN),
    )
    mark = sa.literal_column(f"{MARK} := ").op("")(met)
    # If the key itself is assigned, it occurs once more below; the last assignment of a column takes effect.
    changes: list[tuple[str, Any]] = [(key.key, sa.func.IF(mark, key, key))]
    applies: Element = sa.literal_column(f"{MARK} = {_UPDATED}")
    changes += [(name, sa.func.IF(applies, value, table.c[name])) for name, value in (conflict.set or {}).items()]
    return insert.on_duplicate_key_update(changes)


def outcome(table: sa.Table, mark: int) -> Outcome | tuple[str, ...]:
    """Return the outcome of an insert by its mark, or the unique columns that the row conflicts with."""
    return _unique_groups(table)[mark - _TAKEN] if mark >= _TAKEN else _OUTCOMES[mark]


def send_many(connection: ConnectionLike, sql: str, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
    """Run an insert of one row for many rows, in parts. Each returned row contains the mark of its insert."""
    found = _ROW.search(sql)
    if found is None:
        return [(1, connection.fetch(sql, row)) for row in rows]
    head, row_text, tail = sql[: found.start(1)], found[1], sql[found.end(1) :]
    width, returned = row_text.count("%s"), []
    for part in _parts(rows):
        values = [value for row in part for value in row[:width]]
        text = f"{head}{', '.join([row_text] * len(part))}{tail}"
        returned += connection.fetch(text, [*values, *part[0][width:]])
    return [(1, [row]) for row in returned]


def _parts(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Split rows into parts that each fit into one statement."""
    part: list[Sequence[Any]] = []
    length = 0
    for row in rows:
        size = sum(len(value) for value in row if isinstance(value, (str, bytes)))
        if part and (length + size > _LONGEST or len(part) == _MOST):
            yield part
            part, length = [], 0
        part.append(row)
        length += size
    if part:
        yield part


def _number(value: int) -> Element:
    return sa.literal_column(str(value))


def _unique_groups(table: sa.Table) -> list[tuple[str, ...]]:
    """Return the primary key and then all unique groups, always in the same order."""
    indexes = sorted((index for index in table.indexes if index.unique), key=lambda index: str(index.name))
    key = tuple(column.key for column in table.primary_key)
    return [key, *(tuple(column.key for column in index.columns) for index in indexes)]


def _same(table: sa.Table, columns: Sequence[str]) -> Element:
    new = came(table)
    return sa.and_(sa.true(), *(table.c[name] == new[name] for name in columns))


class DeleteFound(Executable, sa.ClauseElement):
    """A DELETE of the rows of a table whose keys are returned by a query of the same table, which can skip locked rows.

    Only a SELECT can skip locked rows. It is part of the FROM of the DELETE, where it runs first and once, and locks each row that it
    finds. STRAIGHT_JOIN keeps the optimizer from starting with the table, which would wait for locked rows.
    """

    inherit_cache = False

    def __init__(self, table: sa.Table, found: sa.Select[Any]) -> None:
        self.table, self.found = table, found.subquery("resourcekit_found")


@compiles(DeleteFound, "mysql", "mariadb")
def _delete_text(element: DeleteFound, compiler: Any, **kw: Any) -> str:
    table = compiler.process(element.table, asfrom=True, **kw)
    found = compiler.process(element.found, asfrom=True, **kw)
    same = sa.and_(*(column == element.found.c[column.key] for column in element.table.primary_key))
    return f"DELETE {table} FROM {found} STRAIGHT_JOIN {table} ON {compiler.process(same, **kw)}"
