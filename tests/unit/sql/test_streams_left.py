"""Async streams that are left in the middle: their connections come back, and nothing is printed when the event loop ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL

ROWS = 1000


async def _broken_off(records: Callable[[], Any], _: list[Any]) -> None:
    async for _record in records():
        break


async def _failed(records: Callable[[], Any], _: list[Any]) -> None:
    async for _record in records():
        raise ZeroDivisionError


async def _held(records: Callable[[], Any], kept: list[Any]) -> None:
    kept.append(records())
    await anext(kept[0])


async def _cancelled(records: Callable[[], Any], _: list[Any]) -> None:
    async def read() -> None:
        async for _record in records():
            await asyncio.sleep(60)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    assert not reading.done()


@pytest.mark.parametrize("leave", [_broken_off, _failed, _held, _cancelled])
def test_a_loop_that_ends_closes_streams_without_a_word(
    repo: Any,
    declare: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    leave: Callable[[Callable[[], Any], list[Any]], Awaitable[None]],
) -> None:
    """The loop closes the stream that it knows, and that one closes those inside of it. Others wait for no connection then."""
    note, kept, unraisable = declare(repo), list[Any](), list[Any]()
    note.write.bulk([{"key": f"{number:04}"} for number in range(ROWS)])
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    async def run() -> None:
        await leave(query(note).sort(note.key).stream.aio, kept)

    with contextlib.suppress(ZeroDivisionError):
        asyncio.run(run())
    kept.clear()
    gc.collect()

    assert [] == [str(each.exc_value) for each in unraisable]
    assert "" == caplog.text
    note.put(key="x")
    assert ROWS + 1 == query(note).count()


def test_a_stream_of_an_unmanaged_table_gives_its_connection_back_at_once(database: Any) -> None:
    """Closing the stream closes what it reads from, before the next call."""
    database.run("CREATE TABLE visits (id integer PRIMARY KEY)")

    class Visit(Resource, domain=Domain("visits"), data_layer=SQL(database.url, table="visits", managed=False)):
        id: Attr[int] = attribute(primary_key=True)
        note = create(accept=["id"])

    Visit.note.bulk([{"id": number} for number in range(ROWS)])

    async def run() -> int:
        pool = Visit.__runtime__.store.repo.async_pools.here()
        async with contextlib.aclosing(query(Visit).sort("id").stream.aio()) as visits:
            await anext(visits)
        return len(pool.places._inside)

    assert asyncio.run(run()) == 0
