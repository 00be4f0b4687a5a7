"""The source of time for all modules, deadlines, and identifiers that sort by time. Tests use a clock that they move by hand."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, SafeUUID

import attrs

from resourcekit.errors import Timeout

if TYPE_CHECKING:
    import asyncio
    import threading

__all__ = ["LATE", "NEVER", "SYSTEM", "Clock", "Deadline", "current_clock", "elapsed", "everywhere", "here", "utc_now", "uuid7"]

NEVER = math.inf
"""The end of a deadline without an end."""

LATE = "the deadline of the call has passed"
"""The text of a Timeout."""

_LONGEST_LOOK = 30.0
"""Greatest seconds of one wait of the operating system. Such a wait does not count time in which the machine sleeps, so a
longer wait must look at the clock in between.
"""


def _elapsed() -> Callable[[], float]:
    """Return a function for the system's monotonic seconds, including time in which the machine slept.

    On Linux and macOS ``time.monotonic()`` excludes that time; on Windows and the BSDs it includes it.
    """
    number = getattr(time, {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC_RAW"}.get(sys.platform, ""), None)
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:  # missing in some sandboxes
        return time.monotonic
    return functools.partial(time.clock_gettime, number)


elapsed = _elapsed()


class Clock:
    """The system's time. The clock of a test is a subclass."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the wall time: an aware datetime in UTC, with microseconds."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since a fixed moment. They never go back, and they continue while the machine sleeps."""
        return elapsed()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most this many seconds by this clock. Return whether it is set."""
        return self.wait_until(event, self.monotonic() + seconds)

    async def wait_async(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait in a task, like ``wait``. The event belongs to the running loop."""
        return await self.wait_until_async(event, self.monotonic() + seconds)

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        """Wait until the event is set, or until ``monotonic()`` has reached a moment. Return whether the event is set.

        For waits that count from a fixed moment: moving the clock during the wait cannot make it longer. If the machine sleeps
        past the moment, the wait ends at most 30 seconds after it wakes.
        """
        while not event.is_set() and (left := moment - self.monotonic()) > 0:
            event.wait(min(left, _LONGEST_LOOK))
        return event.is_set()

    async def wait_until_async(self, event: asyncio.Event, moment: float) -> bool:
        """Wait in a task, like ``wait_until``. The event belongs to the running loop."""
        import asyncio  # the import takes 30 ms, which programs without tasks need not pay

        while not event.is_set() and (left := moment - self.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), min(left, _LONGEST_LOOK))
        return event.is_set()


SYSTEM = Clock()
here: ContextVar[Clock] = ContextVar("resourcekit_clock", default=SYSTEM)
"""The clock of this context (thread or task)."""

everywhere: list[Clock] = []
"""Clocks for all threads; the last one is used. For tests only."""


def current_clock() -> Clock:
    """Return the current clock: one that was set for all threads, else that of this context."""
    return everywhere[-1] if everywhere else here.get()


def utc_now() -> datetime:
    """Return the current time, an aware datetime in UTC."""
    return (everywhere[-1] if everywhere else here.get()).now()


@attrs.define(eq=False, repr=False)  # not frozen: one is made for nearly every call, and frozen ones take twice as long
class Deadline:
    """The moment by which a call must end. All parts of the call share this object.

    Connecting, waiting for a connection or a lock, statements, commits and retries use the same time.
    ends_at: the moment, in seconds of the monotonic clock of the call.
    """

    ends_at: float
    _clock: Clock
    # Real seconds pass while a driver waits, even if a test holds the clock: without this bound the wait would not end.
    _real_ends_at: float = NEVER

    @classmethod
    def after(cls, timeout: timedelta | float) -> Deadline:
        """Return the deadline that ends this time from now.

        timeout: a timedelta, or seconds. They count by the clock of this context; if a test moves that clock by hand, real time
            counts as well.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        clock = current_clock()
        if type(clock) is Clock:
            return cls(clock.monotonic() + seconds, clock)
        return cls(clock.monotonic() + seconds, clock, time.monotonic() + seconds)

    @classmethod
    def after_real(cls, seconds: float) -> Deadline:
        """Return the deadline that ends this many real seconds from now, for waits that the clock of a test cannot shorten."""
        return cls(elapsed() + seconds, SYSTEM)

    def remaining(self) -> float:
        """Return the seconds that are left, never less than zero."""
        left = self.ends_at - self._clock.monotonic()
        if self._real_ends_at is not NEVER:
            left = min(left, self._real_ends_at - time.monotonic())
        return left if left > 0.0 else 0.0  # noqa: FURB136  # in each call, and max() takes twice as long

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() <= 0.0

    def require(self, message: str = LATE) -> None:
        """Raise Timeout with this message if no time is left."""
        if self.remaining() <= 0.0:
            raise Timeout(message)

    def with_grace(self, seconds: float = 0.1) -> Deadline:
        """Return a deadline with at least this many seconds left, for work that must complete even if the call is late."""
        return self if self.remaining() >= seconds else Deadline.after_real(seconds)

    def __repr__(self) -> str:
        """Return ``<Deadline: 1.250 s left>``."""
        return f"<Deadline: {self.remaining():.3f} s left>"


_NEW, _SET, _UNKNOWN = object.__new__, object.__setattr__, SafeUUID.unknown


def uuid7() -> UUID:
    """Return a UUID of version 7 (RFC 9562, 5.7): 48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = int(utc_now().timestamp() * 1000)
    random = int.from_bytes(os.urandom(10)) >> 6
    value = (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (2**62 - 1)
    made = _NEW(UUID)  # a third of the time of UUID(int=value), which checks the number
    _SET(made, "int", value)
    _SET(made, "is_safe", _UNKNOWN)
    return made
