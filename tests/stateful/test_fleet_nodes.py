"""Supervisors of several processes on one place, or on the nodes of a cluster: one runs at a time, and a killed one is followed."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from places import Place  # found beside this file
from workers import PATIENCE, Line, Worker

from resourcekit import Attr, Domain, Resource, attribute  # below the path
from resourcekit.extending import Extension, Service
from resourcekit.supervisor import Scheduling, Supervisor
from tests.support import galera

pytestmark = pytest.mark.slow
PROCESSES = 4
INTERVAL, LENGTH = timedelta(seconds=2), 0.5
"""From the beginning of a run to that of the next one, and seconds that a run takes."""


@attrs.frozen
class Run:
    """One run. ended: 0 if it did not end. Times are seconds by the clock that the processes share."""

    pid: int
    began: float
    ended: float = 0.0


def supervise(line: Line, place: Place, file: Path) -> None:
    """Supervise a service that notes its runs in a file, until the line ends."""
    domain = Domain("fleet")

    class Sweep(Service):
        """Notes when it began and when it ended."""

        once_per_fleet = True

        def interval(self, options: Any) -> timedelta:
            return INTERVAL

        async def run(self, context: Any) -> None:
            for word in ("began", "ended"):
                moment = (await context.resource.__runtime__.store.now()).timestamp()
                with file.open("a") as notes:
                    notes.write(f"{os.getpid()} {word} {moment}\n")
                if word == "began":
                    threading.Event().wait(LENGTH)  # a run that is long enough to be killed

    class Sweeping(Extension):
        """Brings the service."""

        services = (Sweep,)

    class Swept(Resource, domain=domain, data_layer=place.layer(), extensions=[Sweeping]):
        """Records of a fleet."""

        id: Attr[int] = attribute(primary_key=True)

    domain.create_storage()
    with Supervisor(Swept, startup_check=False, scheduling=Scheduling(first_within=0.3, retry_within=0.2)):
        for _ in line.lines():
            pass


class Notes:
    """What the processes noted."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def runs(self) -> list[Run]:
        """Return the runs so far, by their beginning."""
        found: dict[int, list[Run]] = {}
        for pid, word, moment in map(str.split, self.file.read_text().splitlines() if self.file.exists() else []):
            of = found.setdefault(int(pid), [])
            if word == "began":
                of.append(Run(int(pid), float(moment)))
            else:
                of[-1] = attrs.evolve(of[-1], ended=float(moment))
        return sorted(itertools.chain(*found.values()), key=lambda run: run.began)

    def until(self, found: Callable[[list[Run]], Any]) -> Any:
        """Wait in real time until something is found among the runs, and return it."""
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            if it := found(self.runs()):
                return it
            time.sleep(0.02)  # processes do not announce what they do
        raise AssertionError(self.runs())


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "galera", "valkey", "cluster"])
def nodes(request: pytest.FixtureRequest, settle: Callable[[str], Place]) -> Iterator[list[Place]]:
    """Places of the processes: nodes of one cluster, or the same place for all."""
    with ExitStack() as stack:
        if request.param != "galera":
            yield [settle(request.param)]
        else:
            yield [Place("mariadb", (url,)) for url in stack.enter_context(galera.nodes())]


@pytest.fixture
def notes(nodes: list[Place], tmp_path: Path) -> Iterator[Notes]:
    """The notes of processes that supervise there; they end with the test."""
    file = tmp_path / "runs"
    workers = [Worker(supervise, place, file) for _, place in zip(range(PROCESSES), itertools.cycle(nodes), strict=False)]
    yield Notes(file)
    for worker in workers:
        worker.end()


def killed(notes: Notes, before: set[int]) -> Run:
    """Kill the process that runs the service, in the middle of its run."""

    def going_on(runs: list[Run]) -> Run | None:
        last = runs[-1] if runs else None
        return last if last is not None and not last.ended and last.pid not in before else None

    run: Run = notes.until(going_on)
    os.kill(run.pid, signal.SIGKILL)
    return run


def test_a_holder_that_is_killed_is_followed_by_another_process(notes: Notes) -> None:
    """Two holders are killed in the middle of a run; the others go on when the lease is over, one at a time."""
    dead = [first := killed(notes, set()), killed(notes, {first.pid})]
    last = dead[-1]
    runs = notes.until(lambda runs: runs if len([run for run in runs if run.began > last.began and run.ended]) >= 2 else None)
    pids = {run.pid for run in dead}
    gaps = [later.began - earlier.began for earlier, later in itertools.pairwise(runs)]

    assert [(run.pid, run.began) for run in dead] == [(run.pid, run.began) for run in runs if run.pid in pids and not run.ended]
    assert not pids & {run.pid for run in runs if run.began > last.began}
    # A lease counts from when it is asked for, a run from when it was given, which on a busy machine is a moment later.
    assert min(gaps) >= INTERVAL.total_seconds() / 2
    assert [] == [pair for pair in itertools.pairwise(runs) if pair[1].began < pair[0].ended]
