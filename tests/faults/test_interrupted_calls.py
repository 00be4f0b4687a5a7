"""Exceptions from outside at any line of a call, and cancelled tasks: what comes after them works, at once and in the right way.

KeyboardInterrupt, and the time limit that a job queue raises in a signal handler, may come between any two lines.
"""

import asyncio
import gc
import itertools
import os
import secrets
import signal
import time
from datetime import timedelta

import jwt
import pytest

from resourcekit import Domain, query, transaction
from resourcekit.actions.drive import drive
from resourcekit.call_context import call_mode
from resourcekit.data_layers import SQL, Memory, Redis, Repo
from resourcekit.errors import DataLayerError
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support import valkey
from tests.support.databases import scratch
from tests.support.interrupts import Interrupted, TimeLimit, at_line, at_wait, uncollected
from tests.support.notes import declared

SECRET = secrets.token_urlsafe(48)
KINDS = ("memory", "sqlite", "postgresql", "mariadb", "redis")
PATIENCE = timedelta(seconds=40)
ROWS = 250

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def jti_of(token):
    """Return the jti of a token."""
    return jwt.decode(token, options={"verify_signature": False})["jti"]


class Place:
    """Tokens and notes on one data layer, and the calls that are interrupted."""

    def __init__(self, layer, note_layer):
        domain = Domain(f"interrupted {secrets.token_hex(4)}")

        class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(jwt=JWT(SECRET))]):
            """Tokens of a test."""

        domain.create_storage()
        self._domain, self.token, self.note = domain, Token, declared(note_layer, f"notes_{secrets.token_hex(6)}")
        self.live, self.dead = Token.issue("live").token, Token.issue("dead").token
        Token.revoke(self.dead)
        self.live_jti, self.dead_jti = jti_of(self.live), jti_of(self.dead)
        self.note.write.bulk([{"key": f"row {number:04}"} for number in range(ROWS)])
        self._numbers = itertools.count()
        # A few, over and over: a sweep that had one record more each time would have more lines each time, and no end.
        self._spare = itertools.cycle([Token.issue("spare").token for _ in range(20)])

    def key(self):
        """Return a key that no note has."""
        return f"key {next(self._numbers)}"

    def issue(self):
        """Return a new token."""
        return self.token.issue("x").token

    def two(self, key):
        """Write two notes in a transaction."""
        with transaction(self.note):
            self.note.write(key=f"{key}a")
            self.note.write(key=f"{key}b")

    async def two_aio(self, key):
        """Do the same in a task."""
        async with transaction(self.note):
            await self.note.write.aio(key=f"{key}a")
            await self.note.write.aio(key=f"{key}b")

    def half(self, _):
        """Read a part of a stream."""
        for number, _record in enumerate(query(self.note).stream()):
            if number == ROWS - 40:
                break

    async def half_aio(self, _):
        """Do the same in a task."""
        async for _record in query(self.note).stream.aio():
            break

    def calls(self):
        """Return how each call is prepared, made sync and async, and of which notes all or none may be there afterwards."""
        note, token = self.note, self.token

        def rows(key):
            return [{"key": f"{key}{letter}"} for letter in "abc"]

        return {
            "revoke": (self.issue, token.revoke, token.revoke.aio, ""),
            "jti_revoked": (lambda: self.dead_jti, token.jti_revoked, token.jti_revoked.aio, ""),
            "token_revoked": (lambda: self.dead, token.token_revoked, token.token_revoked.aio, ""),
            "create": (self.key, lambda key: note.write(key=key), lambda key: note.write.aio(key=key), ""),
            "bulk": (self.key, lambda key: note.write.bulk(rows(key)), lambda key: note.write.bulk.aio(rows(key)), "abc"),
            "stream": (lambda: None, self.half, self.half_aio, ""),
            "transaction": (self.key, self.two, self.two_aio, "ab"),
            "sweep": (lambda: None, lambda _: token.expunge_expired(), lambda _: token.expunge_expired.aio(), ""),
        }

    def transactions(self):
        """Return the transactions that are ambient."""

        async def current():
            stores = (self.token.__runtime__.store, self.note.__runtime__.store)
            return [found for store in stores if (found := store.current_transaction()) is not None]

        return drive(current())

    def holds(self, written, letters):
        """Return whether all that must hold after a call does: what it wrote is whole, and the next calls are right, in time."""
        began = time.monotonic()
        assert call_mode.get() is None
        assert [] == self.transactions()
        assert [True, False] == [self.token.jti_revoked(self.dead_jti), self.token.jti_revoked(self.live_jti)]
        assert [True, False] == [self.token.token_revoked(self.dead), self.token.token_revoked(self.live)]
        self.token.revoke(next(self._spare))
        self.note.write(key=self.key())
        if letters:
            found = [query(self.note).filter(self.note.key == f"{written}{letter}").exists() for letter in letters]
            assert len(set(found)) == 1, found
        assert time.monotonic() - began < PATIENCE.total_seconds() / 2
        return True

    async def holds_in_tasks(self):
        """Say the same of calls in the loop; more of them at once than a loop has connections."""
        async with asyncio.timeout(PATIENCE.total_seconds() / 2):
            asked = (self.token.jti_revoked.aio(jti) for jti in (self.dead_jti, self.live_jti))
            assert [True, False] == await asyncio.gather(*asked)
            await asyncio.gather(*(self.note.write.aio(key=self.key()) for _ in range(10)))
        return True


@pytest.fixture(params=[*KINDS[:2], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[2:])])
def place(request, tmp_path):
    """Resources on a layer of each kind."""
    if request.param == "memory":
        yield Place(Memory(), Memory())
    elif request.param == "redis":
        if valkey.machine_url() is None:
            pytest.skip("a Redis server is missing")
        layer = Redis(valkey.machine_url(), tag=f"interrupted_{secrets.token_hex(4)}", accept=["appendonly"])
        yield Place(layer, layer)
    else:
        with scratch(request.param, tmp_path) as database:
            repo = Repo(database.url, timeout=PATIENCE)
            yield Place(SQL(repo, table="verification"), repo)


CALLS = ("revoke", "jti_revoked", "token_revoked", "create", "bulk", "stream", "transaction", "sweep")
STRIDE = 1 if "RESOURCEKIT_EVERY_LINE" in os.environ else 17
"""On a server, where a line costs milliseconds, every so many lines; with this variable in the environment all of them.

A stream has as many lines as records, and most of them are the same, so far fewer are tried.
"""

EVERY = [pytest.param(61, id="some"), pytest.param(1, id="every", marks=pytest.mark.slow)]


@pytest.mark.parametrize("kind", [Interrupted, TimeLimit])
@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("call", CALLS)
def test_an_exception_at_any_line_leaves_nothing_behind(request, place, call, step, kind):
    """Whatever line it comes at: answers are right, nothing is ambient or locked, and what was written is whole."""
    if request.node.callspec.params["place"] not in KINDS[:2]:
        step = max(step, STRIDE if call != "stream" or STRIDE == 1 else STRIDE * 40)
    prepare, make, _, letters = place.calls()[call]
    make(prepare())
    with uncollected():
        for number in itertools.count(1 + len(call), step):
            written = prepare()
            where, is_raised = at_line(number, lambda written=written: make(written), kind)
            assert place.holds(written, letters if is_raised else ""), where
            if not where:
                break
            if number % 16 == 0:
                gc.collect()


@pytest.mark.parametrize("kind", [Interrupted, TimeLimit])
@pytest.mark.parametrize(
    ("call", "within"),
    [
        ("bulk", "Connection.run_many"),
        ("transaction", "Connection._run"),
        ("transaction", "Cursor.execute"),
        ("revoke", "Connection._fetch"),
        ("revoke", "Statement.rows"),
        ("sweep", "_steps"),
    ],
)
def test_an_exception_beside_a_statement_leaves_no_lock(place, call, within, kind):
    """SQLite keeps a closed connection, its transaction and its lock, as long as one of its cursors lives; drivers hide exceptions."""
    prepare, make, _, letters = place.calls()[call]
    with uncollected():
        for number in itertools.count(1):
            written = prepare()
            where, is_raised = at_line(number, lambda written=written: make(written), kind, within=within)
            assert place.holds(written, letters if is_raised else ""), where
            if not where:
                break


@pytest.mark.parametrize("call", CALLS)
def test_a_task_that_is_cancelled_at_any_wait_leaves_nothing_behind(place, call):
    """Whatever it waits for: the next calls of the loop find all connections free, and right."""
    prepare, _, make, letters = place.calls()[call]

    async def work():
        await make(prepare())
        for number in itertools.count(1):
            written = prepare()
            reached = await at_wait(number, lambda written=written: make(written))
            assert await place.holds_in_tasks()
            assert await asyncio.to_thread(place.holds, written, letters)
            if not reached:
                break

    asyncio.run(work())


def test_a_signal_handler_that_calls_inside_of_a_call_waits_for_nothing(place):
    """A check in a handler is answered or says "revoked", whatever the thread was doing; the call that it came into is made."""
    answers, seen = [], 0

    def savepoint(_number, _frame):
        nonlocal seen
        seen += 1
        answers.append(place.token.jti_revoked(place.dead_jti))

    former = signal.signal(signal.SIGALRM, savepoint)
    try:
        for number in range(40):
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 0.00005)
            place.two(place.key())
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)

    assert seen
    assert [True] * seen == answers
    assert ROWS + 80 == query(place.note).count()
    assert place.holds("", "")


@pytest.mark.parametrize("kind", [Interrupted, TimeLimit])
def test_a_block_that_goes_on_after_an_interrupted_call_commits_no_half_of_it(place, kind):
    """A program may swallow the exception inside of the block: the call counts as a whole, or the block raises and rolls back."""
    for number in itertools.count(20, 40):
        key = place.key()
        try:
            with transaction(place.note):
                place.note.write(key=f"{key}a")
                where, _ = at_line(number, lambda key=key: place.note.write(key=f"{key}b"), kind)
                written = query(place.note).filter(place.note.key == f"{key}b").exists()
        except DataLayerError:
            written = None
        found = [query(place.note).filter(place.note.key == f"{key}{letter}").exists() for letter in "ab"]
        assert found == ([False, False] if written is None else [True, written])
        if not where:
            break
    assert place.holds("", "")
