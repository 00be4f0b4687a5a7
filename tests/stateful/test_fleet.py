"""A fleet takes turns: never two sweeps at once beyond a hand-over, never an interval without one while a worker lives."""

from __future__ import annotations

import itertools
import logging
import sys
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fleet import START, Fleet  # found beside this file

from resourcekit.data_layers import SQL, Memory  # below the path
from resourcekit.testing import ManualClock

INTERVAL = timedelta(hours=1)


@pytest.fixture(autouse=True)
def quiet(caplog):
    """The thousands of failures that are simulated are not what a reader of the log wants."""
    caplog.set_level(logging.CRITICAL, "resourcekit.supervisor")


def overlaps(fleet):
    """Return pairs of sweeps of which one began while the other held its turn."""
    ordered = sorted(fleet.history, key=lambda run: run.began)
    return [(one, other) for one, other in itertools.pairwise(ordered) if other.began < one.ended]


def gaps(fleet, hours):
    """Return the seconds between one good sweep and the next, with the beginning and the end of time."""
    good = sorted(run.began for run in fleet.history if run.good)
    return [later - earlier for earlier, later in itertools.pairwise([0.0, *good, hours * 3600])]


@pytest.mark.parametrize("seed", range(2))
def test_a_sound_fleet_sweeps_once_an_interval(seed):
    """32 workers, no faults: as many sweeps as intervals, one at a time."""
    hours = 100
    with ManualClock(START) as clock:
        fleet = Fleet(seed, INTERVAL, clock)
        fleet.simulate(32, hours)

    assert hours - 3 <= len(fleet.history) <= hours + 1
    assert [] == overlaps(fleet)
    assert max(gaps(fleet, hours)) <= 3600 + 60 + 60


@pytest.mark.parametrize("seed", range(2))
def test_workers_that_restart_every_five_minutes_still_sweep_once_an_interval(seed):
    """No worker lives as long as the interval, and none of them starts it anew."""
    hours = 50
    with ManualClock(START) as clock:
        fleet = Fleet(seed, timedelta(hours=12), clock)
        fleet.simulate(32, hours, restart_every=300)
    good = [run for run in fleet.history if run.good]

    assert 4 <= len(good) <= 6
    assert max(gaps(fleet, hours)) <= 12 * 3600 + 600


@pytest.mark.parametrize("seed", range(2))
def test_a_faulty_fleet_never_leaves_an_interval_out(seed):
    """With crashes, pauses and outages of the store a sweep still ends well in about every interval."""
    hours = 200
    with ManualClock(START) as clock:
        fleet = Fleet(seed, INTERVAL, clock, crash=0.02, stall=0.01, outage=0.02)
        fleet.simulate(8, hours)

    # An outage of at most ten minutes, a dead holder's minute, and a retry after at most an interval's back-off.
    assert max(gaps(fleet, hours)) <= 2 * 3600 + 600
    assert [] == overlaps(fleet)


@pytest.mark.parametrize(("layer", "seed", "hours"), [*(("memory", seed, 200) for seed in range(2)), ("sqlite", 0, 25)])
def test_wall_clocks_that_jump_change_nothing(tmp_path, layer, seed, hours):
    """Single workers' clocks are put forward or back by up to an hour, with all other faults: the same holds."""
    with ManualClock(START) as clock:
        fleet = jumping(seed, clock, tmp_path if layer == "sqlite" else None)
        fleet.simulate(8, hours)

    assert max(gaps(fleet, hours)) <= 2 * 3600 + 600
    assert [] == overlaps(fleet)


def jumping(seed, clock, folder=None):
    """Return a fleet with all faults, and clocks that jump; on SQLite where a folder is given."""
    layer = Memory() if folder is None else SQL(f"sqlite:///{folder}/fleet.db")
    return Fleet(seed, INTERVAL, clock, crash=0.02, stall=0.01, outage=0.02, jump=0.02, layer=layer)


@pytest.mark.parametrize("folder", [False, True], ids=["memory", "sqlite"])
def test_a_sound_fleet_whose_clocks_jump_sweeps_once_an_interval(tmp_path, folder):
    """Not once more: a clock that is put forward ends no lease, and one that is put back prolongs none."""
    hours = 50
    with ManualClock(START) as clock:
        layer = SQL(f"sqlite:///{tmp_path}/fleet.db") if folder else Memory()
        fleet = Fleet(7, INTERVAL, clock, jump=0.2, layer=layer)
        fleet.simulate(8, hours)

    assert hours - 3 <= len(fleet.history) <= hours + 1
    assert [] == overlaps(fleet)
    assert max(gaps(fleet, hours)) <= 3600 + 60 + 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 220))
def test_thousands_of_hours_of_jumping_clocks(seed):
    """The same over 20 fleets of 1,000 hours each."""
    hours = 1000
    with ManualClock(START) as clock:
        fleet = jumping(seed, clock)
        fleet.simulate(4 + seed % 13, hours)

    assert max(gaps(fleet, hours)) <= 2 * 3600 + 600
    assert [] == overlaps(fleet)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_thousands_of_hours(seed):
    """The same over 40 fleets of 1,000 hours each."""
    hours = 1000
    with ManualClock(START) as clock:
        fleet = Fleet(seed, INTERVAL, clock, crash=0.02, stall=0.01, outage=0.02)
        fleet.simulate(4 + seed % 13, hours)

    assert max(gaps(fleet, hours)) <= 2 * 3600 + 600
    assert [] == overlaps(fleet)
