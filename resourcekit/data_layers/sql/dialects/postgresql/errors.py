"""The meanings of PostgreSQL's errors and settings."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.error_info import ErrorInfo, ErrorKind
from resourcekit.errors import InvalidArgument

__all__ = ["IDENTITY", "check_encoding", "explain", "too_old", "unsafe_settings"]

_KINDS = {
    "23505": ErrorKind.UNIQUE,
    "23502": ErrorKind.NOT_NULL,
    "23503": ErrorKind.FOREIGN_KEY,
    "40000": ErrorKind.CONFLICT,
    "40001": ErrorKind.CONFLICT,
    "40003": ErrorKind.LOST,
    "40P01": ErrorKind.CONFLICT,
    "55P03": ErrorKind.BUSY,
    "57014": ErrorKind.INTERRUPTED,
    "42P01": ErrorKind.NO_STORAGE,
    "42703": ErrorKind.NO_STORAGE,
    "42P10": ErrorKind.NO_STORAGE,
    "42883": ErrorKind.NO_STORAGE,  # a function: partitioned tables have one
    "3F000": ErrorKind.NO_STORAGE,
    "54000": ErrorKind.UNSTORABLE,
    "25006": ErrorKind.NOT_USABLE,
    "26000": ErrorKind.NOT_USABLE,
    "42P05": ErrorKind.NOT_USABLE,
}
_CLASSES = {"22": ErrorKind.UNSTORABLE, "23": ErrorKind.UNSTORABLE, "08": ErrorKind.LOST}
_ENDED = frozenset({"57P01", "57P02", "57P04", "57P05", "25P03", "25P04"})
"""Errors of a connection that was terminated. A backend may send them after it has committed, in place of the confirmation. So
the outcome of a statement that commits is unknown."""

_PROGRAM_LIMIT_EXCEEDED = "54000"
_CHECK_VIOLATION = "23514"
_INDEX_HINT = "is too long for an index, whose entries have 2,704 bytes at most; give the attribute a max_length"

IDENTITY = (
    "SELECT CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE') "
    "THEN (SELECT system_identifier::text FROM pg_control_system()) END, "
    "(SELECT oid::bigint FROM pg_database WHERE datname = current_database()), "
    "to_regclass(concat_ws('.', quote_ident(%s), quote_ident(%s)))::oid::bigint"
)
"""Query for the names that the server gives the cluster, the database and a table, independent of the URL."""

_CACHED = "RevalidateCachedQuery"
"""The server function that refuses a prepared statement whose table was migrated."""

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
_STATE_OF_MESSAGE = (
    (re.compile(r"too many clients|remaining connection slots|too many connections"), "53300"),
    (re.compile(r"database system is|not yet accepting connections"), "57P03"),
    (re.compile(r"password authentication failed|no password supplied|role \".*\" does not exist"), "28P01"),
    (re.compile(r"resolve host"), "host"),
    (re.compile(r"invalid \S+ value|invalid connection option"), "url"),
    (re.compile(r"no pg_hba\.conf entry"), "28000"),
    (re.compile(r'database ".*" does not exist'), "3D000"),
)
"""Texts of failed logins. libpq passes on the server's text, in the server's language, and no error code."""

_NOT_SAID = frozenset({"42501", "42P01", "42P05", "42P10"})
_NAMED = re.compile(r'"([^"]+)"|(\w+)\(|\w+\.(\w+)')
"""The column or function that a text about a statement names."""

_DETAIL = re.compile(r"\((.*?)\)=\(")


def too_old(what: str) -> Exception:
    """Return the error for a server that is not supported."""
    import psycopg

    return psycopg.NotSupportedError(what)


def check_encoding(connection: ConnectionLike) -> None:
    """Raise InvalidArgument for a connection of the user's own whose encoding cannot represent every text."""
    if connection.raw.info.encoding != "utf-8":
        msg = "the connection's client_encoding does not hold every text; set it to UTF8 before you join"
        raise InvalidArgument(msg)


def explain(error: Exception, table: sa.Table | None) -> ErrorInfo:
    """Return the meaning of an error of psycopg. ``table`` is the table that the failed statement used."""
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    if not state:
        return _without_state(error)
    function = error.diag.source_function if isinstance(error, psycopg.Error) else ""
    if state in _ENDED:
        return ErrorInfo(ErrorKind.LOST, hint=_HINTS.get(state, ""))
    if function == _CACHED:
        return ErrorInfo(ErrorKind.NOT_USABLE, hint="Its tables were migrated meanwhile.")
    if state[:2] == "42" and state not in _NOT_SAID and isinstance(error, psycopg.Error):
        said = error.diag.message_primary or ""
        found = _NAMED.search(said) if state in ("42703", "42883") else None
        about = next(filter(None, found.groups()), "") if found else ""
        return ErrorInfo(_KINDS.get(state, ErrorKind.DOWN), hint=_HINTS.get(state, ""), said=said, about=about)
    kind = _KINDS.get(state) or _CLASSES.get(state[:2]) or ErrorKind.DOWN
    if kind is ErrorKind.UNIQUE and isinstance(error, psycopg.Error):
        return ErrorInfo(kind, _unique(error, table))
    if state == _PROGRAM_LIMIT_EXCEEDED and isinstance(error, psycopg.Error):
        return _too_long(error, table)
    if kind is ErrorKind.NOT_NULL and isinstance(error, psycopg.Error):
        return ErrorInfo(kind, (error.diag.column_name or "",))
    if kind is ErrorKind.FOREIGN_KEY and isinstance(error, psycopg.Error):
        return ErrorInfo(kind, constraint=error.diag.constraint_name or "")
    if state == _CHECK_VIOLATION and isinstance(error, psycopg.Error):
        return ErrorInfo(kind, constraint=error.diag.constraint_name or "")
    return ErrorInfo(kind, hint=_HINTS.get(state, ""))


def _without_state(error: Exception) -> ErrorInfo:
    """Return the meaning of an error that libpq or psycopg raised itself, without an SQLSTATE."""
    import psycopg

    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return ErrorInfo(ErrorKind.DOWN, hint="It could not be reached in time.")
    if type(error).__name__ == "_WaitTimeout":
        return ErrorInfo(ErrorKind.SILENT)
    if isinstance(error, psycopg.DataError):
        return ErrorInfo(ErrorKind.UNSTORABLE)
    if isinstance(error, psycopg.NotSupportedError):
        return ErrorInfo(ErrorKind.DOWN, hint="PostgreSQL 14 or later is needed.")
    if "number of parameters" in str(error):
        return ErrorInfo(ErrorKind.UNSTORABLE, hint="the call has more than 65,535 values; make it in parts")
    for said, state in _STATE_OF_MESSAGE:
        if said.search(str(error)):
            return ErrorInfo(ErrorKind.DOWN, hint=_HINTS[state])
    if isinstance(error, psycopg.OperationalError) and getattr(error, "pgconn", None) is None:
        return ErrorInfo(ErrorKind.LOST)
    return ErrorInfo(ErrorKind.DOWN, hint="Is it running, does it listen where the URL says, and does it let this user in?")


def _too_long(error: Any, table: sa.Table | None) -> ErrorInfo:
    """Return the meaning of an error for a row whose index entry is too large. The server quotes the name of the index."""
    text, function = error.diag.message_primary or "", error.diag.source_function or ""
    if table is None or function not in (
        "_bt_check_third_page",
        "index_form_tuple",
        "index_form_tuple_context",
        "brin_form_tuple",
    ):
        return ErrorInfo(ErrorKind.UNSTORABLE, hint=_HINTS.get(_PROGRAM_LIMIT_EXCEEDED, ""))
    groups = {str(index.name): tuple(column.name for column in index.columns) for index in table.indexes}
    groups[f"{table.name}_pkey"] = tuple(column.name for column in table.primary_key)
    found = next((columns for name, columns in groups.items() if f'"{name}"' in text), ())
    return ErrorInfo(ErrorKind.UNSTORABLE, found, hint=_INDEX_HINT)


def _unique(error: Any, table: sa.Table | None) -> tuple[str, ...]:
    name = error.diag.constraint_name or ""
    if table is not None:
        for index in table.indexes:
            if index.name == name:
                return tuple(column.name for column in index.columns)
        if name.endswith("_pkey"):
            return tuple(column.name for column in table.primary_key)
        # An index that was created by hand, under another name. The detail contains the columns, in every language.
        found = _DETAIL.search(error.diag.message_detail or "")
        if found:
            return tuple(part.strip('"') for part in found[1].split(", "))
    return ()


def unsafe_settings(connection: ConnectionLike, table: str) -> list[tuple[str, str, str]]:
    """Return settings that may lose data, or change how text is stored and sorted."""
    found = []
    fsync, pages, encoding, persistence = connection.fetch(
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
    others = connection.fetch(
        "SELECT a.attname FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation "
        "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped "
        "AND c.collisdeterministic AND NOT c.collname IN ('C', 'POSIX', 'ucs_basic', 'pg_c_utf8')",
        (table,),
    )
    for (column,) in others:
        why = "Text is sorted by the rules of a language."
        found.append((f"the column {column} does not have the collation C", why, 'Alter its type to text COLLATE "C".'))
    return found
