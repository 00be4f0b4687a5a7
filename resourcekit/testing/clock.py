"""A clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from resourcekit.clock import Clock, everywhere, here, utc_now
from resourcekit.errors import InvalidArgument, Timeout, WrongCall
from resourcekit.known_names import KnownNames, shown

__all__ = ["ManualClock"]

_CHECK_EVERY_S = 0.01
"""Seconds of real time between two checks of an event, which cannot notify this clock that it was set."""


class ManualClock(KnownNames, Clock):
    """Time that does not pass until the test moves it. It is used inside its ``with`` block.

    start: an aware datetime; the current time by default.
    everywhere: all threads and tasks use it; else only this context, and its copies.

    ::

        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC)) as clock:
            clock.advance(hours=13)
    """

    __slots__ = ("_changed", "_everywhere", "_former", "_monotonic", "_now", "_tasks", "_waiting")

    def __init__(self, start: datetime | None = None, *, everywhere: bool = False) -> None:
        self._now = _aware(start) if start is not None else utc_now()
        # Starts at the real value: calls that began before this clock must not seem to begin in the future.
        self._monotonic = Clock().monotonic()
        self._everywhere = everywhere
        self._former: Clock = here.get()
        self._changed = threading.Condition()
        self._waiting = 0
        self._tasks: set[Callable[[], object]] = set()

    def __enter__(self) -> Self:
        """Start to use this clock."""
        try:
            if self._everywhere:
                everywhere.append(self)
            else:
                self._former = here.get()
                here.set(self)
            return self  # noqa: TRY300  # an exception at this very line is one of those that are caught here
        except BaseException:
            self._leave()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Use the former clock again."""
        try:
            self._leave()
        except BaseException:  # from outside; leaving twice changes nothing
            self._leave()
            raise

    def _leave(self) -> None:
        if self._everywhere:
            while self in everywhere:
                everywhere.remove(self)
        elif here.get() is self:
            here.set(self._former)

    def now(self) -> datetime:
        """Return the current time of this clock, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds that increase as this clock is advanced, and never decrease."""
        return self._monotonic

    def advance(self, by: timedelta | None = None, **parts: float) -> None:
        """Let time pass: ``advance(hours=13)``, with the arguments of ``timedelta``, or a timedelta.

        Waits until a moment that is now past end. Raise ValueError for a negative time; ``set`` can go back.
        """
        try:
            step = timedelta(**parts) + (timedelta() if by is None else by)
        except TypeError as error:
            raise WrongCall.of("advance", error, "write advance(hours=13), or advance(timedelta(hours=13))") from None
        if step < timedelta():
            msg = "time does not run backwards; set(moment) puts the wall clock back"
            raise InvalidArgument(msg)
        self._move(self._now + step, step.total_seconds())

    def set(self, moment: datetime) -> None:
        """Set the wall clock to an aware datetime. Setting it forward advances time; setting it back moves only the wall
        clock.
        """
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
        """Wait until the event is set, or this clock has reached the moment. Return whether the event is set."""
        with self._changed:
            self._arrive(1)
            try:
                while not event.is_set() and self._monotonic < moment:
                    self._changed.wait(_CHECK_EVERY_S)
            finally:
                self._arrive(-1)
        return event.is_set()

    async def wait_until_async(self, event: asyncio.Event, moment: float) -> bool:
        """Wait in a task, like ``wait_until``. The clock may be advanced in the same loop or in another thread."""
        loop, moved = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # Another thread may move the clock after the loop is closed; then no task waits any more.
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
        """Wait in real time until this many threads and tasks wait by this clock, so that an advance reaches them.

        timeout: seconds. Raise TimeoutError if fewer wait by then.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting >= count, timeout):
                msg = f"{self._waiting} of {count} wait by this clock after {timeout} s"
                raise Timeout(msg)

    def _arrive(self, by: int) -> None:
        self._waiting += by
        self._changed.notify_all()


def _aware(moment: datetime) -> datetime:
    if not isinstance(moment, datetime):
        raise InvalidArgument(f"a moment is a datetime, not {shown(moment)}")
    if moment.utcoffset() is None:
        raise InvalidArgument("a moment needs a time zone, for example tzinfo=UTC")
    return moment.astimezone(UTC)
