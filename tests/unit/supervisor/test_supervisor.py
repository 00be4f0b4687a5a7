"""The Supervisor in threads: when services run, what a failure does, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import types
from datetime import timedelta
from queue import Queue

import pytest
from supervised import PATIENCE, START, Sweep, declare, latest, scripted

from resourcekit import Domain, context
from resourcekit.errors import InvalidArgument
from resourcekit.extending import ServiceContext, ambient_context, current_clock
from resourcekit.supervisor import Scheduling, ServiceStatus, Supervisor


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


def test_log_records_carry_their_facts_by_name(clock, runs, caplog):
    """For a handler that writes JSON; quiet as long as all goes well."""
    with Supervisor(declare(scripted("fine", OSError("secret"))), on_run=runs.put, scheduling=latest, startup_check=False):
        clock.advance(seconds=60)
        runs.get(timeout=PATIENCE)
        clock.advance(hours=12)
        runs.get(timeout=PATIENCE)
    (record,) = [record for record in caplog.records if record.name == "resourcekit.supervisor"]

    assert {
        "service": "Sweep",
        "resource": "Ticket",
        "state": "backing off",
        "failures": 1,
        "error": "OSError",
        "seconds": 0.0,
    } == (record.resourcekit)
    assert "secret" not in record.getMessage()


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
    """What waits in a sync program is MixedCallMode for that run, and the worker goes on."""

    class Suspends(Sweep):
        async def run(self, context):
            await types.coroutine(lambda: (yield))()

    with Supervisor(declare(Suspends), on_run=runs.put):
        clock.advance(seconds=60)

        assert "MixedCallMode" == runs.get(timeout=PATIENCE).last_error

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
    """Work in the background belongs to no call; its own context is empty."""
    seen: Queue[object] = Queue()
    with (
        context(actor="admin", deadline=timedelta(seconds=1)),
        Supervisor(declare(scripted(lambda _: seen.put((ambient_context(), current_clock()))))),
    ):
        clock.advance(seconds=60)
        deployment, its_clock = seen.get(timeout=PATIENCE)

    assert (None, None, clock) == (deployment.actor, deployment.deadline, its_clock)


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


def test_stop_inside_a_service_does_not_wait_for_itself(clock, runs):
    """A service may end its own supervisor."""
    supervisor = Supervisor(declare(scripted(lambda _: supervisor.stop(PATIENCE))), on_run=runs.put)
    supervisor.start()
    clock.advance(seconds=60)

    assert runs.get(timeout=PATIENCE).last_result is True
    assert "stopped" == supervisor.state


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


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), 1e12, -1, True])
def test_a_stop_takes_a_time_that_a_thread_can_wait(timeout):
    """Infinity, a number of no size and a thousand years are an error of the argument."""
    with pytest.raises(InvalidArgument, match="takes seconds"):
        Supervisor(declare(Sweep)).stop(timeout)
