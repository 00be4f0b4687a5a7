"""Connections kept for async calls, a few for each event loop. Knows no statement."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import await_only

from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.link import Link

__all__ = ["AsyncLink", "LoopPool", "LoopPools"]

T = TypeVar("T")
_MOST = 8
"""Connections of one loop; each of an SQLite database has a thread."""

_MOMENT = 0.1
"""Seconds that a cancelled call waits for a connection that it began to open."""

_ending: set[asyncio.Future[Any]] = set()
"""Work that goes on though its caller was cancelled; a loop itself would forget it."""


def _sleep(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))


class AsyncLink(Link):
    """A connection of an async driver; work on it is plain functions, in which waiting gives way to other tasks."""

    __slots__ = ()
    keeper: AsyncConnection

    @classmethod
    def of(cls, room: Room, keeper: AsyncConnection, connection: sa.Connection, *, is_guest: bool = False) -> AsyncLink:
        """Return the link over a connection of the user's or of our own; called inside ``run_sync``."""
        fairy = connection.connection
        sleep = None if room.is_server else _sleep
        return cls(room, fairy.dbapi_connection, keeper, raw=room.raw(fairy), sleep=sleep, is_guest=is_guest)

    async def work(self, function: Callable[..., T], *args: Any) -> T:
        """Run ``function(link, *args)``."""
        return await self.keeper.run_sync(lambda _: function(self, *args))

    def at_once(self, function: Callable[[Link], T]) -> T:
        """See Link. One way to the thread of aiosqlite and back for all statements, not one for each."""
        execute = getattr(getattr(self.dbapi, "driver_connection", None), "_execute", None)
        if self.room.is_server or execute is None:  # a driver without a thread waits for each statement by itself
            return function(self)
        inside = Link(self.room, self.raw, self.keeper)
        inside.gauge, inside.allowed = self.gauge, self.allowed
        return await_only(execute(function, inside))  # type: ignore[no-any-return]  # the driver's is untyped

    async def close(self) -> None:
        """Close the connection, on which nothing is open."""
        self.grace()
        await self.keeper.close()

    async def discard(self) -> None:
        """Close the connection, whatever it is doing; goes on to its end even if this task is cancelled again."""
        self.room.interrupt(self)
        await _to_its_end(_discard(self.keeper))


async def _to_its_end(work: Any) -> None:
    ending = asyncio.ensure_future(work)
    _ending.add(ending)
    ending.add_done_callback(_ended)
    await asyncio.shield(ending)


def _ended(ending: asyncio.Future[Any]) -> None:
    _ending.discard(ending)
    if not ending.cancelled():
        ending.exception()  # nobody may be left to hear of it


async def _discard(keeper: AsyncConnection) -> None:
    # It is thrown away: how it ends is nobody's concern, and must not hide why.
    with contextlib.suppress(Exception):
        await keeper.invalidate()
    with contextlib.suppress(Exception):
        await keeper.close()


class LoopPool:
    """The connections of one loop.

    writing: held around each write of this loop, where the database has one writer at a time, so that its tasks wait for
    each other in order, and not for the database by trying again and again.
    """

    def __init__(self, engine: AsyncEngine, room: Room, patience: float, *, keep: bool) -> None:
        self._engine, self._room, self._patience, self._keep = engine, room, patience, keep
        self.idle: list[AsyncLink] = []
        self._places = asyncio.Semaphore(_MOST)
        self.writing: AbstractAsyncContextManager[Any] = contextlib.nullcontext() if room.is_server else asyncio.Lock()
        self._watch: AsyncGenerator[None] | None = None

    async def take(self) -> AsyncLink:
        """Return a connection; waits while all are in use."""
        await self._places.acquire()
        try:
            while self.idle:
                link = self.idle.pop()
                if self._room.is_fresh(link):
                    return link
                await link.discard()
        except BaseException:
            self._places.release()
            raise
        # A task of its own: a driver that is interrupted while it connects loses what it has opened so far.
        opening = asyncio.ensure_future(self._open())
        try:
            return await asyncio.shield(opening)
        except BaseException:
            _ending.add(opening)
            opening.add_done_callback(self._opened_for_nobody)
            # It is there in a moment, and then nothing is left behind in a loop that may end right now.
            await asyncio.wait({opening}, timeout=_MOMENT)
            raise

    def _opened_for_nobody(self, opening: asyncio.Future[AsyncLink]) -> None:
        """Keep a connection whose task was cancelled while it was opened; its place was taken until now."""
        _ended(opening)
        self._places.release()
        if opening.cancelled() or opening.exception() is not None:
            return
        if self._keep:
            self.idle.append(opening.result())
        else:
            ending = asyncio.ensure_future(opening.result().keeper.close())
            _ending.add(ending)
            ending.add_done_callback(_ended)

    async def put(self, link: AsyncLink, *, broken: bool = False) -> None:
        """Give a connection back, in autocommit mode, or broken."""
        try:
            if broken:
                await link.discard()
            elif self._keep:
                self.idle.append(link)
            else:
                await link.close()
        finally:
            self._places.release()

    async def _open(self) -> AsyncLink:
        if self._watch is None:
            # A loop that ends closes its async generators: the one place from which connections can still be closed.
            self._watch = self._until_the_end()
            await anext(self._watch)
        async with asyncio.timeout(self._patience):
            keeper = await self._engine.connect()
            try:
                await keeper.execution_options(isolation_level="AUTOCOMMIT")
                link = await keeper.run_sync(lambda connection: AsyncLink.of(self._room, keeper, connection))
                await link.work(self._room.open, self._patience)
            except BaseException:
                await _discard(keeper)
                raise
        return link

    async def _until_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """Close what nobody uses."""
        while self.idle:
            with contextlib.suppress(Exception):  # its server may be gone
                await self.idle.pop().close()


class LoopPools:
    """The pools of all loops."""

    def __init__(self, engine: AsyncEngine, room: Room, patience: float, *, keep: bool) -> None:
        self.engine, self._room, self._patience, self._keep = engine, room, patience, keep
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPool] = weakref.WeakKeyDictionary()

    def here(self) -> LoopPool:
        """Return the pool of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = LoopPool(self.engine, self._room, self._patience, keep=self._keep)
        return pool
