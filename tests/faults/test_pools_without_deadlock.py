"""Transactions that hold all connections of a pool still read and write outside of themselves: no deadlock."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from resourcekit import context, get, outside_transaction, query, transaction
from resourcekit.data_layers import SQL, Repo
from resourcekit.data_layers.sql.execution.needs import Need, Use, may_open
from resourcekit.errors import NotFound, Timeout
from tests.support.databases import KINDS, scratch
from tests.support.notes import declared
from tests.support.setups import declare_tokens

MANY = 4
SERVERS = ("postgresql", "mariadb")


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    """An empty database of each kind."""
    with scratch(request.param, tmp_path) as database:
        yield database


@pytest.fixture(params=[1, 2])
def pool_size(request):
    """The size of the pool."""
    return request.param


class Meeting:
    """Let blocks wait until all connections are held; on a layer with one writer at a time, do not wait."""

    def __init__(self, place, pool_size):
        self.held, self._most = 0, 1 if place.kind == "sqlite" else pool_size
        self._all_are_held, self._all_tasks = threading.Event(), asyncio.Event()

    def _arrive(self):
        self.held += 1
        if self.held >= self._most:
            self._all_are_held.set()
            self._all_tasks.set()

    def wait(self):
        self._arrive()
        assert self._all_are_held.wait(10)

    async def wait_async(self):
        self._arrive()
        await self._all_tasks.wait()


def seen_outside(note, key):
    """Return whether others see a record."""
    with outside_transaction():
        return query(note).filter(note.key == key).exists()


def test_threads_read_outside_of_their_transactions(place, pool_size):
    """More threads than connections, each in a transaction: none sees its own record outside, and all come to their end."""
    repo = Repo(place.url, pool_size=pool_size)
    note, meeting = declared(repo), Meeting(place, pool_size)

    def work(number):
        with context(deadline=timedelta(seconds=30)), transaction(note):
            note.write(key=f"{number}")
            meeting.wait()
            return seen_outside(note, f"{number}")

    with ThreadPoolExecutor(MANY) as threads:
        seen = list(threads.map(work, range(MANY)))
        kept = len(repo.sync_pool.connections())

    assert [False] * MANY == seen
    assert MANY == query(note).count()
    assert kept <= pool_size


def test_tasks_read_outside_of_their_transactions(place, pool_size):
    """The same for tasks of one event loop, also if the read is a task of its own that the block awaits."""
    repo = Repo(place.url, pool_size=pool_size)
    note, meeting = declared(repo), Meeting(place, pool_size)

    async def work(number):
        with context(deadline=timedelta(seconds=30)):
            async with transaction(note):
                await note.write.aio(key=f"{number}")
                await meeting.wait_async()
                with outside_transaction():
                    reads = [query(note).filter(note.key == f"{number}").exists.aio() for _ in range(2)]
                    return await asyncio.gather(*reads)

    async def all_of_them():
        seen = await asyncio.gather(*(work(number) for number in range(MANY)))
        kept = len(repo.async_pools.here().idle)
        await note.__runtime__.store.close()
        return seen, kept

    seen, kept = asyncio.run(all_of_them())

    assert [[False, False]] * MANY == seen
    assert MANY == query(note).count()
    assert kept <= pool_size


def test_as_many_tasks_as_the_default_allows_read_outside(place):
    """Eight tasks of a loop fill the pool that a Repo has without options."""
    note = declared(Repo(place.url), "eight")

    async def work(number):
        async with transaction(note):
            await note.write.aio(key=f"{number}")
            with outside_transaction():
                return await query(note).filter(note.key == f"{number}").exists.aio()

    async def all_of_them():
        seen = await asyncio.gather(*(work(number) for number in range(20)))
        await note.__runtime__.store.close()
        return seen

    assert [False] * 20 == asyncio.run(all_of_them())


@pytest.mark.parametrize("kind", SERVERS)
def test_threads_write_outside_of_their_transactions(kind, pool_size, tmp_path):
    """A write, and a transaction with a read outside of it, also end while transactions hold all connections."""
    with scratch(kind, tmp_path) as place:
        note, meeting = declared(Repo(place.url, pool_size=pool_size)), Meeting(place, pool_size)

        def work(number):
            with context(deadline=timedelta(seconds=30)), transaction(note):
                meeting.wait()
                with outside_transaction():
                    note.write(key=f"{number}")
                    with transaction(note):
                        note.write(key=f"{number} too")
                        return seen_outside(note, f"{number}"), seen_outside(note, f"{number} too")

        with ThreadPoolExecutor(MANY) as threads:
            seen = list(threads.map(work, range(MANY)))

        assert [(True, False)] * MANY == seen
        assert 2 * MANY == query(note).count()


@pytest.mark.parametrize("kind", SERVERS)
def test_tasks_write_outside_of_their_transactions(kind, pool_size, tmp_path):
    """The same for tasks."""
    with scratch(kind, tmp_path) as place:
        repo = Repo(place.url, pool_size=pool_size)
        note, meeting = declared(repo), Meeting(place, pool_size)

        async def work(number):
            with context(deadline=timedelta(seconds=30)):
                async with transaction(note):
                    await meeting.wait_async()
                    with outside_transaction():
                        await note.write.aio(key=f"{number}")
                        async with transaction(note):
                            await note.write.aio(key=f"{number} too")
                            with outside_transaction():
                                return await query(note).filter(note.key == f"{number} too").exists.aio()

        async def all_of_them():
            seen = await asyncio.gather(*(work(number) for number in range(MANY)))
            await note.__runtime__.store.close()
            return seen

        assert [False] * MANY == asyncio.run(all_of_them())
        assert 2 * MANY == query(note).count()


@pytest.mark.parametrize("is_async", [False, True])
def test_tokens_are_checked_while_transactions_hold_all_connections(place, pool_size, is_async):
    """A check outside of an open transaction answers, and does not say "revoked" because no connection was free."""
    token = declare_tokens(SQL(Repo(place.url, pool_size=pool_size)))
    meeting = Meeting(place, pool_size)

    def work(number):
        with transaction(token):
            meeting.wait()
            with outside_transaction():
                return token.jti_revoked(f"{number}")

    async def work_async(number):
        async with transaction(token):
            await meeting.wait_async()
            with outside_transaction():
                return await token.jti_revoked.aio(f"{number}")

    async def all_of_them():
        answers = await asyncio.gather(*(work_async(number) for number in range(MANY)))
        await token.__runtime__.store.close()
        return answers

    if is_async:
        answers = asyncio.run(all_of_them())
    else:
        with ThreadPoolExecutor(MANY) as threads:
            answers = list(threads.map(work, range(MANY)))

    assert [False] * MANY == answers


def test_the_records_of_a_stream_are_changed_one_by_one(place):
    """A stream holds the only connection while the body of its loop writes."""
    if place.kind == "sqlite":
        pytest.skip("a write never waits for a connection there: each thread has a connection")
    note = declared(Repo(place.url, pool_size=1))
    for key in "abc":
        note.write(key=key)

    for found in query(note).stream():
        found.edit(number=7)

    assert 3 == query(note).filter(note.number == 7).count()


def test_a_task_reads_and_writes_while_it_goes_through_a_stream(place):
    """The same in an event loop, where reads of several tasks share a statement; a task that holds nothing waits."""
    repo = Repo(place.url, pool_size=1)
    note = declared(repo)
    for key in "abc":
        note.write(key=key)

    async def look():
        with context(deadline=timedelta(milliseconds=20)):
            await get.aio(note, "b")

    async def work():
        async for found in query(note).stream.aio():
            assert found.key == (await get.aio(note, found.key)).key
            await found.edit.aio(number=7)
            if found.key == "a":
                with pytest.raises(Timeout):
                    await asyncio.create_task(look())
        await note.__runtime__.store.close()

    asyncio.run(work())

    assert 3 == query(note).filter(note.number == 7).count()


def test_calls_without_a_transaction_keep_to_the_limit(place):
    """Reads and writes of many threads open no connection beyond the limit, because they wait for each other in no circle."""
    repo = Repo(place.url, pool_size=1)
    note, most = declared(repo), []
    engine = repo.engine
    opened = set()
    sa.event.listen(engine, "connect", lambda raw, _: opened.add(id(raw)))

    def work(number):
        note.write(key=f"{number}")
        most.append(len(repo.sync_pool.connections()))
        return get(note, f"{number}").key

    with ThreadPoolExecutor(MANY) as threads:
        assert {f"{number}" for number in range(MANY)} == set(threads.map(work, range(MANY)))

    assert max(most) <= 1
    with pytest.raises(NotFound):
        get(note, "none")


@pytest.mark.parametrize(
    ("uses", "need", "expected"),
    [
        ([], Need(Use.READ), True),
        ([Use.TRANSACTION, Use.TRANSACTION], Need(Use.READ), False),
        ([Use.READ, Use.TRANSACTION], Need(Use.READ, 1), False),
        ([Use.WRITE, Use.WRITE], Need(Use.READ, 1), False),
        ([Use.WRITE, Use.TRANSACTION], Need(Use.READ, 1), True),
        ([Use.TRANSACTION, Use.TRANSACTION], Need(Use.TRANSACTION), False),
        ([Use.TRANSACTION, Use.STREAM], Need(Use.WRITE, 1), True),
        ([Use.TRANSACTION, Use.STREAM, Use.READ], Need(Use.READ, 1), False),
        ([Use.TRANSACTION, Use.STREAM, Use.READ], Need(Use.WRITE, 1), True),
        ([Use.TRANSACTION, Use.STREAM, Use.WRITE], Need(Use.TRANSACTION, 1), False),
        ([Use.TRANSACTION, Use.STREAM, Use.TRANSACTION], Need(Use.TRANSACTION, 2), True),
        ([Use.TRANSACTION, Use.STREAM, Use.TRANSACTION], Need(Use.READ, 2), True),
    ],
)
def test_who_may_open_one_more(uses, need, expected):
    """With a limit of two: one read more than there are writers, and one writer more for each level of nesting."""
    assert expected == may_open(2, len(uses), uses, need)
