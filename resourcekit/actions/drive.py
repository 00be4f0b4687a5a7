"""Forms of a coroutine function: sync and async, iterators, and work outside of the call or the event loop."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

from resourcekit.call_context import CallMode, apart, call_mode, drive, in_call_mode
from resourcekit.errors import Misuse, WrongCall
from resourcekit.expressions.calls import shown_parameters
from resourcekit.known_names import KnownNames

__all__ = ["SyncAndAsync", "async_form", "drive", "drive_apart", "drive_iterator", "in_call_mode", "off_loop"]

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def async_form(function: F) -> F:
    """Mark a function that returns a coroutine as one of ``async def``: else a task after a response runs it in a thread, and drops it."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    import asyncio

    vars(function)["_is_coroutine"] = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001  # as asyncio.coroutine did
    return function


async def drive_apart(work: Coroutine[Any, Any, T]) -> T:
    """Await work that is not a part of the running call (``apart``). In a sync call, only this work fails if it suspends."""

    async def outside() -> T:
        with apart():
            return await work

    return drive(outside()) if call_mode.get() is CallMode.SYNC else await outside()


async def off_loop(work: Callable[[], T]) -> T:
    """Run blocking work of a store without an async driver: in this thread in a sync call, else in a worker thread.

    The thread gets a copy of the context. Work that has begun runs to its end, even if its task is cancelled.
    """
    if call_mode.get() is CallMode.SYNC:
        return work()
    import asyncio  # the import takes 30 ms, which programs without tasks need not pay

    return await asyncio.to_thread(work)


def drive_iterator(stream: AsyncIterator[T]) -> Iterator[T]:
    """Iterate over an async iterator in this thread, without an event loop."""
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


class SyncAndAsync(KnownNames, Generic[P, T]):
    """A function with a sync and an async form: a call runs it, ``.aio`` returns a coroutine."""

    def __init__(self, function: Callable[P, Coroutine[Any, Any, T]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the function now, in this thread. Raise WrongCall for other arguments than it takes."""
        return drive(self._begun(*args, **kwargs))

    @async_form
    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Return a coroutine that runs the function. Raise WrongCall for other arguments than it takes."""
        return in_call_mode(self._begun(*args, **kwargs))

    def _begun(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        try:
            return self._function(*args, **kwargs)
        except TypeError as error:
            if not WrongCall.is_cause_of(error):
                raise
            raise WrongCall.of("the call", error, shown_parameters(self._function)) from None

    if not TYPE_CHECKING:  # type checkers refuse this anyway

        def __await__(self) -> NoReturn:
            """Raise Misuse: the function was not called."""
            raise Misuse("call the async form, then await it: await query(Ticket).all.aio()")
