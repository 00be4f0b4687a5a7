"""The workers of a running supervisor, one for each job, as threads or as tasks. They know a job's schedule, and no service.

One thread a service, and no pool: nothing is shared that a run which hangs could use up, runs of one service cannot
overlap, and a thread that sleeps costs next to nothing beside the work it is there for.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent import futures
from contextvars import copy_context
from typing import Any

from resourcekit.engine.drive import drive
from resourcekit.errors import WrongColour
from resourcekit.flow.clock import current_clock
from resourcekit.flow.context import Colour, Context, colour, context
from resourcekit.supervisor.job import Job, is_cancellation, settled
from resourcekit.telemetry import logger

__all__ = ["Crew"]

_log = logger("supervisor")

_NEARLY = 1e-6
"""Seconds by which a moment may be missed: sums of floats that ought to be equal differ in their last digit."""

_GRACE = 0.25
"""Seconds that a cancelled task has to clean up."""

Work = Callable[["_Worker"], Coroutine[Any, Any, None]]


class _Worker(ABC):
    """Whoever attends to one job until it is told to stop. ``finished`` has a result once it has ended."""

    finished: futures.Future[None]

    @abstractmethod
    def begin(self) -> None:
        """Go to work."""

    @abstractmethod
    async def wait_until(self, moment: float) -> None:
        """Wait until a moment of the monotonic clock, or until woken."""

    @abstractmethod
    def wake(self) -> None:
        """Let it look at its schedule again; from any thread."""

    @abstractmethod
    def cancel(self) -> None:
        """End its run from outside, where that can be done; from any thread."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Tell whether it may still do something."""

    @abstractmethod
    def is_here(self) -> bool:
        """Tell whether it is the one that asks."""

    @abstractmethod
    def blocks(self) -> bool:
        """Tell whether it cannot go on before this thread has returned to its loop."""


class _Thread(_Worker):
    """A worker with a daemon thread of its own; it drives services in the sync colour."""

    def __init__(self, spawn: Callable[[Callable[[], object], str], object], name: str, work: Work) -> None:
        self.finished = _under_way()
        self._awake = threading.Event()
        self._thread = 0
        self._spawn, self._name, self._work = spawn, name, work

    def begin(self) -> None:
        """See the base."""
        # The context of the starter: services follow its clock.
        surroundings = copy_context()
        self._spawn(lambda: surroundings.run(self._live, self._work), self._name)

    def _live(self, work: Work) -> None:
        self._thread = threading.get_ident()
        try:
            drive(work(self))
        finally:
            self.finished.set_result(None)

    async def wait_until(self, moment: float) -> None:
        """See the base."""
        current_clock().wait_until(self._awake, moment)
        self._awake.clear()

    def wake(self) -> None:
        """See the base."""
        self._awake.set()

    def cancel(self) -> None:
        """Do nothing: a thread cannot be ended from outside."""

    def is_alive(self) -> bool:
        """See the base."""
        return not self.finished.done()

    def is_here(self) -> bool:
        """See the base."""
        return self._thread == threading.get_ident()

    def blocks(self) -> bool:
        """See the base."""
        return False


class _Task(_Worker):
    """A worker as a task of the loop that runs when it is made."""

    def __init__(self, name: str, work: Work) -> None:
        import asyncio

        self.finished = _under_way()
        self._asyncio = asyncio
        self._awake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._name, self._work = name, work

    def begin(self) -> None:
        """See the base."""
        self._task = self._loop.create_task(self._work(self), name=self._name)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: Any) -> None:
        # Asked for, so that the loop does not complain that nobody did; the work has logged its own errors.
        _ = task.cancelled() or task.exception()
        self.finished.set_result(None)

    async def wait_until(self, moment: float) -> None:
        """See the base."""
        await current_clock().wait_until_async(self._awake, moment)
        self._awake.clear()

    def wake(self) -> None:
        """See the base."""
        self._tell(self._awake.set)

    def cancel(self) -> None:
        """See the base."""
        self._tell(self._task.cancel)

    def _tell(self, what: Callable[[], object]) -> None:
        # A loop that is closed has no tasks to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)

    def is_alive(self) -> bool:
        """See the base."""
        return not self.finished.done() and not self._loop.is_closed()

    def is_here(self) -> bool:
        """See the base."""
        return self._runs_here() and self._asyncio.current_task() is self._task

    def blocks(self) -> bool:
        """See the base."""
        return self.is_alive() and self._runs_here()

    def _runs_here(self) -> bool:
        try:
            return self._asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


class Crew:
    """All workers of one start, in the colour of the call that makes it."""

    def __init__(self, jobs: Sequence[Job], spawn: Callable[[Callable[[], object], str], object]) -> None:
        self._stopping = threading.Event()
        self._workers: list[_Worker] = []
        self._jobs: list[Job] = []
        self.should_stop = self._stopping.is_set
        try:
            for job in jobs:
                self._hire(job, spawn)
        except BaseException:
            self.dismiss()
            raise

    def _hire(self, job: Job, spawn: Callable[[Callable[[], object], str], object]) -> None:
        """Give a job a worker, who begins once the job is planned."""

        async def work(worker: _Worker) -> None:
            # Work in the background has no actor, and no deadline but its own, whoever started it.
            with context(Context()):
                await self._attend(job, worker)

        name = f"resourcekit: {job}"
        worker: _Worker = _Thread(spawn, name, work) if colour.get() is Colour.SYNC else _Task(name, work)
        self._workers.append(worker)
        self._jobs.append(job)
        job.plan(worker.wake)
        worker.begin()

    async def _attend(self, job: Job, worker: _Worker) -> None:
        """Run a job whenever it is due, until told to stop; what should not fail here is tried again, not for ever."""
        try:
            while not self._stopping.is_set():
                try:
                    await self._take_step(job, worker)
                except Exception as error:  # nothing is left that could tell of it but this line and the status
                    _log.exception("the worker for %s crashed with %s", job, type(error).__name__)
                    if not job.may_restart(current_clock().monotonic()):
                        job.retire(worker.wake, crashed=True)
                        break
        finally:
            job.retire(worker.wake)

    async def _take_step(self, job: Job, worker: _Worker) -> None:
        now, due = current_clock().monotonic(), job.due
        is_due = due is not None and due - now <= _NEARLY
        if is_due and job.claim():
            await self._run(job)
        else:
            # What is due and has no claim is being run by somebody else; the end of that run wakes this worker.
            await worker.wait_until(math.inf if due is None or is_due else due - _NEARLY)

    async def _run(self, job: Job) -> None:
        """Run a job whose claim is held, and let nothing out that ends other jobs."""
        try:
            await job.run(self._stopping.is_set, must=False)
        except Exception:  # noqa: S110  # recorded and logged by the job, which is tried again later
            pass
        except BaseException as error:
            # SystemExit of a service ends its run only. In a loop, what ends the loop or this task must pass.
            if colour.get() is not Colour.SYNC and (isinstance(error, KeyboardInterrupt) or is_cancellation(error)):
                raise
        if not self._stopping.is_set():
            await job.note_lag()

    def is_alive(self) -> bool:
        """Tell whether any worker is still there."""
        return any(worker.is_alive() for worker in self._workers)

    def refuse_to_block(self) -> None:
        """Raise WrongColour where a sync call would wait for tasks of the loop that it holds up."""
        if colour.get() is Colour.SYNC and any(worker.blocks() for worker in self._workers):
            msg = "this supervisor runs in the loop that would have to wait here; await stop.aio(), or use async with"
            raise WrongColour(msg)

    def dismiss(self) -> None:
        """Tell all workers to stop, and make nothing due any more."""
        self._stopping.set()
        for job, worker in zip(self._jobs, self._workers, strict=True):
            job.retire(worker.wake)
            worker.wake()

    async def disband(self, seconds: float) -> bool:
        """Tell all workers to stop and wait for them, so many seconds of real time; tasks are cancelled then.

        Returns whether all have ended. The worker that asks is not waited for.
        """
        self.dismiss()
        others = [worker for worker in self._workers if not worker.is_here()]
        ends_at = time.monotonic() + seconds
        if not await _ended(others, ends_at - time.monotonic()):
            for worker in others:
                worker.cancel()
            await _ended(others, _GRACE)
        return not any(worker.is_alive() for worker in others)


async def _ended(workers: Sequence[_Worker], seconds: float) -> bool:
    left = [worker.finished for worker in workers if worker.is_alive()]
    if left:
        await settled(left, max(0.0, seconds))
    return not any(worker.is_alive() for worker in workers)


def _under_way() -> futures.Future[None]:
    # Running from the outset, so that nobody who waits for it can cancel it.
    future: futures.Future[None] = futures.Future()
    future.set_running_or_notify_cancel()
    return future
