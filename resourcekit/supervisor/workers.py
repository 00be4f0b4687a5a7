"""The workers of a running supervisor, one for each job, as threads or as tasks.

Each service has a thread of its own instead of a pool: a run that hangs uses up no shared thread, runs of one service cannot
overlap, and a sleeping thread is cheap.
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

from resourcekit.call_context import CallMode, Context, apart, call_mode, context, drive
from resourcekit.clock import current_clock
from resourcekit.data_layers.transactions import outside_transaction
from resourcekit.errors import MixedCallMode
from resourcekit.supervisor.job import Job, is_cancellation, settled
from resourcekit.telemetry import logger

__all__ = ["Workers"]

_log = logger("supervisor")

_NEARLY = 1e-6
"""Tolerance in seconds for due times: float sums that should be equal differ in their last digit."""

_GRACE = 0.25
"""Seconds that a cancelled task has to clean up."""

Work = Callable[["_Worker"], Coroutine[Any, Any, None]]


class _Worker(ABC):
    """Runs one job until it is stopped. ``finished`` has a result once the worker has ended."""

    finished: futures.Future[None]

    @abstractmethod
    def begin(self) -> None:
        """Start to run the job."""

    @abstractmethod
    async def wait_until(self, moment: float) -> None:
        """Wait until a moment of the monotonic clock, or until woken."""

    @abstractmethod
    def wake(self) -> None:
        """Make the worker read its schedule again; from any thread."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel its run, if possible; from any thread."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Return whether the worker may still run."""

    @abstractmethod
    def is_here(self) -> bool:
        """Return whether the caller runs in this worker."""

    @abstractmethod
    def blocks(self) -> bool:
        """Return whether the worker cannot continue before this thread has returned to its event loop."""


class _Thread(_Worker):
    """A worker in a daemon thread of its own; it runs services as sync calls."""

    def __init__(self, spawn: Callable[[Callable[[], object], str], object], name: str, work: Work) -> None:
        self.finished = _under_way()
        self._awake = threading.Event()
        self._thread = 0
        self._spawn, self._name, self._work = spawn, name, work

    def begin(self) -> None:
        # The context of the caller of start: services use its clock.
        with outside_transaction():
            deployment = copy_context()
        self._spawn(lambda: deployment.run(self._live, self._work), self._name)

    def _live(self, work: Work) -> None:
        self._thread = threading.get_ident()
        try:
            drive(work(self))
        finally:
            self.finished.set_result(None)

    async def wait_until(self, moment: float) -> None:
        current_clock().wait_until(self._awake, moment)
        self._awake.clear()

    def wake(self) -> None:
        self._awake.set()

    def cancel(self) -> None:
        """Do nothing: a thread cannot be cancelled from outside."""

    def is_alive(self) -> bool:
        return not self.finished.done()

    def is_here(self) -> bool:
        return self._thread == threading.get_ident()

    def blocks(self) -> bool:
        return False


class _Task(_Worker):
    """A worker as a task of the running event loop."""

    def __init__(self, name: str, work: Work) -> None:
        import asyncio

        self.finished = _under_way()
        self._asyncio = asyncio
        self._awake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._name, self._work = name, work

    def begin(self) -> None:
        with outside_transaction():
            self._task = self._loop.create_task(self._work(self), name=self._name)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: Any) -> None:
        # Retrieve the exception, so that the loop does not log it as never retrieved; the work has logged its own errors.
        _ = task.cancelled() or task.exception()
        self.finished.set_result(None)

    async def wait_until(self, moment: float) -> None:
        await current_clock().wait_until_async(self._awake, moment)
        self._awake.clear()

    def wake(self) -> None:
        self._tell(self._awake.set)

    def cancel(self) -> None:
        self._tell(self._task.cancel)

    def _tell(self, what: Callable[[], object]) -> None:
        # A closed loop has no tasks left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)

    def is_alive(self) -> bool:
        return not self.finished.done() and not self._loop.is_closed()

    def is_here(self) -> bool:
        return self._runs_here() and self._asyncio.current_task() is self._task

    def blocks(self) -> bool:
        return self.is_alive() and self._runs_here()

    def _runs_here(self) -> bool:
        try:
            return self._asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


class Workers:
    """All workers of one start, in the call mode of that call."""

    def __init__(self, jobs: Sequence[Job], spawn: Callable[[Callable[[], object], str], object]) -> None:
        self._stopping = threading.Event()
        self._workers: list[_Worker] = []
        self._jobs: list[Job] = []
        self.should_stop = self._stopping.is_set
        try:
            for job in jobs:
                self._start_worker(job, spawn)
        except BaseException:
            self.stop_worker()
            raise

    def _start_worker(self, job: Job, spawn: Callable[[Callable[[], object], str], object]) -> None:
        """Create the worker of a job. It starts once the job is planned."""

        async def work(worker: _Worker) -> None:
            # Background work has no actor, and no deadline from the caller of start.
            with context(Context()), apart():
                await self._attend(job, worker)

        name = f"resourcekit: {job}"
        worker: _Worker = _Thread(spawn, name, work) if call_mode.get() is CallMode.SYNC else _Task(name, work)
        self._workers.append(worker)
        self._jobs.append(job)
        job.plan(worker.wake)
        worker.begin()

    async def _attend(self, job: Job, worker: _Worker) -> None:
        """Run a job whenever it is due, until stopped. After unexpected errors it is started again, for a limited number of
        times.
        """
        try:
            while not self._stopping.is_set():
                try:
                    await self._take_step(job, worker)
                except Exception as error:  # this log line and the status are the only places that report the error
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
            # A job that is due and claimed is being run elsewhere; the end of that run wakes this worker.
            await worker.wait_until(math.inf if due is None or is_due else due - _NEARLY)

    async def _run(self, job: Job) -> None:
        """Run a job whose claim is held. Errors that would end other jobs are not passed on."""
        try:
            await job.run(self._stopping.is_set, must=False)
        except Exception:  # noqa: S110  # recorded and logged by the job, which is tried again later
            pass
        except BaseException as error:
            # SystemExit of a service ends only its run. In an event loop, an exception that ends the loop or this task must
            # pass.
            if call_mode.get() is not CallMode.SYNC and (isinstance(error, KeyboardInterrupt) or is_cancellation(error)):
                raise
        if not self._stopping.is_set():
            await job.note_lag()

    def is_alive(self) -> bool:
        """Return whether any worker is still alive."""
        return any(worker.is_alive() for worker in self._workers)

    def refuse_to_block(self) -> None:
        """Raise MixedCallMode if a sync call would wait for tasks of the loop that it blocks."""
        if call_mode.get() is CallMode.SYNC and any(worker.blocks() for worker in self._workers):
            msg = "this supervisor runs in the loop that would have to wait here; await stop.aio(), or use async with"
            raise MixedCallMode(msg)

    def stop_worker(self) -> None:
        """Ask all workers to stop, and schedule no more runs."""
        self._stopping.set()
        for job, worker in zip(self._jobs, self._workers, strict=True):
            job.retire(worker.wake)
            worker.wake()

    async def join(self, seconds: float) -> bool:
        """Ask all workers to stop and wait for them, for this many seconds of real time; then tasks are cancelled.

        Return whether all have ended. The worker that runs this call is not waited for.
        """
        self.stop_worker()
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
    # Running from the start, so that a caller that waits for it cannot cancel it.
    future: futures.Future[None] = futures.Future()
    future.set_running_or_notify_cancel()
    return future
