"""No call takes longer than its deadline, and what was not done says so."""

import asyncio
from contextlib import closing
from datetime import timedelta

import pytest

from resourcekit import context, query, transaction
from resourcekit.actions.drive import drive, in_call_mode
from resourcekit.data_layers import Repo
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.errors import OutcomeUnknown, Timeout
from tests.support.databases import connect

SHORT, LONG = timedelta(milliseconds=150), timedelta(seconds=30)
LATE = (Timeout, OutcomeUnknown)
"""Errors of a write that is too late: a busy server may not report in time that it stopped, so the outcome may be unknown."""


LOCKS = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "BEGIN; LOCK TABLE notes IN SHARE ROW EXCLUSIVE MODE",
    "mariadb": "LOCK TABLES notes READ",
}


@pytest.fixture
def lock(database):
    """A block inside of which another client holds the lock that every writer needs."""

    def begin():
        connection = connect(database.url)
        connection.cursor().execute(LOCKS[database.kind])
        return closing(connection)

    return begin


def test_a_write_ends_by_its_deadline(repo, declare, lock):
    """While another client holds the lock, a write is too late; afterwards the same call works."""
    note = declare(repo)
    with lock(), pytest.raises(LATE):
        note.write.using(deadline=SHORT)(key="a")
    note.put(key="a")

    assert 1 == query(note).count()


def test_a_repo_s_timeout_holds_where_the_call_names_none(database, declare, lock):
    """The time that a Repo was given is the deadline of its calls."""
    declare(Repo(database.url))
    note = declare(Repo(database.url, timeout=SHORT), storage=False)
    with lock(), pytest.raises(LATE):
        note.write(key="a")


def test_a_transaction_ends_by_its_deadline(repo, declare, lock):
    """A block waits for others at its begin, and not for longer than the call may take."""
    patient = declare(repo)
    note = declare(Repo(repo.url, timeout=SHORT), storage=False)
    with lock(), pytest.raises(Timeout), transaction(note):
        note.write(key="a")
    patient.write(key="b")

    assert ["b"] == [record.key for record in query(patient).all()]


def test_readers_do_not_wait_for_writers(repo, declare, lock):
    """A read is answered while another client writes."""
    note = declare(repo)
    note.write(key="a")
    with lock():
        assert 1 == query(note).count()


def test_a_task_ends_by_its_deadline(repo, declare, lock):
    """In a loop, too, and other tasks go on meanwhile."""
    note = declare(repo)

    async def work():
        with lock():
            waiting = asyncio.create_task(note.write.using(deadline=SHORT).aio(key="a"))
            counted = [await query(note).count.aio() for _ in range(5)]
            with pytest.raises(LATE):
                await waiting
        await note.put.aio(key="a")
        return counted

    assert [0] * 5 == asyncio.run(work())
    assert 1 == query(note).count()


def test_tasks_that_wait_for_each_other_end_by_their_deadlines(repo, declare, lock):
    """The wait for a connection, or for a task that writes before, is part of the deadline."""
    note = declare(repo)

    async def work():
        with lock():
            writes = [note.write.using(deadline=SHORT).aio(key=str(number)) for number in range(10)]
            return await asyncio.gather(*writes, return_exceptions=True)

    assert set(LATE) >= {type(each) for each in asyncio.run(work())}


@pytest.mark.parametrize("call_mode", ["sync", "async"])
def test_a_deadline_that_has_passed_lets_nothing_begin(repo, declare, call_mode):
    """A call with no time left raises Timeout and writes nothing."""
    note = declare(repo)
    late = note.write.using(deadline=timedelta(0))
    with pytest.raises(Timeout):
        asyncio.run(late.aio(key="a")) if call_mode == "async" else late(key="a")

    assert 0 == query(note).count()


SLOW = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mariadb": "SELECT sleep(60)",
}


@pytest.mark.parametrize("call_mode", ["sync", "async"])
def test_a_slow_statement_is_stopped(database, repo, declare, call_mode):
    """A statement that computes for too long is interrupted, and the next call works."""
    note = declare(repo)

    async def ask():
        with context(deadline=SHORT):
            await note.__runtime__.store.do(Connection.fetch, SLOW[database.kind], (), writes=False)

    with pytest.raises(Timeout):
        asyncio.run(in_call_mode(ask())) if call_mode == "async" else drive(ask())
    note.write(key="a")

    assert 1 == query(note).count()


def test_a_bulk_write_that_is_too_late_leaves_nothing(repo, declare):
    """All rows of a batch or none: what the deadline stopped is not half written."""
    note = declare(repo)
    rows = [{"key": f"{number:06}"} for number in range(20_000)]
    result = note.write.using(deadline=timedelta(milliseconds=60)).bulk(rows, batch_size=20_000)

    assert (0, {Timeout}) == (result.count, {type(failure.error) for failure in result.failures})
    assert 0 == query(note).count()


def test_a_long_deadline_is_the_call_s_own(repo, declare, lock):
    """A call that may take longer than others is not stopped by the Repo's time."""
    note = declare(repo)
    note.write.using(deadline=LONG)(key="a")

    assert 1 == query(note).count()


@pytest.mark.parametrize("call_mode", ["sync", "async"])
@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_a_call_may_be_given_more_time_than_the_repo_gives(database, declare, call_mode):
    """A deadline of the call's own counts in place of the repo's, whether it is shorter or longer."""
    note = declare(database.url)
    note = declare(Repo(database.url, timeout=timedelta(seconds=0.5)), storage=False)
    sleep = SLOW[database.kind].replace("60", "1")

    async def ask(**facts):
        with context(**facts):
            return await note.__runtime__.store.do(Connection.fetch, sleep, (), writes=False)

    def run(work):
        return asyncio.run(in_call_mode(work)) if call_mode == "async" else drive(work)

    with pytest.raises(Timeout):
        run(ask())

    assert 1 == len(run(ask(deadline=timedelta(seconds=30))))
