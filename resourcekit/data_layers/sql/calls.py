"""Runs work on the right connection, in the colour and within the time of the call. It knows no statement.

Errors come out as the driver raises them; whoever asked knows the table, and turns them into ours.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from resourcekit.data_layers.sql.async_pool import AsyncLink, LoopPool
from resourcekit.data_layers.sql.failures import AtCommit, too_late, unknown_outcome
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.repo import Repo
from resourcekit.data_layers.sql.transaction import Level, Root, ambient, open_level
from resourcekit.data_layers.sql.trouble import Gone, TroubleKind
from resourcekit.flow.context import ambient_context

__all__ = ["bounded", "level_of", "perform", "perform_async", "seconds_left", "see_whether_lost"]

T = TypeVar("T")
_LOST = "the database ended this transaction after an error; leave the block, and run it again as a whole"
_SHORTEST, _LONGEST = 0.002, 0.1
"""Bounds of the pause before work is repeated, in seconds; its length is random, so that rivals part."""

_LEFT = frozenset({TroubleKind.LOST, TroubleKind.ENDED, TroubleKind.UNFIT})
"""Nothing was done, and another connection may do it; tried once."""

_RIVALS = frozenset({TroubleKind.CONFLICT, TroubleKind.BUSY})
"""Somebody else came first, and nothing was done; tried until the deadline."""


def seconds_left(repo: Repo) -> float:
    """Return the time that the call has left, in seconds; raises Timeout when there is none."""
    seconds = ambient_context().remaining(repo.seconds)
    if seconds <= 0:
        raise too_late()
    return seconds


def level_of(repo: Repo) -> Level | None:
    """Return the open block of this thread or task, if any."""
    return open_level(repo, repo.home) if ambient.get() else None


# Sync


def perform(repo: Repo, work: Callable[..., T], args: tuple[Any, ...], writes: bool) -> T:
    """Run ``work(link, *args)`` in this thread: in the open transaction, else on a connection of its own."""
    level = open_level(repo, repo.home) if ambient.get() else None
    seconds = ambient_context().remaining(repo.seconds)
    if seconds <= 0:
        raise too_late()
    if level is not None:
        return _perform_in(level.root, seconds, work, args)
    pool = repo.home.sync_pool or repo.sync_pool
    link = pool.take(seconds)
    link.at_stake = writes
    try:
        link.allow(seconds)
        result = work(link, *args)
    except BaseException as error:
        raised = _as_seen(link, error)
        pool.put_back(link)
        if not (repo.room.is_server and isinstance(error, Exception)):
            raise raised from None
    else:
        pool.put(link)
        return result
    return _perform_again(repo, raised, work, args, writes)


def _perform_again(repo: Repo, error: BaseException, work: Callable[..., T], args: tuple[Any, ...], writes: bool) -> T:
    """Repeat what was given up in favour of somebody else, and once what was lost and is safe to repeat."""
    pool, pauses = repo.sync_pool, _Pauses(repo)
    while True:
        pause = pauses.before_another(error)
        if pause is None:
            raise error
        if pauses.leaves_all:
            pool.close_idle()
        time.sleep(pause)
        seconds = seconds_left(repo)
        link = pool.take(seconds)
        link.at_stake = writes
        try:
            link.allow(seconds)
            result = work(link, *args)
        except BaseException as again:
            error = _as_seen(link, again)
            pool.put_back(link)
            if not isinstance(again, Exception):
                raise
        else:
            pool.put(link)
            return result


class _Pauses:
    """Whether work that failed outside of a transaction is repeated, and after which pause.

    leaves_all: no connection that is kept can do it.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._pause, self._was_lost = _SHORTEST, False
        self.leaves_all = False

    def before_another(self, error: BaseException) -> float | None:
        """Return the seconds to wait; ``None`` where the error must be raised."""
        kind = self._kind(error)
        self.leaves_all = kind is TroubleKind.UNFIT
        if kind in _LEFT and not self._was_lost:
            self._was_lost = True
            return 0.0
        if kind not in _RIVALS:
            return None
        pause = random.uniform(self._pause / 2, self._pause)  # noqa: S311  # parts rivals, keeps no secret
        self._pause = min(self._pause * 2, _LONGEST)
        return pause if pause < ambient_context().remaining(self._repo.seconds) else None

    def _kind(self, error: BaseException) -> TroubleKind | None:
        """Return what an error means, if it says that nothing was done."""
        if isinstance(error, Gone):
            return TroubleKind.LOST
        at_commit = isinstance(error, AtCommit)
        if isinstance(error, AtCommit):
            error = error.error
        if not isinstance(error, self._repo.room.errors):
            return None
        kind = self._repo.room.explain(error, None).kind
        return None if at_commit and kind in self._repo.room.unsure_at_commit else kind


def _as_seen(link: Link, error: BaseException) -> BaseException:
    """Return the error; marked, where what was sent would have been committed, and no answer came."""
    if link.at_stake and link.unanswered and isinstance(error, Exception) and not isinstance(error, AtCommit):
        return AtCommit(error)
    return error


def _perform_in(root: Root, seconds: float, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    link = root.link
    try:
        link.allow(seconds)
        return work(link, *args)
    except Exception:
        see_whether_lost(root)
        raise
    finally:
        link.let_go()


def see_whether_lost(root: Root) -> None:
    """Remember it if the transaction has ended by itself, or can only be rolled back."""
    link, room = root.link, root.link.room
    if room.is_broken(link) or not room.is_open(link):
        root.lose(_LOST)
    root.is_spoilt = room.is_spoilt(link)


# Async


async def perform_async(repo: Repo, work: Callable[..., T], *args: Any, writes: bool = True) -> T:
    """Do the same in a task."""
    level = open_level(repo, repo.home) if ambient.get() else None
    seconds = seconds_left(repo)
    if level is not None:
        return await _perform_in_async(level.root, seconds, work, args)
    attempts = _Attempts(repo, work, args, writes)
    return await bounded(seconds, attempts.run, holder=attempts)


class _Holds(Protocol):
    """Something that has a connection, or has none yet."""

    link: Any


async def bounded(seconds: float, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, holder: _Holds | None = None) -> T:
    """Await ``function(*args)`` for so long.

    Raises Timeout afterwards; OutcomeUnknown where the holder's connection had been sent what commits.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await function(*args)
    except TimeoutError:
        if not limit.expired():
            raise
        link = None if holder is None else holder.link
        raise (unknown_outcome() if link is not None and link.at_stake and link.unanswered else too_late()) from None


class _Attempts(Generic[T]):
    """Work in a task, outside of a transaction, until it is done or must not be repeated.

    link: the connection in use.
    """

    def __init__(self, repo: Repo, work: Callable[..., T], args: tuple[Any, ...], writes: bool) -> None:
        self._repo, self._work, self._args, self._writes = repo, work, args, writes
        self.link: AsyncLink | None = None

    async def run(self) -> T:
        """Do the work and return what it returns."""
        pool, pauses = self._repo.async_pools.here(), _Pauses(self._repo)
        while True:
            try:
                if not self._writes:
                    return await self._once(pool)
                async with pool.writing:
                    return await self._once(pool)
            except Exception as error:
                pause = pauses.before_another(error) if self._repo.room.is_server else None
                if pause is None:
                    raise
            if pauses.leaves_all:
                await pool.close()
            await asyncio.sleep(pause)

    async def _once(self, pool: LoopPool) -> T:
        clean = False
        link = self.link = await pool.take()
        link.at_stake = self._writes
        try:
            result: T = await link.work(_allowed, seconds_left(self._repo), self._work, self._args)
            clean = True
        except Exception as error:
            clean = link.is_clean()
            raise _as_seen(link, error) from None
        finally:
            await pool.put(link, broken=not clean)
        return result


def _allowed(link: Link, seconds: float, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    link.allow(seconds)
    return work(link, *args)


async def _perform_in_async(root: Root, seconds: float, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    link = root.link
    assert isinstance(link, AsyncLink)
    try:
        result: T = await bounded(seconds, link.work, _allowed, seconds, work, args)
    except Exception:
        see_whether_lost(root)
        raise
    except BaseException:
        root.lose(_LOST)
        raise
    finally:
        link.let_go()
    return result
