"""Rows one by one, in flat memory, in both colours. It builds no statement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from resourcekit.data_layers.base import Row
from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.async_pool import AsyncLink
from resourcekit.data_layers.sql.calls import bounded, seconds_left
from resourcekit.data_layers.sql.dialect import Reader
from resourcekit.data_layers.sql.failures import as_ours
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.repo import Repo
from resourcekit.data_layers.sql.statement import Statement
from resourcekit.data_layers.sql.transaction import Level
from resourcekit.flow.context import Colour, colour

__all__ = ["stream"]

_PAGE = 200
"""Rows that are taken from the database at a time."""


async def stream(repo: Repo, level: Level | None, statement: Statement, values: list[Any]) -> AsyncIterator[Row]:
    """Yield rows; those of an open transaction where one was open when the stream was asked for."""
    if colour.get() is Colour.SYNC:
        for row in _sync(repo, level, statement, values):
            yield row
        return
    pool, alone = repo.async_pools.here(), level is None
    link = level.root.link if level is not None else await bounded(seconds_left(repo), pool.take)
    assert isinstance(link, AsyncLink)
    link.at_stake, broken = False, True
    try:
        reader = await bounded(seconds_left(repo), link.work, _open, seconds_left(repo), statement.sql, values, alone)
        while page := await bounded(seconds_left(repo), link.work, _page, reader, seconds_left(repo)):
            for row in statement.rows(page):
                yield row
        await bounded(seconds_left(repo), link.work, _close, reader, seconds_left(repo), True, alone)
        broken = False
    except Exception as error:
        raise as_ours(error, repo.room) from None
    finally:
        if alone:
            await pool.put(link, broken=broken)
        else:
            link.let_go()


def _sync(repo: Repo, level: Level | None, statement: Statement, values: list[Any]) -> Iterator[Row]:
    alone, done = level is None, False
    link = level.root.link if level is not None else repo.sync_pool.take(seconds_left(repo))
    link.at_stake = False
    try:
        reader = _open(link, seconds_left(repo), statement.sql, values, alone)
        try:
            while page := _page(link, reader, seconds_left(repo)):
                yield from statement.rows(page)
            done = True
        finally:
            _close(link, reader, max(repo.seconds, 0.1), done, alone)
    except Exception as error:
        raise as_ours(error, repo.room) from None
    finally:
        if alone:
            repo.sync_pool.put_back(link)
        else:
            link.let_go()


def _open(link: Link, seconds: float, sql: str, values: list[Any], alone: bool) -> Reader:  # passed through run_sync
    link.allow(seconds)
    return link.room.read(link, sql, values, alone=alone)


def _page(link: Link, reader: Reader, seconds: float) -> list[Any]:
    link.allow(seconds)
    return reader.page(_PAGE)


def _close(link: Link, reader: Reader, seconds: float, done: bool, alone: bool) -> None:  # passed through run_sync
    if link.room.is_broken(link):
        return
    link.allow(seconds)
    reader.close(done=done)
    if alone:
        work.rollback(link)
