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
from sqlalchemy.util import await_only, greenlet_spawn

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
        await _to_its_end(_end(self.keeper, self.keeper.dialect.do_close, self.dbapi))

    async def discard(self) -> None:
        """Close the connection, whatever it is doing; goes on to its end even if this task is cancelled again."""
        self.room.interrupt(self)
        await _to_its_end(_end(self.keeper, self.keeper.dialect.do_terminate, self.dbapi))


async def _to_its_end(work: Any) -> None:
    ending = asyncio.ensure_future(work)
    _ending.add(ending)
    ending.add_done_callback(_ended)
    await asyncio.shield(ending)


def _ended(ending: asyncio.Future[Any]) -> None:
    _ending.discard(ending)
    if not ending.cancelled():
        ending.exception()  # nobody may be left to hear of it


async def _end(keeper: AsyncConnection, how: Callable[..., Any], dbapi: Any) -> None:
    """Close a connection that no pool knows any more. How it ends is nobody's concern, and must not hide why."""
    with contextlib.suppress(Exception):
        await greenlet_spawn(how, dbapi)
    with contextlib.suppress(Exception):  # else SQLAlchemy would roll back, and log that it could not
        await keeper.invalidate()
    with contextlib.suppress(Exception):
        await keeper.close()


class LoopPool:
    """The connections of one loop.

    writing: held around each write of this loop, where the database has one writer at a time, so that its tasks wait for
    each other in order, and not for the database by trying again and again.
    """

    def __init__(self, engine: AsyncEngine, room: Room, patience: float) -> None:
        self._engine, self._room, self._patience = engine, room, patience
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
        self.idle.append(opening.result())

    async def put(self, link: AsyncLink, *, broken: bool = False) -> None:
        """Give a connection back, in autocommit mode, or broken."""
        try:
            if broken:
                await link.discard()
            else:
                self.idle.append(link)
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
                link = await keeper.run_sync(lambda connection: AsyncLink.of(self._room, keeper, connection))
                await keeper.execution_options(isolation_level="AUTOCOMMIT")
                # Its settings are ours from here on, so it must not go back to a pool of the user's.
                await keeper.run_sync(lambda connection: connection.detach())
            except BaseException:
                await keeper.invalidate()
                await keeper.close()
                raise
            try:
                await link.work(self._room.open, self._patience)
            except BaseException:
                await link.discard()
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
            await self.idle.pop().close()


class LoopPools:
    """The pools of all loops."""

    def __init__(self, engine: AsyncEngine, room: Room, patience: float) -> None:
        self.engine, self._room, self._patience = engine, room, patience
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPool] = weakref.WeakKeyDictionary()

    def here(self) -> LoopPool:
        """Return the pool of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = LoopPool(self.engine, self._room, self._patience)
        return pool
