"""The one source of time: everything that asks for "now" asks here, so that a test can move it by hand."""

from __future__ import annotations

import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import threading

__all__ = ["Clock", "current_clock", "everywhere", "here", "utc_now"]


class Clock:
    """The system's time. A test's clock is a subclass that answers otherwise."""

    __slots__ = ()

    def now(self) -> datetime:
        """Wall time: an aware datetime in UTC, with microseconds."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, at most this many seconds by this clock; return whether it is set."""
        return self.wait_until(event, self.monotonic() + seconds)

    async def wait_async(self, event: asyncio.Event, seconds: float) -> bool:
        """Do the same in a task; the event belongs to the running loop."""
        return await self.wait_until_async(event, self.monotonic() + seconds)

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        """Wait until the event is set, or until ``monotonic()`` has reached a moment; return whether the event is set.

        Who counts from a fixed moment waits by this: a clock that is moved meanwhile cannot make the wait longer.
        """
        return event.wait(max(0.0, moment - self.monotonic()))

    async def wait_until_async(self, event: asyncio.Event, moment: float) -> bool:
        """Do the same in a task; the event belongs to the running loop."""
        import asyncio  # 30 ms that a program without tasks need not pay

        try:
            await asyncio.wait_for(event.wait(), max(0.0, moment - self.monotonic()))
        except TimeoutError:
            return event.is_set()
        return True


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
