"""joined, when the user's transaction ends: waiting functions run after a commit that succeeded, and never otherwise."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from resourcekit import query, transaction
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.errors import DataLayerError, DeclarationError, InvalidArgument, UniqueViolation
from tests.support.databases import scratch


@pytest.fixture
def engine(repo):
    """An engine of the user's own."""
    made = sa.create_engine(repo.url.set(drivername=repo.dialect.drivers[0]))
    yield made
    made.dispose()


@pytest.fixture
def async_url(repo):
    """The URL for an async engine of the user's own."""
    return repo.url.set(drivername=repo.dialect.drivers[1])


def keys(note):
    """Return the keys that are stored."""
    return [record.key for record in query(note).sort(note.key).all()]


def later(note, ran, word):
    """Note a text once the present writes are committed."""
    with transaction(note) as inner:
        inner.after_commit(lambda: ran.append(word))
        note.write(key=word)


def test_what_waits_finds_the_commit_done(engine, repo, declare):
    """A function after the commit sees what was committed, and may write by itself: no lock is held any more."""
    note, seen = declare(repo), []
    with Session(engine) as session:
        with joined(session, note), transaction(note) as inner:
            note.write(key="a")
            inner.after_commit(lambda: (seen.extend(keys(note)), note.write(key="b")))
        session.commit()

    assert (["a"], ["a", "b"]) == (seen, keys(note))


def test_what_waits_in_a_task_finds_the_commit_done(repo, declare, async_url):
    """In a loop, too."""
    note, seen = declare(repo), []

    async def look():
        seen.extend(record.key for record in await query(note).all.aio())
        await note.write.aio(key="b")

    async def work():
        made = create_async_engine(async_url)
        async with AsyncSession(made) as session:
            async with joined(session, note), transaction(note) as inner:
                await note.write.aio(key="a")
                inner.after_commit(look)
            await session.commit()
        await made.dispose()

    asyncio.run(work())

    assert (["a"], ["a", "b"]) == (seen, keys(note))


def break_the_commit(kind, database, connection):
    """Let the commit of a connection fail: by a constraint that is looked at only then, or by ending its session."""
    if kind == "sqlite":
        connection.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(sa.text("INSERT INTO children VALUES (1)"))
        return
    number = {"postgresql": "pg_backend_pid()", "mariadb": "CONNECTION_ID()"}[kind]
    end = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}[kind]
    database.run(end.format(connection.execute(sa.text(f"SELECT {number}")).scalar()))


def test_a_commit_that_fails_runs_nothing(engine, database, repo, declare):
    """Neither side's work is kept, and functions that waited for the commit are dropped."""
    note, ran = declare(repo), []
    if database.kind == "sqlite":
        database.run("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        database.run("CREATE TABLE children (id INTEGER REFERENCES parents (id))")
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    with engine.connect() as connection:
        with joined(connection, note):
            later(note, ran, "lost")
            break_the_commit(database.kind, database, connection)
        with pytest.raises(sa.exc.DBAPIError):
            connection.commit()
        connection.rollback()

    with engine.connect() as connection:
        with joined(connection, note):
            later(note, ran, "kept")
        connection.commit()

    assert (["kept"], ["kept"]) == (ran, keys(note))


def test_what_waits_shares_the_fate_of_the_user_s_savepoint(engine, repo, declare):
    """A savepoint that is rolled back takes along what was written and what waits since; the rest runs at the commit."""
    note, ran = declare(repo), []
    with Session(engine) as session:
        with joined(session, note):
            later(note, ran, "before")
            outer = session.begin_nested()
            later(note, ran, "outer")
            inner = session.begin_nested()
            later(note, ran, "inner")
            inner.commit()
            outer.rollback()
            with session.begin_nested():
                later(note, ran, "kept")
            later(note, ran, "last")
        session.commit()

    assert ["before", "kept", "last"] == ran
    assert ["before", "kept", "last"] == keys(note)


def test_a_savepoint_from_before_the_block(engine, repo, declare):
    """What joined inside of it is rolled back with it."""
    note, ran = declare(repo), []
    with engine.connect() as connection:
        savepoint = connection.begin_nested()
        with joined(connection, note):
            later(note, ran, "gone")
        savepoint.rollback()
        with joined(connection, note):
            later(note, ran, "kept")
        connection.commit()

    assert (["kept"], ["kept"]) == (ran, keys(note))


def test_savepoints_in_a_task(repo, declare, async_url):
    """In a loop, too."""
    note, ran = declare(repo), []

    async def work():
        made = create_async_engine(async_url)
        async with made.connect() as connection, connection.begin():
            for word in ("gone", "kept"):
                savepoint = await connection.begin_nested()
                async with joined(connection, note), transaction(note) as inner:
                    inner.after_commit(lambda word=word: ran.append(word))
                    await note.write.aio(key=word)
                await (savepoint.rollback() if word == "gone" else savepoint.commit())
        await made.dispose()

    asyncio.run(work())

    assert (["kept"], ["kept"]) == (ran, keys(note))


def test_an_error_of_the_user_s_own_is_over_with_his_savepoint(engine, repo, declare):
    """What can do nothing but roll back, such as PostgreSQL after an error, is sound again after that."""
    note = declare(repo)
    with Session(engine) as session:
        with joined(session, note):
            savepoint = session.begin_nested()
            with pytest.raises(sa.exc.DBAPIError):
                session.execute(sa.text("SELECT * FROM no_such_table"))
            try:
                note.write(key="inside")
            except DataLayerError:
                assert "postgresql" == repo.dialect.name
            savepoint.rollback()
            note.write(key="a")
        session.commit()

    assert ["a"] == keys(note)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_call_after_the_end_is_refused(engine, repo, declare, ends):
    """After a commit inside of the block a write would belong to a transaction that is never committed."""
    note = declare(repo)
    with Session(engine) as session:
        with joined(session, note):
            note.write(key="a")
            getattr(session, ends)()
            with pytest.raises(DataLayerError, match="has ended inside of the block"):
                note.write(key="b")
            with pytest.raises(DataLayerError, match="has ended inside of the block"):
                query(note).count()
        session.commit()

    assert (["a"] if ends == "commit" else []) == keys(note)


def test_one_block_in_another(engine, repo, declare):
    """A function that joins for itself may be called inside of a block; all that waits runs once, in order."""
    note, other = declare(repo, "one"), declare(repo, "two")
    ran = []
    with Session(engine) as session, session.begin(), joined(session, note):
        later(note, ran, "a")
        with joined(session, other, note):
            later(other, ran, "b")
            later(note, ran, "c")
        later(note, ran, "d")

    assert (["a", "b", "c", "d"], ["a", "c", "d"], ["b"]) == (ran, keys(note), keys(other))


ISOLATION = {"sqlite": "SERIALIZABLE", "postgresql": "SERIALIZABLE", "mariadb": "REPEATABLE READ"}


def test_the_user_s_isolation_level_stands(engine, repo, declare):
    """Inside of the block, what others commit later is as invisible as the user asked for; afterwards it is there."""
    note = declare(repo)
    note.write(key="before")
    level = ISOLATION[repo.dialect.name]
    with engine.connect().execution_options(isolation_level=level) as connection:
        with joined(connection, note):
            first = query(note).count()
            if repo.dialect.is_server:  # SQLite has one writer, and the block is the one
                _beside(repo, declare)
            second = query(note).count()
        asked = connection.get_isolation_level()
        connection.commit()

    assert (1, 1, level) == (first, second, asked)
    assert (2 if repo.dialect.is_server else 1) == query(note).count()


def _beside(repo, declare):
    """Write on a connection of another repo."""
    declare(Repo(repo.url), storage=False).write(key="beside")


def test_a_violation_in_a_block_of_snapshots(engine, repo, declare):
    """A row that another transaction wrote meanwhile, and that the snapshot does not show, is still a UniqueViolation."""
    if not repo.dialect.is_server:
        return  # SQLite has one writer, and the block is the one
    note = declare(repo)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        with joined(connection, note):
            assert 0 == query(note).count()
            _beside(repo, declare)
            with pytest.raises(UniqueViolation):
                note.write(key="beside")
            note.write(key="a")
        connection.commit()

    assert ["a", "beside"] == keys(note)


class _Other(SQLiteDialect_pysqlite):
    """A driver that the framework does not support."""

    driver = "other"
    supports_statement_cache = True


def test_another_driver_is_refused(tmp_path, declare):
    """By Repo with the names of those that will do, and by joined before anything is sent."""
    registry.register("sqlite.other", __name__, "_Other")
    made = sa.create_engine(f"sqlite+other:///{tmp_path}/other.db")
    note = declare(f"sqlite:///{tmp_path}/other.db")

    with pytest.raises(DeclarationError, match=r"'other' is not supported for sqlite.*sqlite\+aiosqlite"):
        SQL(Repo(engine=made))
    with made.connect() as connection, pytest.raises(InvalidArgument, match="'other' is not supported for sqlite"):
        joined(connection, note).__enter__()
    made.dispose()


def test_a_connection_to_another_database_is_refused(declare, tmp_path):
    """A session on SQLite is no part of a transaction on a server."""
    note = declare("postgresql://127.0.0.1/nowhere", storage=False)
    made = sa.create_engine(f"sqlite:///{tmp_path}/elsewhere.db")
    with made.connect() as connection, pytest.raises(InvalidArgument, match=r"one to sqlite.*kept in postgresql"):
        joined(connection, note).__enter__()
    made.dispose()


def test_the_user_s_events_run(engine, repo, declare):
    """The user's events run in their order; the framework's functions run after the commit."""
    note, ran = declare(repo), []
    with engine.connect() as connection:
        for name in ("begin", "savepoint", "release_savepoint", "commit"):
            sa.event.listen(connection, name, lambda *_, name=name: ran.append(name))
        with joined(connection, note), connection.begin_nested():
            later(note, ran, "ours")
        connection.commit()

    assert ["begin", "savepoint", "release_savepoint", "commit", "ours"] == ran


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_commit_in_two_phases_is_one_too(tmp_path, declare, ends):
    """Waiting functions run after the second phase; of the three databases, MariaDB lets every user prepare a transaction."""
    with scratch("mariadb", tmp_path) as database:
        repo = Repo(database.url)
        note, ran = declare(repo), []
        engine = sa.create_engine(repo.url.set(drivername=repo.dialect.drivers[0]))
        with engine.connect() as connection:
            whole = connection.begin_twophase()
            with joined(connection, note):
                later(note, ran, "a")
            if ends == "commit":
                whole.prepare()
            before = list(ran)
            getattr(whole, ends)()
        engine.dispose()
        found = keys(note)

    assert ([], ["a"] if ends == "commit" else [], ran) == (before, ran, found)
