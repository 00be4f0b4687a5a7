"""The engines and connection pools of one database, on which calls run.

A maintainer opens it to change how engines are created, or how a process handles a fork.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from resourcekit.call_context import Deadline
from resourcekit.data_layers.log_redaction import redact
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.execution.async_pool import LoopPools
from resourcekit.data_layers.sql.execution.pool import SharedPool, SyncPool, ThreadPool
from resourcekit.data_layers.sql.execution.pool_limits import Budget, PoolOptions, budget_of
from resourcekit.errors import InvalidArgument

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Engines", "engines_of", "uses_driver_of"]


class ProcessState:
    """The connection pools that a process has opened for a Repo. After a fork the child starts with an empty one."""

    __slots__ = ("async_pools", "budgets", "lock", "sync_pool")

    def __init__(self) -> None:
        self.sync_pool: SyncPool | None = None
        self.async_pools: LoopPools | None = None
        self.budgets: dict[str, Budget | None] = {}
        self.lock = threading.Lock()


class Engines:
    """The engines and pools of one database, and its dialect. A ``Repo`` is one.

    fresh: the same database for reads that must not be stale; the object itself unless its reads are stale.
    keeps_references: a resource of it has a foreign key.
    """

    def __init__(
        self,
        url: URL,
        dialect: Dialect,
        engine: sa.Engine | None,
        async_engine: AsyncEngine | None,
        timeout: timedelta,
        options: PoolOptions,
    ) -> None:
        self.url, self.dialect = url, dialect
        self.timeout = timeout
        self.seconds = timeout.total_seconds()
        self._engine, self._async_engine, self._pool_options = engine, async_engine, options
        self.fresh: Any = self
        self.keeps_references = False
        self.start()

    def start(self) -> None:
        """Start without connections, and register for forks of the process."""
        self.process_state = ProcessState()
        _all.add(self)

    @property
    def is_in_use(self) -> bool:
        """Whether this process has opened connections."""
        return self.process_state.sync_pool is not None or self.process_state.async_pools is not None

    def check(self) -> None:
        """Raise DeclarationError RK102 if the URL has a parameter that the drivers do not accept."""
        self.dialect.check_parameters(self.url)

    @property
    def engine(self) -> sa.Engine:
        """The sync engine, created on first access."""
        return self.sync_pool.engine

    @property
    def async_engine(self) -> AsyncEngine:
        """The async engine, created on first access."""
        return self.async_pools.engine

    @property
    def sync_pool(self) -> SyncPool:
        """The connection pool of sync calls."""
        process_state = self.process_state
        if process_state.sync_pool is None:
            with process_state.lock:
                if process_state.sync_pool is None:
                    redact(*self.dialect.noisy_loggers)
                    engine = self._engine or self._made()
                    pool = SharedPool if self.dialect.is_server else ThreadPool
                    options, budget = self._limits("sync", self._engine)
                    made = pool(engine, self.dialect, self.seconds, options, budget)
                    if isinstance(made, ThreadPool):
                        made.keeps_first = self._engine is not None
                    process_state.sync_pool = made
        return process_state.sync_pool

    @property
    def async_pools(self) -> LoopPools:
        """The connection pools of async calls."""
        process_state = self.process_state
        if process_state.async_pools is None:
            # Imported here, because it loads SQLAlchemy's ORM, which takes longer than all the rest.
            from sqlalchemy.ext.asyncio import create_async_engine

            with process_state.lock:
                if process_state.async_pools is None:
                    if self._async_engine is None:
                        self.check()
                    redact("asyncio", *self.dialect.noisy_loggers)
                    # The Repo keeps connections for each loop itself; SQLAlchemy's pool must not hand them to another loop.
                    dialect = self.dialect
                    engine = self._async_engine or create_async_engine(
                        dialect.async_url(self.url), poolclass=NullPool, connect_args=dialect.async_connect_args()
                    )
                    mine = None if self._async_engine is None else self._async_engine.sync_engine
                    options, budget = self._limits("async", mine)
                    process_state.async_pools = LoopPools(engine, self.dialect, self.seconds, options, budget)
        return process_state.async_pools

    def _limits(self, kind: str, engine: sa.Engine | None) -> tuple[PoolOptions, Budget | None]:
        """Return the limits of one pool, and the budget that it shares with others. engine: the user's engine, if there is one."""
        if engine is not None:
            options = self._pool_options.of_engine(engine)
            return options, budget_of(engine, options)
        options, budgets = self._pool_options, self.fresh.process_state.budgets
        if options.most is not None and kind not in budgets:
            budgets[kind] = Budget(options.most)
        return options, budgets.get(kind)

    def _made(self) -> sa.Engine:
        self.check()
        url, dialect = self.url.set(drivername=self.dialect.drivers[0]), self.dialect
        bounds = dialect.connect_args(self.seconds)
        connect_args = {name: value for name, value in bounds.items() if name not in url.query}
        options = self._pool_options
        limits = {} if options.size is None else {"pool_size": options.size, "max_overflow": options.overflow}
        engine = sa.create_engine(url, connect_args=connect_args, **limits)
        if not dialect.is_server or bounds.keys() & url.query.keys():
            return engine

        def connect(sa_dialect: sa.Dialect, _: Any, words: Any, named: Any) -> Any:
            raw: Any = sa_dialect.connect(*words, **named)
            dialect.bound_waits(
                raw, Deadline.after_real(self.seconds)
            )  # SQLAlchemy queries a new server while all other calls wait
            return raw

        event.listen(engine, "do_connect", connect)
        # A migration that runs on this engine may take longer.
        event.listen(engine, "connect", lambda raw, _: dialect.bound_waits(raw, None))
        return engine

    def forget(self) -> None:
        """Drop all connections in the child of a fork: engines forget their connections without closing them."""
        process_state, self.process_state = self.process_state, ProcessState()
        if process_state.sync_pool is not None:
            process_state.sync_pool.engine.dispose(close=False)
        if process_state.async_pools is not None:
            process_state.async_pools.engine.sync_engine.dispose(close=False)


def uses_driver_of(dialect: Dialect, sa_dialect: sa.Dialect) -> bool:
    """Return whether a connection uses one of the two drivers that are supported for a database."""
    return sa_dialect.driver in {make_url(f"{name}://").get_driver_name() for name in dialect.drivers}


def engines_of(resource: Any) -> Engines:
    """Return the Repo of a resource, after sealing its domain. Raise InvalidArgument if it is not stored in an SQL database."""
    resource.__runtime__.ready()
    repo = getattr(resource.__runtime__.store, "repo", None)
    if not isinstance(repo, Engines):
        msg = f"{resource.__name__} is not kept in an SQL database"
        raise InvalidArgument(msg)
    return repo


_all: weakref.WeakSet[Engines] = weakref.WeakSet()
_hooks: list[Any] = []
"""The functions to call around the fork that is under way (``Dialect.at_fork``)."""


def _before_fork() -> None:
    # SQLite's locks belong to a process and a file. A child that inherits an open file would believe that it holds the locks of
    # its parent. So all idle connections are closed before a fork.
    for repo in list(_all):
        if repo.process_state.sync_pool is not None and not repo.dialect.is_server:
            repo.process_state.sync_pool.close_idle()
    _hooks[:] = {repo.dialect.at_fork for repo in list(_all) if repo.is_in_use and repo.dialect.at_fork is not None}
    for hook in _hooks:
        hook.before_fork()


def _after_fork_in_child() -> None:
    while _hooks:
        _hooks.pop().after_fork_in_child()
    for repo in list(_all):
        # Never freed: closing the parent's connections from the child would disturb the parent.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(repo.process_state))
        repo.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
