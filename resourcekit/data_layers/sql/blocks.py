"""The block of ``transaction()``, in both colours. A class, so that no ContextVar is set across a yield."""

from __future__ import annotations

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
from resourcekit.data_layers.sql.transaction import Level, Root, ambient
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
        seconds = seconds_left(self._repo)
        try:
            link = pool.take()
        except Exception as error:
            raise as_ours(error, self._repo.room) from None
        try:
            link.allow(seconds)
            work.begin(link)
        except BaseException as error:
            pool.put_back(link)
            if isinstance(error, Exception):
                raise as_ours(error, self._repo.room) from None
            raise
        return link

    async def _begin_async(self) -> AsyncLink:
        seconds = seconds_left(self._repo)
        pool = self._repo.async_pools.here()
        async with AsyncExitStack() as stack:

            async def start() -> AsyncLink:
                await stack.enter_async_context(pool.writing)
                link = await pool.take()
                try:
                    await link.work(_begin_within, seconds)
                except BaseException as error:
                    await pool.put(link, broken=not isinstance(error, Exception) or link.room.is_open(link))
                    raise
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
        if root.home is not self._repo.home or root.reason:
            if keep:
                raise DataLayerError(root.reason)
            return
        seconds = max(ambient_context().remaining(self._repo.seconds), 0.1)
        if not keep:
            await _say(root, f"ROLLBACK TO SAVEPOINT {level.savepoint}", seconds)
        await _say(root, f"RELEASE SAVEPOINT {level.savepoint}", seconds)
        if keep:
            outer.functions.extend(level.functions)

    def _end(self, root: Root, *, keep: bool) -> None:
        link, pool = root.link, self._repo.sync_pool
        # A transaction that is asked to end gets some time for it even when the call's own is over.
        link.allow(max(ambient_context().remaining(self._repo.seconds), 0.1))
        try:
            _finish(link, root, keep)
        except Exception as error:
            raise as_ours(error, link.room) from None
        finally:
            pool.put_back(link)

    async def _end_async(self, root: Root, link: AsyncLink, *, keep: bool) -> None:
        seconds = max(ambient_context().remaining(self._repo.seconds), 0.1)
        assert self._stack is not None
        async with self._stack:
            broken = True
            try:
                if not (root.reason and not keep):
                    await bounded(seconds, link.work, _finish, root, keep)
                    broken = link.room.is_open(link)
            except Exception as error:
                raise as_ours(error, link.room) from None
            finally:
                await self._repo.async_pools.here().put(link, broken=broken)


def _begin_within(link: Link, seconds: float) -> None:
    link.allow(seconds)
    work.begin(link)


def _finish(link: Link, root: Root, keep: bool) -> None:  # passed through run_sync
    if root.reason and keep:
        raise DataLayerError(root.reason)
    if keep:
        work.commit(link)
    else:
        work.rollback(link)


async def _say(root: Root, sql: str, seconds: float) -> None:
    link = root.link
    try:
        if isinstance(link, AsyncLink):
            await bounded(seconds, link.work, Link.run, sql, ())
        else:
            link.allow(seconds)
            link.run(sql)
    except Exception as error:
        see_whether_lost(root)
        raise as_ours(error, link.room) from None
