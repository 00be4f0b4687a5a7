"""A call ends by its deadline wherever its time is spent: connecting, locks, repetitions, many calls in one block."""

import asyncio
import contextlib
import itertools
import socket
import sqlite3
import threading
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from resourcekit import Domain, context, get, transaction
from resourcekit.data_layers import SQL, Redis, Repo
from resourcekit.data_layers.sql.execution.async_pool import Checkout
from resourcekit.errors import OutcomeUnknown, SerializationFailure, Timeout, Unavailable
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support.databases import connect
from tests.support.notes import declared

SECRET = "pDq3vX9sLw0ZtYb6Rk2Hn8Jm4Fc7Ge1Ua5Ti-oVy_Bz"
DEADLINE = timedelta(milliseconds=500)
MOST = 0.5 * 1.3 + 0.35
"""Seconds that a call with that deadline may take, on a machine that does other things, too."""

ENDS = (Timeout, Unavailable, OutcomeUnknown, SerializationFailure)
numbers = itertools.count()


def token_on(layer, *, storage=False, name=""):
    """Return a token resource on a layer; in a domain of that name it takes the place of the former one."""
    domain = Domain(name or f"deadlines {next(numbers)}")

    class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(jwt=JWT(SECRET))]):
        """Tokens of a test."""

    Token.__kept__ = domain
    if storage:
        domain.create_storage()
    return Token


@contextlib.contextmanager
def in_time():
    """Fail if what runs inside takes longer than its deadline allows."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began

    assert took < MOST


@pytest.fixture
def mute():
    """The port of a host that accepts connections and never answers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    yield listener.getsockname()[1]
    listener.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda port: SQL(f"postgresql://postgres@127.0.0.1:{port}/x"),
        lambda port: SQL(f"mariadb://root@127.0.0.1:{port}/x"),
        lambda port: Redis(f"redis://127.0.0.1:{port}/0"),
        lambda port: SQL(Repo(engine=sa.create_engine(f"postgresql+psycopg://postgres@127.0.0.1:{port}/x"))),
    ],
    ids=["postgresql", "mariadb", "redis", "own engine"],
)
def test_a_host_that_never_answers(mute, call, make):
    """Connecting is bounded by the deadline of the call, a second time too, and a check says revoked."""
    token = token_on(make(mute))
    with in_time():
        assert call.within(DEADLINE, token.jti_revoked, "x") is True
    with in_time(), pytest.raises(ENDS):
        call.within(DEADLINE, get, token, "x")


LOCKS = {"postgresql": ("BEGIN", "LOCK TABLE {table}"), "mariadb": ("LOCK TABLES {table} WRITE",)}


@pytest.fixture
def locked(database):
    """A function that keeps everybody else off the table of a resource, for as long as the test runs."""
    holders = []

    def lock(resource):
        holder = connect(database.url)
        holders.append(holder)
        for sql in LOCKS[database.kind]:
            holder.cursor().execute(sql.format(table=resource.__runtime__.store.table.name))

    yield lock
    for holder in holders:
        holder.close()


def test_many_calls_of_one_block_share_its_deadline(database, call, declare_note, locked):
    """Behind a lock that does not go away ten calls together take no longer than one."""
    note = declare_note(database.url)
    locked(note)
    ends = []

    async def block():
        with context(deadline=DEADLINE):
            for number in range(10):
                try:
                    await note.write.aio(key=f"{number}")
                except ENDS as error:
                    ends.append(type(error))

    def sync_block():
        with context(deadline=DEADLINE):
            for number in range(10):
                try:
                    note.write(key=f"{number}")
                except ENDS as error:
                    ends.append(type(error))

    with in_time():
        call.run(block()) if call.is_async else sync_block()

    assert 10 == len(ends)


def test_calls_of_a_transaction_share_its_deadline(database, call, declare_note, locked):
    """Statements, the savepoints around them and the end of the transaction take from one time."""
    note, other = declare_note(database.url), declare_note(database.url)
    locked(other)
    note_and_other = transaction(note)

    async def block():
        with context(deadline=DEADLINE):
            async with note_and_other:
                await note.write.aio(key="a")
                for number in range(5):
                    with contextlib.suppress(*ENDS):
                        await other.write.aio(key=f"{number}")
                raise KeyError

    def sync_block():
        with context(deadline=DEADLINE), note_and_other:
            note.write(key="a")
            for number in range(5):
                with contextlib.suppress(*ENDS):
                    other.write(key=f"{number}")
            raise KeyError

    with in_time(), pytest.raises((KeyError, *ENDS)):
        call.run(block()) if call.is_async else sync_block()


def test_a_call_of_many_statements_has_the_timeout_once(database, call, locked):
    """Without a deadline the Repo's timeout counts for the call as a whole, its repetitions included."""
    token_on(SQL(database.url), storage=True, name="once")
    token = token_on(SQL(Repo(database.url, timeout=DEADLINE)), name="once")
    text = token.issue("bob").token
    call(token.token_revoked, text)  # connections are there
    locked(token)
    with in_time():
        assert call(token.token_revoked, text) is True
    with in_time(), pytest.raises(ENDS):
        call(token.log_out_everywhere, "bob")
    with in_time(), pytest.raises(ENDS):
        call(token.revoke, text)


def exclusive(path):
    """Return a connection that keeps all others off an SQLite file, readers too."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    return other


@pytest.mark.parametrize("is_first", [True, False], ids=["new process", "new thread"])
def test_opening_an_sqlite_file_that_is_locked(tmp_path, call, is_first):
    """A connection that has to be opened first takes no time besides the deadline; a check says revoked."""
    url = f"sqlite:///{tmp_path}/tokens.db"
    maker = threading.Thread(target=lambda: token_on(SQL(url, table="t"), storage=True, name="locked"))  # closes its connection
    maker.start()
    maker.join()
    token = token_on(SQL(Repo(url), table="t"), name="locked")
    texts = ["x"]
    if not is_first:
        thread = threading.Thread(target=lambda: texts.append(token.issue("bob").token))  # it reads, and closes its connection
        thread.start()
        thread.join()
    text = texts[-1]
    other = exclusive(tmp_path / "tokens.db")
    with in_time():
        assert call.within(DEADLINE, token.token_revoked, text) is True
    with in_time():
        assert call.within(DEADLINE, token.jti_revoked, "x") is True
    with in_time(), pytest.raises(ENDS):
        call.within(DEADLINE, token.revoke_jti, "x", subject="bob")
    other.close()


class Uncopyable(Exception):
    """An error of a driver whose constructor needs more than ``copy`` knows."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


@pytest.mark.parametrize("kind", [Uncopyable, KeyError])
def test_an_error_that_cannot_be_copied_reaches_all_who_wait(tmp_path, monkeypatch, kind):
    """Tasks whose connection cannot be made are answered, each with the error, and checks say revoked."""
    note = declared(f"sqlite:///{tmp_path}/notes.db")
    token = token_on(SQL(f"sqlite:///{tmp_path}/notes.db"), storage=True)

    async def refused(*_):
        raise kind(*("1", "no")[: 1 if kind is KeyError else 2])

    async def ask():
        monkeypatch.setattr(Checkout, "take", refused)
        async with asyncio.timeout(5):
            return (
                await asyncio.gather(*(get.aio(note, f"{number}") for number in range(50)), return_exceptions=True),
                await asyncio.gather(*(token.jti_revoked.aio(f"{number}") for number in range(50))),
            )

    errors, answers = asyncio.run(ask())

    assert {kind} == set(map(type, errors))
    assert [True] * 50 == answers


def test_a_shared_statement_that_is_broken_off_answers_all_who_wait(tmp_path, monkeypatch):
    """Reads of other tasks are not cancelled with the task that sends the combined read, and end in time."""
    note = declared(f"sqlite:///{tmp_path}/notes.db")

    async def cancelled(*_):
        raise asyncio.CancelledError

    async def ask():
        monkeypatch.setattr(Checkout, "take", cancelled)
        async with asyncio.timeout(5):
            return await asyncio.gather(*(get.aio(note, f"{number}") for number in range(200)), return_exceptions=True)

    assert {Unavailable} == set(map(type, asyncio.run(ask())))
