"""The counters of generated keys: the last key that one gave, and how a table that was created anew goes on from there.

A key that was given once is never given again, also if its record was deleted since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

__all__ = ["counted", "go_on_after", "last_counted"]


def counted(table: sa.Table) -> sa.Column[Any] | None:
    """Return the column that the database counts."""
    return next((column for column in table.columns if column.identity is not None), None)


def last_counted(connection: sa.Connection, table: sa.Table, column: sa.Column[Any]) -> int:
    """Return the last key that was given: that of the counter, or the greatest in the table; 0 if there was none."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    full = connection.dialect.identifier_preparer.format_table(table)
    greatest = connection.exec_driver_sql(f"SELECT max({quote(column.name)}) FROM {full}").scalar()  # noqa: S608  # quoted names
    return max(greatest or 0, _LAST[connection.dialect.name](connection, table, column, full) or 0)


def go_on_after(connection: sa.Connection, table: sa.Table, column: sa.Column[Any], last: int) -> None:
    """Let a new table count from the key after this one."""
    if last > 0:
        full = connection.dialect.identifier_preparer.format_table(table)
        _GO_ON[connection.dialect.name](connection, table, column, full, last)


def _last_of_sequence(connection: sa.Connection, _: sa.Table, column: sa.Column[Any], full: str) -> int | None:
    sequence = connection.exec_driver_sql("SELECT pg_get_serial_sequence(%s, %s)", (full, column.name)).scalar()
    if sequence is None:  # no key was counted before
        return None
    value, is_given = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {sequence}").one()  # noqa: S608  # quoted by the server
    return int(value) if is_given else None


def _set_sequence(connection: sa.Connection, _: sa.Table, column: sa.Column[Any], full: str, last: int) -> None:
    connection.exec_driver_sql("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", (full, column.name, last))


def _last_of_auto_increment(connection: sa.Connection, table: sa.Table, _: sa.Column[Any], __: str) -> int | None:
    following = connection.exec_driver_sql(
        "SELECT auto_increment FROM information_schema.tables WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
        (table.schema, table.name),
    ).scalar()
    return None if following is None else int(following) - 1


def _set_auto_increment(connection: sa.Connection, _: sa.Table, __: sa.Column[Any], full: str, last: int) -> None:
    connection.exec_driver_sql(f"ALTER TABLE {full} AUTO_INCREMENT = {int(last) + 1}")


def _last_of_rowid(connection: sa.Connection, table: sa.Table, _: sa.Column[Any], __: str) -> int | None:
    if connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").scalar() is None:
        return None
    last = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).scalar()
    return None if last is None else int(last)


def _set_rowid(connection: sa.Connection, table: sa.Table, _: sa.Column[Any], __: str, last: int) -> None:
    connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
    connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, last))


_LAST: Mapping[str, Callable[[sa.Connection, sa.Table, sa.Column[Any], str], int | None]] = {
    "postgresql": _last_of_sequence,
    "mariadb": _last_of_auto_increment,
    "mysql": _last_of_auto_increment,
    "sqlite": _last_of_rowid,
}
_GO_ON: Mapping[str, Callable[[sa.Connection, sa.Table, sa.Column[Any], str, int], None]] = {
    "postgresql": _set_sequence,
    "mariadb": _set_auto_increment,
    "mysql": _set_auto_increment,
    "sqlite": _set_rowid,
}
