"""A service that crashes is started again, a limited number of times: then it rests, and reports it."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from supervised import PATIENCE, START, Sweep, declare, latest, scripted

from resourcekit.supervisor import Supervisor
from resourcekit.testing import ManualClock

CRASHES = [SystemExit(1)] * 6


def crash(clock, runs, times):
    """Let a service crash so often, each time as soon as it is tried again, and return the report of the last crash."""
    clock.advance(seconds=60)
    received = runs.get(timeout=PATIENCE)
    for _ in range(times - 1):
        clock.advance(received.next_due - clock.now())
        received = runs.get(timeout=PATIENCE)
    return received


def test_a_service_that_crashes_is_restarted_five_times_in_ten_minutes_and_then_rests(clock, runs, caplog):
    """The sixth crash is reported as an error, by the status and by health; an interval later it is tried again."""
    with Supervisor(declare(scripted(*CRASHES)), on_run=runs.put, scheduling=latest) as supervisor:
        fifth = crash(clock, runs, 5)
        healthy = supervisor.health().is_healthy
        clock.advance(fifth.next_due - clock.now())
        sixth = runs.get(timeout=PATIENCE)
        rested = supervisor.health()

        assert ("backing off", "resting") == (fifth.state, sixth.state)
        assert clock.now() + timedelta(hours=12) == sixth.next_due
        assert (True, False) == (healthy, rested.is_healthy)
        assert ("resting", "SystemExit") == (rested.services[0].state, rested.services[0].last_error)
        assert ["Sweep of Ticket"] == [str(one.args[0]) for one in caplog.records if one.levelno == logging.ERROR]

        clock.advance(hours=12)

        assert ("waiting", 0) == ((again := runs.get(timeout=PATIENCE)).state, again.failures)
        assert supervisor.health().is_healthy


def test_crashes_that_lie_apart_let_nothing_rest(clock, runs):
    """One that is longer ago than the window no longer counts."""
    with Supervisor(declare(scripted(*CRASHES)), on_run=runs.put, scheduling=latest):
        crash(clock, runs, 5)
        clock.advance(minutes=10)

        assert "backing off" == runs.get(timeout=PATIENCE).state


def test_failures_alone_let_nothing_rest(clock, runs):
    """An exception is a failed run, tried again with longer and longer pauses, however often."""
    with Supervisor(declare(scripted(*[OSError()] * 9)), on_run=runs.put, scheduling=latest):
        assert ("backing off", 9) == ((ninth := crash(clock, runs, 9)).state, ninth.failures)


def test_a_good_run_lets_crashes_be_forgotten(clock, runs):
    """Five crashes, one good run, five more: it never rests."""
    script = [*CRASHES[:5], "fine", *CRASHES[:5]]
    with Supervisor(declare(scripted(*script)), on_run=runs.put, scheduling=latest) as supervisor:
        crash(clock, runs, 6)
        ticket = supervisor.status()[0].resource
        for _ in CRASHES[:5]:
            try:
                supervisor.run_now(ticket)
            except SystemExit:
                runs.get(timeout=PATIENCE)

        assert "backing off" == supervisor.status()[0].state


def test_a_run_by_hand_ends_a_rest(clock, runs):
    """Once the cause is repaired, the service can be started without waiting."""
    with Supervisor(declare(scripted(*CRASHES)), on_run=runs.put, scheduling=latest) as supervisor:
        resting = crash(clock, runs, 6)
        supervisor.run_now(resting.resource)

        assert ("resting", "waiting") == (resting.state, supervisor.status()[0].state)


def test_a_start_ends_a_rest(clock, runs):
    """Stopped and started it is tried within a minute, as at every start."""
    supervisor = Supervisor(declare(scripted(*CRASHES)), on_run=runs.put, scheduling=latest)
    with supervisor:
        crash(clock, runs, 6)
    with supervisor:
        assert clock.now() + timedelta(seconds=60) == supervisor.status()[0].next_due


class Failing(ManualClock):
    """A clock whose waits fail, so many times."""

    __slots__ = ("failures", "given_up")

    def __init__(self, failures: int) -> None:
        super().__init__(START)
        self.failures = failures

    def wait_until(self, event: threading.Event, moment: float) -> bool:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError
        return super().wait_until(event, moment)


def test_a_worker_that_crashes_is_restarted(runs):
    """What went wrong between two runs is logged, and the runs go on."""
    with Failing(5) as clock, Supervisor(declare(Sweep), on_run=runs.put, scheduling=latest):
        clock.until_waiting()
        clock.advance(seconds=60)

        assert "done" == runs.get(timeout=PATIENCE).last_result


def test_a_worker_that_crashes_again_and_again_is_given_up_and_told(caplog):
    """It does not spin: the sixth time is the last, and the status and health say that it crashed."""
    with Failing(10**9) as clock:
        supervisor = Supervisor(declare(Sweep), scheduling=latest)
        supervisor.start()
        ended = [worker.finished.result(PATIENCE) for worker in supervisor._workers._workers]
        health = supervisor.health()

        assert ([None], 10**9 - 6) == (ended, clock.failures)
        assert ("crashed", False) == (health.services[0].state, health.is_healthy)
        assert 6 == len([one for one in caplog.records if one.levelno == logging.ERROR])
