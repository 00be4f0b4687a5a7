"""Inserts and upserts of many rows in PostgreSQL, in pipeline mode: several rows a statement, or one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.util import await_only

from resourcekit.data_layers.sql.dialects.driver import ConnectionLike
from resourcekit.data_layers.sql.dialects.many_rows import KeysAmbiguous, ManyRows, in_parts, returned_by_key
from resourcekit.data_layers.sql.dialects.postgresql import loaders

__all__ = ["insert_many", "send_many"]

_SAME_ROW_TWICE = "21000"
"""SQLSTATE of a statement that would update one row twice: two keys differ here, and are equal for the server."""


_MOST_VALUES = 50
"""Values in one statement. psycopg reads the text of a statement with more of them anew in each call, which takes longer than to
send it.
"""


def insert_many(connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> None:
    """Insert many rows, several in each statement."""
    parts = in_parts(many, "%s", rows, _MOST_VALUES // len(rows[0]))
    if parts is None:
        connection.run_many(many.sql, rows)
        return
    connection.run_many(parts.sql, parts.values)
    if parts.rest:
        connection.run_many(many.sql, parts.rest)


def send_many(connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
    """Upsert several rows in each statement, or each in its own if their keys are not unique."""
    keys = None if many.returned is None else many.keys(rows)
    parts = None if keys is None else in_parts(many, "%s", rows, _MOST_VALUES // len(rows[0]))
    if keys is None or parts is None:
        return _send_each(connection, many.sql, rows, returns=many.returns)
    try:
        found = _send_each(connection, parts.sql, parts.values, returns=True)
        found += _send_each(connection, many.sql, parts.rest, returns=True) if parts.rest else []
    except connection.dialect.errors as error:
        if getattr(error, "sqlstate", None) == _SAME_ROW_TWICE:
            raise KeysAmbiguous from None
        raise
    by_key = returned_by_key(many, keys, [row for _, returned in found for row in returned])
    return [(1, [by_key[key]]) if key in by_key else (0, []) for key in keys]


def _send_each(
    connection: ConnectionLike, sql: str, rows: Sequence[Sequence[Any]], *, returns: bool
) -> list[tuple[int, list[Any]]]:
    """Send a statement for each row, in pipeline mode."""
    is_sync = connection.raw is connection.dbapi
    cursor = connection.raw.cursor()
    if connection.is_external:
        loaders.use(cursor)

    def now(result: Any) -> Any:
        return result if is_sync else await_only(result)

    try:
        now(cursor.executemany(sql, rows, returning=returns))
    except connection.dialect.errors as error:
        connection.dialect.failed(connection, error)
        raise
    found = []
    for _ in rows:
        returned = now(cursor.fetchall())
        found.append((len(returned), returned))
        cursor.nextset()
    return found
