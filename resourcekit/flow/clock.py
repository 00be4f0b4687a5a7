"""The one source of time: everything that asks for "now" asks here, so that a test can move it by hand."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import threading

__all__ = ["Clock", "current_clock", "everywhere", "here", "utc_now"]

_LONGEST_LOOK = 30.0
"""Seconds of one wait of the system's. It stands still while the machine sleeps, so that who waits longer must look at the clock."""


def _elapsed() -> Callable[[], float]:
    """Return the system's seconds that nobody can set, those included in which the machine slept.

    On Linux and macOS ``time.monotonic()`` leaves them out, on Windows and the BSDs it does not.
    """
    number = getattr(time, {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC_RAW"}.get(sys.platform, ""), None)
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:  # not every sandbox has it
        return time.monotonic
    return functools.partial(time.clock_gettime, number)


_monotonic = _elapsed()


class Clock:
    """The system's time. A test's clock is a subclass that answers otherwise."""

    __slots__ = ()

    def now(self) -> datetime:
        """Wall time: an aware datetime in UTC, with microseconds."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back, and goes on while the machine sleeps."""
        return _monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most this many seconds by this clock; return whether it is set."""
        return self.wait_until(event, self.monotonic() + seconds)

    async def wait_async(self, event: asyncio.Event, seconds: float) -> bool:
        """Do the same in a task; the event belongs to the running loop."""
        return await self.wait_until_async(event, self.monotonic() + seconds)

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        """Wait until the event is set, or until ``monotonic()`` has reached a moment; return whether the event is set.

        Who counts from a fixed moment waits by this: a clock that is moved meanwhile cannot make the wait longer, and where
        the machine slept past the moment, the wait ends half a minute after it woke at the latest.
        """
        while not event.is_set() and (left := moment - self.monotonic()) > 0:
            event.wait(min(left, _LONGEST_LOOK))
        return event.is_set()

    async def wait_until_async(self, event: asyncio.Event, moment: float) -> bool:
        """Do the same in a task; the event belongs to the running loop."""
        import asyncio  # 30 ms that a program without tasks need not pay

        while not event.is_set() and (left := moment - self.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), min(left, _LONGEST_LOOK))
        return event.is_set()


_system = Clock()
here: ContextVar[Clock] = ContextVar("resourcekit_clock", default=_system)
"""The clock of this context (thread or task)."""

everywhere: list[Clock] = []
"""Clocks that all threads follow, the last one first; for tests only."""


def current_clock() -> Clock:
    """Return the clock in force: one that was set for all threads, else that of this context."""
    return everywhere[-1] if everywhere else here.get()


def utc_now() -> datetime:
    """Return the present moment, an aware datetime in UTC."""
    return current_clock().now()
