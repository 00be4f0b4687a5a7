"""Sockets that a server's answer is read from until the time of the call, in however many crumbs it comes. It knows no command.

redis-py bounds each wait for some bytes of an answer; here all of them together are bounded.
"""

from __future__ import annotations

import math
import time
from typing import Any

__all__ = ["bounded"]


class _Socket:
    """A socket whose waits all end at one time. Everything else is the socket's own."""

    def __init__(self, plain: Any) -> None:
        self._plain, self._ends_at = plain, math.inf
        self._seconds: float | None = plain.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def end_after(self, seconds: float) -> None:
        """Let what is sent and read from now on end after so many seconds."""
        self._ends_at = time.monotonic() + seconds
        self.settimeout(seconds)

    def settimeout(self, seconds: float | None) -> None:
        """Bound each single wait, as for a look at what is there."""
        self._seconds = seconds
        self._plain.settimeout(seconds)

    def recv(self, *args: Any) -> bytes:
        """Read some bytes."""
        self._hurry()
        data: bytes = self._plain.recv(*args)
        return data

    def recv_into(self, *args: Any) -> int:
        """Read some bytes into a buffer."""
        self._hurry()
        count: int = self._plain.recv_into(*args)
        return count

    def _hurry(self) -> None:
        if self._seconds == 0 or self._ends_at == math.inf:
            return
        left = self._ends_at - time.monotonic()
        if left <= 0:
            msg = "timed out"
            raise TimeoutError(msg)
        self._plain.settimeout(left if self._seconds is None else min(left, self._seconds))


def bounded(connections: type[Any]) -> type[Any]:
    """Return redis-py's class of connections, with sockets that have ``end_after``."""

    class Bounded(connections):  # type: ignore[misc]  # a class known at run time only
        """A connection."""

        def _connect(self) -> Any:
            return _Socket(super()._connect())

    return Bounded
