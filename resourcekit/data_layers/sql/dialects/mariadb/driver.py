"""How a connection to MariaDB is opened, limited, checked and ended, and what its errors mean."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import sqlalchemy as sa

from resourcekit.call_context import Deadline
from resourcekit.data_layers.driver_names import require_names
from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.driver import Driver, is_near, says_nothing, sooner
from resourcekit.data_layers.sql.dialects.error_info import ErrorInfo, ErrorKind
from resourcekit.data_layers.sql.dialects.features import Features
from resourcekit.data_layers.sql.dialects.mariadb import cluster, parameters, sessions, sockets, upserts
from resourcekit.data_layers.sql.dialects.mariadb import errors as error_info

__all__ = ["MariaDriver"]

_MODE = "STRICT_ALL_TABLES,SIMULTANEOUS_ASSIGNMENT,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""SQL modes: no value is cut to fit, and all assignments of a statement are computed from the row before the update."""


class MariaDriver(Features, Driver):
    """Connections of MariaDB."""

    # The server checks once more for KILL after a COMMIT has succeeded, and that error may replace the answer.
    unsure_at_commit = Driver.unsure_at_commit | {ErrorKind.ENDED, ErrorKind.INTERRUPTED}

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        import asyncmy.errors
        import pymysql.err

        require_names("pymysql")
        require_names("asyncmy")
        return (pymysql.err.Error, asyncmy.errors.Error)

    def connect_args(self, seconds: float) -> dict[str, Any]:
        whole = max(1, math.ceil(seconds))
        return {"connect_timeout": whole, "read_timeout": whole, "write_timeout": whole, "charset": parameters.CHARSET}

    def bound_waits(self, raw: Any, deadline: Deadline | None) -> None:
        sockets.limit(raw, None if deadline is None else max(0.001, deadline.remaining()))

    def open(self, connection: ConnectionLike, deadline: Deadline) -> None:
        connection.allow(deadline)
        if not (is_async := connection.raw is not connection.dbapi):
            sockets.bound_waits(connection.raw, connection.callback_state)
        if connection.raw.character_set_name() != parameters.CHARSET:
            raise sessions.other_charset(connection, connection.raw.character_set_name())
        if connection.is_external:
            timeouts_end, packet, modes, *charsets, _ = connection.fetch(sessions.EXTERNAL_SETTINGS)[0]
            sessions.check(connection, modes, charsets)
            connection.callback_state.timeouts_end, connection.callback_state.packet = timeouts_end == 1, packet
            self._see_server(connection)
            connection.prefix = f"SET STATEMENT sql_mode='{_MODE}' FOR "
            return
        version, timeouts_end, packet = connection.fetch("SELECT VERSION(), @@innodb_rollback_on_timeout, @@max_allowed_packet")[
            0
        ]
        connection.callback_state.timeouts_end, connection.callback_state.packet = timeouts_end == 1, packet
        if not error_info.is_supported(version):
            raise error_info.too_old()
        state = self._see_server(connection)
        connection.run(
            f"SET SESSION sql_mode = '{_MODE}', {upserts.MARK} = 0, {sessions.NAMES}, autocommit = 1, "
            f"max_statement_time = {_bound(connection.allowed)}{cluster.session_settings(state, is_stale=self.reads_stale)}"
        )
        connection.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.callback_state.kept = says_nothing(sockets.socket_of(connection.raw, is_async=is_async))

    def _see_server(self, connection: ConnectionLike) -> cluster.ServerState:
        """Ask the server what it is. Raise Refused if its reads may be stale and the user has not opted in."""
        state = connection.callback_state.server = cluster.read_state(connection)
        refusal = None if self.reads_stale else state.refusal()
        if refusal is not None:
            raise refusal
        if not self.reads_stale:
            connection.callback_state.look_at = time.monotonic() + cluster.LOOK_AGAIN_S
        return state

    def look(self, connection: ConnectionLike) -> None:
        if not connection.callback_state.is_receiving:
            self._see_server(connection)

    def leave(self, connection: ConnectionLike) -> None:
        if connection.raw is connection.dbapi:
            sockets.leave(connection.raw, connection.callback_state)

    def commits_alone(self, connection: ConnectionLike) -> bool:
        return bool(connection.raw.get_autocommit())

    def uses_snapshot(self, connection: ConnectionLike) -> bool:
        """Return whether reads may come from a snapshot. At MariaDB's default isolation level they do."""
        return self.lags_inside(connection) or not str(connection.fetch("SELECT @@tx_isolation")[0][0]).startswith("READ-")

    def lags_inside(self, connection: ConnectionLike) -> bool:
        """Return whether a node may lag: it waits for the others before a transaction, not at statements inside it."""
        return connection.callback_state.server.is_node and not self.reads_stale

    def allow(self, connection: ConnectionLike, seconds: float, known: float) -> float:
        """Limit the next statements. The server stops a little earlier than the caller, so that its answer arrives in time."""
        if known < 0:
            return seconds  # a fresh connection: the limit is sent with the other settings
        state = connection.callback_state
        if is_near(known, seconds) or state.in_transaction or state.is_receiving:
            return known
        connection.run(f"SET SESSION max_statement_time = {_bound(seconds)}")
        return seconds

    def begin(self, connection: ConnectionLike) -> None:
        connection.run("START TRANSACTION")

    def is_open(self, connection: ConnectionLike) -> bool:
        return bool(connection.callback_state.in_transaction)

    def is_broken(self, connection: ConnectionLike) -> bool:
        return not (connection.raw.open if connection.raw is connection.dbapi else sockets.is_alive(connection.raw))

    def is_fresh(self, connection: ConnectionLike) -> bool:
        return not self.is_broken(connection) and connection.callback_state.kept()

    def is_gone(self, connection: ConnectionLike) -> bool:
        return not self.is_fresh(connection)

    def interrupt(self, connection: ConnectionLike) -> None:
        """Close the connection at once.

        Unsent data would keep the async driver's connection open for as long as the server hangs.
        """
        sockets.abort(connection.raw)

    def drop(self, connection: ConnectionLike) -> None:
        """Close the socket. ``close()`` would send a packet behind an answer that was not read."""
        if connection.raw is connection.dbapi:
            sockets.close_at_once(connection.raw)
        else:
            self.interrupt(connection)

    def failed(self, connection: ConnectionLike, error: Exception) -> None:
        """Record a rollback: a deadlock rolls back the whole transaction, most other errors only their statement."""
        if error_info.ends_transaction(error, timeouts_end=connection.callback_state.timeouts_end):
            connection.callback_state.in_transaction = False

    def explain(self, error: Exception, table: sa.Table | None) -> ErrorInfo:
        return error_info.explain(error, table)


def _bound(seconds: float) -> float:
    """Return the server's own time limit for a call, in seconds."""
    return max(0.001, round(sooner(seconds), 3))
