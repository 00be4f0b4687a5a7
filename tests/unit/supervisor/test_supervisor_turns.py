"""Turns of a fleet: who has done the work of an interval, and who goes on where it was left undone."""

from __future__ import annotations

import itertools
import types
from datetime import timedelta

import pytest
from supervised import START, Keyed, latest

from resourcekit import Domain
from resourcekit.actions.drive import drive
from resourcekit.data_layers import SQL
from resourcekit.data_layers.sql.dialects.sqlite import files
from resourcekit.extending import Extension, Service
from resourcekit.supervisor import Supervisor
from resourcekit.supervisor.schedule_lease import HeldElsewhere

HOUR = timedelta(hours=1)


@pytest.fixture
def fleet(tmp_path):
    """A function that returns the job of one more process, whose runs take these steps."""
    numbers = itertools.count()
    kept = []

    def process(*steps):
        class Sweep(Service):
            once_per_fleet = True

            def interval(self, options):
                return HOUR

            async def run(self, context):
                return await left.pop(0)(context)

        class Sweeping(Extension):
            services = (Sweep,)

        left = list(steps)
        domain = Domain(f"process {next(numbers)}")
        options = {"domain": domain, "data_layer": SQL(f"sqlite:///{tmp_path}/fleet.db"), "extensions": [Sweeping]}
        resource = types.new_class("Swept", (Keyed,), options, lambda body: body.update(__module__=__name__))
        domain.create_storage()
        kept.append((domain, resource))
        (job,) = Supervisor(resource, scheduling=latest)._jobs.values()
        job.plan(lambda: None)
        return job

    return process


def run(job, should_stop=lambda: False):
    """Let a process look, and return what came of it."""
    assert job.claim()
    return drive(job.run(should_stop, must=False))


async def whole(_):
    """Sweep, all of it."""
    return "whole"


def working(clock, minutes, end="whole"):
    """A sweep that takes so long, and asks every twenty seconds whether it may go on."""

    async def work(context):
        for _ in range(minutes * 3):
            clock.advance(seconds=20)
            if not await context.proceed():
                return "cut short"
        if isinstance(end, BaseException):
            raise end
        return end

    return work


@pytest.mark.parametrize("minutes", [0, 5])
def test_the_work_of_an_interval_is_done_once(clock, fleet, minutes):
    """A replica that comes after a whole run, however long it took, learns when the next one is due."""
    one, other = fleet(working(clock, minutes)), fleet(whole)
    began = clock.now()
    first = run(one)

    assert "whole" == first
    assert began + HOUR == run(other).until


@pytest.mark.parametrize("minutes", [0, 5])
def test_a_run_that_was_stopped_leaves_the_rest_to_the_next(clock, fleet, minutes):
    """A worker that is restarted in the middle of a long sweep has not done the work of the interval."""
    stopping = []

    async def work(context):
        await working(clock, minutes)(context)
        stopping.append(True)
        assert not await context.proceed()
        return "half"

    one, other = fleet(work), fleet(whole)

    assert "half" == run(one, lambda: bool(stopping))
    assert "whole" == run(other)


def test_a_run_that_does_not_ask_is_whole(clock, fleet):
    """The supervisor ended while it worked, and it worked to its end."""
    one, other = fleet(whole), fleet(whole)

    assert "whole" == run(one, lambda: True)
    assert isinstance(run(other), HeldElsewhere)


@pytest.mark.parametrize("error", [OSError(), SystemExit(1)])
def test_a_run_that_fails_late_is_a_failure_when_it_is_tried_again(clock, fleet, error):
    """It renewed its turn while it worked; its own turn must not look like that of another who does the work."""
    job = fleet(*[working(clock, 5, error)] * 2, whole)
    failures = []
    for _ in "12":
        with pytest.raises(type(error)):
            run(job)
        failures.append(job.status().failures)

    assert [1, 2] == failures
    assert "whole" == run(job)


def test_a_service_that_crashes_late_rests_like_any_other(clock, fleet):
    """However long it took until it crashed, and although it holds a turn meanwhile."""
    job = fleet(*[working(clock, 1, SystemExit(1))] * 6)
    states = []
    for _ in "123456":
        with pytest.raises(SystemExit):
            run(job)
        states.append(job.status().state)

    assert ["backing off"] * 5 + ["resting"] == states


def test_a_failed_run_leaves_the_work_to_whoever_comes(clock, fleet):
    """Another process need not wait for the turn of one that failed."""
    one, other = fleet(working(clock, 5, OSError())), fleet(whole)
    with pytest.raises(OSError):
        run(one)

    assert "whole" == run(other)


def test_a_turn_kept_by_a_clock_that_was_years_ahead_stops_nobody_for_years(clock, fleet, monkeypatch):
    """A store's clock was wrong when a lease was kept, and was set right: sweeps go on, and that lease does not count as done."""
    monkeypatch.setattr(files, "boot_id", lambda: "")  # leases are counted by the wall clock then
    one, other = fleet(*[whole] * 3), fleet(*[whole] * 3)
    clock.set(START + timedelta(days=3650))
    run(one)
    clock.set(START)
    results = []
    for _ in "123":
        results.append((run(other), isinstance(run(one), HeldElsewhere)))
        clock.advance(HOUR)

    assert [("whole", True)] * 3 == results


def test_a_turn_kept_for_a_longer_interval_is_no_wrong_clock(clock, fleet):
    """A little longer than an interval, as when clocks are corrected by seconds: it is another's turn all the same."""
    one, other = fleet(whole), fleet(whole)
    run(one)
    clock.set(clock.now() - timedelta(seconds=30))

    assert isinstance(run(other), HeldElsewhere)
