"""A clock that a test moves by hand. It knows the one source of time and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import Token
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from resourcekit.flow.clock import Clock, everywhere, here, utc_now

__all__ = ["ManualClock"]

_GLANCE = 0.01
"""Seconds of real time between two looks at an event, which cannot tell this clock that it was set."""


class ManualClock(Clock):
    """Time that stands still until the test moves it; in force inside its ``with`` block.

    start: an aware datetime; the present moment unless given.
    everywhere: all threads and tasks follow it; else only this context, and what copies it.

    ::

        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC)) as clock:
            clock.advance(hours=13)
    """

    __slots__ = ("_changed", "_everywhere", "_monotonic", "_now", "_tasks", "_token", "_waiting")

    def __init__(self, start: datetime | None = None, *, everywhere: bool = False) -> None:
        self._now = _aware(start) if start is not None else utc_now()
        # From the real one onwards: what was begun before this clock must not seem to lie in the future.
        self._monotonic = Clock().monotonic()
        self._everywhere = everywhere
        self._token: Token[Clock] | None = None
        self._changed = threading.Condition()
        self._waiting = 0
        self._tasks: set[Callable[[], object]] = set()

    def __enter__(self) -> Self:
        """Come into force."""
        if self._everywhere:
            everywhere.append(self)
        else:
            self._token = here.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let time run again."""
        if self._token is not None:
            here.reset(self._token)
            self._token = None
        else:
            everywhere.remove(self)

    def now(self) -> datetime:
        """Return the moment at which this clock stands, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds that go forward as this clock is advanced, and never back."""
        return self._monotonic

    def advance(self, by: timedelta | None = None, **parts: float) -> None:
        """Let time pass: ``advance(hours=13)``, with the words of ``timedelta``, or a timedelta.

        Wakes whoever waits until a moment that is now past. Raises ValueError for a negative time: ``set`` goes back.
        """
        step = timedelta(**parts) + (by or timedelta())
        if step < timedelta():
            msg = "time does not run backwards; set(moment) puts the wall clock back"
            raise ValueError(msg)
        self._move(self._now + step, step.total_seconds())

    def set(self, moment: datetime) -> None:
        """Set the wall clock, an aware datetime. Forwards, it is as if the time had passed; put back, only it moves."""
        moment = _aware(moment)
        self._move(moment, max(0.0, (moment - self._now).total_seconds()))

    def _move(self, moment: datetime, seconds: float) -> None:
        with self._changed:
            self._now = moment
            self._monotonic += seconds
            self._changed.notify_all()
            tasks = tuple(self._tasks)
        for wake in tasks:
            wake()

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        """Wait until the event is set, or this clock was advanced so far; return whether the event is set."""
        with self._changed:
            self._arrive(1)
            try:
                while not event.is_set() and self._monotonic < moment:
                    self._changed.wait(_GLANCE)
            finally:
                self._arrive(-1)
        return event.is_set()

    async def wait_until_async(self, event: asyncio.Event, moment: float) -> bool:
        """Do the same in a task; the clock may be advanced in the same loop or in another thread."""
        loop, moved = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # Another thread may move the clock when the loop is closed already; then nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(moved.set)

        with self._changed:
            self._tasks.add(wake)
            self._arrive(1)
        is_set = asyncio.ensure_future(event.wait())
        try:
            while not event.is_set() and self._monotonic < moment:
                moved.clear()
                has_moved = asyncio.ensure_future(moved.wait())
                await asyncio.wait({is_set, has_moved}, return_when=asyncio.FIRST_COMPLETED)
                has_moved.cancel()
        finally:
            is_set.cancel()
            with self._changed:
                self._tasks.discard(wake)
                self._arrive(-1)
        return event.is_set()

    def until_waiting(self, count: int = 1, *, timeout: float = 10.0) -> None:
        """Wait in real time until so many threads and tasks wait by this clock, so that an advance reaches them.

        timeout: seconds. Raises TimeoutError when they have not come by then.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting >= count, timeout):
                msg = f"{self._waiting} of {count} wait by this clock after {timeout} s"
                raise TimeoutError(msg)

    def _arrive(self, by: int) -> None:
        self._waiting += by
        self._changed.notify_all()


def _aware(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        msg = "a moment needs a time zone, for example tzinfo=UTC"
        raise ValueError(msg)
    return moment.astimezone(UTC)
