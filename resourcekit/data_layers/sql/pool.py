"""Connections kept for sync calls: one for each thread, or a few that all threads share. Knows no statement.

A connection is taken out before it is used and put back afterwards, so nobody else can close or share it meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.link import Link
from resourcekit.errors import Timeout

__all__ = ["SharedPool", "SyncPool", "ThreadPool"]

_MOST = 64
"""Connections of one process to one server; a call that finds them all in use waits for one."""


_Idle = list[Link]
"""Connections that nobody uses."""


def _close_all(all_idle: dict[int, _Idle], owner: int) -> None:
    """Close what nobody uses; what belongs to a parent process is left alone."""
    if owner == os.getpid():
        for idle in list(all_idle.values()):
            _close_each(idle)


def _close_each(idle: _Idle) -> None:
    while True:
        try:
            link = idle.pop()
        except IndexError:  # all closed, or another thread was faster
            return
        close(link)


class _Thread:
    """What a thread holds: its idle connections, closed when it ends."""

    __slots__ = ("_all", "_number", "_owner", "idle")

    def __init__(self, all_idle: dict[int, _Idle]) -> None:
        self.idle: _Idle = []
        self._all, self._number, self._owner = all_idle, id(self), os.getpid()
        all_idle[self._number] = self.idle

    def __del__(self) -> None:
        """Close them: the thread has ended, or nobody holds the pool any more."""
        self._all.pop(self._number, None)
        _close_all({0: self.idle}, self._owner)


class SyncPool(ABC):
    """Makes connections through the engine's pool, so that the user's connect events run, and keeps them."""

    def __init__(self, engine: sa.Engine, room: Room, patience: float) -> None:
        self.engine, self._room, self._patience = engine, room, patience
        self._all: dict[int, _Idle] = {}
        # Held from outside, so that connections are closed before the garbage collector takes them apart.
        weakref.finalize(self, _close_all, self._all, os.getpid())

    @abstractmethod
    def take(self, seconds: float) -> Link:
        """Return a connection that nobody else uses until it is put back. Raises Timeout where none becomes free."""

    @abstractmethod
    def put(self, link: Link) -> None:
        """Give a connection back, in autocommit mode."""

    @abstractmethod
    def put_back(self, link: Link) -> None:
        """Give a connection back after an error: closed, if anything is still open on it, or if it is lost."""

    def close_idle(self) -> None:
        """Close what nobody uses, of all threads."""
        _close_all(self._all, os.getpid())

    def links(self) -> list[Link]:
        """Return all connections that nobody uses."""
        return [link for idle in list(self._all.values()) for link in idle]

    def _open(self) -> Link:
        connection = self.engine.connect()
        sleep = None if self._room.is_server else time.sleep
        link = Link(self._room, connection.connection.dbapi_connection, connection, sleep=sleep)
        try:
            self._room.bound_waits(link.dbapi, self._patience)
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            self._room.open(link, self._patience)
        except BaseException:
            close(link)
            raise
        return link


class ThreadPool(SyncPool):
    """One connection for each thread."""

    def __init__(self, engine: sa.Engine, room: Room, patience: float) -> None:
        super().__init__(engine, room, patience)
        self._local = threading.local()

    def idle(self) -> _Idle:
        """Return this thread's connections that nobody uses."""
        try:
            return self._local.thread.idle  # type: ignore[no-any-return]  # thread locals are untyped
        except AttributeError:
            self._local.thread = _Thread(self._all)
            return self._local.thread.idle  # type: ignore[no-any-return]  # thread locals are untyped

    def take(self, seconds: float) -> Link:
        """See SyncPool; never waits."""
        try:
            return self._local.thread.idle.pop()  # type: ignore[no-any-return]  # thread locals are untyped
        except (AttributeError, IndexError):
            return self._open()

    def put(self, link: Link) -> None:
        """See SyncPool; one a thread is kept."""
        try:
            idle = self._local.thread.idle
        except AttributeError:
            idle = self.idle()
        if idle:
            close(link)
        else:
            idle.append(link)

    def put_back(self, link: Link) -> None:
        """See SyncPool."""
        if self._room.is_open(link):
            close(link)
        else:
            self.put(link)


class SharedPool(SyncPool):
    """Connections to a server, for whichever thread comes; the one used last is used next."""

    def __init__(self, engine: sa.Engine, room: Room, patience: float) -> None:
        super().__init__(engine, room, patience)
        self._idle: _Idle = []
        self._all[0] = self._idle
        self._places = threading.Semaphore(_MOST)

    def take(self, seconds: float) -> Link:
        """See SyncPool; a connection that died while nobody used it is replaced."""
        if not self._places.acquire(timeout=seconds):
            raise Timeout("all connections to the database were in use until the deadline")
        try:
            while True:
                try:
                    link = self._idle.pop()
                except IndexError:
                    return self._open_within(seconds)
                if self._room.is_fresh(link):
                    return link
                close(link)
        except BaseException:
            self._places.release()
            raise

    def put(self, link: Link) -> None:
        """See SyncPool."""
        self._idle.append(link)
        self._places.release()

    def put_back(self, link: Link) -> None:
        """See SyncPool."""
        if link.is_clean():
            self._idle.append(link)
        else:
            close(link)
        self._places.release()

    def _open_within(self, seconds: float) -> Link:
        """Connect in a thread of its own: no driver connects within a time that may be shorter than a second."""
        opening = _Opening()

        def work() -> None:
            try:
                opening.set(self._open())
            except BaseException as error:  # raised by whoever waits
                opening.fail(error)

        threading.Thread(target=work, name="resourcekit connects", daemon=True).start()
        return opening.wait(seconds)


class _Opening:
    """A connection that one thread opens and another one waits for; if nobody waits any more, it is closed again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._is_given_up = False
        self._link: Link | None = None
        self._error: BaseException | None = None

    def set(self, link: Link) -> None:
        """Hand the connection over."""
        with self._lock:
            self._link = link
            self._done.set()
            if not self._is_given_up:
                return
        close(link)

    def fail(self, error: BaseException) -> None:
        """Hand an error over."""
        self._error = error
        self._done.set()

    def wait(self, seconds: float) -> Link:
        """Return the connection. Raises Timeout, or what the other thread met."""
        try:
            self._done.wait(seconds)
        finally:
            with self._lock:
                self._is_given_up = not self._done.is_set()
        if self._error is not None:
            raise self._error
        if self._link is None:
            raise Timeout("the database could not be reached by the deadline")
        return self._link


def close(link: Link) -> None:
    """Close a connection, whatever it is doing, without a word to the database."""
    with contextlib.suppress(Exception):  # it is thrown away; how it ends is nobody's concern
        link.keeper.invalidate()  # else SQLAlchemy would roll back, and log that it could not
        link.dbapi.close()
        link.keeper.close()
