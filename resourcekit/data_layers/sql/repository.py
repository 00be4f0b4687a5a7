"""The Repo: a database that resources share, by its URL or by the user's own engines.

A maintainer opens it to change what users can set for a database, or how a URL is read.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.util
import threading
import weakref
from collections.abc import Coroutine, Hashable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import attrs
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.execution.engines import Engines, engines_of, uses_driver_of
from resourcekit.data_layers.sql.execution.pool_limits import PoolOptions
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.forks import free_after_fork

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Repo", "read_url", "repo_for"]

_NAMES = {
    "sqlite": ("sqlite", "SQLiteDialect"),
    "postgresql": ("postgresql", "PostgresDialect"),
    "mariadb": ("mariadb", "MariaDialect"),
    "mysql": ("mariadb", "MariaDialect"),
}
"""The names of databases in URLs, with the folder and the class of the dialect of each."""


@functools.cache
def _dialect(folder: str, kind: str) -> Dialect:
    """Return a dialect, imported when it is first needed: SQLAlchemy's part of it takes long to import."""
    module = importlib.import_module(f"resourcekit.data_layers.sql.dialects.{folder}")
    dialect: Dialect = getattr(module, kind)()
    return dialect


class Repo(Engines):
    """A database, by its URL or by your own engines. Nothing is opened before the first use.

    url: A URL as SQLAlchemy writes it. The sync and the async engine are created from it when they are needed.
    engine, async_engine: Your own engines, with your events and settings. The one that is missing is created from the URL of the
    other one. Connections are created through the engine's pool; the Repo then detaches and keeps them. The size, the overflow,
    the recycle time and the timeout of the engine's pool apply to them: no more connections are open than it allows.
    metadata: The metadata that the tables are added to, for Alembic. The default is a new one.
    timeout: The longest time that a call without a deadline of its own may take. The default is 5 seconds.
    pool_size: Number of connections that are kept while they are idle, for each of the two engines. The default is 64 for sync
    calls to a server, one for each thread for an SQLite file, and 8 for each event loop.
    max_overflow: Number of connections that may be open in addition to ``pool_size``, while they are in use. The default is 0.
    max_lifetime, max_idle: The time after which a connection is replaced, since it was opened or since it was last used. By
    default it is kept.

    The attribute is_sound is false if the drivers do not accept a parameter of the URL; sealing a domain then raises the error.

    Raises DeclarationError RK101 for ``:memory:``, RK102 for a URL that cannot be read or a database that is not
    supported, RK103 if neither a URL nor an engine is given, RK104 if the database's driver is not installed,
    RK107 for a pool option that is impossible.
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        engine: sa.Engine | None = None,
        async_engine: AsyncEngine | None = None,
        metadata: sa.MetaData | None = None,
        timeout: timedelta = timedelta(seconds=5),
        pool_size: int | None = None,
        max_overflow: int | None = None,
        max_lifetime: timedelta | None = None,
        max_idle: timedelta | None = None,
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
        url = read_url(given)
        if not isinstance(timeout, timedelta) or timeout <= timedelta(0):  # type: ignore[redundant-expr]  # a number, for example
            raise DeclarationError(
                "RK107",
                f"timeout must be a timedelta above zero, is {timeout!r}",
                path=("Repo",),
                hint="Write Repo(url, timeout=timedelta(seconds=5)).",
            )
        options = PoolOptions.checked(pool_size, max_overflow, max_lifetime, max_idle)
        super().__init__(url, _dialect_of(url), engine, async_engine, timeout, options)
        self.is_sound, self.is_shared = True, False
        if engine is None and async_engine is None:
            try:
                self.check()
            except DeclarationError:
                self.is_sound = False
        for mine in (engine, async_engine):
            _check_driver(self.dialect, mine)
        self.metadata = sa.MetaData() if metadata is None else metadata
        self._stale: Repo | None = None
        self.leases: Any = None
        self.tables: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()

    @property
    def stale(self) -> Repo:
        """The same database and tables for resources with stale reads. It has connections of its own."""
        if self._stale is None:
            with _lock:
                if self._stale is None:
                    self._stale = _with_stale_reads(self)
        return self._stale

    def __repr__(self) -> str:
        """``Repo('sqlite:///app.db')``; a password is never shown."""
        return f"Repo({self.url.render_as_string(hide_password=True)!r})"

    def place(self, table: sa.Table) -> Hashable:
        """Return where a table is. The value is equal for all URLs that lead there."""
        return self.dialect.place(self.url, table.schema, table.name)

    @classmethod
    def of(cls, *resources: Any) -> Repo:
        """Return the Repo that stores the records of these resources: ``Repo.of(Token)``.

        It seals their domains, so that the metadata of the Repo contains the table of every member. Raises InvalidArgument if
        no resource is given, if a resource is not stored in an SQL database, or if the resources are stored in several.
        """
        repos = {id(repo): repo for repo in map(engines_of, resources)}
        if len(repos) != 1:
            msg = "the resources are kept in several databases" if repos else "name a resource: Repo.of(Token)"
            raise InvalidArgument(msg)
        repo = next(iter(repos.values()))
        assert isinstance(repo, Repo)
        return repo

    def include_name(self, name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
        """Return whether Alembic may compare an object: a table of this Repo's metadata, its schema, or a part of the table.

        For ``context.configure(include_name=...)``. Autogenerate drops every table that it may compare and that the metadata
        lacks: tables of other programs, of other Repos, and partitions, which a sweep creates and drops.

        name: Name of a schema, a table, or a part of a table; ``None`` for the default schema.
        kind: ``"schema"``, ``"table"``, ``"column"``, ``"index"``, or another kind of Alembic's.
        parents: Names of the objects that contain it, as Alembic passes them.
        """
        if kind == "schema":
            return name in {table.schema for table in self.metadata.tables.values()}
        if kind != "table":
            return True
        schema = parents.get("schema_name")
        return any((table.schema, table.name) == (schema, name) for table in self.metadata.tables.values())

    def convert_old_columns(self, connection: sa.Connection) -> None:
        """Convert the tables of this Repo from the columns that resourcekit had before native columns.

        For a migration: ``repo.convert_old_columns(op.get_bind())``. Tables that do not exist are passed over. All rows of a table are in
        memory meanwhile, and no other program may write.

        Args:
            connection: a connection in a transaction, as Alembic has it.

        Raises:
            InvalidArgument: a table is in partitions, a value does not fit its new column, or the table of an earlier run that was broken
                off is there; nothing was dropped then.
        """
        from resourcekit.data_layers.sql.maintenance.old_columns import convert_old_columns

        convert_old_columns(connection, self.metadata)

    def render_item(self, kind: str, item: Any, autogenerate: Any) -> str | Literal[False]:
        """Return how Alembic writes a column type of resourcekit into a migration, with its import; ``False`` for all else."""
        module = type(item).__module__
        if kind != "type" or not module.startswith("resourcekit."):
            return False
        autogenerate.imports.add(f"import {module}")
        return f"{module}.{item!r}"

    @property
    def close(self) -> Closing:
        """Close all idle connections: ``repo.close()``, or ``await repo.close.aio()``. New ones are opened when they are needed."""
        return Closing(self)

    def close_idle(self) -> None:
        """Close the idle connections of sync calls."""
        if self._stale is not None and self._stale is not self:
            self._stale.close_idle()
        if self.process_state.sync_pool is not None:
            self.process_state.sync_pool.close_idle()

    async def close_everywhere(self) -> None:
        """Close the idle connections of sync calls, and those of the running event loop."""
        self.close_idle()
        if self._stale is not None and self._stale is not self:
            await self._stale.close_everywhere()
        if self.process_state.async_pools is not None:
            with contextlib.suppress(RuntimeError):  # in a sync call there is no loop
                await self.process_state.async_pools.here().close()


@attrs.frozen
class Closing:
    """The two forms of ``Repo.close``. Connections of async calls belong to an event loop, which only ``aio`` can wait for."""

    _repo: Repo

    def __call__(self) -> None:
        """Close the idle connections of sync calls now."""
        self._repo.close_idle()

    def aio(self) -> Coroutine[Any, Any, None]:
        """Return a coroutine that closes all idle connections, those of the running event loop among them."""
        return self._repo.close_everywhere()


def _with_stale_reads(repo: Repo) -> Repo:
    if not repo.dialect.is_server or repo.fresh is not repo:
        return repo
    stale: Repo = copy.copy(repo)
    stale.dialect, stale.fresh = repo.dialect.with_stale_reads(), repo
    stale.start()
    return stale


def read_url(given: str | URL) -> URL:
    """Return a URL. A relative path of a file is resolved against the current working directory."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):  # a ValueError contains a part of the URL, which may be part of the password
        hint = 'A URL looks like "sqlite:///app.db"; in a password, write @ : / # as %40 %3A %2F %23.'
        raise DeclarationError("RK102", "the database URL cannot be read", path=("SQL",), hint=hint) from None
    return _dialect_of(url).settle(url)


def _dialect_of(url: URL) -> Dialect:
    name = url.get_backend_name()
    if name not in _NAMES:
        known = sorted({folder for folder, _ in _NAMES.values()})
        hint = 'Write "postgresql://...".' if name == "postgres" else f"Supported: {', '.join(known)}."
        raise DeclarationError("RK102", f"the database {name!r} is not supported", path=("SQL",), hint=hint)
    dialect = _dialect(*_NAMES[name])
    missing = [package for package in dialect.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise DeclarationError(
            "RK104",
            f"{dialect.name} needs packages that are not installed: {', '.join(missing)}",
            path=("SQL",),
            hint=f"Run: pip install 'resourcekit[{dialect.extra}]'",
        )
    return dialect


def _check_driver(dialect: Dialect, engine: sa.Engine | AsyncEngine | None) -> None:
    if engine is not None and not uses_driver_of(dialect, engine.dialect):
        raise DeclarationError(
            "RK102",
            f"the driver {engine.dialect.driver!r} is not supported for {dialect.name}",
            path=("Repo",),
            hint=f"Make the engine with {' or '.join(dict.fromkeys(dialect.drivers))}.",
        )


_by_url: weakref.WeakValueDictionary[URL, Repo] = weakref.WeakValueDictionary()
_lock = free_after_fork(threading.Lock())


def repo_for(url: str | URL) -> Repo:
    """Return the one Repo of this process for a URL."""
    key = read_url(url)
    with _lock:
        repo = _by_url.get(key)
        if repo is None:
            repo = _by_url[key] = Repo(key)
            repo.is_shared = True
        return repo
