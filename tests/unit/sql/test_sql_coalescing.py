"""What many tasks ask for by key at one moment: one statement for all, and to each its own answer."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from resourcekit import Domain, context, get, query, transaction
from resourcekit.clock import elapsed
from resourcekit.data_layers import SQL, Repo
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.errors import NotFound, Timeout, Unavailable
from resourcekit_tokens import RevokedJti, TokenRecord, TokenResource
from tests.support.databases import connect

HOLD = {
    "postgresql": ("BEGIN", "LOCK TABLE notes"),
    "mariadb": ("LOCK TABLES notes WRITE",),
}
"""Statements after which no other connection can read the table."""


@pytest.fixture
def sent(monkeypatch):
    """The texts of all statements that return rows, as they are sent, each with the seconds that it has left and their end."""
    texts, fetch = [], Connection.fetch

    def noted(connection, sql, values=()):
        deadline = connection.callback_state.deadline
        texts.append((sql, deadline.remaining(), deadline.ends_at))
        return fetch(connection, sql, values)

    monkeypatch.setattr(Connection, "fetch", noted)
    return texts


@pytest.fixture
def token(repo):
    """A token resource on the database, with a hundred revoked jtis."""
    domain = Domain("checks")

    class Token(TokenRecord, domain=domain, data_layer=SQL(repo), extensions=[TokenResource()]):
        """Tokens that many tasks ask for."""

    domain.create_storage()
    Token.revoke_jtis([RevokedJti(f"dead {number}") for number in range(100)])
    Token.__kept__ = domain
    return Token


async def closing(resource, work):
    """Await work and close what it opened in this loop."""
    try:
        return await work
    finally:
        await resource.__runtime__.store.close()


def test_a_hundred_tasks_ask_in_few_statements(token, sent):
    """All that can run at one moment ask together, and each gets its own answer."""

    async def ask():
        await token.jti_revoked.aio("dead 0")
        await asyncio.gather(*(token.jti_revoked.aio(f"{number}") for number in range(300)))  # opens all connections
        sent.clear()
        names = [f"{word} {number}" for number in range(100) for word in ("dead", "live")]
        return names, await asyncio.gather(*(token.jti_revoked.aio(name) for name in names))

    names, answers = asyncio.run(closing(token, ask()))

    assert [name.startswith("dead") for name in names] == answers
    assert 2 == len(sent)


def test_records_by_key_are_read_together_and_belong_to_each(repo, declare, sent):
    """Tasks that get the same record have one each; a key that is not there is NotFound for who asked for it."""
    note = declare(repo)
    note.write.bulk([{"key": f"{number}", "number": number} for number in range(20)])

    async def ask():
        await get.aio(note, "1")
        sent.clear()
        keys = ["7", "7", "8", "none", "7"]
        return await asyncio.gather(*(get.aio(note, key) for key in keys), return_exceptions=True)

    one, two, eight, missing, three = asyncio.run(closing(note, ask()))

    assert (7, 7, 8, 7) == (one.number, two.number, eight.number, three.number)
    assert one == two
    assert one is not two
    assert one.__dict__ is not two.__dict__
    assert isinstance(missing, NotFound)
    assert 1 == len(sent)


def test_what_was_committed_before_a_task_asked_is_seen(token):
    """However many others ask meanwhile: after a revoke has returned, no check says "live"."""

    async def ask(number):
        jti = f"fresh {number}"
        before = await token.jti_revoked.aio(jti)
        await token.revoke_jti.aio(jti)
        return before, await token.jti_revoked.aio(jti)

    async def ask_all():
        return [await asyncio.gather(*(ask(100 * turn + number) for number in range(30))) for turn in range(5)]

    turns = asyncio.run(closing(token, ask_all()))

    assert {(False, True)} == {pair for turn in turns for pair in turn}


def test_inside_a_transaction_a_task_asks_for_itself(repo, declare):
    """It sees what it wrote, and others do not."""
    note = declare(repo)

    async def ask():
        inside, outside = asyncio.Event(), asyncio.Event()

        async def write():
            async with transaction(note):
                await note.write.aio(key="a")
                inside.set()
                await outside.wait()
                return (await get.aio(note, "a")).key

        writing = asyncio.ensure_future(write())
        await inside.wait()
        with pytest.raises(NotFound):
            await get.aio(note, "a")
        outside.set()
        return await writing

    assert "a" == asyncio.run(closing(note, ask()))


def test_a_task_that_is_cancelled_takes_no_other_along(token):
    """The others get their answers."""

    async def ask():
        tasks = [asyncio.ensure_future(token.jti_revoked.aio(f"dead {number}")) for number in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(closing(token, ask()))

    assert [True] * 25 == answers[1::2]
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])


def test_an_error_comes_to_all_who_asked_each_its_own(repo, declare):
    """A table that is missing is Unavailable for everybody, as it is for one who asks alone."""
    note = declare(repo, storage=False)

    async def ask():
        return await asyncio.gather(*(get.aio(note, f"{number}") for number in range(10)), return_exceptions=True)

    errors = asyncio.run(closing(note, ask()))

    assert {Unavailable} == {type(error) for error in errors}
    assert 10 == len({id(error) for error in errors})


def test_a_check_that_cannot_be_answered_says_revoked_for_all(repo):
    """P3: without a table every task hears True."""

    class Token(TokenRecord, domain=Domain("no table"), data_layer=SQL(repo), extensions=[TokenResource()]):
        """Tokens without a table."""

    async def ask():
        return await asyncio.gather(*(Token.jti_revoked.aio(f"{number}") for number in range(10)))

    assert [True] * 10 == asyncio.run(closing(Token, ask()))


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_each_call_keeps_its_own_deadline(database, declare):
    """While the table is locked a short call ends in its time, and a longer one gets its answer when the lock is gone."""
    note = declare(Repo(database.url))
    note.write(key="a")
    holder = connect(database.url)
    for sql in HOLD[database.kind]:
        holder.cursor().execute(sql)

    async def ask():
        patient = asyncio.ensure_future(get.aio(note, "a"))
        await asyncio.sleep(0)
        with context(deadline=timedelta(milliseconds=200)), pytest.raises(Timeout):
            await get.aio(note, "a")
        threading.Thread(target=holder.close).start()
        return (await patient).key

    assert "a" == asyncio.run(closing(note, ask()))


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_waiting_for_others_costs_no_call_more_than_its_time(database, declare, sent):
    """A call whose time went by while others were asked for ends with them, and is not sent to a server that is silent."""
    note = declare(Repo(database.url, timeout=timedelta(milliseconds=300)), storage=False)
    with context(deadline=timedelta(seconds=30)):  # the table is made with more time than the calls have
        note.__info__.options["domain"].create_storage()
    holder = connect(database.url)
    for sql in HOLD[database.kind]:
        holder.cursor().execute(sql)

    async def ask():
        waiting = []
        asked.append(elapsed())
        for number in range(6):
            waiting.append(asyncio.ensure_future(get.aio(note, f"{number}")))
            for _ in range(4):
                await asyncio.sleep(0)  # the statement of the one before is on its way
        asked.append(elapsed())
        return await asyncio.gather(*waiting, return_exceptions=True)

    asked: list[float] = []
    sent.clear()
    errors = asyncio.run(closing(note, ask()))
    holder.close()
    limits = [(left, end) for sql, left, end in sent if "FROM notes" in sql]

    assert [Timeout] * 6 == [type(error) for error in errors]
    assert len(limits) >= 2
    assert all(left > 0 for left, _ in limits)
    # The time of each call ends when it was asked plus its timeout, however late the machine lets its statement be sent.
    assert all(asked[0] + 0.3 <= end <= asked[1] + 0.3 for _, end in limits), (asked, limits)


@pytest.mark.parametrize("key", ["a\0b", "half \ud800", None, 7])
def test_what_is_no_key_comes_out_as_in_a_sync_call(repo, declare, key):
    """NUL, half of a surrogate pair, None, another type: the same error, or the same nothing, sync and async."""
    note = declare(repo)
    asked = query(note).filter(note.text == "x").filter(note.key == key) if isinstance(key, str | None) else None

    def outcome(ask):
        try:
            return ask()
        except Exception as error:
            return type(error), str(error)

    sync, soon = (asked.all, asked.all.aio) if asked is not None else (lambda: get(note, key), lambda: get.aio(note, key))

    assert outcome(sync) == outcome(lambda: asyncio.run(closing(note, soon())))
