"""The thread of a connection of aiosqlite, which goes on after the event loop that it answers to has ended.

``asyncio.run`` cancels what is still running and closes its loop. The thread of a connection may be in the middle of a statement
then. Its answer finds a closed loop, the error ends the thread, and Python prints a traceback. What else is in the thread's
queue, such as the rollback, is not done, so the write lock stays until the garbage collector finds the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["connect"]


class _Answer:
    """A future as aiosqlite's thread uses it. An answer to a loop that is closed is thrown away: no task waits for it."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def get_loop(self) -> _Answer:
        return self

    def call_soon_threadsafe(self, give: Callable[[asyncio.Future[Any], Any], object], _: _Answer, value: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._future.get_loop().call_soon_threadsafe(give, self._future, value)


class _Queue:
    """The queue of aiosqlite's thread, from the side that puts functions into it."""

    __slots__ = ("_queue",)

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        self._queue.put_nowait((None if future is None else _Answer(future), function))


def connect(*words: Any, **named: Any) -> Any:
    """Return a connection of aiosqlite that is not open yet; ``await`` opens it. SQLAlchemy's ``async_creator_fn``."""
    import aiosqlite  # it takes 20 ms, and sync programs do not need it

    connection: Any = aiosqlite.connect(*words, **named)
    connection._thread.daemon = True  # as SQLAlchemy sets it if it connects by itself  # noqa: SLF001
    connection._tx = _Queue(connection._tx)  # noqa: SLF001
    return connection
