"""The Supervisor in an event loop: the same services as tasks."""

from __future__ import annotations

import asyncio
import threading
import time
import types
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.errors import MixedCallMode
from resourcekit.extending import Extension, Service, ServiceContext
from resourcekit.supervisor import ServiceStatus, Supervisor
from resourcekit.testing.clock import ManualClock

START = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 10
"""Seconds of real time after which a test gives up."""

Step = Callable[[ServiceContext], Coroutine[Any, Any, object]]


class Keyed(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)


async def well(_: ServiceContext) -> str:
    """Suspend once, and be done."""
    await asyncio.sleep(0)
    return "done"


def declare(*steps: Step, name: str = "Ticket", domain: Domain | None = None) -> type[Resource]:
    """A resource with a service whose first runs are these steps; all others go well."""

    class Sweep(Service):
        def __init__(self) -> None:
            self.steps = list(steps)

        def interval(self, options):
            return timedelta(hours=12)

        async def run(self, context: ServiceContext) -> object:
            return await (self.steps.pop(0) if self.steps else well)(context)

    class Sweeping(Extension):
        services = (Sweep,)

    options = {"domain": domain or Domain("d"), "extensions": [Sweeping]}
    return types.new_class(name, (Keyed,), options, lambda body: body.update(__module__=__name__))


def in_loop(test: Callable[[ManualClock], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run an async test under a clock moved by hand."""

    def run() -> None:
        async def bounded() -> None:
            with ManualClock(START) as clock:
                await asyncio.wait_for(test(clock), PATIENCE)

        asyncio.run(bounded())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class Runs(asyncio.Queue[ServiceStatus]):
    """The runs that ended, as listeners get them."""

    def __call__(self, status: ServiceStatus) -> None:
        self.put_nowait(status)


@in_loop
async def test_services_run_as_tasks_of_the_loop(clock):
    """Under ``async with`` a service runs soon after the start, then once an interval, and may suspend."""
    runs = Runs()
    async with Supervisor(declare(), on_run=runs) as supervisor:
        clock.advance(seconds=60)

        assert "done" == (await runs.get()).last_result

        clock.advance(hours=13)

        assert 2 == (await runs.get()).runs
        assert "running" == supervisor.state

    assert ("stopped", "stopped") == (supervisor.state, supervisor.status()[0].state)


@in_loop
async def test_a_failing_service_touches_no_other(clock):
    """One fails, ends its run by SystemExit, or cancels itself; it is tried again, and the other runs as ever."""

    async def fails(_: ServiceContext) -> None:
        raise OSError

    async def exits(_: ServiceContext) -> None:
        raise SystemExit

    async def cancels_itself(_: ServiceContext) -> None:
        raise asyncio.CancelledError

    domain, runs = Domain("two"), Runs()
    bad, good = declare(fails, exits, cancels_itself, name="Bad", domain=domain), declare(name="Good", domain=domain)
    async with Supervisor(domain, on_run=runs):
        clock.advance(seconds=60)
        seen = {status.resource: status.last_error for status in (await runs.get(), await runs.get())}

        assert {bad: "OSError", good: ""} == seen

        clock.advance(seconds=1)

        assert ("SystemExit", 2) == ((second := await runs.get()).last_error, second.failures)

        clock.advance(seconds=2)

        assert ("CancelledError", 3) == ((third := await runs.get()).last_error, third.failures)

        clock.advance(seconds=4)

        assert ("", 0) == ((fourth := await runs.get()).last_error, fourth.failures)


@in_loop
async def test_a_run_that_does_not_stop_is_cancelled(clock):
    """After the timeout a task is cancelled, which is no failure of the service."""
    going_on = asyncio.Event()

    async def endless(_: ServiceContext) -> None:
        going_on.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(declare(endless))
    await supervisor.start.aio()
    clock.advance(seconds=60)
    await going_on.wait()
    before = time.monotonic()

    assert await supervisor.stop.aio(timeout=0.05)
    assert time.monotonic() - before < 0.55
    (status,) = supervisor.status()
    assert ("stopped", "CancelledError", 0) == (status.state, status.last_error, status.failures)


@in_loop
async def test_stop_returns_though_a_task_will_not_be_cancelled(clock):
    """A service that swallows its cancellation is left behind, and shown as running."""
    going_on, end = asyncio.Event(), asyncio.Event()

    async def stubborn(_: ServiceContext) -> None:
        going_on.set()
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()

    supervisor = Supervisor(declare(stubborn))
    await supervisor.start.aio()
    clock.advance(seconds=60)
    await going_on.wait()
    before = time.monotonic()

    assert not await supervisor.stop.aio(0.05)
    assert time.monotonic() - before < 0.55
    assert ("stopped", "running") == (supervisor.state, supervisor.status()[0].state)

    end.set()


@in_loop
async def test_run_now_in_a_task_waits_for_the_run_that_is_going_on(clock):
    """``run_now.aio`` lets the loop go on meanwhile, and runs do not overlap."""
    going_on, end, order = asyncio.Event(), asyncio.Event(), []

    async def slow(_: ServiceContext) -> None:
        going_on.set()
        await end.wait()
        order.append("scheduled")

    async def quick(_: ServiceContext) -> str:
        order.append("by hand")
        return "quick"

    ticket = declare(slow, quick)
    async with Supervisor(ticket) as supervisor:
        clock.advance(seconds=60)
        await going_on.wait()
        with pytest.raises(MixedCallMode):
            supervisor.run_now(ticket)
        by_hand = asyncio.create_task(supervisor.run_now.aio(ticket))
        await asyncio.sleep(0)
        end.set()

        assert {"Sweep": "quick"} == await by_hand

    assert ["scheduled", "by hand"] == order


@in_loop
async def test_a_sync_stop_would_hold_up_the_loop_it_waits_for(clock):
    """It is refused with the way to write it, and the supervisor runs on."""
    async with Supervisor(declare()) as supervisor:
        with pytest.raises(MixedCallMode, match=r"stop\.aio"):
            supervisor.stop()

        assert "running" == supervisor.state


@in_loop
async def test_a_loops_supervisor_can_be_stopped_from_another_thread(clock):
    """A signal thread may stop it, and the loop goes on meanwhile."""
    supervisor = Supervisor(declare())
    await supervisor.start.aio()

    assert await asyncio.to_thread(supervisor.stop, PATIENCE)
    assert "stopped" == supervisor.state


@in_loop
async def test_a_threaded_supervisor_can_be_stopped_from_a_loop(clock):
    """``await stop.aio()`` waits for threads without holding up the loop."""
    going_on, end = threading.Event(), threading.Event()

    class Blocks(Service):
        def interval(self, options):
            return timedelta(hours=1)

        async def run(self, context: ServiceContext) -> None:
            going_on.set()
            end.wait(PATIENCE)

    class Blocking(Extension):
        services = (Blocks,)

    ticket = types.new_class("Ticket", (Keyed,), {"extensions": [Blocking]}, lambda body: body.update(__module__=__name__))
    supervisor = Supervisor(ticket)
    supervisor.start()
    clock.advance(seconds=60)
    going_on.wait(PATIENCE)
    stopping = asyncio.create_task(supervisor.stop.aio(PATIENCE))
    await asyncio.sleep(0)
    end.set()

    assert await stopping


def test_a_loop_that_ended_takes_its_supervisor_along():
    """Without a stop, too, the status shows that nothing runs any more, and it can be started anew."""
    supervisor = Supervisor(declare())
    asyncio.run(supervisor.start.aio())

    assert ("stopped", "stopped", None) == (supervisor.state, supervisor.status()[0].state, supervisor.status()[0].next_due)

    with supervisor:
        assert "running" == supervisor.state


@in_loop
async def test_cancelling_the_block_stops_the_services(clock):
    """A task that is cancelled inside ``async with`` leaves no service behind."""
    supervisor, entered = Supervisor(declare()), asyncio.Event()

    async def serve() -> None:
        async with supervisor:
            entered.set()
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await entered.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert "stopped" == supervisor.state
