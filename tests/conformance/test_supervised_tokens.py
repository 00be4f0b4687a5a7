"""Token resources under the Supervisor: found, swept soon after the start and once an interval, each on its own."""

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from queue import Queue

import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError
from resourcekit.supervisor import Scheduling, Supervisor
from resourcekit.testing import ManualClock
from resourcekit_tokens import ExpungeResult, TokenResource

START = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 10
"""Seconds of real time after which a test gives up; none waits that long when all is well."""


@pytest.fixture
def clock():
    """A clock that the test moves by hand."""
    with ManualClock(START, everywhere=True) as moved:
        yield moved


def declare(domain, layer, **options):
    """Return a token resource."""

    class Token(Resource, domain=domain, data_layer=layer, extensions=[TokenResource(**options)]):
        """Tokens."""

    Token.__qualname__ = f"Token{id(Token)}"  # a class declared again under one name takes the place of the old one
    domain.create_storage()
    return Token


def expired(resource, count):
    """Store so many records that P7 lets go."""
    for number in range(count):
        resource.revoke_jti(f"{number}", expires_at=START - timedelta(hours=1))


def test_every_token_resource_of_a_domain_is_swept(clock, tmp_path):
    """One expunger for each resource, whatever its data layer, and none for a resource without the extension."""
    accounts = Domain("accounts")
    one = declare(accounts, Memory())
    other = declare(Domain("others"), SQL(f"sqlite:///{tmp_path}/others.db"))

    class Ticket(Resource, domain=accounts, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)

    expired(one, 3)
    expired(other, 5)
    runs = Queue()
    with Supervisor(accounts, other, on_run=runs.put, scheduling=Scheduling(uniform=lambda low, high: high)) as supervisor:
        services = {(status.resource, status.service) for status in supervisor.status()}
        clock.advance(seconds=60)
        results = {status.resource: status.last_result for status in (runs.get(timeout=PATIENCE) for _ in range(2))}

    assert {(one, "expunger"), (other, "expunger")} == services
    assert (3, 5) == (results[one].removed, results[other].removed)
    assert [] == one.read_expired() + other.read_expired()


def test_the_interval_of_the_resource_counts(clock):
    """After the first sweep the next one comes an ``expunge_interval`` later, not earlier."""
    token = declare(Domain("accounts"), Memory(), expunge_interval=timedelta(hours=2))
    runs = Queue()
    with Supervisor(token, on_run=runs.put, scheduling=Scheduling(uniform=lambda low, high: low)) as supervisor:
        runs.get(timeout=PATIENCE)
        due = supervisor.status()[0].next_due
        expired(token, 1)
        clock.advance(hours=2)
        second = runs.get(timeout=PATIENCE)

    assert timedelta(hours=2) == due - START
    assert 1 == second.last_result.removed


def test_a_missing_table_fails_one_sweep_and_no_other(clock, tmp_path):
    """The broken resource reports its failure; the sound one is swept; the broken one recovers by itself."""
    accounts = Domain("accounts")
    layer = SQL(f"sqlite:///{tmp_path}/broken.db", table="tokens")
    sound, broken = declare(accounts, Memory()), declare(accounts, layer)
    with sqlite3.connect(tmp_path / "broken.db") as connection:
        connection.execute("DROP TABLE tokens")
    connection.close()
    runs = Queue()
    with Supervisor(accounts, on_run=runs.put, scheduling=Scheduling(uniform=lambda low, high: high)):
        clock.advance(seconds=60)
        first = {status.resource: status for status in (runs.get(timeout=PATIENCE) for _ in range(2))}
        accounts.create_storage()
        clock.advance(seconds=1)
        again = runs.get(timeout=PATIENCE)

    assert "" == first[sound].last_error
    assert "Unavailable" in first[broken].last_error
    assert (broken, "") == (again.resource, again.last_error)


def test_a_sweep_is_run_now_in_both_call_modes(tmp_path):
    """``run_now`` sweeps at once and gives the sweep's own result."""
    token = declare(Domain("accounts"), SQL(f"sqlite:///{tmp_path}/tokens.db"))

    async def in_a_loop():
        async with Supervisor(token) as supervisor:
            return await supervisor.run_now.aio(token)

    with ManualClock(START):
        expired(token, 2)
        with Supervisor(token) as supervisor:
            from_threads = supervisor.run_now(token)
        expired(token, 4)
        from_tasks = asyncio.run(in_a_loop())

    assert isinstance(from_threads["expunger"], ExpungeResult)
    assert (2, 4) == (from_threads["expunger"].removed, from_tasks["expunger"].removed)


def test_async_programs_sweep_in_their_loop(clock, tmp_path):
    """``async with`` starts no thread for the sweep, and sweeps soon after the start."""
    token = declare(Domain("accounts"), SQL(f"sqlite:///{tmp_path}/tokens.db"))
    expired(token, 2)
    ran = []

    async def serve():
        done = asyncio.Event()

        def note(status):
            ran.append((status.last_result.removed, threading.current_thread() is threading.main_thread()))
            done.set()

        async with Supervisor(token, on_run=note, scheduling=Scheduling(uniform=lambda low, high: low)):
            await asyncio.wait_for(done.wait(), PATIENCE)

    asyncio.run(serve())

    assert [(2, True)] == ran


@pytest.mark.parametrize("target", ["nothing", "plain"])
def test_a_target_without_a_token_resource_says_what_to_write(target):
    """A Supervisor with nothing to do is an error that names the next step."""
    domain = Domain("plain")

    class Ticket(Resource, domain=domain, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)

    with pytest.raises(DeclarationError) as caught:
        Supervisor(*([] if target == "nothing" else [domain]))

    assert caught.value.hint
