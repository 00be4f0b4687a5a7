"""Turns of a fleet of processes on real databases, in real time: counted by the database's clock, and lost with their holder."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.actions.drive import drive
from resourcekit.data_layers import SQL
from resourcekit.extending import Extension, Service
from resourcekit.supervisor import Scheduling, Supervisor
from tests.support.databases import KINDS, scratch
from tests.support.forks import all_done, in_children

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")]
PROCESSES, SUPERVISORS, ROUNDS = 8, 4, 15
INTERVAL = timedelta(seconds=2)
WHILE = 9.0
"""Seconds of real time that a fleet lives, because a server's clock cannot be moved by a test."""

hasty = Scheduling(first_within=0.3, retry_within=0.2)


class Sweep(Service):
    """Notes when it began and ended, by the clock that leases are counted by."""

    once_per_fleet = True
    runs: list[tuple[int, int]]

    def __init__(self) -> None:
        self.runs = noted

    def interval(self, options):
        return INTERVAL

    async def run(self, context):
        store = context.resource.__runtime__.store
        _, began = await store.common_time()
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        _, ended = await store.common_time()
        self.runs.append((began, ended))


class Sweeping(Extension):
    services = (Sweep,)


noted: list[tuple[int, int]] = []
deadly: list[bool] = []


@pytest.fixture(params=KINDS)
def swept(request, tmp_path):
    """A resource that is swept, on a database of each kind."""
    noted.clear()
    deadly.clear()
    with scratch(request.param, tmp_path) as place:
        domain = Domain("fleet")

        class Swept(Resource, domain=domain, data_layer=SQL(place.url), extensions=[Sweeping]):
            id: Attr[int] = attribute(primary_key=True)

        domain.create_storage()
        yield Swept
        assert domain


def live(resource: Any) -> list[tuple[int, int]]:
    """Live as a process with several supervisors, all of which are restarted long before an interval is over."""
    ends_at = time.monotonic() + WHILE
    while time.monotonic() < ends_at:
        group = [Supervisor(resource, startup_check=False, scheduling=hasty) for _ in range(SUPERVISORS)]
        for one in group:
            one.start()
        threading.Event().wait(0.7)
        for one in group:
            one.stop()
    return noted


def test_workers_that_restart_all_the_time_sweep_once_an_interval(swept):
    """32 workers in eight processes, none of which lives for an interval: one sweep in each, and no two at once."""
    results = in_children(*[lambda: live(swept)] * PROCESSES)
    assert all_done(results), results
    runs = sorted(run for received in results for run in received)
    gaps = [(later[0] - earlier[0]) / 1e6 for earlier, later in itertools.pairwise(runs)]

    assert 2 <= len(runs) <= WHILE // INTERVAL.total_seconds() + 2
    # A turn counts from when it is asked for, a run from when it was given, which on a busy machine is a moment later.
    assert min(gaps) >= INTERVAL.total_seconds() / 2
    assert [] == [pair for pair in itertools.pairwise(runs) if pair[1][0] < pair[0][1]]


def test_of_processes_that_ask_at_once_one_holds(swept):
    """In each of many rounds, over processes and their own connections."""

    def ask() -> list[bool]:
        store = swept.__runtime__.store
        return [drive(store.lease(f"round {number}", timedelta(minutes=5)).__aenter__()) for number in range(ROUNDS)]

    results = in_children(*[ask] * PROCESSES)
    assert all_done(results), results

    assert [1] * ROUNDS == [sum(received) for received in zip(*results, strict=True)]


def test_the_turn_of_a_process_that_was_killed_passes_on(swept):
    """In the middle of its sweep, and for good: another one takes over when the turn is over, and not before."""

    def die() -> None:
        deadly.append(True)
        Supervisor(swept, startup_check=False).run_now(swept)

    _, began = drive(swept.__runtime__.store.common_time())
    (received,) = in_children(die)
    (job,) = Supervisor(swept, startup_check=False, scheduling=hasty)._jobs.values()
    job.plan(lambda: None)
    looks = 0
    ends_at = time.monotonic() + 60
    while not noted and time.monotonic() < ends_at:
        assert job.claim()
        drive(job.run(lambda: False, must=False))
        looks += 1

    assert "the child died" == received
    assert looks > 1
    assert noted[0][0] - began >= INTERVAL // timedelta(microseconds=1)
