"""Storage that goes away while a Supervisor runs: it goes on once the storage is back, and reports what happened."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from queue import Queue

import pytest

from resourcekit import Domain
from resourcekit.data_layers import SQL, Redis
from resourcekit.supervisor import Scheduling, Supervisor
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support import valkey
from tests.support.databases import KINDS, scratch

START = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 30
"""Seconds of real time after which a test gives up; none waits that long when all is well."""

soon = Scheduling(uniform=lambda _low, high: high)


@pytest.fixture
def clock():
    """A clock that the test moves by hand."""
    with ManualClock(START, everywhere=True) as moved:
        yield moved


@pytest.fixture(params=KINDS)
def database(request, tmp_path):
    """An empty database of each kind."""
    with scratch(request.param, tmp_path) as place:
        yield place


def declare(layer):
    """Return the domain and the token resource of a layer, its storage created."""
    domain = Domain(f"accounts-{secrets.token_hex(4)}")

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=layer,
        extensions=[TokenResource(jwt=JWT(secrets.token_urlsafe(48)), expunge_interval=timedelta(hours=1))],
    ):
        """Tokens."""

    domain.create_storage()
    return domain, Token


class Runs:
    """A Supervisor, and the next of its runs, whose time is brought about by the clock."""

    def __init__(self, token, clock):
        self._clock, self._runs = clock, Queue()
        self.supervisor = Supervisor(token, on_run=self._runs.put, scheduling=soon, startup_check=False)

    def next(self, pause):
        """Let so much time pass, and return the status after the run that comes."""
        self._clock.advance(pause)
        return self._runs.get(timeout=PATIENCE)


def expired(token, clock):
    """Store a record that a sweep removes."""
    token.revoke_jti(secrets.token_hex(4), expires_at=clock.now() - timedelta(hours=1))


def test_a_lease_table_that_goes_away_is_made_again(clock, database):
    """No run fails for it, and the token table is not made along with it, because its loss must be noticed."""
    _, token = declare(SQL(database.url, table="tokens"))
    runs = Runs(token, clock)
    with runs.supervisor:
        first = runs.next(timedelta(minutes=1))
        expired(token, clock)
        database.run("DROP TABLE resourcekit_leases")
        second = runs.next(timedelta(hours=1))

    assert (0, 0) == (first.failures, second.failures)
    assert 1 == second.last_result.removed
    assert database.run("SELECT count(*) FROM resourcekit_leases")[0][0]


def test_tables_that_go_away_together_are_waited_for(clock, database):
    """The sweep fails, is tried again with pauses, and works once the table is there, without a start of the process."""
    domain, token = declare(SQL(database.url, table="tokens"))
    runs = Runs(token, clock)
    with runs.supervisor:
        runs.next(timedelta(minutes=1))
        for table in ("tokens", "resourcekit_leases"):
            database.run(f"DROP TABLE {table}")
        failed = [runs.next(timedelta(hours=1)) for _ in range(2)]
        health = runs.supervisor.health()
        domain.create_storage()
        expired(token, clock)
        sound = runs.next(timedelta(hours=1))

    assert [1, 2] == [status.failures for status in failed]
    assert "Unavailable" == health.services[0].last_error
    assert (0, 1) == (sound.failures, sound.last_result.removed)


def test_a_column_that_is_added_meanwhile_stops_nothing(clock, database):
    """Statements that were prepared before are prepared anew."""
    _, token = declare(SQL(database.url, table="tokens"))
    runs = Runs(token, clock)
    with runs.supervisor:
        runs.next(timedelta(minutes=1))
        for table in ("tokens", "resourcekit_leases"):
            database.run(f"ALTER TABLE {table} ADD COLUMN more INTEGER")
        expired(token, clock)
        second = runs.next(timedelta(hours=1))

    assert (0, 1) == (second.failures, second.last_result.removed)


def test_a_loop_recovers_too(database):
    """The same under a Supervisor of tasks."""
    with ManualClock(START) as clock:
        _, token = declare(SQL(database.url, table="tokens"))

        async def swept():
            async with Supervisor(token, scheduling=soon, startup_check=False) as supervisor:
                await supervisor.run_now.aio(token)
                database.run("DROP TABLE resourcekit_leases")
                expired(token, clock)
                await supervisor.run_now.aio(token)
                return supervisor.status()[0]

        status = asyncio.run(swept())

    assert (0, 1) == (status.failures, status.last_result.removed)


@pytest.fixture
def server(tmp_path):
    """A Valkey server of this test's own."""
    if valkey.binary() is None:
        pytest.skip("could not run: a Valkey server is missing")
    started = valkey.Valkey(tmp_path / "valkey").start()
    yield started
    started.stop()


def test_a_redis_server_that_was_emptied_is_waited_for(clock, server):
    """Until its storage is made; also by another process, whose storage this one sweeps though it does not believe its reads."""
    _, token = declare(Redis(server.url, prefix="t"))
    runs = Runs(token, clock)
    with runs.supervisor:
        runs.next(timedelta(minutes=1))
        server.client().flushall()
        failed = runs.next(timedelta(hours=1))
        server.client().zadd("{resourcekit}t!keys", {"~of another process": 0})
        sound = runs.next(timedelta(hours=1))

    assert (1, 0) == (failed.failures, sound.failures)
    assert token.jti_revoked("a") is True


def test_a_redis_server_that_is_started_again_is_found_again(clock, server):
    """Connections are made anew, and scripts taught again."""
    _, token = declare(Redis(server.url, prefix="t"))
    runs = Runs(token, clock)
    with runs.supervisor:
        runs.next(timedelta(minutes=1))
        server.kill()
        failed = runs.next(timedelta(hours=1))
        server.start()
        expired(token, clock)
        sound = runs.next(timedelta(hours=1))

    assert 1 == failed.failures
    assert (0, 1) == (sound.failures, sound.last_result.removed)
