"""What SQLite's errors mean. It knows no statement."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa

from resourcekit.data_layers.sql.trouble import Trouble, TroubleKind

__all__ = ["explain"]

_CONSTRAINTS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: TroubleKind.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: TroubleKind.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: TroubleKind.NOT_NULL,
}
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_HINTS = {
    sqlite3.SQLITE_CANTOPEN: "Create the folder of the database file, and let this process write there.",
    sqlite3.SQLITE_READONLY: "Let this process write to the database file and its folder.",
    sqlite3.SQLITE_FULL: "Make room on the disk.",
    sqlite3.SQLITE_NOTADB: "Name a file that is an SQLite database.",
    sqlite3.SQLITE_CORRUPT: "Restore the database file from a backup.",
}


def explain(error: Exception, table: sa.Table | None) -> Trouble:
    """Say what an error of sqlite3 means; ``table`` is the one it was about."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        kind = _CONSTRAINTS.get(code, TroubleKind.UNSTORABLE)
        return Trouble(kind, () if table is None else _columns(text, table))
    if code == sqlite3.SQLITE_BUSY_SNAPSHOT:  # a reader that wants to write, after others wrote: waiting changes nothing
        return Trouble(TroubleKind.CONFLICT)
    if code & 0xFF in _BUSY:
        return Trouble(TroubleKind.BUSY)
    if code == sqlite3.SQLITE_INTERRUPT:
        return Trouble(TroubleKind.INTERRUPTED)
    if code & 0xFF == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError) or "too complex" in text:
        return Trouble(TroubleKind.UNSTORABLE)
    if "no such table" in text or "no such column" in text or "has no column" in text:
        return Trouble(TroubleKind.NO_STORAGE)
    if "ON CONFLICT clause does not match" in text:
        return Trouble(TroubleKind.NO_STORAGE)
    return Trouble(TroubleKind.DOWN, hint=_HINTS.get(code & 0xFF, "Look at the database file and its disk."))


def _columns(text: str, table: sa.Table) -> tuple[str, ...]:
    """Return the columns that the text of an error names; compared as a whole, because names may hold any character."""
    indexes = [tuple(column.name for column in index.columns) for index in table.indexes if index.unique]
    singles = [(column.name,) for column in table.columns]
    for columns in (tuple(column.name for column in table.primary_key), *indexes, *singles):
        if text.endswith(": " + ", ".join(f"{table.name}.{column}" for column in columns)):
            return columns
    return ()
