"""Leases on SQLite: measured by a monotonic clock, and over once the host is restarted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.actions.drive import drive
from resourcekit.data_layers import SQL
from resourcekit.data_layers.sql.dialects.sqlite import files
from resourcekit.testing import ManualClock

START = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def take(tmp_path):
    """Try to take the lease for a minute, and return it and whether it is held."""
    domain = Domain("leases")

    class Ticket(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/leases.db")):
        id: Attr[int] = attribute(primary_key=True)

    domain.create_storage()

    def take():
        lease = Ticket.__runtime__.store.lease("sweep", MINUTE)
        return lease, drive(lease.__aenter__())

    take.kept = domain
    return take


@pytest.fixture
def clock():
    """A clock that the test moves by hand."""
    with ManualClock(START) as moved:
        yield moved


def test_a_wall_clock_that_is_put_back_prolongs_no_lease(take, clock):
    """A day back: a minute later the lease of a dead holder is over all the same."""
    take()
    clock.set(START - timedelta(days=1))
    held, (_, early) = [], take()
    clock.advance(seconds=61)
    held.append(take()[1])

    assert (False, [True]) == (early, held)


def test_until_is_told_by_the_clock_of_who_asks(take, clock):
    """A client with another clock gets the time that it has to wait, not the time at which the other clock will show the end."""
    take()
    clock.set(START - timedelta(days=1))
    lease, held = take()

    assert (False, START - timedelta(days=1) + MINUTE) == (held, lease.until)


def test_a_lease_from_before_the_host_was_started_is_free(take, clock, tmp_path):
    """The monotonic clock began anew; what it once counted says nothing."""
    take()
    with closing(sqlite3.connect(tmp_path / "leases.db")) as connection:
        connection.execute("UPDATE resourcekit_leases SET until = until + 1000000000000, clock = 'another-boot'")
        connection.commit()

    assert take()[1] is True


def test_without_a_name_of_the_boot_the_wall_clock_counts(take, clock, monkeypatch):
    """As on systems without a boot identity: a lease is held until its time is over, and free afterwards."""
    monkeypatch.setattr(files, "boot_id", lambda: "")
    _, first = take()
    lease, second = take()
    clock.advance(seconds=61)

    assert (True, False, START + MINUTE, True) == (first, second, lease.until, take()[1])
