"""An event loop ends while calls to an SQLite file run in it: nothing is printed, no lock stays, no thread is left."""

import asyncio
import threading

import pytest
import sqlalchemy as sa

from resourcekit import get, transaction
from resourcekit.data_layers import Repo
from resourcekit.data_layers.sql.dialects.sqlite import driver_thread
from tests.support.notes import declared


@pytest.fixture
def gate():
    """An event that the test sets, for which the thread of a connection waits."""
    event = threading.Event()
    yield event
    event.set()


def test_the_thread_of_a_connection_outlives_the_loop_that_it_answers_to(gate, tmp_path):
    """An answer to a closed loop is thrown away, and the thread does what else is in its queue."""
    kept, done = [], threading.Event()

    async def work():
        connection = await driver_thread.connect(tmp_path / "a.db")
        kept.append(connection)
        kept.append(asyncio.ensure_future(connection._execute(gate.wait)))
        await asyncio.sleep(0)

    asyncio.run(work())
    kept[0]._tx.put_nowait((None, done.set))
    gate.set()

    assert done.wait(10)
    kept[0].stop()
    kept[0]._thread.join(10)
    assert not kept[0]._thread.is_alive()


def test_an_error_for_a_closed_loop_is_thrown_away(gate, tmp_path):
    """The same if the function fails: the error has no reader any more."""
    kept = []

    def fail():
        gate.wait()
        raise ValueError("without a reader")

    async def work():
        connection = await driver_thread.connect(tmp_path / "a.db")
        kept.append(connection)
        kept.append(asyncio.ensure_future(connection._execute(fail)))
        await asyncio.sleep(0)

    asyncio.run(work())
    gate.set()
    kept[0].stop()
    kept[0]._thread.join(10)

    assert not kept[0]._thread.is_alive()


def test_a_write_that_the_loop_leaves_keeps_no_lock(gate, tmp_path):
    """The loop ends while a statement of a transaction is in the thread; the next writer does not wait for it."""
    repo = Repo(f"sqlite:///{tmp_path}/a.db")
    note = declared(repo)
    note.write(key="a", number=1)
    opened = []

    async def edit():
        async with transaction(note):
            found = await get.aio(note, "a")
            await found.edit.aio(number=2)
            opened[-1].driver_connection._tx.put_nowait((None, gate.wait))
            await found.edit.aio(number=3)

    async def work():
        sa.event.listen(repo.async_pools.engine.sync_engine, "connect", lambda dbapi, _: opened.append(dbapi))
        left = asyncio.create_task(edit())
        while not opened or opened[-1].driver_connection._tx._queue.empty():  # noqa: ASYNC110  # a thread's queue
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not left.done()

    asyncio.run(work())
    gate.set()
    note.write(key="b")

    assert 1 == get(note, "a").number


def test_a_connection_that_is_opened_when_the_loop_ends_is_closed(gate, tmp_path, monkeypatch):
    """The loop ends while the thread opens the file: it closes the file again, and ends."""
    made = []

    def connect(*words, **named):
        made.append(connection := driver_thread.connect(*words, **named))
        open_file = connection._connector
        connection._connector = lambda: (gate.wait(), open_file())[1]
        return connection

    repo = Repo(f"sqlite:///{tmp_path}/a.db")
    note = declared(repo)
    note.write(key="a")
    dialect = type(repo.dialect)
    monkeypatch.setattr(dialect, "async_connect_args", lambda _: {"async_creator_fn": connect})

    async def work():
        left = asyncio.create_task(get.aio(note, "a"))
        while not made:  # noqa: ASYNC110  # no event is set there
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not left.done()

    asyncio.run(work())
    gate.set()
    made[0]._thread.join(10)

    assert not made[0]._thread.is_alive()
