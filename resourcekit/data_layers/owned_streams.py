"""Streams inside of streams, which only the outer one closes.

An event loop that ends closes all async generators that it knows, each in a task of its own. An inner one would be closed by two
tasks at once, and both would fail.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

__all__ = ["OwnedStream"]

T = TypeVar("T")


class OwnedStream(AsyncIterator[T], Generic[T]):
    """An async iterator over a stream that its user closes with ``aclose``; the event loop does not know the stream."""

    __slots__ = ("_is_begun", "_next", "_stream")

    def __init__(self, stream: AsyncIterator[T]) -> None:
        self._stream = stream
        self._next: Callable[[], Awaitable[T]] = stream.__anext__
        self._is_begun = False

    def __anext__(self) -> Awaitable[T]:
        """Return the next step. At the first one, an async generator asks for the functions of the event loop."""
        if self._is_begun:
            return self._next()
        self._is_begun = True
        before = sys.get_asyncgen_hooks()
        if before.finalizer is None:  # a sync call: the garbage collector closes what is left
            return self._next()
        sys.set_asyncgen_hooks(None, _leave)
        try:
            return self._next()
        finally:
            sys.set_asyncgen_hooks(*before)

    async def aclose(self) -> None:
        """Close the stream, if it is one that can be closed."""
        if (close := getattr(self._stream, "aclose", None)) is not None:
            await close()


def _leave(stream: Any) -> None:
    """Do nothing for an inner stream that is dropped: the outer one, which is closed by the event loop, closes it."""
