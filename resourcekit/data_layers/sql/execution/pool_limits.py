"""How many connections a Repo may open, and how long it keeps them.

A maintainer opens it to change how the limits of a user's engine apply to the connections of a Repo.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

import attrs
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as SATimeoutError
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import await_only

from resourcekit.call_context import Deadline
from resourcekit.data_layers.driver_names import require_names
from resourcekit.data_layers.sql.execution.needs import Need, Use, level_of, may_open
from resourcekit.errors import DeclarationError
from resourcekit.forks import free_after_fork

__all__ = ["ALL_IN_USE", "LOOK_AGAIN_S", "Budget", "PoolOptions", "Share", "TakeIdle", "WeakMembers", "budget_of"]

T = TypeVar("T")

ALL_IN_USE = "all connections to the database were in use until the deadline"

LOOK_AGAIN_S = 0.005
"""Seconds between two looks at whether the engine's pool has closed a connection; the pool does not announce it."""

_FULL = (
    "the pool of the engine allows {most} connections, and calls of resourcekit and other sessions had all of them in use for "
    "{seconds:.2f} seconds; end them sooner, or give the engine a larger pool_size"
)


@attrs.frozen(kw_only=True)
class PoolOptions:
    """The limits of a pool; ``None`` where there is none.

    size: number of connections that are kept while they are idle.
    overflow: number of connections that may be open in addition, while they are in use.
    max_lifetime_s, max_idle_s: seconds after which a connection is replaced, since it was opened or last used.
    wait_s: most seconds that a call waits for a connection, even if its deadline is later.
    """

    size: int | None = None
    overflow: int = 0
    max_lifetime_s: float = math.inf
    max_idle_s: float = math.inf
    wait_s: float = math.inf

    @property
    def most(self) -> int | None:
        """The largest number of open connections."""
        return None if self.size is None else self.size + self.overflow

    @property
    def ages(self) -> bool:
        """Whether connections are replaced by their age."""
        return min(self.max_lifetime_s, self.max_idle_s) < math.inf

    def waiting(self, deadline: Deadline) -> Deadline:
        """Return until when a call waits for a connection."""
        return deadline if self.wait_s == math.inf else Deadline.after_real(min(self.wait_s, deadline.remaining()))

    @classmethod
    def checked(
        cls, size: int | None, overflow: int | None, max_lifetime: timedelta | None, max_idle: timedelta | None
    ) -> PoolOptions:
        """Return the options of a Repo. Raise DeclarationError RK107 for an impossible one."""
        if size is not None and (type(size) is not int or size < 1):
            raise _wrong("pool_size", "a whole number from 1 on", size)
        if overflow is not None and (type(overflow) is not int or overflow < 0):
            raise _wrong("max_overflow", "a whole number from 0 on", overflow)
        if overflow is not None and size is None:
            raise _wrong("max_overflow", "given together with pool_size", overflow)
        for name, value in (("max_lifetime", max_lifetime), ("max_idle", max_idle)):
            if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):  # type: ignore[redundant-expr]
                raise _wrong(name, "a timedelta above zero", value)
        return cls(
            size=size,
            overflow=overflow or 0,
            max_lifetime_s=math.inf if max_lifetime is None else max_lifetime.total_seconds(),
            max_idle_s=math.inf if max_idle is None else max_idle.total_seconds(),
        )

    def of_engine(self, engine: sa.Engine) -> PoolOptions:
        """Return the options, completed by the limits of a user's engine. Options given to the Repo take precedence."""
        pool: Any = engine.pool
        if not isinstance(pool, QueuePool):
            return self
        options = self
        require_names("sqlalchemy.pool")
        recycle_s = pool._recycle  # noqa: SLF001  # SQLAlchemy has no public access to this setting
        if self.max_lifetime_s == math.inf and recycle_s > 0:
            options = attrs.evolve(options, max_lifetime_s=float(recycle_s))
        if self.size is None and pool.size() > 0 and pool._max_overflow >= 0:  # noqa: SLF001
            options = attrs.evolve(options, size=pool.size(), overflow=pool._max_overflow)  # noqa: SLF001
        return attrs.evolve(options, wait_s=float(pool.timeout()))


def _wrong(name: str, what: str, value: object) -> DeclarationError:
    return DeclarationError(
        "RK107", f"{name} must be {what}, is {value!r}", path=("Repo",), hint="Write Repo(url, pool_size=10)."
    )


class Pool(Protocol):
    """A pool of a Repo whose connections count against a budget."""

    def give_up_idle(self) -> bool:
        """Close an idle connection, or begin to close one. Return whether one is closed now."""
        ...


class WeakMembers(Generic[T]):
    """The members that are still referenced elsewhere. Threads may add and remove members while others go through them.

    A ``weakref.WeakSet`` raises RuntimeError then. ``list`` copies a plain set without a step of the interpreter in between; ``tuple``
    may begin a garbage collection, which removes members.
    """

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: set[weakref.ref[T]] = set()

    def add(self, member: T) -> None:
        """Add a member, until it is removed or no longer referenced."""
        self._members.add(weakref.ref(member, self._members.discard))

    def discard(self, member: T) -> None:
        """Remove a member, if it is one."""
        self._members.discard(weakref.ref(member))

    def __iter__(self) -> Iterator[T]:
        return iter([member for reference in list(self._members) if (member := reference()) is not None])

    def __len__(self) -> int:
        return len(self._members)


class Share:
    """The place of one connection in a limit, from before it is opened until it is closed.

    A place that is no longer referenced is free. A traceback may keep one referenced, so closing a connection frees it explicitly.
    """

    __slots__ = ("__weakref__", "_all", "_connection", "_use")

    def __init__(self, all_shares: WeakMembers[Share], use: Use) -> None:
        self._all, self._use = all_shares, use
        self._connection: Callable[[], Any] | None = None
        all_shares.add(self)

    def count(self, connection: Any) -> None:
        """Make this the place of a connection, which has been opened."""
        self._connection = weakref.ref(connection)
        connection.places = (*connection.places, self)

    def use(self) -> tuple[Use, int] | None:
        """Return what the connection is used for, and by which thread or task; ``None`` while it is idle."""
        if self._connection is None:
            return self._use, 0
        connection = self._connection()
        return (connection.use, connection.user) if connection is not None and connection.user else None

    def leave(self) -> None:
        """Free the place."""
        self._all.discard(self)


class Budget:
    """The limit of all connections that are open through one engine: those of the Repos over it, and those of its own pool.

    If the limit is reached, a call that needs a new connection closes an idle one, in whichever pool that is.
    """

    def __init__(self, most: int) -> None:
        self.most, self._owner = most, os.getpid()
        self._shares: WeakMembers[Share] = WeakMembers()
        self._lock = threading.RLock()  # a signal handler may call again in the thread that holds it
        self._pools: WeakMembers[Any] = WeakMembers()
        self._own: list[_OwnPool] = []

    def join(self, pool: Pool, engine: sa.Engine) -> None:
        """Count the connections of a Repo's pool, and those of the pool of the engine through which it connects."""
        self._pools.add(pool)
        if not any(own.engine() is engine for own in self._own) and isinstance(engine.pool, QueuePool):
            self._own.append(_OwnPool(engine, self._before_connect))

    def enter(self, deadline: Deadline, need: Need) -> Share:
        """Return a place for one connection. Raise Timeout if none becomes free by the deadline."""
        while (share := self.try_enter(need)) is None:
            deadline.require(ALL_IN_USE)
            time.sleep(min(deadline.remaining(), LOOK_AGAIN_S))
        return share

    async def enter_async(self, deadline: Deadline, need: Need) -> Share:
        """Return a place for one connection, as ``enter`` does, while other tasks run."""
        while (share := self.try_enter(need)) is None:
            deadline.require(ALL_IN_USE)
            await asyncio.sleep(LOOK_AGAIN_S)
        return share

    def try_enter(self, need: Need) -> Share | None:
        """Return a place for one connection, if one is free, or an idle connection can be closed for it; else ``None``."""
        return self._entered(need) or (self._entered(need) if self._evict() else None)

    def _entered(self, need: Need) -> Share | None:
        with self._lock:
            # Idle connections of the engine's pool are not counted: the Repo is given one of them.
            used = sum(own.used() for own in self._own)
            shares = list(self._shares)
            uses = [held[0] for share in shares if (held := share.use()) is not None]
            if not may_open(self.most, len(shares) + used, uses + [Use.TRANSACTION] * used, need):
                return None
            return Share(self._shares, need.use)

    def level(self, user: int) -> int:
        """Return how many connections a thread or task holds already."""
        with self._lock:
            return level_of([held for share in self._shares if (held := share.use()) is not None], user)

    @contextmanager
    def opening(self, share: Share) -> Generator[None]:
        """Mark the connection that is opened inside as the one with this place. The place is freed if that fails."""
        token = _opening.set(True)
        try:
            yield
        except BaseException:
            share.leave()
            raise
        finally:
            _opening.reset(token)

    @contextmanager
    def attempt(self, deadline: Deadline) -> Generator[None]:
        """Suppress TakeIdle, so that the caller repeats the attempt. Raise Timeout if the deadline has passed."""
        try:
            yield
        except TakeIdle:
            deadline.require(ALL_IN_USE)

    def _evict(self) -> bool:
        return any(pool.give_up_idle() for pool in self._pools)

    def _before_connect(self, engine: sa.Engine, sa_dialect: Any) -> None:
        """Enforce the limit before the engine's own pool opens a connection, for its user or for a Repo.

        A user waits as long as for a connection of the engine's pool, and gets the same error then.
        """
        if self._owner != os.getpid():
            return
        if _opening.get():
            if self._taken() > self.most and any(own.idle() > 0 for own in self._own):
                raise TakeIdle
            return
        pool: Any = engine.pool
        wait_s = float(pool.timeout())
        ends_at = time.monotonic() + wait_s
        while self._taken() >= self.most:
            if self._evict():
                continue
            if time.monotonic() >= ends_at:
                raise SATimeoutError(_FULL.format(most=self.most, seconds=wait_s))
            if sa_dialect.is_async:
                await_only(asyncio.sleep(LOOK_AGAIN_S))
            else:
                time.sleep(LOOK_AGAIN_S)

    def _taken(self) -> int:
        """Return how many connections are open, or are being opened by a Repo."""
        return len(self._shares) + sum(own.count for own in self._own)


class TakeIdle(Exception):  # never leaves the pools: the attempt is repeated
    """The engine's pool was about to open a connection, although it has an idle one."""


class _OwnPool:
    """The connections in the own pool of an engine. A connection that a Repo has detached leaves an empty record there.

    count: number of open connections, in use or idle.
    """

    def __init__(self, engine: sa.Engine, before_connect: Callable[[sa.Engine, Any], None]) -> None:
        self.engine = found = weakref.ref(engine)
        pool: Any = engine.pool
        self.count: int = pool.checkedin() + pool.checkedout()

        def connecting(sa_dialect: Any, *_: Any) -> None:
            engine = found()
            if engine is not None:
                before_connect(engine, sa_dialect)

        event.listen(engine, "do_connect", connecting)
        for name, change in (("connect", 1), ("close", -1), ("detach", -1)):
            event.listen(engine, name, lambda *_, change=change: self._change(change))

    def _change(self, change: int) -> None:
        self.count = max(0, self.count + change)

    def used(self) -> int:
        """Return how many are checked out."""
        engine: Any = self.engine()
        if engine is None:
            return 0
        count: int = engine.pool.checkedout()
        return count

    def idle(self) -> int:
        """Return how many are open and not in use."""
        return self.count - self.used()


_opening: ContextVar[bool] = ContextVar("resourcekit_sql_opening", default=False)
"""Whether a pool of a Repo opens a connection in this context."""

_budgets: weakref.WeakKeyDictionary[sa.Engine, Budget] = weakref.WeakKeyDictionary()
_lock = free_after_fork(threading.Lock())


def budget_of(engine: sa.Engine, options: PoolOptions) -> Budget | None:
    """Return the budget of a user's engine, the same for all Repos; ``None`` if nothing limits it."""
    if options.most is None:
        return None
    with _lock:
        budget = _budgets.get(engine)
        if budget is None:
            budget = _budgets[engine] = Budget(options.most)
        return budget


def _after_fork_in_child() -> None:
    _budgets.clear()  # the connections are the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
