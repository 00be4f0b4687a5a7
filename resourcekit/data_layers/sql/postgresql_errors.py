"""What PostgreSQL's errors and settings mean. It knows no statement."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialect import Trouble, TroubleKind, Wire

__all__ = ["explain", "too_old", "unsafe_settings"]

_KINDS = {
    "23505": TroubleKind.UNIQUE,
    "23502": TroubleKind.NOT_NULL,
    "40001": TroubleKind.CONFLICT,
    "40P01": TroubleKind.CONFLICT,
    "55P03": TroubleKind.BUSY,
    "57014": TroubleKind.INTERRUPTED,
    "42P01": TroubleKind.NO_STORAGE,
    "42703": TroubleKind.NO_STORAGE,
    "42P10": TroubleKind.NO_STORAGE,
    "3F000": TroubleKind.NO_STORAGE,
    "54000": TroubleKind.UNSTORABLE,
}
_CLASSES = {"22": TroubleKind.UNSTORABLE, "23": TroubleKind.UNSTORABLE, "08": TroubleKind.LOST}
_LOST = frozenset({"57P01", "57P02", "57P05", "25P03"})
"""The server ended the connection; it may have done so while a statement ran."""

_HINTS = {
    "53300": "It has no connection left: raise max_connections, or use fewer processes.",
    "53100": "Its disk is full.",
    "53200": "It has no memory left.",
    "57P03": "It is starting or stopping; try again in a moment.",
    "25006": "It is read only: connect to the primary server.",
    "28000": "Let this user in (pg_hba.conf).",
    "28P01": "Give the right user and password.",
    "3D000": "Create the database.",
    "42501": "Grant this user what it needs on the table.",
}
_DETAIL = re.compile(r"\((.*?)\)=\(")


def too_old(what: str) -> Exception:
    """Return the error for a server that cannot serve."""
    import psycopg

    return psycopg.NotSupportedError(what)


def explain(error: Exception, table: sa.Table | None) -> Trouble:
    """Say what an error of psycopg means; ``table`` is the one it was about."""
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    if not state:
        return _without_state(error)
    if state in _LOST:
        return Trouble(TroubleKind.LOST)
    kind = _KINDS.get(state) or _CLASSES.get(state[:2]) or TroubleKind.DOWN
    if kind is TroubleKind.UNIQUE and isinstance(error, psycopg.Error):
        return Trouble(kind, _unique(error, table))
    if kind is TroubleKind.NOT_NULL and isinstance(error, psycopg.Error):
        return Trouble(kind, (error.diag.column_name or "",))
    return Trouble(kind, hint=_HINTS.get(state, ""))


def _without_state(error: Exception) -> Trouble:
    """Read an error that libpq or psycopg made by itself."""
    import psycopg

    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return Trouble(TroubleKind.DOWN, hint="It could not be reached in time.")
    if type(error).__name__ == "_WaitTimeout":
        return Trouble(TroubleKind.SILENT)
    if isinstance(error, psycopg.DataError):
        return Trouble(TroubleKind.UNSTORABLE)
    if isinstance(error, psycopg.NotSupportedError):
        return Trouble(TroubleKind.DOWN, hint="PostgreSQL 14 or later is needed.")
    pgconn = getattr(error, "pgconn", None)
    if isinstance(error, psycopg.OperationalError) and pgconn is None:
        return Trouble(TroubleKind.LOST)
    return Trouble(TroubleKind.DOWN, hint="Is it running, does it listen where the URL says, and does it let this user in?")


def _unique(error: Any, table: sa.Table | None) -> tuple[str, ...]:
    name = error.diag.constraint_name or ""
    if table is not None:
        for index in table.indexes:
            if index.name == name:
                return tuple(column.name for column in index.columns)
        if name.endswith("_pkey"):
            return tuple(column.name for column in table.primary_key)
        # Made by hand, under a name of its own: the detail says which columns, in whatever language.
        found = _DETAIL.search(error.diag.message_detail or "")
        if found:
            return tuple(part.strip('"') for part in found[1].split(", "))
    return ()


def unsafe_settings(link: Wire, table: str) -> list[tuple[str, str, str]]:
    """Return settings that may lose data or change what text means."""
    found = []
    fsync, pages, encoding, persistence = link.fetch(
        "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding'), "
        "(SELECT relpersistence::text FROM pg_class WHERE oid = to_regclass(%s))",
        (table,),
    )[0]
    for name, value in (("fsync", fsync), ("full_page_writes", pages)):
        if value != "on":
            found.append((f"{name} is {value}", "A crash may lose what was acknowledged.", f"Set {name} = on."))
    if encoding != "UTF8":
        found.append(
            (f"the database's encoding is {encoding}", "Most text cannot be kept.", "Create the database with ENCODING 'UTF8'.")
        )
    if persistence == "u":
        found.append(("the table is unlogged", "A crash empties it.", "ALTER TABLE ... SET LOGGED."))
    others = link.fetch(
        "SELECT a.attname FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation "
        "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped "
        "AND c.collisdeterministic AND NOT c.collname IN ('C', 'POSIX', 'ucs_basic', 'pg_c_utf8')",
        (table,),
    )
    for (column,) in others:
        why = "Text is sorted by the rules of a language."
        found.append((f"the column {column} does not have the collation C", why, 'Alter its type to text COLLATE "C".'))
    return found
