"""Engines of the application: settings that the data layer makes on its connections never reach them."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from resourcekit import query
from resourcekit.data_layers import Repo

SETTINGS = {
    "postgresql": "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('TimeZone'), "
    "current_setting('synchronous_commit'), current_setting('default_transaction_isolation')",
    "mariadb": "SELECT @@sql_mode, @@max_statement_time, @@tx_isolation, @@collation_connection, @@autocommit",
}
SLOW = {"postgresql": "SELECT pg_sleep(0.6)", "mariadb": "SELECT sleep(0.6)"}
DRIVERS = {"postgresql": ("postgresql+psycopg", "postgresql+psycopg"), "mariadb": ("mariadb+pymysql", "mariadb+asyncmy")}
SHORT = timedelta(milliseconds=400)


def url_for(database, *, is_async):
    """Return the URL as the user's own engine has it."""
    return sa.make_url(database.url).set(drivername=DRIVERS[database.kind][is_async])


def test_a_user_s_async_engine_keeps_its_own_settings(database, declare_note):
    """An engine with one connection serves us and its user in turn, and a long statement of the user's is not cut off."""
    declare_note(Repo(database.url))

    async def work():
        engine = create_async_engine(url_for(database, is_async=True), pool_size=1, max_overflow=0)
        async with engine.connect() as connection:
            before = (await connection.execute(sa.text(SETTINGS[database.kind]))).all()
        note = declare_note(Repo(async_engine=engine, timeout=SHORT), storage=False)
        domain = note.__runtime__.ready.__self__
        await domain.create_storage.aio()
        await note.write.aio(key="a")
        async with engine.connect() as connection:
            after = (await connection.execute(sa.text(SETTINGS[database.kind]))).all()
            await connection.execute(sa.text(SLOW[database.kind]))
        counted = await query(note).count.aio()
        await engine.dispose()
        return before, after, counted

    before, after, counted = asyncio.run(work())

    assert before == after
    assert 1 == counted


def test_a_user_s_engine_keeps_its_own_settings(database, declare_note):
    """The same for an engine that is not async."""
    engine = sa.create_engine(url_for(database, is_async=False), pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        before = connection.execute(sa.text(SETTINGS[database.kind])).all()
    note = declare_note(Repo(engine=engine, timeout=SHORT))
    note.write(key="a")
    with engine.connect() as connection:
        after = connection.execute(sa.text(SETTINGS[database.kind])).all()
        connection.execute(sa.text(SLOW[database.kind]))
    engine.dispose()

    assert before == after
    assert 1 == query(note).count()


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
def test_a_session_s_connection_is_given_back_as_it_was(database, declare_note, outcome):
    """After ``joined`` the user's connection waits for a long statement again, sync and async."""
    from resourcekit.data_layers import joined

    note = declare_note(Repo(database.url, timeout=SHORT))
    engine = sa.create_engine(url_for(database, is_async=False), pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        with joined(connection, note):
            note.write(key="a")
        getattr(connection, outcome)()
        connection.execute(sa.text(SLOW[database.kind]))
    engine.dispose()

    async def work():
        engine = create_async_engine(url_for(database, is_async=True), pool_size=1, max_overflow=0)
        async with engine.connect() as connection:
            async with joined(connection, note):
                await note.write.aio(key="b")
            await getattr(connection, outcome)()
            await connection.execute(sa.text(SLOW[database.kind]))
        await engine.dispose()

    asyncio.run(work())

    assert (2 if outcome == "commit" else 0) == query(note).count()


def test_a_statement_of_yours_on_the_repo_s_engine_may_take_its_time(database, declare_note):
    """The engine that a Repo makes of a URL bounds its connections only while they are opened."""
    repo = Repo(database.url, timeout=SHORT)
    declare_note(Repo(database.url))
    with repo.engine.connect() as connection:
        connection.execute(sa.text(SLOW[database.kind]))
        connection.execute(sa.text(SLOW[database.kind]))
    repo.engine.dispose()
