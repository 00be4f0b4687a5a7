"""The block of ``transaction()``, in both colours. A class, so that no ContextVar is set across a yield."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType

from resourcekit.data_layers.after_commit import run_after_commit
from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.async_pool import AsyncLink
from resourcekit.data_layers.sql.calls import bounded, level_of, seconds_left, see_whether_lost
from resourcekit.data_layers.sql.failures import as_ours
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.repo import Repo
from resourcekit.data_layers.sql.transaction import SPOILT, Level, Root, ambient
from resourcekit.errors import DataLayerError
from resourcekit.flow.context import Colour, ambient_context, colour

__all__ = ["Block"]


class Block(AbstractAsyncContextManager[Level]):
    """``async with``: a transaction, or a savepoint where one is open."""

    __slots__ = ("_before", "_level", "_repo", "_stack")

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._stack: AsyncExitStack | None = None

    async def __aenter__(self) -> Level:
        """Begin. Raises Timeout where others write until the deadline."""
        self._before: Mapping[object, Level] = ambient.get()
        outer = level_of(self._repo)
        if outer is not None:
            root = outer.root
            root.savepoints += 1
            self._level = Level(root, outer, f"resourcekit_{root.savepoints}")
            await _say(root, f"SAVEPOINT {self._level.savepoint}", seconds_left(self._repo))
        elif colour.get() is Colour.SYNC:
            self._level = Level(Root(self._repo.home, self._begin()), None)
        else:
            self._level = Level(Root(self._repo.home, await self._begin_async()), None)
        ambient.set({**self._before, self._repo: self._level})
        return self._level

    def _begin(self) -> Link:
        pool = self._repo.sync_pool
        try:
            while True:
                seconds = seconds_left(self._repo)
                link = pool.take(seconds)
                try:
                    _begin_within(link, seconds)
                except BaseException as error:
                    lost = _is_lost(link, error)
                    pool.put_back(link)
                    if not lost:  # else it died unnoticed, and nothing was sent that could stand
                        raise
                else:
                    return link
        except Exception as error:
            raise as_ours(error, self._repo.room) from None

    async def _begin_async(self) -> AsyncLink:
        seconds = seconds_left(self._repo)
        pool = self._repo.async_pools.here()
        async with AsyncExitStack() as stack:

            async def start() -> AsyncLink:
                await stack.enter_async_context(pool.writing)
                while True:
                    link = await pool.take()
                    try:
                        await link.work(_begin_within, seconds)
                    except BaseException as error:
                        lost = _is_lost(link, error)
                        await pool.put(link, broken=lost or not isinstance(error, Exception) or link.room.is_open(link))
                        if not lost:
                            raise
                    else:
                        return link

            try:
                link: AsyncLink = await bounded(seconds, start)
            except Exception as error:
                raise as_ours(error, self._repo.room) from None
            self._stack = stack.pop_all()
        return link

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Commit, or roll back after an error."""
        ambient.set(self._before)
        level = self._level
        keep = kind is None and not level.is_doomed
        if level.outer is not None:
            await self._end_savepoint(level, level.outer, keep=keep)
            return
        level.root.is_over = True
        if level.root.home is not self._repo.home:
            return  # The child of a fork: the connection is its parent's.
        if isinstance(level.root.link, AsyncLink):
            await self._end_async(level.root, level.root.link, keep=keep)
        else:
            self._end(level.root, keep=keep)
        if keep:
            await run_after_commit(level.functions)

    async def _end_savepoint(self, level: Level, outer: Level, *, keep: bool) -> None:
        root = level.root
        if root.home is not self._repo.home or root.reason or (keep and root.is_spoilt):
            if keep:
                raise DataLayerError(root.reason or SPOILT)
            return
        seconds = max(ambient_context().remaining(self._repo.seconds), 0.1)
        if keep:
            await _say(root, f"RELEASE SAVEPOINT {level.savepoint}", seconds)
            outer.functions.extend(level.functions)
            return
        with contextlib.suppress(DataLayerError):  # why it is taken back says more; the transaction is lost then
            await _say(root, f"ROLLBACK TO SAVEPOINT {level.savepoint}", seconds)
            root.is_spoilt = False
            await _say(root, f"RELEASE SAVEPOINT {level.savepoint}", seconds)

    def _end(self, root: Root, *, keep: bool) -> None:
        link, pool = root.link, self._repo.sync_pool
        # A transaction that is asked to end gets some time for it even when the call's own is over.
        try:
            _finish(link, root, keep, max(ambient_context().remaining(self._repo.seconds), 0.1))
        except Exception as error:
            raise as_ours(error, link.room) from None
        finally:
            pool.put_back(link)

    async def _end_async(self, root: Root, link: AsyncLink, *, keep: bool) -> None:
        seconds = max(ambient_context().remaining(self._repo.seconds), 0.1)
        assert self._stack is not None
        async with self._stack:
            clean = False
            try:
                if not (root.reason and not keep):
                    await bounded(seconds, link.work, _finish, root, keep, seconds, holder=root)
                    clean = link.is_clean()
            except Exception as error:
                raise as_ours(error, link.room) from None
            finally:
                await self._repo.async_pools.here().put(link, broken=not clean)


def _is_lost(link: Link, error: BaseException) -> bool:
    return isinstance(error, Exception) and link.room.is_broken(link)


def _run_within(link: Link, sql: str, seconds: float) -> int:
    link.allow(seconds)
    return link.run(sql)


def _begin_within(link: Link, seconds: float) -> None:
    link.allow(seconds)
    work.begin(link)


def _finish(link: Link, root: Root, keep: bool, seconds: float) -> None:  # passed through run_sync
    link.gauge.ends_at = time.monotonic() + seconds
    if keep and not root.reason and not root.is_spoilt:
        work.commit(link)
        return
    work.rollback(link)
    if keep:
        raise DataLayerError(root.reason or SPOILT)


async def _say(root: Root, sql: str, seconds: float) -> None:
    link = root.link
    try:
        if isinstance(link, AsyncLink):
            await bounded(seconds, link.work, _run_within, sql, seconds)
        else:
            link.allow(seconds)
            link.run(sql)
    except Exception as error:
        see_whether_lost(root)
        raise as_ours(error, link.room) from None
    finally:
        link.let_go()
