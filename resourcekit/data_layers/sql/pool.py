"""Connections kept for sync calls, one for each thread. Knows no statement.

A connection is taken out before it is used and put back afterwards, so nobody else can close or share it meanwhile.
"""

from __future__ import annotations

import threading
import weakref

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.link import Link

__all__ = ["ThreadPool"]


class _Idle(list[Link]):
    """Connections of one thread that nobody uses; a class, because plain lists have no weak references."""

    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment]  # lists have none, and a weak set needs one

    def __eq__(self, other: object) -> bool:
        """Tell lists apart by identity."""
        return self is other


class ThreadPool:
    """Makes connections through the engine's pool, so that the user's connect events run, and keeps them."""

    def __init__(self, engine: sa.Engine, room: Room, patience: float) -> None:
        self.engine, self._room, self._patience = engine, room, patience
        self._local = threading.local()
        self._all: weakref.WeakSet[_Idle] = weakref.WeakSet()

    def idle(self) -> list[Link]:
        """Return this thread's connections that nobody uses."""
        try:
            return self._local.idle  # type: ignore[no-any-return]  # thread locals are untyped
        except AttributeError:
            idle = self._local.idle = _Idle()
            self._all.add(idle)
            return idle

    def take(self) -> Link:
        """Return a connection of this thread; nobody else uses it until it is put back."""
        try:
            return self.idle().pop()
        except IndexError:
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
        link = Link(self._room, connection.connection.dbapi_connection, connection)
        try:
            self._room.open(link, self._patience)
        except BaseException:
            connection.close()
            raise
        return link

    def close_idle(self) -> None:
        """Close what nobody uses, of all threads."""
        for idle in list(self._all):
            while idle:
                try:
                    link = idle.pop()
                except IndexError:  # its own thread was faster
                    break
                link.keeper.close()

    def links(self) -> list[Link]:
        """Return all connections that nobody uses."""
        return [link for idle in list(self._all) for link in idle]
