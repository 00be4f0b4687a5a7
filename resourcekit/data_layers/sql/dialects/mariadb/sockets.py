"""Sockets of MariaDB connections: waits for the server, rows that are read on demand, checks, and how a socket is closed.

This is the only module with private names of PyMySQL and asyncmy (``data_layers/driver_names.py``).

A wait ends at the deadline of the call, even if an answer arrives in many small parts. PyMySQL itself limits each single wait for
some bytes.
"""

# ruff: noqa: SLF001  # the driver has no public names for it

from __future__ import annotations

import io
from typing import Any

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.driver import CursorReader
from resourcekit.data_layers.sql.dialects.error_info import TooLate

__all__ = ["Unbuffered", "abort", "bound_waits", "close_at_once", "is_alive", "leave", "limit", "socket_of"]


class _Answers(io.RawIOBase):
    """The data that the server sends, read until the deadline of the CallbackState.

    is_next: nothing was read since the driver's own limit was set, so the socket already has that limit.
    """

    def __init__(self, raw: Any, callback_state: Any) -> None:
        self._raw, self._socket, self._callback_state = raw, raw._sock, callback_state
        self.is_next = False

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read available bytes. Raise TimeoutError if none arrive by the deadline."""
        if not self.is_next and self._callback_state.deadline is not None:
            seconds = self._callback_state.deadline.remaining()
            if seconds <= 0:
                msg = "timed out"
                raise TimeoutError(msg)
            self._socket.settimeout(seconds)
            self._raw._current_timeout = seconds  # the driver's copy of the socket's timeout
        self.is_next = False
        count: int = self._socket.recv_into(buffer)
        return count


def bound_waits(raw: Any, callback_state: Any) -> None:
    """Make a connection wait for the server until the deadline of the CallbackState, and no longer."""
    plain = type(raw)._execute_command  # all statements are sent through this method
    before, answers = (raw._read_timeout, raw._write_timeout), _Answers(raw, callback_state)

    def execute_command(command: int, sql: Any) -> Any:
        if callback_state.deadline is None:
            raw._read_timeout, raw._write_timeout = before
        else:
            left = callback_state.deadline.remaining()
            if left <= 0:
                raise TooLate
            raw._read_timeout = raw._write_timeout = left
        answers.is_next = True
        return plain(raw, command, sql)

    raw._execute_command = execute_command
    raw._rfile.close()  # its buffer is empty; while it is open, the socket stays open, too
    raw._rfile = io.BufferedReader(answers)
    callback_state.kept = before


def leave(raw: Any, callback_state: Any) -> None:
    """Restore the timeouts that the connection had before."""
    raw.__dict__.pop("_execute_command", None)
    raw._read_timeout, raw._write_timeout = callback_state.kept
    if raw.open:
        raw._rfile = raw._sock.makefile("rb")


class Unbuffered(CursorReader):
    """Rows that the server sends while they are fetched. No statement can be sent meanwhile: PyMySQL would drop the unread rows."""

    def __init__(self, cursor: Any, connection: ConnectionLike) -> None:
        super().__init__(cursor)
        self._connection = connection
        connection.callback_state.is_receiving = True

    def close(self, *, done: bool) -> None:
        """Close the cursor. Unread rows cannot be cancelled, and PyMySQL would read all of them, so the connection is closed."""
        self._connection.callback_state.is_receiving = False
        if done:
            super().close(done=done)
            return
        self.drop()
        self._connection.raw.close()

    def drop(self) -> None:
        """Leave the rest unread. PyMySQL would read it when its cursor is freed."""
        result = getattr(self._cursor, "_result", None)
        if result is not None:
            result.unbuffered_active = False


def is_alive(dbapi: Any) -> bool:
    """Return whether a connection of asyncmy was neither closed here nor by the server."""
    return bool(dbapi.connected) and not dbapi._stream_broken


def socket_of(dbapi: Any, *, is_async: bool) -> int:
    """Return the descriptor of a driver's socket."""
    socket = dbapi._transport.get_extra_info("socket") if is_async else dbapi._sock
    return int(socket.fileno())


def limit(raw: Any, seconds: float | None) -> None:
    """Limit each wait of a connection of PyMySQL, which has no public way to change that."""
    raw._read_timeout = raw._write_timeout = seconds


def abort(raw: Any) -> None:
    """Close a connection of asyncmy without sending what is left. No public method does."""
    transport = raw._transport
    if transport is not None:
        transport.abort()
    raw.close()


def close_at_once(raw: Any) -> None:
    """Close the socket of a connection of PyMySQL. Its ``close()`` sends a packet."""
    raw._force_close()
