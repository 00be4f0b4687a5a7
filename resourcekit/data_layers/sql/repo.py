"""A database that resources share: its engines, connections and open transactions. It knows no resource."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import threading
import weakref
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from resourcekit.data_layers.sql.async_pool import LoopPools
from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.mariadb import MariaRoom
from resourcekit.data_layers.sql.pool import SharedPool, SyncPool, ThreadPool
from resourcekit.data_layers.sql.postgresql import PostgresRoom
from resourcekit.data_layers.sql.postgresql.partitions import PART, is_partition
from resourcekit.data_layers.sql.quiet import hush
from resourcekit.data_layers.sql.sqlite import SQLiteRoom
from resourcekit.errors import DeclarationError, InvalidArgument

__all__ = ["Repo", "repo_for", "repo_of", "speaks"]

_ROOMS: dict[str, Room] = {name: room for room in (SQLiteRoom(), PostgresRoom(), MariaRoom()) for name in (room.name, *room.also)}


class Home:
    """What a process has opened of a repo; a fork starts with an empty one."""

    __slots__ = ("async_pools", "lock", "sync_pool")

    def __init__(self) -> None:
        self.sync_pool: SyncPool | None = None
        self.async_pools: LoopPools | None = None
        self.lock = threading.Lock()


class Repo:
    """A database, by its URL or by your own engines. Nothing is opened before the first use.

    url: as SQLAlchemy writes it; both a sync and an async engine are made of it when they are needed.
    engine, async_engine: yours, with your own events and settings; the one that is missing is made from the URL of the
        other one. Connections are made through the engine's pool, and then kept by the Repo, outside of it.
    metadata: where the tables go, for Alembic; a new one unless given.
    timeout: the longest time that a call may take which has no deadline of its own; 5 seconds unless given.

    Raises DeclarationError RK101 for ``:memory:``, RK102 for a URL that cannot be read or a database that is not
    supported, RK103 where neither a URL nor an engine is given, RK104 where the database's driver is not installed.
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        engine: sa.Engine | None = None,
        async_engine: AsyncEngine | None = None,
        metadata: sa.MetaData | None = None,
        timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        given = (
            url
            if url is not None
            else engine.url
            if engine is not None
            else async_engine.url
            if async_engine is not None
            else None
        )
        if given is None:
            raise DeclarationError(
                "RK103", "a Repo needs a URL or an engine", path=("Repo",), hint='Write Repo("sqlite:///app.db").'
            )
        self.url = read_url(given)
        self.room = _room_of(self.url)
        for mine in (engine, async_engine):
            _check_driver(self.room, mine)
        self.metadata = sa.MetaData() if metadata is None else metadata
        self.timeout = timeout
        self.seconds = timeout.total_seconds()
        self._engine, self._async_engine = engine, async_engine
        self.home = Home()
        self.leases: Any = None
        self.tables: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        _repos.add(self)

    def __repr__(self) -> str:
        """``Repo('sqlite:///app.db')``; a password is never shown."""
        return f"Repo({self.url.render_as_string(hide_password=True)!r})"

    @classmethod
    def of(cls, *resources: Any) -> Repo:
        """Return the repo in which these resources keep their records, whichever way they name it: ``Repo.of(Token)``.

        Seals their domains, so that its metadata holds the table of each of their members. Raises InvalidArgument where
        no resource is named, one of them is not kept in an SQL database, or they are kept in several.
        """
        repos = {id(repo): repo for repo in map(repo_of, resources)}
        if len(repos) != 1:
            msg = "the resources are kept in several databases" if repos else "name a resource: Repo.of(Token)"
            raise InvalidArgument(msg)
        return next(iter(repos.values()))

    def include_name(self, name: str | None, kind: str, parents: object) -> bool:
        """Say what Alembic may compare: all but partitions of tables, which the sweep makes and drops (``context.configure``)."""
        del parents
        tables = [table for table in self.metadata.tables.values() if PART in table.columns]
        return name is None or kind != "table" or not any(is_partition(table, name) for table in tables)

    @property
    def engine(self) -> sa.Engine:
        """The sync engine, made when it is first asked for."""
        return self.sync_pool.engine

    @property
    def async_engine(self) -> AsyncEngine:
        """The async engine, made when it is first asked for."""
        return self.async_pools.engine

    @property
    def sync_pool(self) -> SyncPool:
        """Connections for sync calls."""
        home = self.home
        if home.sync_pool is None:
            with home.lock:
                if home.sync_pool is None:
                    engine = self._engine or self._made()
                    pool = SharedPool if self.room.is_server else ThreadPool
                    home.sync_pool = pool(engine, self.room, self.seconds)
        return home.sync_pool

    @property
    def async_pools(self) -> LoopPools:
        """Connections for async calls."""
        home = self.home
        if home.async_pools is None:
            with home.lock:
                if home.async_pools is None:
                    for logger in self.room.talkative:
                        hush(logger)
                    # Connections are kept by us, for each loop; SQLAlchemy's pool must not carry them to another loop.
                    engine = self._async_engine or create_async_engine(
                        self.url.set(drivername=self.room.drivers[1]), poolclass=NullPool
                    )
                    home.async_pools = LoopPools(engine, self.room, self.seconds)
        return home.async_pools

    def _made(self) -> sa.Engine:
        url, room = self.url.set(drivername=self.room.drivers[0]), self.room
        bounds = room.connect_args(self.seconds)
        engine = sa.create_engine(url, connect_args={name: value for name, value in bounds.items() if name not in url.query})
        if not room.is_server or bounds.keys() & url.query.keys():
            return engine

        def connect(dialect: sa.Dialect, _: Any, words: Any, named: Any) -> Any:
            raw: Any = dialect.connect(*words, **named)
            room.bound_waits(raw, self.seconds)  # SQLAlchemy asks a server about itself while all others wait for that
            return raw

        event.listen(engine, "do_connect", connect)
        # A migration that runs on this engine may take its time.
        event.listen(engine, "connect", lambda raw, _: room.bound_waits(raw, None))
        return engine

    def forget(self) -> None:
        """Start anew, as a child of a fork: engines drop their connections without closing them."""
        home, self.home = self.home, Home()
        if home.sync_pool is not None:
            home.sync_pool.engine.dispose(close=False)
        if home.async_pools is not None:
            home.async_pools.engine.sync_engine.dispose(close=False)

    async def close(self) -> None:
        """Close all connections that nobody uses; new ones are opened when they are needed."""
        home = self.home
        if home.sync_pool is not None:
            home.sync_pool.close_idle()
        if home.async_pools is not None:
            with contextlib.suppress(RuntimeError):  # in a sync call there is no loop
                await home.async_pools.here().close()


def read_url(given: str | URL) -> URL:
    """Return a URL; a relative path of a file is taken from the working folder of this moment."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):  # the latter holds a part of the URL, which may be one of the password
        hint = 'A URL looks like "sqlite:///app.db"; in a password, write @ : / # as %40 %3A %2F %23.'
        raise DeclarationError("RK102", "the database URL cannot be read", path=("SQL",), hint=hint) from None
    return _room_of(url).settle(url)


def _room_of(url: URL) -> Room:
    room = _ROOMS.get(url.get_backend_name())
    if room is None:
        name, known = url.get_backend_name(), sorted({room.name for room in _ROOMS.values()})
        hint = 'Write "postgresql://...".' if name == "postgres" else f"Supported: {', '.join(known)}."
        raise DeclarationError("RK102", f"the database {name!r} is not supported", path=("SQL",), hint=hint)
    missing = [package for package in room.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise DeclarationError(
            "RK104",
            f"{room.name} needs packages that are not installed: {', '.join(missing)}",
            path=("SQL",),
            hint=f"Run: pip install 'resourcekit[{room.extra}]'",
        )
    return room


def _check_driver(room: Room, engine: sa.Engine | AsyncEngine | None) -> None:
    if engine is not None and not speaks(room, engine.dialect):
        raise DeclarationError(
            "RK102",
            f"the driver {engine.dialect.driver!r} is not supported for {room.name}",
            path=("Repo",),
            hint=f"Make the engine with {' or '.join(room.drivers)}.",
        )


def speaks(room: Room, dialect: sa.Dialect) -> bool:
    """Say whether a connection has one of the two drivers through which we speak to a database."""
    return dialect.driver in {make_url(f"{name}://").get_driver_name() for name in room.drivers}


def repo_of(resource: Any) -> Repo:
    """Return the repo of a resource, its domain sealed. Raises InvalidArgument where it is not kept in an SQL database."""
    resource.__runtime__.ready()
    repo = getattr(resource.__runtime__.store, "repo", None)
    if not isinstance(repo, Repo):
        msg = f"{resource.__name__} is not kept in an SQL database"
        raise InvalidArgument(msg)
    return repo


_repos: weakref.WeakSet[Repo] = weakref.WeakSet()
_by_url: weakref.WeakValueDictionary[URL, Repo] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def repo_for(url: str | URL) -> Repo:
    """Return the one repo of this process for a URL."""
    key = read_url(url)
    with _lock:
        repo = _by_url.get(key)
        if repo is None:
            repo = _by_url[key] = Repo(key)
        return repo


def _before_fork() -> None:
    # SQLite keeps its locks by process and file: a child that inherits an open file believes that it holds the locks of
    # its parent. So nothing that can be closed stays open.
    for repo in list(_repos):
        if repo.home.sync_pool is not None and not repo.room.is_server:
            repo.home.sync_pool.close_idle()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  # another thread may have held it while the process was forked
    _lock = threading.Lock()
    for repo in list(_repos):
        # Never freed: closing the parent's connections from here would disturb it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(repo.home))
        repo.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
