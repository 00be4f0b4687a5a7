"""How a connection to PostgreSQL is opened, limited, checked and ended, and what its errors mean."""

from __future__ import annotations

import functools
import math
from typing import Any

import sqlalchemy as sa

from resourcekit.call_context import Deadline
from resourcekit.data_layers.driver_names import require_names
from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.driver import CallbackState, Driver, is_near, says_nothing, sooner
from resourcekit.data_layers.sql.dialects.error_info import ErrorInfo, TooLate
from resourcekit.data_layers.sql.dialects.features import Features
from resourcekit.data_layers.sql.dialects.postgresql import errors as error_info
from resourcekit.data_layers.sql.dialects.postgresql import loaders, standby

__all__ = ["PostgresDriver"]

_IDLE, _ACTIVE, _OPEN, _ABORTED = 0, 1, 2, 3
"""Transaction states of libpq. Any other state means that the connection is lost or busy."""

_OLDEST = 140_000
"""Version 14, the first one that scans ranges of ctid."""

_SETTINGS = (
    # synchronous_commit is switched on if it is off, because a crash may lose acknowledged commits otherwise.
    # client_encoding is set, because the one of the URL or of the user's settings may lack characters.
    "SELECT set_config('client_encoding', 'UTF8', false), set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false), "
    "set_config('default_transaction_isolation', 'read committed', false), "
    # datetimes and intervals are read in this form (``loaders``)
    "set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false), set_config('IntervalStyle', 'postgres', false), "
    "set_config('statement_timeout', %s, false), pg_is_in_recovery()"
)


class PostgresDriver(Features, Driver):
    """Connections of PostgreSQL."""

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        import psycopg

        require_names("psycopg")
        return (psycopg.Error,)

    def connect_args(self, seconds: float) -> dict[str, Any]:
        return {"connect_timeout": max(2, math.ceil(seconds)), "client_encoding": "utf8"}

    def bound_waits(self, raw: Any, deadline: Deadline | None) -> None:
        """Limit the time of all waits on the connection together, from now on."""
        raw.__dict__.pop("wait", None)
        if deadline is not None:
            callback_state = CallbackState()
            callback_state.deadline = deadline
            _bound_waits(raw, callback_state, is_async=False)

    def open(self, connection: ConnectionLike, deadline: Deadline) -> None:
        callback_state = connection.callback_state
        connection.allow(deadline)
        _bound_waits(connection.raw, callback_state, is_async=connection.raw is not connection.dbapi)
        if connection.is_external:
            error_info.check_encoding(connection)
            standby.refuse_guest(connection, accepts_stale=self.reads_stale)
            cursor = connection.cursor
            connection.cursor = lambda: loaders.use_for(cursor())
            return
        if connection.raw.info.server_version < _OLDEST:
            msg = "PostgreSQL 14 or later is needed"
            raise error_info.too_old(msg)
        callback_state.kept = says_nothing(connection.raw.pgconn.socket)
        loaders.use(connection.raw)
        settings = connection.fetch(_SETTINGS, (str(_milliseconds(connection.allowed)),))[0]
        if settings[-1] and not self.reads_stale:
            raise standby.refusal()
        try:  # so that a statement whose caller has gone ends soon; some operating systems do not support it
            connection.fetch("SELECT set_config('client_connection_check_interval', '1s', false)")
        except self.errors:
            if self.is_broken(connection):
                raise

    def leave(self, connection: ConnectionLike) -> None:
        connection.raw.__dict__.pop("wait", None)

    def commits_alone(self, connection: ConnectionLike) -> bool:
        return bool(connection.raw.autocommit)

    def uses_snapshot(self, connection: ConnectionLike) -> bool:
        return not str(connection.fetch("SHOW transaction_isolation")[0][0]).startswith("read ")

    def allow(self, connection: ConnectionLike, seconds: float, known: float) -> float:
        """Limit the next statements. The server stops a little earlier than the caller, so that its answer arrives in time."""
        if known < 0:
            return seconds  # a fresh connection: the limit is sent with the other settings
        if is_near(known, seconds) or connection.raw.pgconn.transaction_status != _IDLE:
            return known
        connection.fetch("SELECT set_config('statement_timeout', %s, false)", (str(_milliseconds(seconds)),))
        return seconds

    def begin(self, connection: ConnectionLike) -> None:
        connection.run("BEGIN")

    def is_open(self, connection: ConnectionLike) -> bool:
        return connection.raw.pgconn.transaction_status in (_OPEN, _ABORTED)

    def is_broken(self, connection: ConnectionLike) -> bool:
        """Return whether the connection is unusable. A statement whose answer was not read leaves it unusable, too."""
        return connection.raw.pgconn.transaction_status not in (_IDLE, _OPEN, _ABORTED)

    def drop(self, connection: ConnectionLike) -> None:
        """Close the connection below the driver, whose own way out may have to be awaited."""
        connection.raw.pgconn.finish()

    def failed(self, connection: ConnectionLike, error: Exception) -> None:
        """Reset prepared statements.

        After an error in a pipeline, psycopg may count a statement as prepared that the server lacks.
        """
        connection.raw._prepared.clear()  # noqa: SLF001  # it also deallocates them on the server, before the next statement is prepared

    def is_aborted(self, connection: ConnectionLike) -> bool:
        return bool(connection.raw.pgconn.transaction_status == _ABORTED)

    def is_fresh(self, connection: ConnectionLike) -> bool:
        return bool(connection.raw.pgconn.transaction_status == _IDLE and connection.callback_state.kept())

    def is_gone(self, connection: ConnectionLike) -> bool:
        """Return whether the server closed the connection. Pending data may be a notice, so it is read."""
        while not connection.callback_state.kept():
            try:
                connection.raw.pgconn.consume_input()
            except self.errors:
                return True
        return False

    def explain(self, error: Exception, table: sa.Table | None) -> ErrorInfo:
        return error_info.explain(error, table)


def _milliseconds(seconds: float) -> int:
    """Return the server's own time limit for a call, in milliseconds."""
    return max(1, int(1000 * sooner(seconds)))


def _bound_waits(raw: Any, callback_state: Any, *, is_async: bool) -> None:
    """Make a connection wait for the server until the deadline of the CallbackState, and no longer.

    A frozen server answers neither statement_timeout nor a cancel request, and the driver itself would wait without a limit.
    """
    from psycopg import waiting

    plain = type(raw).wait

    def left() -> float:
        seconds: float = callback_state.deadline.remaining()
        if seconds <= 0:
            raise TooLate
        return seconds

    def wait(gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if callback_state.deadline is None:
            return plain(raw, gen, interval)
        return waiting.wait(gen, raw.pgconn.socket, interval=interval, timeout=left())

    async def wait_async(gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # the signature of psycopg
        if callback_state.deadline is None:
            return await plain(raw, gen, interval)
        return await waiting.wait_async(gen, raw.pgconn.socket, interval=interval, timeout=left())

    raw.wait = wait_async if is_async else wait
