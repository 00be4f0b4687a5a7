"""What PostgreSQL's errors and settings mean. It knows no statement."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialect import Wire
from resourcekit.data_layers.sql.liveness import LATE, PRIMARY
from resourcekit.data_layers.sql.trouble import Trouble, TroubleKind

__all__ = ["explain", "too_old", "unsafe_settings"]

_KINDS = {
    "23505": TroubleKind.UNIQUE,
    "23502": TroubleKind.NOT_NULL,
    "40000": TroubleKind.CONFLICT,
    "40001": TroubleKind.CONFLICT,
    "40003": TroubleKind.LOST,
    "40P01": TroubleKind.CONFLICT,
    "55P03": TroubleKind.BUSY,
    "57014": TroubleKind.INTERRUPTED,
    "42P01": TroubleKind.NO_STORAGE,
    "42703": TroubleKind.NO_STORAGE,
    "42P10": TroubleKind.NO_STORAGE,
    "42883": TroubleKind.NO_STORAGE,  # a function: tables in partitions have one
    "3F000": TroubleKind.NO_STORAGE,
    "54000": TroubleKind.UNSTORABLE,
    "25006": TroubleKind.UNFIT,
    "26000": TroubleKind.UNFIT,
    "42P05": TroubleKind.UNFIT,
}
_CLASSES = {"22": TroubleKind.UNSTORABLE, "23": TroubleKind.UNSTORABLE, "08": TroubleKind.LOST}
_ENDED = frozenset({"57P01", "57P02", "57P04", "57P05", "25P03", "25P04"})
"""The connection was ended. A backend may say so after it has committed, instead of saying that it has; so whoever sent what
commits does not know."""

_CACHED = "RevalidateCachedQuery"
"""The function of the server that refuses a prepared statement whose table was migrated."""

_HINTS = {
    "53300": "It has no connection left: raise max_connections, or use fewer processes.",
    "53100": "Its disk is full.",
    "58030": "Its disk cannot be read or written.",
    "53400": "It has reached a limit of its settings.",
    "25P02": "An error before this call left the transaction nothing to do but to roll back.",
    "25P03": "The transaction did nothing for longer than idle_in_transaction_session_timeout allows.",
    "25P04": "The transaction took longer than transaction_timeout allows.",
    "26000": "A pooler between here and the server lost a prepared statement: let it keep sessions, or prepared statements.",
    "42P05": "A pooler between here and the server mixed prepared statements up: let it keep sessions.",
    "53200": "It has no memory left.",
    "57P03": "It is starting or stopping; try again in a moment.",
    "25006": "It is read only: connect to the primary server.",
    "host": "The host of its URL has no address: look at its name.",
    "url": "A parameter of its URL is none of libpq's.",
    "28000": "Let this user in (pg_hba.conf).",
    "28P01": "Give the right user and password.",
    "3D000": "Create the database.",
    "42501": "Grant this user what it needs on the table.",
}
_SAID = (
    (re.compile(r"too many clients|remaining connection slots|too many connections"), "53300"),
    (re.compile(r"database system is|not yet accepting connections"), "57P03"),
    (re.compile(r"password authentication failed|no password supplied|role \".*\" does not exist"), "28P01"),
    (re.compile(r"resolve host"), "host"),
    (re.compile(r"invalid \S+ value|invalid connection option"), "url"),
    (re.compile(r"no pg_hba\.conf entry"), "28000"),
    (re.compile(r'database ".*" does not exist'), "3D000"),
)
"""What a server says that does not let us in: libpq hands its text on, in the server's language, and no code."""

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
    function = error.diag.source_function if isinstance(error, psycopg.Error) else ""
    if state in _ENDED:
        return Trouble(TroubleKind.LOST, hint=_HINTS.get(state, ""))
    if function == _CACHED:
        return Trouble(TroubleKind.UNFIT, hint="Its tables were migrated meanwhile.")
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
    if "number of parameters" in str(error):
        return Trouble(TroubleKind.UNSTORABLE, hint="the call has more than 65,535 values; make it in parts")
    for said, state in _SAID:
        if said.search(str(error)):
            return Trouble(TroubleKind.DOWN, hint=_HINTS[state])
    if isinstance(error, psycopg.OperationalError) and getattr(error, "pgconn", None) is None:
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
    fsync, pages, encoding, persistence, takes_writes = link.fetch(
        "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding'), "
        "(SELECT relpersistence::text FROM pg_class WHERE oid = to_regclass(%s)), "
        "NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'",
        (table,),
    )[0]
    for name, value in (("fsync", fsync), ("full_page_writes", pages)):
        if value != "on":
            found.append((f"{name} is {value}", "A crash may lose what was acknowledged.", f"Set {name} = on."))
    if not takes_writes:
        found.append(("the server is a replica, or read only", LATE, PRIMARY))
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
