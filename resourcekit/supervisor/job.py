"""One service of one resource: runs it, one run at a time, and remembers how it went. It knows no worker."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from resourcekit.dsl.service import Service, ServiceContext
from resourcekit.engine.drive import drive
from resourcekit.errors import WrongColour
from resourcekit.flow.clock import current_clock
from resourcekit.flow.context import Colour, colour
from resourcekit.supervisor.figures import Figures
from resourcekit.supervisor.health import ServiceHealth, is_late
from resourcekit.supervisor.scheduling import Scheduling
from resourcekit.supervisor.status import ServiceState, ServiceStatus
from resourcekit.supervisor.turn import Elsewhere, Renew, turn_for
from resourcekit.telemetry import count, logger, measure, span, watched

__all__ = ["Job", "is_cancellation"]

_log = logger("supervisor")

_RUNS = measure("resourcekit.service.runs", "Runs of services, by outcome.")


@attrs.define(eq=False, kw_only=True)
class Job:
    """A service with its schedule and its history.

    options: of the extension that brought the service. observe: called after each run, in the thread of the run.
    due: when it runs next, by the monotonic clock; ``None`` while nobody will run it.
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
    _rests: bool = attrs.field(default=False, init=False)
    _done: float = attrs.field(default=0.0, init=False)
    _known: ServiceStatus = attrs.field(init=False)
    _labels: dict[str, str] = attrs.field(init=False)
    _figures: Figures = attrs.field(init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _ending: futures.Future[None] | None = attrs.field(default=None, init=False)
    _runner: tuple[int, object] = attrs.field(default=(0, None), init=False)

    def __attrs_post_init__(self) -> None:
        """Know nothing yet."""
        self._labels = {"service": self.name, "resource": self.resource.__name__}
        self._figures = Figures(self._labels, lambda: self._done)
        self._known = ServiceStatus(resource=self.resource, service=self.name, state="stopped", interval=self.interval)

    def __str__(self) -> str:
        """``Expunger of Token``, as log lines call it."""
        return f"{self.name} of {self.resource.__name__}"

    def renewed(self) -> Job:
        """Return this job without history or schedule, for a process that was forked."""
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
        """Make the first run due soon, and tell the worker, who is known by how it is woken."""
        with self._lock:
            now = current_clock().monotonic()
            self.due = self.scheduling.first(now, self.interval.total_seconds())
            self._done = now  # nothing is late yet
            self._figures.show()
            self._wake, self._crashed, self._crashes, self._rests = wake, False, (), False
        wake()

    def retire(self, wake: Callable[[], None], *, crashed: bool = False) -> None:
        """Make no run due, unless another worker has taken over; a run that is going on ends as it likes."""
        with self._lock:
            if self._wake == wake:
                self.due, self._wake, self._crashed = None, None, crashed
                self._figures.hide()

    def may_restart(self, moment: float) -> bool:
        """Count a crash, and return whether it may be started again; a good run, and time, let crashes be forgotten."""
        with self._lock:
            self._crashes = (*self.scheduling.recent(self._crashes, moment), moment)
            return len(self._crashes) <= self.scheduling.restarts

    def claim(self) -> bool:
        """Become the one who may run it now; false where somebody else is."""
        with self._lock:
            if self._ending is not None:
                return False
            self._ending = futures.Future()
            # Running from the outset, so that nobody who waits for it can cancel it.
            self._ending.set_running_or_notify_cancel()
            self._runner, self._rests = _here(), False
            return True

    async def claim_when_free(self) -> None:
        """Wait until the run that is going on has ended, and become the one who may run it.

        Raises WrongColour where that run can only go on once this call has returned.
        """
        while not self.claim():
            with self._lock:
                ending, (thread, task) = self._ending, self._runner
            if ending is None:
                continue
            if (thread, task) == _here() or (thread == threading.get_ident() and colour.get() is Colour.SYNC):
                msg = f"{self} is running in this very thread, so that waiting for it would never end; await run_now.aio from another task"
                raise WrongColour(msg)
            await settled([ending], None)

    async def run(self, should_stop: Callable[[], bool], *, must: bool = True) -> object:
        """Do the work once and return its result; whoever calls holds the claim, which ends with the run.

        must: also where it is another process's turn; else nothing is done then, and Elsewhere is returned.
        Raises whatever the service raises; the run is recorded as failed then, unless it was cancelled from outside.
        """
        clock = current_clock()
        started, began = clock.now(), clock.monotonic()
        self._known = attrs.evolve(self._known, running_since=started)
        result: object = None
        outcome: dict[str, Any] = {}
        cut = _Cut(should_stop)
        try:
            # In a sync call driven on its own, so that a service that suspends fails alone.
            work = self._work(cut, must)
            result = drive(work) if colour.get() is Colour.SYNC else await work
            outcome = {"failures": 0, "last_error": "", "last_result": result, "last_success": started}
        except BaseException as error:
            failures = self._known.failures + (not is_cancellation(error))
            has_crashed = failures > self._known.failures and not isinstance(error, Exception)
            self._rests = has_crashed and not self.may_restart(clock.monotonic())
            outcome = {"failures": failures, "last_error": type(error).__name__}
            raise
        finally:
            if isinstance(result, Elsewhere):
                self._leave(result, clock.monotonic())
            else:
                self._end(began, clock.monotonic(), {**outcome, "last_run": started}, is_whole=not cut.is_seen)
        return result

    async def _work(self, cut: _Cut, must: bool) -> object:  # passed on, as ``run`` got it
        """Run the service, in turn with the other processes of the fleet where it wants that."""

        async def work(renew: Renew | None = None) -> object:
            context = ServiceContext(resource=self.resource, options=self.options, should_stop=cut.should_stop)
            with span(f"{self.resource.__name__}.{self.name}", **self._labels):
                return await self.service.run(context if renew is None else attrs.evolve(context, renew=cut.seen_by(renew)))

        turn = turn_for(self.resource, self.name, self.interval) if self.service.once_per_fleet else None
        return await work() if turn is None else await turn.take(work, must=must, is_whole=lambda: not cut.is_seen)

    def _leave(self, found: Elsewhere, ended: float) -> None:
        """Set the next try for when the turn may be taken again, and let go of the claim; it was no run."""
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
        """Record a run, set the next one, and let go of the claim."""
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
        """Return when the next run is due, after one that has just ended."""
        if self._rests:
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
        if self.observe is not None:
            try:
                self.observe(status)
            except Exception as error:  # an onlooker cannot undo a run
                _log.error("the on_run of %s failed with %s", self, type(error).__name__)

    def status(self) -> ServiceStatus:
        """Return what is known of it now."""
        clock = current_clock()
        with self._lock:
            due, known = self.due, self._known
            return attrs.evolve(
                known, state=self._state(), next_due=None if due is None else _later(clock.now(), due - clock.monotonic())
            )

    def health(self) -> ServiceHealth:
        """Return whether it is done as it should be, by what is known without asking its store."""
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
        """Add to its health what the service tells of the work that waits."""
        try:
            return attrs.evolve(health, lag=await self._ask_lag())
        except Exception as error:  # a store can fail in any way, and that is the answer
            return attrs.evolve(health, lag_error=type(error).__name__)

    async def note_lag(self) -> None:
        """Find out, after a run and where somebody watches, how long work waits that the run has left, or could not do."""
        if watched():
            with contextlib.suppress(Exception):  # the gauge shows nothing then
                await self._ask_lag()

    async def _ask_lag(self) -> timedelta | None:
        lag: timedelta | None = None
        try:
            work = self.service.lag(ServiceContext(resource=self.resource, options=self.options))
            lag = drive(work) if colour.get() is Colour.SYNC else await work
        finally:
            self._figures.note(lag)
        return lag

    def _state(self) -> ServiceState:
        if self._ending is not None:
            return "running"
        if self.due is None:
            return "crashed" if self._crashed else "stopped"
        if self._rests:
            return "resting"
        return "backing off" if self._known.failures else "waiting"


class _Cut:
    """Whether a run has seen that it is to end, and so may have left work undone."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop, self.is_seen = should_stop, False

    def should_stop(self) -> bool:
        """Ask on the run's behalf."""
        self.is_seen = self._should_stop() or self.is_seen
        return self.is_seen

    def seen_by(self, renew: Renew) -> Renew:
        """Ask on the run's behalf whether the turn is still its own."""

        async def ask() -> bool:
            is_ours = await renew()
            self.is_seen = self.is_seen or not is_ours
            return is_ours

        return ask


def _later(now: datetime, seconds: float) -> datetime:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:  # an interval of thousands of years
        return datetime.max.replace(tzinfo=UTC)


def _here() -> tuple[int, object]:
    """Return the thread, and the task if one runs in it."""
    asyncio = sys.modules.get("asyncio")  # not imported here: without it there is no task
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def is_cancellation(error: BaseException) -> bool:
    """Tell whether somebody outside ends the task (or closes the coroutine); a service that raises so itself has failed."""
    if isinstance(error, GeneratorExit):
        return True
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError) or colour.get() is Colour.SYNC:
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def settled(ends: list[futures.Future[None]], seconds: float | None) -> None:
    """Wait, in the colour of the call and in real time, until all have ended; ``None``: as long as it takes."""
    if colour.get() is Colour.SYNC:
        futures.wait(ends, seconds)
        return
    import asyncio

    waiting = [asyncio.wrap_future(end) for end in ends]
    try:
        await asyncio.wait(waiting, timeout=seconds)
    finally:
        for one in waiting:
            one.cancel()
