"""Notifiers of work inside the user's own SQLAlchemy transaction: run once the user commits, sync and async."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from resourcekit import Attr, Domain, Notification, Resource, attribute, create, query
from resourcekit.data_layers import SQL, Repo, joined


def declare(repo: Repo, received: list[int]) -> Any:
    """Declare a resource whose notifiers wait, do not wait, and are no coroutine."""
    domain = Domain("joined")

    async def waits(notification: Notification) -> None:
        await asyncio.sleep(0)
        received.append(notification.record.id)

    async def at_once(notification: Notification) -> None:
        received.append(10 * notification.record.id)

    def plain(notification: Notification) -> None:
        received.append(100 * notification.record.id)

    class Note(Resource, domain=domain, data_layer=SQL(repo), notifiers=[waits, at_once, plain]):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    domain.create_storage()
    return Note


def test_a_sync_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They run at the commit, never after a rollback; one that has to wait is logged and stops no other."""
    engine, received = sa.create_engine(f"sqlite:///{tmp_path}/joined.db"), list[int]()
    note = declare(Repo(engine=engine), received)
    with caplog.at_level(logging.ERROR), Session(engine) as session:
        with joined(session, note):
            note.write(id=1)
        assert received == []
        session.commit()
        with joined(session, note):
            note.write(id=2)
        session.rollback()
    engine.dispose()

    assert [10, 100] == received
    assert [1] == [each.id for each in query(note).all()]
    assert 1 == len([record for record in caplog.records if "waits failed" in record.getMessage()])


def test_an_async_connection(tmp_path: Path) -> None:
    """In a loop the one that has to wait is awaited, too."""
    url, received = f"sqlite+aiosqlite:///{tmp_path}/joined.db", list[int]()

    async def run() -> None:
        engine = create_async_engine(url)
        note = declare(Repo(f"sqlite:///{tmp_path}/joined.db"), received)
        async with engine.connect() as connection:
            async with joined(connection, note):
                await note.write.aio(id=1)
            assert received == []
            await connection.commit()
        await engine.dispose()

    asyncio.run(run())

    assert [1, 10, 100] == received
