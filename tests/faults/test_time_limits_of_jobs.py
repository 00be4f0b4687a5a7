"""A job runner ends a job by a signal handler that raises: the error reaches the job, at whatever line it comes."""

import functools
import operator
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.data_layers.memory.store import MemoryStore
from resourcekit.extending import raised_by_signal
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support.databases import connect

SECRET = "pDq3vX9sLw0ZtYb6Rk2Hn8Jm4Fc7Ge1Ua5Ti-oVy_Bz"


class JobTimeoutException(Exception):
    """The time limit of a job, as RQ raises it."""


class Limit:
    """A time limit as job runners set it: a timer, and a handler that raises."""

    def __init__(self, kind=JobTimeoutException):
        self.kind = kind

    def handle(self, number, frame):
        """Raise in the line that runs."""
        raise self.kind

    def handle_and_forget(self, number, frame):
        """Do the same through another function, without the frame."""
        del frame
        self.give_up()

    def give_up(self):
        """Raise."""
        raise self.kind


@contextmanager
def limited(handler, seconds):
    """Set a limit for what runs inside."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def token_on(layer, *, storage=True):
    """Return a token resource on a layer."""
    domain = Domain("jobs")

    class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(jwt=JWT(SECRET))]):
        """Tokens of a test."""

    Token.__kept__ = domain
    if storage:
        domain.create_storage()
    return Token


HANDLERS = {
    "method": lambda kind: Limit(kind).handle,
    "without the frame": lambda kind: Limit(kind).handle_and_forget,
    "partial": lambda kind: functools.partial(Limit(kind).handle),
    "any arguments": lambda kind: lambda *given: Limit(kind).give_up(),
}


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize("kind", [JobTimeoutException, TimeoutError, KeyError])
def test_a_limit_ends_a_check_that_waits_for_a_lock(database, name, kind):
    """Whatever its class is and however the handler is written; a driver's own errors in its place do not hide it."""
    token = token_on(SQL(database.url))
    text = token.issue("bob").token
    token.token_revoked(text)
    holder = connect(database.url)
    for sql in ("BEGIN", "LOCK TABLE token") if database.kind == "postgresql" else ("LOCK TABLES token WRITE",):
        holder.cursor().execute(sql)
    with limited(HANDLERS[name](kind), 0.1), pytest.raises(kind):
        token.token_revoked(text)
    with limited(HANDLERS[name](kind), 0.1), pytest.raises(kind):
        token.jti_revoked("x")
    holder.close()

    assert token.token_revoked(text) is False


MANY = """
import signal, sys, time
from resourcekit import Domain
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit_tokens import JWT, TokenRecord, TokenResource

class JobTimeoutException(Exception):
    pass

def handle(number, frame):
    raise JobTimeoutException

domain = Domain("jobs")
class Token(TokenRecord, domain=domain, data_layer={layer}, extensions=[TokenResource(jwt=JWT("{secret}"))]):
    pass
domain.create_storage()
text = Token.issue("bob").token
Token.token_revoked(text)
signal.signal(signal.SIGALRM, handle)
raised, answers, ends_at = 0, set(), time.monotonic() + 60
while raised < 200 and time.monotonic() < ends_at:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + raised * 0.00001, 1.0)  # again, if a destructor ran
        while True:
            answers.add(Token.token_revoked(text))
            answers.add(Token.jti_revoked("x"))
    except JobTimeoutException:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raised += 1
print(raised, sorted(answers))
"""
"""A process of its own: a signal leaves coroutines that were not driven, and sockets, to the garbage collector."""


@pytest.mark.parametrize("place", ["memory", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sqlite", "redis"))])
def test_a_limit_at_any_moment_is_never_an_answer(tmp_path, place, request):
    """Signals at two hundred moments of checks: each is raised, and no check answers for it."""
    layer = {"memory": "Memory()", "sqlite": f'SQL("sqlite:///{tmp_path}/t.db")'}.get(place)
    if place == "redis":
        layer = f'Redis("redis://127.0.0.1:{request.getfixturevalue("own_valkey")().port}/0", accept=["appendonly"])'
    program = MANY.format(layer=layer, secret=SECRET)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=90, check=False
    )

    assert "200 [False]" == done.stdout.strip(), done.stderr[-2000:]


def test_a_bug_of_a_layer_still_says_revoked(monkeypatch):
    """An error that a handler did not raise is no answer, so the answer is "revoked" (promise P3: a failed check counts as revoked)."""
    token = token_on(Memory())

    class Broken(Exception):
        """An error of a third party."""

    for kind in (KeyError, TimeoutError, Broken, OSError, RuntimeError):

        async def fail(*_args, kind=kind):
            raise kind

        monkeypatch.setattr(MemoryStore, "aggregate", fail)

        assert token.jti_revoked("x") is True


def test_notifiers_and_bulk_actions_let_a_limit_through():
    """Places that put up with errors of others do not put up with that one."""
    domain = Domain("notes of jobs")

    def slow(*_given):
        os.kill(os.getpid(), signal.SIGALRM)
        threading.Event().wait(0.01)
        raise AssertionError

    class Note(Resource, domain=domain, data_layer=Memory()):
        key: Attr[str] = attribute(primary_key=True)

        notify = create(accept=["key"], notifiers=[slow])
        checked = create(accept=["key"], validations=[slow])

    with limited(Limit().handle, 10), pytest.raises(JobTimeoutException):
        Note.notify(key="a")
    with limited(Limit().handle, 10), pytest.raises(JobTimeoutException):
        Note.checked.bulk([{"key": "b"}])


def test_a_check_after_a_limit_answers_for_itself(monkeypatch):
    """A job that cleans up after its limit asks while that error is handled: a failure of the check is still "revoked"."""
    token = token_on(Memory())

    async def fail(*_args):
        raise KeyError

    monkeypatch.setattr(MemoryStore, "aggregate", fail)
    answers = []
    try:
        with limited(Limit().handle, 0.01):
            threading.Event().wait(5)
    except JobTimeoutException:
        answers.append(token.jti_revoked("x"))

    assert [True] == answers


def caught(work):
    """Return the error that work raises."""
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError


def test_only_what_a_handler_raised_counts():
    """An error by itself is not taken for one; the one of a handler is, also where another error took its place."""

    def wait():
        with limited(Limit(KeyError).handle, 0.01):
            threading.Event().wait(5)

    def replaced():
        try:
            wait()
        except KeyError:
            raise OSError from None

    def fail():
        raise KeyError

    assert raised_by_signal(caught(fail)) is None
    assert isinstance(raised_by_signal(caught(wait)), KeyError)
    assert isinstance(raised_by_signal(caught(replaced)), KeyError)


@pytest.mark.parametrize("condition", ["progress", "function"])
@pytest.mark.parametrize("kind", [JobTimeoutException, KeyboardInterrupt])
def test_a_limit_ends_a_long_statement_of_sqlite(tmp_path, condition, kind):
    """Only functions that SQLite calls run meanwhile, and sqlite3 drops what is raised in them."""
    domain = Domain("jobs")

    class Row(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/rows.db")):
        """Rows of a test."""

        key: Attr[str] = attribute(primary_key=True)
        pattern: Attr[str]

    domain.create_storage()
    with closing(sqlite3.connect(tmp_path / "rows.db")) as connection:
        many = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
        connection.execute(f"{many} INSERT INTO row SELECT 'key ' || i, '%x%' FROM n")
        connection.commit()
    patterns = [f"%x{number}%" for number in range(40)]  # a statement of much more than the limit, on any machine
    found = query(Row).filter(Row.key.like(Row.pattern))
    if condition == "progress":
        found = query(Row).filter(functools.reduce(operator.or_, map(Row.key.like, patterns)))
    with limited(Limit(kind).handle, 0.01), pytest.raises(kind):
        found.count()

    assert query(Row).filter(Row.key == "key 7").exists()
