"""Inserts that meet conflicts in MariaDB.

ON DUPLICATE KEY UPDATE meets the columns of every identity, not only those that were meant, its count of rows tells
nothing, and it has no WHERE. So the first assignment computes a mark, a variable of the session, that says what was met
and whether the condition holds; all others are made only where the mark allows; and RETURNING gives the mark back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.sql import quoted_name

from resourcekit.data_layers.sql.dialect import Conflict, Element, Wire
from resourcekit.flow.result import Outcome

__all__ = ["MARK", "came", "insert", "on_conflict", "outcome", "send_many"]

MARK = "@resourcekit_mark"
_NEW, _UPDATED, _SKIPPED, _TAKEN = 0, 1, 2, 10
"""What the mark says; from the last one on: which unique columns were in the way."""

_ROW = re.compile(rf"VALUES (\(IF\({MARK} := {_NEW}, NULL, %s\)(?:, %s)*\)) ON DUPLICATE KEY UPDATE")
"""The values of one row, in the text of such an insert."""

_MOST, _LONGEST = 250, 256 * 1024
"""Rows of one statement, and characters of text in it: far below the packet that every server takes."""

_OUTCOMES = {_NEW: Outcome.INSERTED, _UPDATED: Outcome.UPDATED, _SKIPPED: Outcome.SKIPPED}


def insert(table: sa.Table, values: Mapping[str, Element]) -> Any:
    """Return an insert of a row whose first value sets the mark back."""
    first = next(iter(values))
    reset: Element = sa.literal_column(f"{MARK} := {_NEW}")
    return mysql.insert(table).values({**values, first: sa.func.IF(reset, sa.null(), values[first])})


def came(table: sa.Table) -> dict[str, Element]:
    """Return the columns of the row that met a conflict. SQLAlchemy's own doubles a percent sign in a name once too often."""
    names: dict[str, Element] = {column.name: sa.column(quoted_name(column.name, quote=True)) for column in table.columns}
    return {name: sa.func.VALUES(bare, type_=table.c[name].type) for name, bare in names.items()}


def on_conflict(insert: Any, conflict: Conflict) -> Any:
    """Return the insert with what it does in a conflict."""
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
    # A key that is itself assigned comes once more below: the later assignment of a column is the one that counts.
    changes: list[tuple[str, Any]] = [(key.name, sa.func.IF(mark, key, key))]
    applies: Element = sa.literal_column(f"{MARK} = {_UPDATED}")
    changes += [(name, sa.func.IF(applies, value, table.c[name])) for name, value in (conflict.set or {}).items()]
    return insert.on_duplicate_key_update(changes)


def outcome(table: sa.Table, mark: int) -> Outcome | tuple[str, ...]:
    """Say what an insert did, by its mark; or which unique columns were in its way."""
    return _unique_groups(table)[mark - _TAKEN] if mark >= _TAKEN else _OUTCOMES[mark]


def send_many(link: Wire, sql: str, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
    """Run an insert of one row for many, some at a time; what each one returned tells what it did."""
    found = _ROW.search(sql)
    if found is None:
        return [(1, link.fetch(sql, row)) for row in rows]
    head, row_text, tail = sql[: found.start(1)], found[1], sql[found.end(1) :]
    width, returned = row_text.count("%s"), []
    for part in _parts(rows):
        values = [value for row in part for value in row[:width]]
        text = f"{head}{', '.join([row_text] * len(part))}{tail}"
        returned += link.fetch(text, [*values, *part[0][width:]])
    return [(1, [row]) for row in returned]


def _parts(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Part rows so that each part makes a statement of a bearable length."""
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
    key = tuple(column.name for column in table.primary_key)
    return [key, *(tuple(column.name for column in index.columns) for index in indexes)]


def _same(table: sa.Table, columns: Sequence[str]) -> Element:
    new = came(table)
    return sa.and_(sa.true(), *(table.c[name] == new[name] for name in columns))
