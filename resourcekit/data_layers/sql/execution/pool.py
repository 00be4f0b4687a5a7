"""Connection pools of sync calls: one connection for each thread, or a few that all threads share.

A connection is taken out before it is used and put back afterwards, so no other call can close or share it meanwhile. An
exception from outside may come between any two lines. So no counter is raised and lowered: how many connections there are
is read from the connections that live, and one that is dropped on its way closes itself (``Connection.__del__``).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import sqlalchemy as sa

from resourcekit.call_context import Deadline
from resourcekit.data_layers.opening import Opening
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.execution.needs import Need, Use, level_of, may_open
from resourcekit.data_layers.sql.execution.pool_limits import ALL_IN_USE, Budget, PoolOptions, Share, WeakMembers
from resourcekit.errors import Timeout

__all__ = ["SharedPool", "SyncPool", "ThreadPool"]

_MOST = 64
"""Most connections of one process to one server, unless the Repo or its engine has another limit."""


_LOOK_S = 0.05
"""Seconds after which a thread that waits for a connection looks by itself: the thread that was to wake it may have been interrupted."""

_Idle = list[Connection]
"""Idle connections."""


def _close_all(all_idle: dict[int, _Idle], owner: int) -> None:
    """Close all idle connections, but not those that belong to a parent process."""
    if owner == os.getpid():
        for idle in list(all_idle.values()):
            _close_each(idle)


def _close_each(idle: _Idle) -> None:
    while True:
        try:
            connection = idle.pop()
        except IndexError:  # all are closed, or another thread was faster
            return
        connection.drop()


class _Thread:
    """The idle connections of one thread. They are closed when the thread ends.

    keeps: whether a connection is kept. The first one of a thread is closed after its use: an idle connection locks other
        programs out that need the file for themselves, and a thread that makes one call would gain nothing.
    """

    __slots__ = ("_all", "_number", "_owner", "idle", "keeps")

    def __init__(self, all_idle: dict[int, _Idle], *, keeps: bool) -> None:
        self.idle: _Idle = []
        self.keeps = keeps
        self._all, self._number, self._owner = all_idle, id(self), os.getpid()
        all_idle[self._number] = self.idle

    def __del__(self) -> None:
        """Close the connections: the thread has ended, or the pool is not referenced any more."""
        self._all.pop(self._number, None)
        _close_all({0: self.idle}, self._owner)


class SyncPool(ABC):
    """Opens connections through the engine's pool, so that the user's connect events run, then detaches and keeps them."""

    def __init__(
        self,
        engine: sa.Engine,
        dialect: Dialect,
        timeout_s: float,
        options: PoolOptions = PoolOptions(),  # noqa: B008  # a frozen value
        budget: Budget | None = None,
    ) -> None:
        self.engine, self._dialect, self._timeout_s = engine, dialect, timeout_s
        self._options, self._budget, self._ages = options, budget, options.ages
        self._all: dict[int, _Idle] = {}
        # Referenced by the finalizer, so that connections are closed before the garbage collector destroys them.
        weakref.finalize(self, _close_all, self._all, os.getpid())
        if budget is not None:
            budget.join(self, engine)

    @abstractmethod
    def take(self, deadline: Deadline, use: Use = Use.WRITE) -> Connection:
        """Return a connection for exclusive use until it is put back. Raise Timeout if none becomes free by the deadline."""

    @abstractmethod
    def put(self, connection: Connection) -> None:
        """Return a connection in autocommit mode to the pool."""

    def put_back(self, connection: Connection, error: BaseException) -> None:
        """Give a connection back after an error: closed, unless it is known to be clean.

        Does nothing for a connection that has been given back before the error came.
        """
        if connection.user != threading.get_ident():
            return
        if connection.ended_orderly(error) and connection.is_clean():
            self.put(connection)
        else:
            self.discard(connection)

    def discard(self, connection: Connection) -> None:
        """Close a connection that was taken; it is never given back."""
        connection.drop()

    def close_idle(self) -> None:
        """Close the idle connections of all threads."""
        _close_all(self._all, os.getpid())

    def give_up_idle(self) -> bool:
        """Close the connection that has been idle for the longest time, of any thread. Return whether there was one."""
        for idle in list(self._all.values()):
            with contextlib.suppress(IndexError):  # another thread was faster
                idle.pop(0).drop()
                return True
        return False

    def connections(self) -> list[Connection]:
        """Return all idle connections."""
        return [connection for idle in list(self._all.values()) for connection in idle]

    def _open(self, deadline: Deadline, need: Need) -> Connection:
        if self._budget is None:
            connection = self._connect(deadline)
            connection.user, connection.use = need.user, need.use
            return connection
        share = self._budget.enter(self._options.waiting(deadline), need)
        opened: Connection | None = None
        with self._budget.opening(share):
            while opened is None:
                with self._budget.attempt(deadline):
                    opened = self._connect(deadline)
            opened.user, opened.use = need.user, need.use
            share.count(opened)
        return opened

    def _connect(self, deadline: Deadline) -> Connection:
        sa_connection = connection = None
        try:
            sa_connection = self.engine.connect()
            sleep = None if self._dialect.is_server else time.sleep
            connection = Connection(self._dialect, sa_connection.connection.dbapi_connection, sa_connection, sleep=sleep)
            connection.owner = os.getpid()
            self._dialect.bound_waits(connection.dbapi, deadline)
            sa_connection.execution_options(isolation_level="AUTOCOMMIT")
            sa_connection.detach()
            self._dialect.open(connection, deadline)
            return connection  # noqa: TRY300  # an exception at this very line is one of those that are caught here
        except BaseException:
            if connection is not None and connection.owner:
                connection.drop()
            elif sa_connection is not None:
                sa_connection.invalidate()
            raise


class ThreadPool(SyncPool):
    """One connection for each thread, kept from its second call on.

    keeps_first: whether it is kept from the first call on, which an engine of the user expects.
    """

    keeps_first = False

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._local = threading.local()

    def _thread(self) -> _Thread:
        """Return the idle connections of this thread."""
        try:
            return self._local.thread  # type: ignore[no-any-return]  # thread locals are untyped
        except AttributeError:
            self._local.thread = _Thread(self._all, keeps=self.keeps_first)
            return self._local.thread  # type: ignore[no-any-return]  # thread locals are untyped

    def take(self, deadline: Deadline, use: Use = Use.WRITE) -> Connection:
        """Return this thread's connection, or open one. It waits for other threads only if the Repo has a limit."""
        try:
            connection: Connection = self._local.thread.idle.pop()
        except (AttributeError, IndexError):
            connection = self._open(deadline, self._need(use))
        else:
            if not self._dialect.is_fresh(connection) or (self._ages and connection.is_old(self._options)):
                connection.drop()
                connection = self._open(deadline, self._need(use))
        connection.user, connection.use = threading.get_ident(), use
        return connection

    def _need(self, use: Use) -> Need:
        me = threading.get_ident()
        return Need(use, 0 if self._budget is None else self._budget.level(me), me)

    def put(self, connection: Connection) -> None:
        """Keep the connection if the thread has made a call before and has no idle one; else close it."""
        try:
            thread = self._local.thread
        except AttributeError:
            thread = self._thread()
        idle = thread.idle
        if idle or not thread.keeps:
            thread.keeps = True
            connection.drop()
        else:
            connection.user = 0
            if self._ages:
                connection.used_at = time.monotonic()
            idle.append(connection)


class SharedPool(SyncPool):
    """Connections to a server for all threads. The connection that was used last is used next."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._idle: _Idle = []
        self._all[0] = self._idle
        self._most, self._kept = self._options.most or _MOST, self._options.size or _MOST
        self._places: WeakMembers[Share] = WeakMembers()
        self._lock = threading.RLock()  # a signal handler may call again in the thread that holds it
        self._waiting: deque[threading.Lock] = deque()
        self._is_beyond = False
        """More connections are open than the limit, so an idle one may be taken only by calls that may use one more (module ``needs``)."""

    def take(self, deadline: Deadline, use: Use = Use.WRITE) -> Connection:
        """A connection that died while it was idle is replaced."""
        until = self._options.waiting(deadline)
        while True:
            connection = self._take_idle_beyond(use) if self._is_beyond else self._take_idle()
            if connection is None and (place := self._new_place(use)) is not None:
                opening = self._opening(deadline, place, self._need(use))
                connection = opening.wait(deadline, "the database could not be reached by the deadline")
            if connection is not None:
                connection.user, connection.use = threading.get_ident(), use
                return connection
            self._wait(until.remaining())

    def _held(self) -> list[tuple[Use, int]]:
        """Return the use and the thread of each connection in use."""
        return [held for place in self._places if (held := place.use()) is not None]

    def _need(self, use: Use) -> Need:
        me = threading.get_ident()
        return Need(use, level_of(self._held(), me), me)

    def _take_idle_beyond(self, use: Use) -> Connection | None:
        """Return an idle connection, if this call may use one more than are in use now."""
        with self._lock:
            uses = [held for held, _ in self._held()]
            if not may_open(self._most, len(uses), uses, self._need(use)):
                return None
            connection = self._take_idle()
            if connection is not None:
                connection.user, connection.use = threading.get_ident(), use
            return connection

    def _take_idle(self) -> Connection | None:
        connection = None
        try:
            while self._idle:
                with contextlib.suppress(IndexError):  # another thread was faster
                    connection = self._idle.pop()
                    if self._dialect.is_fresh(connection) and not (self._ages and connection.is_old(self._options)):
                        return connection
                    connection.drop()
        except BaseException:
            if connection is not None:
                connection.drop()
            raise
        return None

    def _new_place(self, use: Use) -> Share | None:
        """Return a place for one more connection; ``None`` if there are as many as there may be."""
        with self._lock:
            total = len(self._places)
            if total >= self._most:
                if not may_open(self._most, total, [held for held, _ in self._held()], self._need(use)):
                    return None
                self._is_beyond = True
            return Share(self._places, use)

    def _wait(self, seconds: float) -> None:
        """Wait until a connection may have become free. Raises Timeout if no time is left."""
        if seconds <= 0:
            raise Timeout(ALL_IN_USE)
        bell = threading.Lock()
        bell.acquire()
        try:
            self._waiting.append(bell)
            if not self._idle or self._is_beyond:
                bell.acquire(timeout=min(seconds, _LOOK_S))
        finally:
            with contextlib.suppress(ValueError):  # the thread that woke it has taken it out
                self._waiting.remove(bell)

    def _wake(self) -> None:
        with contextlib.suppress(IndexError):
            self._waiting.popleft().release()

    def put(self, connection: Connection) -> None:
        if self._is_beyond:
            self._put_beyond(connection)
            return
        connection.user = 0
        if len(self._idle) < self._kept:
            if self._ages:
                connection.used_at = time.monotonic()
                self._drop_old()
            self._idle.append(connection)
        else:
            connection.drop()
        if self._waiting:
            self._wake()

    def _put_beyond(self, connection: Connection) -> None:
        """Keep a connection beyond the limit while all others are held; else close it."""
        with self._lock:
            connection.user = 0
            self._idle.append(connection)
            self._end_beyond()
        while self._waiting:
            self._wake()

    def _end_beyond(self) -> None:
        """Close what is idle beyond the limit, unless all others are held."""
        if sum(held is not Use.READ for held, _ in self._held()) < self._most:
            with contextlib.suppress(IndexError):  # none is idle
                while len(self._places) > self._most:
                    self._idle.pop(0).drop()
        self._is_beyond = len(self._places) > self._most

    def _drop_old(self) -> None:
        """Close connections that have been idle, or open, for too long."""
        with contextlib.suppress(IndexError):  # none is left, or another thread was faster
            while self._idle[0].is_old(self._options):
                self._idle.pop(0).drop()

    def discard(self, connection: Connection) -> None:
        connection.drop()
        if self._is_beyond:
            with self._lock:
                self._end_beyond()
        if self._waiting:
            self._wake()

    def _opening(self, deadline: Deadline, place: Share, need: Need) -> Opening[Connection]:
        """Connect in a thread that goes on after the deadline of a short call, so that a later call finds the connection.

        The new connection counts against the size of the pool from now on.
        """
        until = Deadline.after_real(max(self._timeout_s, deadline.remaining()))

        def work() -> Connection:
            connection = self._open(until, need)
            place.count(connection)
            return connection

        def unclaimed(connection: Connection | None) -> None:
            if connection is not None:
                self.put(connection)
            else:
                place.leave()
                self._wake()

        return Opening(work, unclaimed)
