"""Rows one by one, in flat memory, in both colours. It builds no statement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from resourcekit.data_layers.base import Row
from resourcekit.data_layers.sql.async_pool import AsyncLink
from resourcekit.data_layers.sql.calls import seconds_left
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
    link = level.root.link if level is not None else await repo.async_pools.here().take()
    assert isinstance(link, AsyncLink)
    broken = True
    try:
        cursor = await link.work(_open, seconds_left(repo), statement.sql, values)
        while page := await link.work(_page, cursor, seconds_left(repo)):
            for row in statement.rows(page):
                yield row
        await link.work(_close, cursor)
        broken = False
    except Exception as error:
        raise as_ours(error, repo.room) from None
    finally:
        if level is None:
            await repo.async_pools.here().put(link, broken=broken)


def _sync(repo: Repo, level: Level | None, statement: Statement, values: list[Any]) -> Iterator[Row]:
    link = level.root.link if level is not None else repo.sync_pool.take()
    try:
        cursor = _open(link, seconds_left(repo), statement.sql, values)
        try:
            while page := _page(link, cursor, seconds_left(repo)):
                yield from statement.rows(page)
        finally:
            cursor.close()
    except Exception as error:
        raise as_ours(error, repo.room) from None
    finally:
        if level is None:
            repo.sync_pool.put_back(link)


def _open(link: Link, seconds: float, sql: str, values: list[Any]) -> Any:
    link.allow(seconds)
    return link.open(sql, values)


def _page(link: Link, cursor: Any, seconds: float) -> list[Any]:
    link.allow(seconds)
    return list(cursor.fetchmany(_PAGE))


def _close(link: Link, cursor: Any) -> None:
    del link
    cursor.close()
