"""Forks after use, and async calls that are cancelled: no connection is shared, none is left behind, none is dirty."""

import asyncio
import os
import time

import pytest

from resourcekit import query, transaction
from resourcekit.actions.drive import drive, in_call_mode
from resourcekit.data_layers import Repo
from resourcekit.data_layers.sql.execution.connection import Connection
from tests.support.forks import in_children

WHO = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT CONNECTION_ID()"}

CONNECTIONS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%{table}%'",
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
OPEN = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND query LIKE '%{table}%'",
    "mariadb": "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist "
    "ON id = trx_mysql_thread_id WHERE db = database()",
}


async def who(note, database):
    """Return the server's name of the connection that a call is made on."""
    return (await note.__runtime__.store.do(Connection.fetch, WHO[database.kind], (), writes=False))[0][0]


def test_a_fork_shares_no_connection(database, declare_note):
    """Parent and children, sync and async, each speak on connections of their own, and the parent's goes on."""
    note = declare_note(Repo(database.url))
    note.write(key="parent")
    before = drive(who(note, database))

    def child():
        note.write(key=f"child-{os.getpid()}")
        return drive(who(note, database)), asyncio.run(in_call_mode(who(note, database)))

    received = in_children(child, child)
    after = drive(who(note, database))

    assert before == after
    assert 5 == len({before, *received[0], *received[1]})
    assert 3 == query(note).count()


def test_a_fork_inside_of_a_loop_shares_no_connection(database, declare_note):
    """The loop of the parent is at work, with a connection that is kept and one in a transaction; both go on."""
    note = declare_note(Repo(database.url))

    def child():
        note.write(key="child")
        return drive(who(note, database))

    async def work():
        before = await in_call_mode(who(note, database))
        async with transaction(note):
            await note.write.aio(key="parent")
            inside = await in_call_mode(who(note, database))
            received = in_children(child)
            await note.write.aio(key="later")
        return before, inside, received[0], await in_call_mode(who(note, database))

    before, inside, child_s, after = asyncio.run(work())

    assert child_s not in {before, inside, after}
    assert ["child", "later", "parent"] == sorted(record.key for record in query(note).all())


async def go_on(note, rounds):
    """Count to twice the rounds, in transactions that are not cancelled."""
    for _ in range(rounds):
        async with transaction(note):
            await note.count_up.aio("counter")
            await asyncio.sleep(0)
            await note.count_up.aio("counter")


async def work(note, number):
    """Do one of the things that a call can do."""
    match number % 5:
        case 0:
            await query(note).all.aio()
        case 1:
            await note.edit.aio(f"{number % 50:03}", text=f"{number}")
        case 2:
            async with transaction(note):
                await note.write.aio(key=f"x{number}")
                await note.write.aio(key=f"y{number}")
        case 3:
            await note.write.bulk.aio([{"key": f"x{number}"}, {"key": f"y{number}"}])
        case _:
            async for _ in query(note).stream.aio():
                await asyncio.sleep(0)


async def storm(note):
    """Cancel 300 calls, each at another point of its way; return what 50 calls are answered then, and the connections kept."""
    going_on = asyncio.create_task(go_on(note, 20))
    for number in range(300):
        task = asyncio.create_task(work(note, number))
        await asyncio.sleep(0.0005 * (number % 9))  # in real time
        task.cancel()
        done = await asyncio.gather(task, return_exceptions=True)
        assert {asyncio.CancelledError, type(None)} >= {type(each) for each in done}
    await going_on
    found = await asyncio.gather(*(query(note).filter(note.key == f"{number:03}").one.aio() for number in range(50)))
    return [(record.key, record.number) for record in found], len(note.__runtime__.store.repo.async_pools.here().idle)


def left_on_the_server(database, table):
    """Return how many connections are there, once the server has seen which ones have gone."""
    for _ in range(100):
        left = database.run(CONNECTIONS[database.kind].format(table=table))[0][0]
        if left <= 1:
            break
        time.sleep(0.05)  # there is nothing that announces it
    return left


@pytest.mark.slow
def test_300_cancelled_calls_leave_nothing_on_the_server(database, declare_note):
    """No connection and no transaction is left there, those of others go on, and no answer goes to the wrong call."""
    note = declare_note(Repo(database.url))
    table = note.__runtime__.store.table.name
    note.write(key="counter")
    note.write.bulk([{"key": f"{number:03}", "number": number} for number in range(50)])
    answers, kept = asyncio.run(storm(note))
    keys = {record.key for record in query(note).all()}

    assert [(f"{number:03}", number) for number in range(50)] == answers
    assert 1 <= kept <= 8
    assert left_on_the_server(database, table) <= 1  # the one of the sync calls
    assert 0 == database.run(OPEN[database.kind].format(table=table))[0][0]
    assert 40 == query(note).filter(note.key == "counter").one().number
    assert {key[1:] for key in keys if key[0] == "x"} == {key[1:] for key in keys if key[0] == "y"}
