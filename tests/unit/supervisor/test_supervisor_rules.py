"""What the Supervisor refuses to begin with, and the rules of time."""

from __future__ import annotations

import types
from datetime import UTC, datetime, timedelta

import pytest
from supervised import PATIENCE, Keyed, Sweep, declare, latest

from resourcekit import Domain
from resourcekit.errors import DeclarationError
from resourcekit.supervisor import Scheduling, Supervisor


def test_nothing_named_says_what_to_write():
    """``Supervisor()`` is an error with an example."""
    with pytest.raises(DeclarationError, match=r"Supervisor\(accounts\)") as caught:
        Supervisor()

    assert "RK070" == caught.value.code


def test_each_target_must_bring_a_service():
    """A domain without resources is RK071; a resource without services RK074, also beside one that has some."""
    plain = types.new_class("Plain", (Keyed,), {"domain": Domain("plain")}, lambda body: body.update(__module__=__name__))

    with pytest.raises(DeclarationError) as empty:
        Supervisor(Domain("empty"))
    with pytest.raises(DeclarationError) as idle:
        Supervisor(declare(Sweep), plain)
    assert ("RK071", "RK074") == (empty.value.code, idle.value.code)
    assert "empty" in str(empty.value)
    assert "Plain" in str(idle.value)


@pytest.mark.parametrize("interval", [timedelta(milliseconds=999), timedelta(0), 3600, None])
def test_an_interval_under_a_second_is_refused(interval):
    """RK075 comes when the supervisor is made, not when the service would have run."""

    class Hasty(Sweep):
        def interval(self, options):
            return interval

    with pytest.raises(DeclarationError) as caught:
        Supervisor(declare(Hasty))

    assert "RK075" == caught.value.code


def test_an_endless_interval_is_no_overflow(clock, runs):
    """The longest timedelta there is can be waited for, and is shown as the last moment there is."""

    class Rare(Sweep):
        def interval(self, options):
            return timedelta.max

    with Supervisor(declare(Rare), on_run=runs.put):
        clock.advance(seconds=60)

        assert datetime.max.replace(tzinfo=UTC) == runs.get(timeout=PATIENCE).next_due


def test_first_run_falls_within_a_short_interval():
    """A service that runs each ten seconds does not wait a minute for its first run."""
    assert (110.0, 160.0) == (latest.first(100.0, 10.0), latest.first(100.0, 3600.0))


def test_retries_double_up_to_the_interval():
    """The longest pause is 1, 2, 4, ... seconds, and never more than an interval, however many failures there were."""
    pauses = [latest.after_failure(0.0, failures, 60.0) for failures in (1, 2, 3, 6, 7, 5000)]

    assert [1.0, 2.0, 4.0, 32.0, 60.0, 60.0] == pauses


def test_retries_have_full_jitter():
    """The pause is drawn from zero up."""
    drawn: list[tuple[float, float]] = []
    Scheduling(uniform=lambda low, high: drawn.append((low, high)) or low).after_failure(0.0, 4, 60.0)

    assert [(0.0, 8.0)] == drawn


def test_a_run_that_took_too_long_is_followed_at_once():
    """A run longer than its interval is not late for a second one of its past."""
    assert (12.0, 30.0) == (latest.after_success(2.0, 5.0, 10.0), latest.after_success(2.0, 30.0, 10.0))
