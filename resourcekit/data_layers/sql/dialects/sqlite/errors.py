"""The meanings of SQLite's errors."""

from __future__ import annotations

import re
import sqlite3

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.error_info import ErrorInfo, ErrorKind

__all__ = ["explain"]

_CONSTRAINTS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: ErrorKind.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: ErrorKind.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: ErrorKind.NOT_NULL,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: ErrorKind.FOREIGN_KEY,
}
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_HINTS = {
    sqlite3.SQLITE_CANTOPEN: "Create the folder of the database file, and let this process write there.",
    sqlite3.SQLITE_READONLY: "Let this process write to the database file and its folder.",
    sqlite3.SQLITE_FULL: "Make room on the disk.",
    sqlite3.SQLITE_NOTADB: "Name a file that is an SQLite database.",
    sqlite3.SQLITE_CORRUPT: "Restore the database file from a backup.",
}
_CHECK = re.compile(r"CHECK constraint failed: (.*)")
_LOOK = "Look at the database file and its disk."
_MISWRITTEN = re.compile(
    r'^(?:near "\w*\W?": syntax error|incomplete input|unrecognized token|row value misused|(?:no such function: |'
    r"wrong number of arguments to function |misuse of \w+(?: function)?:? |ambiguous column name: )(?P<name>\w+))"
)
_NO_COLUMN = re.compile(r"no such column: (?:\w+\.)*(?P<name>\w+)")
"""Texts about the SQL of a statement. What they match is shown: words of that SQL, and never a value, which is a parameter."""


def explain(error: Exception, table: sa.Table | None) -> ErrorInfo:
    """Return the meaning of an error of sqlite3. ``table`` is the table that the failed statement used."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        kind = _CONSTRAINTS.get(code, ErrorKind.UNSTORABLE)
        if code == sqlite3.SQLITE_CONSTRAINT_CHECK:
            named = _CHECK.match(text)
            return ErrorInfo(kind, constraint=named[1] if named else "")
        return ErrorInfo(kind, () if table is None else _columns(text, table))
    if code == sqlite3.SQLITE_BUSY_SNAPSHOT:  # a reader that wants to write after others wrote; waiting does not help
        return ErrorInfo(ErrorKind.CONFLICT)
    if code & 0xFF in _BUSY:
        return ErrorInfo(ErrorKind.BUSY)
    if code == sqlite3.SQLITE_INTERRUPT:
        return ErrorInfo(ErrorKind.INTERRUPTED)
    if code & 0xFF == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError) or "too complex" in text:
        return ErrorInfo(ErrorKind.UNSTORABLE)
    if "no such table" in text or "has no column" in text:
        return ErrorInfo(ErrorKind.NO_STORAGE)
    if "no such column" in text:
        named = _NO_COLUMN.match(text)
        return ErrorInfo(ErrorKind.NO_STORAGE, said=named[0] if named else "", about=named["name"] if named else "")
    if "ON CONFLICT clause does not match" in text:
        return ErrorInfo(ErrorKind.NO_STORAGE)
    if "user-defined function raised" in text:  # those of resourcekit compute with stored values; parameters were checked before
        return ErrorInfo(ErrorKind.UNREADABLE)
    if code == sqlite3.SQLITE_ERROR and (said := _MISWRITTEN.search(text)):
        return ErrorInfo(ErrorKind.DOWN, hint=_LOOK, said=said[0], about=said["name"] or "")
    return ErrorInfo(ErrorKind.DOWN, hint=_HINTS.get(code & 0xFF, _LOOK))


def _columns(text: str, table: sa.Table) -> tuple[str, ...]:
    """Return the columns that the error text names. Whole texts are compared, because names may contain any character."""
    indexes = [tuple(column.name for column in index.columns) for index in table.indexes if index.unique]
    singles = [(column.name,) for column in table.columns]
    for column in table.columns:
        if text.endswith((f": whole {column.name}", f" column {table.name}.{column.name}")):
            return (column.name,)
    for index in table.indexes:  # one over an expression is known by its name
        if text.endswith(f": index '{index.name}'"):
            return tuple(column.name for column in index.columns)
    for columns in (tuple(column.name for column in table.primary_key), *indexes, *singles):
        if text.endswith(": " + ", ".join(f"{table.name}.{column}" for column in columns)):
            return columns
    return ()
