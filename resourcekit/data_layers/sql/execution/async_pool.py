"""Connections kept for async calls, a few for each event loop.

A call may be cancelled at any wait, and an exception from outside may come between any two lines. So what a call has of a
pool is one object, its ``Checkout``: a checkout that is dropped gives back all it has, and nothing is counted but checkouts that live.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.util import await_only, greenlet_spawn

from resourcekit.call_context import Deadline
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.execution.connection import Connection, Stored, fetch_in_thread, run_in_thread
from resourcekit.data_layers.sql.execution.needs import Need, Use
from resourcekit.data_layers.sql.execution.pool_limits import ALL_IN_USE, Budget, PoolOptions
from resourcekit.data_layers.sql.execution.task_queues import FirstConnect, Places, TaskQueue
from resourcekit.errors import Timeout

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection as SAAsyncConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AsyncConnection", "Checkout", "LoopPool", "LoopPools"]

T = TypeVar("T")
_MOST = 8
"""Most connections of one loop. Each connection to SQLite has a thread of its own."""

_WAIT_FOR_OPENING_S = 0.1
"""Seconds that a cancelled call waits for the connection that it began to open."""

_running_futures: set[asyncio.Future[Any]] = set()
"""Strong references to futures that go on after their caller was cancelled; the loop keeps only weak ones."""


def _sleep(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))


class AsyncConnection(Connection):
    """A connection of an async driver. It runs plain functions over a Connection; other tasks run while these wait."""

    __slots__ = ("_execute",)
    sa_connection: SAAsyncConnection
    _execute: Callable[..., Coroutine[Any, Any, Any]] | None
    """Calls a function in the thread of aiosqlite; ``None`` if the driver has no thread."""

    @classmethod
    def of(
        cls, dialect: Dialect, async_connection: SAAsyncConnection, sa_connection: sa.Connection, *, is_external: bool = False
    ) -> AsyncConnection:
        """Return the AsyncConnection over a connection of the pool or of the user. Called inside ``run_sync``."""
        fairy = sa_connection.connection
        sleep, dbapi = None if dialect.is_server else _sleep, fairy.dbapi_connection
        made = cls(dialect, dbapi, async_connection, raw=dialect.raw(fairy), sleep=sleep, is_external=is_external)
        driver = None if dialect.is_server else getattr(dbapi, "driver_connection", None)
        made._execute = getattr(driver, "_execute", None)
        return made

    async def work(self, function: Callable[..., T], *args: Any) -> T:
        """Run ``function(connection, *args)``."""
        return await greenlet_spawn(function, self, *args)

    def _fetch(self, sql: str, values: Stored) -> list[Any]:
        return super()._fetch(sql, values) if self._execute is None else self._in_one_switch(fetch_in_thread, sql, values)

    def _run(self, sql: str, values: Stored) -> int:
        return super()._run(sql, values) if self._execute is None else self._in_one_switch(run_in_thread, sql, values)

    def _in_one_switch(self, function: Callable[[Any, str, Stored], T], sql: str, values: Stored) -> T:
        """Run a statement in the thread of aiosqlite: one thread switch, not one for each method of a cursor.

        Only this one statement may run there. What decides about the outcome, such as the wait for a lock, stays in the task, where
        a deadline and a cancellation find it.
        """
        assert self._execute is not None
        self.awaiting_reply = True
        try:
            result: T = await_only(self._execute(function, self.raw, self.prefix + sql, values))
        except BaseException as error:
            self._failed(None, error)
            raise
        self.awaiting_reply = False
        return result

    def in_driver_thread(self, function: Callable[[Connection], T]) -> T:
        """Call ``function(connection)`` in the thread of aiosqlite: one thread switch for all statements, not one for each."""
        if self._execute is None:  # each statement waits by itself
            return function(self)
        inside = Connection(self.dialect, self.raw, self.sa_connection)
        inside.callback_state, inside.allowed = self.callback_state, self.allowed
        return await_only(self._execute(function, inside))  # type: ignore[no-any-return]  # the driver's method is untyped

    async def close(self) -> None:
        """Close a connection on which no transaction is open."""
        self.grace()
        self.owner = 0
        await _to_its_end(_end(self, self.sa_connection.dialect.do_close))

    async def discard(self) -> None:
        """Close a connection in any state. Closing goes on to its end even if this task is cancelled again."""
        self.dialect.interrupt(self)
        self.owner = 0
        await _to_its_end(_end(self, self.sa_connection.dialect.do_terminate))

    def drop(self) -> None:
        """Close the connection without its event loop, which may have ended."""
        if self.owner:
            self.owner = 0
            with contextlib.suppress(Exception):  # it is thrown away; how it ends concerns no caller
                self.dialect.drop(self)
            self.give_places_back()


async def _to_its_end(work: Any) -> None:
    ending = asyncio.ensure_future(work)
    _running_futures.add(ending)
    ending.add_done_callback(_ended)
    await asyncio.shield(ending)


def _ended(ending: asyncio.Future[Any]) -> None:
    _running_futures.discard(ending)
    if not ending.cancelled():
        ending.exception()  # marks the error as retrieved; no caller may be left to see it


async def _end(connection: AsyncConnection, how: Callable[..., Any]) -> None:
    """Close a connection that belongs to no pool any more. Errors are suppressed, because they must not hide the original one."""
    with contextlib.suppress(Exception):
        await greenlet_spawn(how, connection.dbapi)
    with contextlib.suppress(Exception):  # else SQLAlchemy would try to roll back, and log the failure
        await connection.sa_connection.invalidate()
    with contextlib.suppress(Exception):
        await connection.sa_connection.close()
    connection.give_places_back()


class Checkout:
    """All that one call, block or stream holds of a pool: a turn to write, a place, and a connection."""

    __slots__ = ("__weakref__", "_pool", "_writes", "connection", "need")

    def __init__(self, pool: LoopPool, use: Use) -> None:
        self._pool, self._writes = pool, use.writes and not pool.dialect.is_server
        self.need = Need(use)
        self.connection: AsyncConnection | None = None

    async def take(self, deadline: Deadline) -> AsyncConnection:
        """Return a connection; waits while all are in use. The caller ends the wait at the deadline."""
        pool = self._pool
        self.need = Need(self.need.use, 0, id(asyncio.current_task()))
        if self._writes:
            await pool.writers.enter(self)
        await pool.enter(self)
        while pool.idle:
            self.connection = connection = pool.idle.pop()
            if pool.dialect.is_fresh(connection) and not (pool.ages and connection.is_old(pool.options)):
                connection.user, connection.use = self.need.user, self.need.use
                return connection
            self.connection = None
            await connection.discard()
        self.connection = await pool.opened(self, deadline)
        return self.connection

    def see_level(self) -> None:
        """Record how many connections the running task holds already."""
        use, user = self.need.use, self.need.user
        self.need = Need(use, self._pool.places.level(user), user)

    def put(self) -> None:
        """Give back a connection in autocommit mode, on which nothing is open."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self._pool.keep(connection)
        self.leave()

    async def put_back(self, error: BaseException) -> None:
        """Give back what is held after an error; the connection is closed, unless it is known to be clean."""
        connection = self.connection
        if connection is not None and connection.ended_orderly(error) and connection.is_clean():
            self.put()
        else:
            await self.discard()

    async def stop(self, error: GeneratorExit) -> None:
        """Give back what is held, although not all has been read; the connection is closed, unless it is clean."""
        connection = self.connection
        if connection is not None and connection.is_clean():
            self.put()
        else:
            await self.put_back(error)

    async def discard(self) -> None:
        """Close the connection, and give the rest back."""
        connection, self.connection = self.connection, None
        try:
            if connection is not None:
                await connection.discard()
        finally:
            self.leave()

    def abandon(self) -> None:
        """Close the connection without waiting, and give the rest back."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()
        self.leave()

    def leave(self) -> None:
        """Give back the place and the turn."""
        self._pool.places.leave(self)
        if self._writes:
            self._pool.writers.leave(self)

    def __del__(self) -> None:
        """Close the connection of a checkout that was dropped, and wake those who wait for its place."""
        connection, pool = self.connection, self._pool
        if connection is not None and connection.owner == os.getpid():
            connection.drop()
        # The garbage collector removes a checkout from both queues before it calls this, so membership shows nothing here.
        if pool.writers.is_awaited or pool.places.is_awaited:
            with contextlib.suppress(RuntimeError):  # in a loop that is closed, nothing waits
                pool.loop.call_soon_threadsafe(pool.wake)


class LoopPool:
    """The connections of one event loop.

    writers: checkouts that write, where the database has one writer at a time, so that the tasks of this loop wait for each other
    in order, and not for the database by trying again and again. places: checkouts that have, or wait for, a connection.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        dialect: Dialect,
        timeout_s: float,
        first: FirstConnect,
        options: PoolOptions,
        budget: Budget | None,
    ) -> None:
        self._engine, self.dialect, self._timeout_s, self._first = engine, dialect, timeout_s, first
        self.options, self.ages, self._budget = options, options.ages, budget
        self.loop = asyncio.get_running_loop()
        self.idle: list[AsyncConnection] = []
        self.places, self.writers = Places(options.most or _MOST), TaskQueue(1)
        self._kept = options.size or _MOST
        self._watch: AsyncGenerator[None] | None = None
        if budget is not None:
            budget.join(self, engine.sync_engine)

    def checkout(self, use: Use) -> Checkout:
        """Return a checkout that has nothing yet."""
        return Checkout(self, use)

    async def enter(self, checkout: Checkout) -> None:
        """Wait for a place. Raise Timeout after the time that the pool of a user's engine allows."""
        wait_s = self.options.wait_s
        if self.places.is_full:
            checkout.see_level()
        try:
            async with contextlib.nullcontext() if wait_s == math.inf else asyncio.timeout(wait_s):
                await self.places.enter(checkout)
        except TimeoutError:
            raise Timeout(ALL_IN_USE) from None

    def keep(self, connection: AsyncConnection) -> None:
        """Keep an idle connection; close it, or others, if there are too many or they are too old."""
        connection.user = 0
        if len(self.idle) >= self._kept:
            self._close_later(connection)
            return
        if self.ages:
            connection.used_at = time.monotonic()
            while self.idle and self.idle[0].is_old(self.options):
                self._close_later(self.idle.pop(0))
        self.idle.append(connection)

    def give_up_idle(self) -> bool:
        """Begin to close the connection that has been idle for the longest time, in its loop. It is closed after this returns."""
        with contextlib.suppress(IndexError):  # another call was faster
            connection = self.idle.pop(0)
            try:
                self.loop.call_soon_threadsafe(self._close_later, connection)
            except RuntimeError:  # the loop has ended
                connection.drop()
                return True
        return False

    @staticmethod
    def _close_later(connection: AsyncConnection) -> None:
        closing = asyncio.ensure_future(connection.close())
        _running_futures.add(closing)
        closing.add_done_callback(_ended)

    def wake(self) -> None:
        """Resume the tasks that have a place now."""
        self.places.wake()
        self.writers.wake()

    async def opened(self, checkout: Checkout, deadline: Deadline) -> AsyncConnection:
        """Return a new connection."""
        # A task of its own: a driver that is interrupted while it connects loses what it has opened so far. The task goes on
        # after the deadline of a short call, so that a later call finds the connection.
        checkout.see_level()
        opening = asyncio.ensure_future(
            self._open(Deadline.after_real(max(self._timeout_s, deadline.remaining())), checkout.need)
        )
        try:
            return await asyncio.shield(opening)
        except BaseException:
            self.places.replace(checkout, opening)
            _running_futures.add(opening)
            opening.add_done_callback(self._keep_or_close)
            # Usually it is open within a moment. Then nothing is left behind in a loop that may end right now.
            await asyncio.wait({opening}, timeout=_WAIT_FOR_OPENING_S)
            raise

    def _keep_or_close(self, opening: asyncio.Future[AsyncConnection]) -> None:
        """Keep a connection whose task was cancelled while it was opened, and free its place in the pool."""
        _ended(opening)
        if not opening.cancelled() and opening.exception() is None:
            self.keep(opening.result())
        self.places.leave(opening)

    async def _open(self, deadline: Deadline, need: Need) -> AsyncConnection:
        if self._budget is None:
            connection = await self._connect(deadline)
            connection.user, connection.use = need.user, need.use
            return connection
        share = await self._budget.enter_async(self.options.waiting(deadline), need)
        opened = None
        with self._budget.opening(share):
            while opened is None:
                with self._budget.attempt(deadline):
                    opened = await self._connect(deadline)
            opened.user, opened.use = need.user, need.use
            share.count(opened)
        return opened

    async def _connect(self, deadline: Deadline) -> AsyncConnection:
        if self._watch is None:
            # A loop that ends closes its async generators. Only there can the connections still be closed.
            self._watch = self._until_the_end()
            await anext(self._watch)
        async with asyncio.timeout(deadline.remaining()), self._first:
            async_connection = await self._engine.connect()
            try:
                connection = await async_connection.run_sync(
                    lambda sa_connection: AsyncConnection.of(self.dialect, async_connection, sa_connection)
                )
                connection.owner = os.getpid()
                await async_connection.execution_options(isolation_level="AUTOCOMMIT")
                # Its settings are changed from here on, so it must not go back to the user's pool.
                await async_connection.run_sync(lambda sa_connection: sa_connection.detach())
            except BaseException:
                await async_connection.invalidate()
                await async_connection.close()
                raise
            try:
                await connection.work(self.dialect.open, deadline)
            except BaseException:
                await connection.discard()
                raise
        return connection

    async def _until_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the idle connections."""
        while self.idle:
            await self.idle.pop().close()


class LoopPools:
    """The pools of all event loops."""

    def __init__(
        self,
        engine: AsyncEngine,
        dialect: Dialect,
        timeout_s: float,
        options: PoolOptions = PoolOptions(),  # noqa: B008  # a frozen value
        budget: Budget | None = None,
    ) -> None:
        self.engine, self._dialect, self._timeout_s = engine, dialect, timeout_s
        self._options, self._budget = options, budget
        self._first = FirstConnect()
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPool] = weakref.WeakKeyDictionary()

    def here(self) -> LoopPool:
        """Return the pool of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = LoopPool(self.engine, self._dialect, self._timeout_s, self._first, self._options, self._budget)
            self._pools[loop] = pool
        return pool
