"""Health reports whether it is alive and on time, what failed last, and how long work has been waiting."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from supervised import PATIENCE, START, Sweep, declare, latest, scripted

from resourcekit import Domain
from resourcekit.actions.drive import drive
from resourcekit.data_layers import SQL, Memory
from resourcekit.supervisor import Supervisor
from resourcekit.supervisor.schedule_lease import schedule_lease_for
from resourcekit_tokens import TokenRecord, TokenResource


class Lagging(Sweep):
    """Its work has been waiting for as long as the test says, or cannot be asked."""

    answer: object = timedelta(0)

    async def lag(self, context):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def lagging(answer: object) -> type[Lagging]:
    """A service with this lag."""
    return type("Sweep", (Lagging,), {"answer": answer})


def test_what_does_not_run_is_not_healthy():
    """Before the start and after the stop."""
    supervisor = Supervisor(declare(Sweep))
    before = supervisor.health()
    with supervisor:
        during = supervisor.health()
    after = supervisor.health()

    assert [("stopped", False), ("running", True), ("stopped", False)] == [
        (one.state, one.is_healthy) for one in (before, during, after)
    ]


def test_a_service_is_on_time_for_two_intervals_after_the_start(clock, runs):
    """It has not run yet, and need not have; after two intervals it should, and failures are no runs."""
    healths = []
    with Supervisor(declare(scripted(*[OSError("secret")] * 9)), scheduling=latest, on_run=runs.put) as supervisor:
        healths.append(supervisor.health())
        for hours in (23, 2):
            clock.advance(hours=hours)
            runs.get(timeout=PATIENCE)
            healths.append(supervisor.health())

    assert [True, True, False] == [one.is_healthy for one in healths]
    assert ["", "OSError", "OSError"] == [one.services[0].last_error for one in healths]
    assert "secret" not in repr(healths)


def test_a_good_run_makes_it_healthy_again(clock, runs):
    """Late by failures, on time by the next good run."""
    with Supervisor(declare(scripted(OSError(), "fine")), scheduling=latest, on_run=runs.put) as supervisor:
        clock.advance(hours=25)
        runs.get(timeout=PATIENCE)
        late = supervisor.health()
        clock.advance(seconds=1)
        runs.get(timeout=PATIENCE)
        fine = supervisor.health()

    assert [False, True] == [late.is_healthy, fine.is_healthy]
    assert START + timedelta(hours=25, seconds=1) == fine.services[0].last_success


def test_a_run_that_hangs_is_told(clock, runs):
    """A run that has not ended after two intervals is late, although the service is running."""
    asked = []

    def hang(context):
        clock.advance(hours=25)
        asked.append(supervisor.health())
        return "done"

    supervisor = Supervisor(declare(scripted(hang)), scheduling=latest, on_run=runs.put)
    with supervisor:
        clock.advance(seconds=60)
        runs.get(timeout=PATIENCE)
        asked.append(supervisor.health())

    assert [("running", False), ("waiting", True)] == [(one.services[0].state, one.is_healthy) for one in asked]


@pytest.mark.parametrize(
    ("answer", "lag", "error", "healthy"),
    [
        (None, None, "", True),
        (timedelta(hours=24), timedelta(hours=24), "", True),
        (timedelta(hours=25), timedelta(hours=25), "", False),
        (OSError("secret"), None, "OSError", False),
    ],
)
def test_work_that_waits_for_more_than_two_intervals_is_told(clock, answer, lag, error, healthy):
    """The service reports its lag, or that it cannot; only on request, because it reads the store."""
    with Supervisor(declare(lagging(answer))) as supervisor:
        without, received = supervisor.health(), supervisor.health(lag=True)

    assert (True, None) == (without.is_healthy, without.services[0].lag)
    assert (healthy, lag, error) == (received.is_healthy, received.services[0].lag, received.services[0].lag_error)
    assert "secret" not in repr(received)


def test_it_is_asked_in_a_loop_too(clock):
    """``await supervisor.health.aio()`` asks services that wait."""

    class Waits(Sweep):
        async def lag(self, context):
            await asyncio.sleep(0)
            return timedelta(hours=1)

    async def ask():
        async with Supervisor(declare(Waits)) as supervisor:
            return await supervisor.health.aio(lag=True)

    assert timedelta(hours=1) == asyncio.run(ask()).services[0].lag


def test_an_endpoint_can_send_it(clock):
    """As a dictionary it is JSON."""
    with Supervisor(declare(lagging(timedelta(minutes=2)))) as supervisor:
        received = json.loads(json.dumps(supervisor.health(lag=True).as_dict()))

    assert (True, "running") == (received["healthy"], received["state"])
    assert {
        "resource": "supervised.Ticket",
        "service": "Sweep",
        "healthy": True,
        "state": "waiting",
        "on_time": True,
        "last_success": None,
        "last_error": "",
        "lag_seconds": 120.0,
        "lag_error": "",
    } == received["services"][0]


def tokens(layer, **options):
    """Return a token resource."""
    domain = Domain("tokens")

    class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(**options)]):
        """Tokens."""

    Token.__kept__ = domain
    domain.create_storage()
    return Token


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_lag_of_a_sweep_is_the_age_of_the_oldest_record_that_should_be_gone(clock, tmp_path, kind):
    """Counted from the moment at which a sweep may take it; zero where none may be taken."""
    layer = Memory() if kind == "memory" else SQL(f"sqlite:///{tmp_path}/lag.db")
    token = tokens(layer, leeway=timedelta(seconds=30), clock_skew=timedelta(seconds=30))
    supervisor = Supervisor(token, scheduling=latest)
    lag = lambda: supervisor.health(lag=True).services[0].lag  # noqa: E731  # asked again and again
    empty = lag()
    token.revoke_jti("old", expires_at=START + timedelta(hours=1))
    token.revoke_jti("new", expires_at=START + timedelta(hours=9))
    clock.advance(hours=1, seconds=30 + 5 * 30)
    due = lag()
    clock.advance(hours=2)
    waiting = lag()
    token.expunge_expired()

    assert (timedelta(0), timedelta(0), timedelta(hours=2), timedelta(0)) == (empty, due, waiting, lag())


def test_a_sweep_of_another_process_keeps_this_one_on_time(clock, tmp_path):
    """Processes that share a store take turns, and none of them is late because another one did the work."""
    token = tokens(SQL(f"sqlite:///{tmp_path}/fleet.db"), expunge_interval=timedelta(hours=1))
    # Two jobs, as two processes have them, and no worker: the test is the one who says when they look.
    jobs = [next(iter(Supervisor(token, scheduling=latest)._jobs.values())) for _ in "12"]
    for job in jobs:
        job.plan(lambda: None)
    late = []
    for _ in range(8):
        clock.advance(minutes=31)
        for job in jobs:
            assert job.claim()
            drive(job.run(lambda: False, must=False))
        late += [job for job in jobs if not job.health().is_healthy]
    (_, idle) = (job.health().last_success for job in jobs)

    assert ([], None) == (late, idle)


def test_a_turn_that_another_took_and_never_ends_is_late(clock, tmp_path):
    """A lease that is held for a run, and was not kept after a good one, is no proof that anything was done."""
    token = tokens(SQL(f"sqlite:///{tmp_path}/fleet.db"), expunge_interval=timedelta(hours=1))
    (job,) = Supervisor(token, scheduling=latest)._jobs.values()
    job.plan(lambda: None)
    for _ in range(5):
        clock.advance(minutes=31)
        store = token.__runtime__.store
        # Another process that dies in its run, each time: what it held stays held.
        assert drive(store.lease(schedule_lease_for(token, "expunger", job.interval).name, timedelta(seconds=60)).__aenter__())
        assert job.claim()
        drive(job.run(lambda: False, must=False))

    assert not job.health().is_healthy


def test_a_store_that_is_gone_is_told(clock, tmp_path):
    """A failure of the store is an error in the answer, and none that is raised."""
    token = tokens(SQL(f"sqlite:///{tmp_path}/gone.db"))
    with Supervisor(token) as supervisor:
        supervisor.run_now(token)
        (tmp_path / "gone.db").unlink()
        token.__runtime__.store.repo.forget()
        received = supervisor.health(lag=True)

    assert (False, "Unavailable") == (received.is_healthy, received.services[0].lag_error)
