"""What MariaDB's errors and settings mean. It knows no statement."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialect import Wire
from resourcekit.data_layers.sql.liveness import LATE, PRIMARY
from resourcekit.data_layers.sql.trouble import Trouble, TroubleKind

__all__ = ["ends_transaction", "explain", "is_alive", "is_supported", "socket_of", "too_old", "unsafe_settings"]

_OLDEST = (10, 6)
_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+-MariaDB")

_LOCK_TIMEOUT, _DEADLOCK, _KILLED = 1205, 1213, 1927
_KINDS = {
    1062: TroubleKind.UNIQUE,
    1586: TroubleKind.UNIQUE,
    1022: TroubleKind.UNIQUE,
    1048: TroubleKind.NOT_NULL,
    1364: TroubleKind.NOT_NULL,
    _LOCK_TIMEOUT: TroubleKind.BUSY,
    _DEADLOCK: TroubleKind.CONFLICT,
    1020: TroubleKind.CONFLICT,
    1412: TroubleKind.CONFLICT,
    1689: TroubleKind.BUSY,
    1290: TroubleKind.UNFIT,
    1792: TroubleKind.UNFIT,
    1836: TroubleKind.UNFIT,
    1317: TroubleKind.INTERRUPTED,
    1969: TroubleKind.INTERRUPTED,
    1146: TroubleKind.NO_STORAGE,
    1054: TroubleKind.NO_STORAGE,
    _KILLED: TroubleKind.LOST,
    2006: TroubleKind.ENDED,  # said by a driver that could not send the whole statement
    2013: TroubleKind.LOST,
    1053: TroubleKind.ENDED,
    1152: TroubleKind.LOST,
    1158: TroubleKind.LOST,
    1159: TroubleKind.LOST,
    1160: TroubleKind.LOST,
    1161: TroubleKind.LOST,
}
_UNSTORABLE = frozenset(
    {
        *(1153, 1301, 1118, 1071),  # too large
        *(1264, 1265, 1292, 1365, 1366, 1367, 1406, 1411, 1441, 1690, 3140),  # out of a column's range
        *(1216, 1217, 1451, 1452, 4025),  # against a foreign key, or a check
    }
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
_KEY = re.compile(r"for key '(?:[^']*\.)?([^'.]*)'$")
_COLUMN = re.compile(r"'([^']*)'")


def is_supported(version: str) -> bool:
    """Say whether a server can serve; MySQL, which has no RETURNING, cannot."""
    found = _VERSION.search(version)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST


def too_old() -> Exception:
    """Return the error for a server that cannot serve."""
    import pymysql.err

    return pymysql.err.NotSupportedError(0, "MariaDB 10.6 or later is needed")


def _number(error: Exception) -> int:
    number = error.args[0] if error.args else 0
    return number if isinstance(number, int) else 0


def ends_transaction(error: Exception, *, timeouts_end: bool) -> bool:
    """Say whether an error took the whole transaction along; a lock that was not got in time does where the server says so."""
    number = _number(error)
    return number in (_DEADLOCK, 1020) or (number == _LOCK_TIMEOUT and timeouts_end)


def explain(error: Exception, table: sa.Table | None) -> Trouble:
    """Say what an error of PyMySQL or asyncmy means; ``table`` is the one it was about."""
    import asyncmy.errors
    import pymysql.err

    number = _number(error)
    text = str(error.args[1]) if len(error.args) > 1 else ""
    if isinstance(error, (pymysql.err.NotSupportedError, asyncmy.errors.NotSupportedError)) and number == 0:
        return Trouble(TroubleKind.DOWN, hint="MariaDB 10.6 or later is needed.")
    if isinstance(error, (pymysql.err.InterfaceError, asyncmy.errors.InterfaceError)):
        return Trouble(TroubleKind.ENDED)  # said of a connection that was closed before: nothing was sent
    if number in _UNSTORABLE:
        return Trouble(TroubleKind.UNSTORABLE)
    kind = _KINDS.get(number, TroubleKind.DOWN)
    if kind in (TroubleKind.LOST, TroubleKind.ENDED) and "timed out" in text:
        return Trouble(TroubleKind.SILENT)
    if number == _KILLED and text == "Connection was killed":  # the server's own words; a proxy has others
        return Trouble(TroubleKind.ENDED)
    if kind is TroubleKind.UNIQUE:
        return Trouble(kind, _unique(text, table))
    if kind is TroubleKind.NOT_NULL:
        found = _COLUMN.search(text)
        return Trouble(kind, (found[1],) if found else ())
    return Trouble(kind, hint=_HINTS.get(number, ""))


def _unique(text: str, table: sa.Table | None) -> tuple[str, ...]:
    found = _KEY.search(text)
    if found is None or table is None:
        return ()
    if found[1] == "PRIMARY":
        return tuple(column.name for column in table.primary_key)
    for index in table.indexes:
        if index.name == found[1]:
            return tuple(column.name for column in index.columns)
    return ()


def is_alive(connection: Any) -> bool:
    """Say whether a connection of asyncmy was neither closed nor left by the server."""
    return bool(connection.connected) and not connection._stream_broken  # noqa: SLF001  # nothing else tells


def socket_of(connection: Any, *, is_async: bool) -> int:
    """Return the descriptor of a driver's socket."""
    socket = connection._transport.get_extra_info("socket") if is_async else connection._sock  # noqa: SLF001  # see above
    return int(socket.fileno())


def unsafe_settings(link: Wire, table: sa.Table) -> list[tuple[str, str, str]]:
    """Return settings that may lose data, or refuse it."""
    found = []
    flush, log, read_only = link.fetch("SELECT @@innodb_flush_log_at_trx_commit, @@binlog_format, @@global.read_only")[0]
    if read_only not in (0, "OFF"):
        found.append(("the server is read only, as replicas are", LATE, PRIMARY))
    if flush not in (1, 3):
        why = "A crash may lose what was acknowledged."
        found.append((f"innodb_flush_log_at_trx_commit is {flush}", why, "Set innodb_flush_log_at_trx_commit = 1."))
    if log == "STATEMENT":
        why = "Writes are refused, because they are made at the level READ COMMITTED."
        found.append(("binlog_format is STATEMENT", why, "Set binlog_format = MIXED, or ROW."))
    place = (table.schema, table.name)
    where = "WHERE table_schema = coalesce(%s, database()) AND table_name = %s"
    engines = link.fetch(f"SELECT engine FROM information_schema.tables {where}", place)  # noqa: S608  # a constant
    for (engine,) in engines:
        if engine != "InnoDB":
            found.append((f"the table's engine is {engine}", "It has no transactions.", "ALTER TABLE ... ENGINE = InnoDB."))
    return found
