"""How long PyMySQL waits for a server: until the time of the call, in however many crumbs an answer comes. It knows no statement.

The driver bounds each wait for some bytes of an answer, and has no public name for that bound.
"""

# ruff: noqa: SLF001  # see above

from __future__ import annotations

import io
import math
from typing import Any

from resourcekit.data_layers.sql.trouble import TooLate

__all__ = ["bound_waits", "leave"]


class _Answers(io.RawIOBase):
    """What the server sends, read until the gauge's time.

    is_next: nothing was read since the driver was told of a bound, so that the socket knows it.
    """

    def __init__(self, raw: Any, gauge: Any) -> None:
        self._raw, self._socket, self._gauge = raw, raw._sock, gauge
        self.is_next = False

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there. Raises TimeoutError where nothing comes until the gauge's time."""
        if not self.is_next and self._gauge.ends_at != math.inf:
            seconds = self._gauge.left()
            if seconds <= 0:
                msg = "timed out"
                raise TimeoutError(msg)
            self._socket.settimeout(seconds)
            self._raw._current_timeout = seconds  # what the driver believes that the socket knows
        self.is_next = False
        count: int = self._socket.recv_into(buffer)
        return count


def bound_waits(raw: Any, gauge: Any) -> None:
    """Let a connection wait for the server until the gauge's time, and no longer."""
    plain = type(raw)._execute_command  # the one place through which all statements go
    before, answers = (raw._read_timeout, raw._write_timeout), _Answers(raw, gauge)

    def execute_command(command: int, sql: Any) -> Any:
        if gauge.ends_at == math.inf:
            raw._read_timeout, raw._write_timeout = before
        else:
            left = gauge.left()
            if left <= 0:
                raise TooLate
            raw._read_timeout = raw._write_timeout = left
        answers.is_next = True
        return plain(raw, command, sql)

    raw._execute_command = execute_command
    raw._rfile.close()  # nothing waits in it; while it is open, the socket would be, too
    raw._rfile = io.BufferedReader(answers)
    gauge.kept = before


def leave(raw: Any, gauge: Any) -> None:
    """Let a connection wait as it did before."""
    raw.__dict__.pop("_execute_command", None)
    raw._read_timeout, raw._write_timeout = gauge.kept
    if raw.open:
        raw._rfile = raw._sock.makefile("rb")
