"""A service that is run out of turn, in the caller's own thread."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from supervised import PATIENCE, START, Keyed, Sweep, declare, latest, scripted

from resourcekit.errors import InvalidArgument, MixedCallMode
from resourcekit.extending import ServiceContext
from resourcekit.supervisor import Supervisor


def test_run_now_returns_the_results_by_name():
    """Without a start, too, each service of the resource runs once, in this thread."""
    ticket = declare(scripted("a", name="one"), scripted("b", name="two"))
    supervisor = Supervisor(ticket)

    assert {"one": "a", "two": "b"} == supervisor.run_now(ticket)
    assert [("stopped", 1), ("stopped", 1)] == [(status.state, status.runs) for status in supervisor.status()]


def test_run_now_raises_what_a_service_raises_after_all_have_run():
    """One error comes as itself, several as a group; each run is recorded."""
    one = declare(scripted(ValueError("a"), name="one"), scripted("b", name="two"))
    two = declare(scripted(ValueError("a"), name="one"), scripted(OSError("b"), name="two"), name="Other")
    supervisor = Supervisor(one, two)

    with pytest.raises(ValueError, match="a"):
        supervisor.run_now(one)
    with pytest.raises(ExceptionGroup) as caught:
        supervisor.run_now(two)
    assert [ValueError, OSError] == [type(error) for error in caught.value.exceptions]
    assert ["ValueError", "", "ValueError", "OSError"] == [status.last_error for status in supervisor.status()]


def test_run_now_moves_the_next_run(clock, runs):
    """After a run by hand the next one comes an interval later."""
    ticket = declare(Sweep)
    with Supervisor(ticket, on_run=runs.put, scheduling=latest) as supervisor:
        clock.advance(seconds=30)
        supervisor.run_now(ticket)

        assert START + timedelta(hours=12, seconds=30) == runs.get(timeout=PATIENCE).next_due


def test_run_now_that_fails_is_tried_again_soon(clock, runs):
    """A failed run by hand wakes the worker, which tries again after a short pause, not at the old moment."""
    ticket = declare(scripted("fine", OSError(), "again"))
    with Supervisor(ticket, on_run=runs.put, scheduling=latest) as supervisor:
        clock.advance(seconds=60)
        runs.get(timeout=PATIENCE)
        with pytest.raises(OSError):
            supervisor.run_now(ticket)
        runs.get(timeout=PATIENCE)
        clock.advance(seconds=1)

        assert "again" == runs.get(timeout=PATIENCE).last_result


def test_run_now_waits_for_the_run_that_is_going_on(clock):
    """Two runs of one service never overlap, wherever they come from."""
    going_on, end, order = threading.Event(), threading.Event(), []

    def slow(_: ServiceContext) -> None:
        going_on.set()
        end.wait(PATIENCE)
        order.append("scheduled")

    ticket = declare(scripted(slow, lambda _: order.append("by hand")))
    with Supervisor(ticket) as supervisor:
        clock.advance(seconds=60)
        going_on.wait(PATIENCE)
        by_hand = threading.Thread(target=supervisor.run_now, args=(ticket,))
        by_hand.start()
        end.set()
        by_hand.join(PATIENCE)

    assert ["scheduled", "by hand"] == order


def test_a_run_cannot_wait_for_itself():
    """``run_now`` inside the very run it would wait for is refused instead of hanging."""
    found: list[object] = []

    def inner(_: ServiceContext) -> None:
        found.append(supervisor.run_now(ticket))

    ticket = declare(scripted(inner))
    supervisor = Supervisor(ticket)

    with pytest.raises(MixedCallMode):
        supervisor.run_now(ticket)


def test_run_now_refuses_what_is_not_supervised():
    """The error names what is."""
    supervisor = Supervisor(declare(Sweep))

    with pytest.raises(InvalidArgument, match="Ticket"):
        supervisor.run_now(Keyed)
