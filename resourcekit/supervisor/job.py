"""One service of one resource: runs it, one run at a time, and keeps its history."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from resourcekit.actions.drive import drive_apart
from resourcekit.actions.steps import settled as settled_result
from resourcekit.call_context import CallMode, call_mode
from resourcekit.clock import current_clock
from resourcekit.dsl.service import Service, ServiceContext
from resourcekit.errors import MixedCallMode, WrongResult
from resourcekit.forks import free_after_fork
from resourcekit.signals import require_no_signal
from resourcekit.supervisor.health import ServiceHealth, ServiceState, ServiceStatus, is_late
from resourcekit.supervisor.metrics import Metrics
from resourcekit.supervisor.schedule import Scheduling
from resourcekit.supervisor.schedule_lease import HeldElsewhere, Renew, schedule_lease_for
from resourcekit.telemetry import count, logger, measure, span, watched

__all__ = ["Job", "is_cancellation"]

_log = logger("supervisor")

_RUNS = measure("resourcekit.service.runs", "Runs of services, by outcome.")


@attrs.define(eq=False, kw_only=True)
class Job:
    """A service with its schedule and its history.

    options: of the extension that declared the service. observe: a function that is called after each run, in the thread of
        the run.
    due: the time of the next run, by the monotonic clock; ``None`` if no worker will run it.
    """

    resource: Any
    options: Any
    service: Service
    name: str
    interval: timedelta
    scheduling: Scheduling
    observe: Callable[[ServiceStatus], object] | None = None
    due: float | None = attrs.field(default=None, init=False)
    _wake: Callable[[], None] | None = attrs.field(default=None, init=False)
    _crashed: bool = attrs.field(default=False, init=False)
    _crashes: tuple[float, ...] = attrs.field(default=(), init=False)
    _cooldowns: bool = attrs.field(default=False, init=False)
    _done: float = attrs.field(default=0.0, init=False)
    _known: ServiceStatus = attrs.field(init=False)
    _labels: dict[str, str] = attrs.field(init=False)
    _metrics: Metrics = attrs.field(init=False)
    _lock: threading.RLock = attrs.field(factory=lambda: free_after_fork(threading.RLock()), init=False)  # for signal handlers
    _ending: futures.Future[None] | None = attrs.field(default=None, init=False)
    _runner: tuple[int, object] = attrs.field(default=(0, None), init=False)

    def __attrs_post_init__(self) -> None:
        """Start with an empty history."""
        self._labels = {"service": self.name, "resource": self.resource.__name__}
        self._metrics = Metrics(self._labels, lambda: self._done)
        self._known = ServiceStatus(resource=self.resource, service=self.name, state="stopped", interval=self.interval)

    def __str__(self) -> str:
        """Return ``Expunger of Token``, as in log lines."""
        return f"{self.name} of {self.resource.__name__}"

    def renewed(self) -> Job:
        """Return this job without history or schedule, for a forked process."""
        return Job(
            resource=self.resource,
            options=self.options,
            service=self.service,
            name=self.name,
            interval=self.interval,
            scheduling=self.scheduling,
            observe=self.observe,
        )

    def plan(self, wake: Callable[[], None]) -> None:
        """Schedule the first run and wake the worker. The wake function also identifies the worker."""
        with self._lock:
            now = current_clock().monotonic()
            self.due = self.scheduling.first(now, self.interval.total_seconds())
            self._done = now  # nothing is late yet
            self._metrics.show()
            self._wake, self._crashed, self._crashes, self._cooldowns = wake, False, (), False
        wake()

    def retire(self, wake: Callable[[], None], *, crashed: bool = False) -> None:
        """Schedule no more runs, unless another worker has taken over. A run in progress is not interrupted."""
        with self._lock:
            if self._wake == wake:
                self.due, self._wake, self._crashed = None, None, crashed
                self._metrics.hide()

    def may_restart(self, moment: float) -> bool:
        """Count a crash, and return whether the job may be started again. Crashes stop counting after the restart window."""
        with self._lock:
            self._crashes = (*self.scheduling.recent(self._crashes, moment), moment)
            return len(self._crashes) <= self.scheduling.restarts

    def claim(self) -> bool:
        """Claim the right to run the job now. Return False if another thread or task has it."""
        with self._lock:
            if self._ending is not None:
                return False
            self._ending = futures.Future()
            # Running from the start, so that a caller that waits for it cannot cancel it.
            self._ending.set_running_or_notify_cancel()
            self._runner, self._cooldowns = _here(), False
            return True

    @property
    def claimed(self) -> object:
        """The claim in force; ``None`` if there is none."""
        return self._ending

    def release(self, before: object) -> None:
        """Give up a claim of this thread or task that is not the one from before: an exception from outside has left it."""
        if self._ending is not None and self._ending is not before and self._runner == _here():
            self._known = attrs.evolve(self._known, running_since=None)
            self._let_go()

    async def claim_when_free(self) -> None:
        """Wait until the run in progress has ended, and claim the job.

        Raise MixedCallMode if that run can only continue after this call has returned.
        """
        while not self.claim():
            with self._lock:
                ending, (thread, task) = self._ending, self._runner
            if ending is None:
                continue
            if (thread, task) == _here() or (thread == threading.get_ident() and call_mode.get() is CallMode.SYNC):
                msg = f"{self} is running in this very thread, so that waiting for it would never end; await run_now.aio from another task"
                raise MixedCallMode(msg)
            await settled([ending], None)

    async def run(self, should_stop: Callable[[], bool], *, must: bool = True) -> object:
        """Run the service once and return its result. The caller holds the claim, which ends with the run.

        must: run even if another process holds the schedule lease; otherwise nothing is run then, and HeldElsewhere is
            returned.

        Raise the error of the service. The run then counts as failed, unless it was cancelled from outside.
        """
        clock = current_clock()
        started, began = clock.now(), clock.monotonic()
        self._known = attrs.evolve(self._known, running_since=started)
        result: object = None
        outcome: dict[str, Any] = {}
        cut = _StopRequest(should_stop)
        try:
            result = await drive_apart(self._work(cut, must))
            outcome = {"failures": 0, "last_error": "", "last_result": result, "last_success": started}
        except BaseException as error:
            failures = self._known.failures + (not is_cancellation(error))
            has_crashed = failures > self._known.failures and not isinstance(error, Exception)
            self._cooldowns = has_crashed and not self.may_restart(clock.monotonic())
            outcome = {"failures": failures, "last_error": type(error).__name__}
            raise
        finally:
            if isinstance(result, HeldElsewhere):
                self._leave(result, clock.monotonic())
            else:
                self._end(began, clock.monotonic(), {**outcome, "last_run": started}, is_whole=not cut.is_seen)
                await self._notify_observer()
        return result

    async def _work(self, cut: _StopRequest, must: bool) -> object:  # passed on, as ``run`` got it
        """Run the service; with a schedule lease if it must run in only one process of the fleet."""

        async def work(renew: Renew | None = None) -> object:
            context = self._context(should_stop=cut.should_stop)
            with span(f"{self.resource.__name__}.{self.name}", **self._labels):
                return await self.service.run(context if renew is None else attrs.evolve(context, renew=cut.seen_by(renew)))

        await self.service.prepare(self._context(should_stop=cut.should_stop))
        schedule_lease = schedule_lease_for(self.resource, self.name, self.interval) if self.service.once_per_fleet else None
        return (
            await work()
            if schedule_lease is None
            else await schedule_lease.take(work, must=must, is_whole=lambda: not cut.is_seen)
        )

    def _context(self, **more: Any) -> ServiceContext:
        return ServiceContext(resource=self.resource, options=self.options, entity=self.service.entity, **more)

    def _leave(self, found: HeldElsewhere, ended: float) -> None:
        """Schedule the next attempt for the time when the lease may be free, and release the claim. This does not count as a
        run.
        """
        free = 0.0 if found.until is None else (found.until - current_clock().now()).total_seconds()
        with self._lock:
            if found.ago is not None:
                self._done = max(self._done, ended - found.ago.total_seconds())
            if self.due is not None:
                self.due = self.scheduling.after_other(ended, free, self.interval.total_seconds())
            self._known = attrs.evolve(self._known, running_since=None, failures=0, last_error="")
        self._let_go()
        _log.debug("%s is done elsewhere; next look at %s", self, self.status().next_due)

    def _let_go(self) -> None:
        with self._lock:
            ending, self._ending, wake = self._ending, None, self._wake
        if ending is not None:
            ending.set_result(None)
        if wake is not None:
            wake()

    def _end(self, began: float, ended: float, facts: dict[str, Any], *, is_whole: bool) -> None:
        """Record a run, schedule the next one, and release the claim."""
        interval = self.interval.total_seconds()
        try:
            with self._lock:
                runs = self._known.runs + 1
                known = attrs.evolve(self._known, **facts, runs=runs, running_since=None, last_seconds=ended - began)
                if self.due is not None:
                    self.due = self._next(known.failures, began, ended, interval)
                if not known.failures:
                    self._crashes = ()
                    self._done = ended if is_whole else self._done
                self._known = known
        finally:
            self._let_go()
        count(_RUNS, 1, outcome=known.last_error or "ok", **self._labels)
        self._tell()

    def _next(self, failures: int, began: float, ended: float, interval: float) -> float:
        """Return the time of the next run, after a run that has just ended."""
        if self._cooldowns:
            return self.scheduling.after_rest(ended, interval)
        if failures > self._known.failures:
            return self.scheduling.after_failure(ended, failures, interval)
        return self.scheduling.after_success(began, ended, interval)

    def _tell(self) -> None:
        status = self.status()
        facts = {**self._labels, "state": status.state, "failures": status.failures, "error": status.last_error}
        more = {"resourcekit": {**facts, "seconds": status.last_seconds}}
        if status.state == "resting":
            text = "%s crashed with %s once too often; it rests until %s"
            _log.error(text, self, status.last_error, status.next_due, extra=more)
        elif status.failures:
            text = "%s failed with %s, %d times in a row; next try at %s"
            _log.warning(text, self, status.last_error, status.failures, status.next_due, extra=more)
        else:
            _log.debug("%s ran for %.3f s; next run at %s", self, status.last_seconds, status.next_due, extra=more)

    async def _notify_observer(self) -> None:
        """Call on_run with the status, and await what it returns if that is awaitable."""
        if self.observe is None:
            return
        try:
            await drive_apart(settled_result(self.observe(self.status())))
        except Exception as error:  # an observer cannot undo a run
            require_no_signal(error)
            _log.error("the on_run of %s failed with %s", self, type(error).__name__)

    def status(self) -> ServiceStatus:
        """Return the current status."""
        clock = current_clock()
        with self._lock:
            due, known = self.due, self._known
            return attrs.evolve(
                known, state=self._state(), next_due=None if due is None else _later(clock.now(), due - clock.monotonic())
            )

    def health(self) -> ServiceHealth:
        """Return the health, as far as it is known without a read of the store."""
        status = self.status()
        with self._lock:
            late = is_late(self._done, current_clock().monotonic(), self.interval.total_seconds())
        return ServiceHealth(
            resource=self.resource.__info__.qualified_name,
            service=self.name,
            state=status.state,
            interval=self.interval,
            is_on_time=self.due is not None and not late,
            last_success=status.last_success,
            last_error=status.last_error,
        )

    async def with_lag(self, health: ServiceHealth) -> ServiceHealth:
        """Return the health with the lag that the service reports."""
        try:
            return attrs.evolve(health, lag=await self._ask_lag())
        except Exception as error:  # a store can fail in any way, and this reports it
            require_no_signal(error)
            return attrs.evolve(health, lag_error=type(error).__name__)

    async def note_lag(self) -> None:
        """After a run, and if there is a watcher, measure the lag of the work that is left."""
        if watched():
            with contextlib.suppress(Exception):  # the gauge then has no value
                await self._ask_lag()

    async def _ask_lag(self) -> timedelta | None:
        lag: timedelta | None = None
        try:
            lag = _as_lag(await drive_apart(self.service.lag(self._context())), self.service)
        finally:
            self._metrics.note(lag)
        return lag

    def _state(self) -> ServiceState:
        if self._ending is not None:
            return "running"
        if self.due is None:
            return "crashed" if self._crashed else "stopped"
        if self._cooldowns:
            return "resting"
        return "backing off" if self._known.failures else "waiting"


class _StopRequest:
    """Records whether a run was asked to stop, and may therefore have left work undone."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop, self.is_seen = should_stop, False

    def should_stop(self) -> bool:
        """Return whether the run must stop."""
        self.is_seen = self._should_stop() or self.is_seen
        return self.is_seen

    def seen_by(self, renew: Renew) -> Renew:
        """Return a renew function that also records the loss of the lease."""

        async def ask() -> bool:
            is_ours = await renew()
            self.is_seen = self.is_seen or not is_ours
            return is_ours

        return ask


def _as_lag(given: object, service: Service) -> timedelta | None:
    """Return the lag. Raise WrongResult for a value that is neither a timedelta nor ``None``."""
    if given is None or isinstance(given, timedelta):
        return given
    name = f"{type(service).__name__}.lag"
    raise WrongResult(
        "RK016", f"{name} must return a timedelta or None, is {given!r}", path=("services",), hint=f"Correct {name}."
    )


def _later(now: datetime, seconds: float) -> datetime:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:  # an interval of thousands of years
        return datetime.max.replace(tzinfo=UTC)


def _here() -> tuple[int, object]:
    """Return the thread, and the task if one is running in it."""
    asyncio = sys.modules.get("asyncio")  # not imported here: without it there is no task
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def is_cancellation(error: BaseException) -> bool:
    """Return whether the task is cancelled (or the coroutine closed) from outside. A service that raises CancelledError on
    its own has failed.
    """
    if isinstance(error, GeneratorExit):
        return True
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError) or call_mode.get() is CallMode.SYNC:
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def settled(ends: list[futures.Future[None]], seconds: float | None) -> None:
    """Wait, in the call mode of the call and in real time, until all have ended. ``None`` means no limit."""
    if call_mode.get() is CallMode.SYNC:
        futures.wait(ends, seconds)
        return
    import asyncio

    waiting = [asyncio.wrap_future(end) for end in ends]
    try:
        await asyncio.wait(waiting, timeout=seconds)
    finally:
        for one in waiting:
            one.cancel()
