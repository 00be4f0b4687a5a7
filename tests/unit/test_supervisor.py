"""The Supervisor in threads: when services run, what a failure does, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from queue import Queue

import pytest

from resourcekit import Attr, Domain, Resource, attribute, context
from resourcekit.errors import DeclarationError, InvalidArgument, WrongColour
from resourcekit.extending import Extension, Service, ServiceContext, ambient_context, current_clock
from resourcekit.supervisor import Scheduling, ServiceStatus, Supervisor
from resourcekit.testing.clock import ManualClock

START = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 10
"""Seconds of real time after which a test gives up; none waits that long when all is well."""

latest = Scheduling(uniform=lambda _low, high: high)
"""Chance always takes the longest pause."""


class Keyed(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)


class Sweep(Service):
    """Returns what the test puts in, or raises it."""

    outcomes: list[object]

    def __init__(self) -> None:
        self.outcomes = []

    def interval(self, options):
        return timedelta(hours=12)

    async def run(self, context: ServiceContext) -> object:
        outcome = self.outcomes.pop(0) if self.outcomes else "done"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(context) if callable(outcome) else outcome


def declare(*services: type[Service], name: str = "Ticket", domain: Domain | None = None) -> type[Resource]:
    """Return a resource that has these services."""

    class Sweeping(Extension):
        pass

    Sweeping.services = services
    options = {"domain": domain or Domain("d"), "extensions": [Sweeping]}
    return types.new_class(name, (Keyed,), options, lambda body: body.update(__module__=__name__))


def scripted(*outcomes: object, name: str = "") -> type[Service]:
    """A service whose first runs have these outcomes."""

    class Scripted(Sweep):
        def __init__(self) -> None:
            self.outcomes = list(outcomes)

    Scripted.name = name or "Sweep"
    return Scripted


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """Time that stands still until the test moves it."""
    with ManualClock(START) as moved:
        yield moved


@pytest.fixture
def runs() -> Queue[ServiceStatus]:
    """The runs that ended, as ``on_run`` tells of them."""
    return Queue()


def test_first_run_comes_within_a_minute_of_the_start(clock, runs):
    """However long the interval is, a service has run one minute after the start."""
    with Supervisor(declare(Sweep), on_run=runs.put):
        clock.advance(seconds=60)

        assert "done" == runs.get(timeout=PATIENCE).last_result


def test_first_run_waits_for_its_random_moment(clock):
    """Before its moment a service is due, and has not run."""
    with Supervisor(declare(Sweep), scheduling=latest) as supervisor:
        clock.until_waiting()
        clock.advance(seconds=59)
        clock.until_waiting()
        (status,) = supervisor.status()

        assert ("waiting", 0, START + timedelta(seconds=60)) == (status.state, status.runs, status.next_due)


def test_next_run_comes_an_interval_after_the_start_of_the_last(clock, runs):
    """The interval counts from the start of one run to the start of the next, however long the first took."""
    slow = scripted(lambda _: clock.advance(hours=5))

    with Supervisor(declare(slow), on_run=runs.put, scheduling=latest):
        clock.advance(seconds=60)
        first = runs.get(timeout=PATIENCE)

        assert (START + timedelta(seconds=60), 5 * 3600.0) == (first.last_run, first.last_seconds)
        assert START + timedelta(hours=12, seconds=60) == first.next_due

        clock.advance(hours=7)

        assert first.next_due == runs.get(timeout=PATIENCE).last_run


def test_missed_runs_are_not_made_up_for(clock, runs):
    """After three days in which the machine slept there is one run, and the next one an interval later."""
    with Supervisor(declare(Sweep), on_run=runs.put) as supervisor:
        clock.advance(days=3)
        runs.get(timeout=PATIENCE)
        clock.until_waiting()
        (status,) = supervisor.status()

        assert (1, START + timedelta(days=3, hours=12)) == (status.runs, status.next_due)


def test_failed_run_backs_off_and_recovers(clock, runs):
    """A failure is counted and tried again after a pause; a good run ends it, and the interval holds again."""
    with Supervisor(declare(scripted(OSError("x"), OSError("x"), "fine")), on_run=runs.put, scheduling=latest) as supervisor:
        clock.advance(seconds=60)
        failed = runs.get(timeout=PATIENCE)

        assert ("backing off", 1, "OSError") == (failed.state, failed.failures, failed.last_error)
        assert START + timedelta(seconds=61) == failed.next_due

        clock.advance(seconds=1)

        assert START + timedelta(seconds=63) == runs.get(timeout=PATIENCE).next_due

        clock.advance(seconds=2)
        fine = runs.get(timeout=PATIENCE)

        assert ("waiting", 0, "", "fine", 3) == (fine.state, fine.failures, fine.last_error, fine.last_result, fine.runs)
        assert START + timedelta(hours=12, seconds=63) == fine.next_due
        assert fine == supervisor.status()[0]


def test_status_names_an_error_without_its_text(clock, runs):
    """The text of an exception may hold values, so that it is nowhere in the status."""
    with Supervisor(declare(scripted(ValueError("secret"))), on_run=runs.put):
        clock.advance(seconds=60)

        assert "secret" not in repr(runs.get(timeout=PATIENCE))


@pytest.mark.parametrize("outcome", [RuntimeError(), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), BaseException()])
def test_whatever_one_service_raises_touches_no_other(clock, runs, outcome):
    """A service can raise anything, and the others run on; so does it itself."""
    domain = Domain("two")
    bad, good = declare(scripted(outcome), name="Bad", domain=domain), declare(Sweep, name="Good", domain=domain)

    with Supervisor(domain, on_run=runs.put) as supervisor:
        clock.advance(seconds=60)
        seen = {status.resource: status for status in (runs.get(timeout=PATIENCE), runs.get(timeout=PATIENCE))}

        assert (type(outcome).__name__, "") == (seen[bad].last_error, seen[good].last_error)

        clock.advance(hours=13)

        assert ["", ""] == [runs.get(timeout=PATIENCE).last_error for _ in "12"]
        assert "running" == supervisor.state


def test_a_service_that_suspends_in_a_thread_fails_alone(clock, runs):
    """What waits in a sync program is WrongColour for that run, and the worker goes on."""

    class Suspends(Sweep):
        async def run(self, context):
            await types.coroutine(lambda: (yield))()

    with Supervisor(declare(Suspends), on_run=runs.put):
        clock.advance(seconds=60)

        assert "WrongColour" == runs.get(timeout=PATIENCE).last_error

        clock.advance(seconds=5)

        assert 2 == runs.get(timeout=PATIENCE).runs


def test_stop_does_not_wait_for_what_is_not_due(clock):
    """A supervisor whose services wait stops at once, and says that they are stopped."""
    with Supervisor(declare(Sweep), declare(Sweep, name="Other")) as supervisor:
        clock.until_waiting(2)
    (first, second) = supervisor.status()

    assert ("stopped", "stopped", "stopped", None) == (supervisor.state, first.state, second.state, first.next_due)


def test_a_run_is_told_to_stop(clock):
    """``should_stop()`` becomes true for a run that is going on, and what it returns is its result."""
    going_on = threading.Event()

    def until_told(context: ServiceContext) -> str:
        going_on.set()
        while not context.should_stop():
            time.sleep(0.001)
        return "half"

    supervisor = Supervisor(declare(scripted(until_told)))
    supervisor.start()
    clock.advance(seconds=60)
    going_on.wait(PATIENCE)

    assert "running" == supervisor.status()[0].state
    assert supervisor.stop(PATIENCE)
    assert ("stopped", "half", "") == (
        supervisor.status()[0].state,
        supervisor.status()[0].last_result,
        supervisor.status()[0].last_error,
    )


def test_stop_returns_though_a_run_hangs(clock, runs):
    """After its timeout ``stop`` returns false; the run is shown as what it is, and is the last one."""
    going_on, end = threading.Event(), threading.Event()

    def hang(_: ServiceContext) -> None:
        going_on.set()
        end.wait(PATIENCE)

    supervisor = Supervisor(declare(scripted(hang)), on_run=runs.put)
    supervisor.start()
    clock.advance(seconds=60)
    going_on.wait(PATIENCE)

    before = time.monotonic()
    assert not supervisor.stop(timeout=timedelta(milliseconds=50))
    assert time.monotonic() - before < 0.55
    assert ("stopped", "running") == (supervisor.state, supervisor.status()[0].state)

    end.set()

    assert "stopped" == runs.get(timeout=PATIENCE).state


def test_a_run_left_behind_does_not_overlap_with_the_next_start(clock, runs):
    """Started again while an old run hangs, the supervisor runs that service once the old run has ended."""
    going_on, end = threading.Event(), threading.Event()

    def hang(_: ServiceContext) -> str:
        going_on.set()
        end.wait(PATIENCE)
        return "old"

    supervisor = Supervisor(declare(scripted(hang)), on_run=runs.put)
    supervisor.start()
    clock.advance(seconds=60)
    going_on.wait(PATIENCE)
    supervisor.stop(0)
    with supervisor:
        clock.advance(seconds=60)
        clock.until_waiting()

        assert 0 == supervisor.status()[0].runs

        end.set()

        assert "old" == runs.get(timeout=PATIENCE).last_result

        clock.advance(hours=12)

        assert "done" == runs.get(timeout=PATIENCE).last_result


def test_started_again_it_goes_on_and_remembers(clock, runs):
    """A supervisor can be started after a stop; its first run comes soon again, and the history stays."""
    supervisor = Supervisor(declare(Sweep), on_run=runs.put)
    for count in (1, 2):
        with supervisor:
            clock.advance(seconds=60)

            assert count == runs.get(timeout=PATIENCE).runs


def test_start_twice_is_start(clock):
    """Two server hooks may both call ``start``; there is one worker a service."""
    supervisor = Supervisor(declare(Sweep))
    supervisor.start()
    supervisor.start()
    with pytest.raises(TimeoutError):
        clock.until_waiting(2, timeout=0.05)
    supervisor.stop()

    assert supervisor.stop()


def test_resources_that_join_later_are_supervised_from_the_next_start(clock, runs):
    """The members of a domain are those of the moment of the start."""
    domain = Domain("growing")
    first = declare(Sweep, name="First", domain=domain)
    supervisor = Supervisor(domain, on_run=runs.put)
    second = declare(Sweep, name="Second", domain=domain)
    with supervisor:
        clock.advance(seconds=60)

        assert {first, second} == {runs.get(timeout=PATIENCE).resource for _ in "12"}


def test_a_start_that_cannot_spawn_leaves_nothing_behind(clock):
    """When the system refuses a thread, ``start`` raises, and the workers that were there already end."""
    ended = threading.Event()

    def spawn(target, name):
        if "Other" in name:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        threading.Thread(target=lambda: (target(), ended.set()), daemon=True).start()

    supervisor = Supervisor(declare(Sweep), declare(Sweep, name="Other"), scheduling=Scheduling(spawn=spawn))

    with pytest.raises(RuntimeError):
        supervisor.start()
    assert ended.wait(PATIENCE)
    assert "stopped" == supervisor.state


def test_services_have_neither_the_actor_nor_the_deadline_of_the_starter(clock):
    """Work in the background is nobody's call; its own context is empty."""
    seen: Queue[object] = Queue()
    with (
        context(actor="admin", deadline=timedelta(seconds=1)),
        Supervisor(declare(scripted(lambda _: seen.put((ambient_context(), current_clock()))))),
    ):
        clock.advance(seconds=60)
        surroundings, its_clock = seen.get(timeout=PATIENCE)

    assert (None, None, None, clock) == (surroundings.actor, surroundings.deadline, surroundings.ends_at, its_clock)


def test_an_onlooker_that_fails_changes_nothing(clock):
    """What ``on_run`` raises is logged, and the service stays on its schedule."""
    seen: Queue[ServiceStatus] = Queue()

    def on_run(status: ServiceStatus) -> None:
        seen.put(status)
        raise ValueError

    with Supervisor(declare(Sweep), on_run=on_run):
        clock.advance(seconds=60)
        seen.get(timeout=PATIENCE)
        clock.advance(hours=12)

        assert (2, 0) == ((status := seen.get(timeout=PATIENCE)).runs, status.failures)


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

    with pytest.raises(WrongColour):
        supervisor.run_now(ticket)


def test_run_now_refuses_what_is_not_supervised():
    """The error names what is."""
    supervisor = Supervisor(declare(Sweep))

    with pytest.raises(InvalidArgument, match="Ticket"):
        supervisor.run_now(Keyed)


def test_stop_inside_a_service_does_not_wait_for_itself(clock, runs):
    """A service may end its own supervisor."""
    supervisor = Supervisor(declare(scripted(lambda _: supervisor.stop(PATIENCE))), on_run=runs.put)
    supervisor.start()
    clock.advance(seconds=60)

    assert runs.get(timeout=PATIENCE).last_result is True
    assert "stopped" == supervisor.state


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


FORKED = """
import os, sys
from datetime import timedelta
from resourcekit import Attr, Resource, attribute
from resourcekit.extending import Extension, Service
from resourcekit.supervisor import Supervisor
from threading import Event
ran = Event()
class Sweep(Service):
    def interval(self, options): return timedelta(seconds=1)
    async def run(self, context): ran.set()
class Sweeping(Extension): services = (Sweep,)
class Ticket(Resource, extensions=[Sweeping]):
    id: Attr[int] = attribute(primary_key=True)
supervisor = Supervisor(Ticket)
supervisor.start()
ran.wait(10)
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    print("parent", supervisor.state, os.waitstatus_to_exitcode(status), supervisor.stop())
else:
    ran.clear()
    seen = [supervisor.state, supervisor.status()[0].state, supervisor.status()[0].runs, supervisor.stop()]
    supervisor.start()
    print("child", *seen, supervisor.state, ran.wait(10), supervisor.stop(), flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="no fork on this system")
def test_a_forked_child_has_no_running_supervisor_and_says_so():
    """In the child nothing runs and nothing hangs; started there, it works; the parent's goes on."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=60, check=True)

    assert ["child forked stopped 0 True running True True", "parent running 0 True"] == done.stdout.splitlines()
    assert "forked" in done.stderr
