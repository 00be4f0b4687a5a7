"""Runs work on the right connection, in the colour and within the time of the call. It knows no statement.

Errors come out as the driver raises them; whoever asked knows the table, and turns them into ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from resourcekit.data_layers.sql.async_pool import AsyncLink
from resourcekit.data_layers.sql.failures import too_late
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.repo import Repo
from resourcekit.data_layers.sql.transaction import Level, Root, ambient, open_level
from resourcekit.flow.context import ambient_context

__all__ = ["bounded", "level_of", "perform", "perform_async", "seconds_left"]

T = TypeVar("T")
_LOST = "the database ended this transaction after an error; leave the block, and run it again as a whole"


def seconds_left(repo: Repo) -> float:
    """Return the time that the call has left, in seconds; raises Timeout when there is none."""
    seconds = ambient_context().remaining(repo.seconds)
    if seconds <= 0:
        raise too_late()
    return seconds


def level_of(repo: Repo) -> Level | None:
    """Return the open block of this thread or task, if any."""
    return open_level(repo, repo.home) if ambient.get() else None


def perform(repo: Repo, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Run ``work(link, *args)`` in this thread: in the open transaction, else on the thread's own connection."""
    level = open_level(repo, repo.home) if ambient.get() else None
    seconds = ambient_context().remaining(repo.seconds)
    if seconds <= 0:
        raise too_late()
    if level is not None:
        return _perform_in(level.root, seconds, work, args)
    pool = repo.sync_pool
    link = pool.take()
    try:
        link.allow(seconds)
        result = work(link, *args)
    except BaseException:
        pool.put_back(link)
        raise
    pool.put(link)
    return result


def _perform_in(root: Root, seconds: float, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    link = root.link
    try:
        link.allow(seconds)
        return work(link, *args)
    except Exception:
        see_whether_lost(root)
        raise


def see_whether_lost(root: Root) -> None:
    """Remember it if the database has rolled the transaction back by itself."""
    if not root.link.room.is_open(root.link):
        root.lose(_LOST)


async def perform_async(repo: Repo, work: Callable[..., T], *args: Any, writes: bool = True) -> T:
    """Do the same in a task."""
    level = open_level(repo, repo.home) if ambient.get() else None
    seconds = seconds_left(repo)
    if level is not None:
        return await _perform_in_async(level.root, seconds, work, args)
    return await bounded(seconds, _perform_alone, repo, seconds, work, args, writes)


async def bounded(seconds: float, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Await ``function(*args)`` for so long; raises Timeout afterwards."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await function(*args)
    except TimeoutError:
        if limit.expired():
            raise too_late() from None
        raise


async def _perform_alone(
    repo: Repo, seconds: float, work: Callable[..., T], args: tuple[Any, ...], writes: bool
) -> T:  # passed through ``bounded``
    pool = repo.async_pools.here()
    if not writes:
        return await _perform_on(repo, seconds, work, args)
    async with pool.writing:
        return await _perform_on(repo, seconds, work, args)


async def _perform_on(repo: Repo, seconds: float, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    pool = repo.async_pools.here()
    broken = True
    link = await pool.take()
    try:
        result: T = await link.work(_allowed, seconds, work, args)
        broken = False
    except Exception:
        broken = link.room.is_open(link)
        raise
    finally:
        await pool.put(link, broken=broken)
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
    return result
