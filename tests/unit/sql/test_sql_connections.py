"""How connections are kept: one a thread, a few a loop, and given back clean whatever happened on them."""

import asyncio
import contextlib
import gc
import sqlite3
import threading
from datetime import timedelta

import pytest

from resourcekit import context, query, transaction
from resourcekit.call_context import Deadline
from resourcekit.data_layers import Repo
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.errors import Timeout
from resourcekit.testing import ManualClock

SHORT = timedelta(milliseconds=100)


class Planned(Exception):
    """What goes wrong in these tests."""


def idle(repo):
    """Return how many connections for sync calls are idle."""
    return len(repo.sync_pool.connections())


def test_a_thread_keeps_one_connection(repo, declare):
    """Many calls of one thread are made on one connection, on SQLite on that of its second call."""
    note = declare(repo)
    query(note).count()
    connection = repo.sync_pool.connections()[0]
    for number in range(20):
        note.write(key=str(number))
        query(note).count()

    assert [connection] == repo.sync_pool.connections()


def test_a_thread_with_one_call_leaves_the_file_free(tmp_path, declare):
    """After the first call of a thread, another program can take the whole SQLite file for itself."""
    note = declare(Repo(f"sqlite:///{tmp_path}/one.db"))

    def once():
        note.write(key="a")
        with contextlib.closing(sqlite3.connect(tmp_path / "one.db", isolation_level=None, timeout=0)) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            taken.append(other.execute("SELECT count(*) FROM notes").fetchone()[0])

    taken = []
    thread = threading.Thread(target=once)
    note.__runtime__.store.repo.sync_pool.close_idle()
    thread.start()
    thread.join()

    assert [1] == taken


def test_a_call_inside_a_stream_gets_a_connection_of_its_own(repo, declare):
    """While a stream is open, reads and writes of the same thread work, and the stream goes on."""
    note = declare(repo)
    note.write.bulk([{"key": f"{number:03}"} for number in range(500)])
    seen = []
    for record in query(note).sort(note.key).stream():
        if len(seen) < 3:
            note.edit(record, text=record.key)
            query(note).count()
        seen.append(record.key)

    assert [f"{number:03}" for number in range(500)] == seen
    assert 3 == query(note).filter(~note.text.is_none()).count()


@pytest.mark.parametrize("seconds", [None, 20])
def test_a_slow_stream_gives_all_rows(repo, declare, monkeypatch, seconds):
    """While rows come, no statement looks at the server or sets another time limit: the driver would drop the rows that are left."""
    monkeypatch.setattr("resourcekit.data_layers.sql.dialects.mariadb.cluster.LOOK_AGAIN_S", 0.0)
    note = declare(repo)
    note.write.bulk([{"key": f"{number:04}"} for number in range(1_000)])
    seen = []

    with ManualClock() as clock, contextlib.nullcontext() if seconds is None else context(deadline=timedelta(seconds=seconds)):
        for record in query(note).sort(note.key).stream():
            seen.append(record.key)
            if seconds is not None and len(seen) % 100 == 0:
                clock.advance(timedelta(seconds=1))

    assert [f"{number:04}" for number in range(1_000)] == seen


def test_a_stream_that_is_left_gives_its_connection_back(repo, declare):
    """Leaving a stream in the middle leaks nothing."""
    note = declare(repo)
    note.write.bulk([{"key": f"{number:03}"} for number in range(500)])
    for _ in range(10):
        for _ in query(note).stream():
            break
        note.put(key="x")

    assert 1 <= idle(repo) <= 2


def test_an_async_stream_that_is_left_gives_its_connection_back(repo, declare, database):
    """No rows are outstanding on its connection, inside of a transaction too. On MariaDB, which cannot stop, it is closed outside."""
    note = declare(repo)
    note.write.bulk([{"key": f"{number:04}"} for number in range(1000)])

    async def first():
        async with contextlib.aclosing(query(note).sort(note.key).stream.aio()) as found:
            return (await anext(found)).key

    async def work():
        await query(note).count.aio()
        before = repo.async_pools.here().idle[:]
        keys = [await first()]
        after = repo.async_pools.here().idle[:]
        async with transaction(note):
            keys += [await first(), await first(), await query(note).count.aio()]
        return keys, len(before), before == after

    assert (["0000", "0000", "0000", 1000], 1, database.kind != "mariadb") == asyncio.run(work())


def test_threads_work_at_once(repo, declare):
    """Ten threads write and read; none meets the connection of another one in use."""
    note = declare(repo)
    errors = []

    def work(name):
        try:
            for number in range(20):
                note.write(key=f"{name}-{number}")
                assert f"{name}-{number}" == query(note).filter(note.key == f"{name}-{number}").one().key
        except Exception as error:  # shown below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == errors
    assert 200 == query(note).count()


def test_an_error_in_a_transaction_leaves_the_connection_clean(repo, declare):
    """After a rollback the next call is outside of any transaction, and its write is kept."""
    note = declare(repo)
    with pytest.raises(Planned), transaction(note):
        note.write(key="gone")
        raise Planned
    note.write(key="kept")
    repo.sync_pool.close_idle()

    assert ["kept"] == [record.key for record in query(note).all()]


def test_closing_gives_all_connections_back(repo, declare):
    """After close there are none; the next call opens one."""
    note = declare(repo)
    note.write(key="a")
    repo.sync_pool.close_idle()
    closed = idle(repo)

    assert (0, 1, 1) == (closed, query(note).count(), idle(repo))


def test_a_repo_is_closed_in_sync_and_in_async_code(repo, declare):
    """``close()`` gives back the connections of sync calls, ``close.aio()`` those of the running loop, too; both open again."""
    note = declare(repo)
    note.write(key="a")
    repo.close()
    closed = idle(repo)

    async def walk():
        await query(note).count.aio()
        pool = repo.async_pools.here()
        before = len(pool.idle)
        await repo.close.aio()
        return before, len(pool.idle), await query(note).count.aio()

    assert 0 == closed
    assert (1, 0, 1) == asyncio.run(walk())
    assert 1 == query(note).count()


def test_each_loop_has_connections_of_its_own(repo, declare):
    """A second asyncio.run works like the first one, and nothing is left of the first one's."""
    note = declare(repo)

    async def work(key):
        await note.write.aio(key=key)
        return repo.async_pools.here()

    pools = [asyncio.run(work(key)) for key in "abc"]

    assert 3 == len(set(map(id, pools)))
    assert [[], [], []] == [pool.idle for pool in pools]
    assert 3 == query(note).count()


def test_the_first_calls_of_several_loops_at_once(repo, declare):
    """Four loops in threads of their own make the first async call of the program at the same moment; each is answered."""
    note = declare(repo)
    note.write(key="a")
    together, answers = threading.Barrier(4), []

    async def ask():
        together.wait(10)
        answers.append(await query(note).count.aio())

    def live():
        try:
            asyncio.run(ask())
        except Exception as error:  # the test looks at it
            answers.append(error)

    threads = [threading.Thread(target=live) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [1] * 4 == answers


def test_tasks_share_few_connections(repo, declare):
    """A hundred tasks at once need no more than eight connections."""
    note = declare(repo)

    async def work():
        await asyncio.gather(*(note.write.aio(key=str(number)) for number in range(100)))
        await asyncio.gather(*(query(note).count.aio() for _ in range(100)))
        return len(repo.async_pools.here().idle)

    assert 1 <= asyncio.run(work()) <= 8
    assert 100 == query(note).count()


@pytest.mark.parametrize("turns", range(4))
def test_cancelled_calls_leave_the_pool_clean(repo, declare, turns):
    """Of 75 calls that are cancelled at some point (300 over all), none keeps a connection, a lock or a transaction."""
    note = declare(repo)
    note.write(key="a")

    async def count_up(number):
        if number % 3 == 0:
            await query(note).all.aio()
        elif number % 3 == 1:
            await note.count_up.aio("a")
        else:
            async with transaction(note):
                await note.count_up.aio("a")
                await query(note).count.aio()

    async def work():
        tasks = []
        for number in range(75):
            tasks.append(asyncio.create_task(count_up(number)))
            for _ in range((number * 7 + turns) % 11):
                await asyncio.sleep(0)
            tasks[max(0, number - turns)].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert {asyncio.CancelledError, type(None)} >= {type(each) for each in done}
        before = (await query(note).one.aio()).number
        async with transaction(note):
            await note.count_up.aio("a")
        pool = repo.async_pools.here()
        assert 0 == len(pool.writers)
        async with asyncio.timeout(10):
            while len(pool.places):  # noqa: ASYNC110  # a connection that is opened for a call that was cancelled
                await asyncio.sleep(0)
        return before, len(pool.idle)

    before, kept = asyncio.run(work())

    # At least: a server may come to the end of a call that was cancelled while it worked on it.
    assert before < query(note).one().number
    assert 1 <= kept <= 8


def test_more_tasks_than_connections_wait_for_each_other(repo, declare):
    """Twenty transactions at once, on eight connections, all come to their end."""
    note = declare(repo)

    async def one(number):
        async with transaction(note):
            await note.write.aio(key=str(number))

    async def work():
        await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(work())

    assert 20 == query(note).count()


def test_a_task_that_waits_for_a_connection_ends_by_its_deadline(repo, declare):
    """While all connections of a loop are taken, a further call raises Timeout, and later ones work."""
    note = declare(repo)

    async def checkout(entered, leave):
        async for _ in query(note).stream.aio():
            entered.set()
            await leave.wait()

    async def work():
        leave = asyncio.Event()
        entered = [asyncio.Event() for _ in range(8)]
        holders = [asyncio.create_task(checkout(event, leave)) for event in entered]
        for event in entered:
            await event.wait()
        with pytest.raises(Timeout):
            await note.put.using(deadline=SHORT).aio(key="a")
        leave.set()
        await asyncio.gather(*holders)
        await note.put.aio(key="b")

    note.write(key="first")
    asyncio.run(work())

    assert ["b", "first"] == [record.key for record in query(note).sort(note.key).all()]


def test_a_turn_that_only_the_garbage_collector_gives_back_goes_to_the_next_task(tmp_path, declare):
    """The holder of a turn to write may be dropped in a circle of references; the task that waits is woken when it is collected."""
    note = declare(repo := Repo(f"sqlite:///{tmp_path}/notes.db"))

    async def work():
        pool = repo.async_pools.here()
        checkout = pool.checkout(Use.WRITE)
        await pool.writers.enter(checkout)
        waiting = asyncio.ensure_future(note.write.aio(key="a"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert pool.writers.is_full
        assert not waiting.done()
        circle = [checkout]
        circle.append(circle)
        del checkout, circle
        gc.collect()
        return (await asyncio.wait_for(waiting, 5)).key

    assert "a" == asyncio.run(work())


def test_a_loop_may_end_right_after_a_connection_was_dropped(tmp_path, declare):
    """The thread of the connection ends by itself, without a loop that it could report to; no thread raises."""
    note, dropped = declare(repo := Repo(f"sqlite:///{tmp_path}/notes.db")), []

    async def work():
        note.write(key="a")
        checkout = repo.async_pools.here().checkout(Use.READ)
        connection = await checkout.take(Deadline.after_real(5))
        thread = connection.dbapi.driver_connection._thread
        connection.dbapi.driver_connection._tx.put_nowait((None, begin.wait))
        checkout.abandon()
        dropped.append(thread)

    begin = threading.Event()
    asyncio.run(work())
    begin.set()
    dropped[0].join(5)

    assert not dropped[0].is_alive()
    assert 1 == query(note).count()
