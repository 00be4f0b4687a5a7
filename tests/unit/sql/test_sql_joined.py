"""joined: a resource's work inside the user's own SQLAlchemy transaction, sync and async."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from resourcekit import Attr, Domain, Resource, attribute, create, query, transaction
from resourcekit.data_layers import Memory, Repo, joined
from resourcekit.errors import InvalidArgument, MixedCallMode, UniqueViolation


class Planned(Exception):
    """What goes wrong in these tests."""


@pytest.fixture
def engine(repo):
    """An engine of the user's own, with a table of his."""
    made = sa.create_engine(repo.url.set(drivername=repo.dialect.drivers[0]))
    with made.begin() as connection:
        connection.execute(sa.text("CREATE TABLE users (name VARCHAR(50) PRIMARY KEY)"))
    yield made
    made.dispose()


@pytest.fixture
def async_url(repo):
    """The URL for an async engine of the user's own."""
    return repo.url.set(drivername=repo.dialect.drivers[1])


def add_user(connection, name):
    """Write to the user's own table."""
    connection.execute(sa.text("INSERT INTO users VALUES (:name)"), {"name": name})


def users(engine):
    """Return what the user's own table holds."""
    with engine.connect() as connection:
        return [name for (name,) in connection.execute(sa.text("SELECT name FROM users ORDER BY name"))]


@pytest.mark.parametrize("kind", ["session", "connection"])
def test_both_are_committed_together(engine, repo, declare, kind):
    """The user's writes and the resource's writes are committed together, by the user's commit."""
    note = declare(repo)
    with Session(engine) if kind == "session" else engine.connect() as given:
        with joined(given, note):
            add_user(given, "ann")
            written = note.write(key="a")
            note.edit(written, text="x")
            inside = query(note).count()
        given.commit()

    assert (1, ["ann"]) == (inside, users(engine))
    assert [("a", "x")] == [(record.key, record.text) for record in query(note).all()]


@pytest.mark.parametrize("kind", ["session", "connection"])
def test_both_are_rolled_back_together(engine, repo, declare, kind):
    """After the user's rollback nothing is left of either."""
    note = declare(repo)
    with Session(engine) if kind == "session" else engine.connect() as given:
        with joined(given, note):
            add_user(given, "ann")
            note.write(key="a")
            note.write.bulk([{"key": "b"}, {"key": "c"}])
        given.rollback()

    assert (0, []) == (query(note).count(), users(engine))


def test_the_resource_may_come_first(engine, repo, declare):
    """The transaction begins with the resource's write where the user has written nothing yet."""
    note = declare(repo)
    with engine.connect() as connection:
        with joined(connection, note):
            note.write(key="a")
            add_user(connection, "ann")
        connection.rollback()

    assert (0, []) == (query(note).count(), users(engine))


def test_calls_after_the_block_are_outside_of_the_transaction(engine, repo, declare):
    """The block says which calls take part; a read after it does not see what is not committed."""
    note = declare(repo)
    with engine.connect() as connection:
        with joined(connection, note):
            note.write(key="a")
        outside = query(note).count()
        connection.commit()

    assert (0, 1) == (outside, query(note).count())


def test_a_transaction_inside_is_a_savepoint(engine, repo, declare):
    """An inner block that fails takes back its own writes only."""
    note = declare(repo)
    with engine.connect() as connection:
        with joined(connection, note):
            note.write(key="kept")
            with pytest.raises(Planned), transaction(note):
                note.write(key="gone")
                raise Planned
            with transaction(note):
                note.write(key="kept too")
        connection.commit()

    assert ["kept", "kept too"] == [record.key for record in query(note).sort(note.key).all()]


def test_a_violation_leaves_the_user_s_transaction_usable(engine, repo, declare):
    """A refused row does not abort the transaction: what was written before and after is committed."""
    note = declare(repo)
    with engine.connect() as connection:
        with joined(connection, note):
            add_user(connection, "ann")
            written = note.write(key="a", text="x")
            with pytest.raises(UniqueViolation):
                note.write(key="a")
            note.write(key="b")
            with pytest.raises(UniqueViolation):
                note.edit("b", text="x")
            assert written == query(note).filter(note.key == "a").one()
        connection.commit()

    assert (["a", "b"], ["ann"]) == ([record.key for record in query(note).sort(note.key).all()], users(engine))


def test_functions_after_the_commit_run_at_the_user_s_commit(engine, repo, declare):
    """after_commit waits for the user, and never runs after a rollback."""
    note = declare(repo)
    ran = []
    with engine.connect() as connection:
        for name in ("committed", "rolled back"):
            with joined(connection, note), transaction(note) as inner:
                inner.after_commit(lambda name=name: ran.append(name))
                note.write(key=name)
            before = list(ran)
            connection.commit() if name == "committed" else connection.rollback()

    assert ["committed"] == before == ran


def test_two_resources_join_together(engine, database, declare):
    """Resources of one database share the block, whichever Repo they were declared with."""
    note, other = declare(Repo(database.url), "one"), declare(Repo(database.url), "two")
    with engine.connect() as connection:
        with joined(connection, note, other):
            note.write(key="a")
            other.write(key="b")
        connection.rollback()

    assert (0, 0) == (query(note).count(), query(other).count())


def test_a_connection_works_again_after_it_was_joined(engine, repo, declare):
    """A pooled connection carries nothing of the block over to its next user."""
    note = declare(repo)
    for key in "abc":
        with engine.begin() as connection, joined(connection, note):
            note.write(key=key)
            add_user(connection, key)

    assert (3, ["a", "b", "c"]) == (query(note).count(), users(engine))


def test_wrong_uses_are_told(engine, repo, declare, async_url):
    """Nothing named, a resource that is elsewhere, and the wrong kind of block are InvalidArgument."""
    note = declare(repo)

    class Kept(Resource, domain=Domain("kept"), data_layer=Memory()):
        key: Attr[str] = attribute(primary_key=True)

        write = create(accept=["key"])

    async def wrong_way(connection):
        async with joined(connection, note):
            pass

    with engine.connect() as connection:
        with pytest.raises(InvalidArgument, match="name the resources"):
            joined(connection)
        with pytest.raises(InvalidArgument, match="not kept in an SQL database"), joined(connection, Kept):
            pass
        with pytest.raises(InvalidArgument, match="use with"):
            asyncio.run(wrong_way(connection))
    made = create_async_engine(async_url)
    with pytest.raises(InvalidArgument, match="use async with"), joined(AsyncSession(made), note):
        pass


async def _end(given, *, keep):
    await (given.commit() if keep else given.rollback())


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("kind", ["session", "connection"])
def test_an_async_block_does_the_same(engine, repo, declare, async_url, kind, keep):
    """Both are committed, or rolled back, by the user; functions after the commit wait for it."""
    note, ran = declare(repo), []

    async def work():
        made = create_async_engine(async_url)
        async with AsyncSession(made) if kind == "session" else made.connect() as given:
            async with joined(given, note):
                await given.execute(sa.text("INSERT INTO users VALUES ('ann')"))
                written = await note.write.aio(key="a", text="x")
                async with transaction(note) as inner:
                    inner.after_commit(lambda: ran.append("x"))
                    await note.edit.aio(written, text="y")
                with pytest.raises(UniqueViolation):
                    await note.write.aio(key="a")
                await note.write.bulk.aio([{"key": "b"}, {"key": "c"}])
                assert 3 == await query(note).count.aio()
            before = list(ran)
            await _end(given, keep=keep)
        await made.dispose()
        return before

    assert [] == asyncio.run(work())
    assert (["x"] if keep else []) == ran
    assert (["ann"] if keep else []) == users(engine)
    assert (["a", "b", "c"] if keep else []) == [record.key for record in query(note).sort(note.key).all()]


def test_a_sync_call_in_an_async_block_is_refused(repo, declare, async_url):
    """It would wait on a connection of the loop."""
    note = declare(repo)

    async def work():
        made = create_async_engine(async_url)
        async with made.connect() as connection, joined(connection, note):
            with pytest.raises(MixedCallMode):
                note.write(key="a")
            await note.write.aio(key="b")
            await connection.commit()
        await made.dispose()

    asyncio.run(work())

    assert ["b"] == [record.key for record in query(note).all()]
