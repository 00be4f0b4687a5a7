"""No more connections are open than a Repo, or the pool of a user's engine, allows: counted by the server."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as SATimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from resourcekit import context, get, query, transaction
from resourcekit.data_layers import Repo
from resourcekit.data_layers.sql.execution.pool_limits import PoolOptions
from resourcekit.doctor import doctor
from resourcekit.errors import DeclarationError, Timeout
from tests.support.databases import connect
from tests.support.notes import declared

DRIVERS = {"postgresql": ("postgresql+psycopg", "postgresql+psycopg"), "mariadb": ("mariadb+pymysql", "mariadb+asyncmy")}
MANY = 12


def url_for(database, *, is_async):
    """Return the URL of the database with a driver's name, and a mark by which PostgreSQL knows the connections."""
    url = sa.make_url(database.url).set(drivername=DRIVERS[database.kind][is_async])
    return url.update_query_dict({"application_name": "counted"}) if database.kind == "postgresql" else url


class Counter:
    """Counts the connections to a database again and again, and keeps the highest number."""

    def __init__(self, database):
        self._connection = connect(database.url)
        name = sa.make_url(database.url).database
        self._sql = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'counted'"
            if database.kind == "postgresql"
            else f"SELECT count(*) - 1 FROM information_schema.processlist WHERE db = '{name}'"
        )
        self.most = 0
        self._turn = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def now(self):
        """Return how many there are."""
        with self._turn:
            cursor = self._connection.cursor()
            cursor.execute(self._sql)
            return cursor.fetchone()[0]

    def _count(self):
        while not self._is_over.is_set():
            # The server ends what was closed a moment later, so what is there all through a tenth of a second counts.
            fewest = self.now()
            for _ in range(5):
                self._is_over.wait(0.02)
                fewest = min(fewest, self.now())
            self.most = max(self.most, fewest)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        self._connection.close()


def repo_with(database, *, is_async, how, **options):
    """Return a Repo with two connections at the most, however that is said."""
    if how == "options":
        return Repo(url_for(database, is_async=is_async), pool_size=2, **options)
    if how == "overflow":
        return Repo(url_for(database, is_async=is_async), pool_size=1, max_overflow=1, **options)
    make = create_async_engine if is_async else sa.create_engine
    engine = make(url_for(database, is_async=is_async), pool_size=2, max_overflow=0, **options)
    return Repo(async_engine=engine) if is_async else Repo(engine=engine)


@pytest.mark.parametrize("how", ["options", "overflow", "engine"])
def test_threads_never_open_more_than_allowed(database, how):
    """Twelve threads, and doctor beside them, share two connections; each call waits for its turn."""
    note = declared(repo_with(database, is_async=False, how=how), "counted")
    with Counter(database) as counter, ThreadPoolExecutor(MANY) as threads:
        for number in threads.map(lambda number: note.write(key=f"{number}").key, range(MANY * 5)):
            assert query(note).filter(note.key == number).exists()
        list(threads.map(lambda _: doctor(note), range(3)))
        at_the_end = counter.now()

    assert MANY * 5 == query(note).count()
    assert 1 <= at_the_end
    assert counter.most <= 2


@pytest.mark.parametrize("how", ["options", "overflow", "engine"])
def test_tasks_never_open_more_than_allowed(database, how):
    """Tasks of one loop, and those of another loop in another thread, share two connections."""
    note = declared(repo_with(database, is_async=True, how=how), "counted", storage=False)

    async def work(name):
        await asyncio.gather(*(note.write.aio(key=f"{name}{number}") for number in range(MANY * 3)))
        return counter.now()

    with Counter(database) as counter:
        asyncio.run(note.__runtime__.ready.__self__.create_storage.aio())
        threads = [threading.Thread(target=asyncio.run, args=(work(name),)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        at_the_end = asyncio.run(work("c"))

    assert MANY * 9 == query(note).count()
    assert 1 <= at_the_end
    assert counter.most <= 2


def test_an_engine_and_its_user_share_the_limit(database):
    """A connection that the user needs takes the place of an idle one of the Repo, and the other way round."""
    engine = sa.create_engine(url_for(database, is_async=False), pool_size=2, max_overflow=0)
    note = declared(Repo(engine=engine), "counted")
    with Counter(database) as counter:
        for round_ in range(5):
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda number, round_=round_: note.write(key=f"{round_} {number}"), range(8)))
            with engine.connect() as one, engine.connect() as two:
                one.execute(sa.text("SELECT 1"))
                two.execute(sa.text("SELECT 1"))
                with context(deadline=timedelta(milliseconds=100)), pytest.raises(Timeout):
                    note.write(key="no connection is left")

    assert counter.most <= 2
    engine.dispose()


def test_a_user_s_async_engine_shares_its_limit(database):
    """The same for an engine that is async: with one connection, user and Repo take turns."""

    async def work():
        engine = create_async_engine(url_for(database, is_async=True), pool_size=1, max_overflow=0)
        note = declared(Repo(async_engine=engine), "counted", storage=False)
        await note.__runtime__.ready.__self__.create_storage.aio()
        for number in range(3):
            await note.write.aio(key=f"{number}")
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
        await note.__runtime__.store.close()
        await engine.dispose()

    with Counter(database) as counter:
        asyncio.run(work())

    assert counter.most <= 2


def test_a_user_gets_the_error_of_its_pool_while_calls_hold_all_connections(database):
    """No connection is opened beyond the limit; the user waits for the pool's timeout, and its TimeoutError says why."""
    engine = sa.create_engine(url_for(database, is_async=False), pool_size=1, max_overflow=0, pool_timeout=0.05)
    note = declared(Repo(engine=engine), "counted")
    with transaction(note):
        note.write(key="a")
        with pytest.raises(SATimeoutError, match="allows 1 connections"):
            engine.connect()
    with engine.connect() as connection:
        assert 1 == connection.execute(sa.text("SELECT 1")).scalar()

    engine.dispose()


def test_a_user_s_task_gets_the_error_of_its_pool_too(database):
    """The same for an async engine, whose event loop runs other tasks meanwhile."""

    async def work():
        engine = create_async_engine(url_for(database, is_async=True), pool_size=1, max_overflow=0, pool_timeout=0.05)
        note = declared(Repo(async_engine=engine), "counted", storage=False)
        await note.__runtime__.ready.__self__.create_storage.aio()
        async with transaction(note):
            await note.write.aio(key="a")
            with pytest.raises(SATimeoutError, match="allows 1 connections"):
                await engine.connect()
        async with engine.connect() as connection:
            assert 1 == (await connection.execute(sa.text("SELECT 1"))).scalar()
        await note.__runtime__.store.close()
        await engine.dispose()

    asyncio.run(work())


def test_the_overflow_is_closed_when_it_is_idle(database):
    """As SQLAlchemy does: pool_size connections are kept, those above it go with their call."""
    repo = Repo(url_for(database, is_async=False), pool_size=1, max_overflow=7)
    note = declared(repo, "counted")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: note.write(key=f"{number}"), range(40)))

    assert 1 == len(repo.sync_pool.connections())


@pytest.mark.parametrize("option", ["max_lifetime", "max_idle"])
def test_a_connection_is_replaced_by_its_age(database, option):
    """One that is older, or was idle for longer, is closed when a call would use it."""
    repo = Repo(url_for(database, is_async=False), **{option: timedelta(milliseconds=50)})
    note = declared(repo, "counted")
    note.write(key="a")
    (first,) = repo.sync_pool.connections()
    threading.Event().wait(0.06)
    get(note, "a")
    (second,) = repo.sync_pool.connections()

    assert first is not second


def test_a_call_waits_no_longer_than_the_pool_of_its_engine(database):
    """The timeout of a pool that was handed over ends the wait before the deadline does."""
    engine = sa.create_engine(url_for(database, is_async=False), pool_size=1, max_overflow=0, pool_timeout=0.1)
    repo = Repo(engine=engine)
    note = declared(repo, "counted")
    note.write(key="a")
    is_held, is_over = threading.Event(), threading.Event()

    def hold():
        with transaction(note):
            is_held.set()
            is_over.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(10)
    with pytest.raises(Timeout, match="in use"):
        get(note, "a")
    is_over.set()
    thread.join()
    engine.dispose()


def test_what_an_engine_says_is_read():
    """Size, overflow, recycle time and timeout; no limit where it has none, and the Repo's own options come first."""
    url = "postgresql+psycopg://localhost/x"
    plain = PoolOptions.checked(None, None, None, None)
    limited = plain.of_engine(sa.create_engine(url, pool_size=3, max_overflow=4, pool_recycle=60, pool_timeout=7))
    own = PoolOptions.checked(1, None, timedelta(seconds=5), None).of_engine(sa.create_engine(url, pool_recycle=60))

    assert (3, 4, 60.0, 7.0) == (limited.size, limited.overflow, limited.max_lifetime_s, limited.wait_s)
    assert 7 == limited.most
    assert None is plain.of_engine(sa.create_engine(url, poolclass=NullPool)).most
    assert None is plain.of_engine(sa.create_engine(url, max_overflow=-1)).most
    assert (1, 5.0) == (own.most, own.max_lifetime_s)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"pool_size": 0}, "pool_size must be a whole number from 1 on, is 0"),
        ({"pool_size": True}, "pool_size"),
        ({"pool_size": 2, "max_overflow": -1}, "max_overflow must be a whole number from 0 on, is -1"),
        ({"max_overflow": 1}, "max_overflow must be given together with pool_size"),
        ({"max_idle": 5}, "max_idle must be a timedelta above zero, is 5"),
        ({"max_lifetime": timedelta(0)}, "max_lifetime must be a timedelta above zero"),
    ],
)
def test_an_impossible_option_is_refused(options, what):
    """With its name and its value, before anything is opened."""
    with pytest.raises(DeclarationError, match=what) as refused:
        Repo("sqlite:///app.db", **options)

    assert "RK107" == refused.value.code


def test_tasks_on_an_sqlite_file_keep_to_the_limit(tmp_path):
    """Tasks of one event loop share two connections, in turn."""
    repo = Repo(f"sqlite:///{tmp_path}/notes.db", pool_size=2)
    note = declared(repo)

    async def work():
        await asyncio.gather(*(note.write.aio(key=f"{number}") for number in range(40)))
        kept = len(repo.async_pools.here().idle)
        await note.__runtime__.store.close()
        return kept

    assert 1 <= asyncio.run(work()) <= 2
    assert 40 == query(note).count()


def test_threads_on_an_sqlite_file_keep_to_the_limit(tmp_path):
    """A connection of a thread that is idle gives way to that of another one."""
    repo = Repo(f"sqlite:///{tmp_path}/notes.db", pool_size=2)
    note = declared(repo)
    with ThreadPoolExecutor(MANY) as threads:
        list(threads.map(lambda number: note.write(key=f"{number}"), range(40)))
        kept = len(repo.sync_pool.connections())

    assert 40 == query(note).count()
    assert kept <= 2
