"""A fleet of processes in simulated time: they start, sweep, crash, pause and meet outages, all by one seed.

Each process is a Job of the Supervisor, driven step by step; time is a clock moved by hand, chance comes from the seed, and
the store is Memory, seen as one that all processes share, or an SQLite file. The wall clock of single processes may jump while
their monotonic time goes on.
"""

from __future__ import annotations

import heapq
import itertools
import random
import types
from collections.abc import Generator
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.actions.drive import drive
from resourcekit.clock import here
from resourcekit.data_layers import Memory
from resourcekit.data_layers.base import DataLayer, Lease
from resourcekit.errors import Unavailable
from resourcekit.extending import Clock, Service, ServiceContext, current_clock
from resourcekit.supervisor import Scheduling
from resourcekit.supervisor.job import Job
from resourcekit.testing import ManualClock

START = datetime(2030, 1, 1, tzinfo=UTC)
_NUMBERS = itertools.count()


class Wall(Clock):
    """The clock of one process: its monotonic time is that of all, its wall clock may be set wrongly."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock, self.wrong = clock, timedelta(0)

    def now(self) -> datetime:
        """Wall time, which a test can set."""
        return self._clock.now() + self.wrong

    def monotonic(self) -> float:
        """Monotonic seconds, which a test cannot set."""
        return self._clock.monotonic()


class Died(BaseException):
    """The process is gone: nothing is tidied up."""


@types.coroutine
def pause(seconds: float) -> Generator[float]:
    """Let simulated time pass."""
    yield seconds


class Mortal(Lease):
    """A lease of a process that can die; what it holds then stays held until its time is over. Its store never waits."""

    def __init__(self, lease: Lease, fleet: Fleet) -> None:
        self._lease, self._fleet = lease, fleet

    async def __aenter__(self) -> bool:
        """Ask the store, which may be out."""
        self._fleet.meet_outage()
        held = drive(self._lease.__aenter__())
        self.until = self._lease.until
        return held

    async def keep(self, ttl: timedelta) -> bool:
        """Ask the store, which may be out."""
        self._fleet.meet_outage()
        return drive(self._lease.keep(ttl))

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        """Give it back, unless the process has died."""
        if kind is not Died and kind is not GeneratorExit:
            drive(self._lease.__aexit__(None, None, None))


@attrs.define
class Run:
    """One sweep: who, from when, and until when it was last known to hold its turn (seconds since the start)."""

    worker: int
    began: float
    ended: float
    good: bool = False


@attrs.define
class Fleet:
    """The world of the simulation. history: all sweeps that began. up: the spans in which each worker lived."""

    seed: int
    interval: timedelta
    clock: ManualClock
    crash: float = 0.0
    stall: float = 0.0
    outage: float = 0.0
    jump: float = 0.0
    layer: DataLayer = attrs.field(factory=Memory)
    history: list[Run] = attrs.field(factory=list)
    chance: random.Random = attrs.field(init=False)
    resource: Any = attrs.field(init=False)
    _out_until: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        """Declare the resource, on a store that all workers share."""
        self.chance = random.Random(self.seed)
        domain = Domain("fleet")

        class Swept(Resource, domain=domain, data_layer=self.layer):
            id: Attr[int] = attribute(primary_key=True)

        Swept.__qualname__ = f"Swept{next(_NUMBERS)}"  # leases in memory outlive the test
        domain.create_storage()
        store = Swept.__runtime__.store
        lease = store.lease
        shared = type("Shared", (type(store),), {"place": "shared", "lease": lambda _, name, ttl: Mortal(lease(name, ttl), self)})
        store.__class__ = shared
        self.resource = Swept

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return (self.clock.now() - START).total_seconds()

    def meet_outage(self) -> None:
        """Raise Unavailable while the store is out; now and then an outage begins."""
        if self.now >= self._out_until and self.chance.random() < self.outage:
            self._out_until = self.now + self.chance.uniform(1, 600)
        if self.now < self._out_until:
            raise Unavailable("the store is out")

    def worker(self, number: int) -> Job:
        """Return the job of a new process."""
        fleet = self

        class Sweep(Service):
            name = "sweep"
            once_per_fleet = True

            def interval(self, options):
                return fleet.interval

            async def run(self, context: ServiceContext):
                run = Run(number, fleet.now, fleet.now)
                fleet.history.append(run)
                for _ in range(fleet.chance.randrange(1, 12)):
                    await pause(fleet.chance.uniform(0.1, 15))
                    if fleet.chance.random() < fleet.crash:
                        raise Died
                    if fleet.chance.random() < fleet.stall:
                        await pause(fleet.chance.uniform(30, 7200))  # stopped, or the machine slept
                    if not await context.proceed():
                        return "handed over"
                    run.ended = fleet.now
                run.good = True
                return "done"

        return Job(
            resource=self.resource,
            options=None,
            service=Sweep(),
            name="sweep",
            interval=self.interval,
            scheduling=Scheduling(uniform=self.chance.uniform),
        )

    def simulate(self, workers: int, hours: float, *, restart_every: float | None = None) -> None:
        """Let so many processes live for so long; a process that died is replaced within a minute.

        restart_every: seconds after which each process is replaced by a new one.
        """
        events: list[tuple[float, int, Any]] = []
        count = itertools.count()
        for _ in range(workers):
            heapq.heappush(events, (self.chance.uniform(0, 60), next(count), self._life(next(count), restart_every)))
        while events:
            moment, _, life = heapq.heappop(events)
            if moment > hours * 3600:
                break
            self.clock.advance(seconds=max(0.0, moment - self.now))
            try:
                wait = life.send(None)
            except StopIteration:
                life, wait = self._life(next(count), restart_every), self.chance.uniform(1, 60)
            heapq.heappush(events, (self.now + wait, next(count), life))
        for _, _, life in events:
            life.close()

    def _life(self, number: int, restart_every: float | None) -> Generator[float]:
        """Live as one process, with a clock of its own that now and then is put forward or back by up to an hour."""
        wall, deployment = Wall(self.clock), copy_context()
        deployment.run(here.set, wall)
        life = self._work(number, restart_every)
        try:
            while True:
                if self.chance.random() < self.jump:
                    wall.wrong = timedelta(seconds=self.chance.uniform(-3600, 3600))
                try:
                    wait = deployment.run(next, life)
                except StopIteration:
                    return
                yield wait
        finally:
            deployment.run(life.close)

    def _work(self, number: int, restart_every: float | None) -> Generator[float]:
        """Wait until due, run, and so on; ends when the process dies or is restarted."""
        job = self.worker(number)
        job.plan(lambda: None)
        ends_at = float("inf") if restart_every is None else self.now + restart_every
        while self.now < ends_at:
            assert job.due is not None
            wait = job.due - current_clock().monotonic()
            if wait > 1e-6:
                yield min(wait, max(ends_at - self.now, 1e-3))
                continue
            assert job.claim()
            run = job.run(lambda: False, must=False)
            try:
                while True:
                    yield run.send(None)
            except StopIteration:
                pass
            except Died:
                return
            except Unavailable:
                pass
            finally:
                run.close()
