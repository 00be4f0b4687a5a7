"""Connections kept for sync calls, one for each thread. Knows no statement.

A connection is taken out before it is used and put back afterwards, so nobody else can close or share it meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.link import Link

__all__ = ["ThreadPool"]


_Idle = list[Link]
"""Connections of one thread that nobody uses."""


class _Thread:
    """What a thread holds: its idle connections, closed when it ends."""

    __slots__ = ("_all", "_number", "idle")

    def __init__(self, all_idle: dict[int, _Idle]) -> None:
        self.idle: _Idle = []
        self._all, self._number = all_idle, id(self)
        all_idle[self._number] = self.idle

    def __del__(self) -> None:
        """Close them: the thread has ended, or nobody holds the pool any more."""
        self._all.pop(self._number, None)
        _close(self.idle)


def _close(idle: _Idle) -> None:
    while idle:
        with contextlib.suppress(Exception):  # IndexError: another thread was faster. Nobody could be told of any other
            idle.pop().keeper.close()


def _close_all(all_idle: dict[int, _Idle]) -> None:
    for idle in list(all_idle.values()):
        _close(idle)


class ThreadPool:
    """Makes connections through the engine's pool, so that the user's connect events run, and keeps them."""

    def __init__(self, engine: sa.Engine, room: Room, patience: float) -> None:
        self.engine, self._room, self._patience = engine, room, patience
        self._local = threading.local()
        self._all: dict[int, _Idle] = {}
        # Held from outside, so that connections are closed before the garbage collector takes them apart.
        weakref.finalize(self, _close_all, self._all)

    def idle(self) -> _Idle:
        """Return this thread's connections that nobody uses."""
        try:
            return self._local.thread.idle  # type: ignore[no-any-return]  # thread locals are untyped
        except AttributeError:
            self._local.thread = _Thread(self._all)
            return self._local.thread.idle  # type: ignore[no-any-return]  # thread locals are untyped

    def take(self) -> Link:
        """Return a connection of this thread; nobody else uses it until it is put back."""
        try:
            return self._local.thread.idle.pop()  # type: ignore[no-any-return]  # thread locals are untyped
        except (AttributeError, IndexError):
            return self._open()

    def put(self, link: Link) -> None:
        """Give a connection back, in autocommit mode; one a thread is kept."""
        idle = self.idle()
        if idle:
            link.keeper.close()
        else:
            idle.append(link)

    def put_back(self, link: Link) -> None:
        """Give a connection back after an error: closed, if anything is still open on it."""
        if self._room.is_open(link):
            link.keeper.close()
        else:
            self.put(link)

    def _open(self) -> Link:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()
        link = Link(self._room, connection.connection.dbapi_connection, connection, sleep=time.sleep)
        try:
            self._room.open(link, self._patience)
        except BaseException:
            connection.close()
            raise
        return link

    def close_idle(self) -> None:
        """Close what nobody uses, of all threads."""
        _close_all(self._all)

    def links(self) -> list[Link]:
        """Return all connections that nobody uses."""
        return [link for idle in list(self._all.values()) for link in idle]
