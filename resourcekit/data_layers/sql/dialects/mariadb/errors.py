"""The meanings of MariaDB's errors and settings."""

from __future__ import annotations

import re

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.error_info import ErrorInfo, ErrorKind

__all__ = [
    "IDENTITY",
    "ends_transaction",
    "explain",
    "is_supported",
    "too_old",
    "unsafe_settings",
]

_OLDEST = (10, 7)
_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+-MariaDB")

_LOCK_TIMEOUT, _DEADLOCK, _KILLED = 1205, 1213, 1927
_KINDS = {
    1062: ErrorKind.UNIQUE,
    1586: ErrorKind.UNIQUE,
    1022: ErrorKind.UNIQUE,
    1048: ErrorKind.NOT_NULL,
    1364: ErrorKind.NOT_NULL,
    1216: ErrorKind.FOREIGN_KEY,
    1217: ErrorKind.FOREIGN_KEY,
    1451: ErrorKind.FOREIGN_KEY,
    1452: ErrorKind.FOREIGN_KEY,
    _LOCK_TIMEOUT: ErrorKind.BUSY,
    _DEADLOCK: ErrorKind.CONFLICT,
    1020: ErrorKind.CONFLICT,
    1412: ErrorKind.CONFLICT,
    1689: ErrorKind.BUSY,
    1290: ErrorKind.NOT_USABLE,
    1792: ErrorKind.NOT_USABLE,
    1836: ErrorKind.NOT_USABLE,
    1317: ErrorKind.INTERRUPTED,
    1969: ErrorKind.INTERRUPTED,
    1146: ErrorKind.NO_STORAGE,
    1054: ErrorKind.NO_STORAGE,
    _KILLED: ErrorKind.LOST,
    2006: ErrorKind.ENDED,  # raised by a driver that could not send the whole statement
    2013: ErrorKind.LOST,
    1053: ErrorKind.ENDED,
    1152: ErrorKind.LOST,
    1158: ErrorKind.LOST,
    1159: ErrorKind.LOST,
    1160: ErrorKind.LOST,
    1161: ErrorKind.LOST,
    1180: ErrorKind.LOST,  # an error during COMMIT: a node that was cut off does not know whether the others have it
    1181: ErrorKind.LOST,
}
_UNSTORABLE = frozenset(
    {
        *(1153, 1301, 1118, 1071),  # too large
        *(1264, 1265, 1292, 1365, 1366, 1367, 1406, 1411, 1441, 1690, 3140),  # out of the range of a column
        4025,  # violates a check
    }
)
_WRITE_SET = re.compile(r"wsrep_max_ws_rows exceeded|Maximum writeset size exceeded")
"""Texts of a Galera node that refuses a transaction because of its size; their numbers, 1180 and 1105, have other meanings, too."""

_WRITE_SET_HINT = (
    "The cluster takes no transaction of this size, and nothing was written: raise wsrep_max_ws_rows or wsrep_max_ws_size, "
    "or write fewer rows at once."
)
_CONNECTIONS = "It has no connection left: raise max_connections, or use fewer processes."
_DISK, _MEMORY = "Its disk is full.", "It has no memory left."
_READ_ONLY = "It is read only: connect to the primary server."
_HINTS = {
    1037: _MEMORY,
    1038: _MEMORY,
    1041: _MEMORY,
    1040: _CONNECTIONS,
    1203: "This user has no connection left: raise max_user_connections, or use fewer processes.",
    1226: "This user has used up what the server allows it (MAX_QUERIES_PER_HOUR and the like).",
    1129: "It blocks this host after too many failed connections: run FLUSH HOSTS.",
    1130: "Let this host in.",
    1047: "This node of the cluster is not ready; connect to another one.",
    1053: "It is stopping; try again in a moment.",
    1044: "Grant this user the database.",
    1045: "Give the right user and password.",
    1049: "Create the database.",
    1114: _DISK,
    1021: _DISK,
    1026: "Its disk cannot be written.",
    1030: "Its storage engine failed; its error log says why, mostly a full disk.",
    1206: "It has no room for more locks: raise innodb_buffer_pool_size, or write fewer rows at once.",
    1637: "It has too many transactions at once.",
    1142: "Grant this user what it needs on the table.",
    1290: _READ_ONLY,
    1792: _READ_ONLY,
    1836: _READ_ONLY,
    2003: "Is it running, and does it listen where the URL says?",
}
IDENTITY = (
    "SELECT (SELECT group_concat(concat(variable_name, '=', variable_value) ORDER BY variable_name) "
    "FROM information_schema.global_variables "
    "WHERE variable_name IN ('SERVER_UID', 'SERVER_ID', 'HOSTNAME', 'PORT', 'SOCKET', 'DATADIR')), "
    "table_schema, table_name, cast(create_time AS CHAR) FROM information_schema.tables "
    "WHERE table_schema = coalesce(%s, database()) AND table_name = %s"
)
"""Query for the names that the server gives itself, the database and a table, independent of the URL."""

_KEY = re.compile(r"for key '(?:[^']*\.)?([^'.]*)'$")
_CONSTRAINT = re.compile(r"CONSTRAINT `((?:[^`]|``)*)` FOREIGN KEY")
_CHECK = re.compile(r"CONSTRAINT `((?:[^`]|``)*)` failed for ")
_OF_COLUMN = re.compile(r" (?:for|in) column '([^']*)' at row \d+$")
_NAMED = re.compile(r"(?:'|FUNCTION )(?:\w+\.)*(\w+)(?:'| does not exist)")
_UNKNOWN = {
    1054: "Unknown column '{}'",
    1305: "FUNCTION {} does not exist",
    1582: "Incorrect parameter count in the call to native function '{}'",
    1630: "FUNCTION {} does not exist",
}
"""Errors about a column or a function that the server does not know, or that takes other arguments. Only its name is shown."""

_COLUMN = re.compile(r"'([^']*)'")


def is_supported(version: str) -> bool:
    """Return whether a server is supported. MySQL is not, because it has no RETURNING."""
    found = _VERSION.search(version)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST


def too_old() -> Exception:
    """Return the error for a server that is not supported."""
    import pymysql.err

    return pymysql.err.NotSupportedError(0, "MariaDB 10.7 or later is needed")


def _number(error: Exception) -> int:
    number = error.args[0] if error.args else 0
    return number if isinstance(number, int) else 0


def ends_transaction(error: Exception, *, timeouts_end: bool) -> bool:
    """Return whether an error rolled back the whole transaction. A lock timeout does, if the server is configured so."""
    number = _number(error)
    return number in (_DEADLOCK, 1020) or (number == _LOCK_TIMEOUT and timeouts_end)


def explain(error: Exception, table: sa.Table | None) -> ErrorInfo:
    """Return the meaning of an error of PyMySQL or asyncmy. ``table`` is the table that the failed statement used."""
    import asyncmy.errors
    import pymysql.err

    number = _number(error)
    text = str(error.args[1]) if len(error.args) > 1 else ""
    if isinstance(error, (pymysql.err.NotSupportedError, asyncmy.errors.NotSupportedError)) and number == 0:
        return ErrorInfo(ErrorKind.DOWN, hint="MariaDB 10.7 or later is needed.")
    if isinstance(error, (pymysql.err.InterfaceError, asyncmy.errors.InterfaceError)):
        return ErrorInfo(ErrorKind.ENDED)  # raised for a connection that was closed before: nothing was sent
    if number in _UNSTORABLE:
        column, check = _OF_COLUMN.search(text), _CHECK.match(text)
        constraint = check[1].replace("``", "`") if check and number == 4025 else ""
        return ErrorInfo(ErrorKind.UNSTORABLE, (column[1],) if column else (), constraint=constraint)
    if _WRITE_SET.search(text):
        return ErrorInfo(ErrorKind.OVERSIZED, hint=_WRITE_SET_HINT)  # at a commit, too, nothing was written
    kind = _KINDS.get(number, ErrorKind.DOWN)
    if kind in (ErrorKind.LOST, ErrorKind.ENDED) and "timed out" in text:
        return ErrorInfo(ErrorKind.SILENT)
    if number == _KILLED and text == "Connection was killed":  # the server's own text; a proxy sends another one
        return ErrorInfo(ErrorKind.ENDED)
    if kind is ErrorKind.UNIQUE:
        return ErrorInfo(kind, _unique(text, table))
    if kind is ErrorKind.NOT_NULL:
        found = _COLUMN.search(text)
        return ErrorInfo(kind, (found[1],) if found else ())
    if kind is ErrorKind.FOREIGN_KEY:
        found = _CONSTRAINT.search(text)
        return ErrorInfo(kind, constraint=found[1].replace("``", "`") if found else "")
    if number == 1064:  # the text quotes the statement, with its values
        return ErrorInfo(kind, said="You have an error in your SQL syntax")
    if number in _UNKNOWN and (found := _NAMED.search(text)):
        return ErrorInfo(kind, hint=_HINTS.get(number, ""), said=_UNKNOWN[number].format(found[1]), about=found[1])
    return ErrorInfo(kind, hint=_HINTS.get(number, ""))


def _unique(text: str, table: sa.Table | None) -> tuple[str, ...]:
    found = _KEY.search(text)
    if found is None or table is None:
        return ()
    if found[1] == "PRIMARY":
        return tuple(column.name for column in table.primary_key)
    for index in table.indexes:
        if index.name == found[1]:
            return tuple(column.name for column in index.columns)
    known: dict[str, tuple[str, ...]] = table.info.get("unique_keys", {})
    return known.get(found[1], ())


def unsafe_settings(connection: ConnectionLike, table: sa.Table) -> list[tuple[str, str, str]]:
    """Return settings that may lose data or refuse writes."""
    found = []
    flush, log = connection.fetch("SELECT @@innodb_flush_log_at_trx_commit, @@binlog_format")[0]
    if flush not in (1, 3):
        why = "A crash may lose what was acknowledged."
        found.append((f"innodb_flush_log_at_trx_commit is {flush}", why, "Set innodb_flush_log_at_trx_commit = 1."))
    if log == "STATEMENT":
        why = "Writes are refused, because they are made at the level READ COMMITTED."
        found.append(("binlog_format is STATEMENT", why, "Set binlog_format = MIXED, or ROW."))
    place = (table.schema, table.name)
    where = "WHERE table_schema = coalesce(%s, database()) AND table_name = %s"
    engines = connection.fetch(f"SELECT engine FROM information_schema.tables {where}", place)  # noqa: S608  # a constant
    for (engine,) in engines:
        if engine != "InnoDB":
            found.append((f"the table's engine is {engine}", "It has no transactions.", "ALTER TABLE ... ENGINE = InnoDB."))
    return found
