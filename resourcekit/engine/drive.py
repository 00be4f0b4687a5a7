"""Drives the one async engine in both colours. It knows nothing of what it drives."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar

from resourcekit.errors import WrongColour
from resourcekit.flow.context import Colour, colour

__all__ = ["BothColours", "Suspended", "drive", "drive_iterator", "in_colour", "off_loop", "require_going_on"]

P = ParamSpec("P")
T = TypeVar("T")


class Suspended(BaseException):  # not an Exception: a user's "except Exception" must not swallow it
    """Thrown into a coroutine that waits inside a sync call; becomes WrongColour at the edge."""


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this thread, without a loop.

    Legal because stores do not suspend in a sync call. Raises WrongColour where something does suspend; whatever
    transaction was open inside is rolled back by its own way out.
    """
    token = colour.set(Colour.SYNC)
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration is not generic
    else:
        raise _refused(work)
    finally:
        colour.reset(token)


_refusing: ContextVar[bool] = ContextVar("resourcekit_refusing", default=False)
"""The call that runs here was refused, and only comes to its end."""


def require_going_on() -> None:
    """Raise Suspended again where a user's code swallowed it (``except BaseException``), so that nothing is written."""
    if _refusing.get():
        raise Suspended


def _refused(work: Coroutine[Any, Any, Any]) -> WrongColour:
    """Let a coroutine that waits come to its end, and return what the caller gets instead of a result."""
    token = _refusing.set(True)
    try:
        with contextlib.suppress(Suspended, StopIteration):
            work.throw(Suspended())
        work.close()
    finally:
        _refusing.reset(token)
    return WrongColour("a sync call met something that must be awaited; call the function's .aio and await it")


async def in_colour(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine inside an event loop; inside a sync call it stays sync."""
    if colour.get() is not None:
        return await work
    token = colour.set(Colour.ASYNC)
    try:
        return await work
    finally:
        colour.reset(token)


async def off_loop(work: Callable[[], T]) -> T:
    """Run work that blocks, for a store without an async driver: here in a sync call, else in a worker thread.

    The thread gets a copy of the context. Work that has begun goes on to its end, also where its task is cancelled.
    """
    if colour.get() is Colour.SYNC:
        return work()
    import asyncio  # 30 ms that a program without tasks need not pay

    return await asyncio.to_thread(work)


def drive_iterator(stream: AsyncIterator[T]) -> Iterator[T]:
    """Iterate over an async iterator in this thread, without a loop."""
    try:
        while True:
            try:
                item = drive(_next(stream))
            except StopAsyncIteration:
                return
            yield item
    finally:
        if (close := getattr(stream, "aclose", None)) is not None:
            drive(close())


async def _next(stream: AsyncIterator[T]) -> T:
    return await stream.__anext__()


class BothColours(Generic[P, T]):
    """A function in both colours: called, it is sync; ``.aio`` gives an awaitable."""

    def __init__(self, function: Callable[P, Coroutine[Any, Any, T]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it now, in this thread."""
        return drive(self._function(*args, **kwargs))

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Return a coroutine that runs it."""
        return in_colour(self._function(*args, **kwargs))
