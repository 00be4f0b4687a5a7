"""Runs the services of resources in the background: start, stop, restart, status. It knows no token.

``Supervisor`` finds the services; ``job`` is one of them, ``crew`` the threads or tasks, ``scheduling`` the rules of time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from resourcekit.discovery import find_resources
from resourcekit.dsl.service import Service
from resourcekit.engine.drive import BothColours
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.supervisor.checkup import check_up
from resourcekit.supervisor.crew import Crew
from resourcekit.supervisor.health import Health, ServiceHealth
from resourcekit.supervisor.job import Job
from resourcekit.supervisor.scheduling import Scheduling
from resourcekit.supervisor.status import ServiceState, ServiceStatus
from resourcekit.telemetry import logger

__all__ = ["Health", "Scheduling", "ServiceHealth", "ServiceState", "ServiceStatus", "Supervisor"]

_log = logger("supervisor")
T = TypeVar("T")
_Key = tuple[Any, type, type[Service]]


class Supervisor:
    """Runs the services that extensions bring, for all resources that the targets name.

    targets: resources, domains, modules, or texts (``"myapp.accounts"``, ``"myapp.**"``); see ``find_resources``.
    on_run: called with a ServiceStatus after each run, in the thread of the run.
    checkup: let doctor look at the targets at the first start, for two seconds at most, and log what it finds, each at its
        level, to ``resourcekit.doctor``; what would take the reading of a whole table is not asked.
    scheduling: the rules of time, chance and threads; for tests.

    ``with Supervisor(accounts):`` works in daemon threads, ``async with`` in tasks of the running loop; for server hooks
    there are ``start()`` and ``stop()``, and ``await start.aio()`` and ``await stop.aio()``. It may be started again.

    The first run of a service comes at a random moment within 60 seconds of the start (within its interval if that is
    shorter); then one an interval, counted from start to start by the monotonic clock, without overlap. A failed run is
    tried again after a random pause of at most 1, 2, 4, ... seconds, never more than the interval. What one service does
    or raises touches no other.

    It does not survive a fork: in the child process nothing runs, ``state`` is ``"forked"``, and ``start()`` works anew.

    Raises DeclarationError: RK070 to RK073 as ``find_resources`` does, RK074 where a target has nothing to run, RK075
    where the interval of a service is no timedelta of at least one second.
    """

    def __init__(
        self,
        *targets: object,
        on_run: Callable[[ServiceStatus], object] | None = None,
        checkup: bool = True,
        scheduling: Scheduling | None = None,
    ) -> None:
        self.start = BothColours(self._start)
        self.stop = BothColours(self._stop)
        self.run_now = BothColours(self._run_now)
        self.health = BothColours(self._health)
        self._targets = targets
        self._on_run = on_run
        self._is_to_be_checked = checkup
        self._scheduling = scheduling or Scheduling()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._forked = False
        self._crew: Crew | None = None
        self._surroundings: Context | None = None
        self._jobs = self._enlist({})

    def _enlist(self, known: dict[_Key, Job]) -> dict[_Key, Job]:
        """Return the jobs of all targets; those that are known already keep their history."""
        if not self._targets:
            hint = 'Write Supervisor(accounts) for a domain, Supervisor(Token), or Supervisor("myapp.accounts").'
            raise DeclarationError("RK070", "the Supervisor has nothing to supervise", hint=hint)
        jobs: dict[_Key, Job] = {}
        for target in self._targets:
            found = {key: known.get(key) or jobs.get(key) or self._job(*key) for key in _services(find_resources(target))}
            if not found:
                raise _nothing_to_run(target)
            jobs.update(found)
        return jobs

    def _job(self, resource: Any, extension: type, kind: type[Service]) -> Job:
        options, service = resource.__info__.extensions[extension], kind()
        name = service.name or kind.__name__
        interval: object = service.interval(options)
        if not isinstance(interval, timedelta) or interval < timedelta(seconds=1):
            what = f"the interval of {name} must be a timedelta of at least one second, is {interval!r}"
            hint = f"Let {kind.__qualname__}.interval return one, or correct the option of {extension.__name__} it comes from."
            raise DeclarationError("RK075", what, resource=resource.__name__, path=("services", name), hint=hint)
        return Job(
            resource=resource,
            options=options,
            service=service,
            name=name,
            interval=interval,
            scheduling=self._scheduling,
            observe=self._on_run,
        )

    async def _start(self) -> None:
        """Begin to run the services, in threads; ``await start.aio()``: in tasks of the running loop.

        Does nothing where they run already. Resources that have joined a target since are supervised too.
        """
        self._mind_fork()
        is_to_be_checked, self._is_to_be_checked = self._is_to_be_checked, False
        if is_to_be_checked:
            await check_up(self._targets)
        with self._lock:
            if self._is_running():
                return
            self._jobs = self._enlist(self._jobs)
            self._surroundings = copy_context()
            self._crew = Crew(tuple(self._jobs.values()), self._scheduling.spawn)
            self._forked = False
        _log.info("supervising %s", ", ".join(map(str, self._jobs.values())))

    async def _stop(self, timeout: float | timedelta = 1.0) -> bool:  # noqa: ASYNC109  # the public word
        """End the services and return whether all have ended.

        timeout: seconds, or a timedelta; how long running services may take after ``should_stop()`` has become true. A
        task that takes longer is cancelled (and has a quarter of a second to clean up). A thread cannot be: it is left
        behind, runs no service again once it returns, and does not keep the program from ending.
        """
        self._mind_fork()
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        with self._lock:
            crew = self._crew
            if crew is None:
                return True
            crew.refuse_to_block()
            self._crew = None
        all_ended = await crew.disband(seconds)
        if all_ended:
            _log.info("stopped")
        else:
            left = ", ".join(str(job) for job in self._jobs.values() if job.status().state == "running")
            _log.warning("stopped after %s s, and left behind a run of %s", seconds, left)
        return all_ended

    async def _run_now(self, resource: Any) -> dict[str, object]:
        """Run all services of a resource now, in this thread or task, and return what they return, by name.

        Works whether the supervisor runs or not. A run that is going on is waited for; the next one comes an interval
        after this one. All services run; what they raise is raised, several errors as an ExceptionGroup.

        Raises InvalidArgument for a resource that is not supervised here.
        """
        self._mind_fork()
        jobs = [job for job in self._jobs.values() if job.resource is resource]
        if not jobs:
            known = ", ".join(dict.fromkeys(job.resource.__name__ for job in self._jobs.values()))
            raise InvalidArgument(f"{getattr(resource, '__name__', resource)!s} is not supervised here, only {known}")
        results: dict[str, object] = {}
        errors: list[Exception] = []
        for job in jobs:
            await job.claim_when_free()
            crew = self._crew
            try:
                results[job.name] = await job.run(_never if crew is None else crew.should_stop)
            except Exception as error:  # raised below, once the others have had their turn
                errors.append(error)
            await job.note_lag()
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup(f"{len(errors)} services of {resource.__name__} failed", errors)
        return results

    async def _health(self, *, lag: bool = False) -> Health:
        """Return whether it runs, and whether each service is done as it should be; for a health endpoint.

        lag: ask the services, too, how long work has been waiting that should be done. That reads their stores: of a sweep
        the oldest record, which takes as long as a scan of the table where the store has no index for it.
        A service is healthy while a good run is at most two intervals ago, here or in another process that shares its
        store, and its lag is no longer than that. Never raises: what a store could not tell is in ``lag_error``.
        """
        services = self._each(Job.health)
        if lag:
            services = [await job.with_lag(one) for job, one in zip(self._jobs.values(), services, strict=True)]
        return Health(state=self.state, services=tuple(services))

    def status(self) -> tuple[ServiceStatus, ...]:
        """Return how each service is doing, in the order of resources and extensions."""
        return tuple(self._each(Job.status))

    def _each(self, ask: Callable[[Job], T]) -> list[T]:
        """Ask all jobs, by the clock that they follow."""
        self._mind_fork()
        with self._lock:
            if self._crew is not None and not self._is_running():
                # Its loop has ended without a stop.
                self._crew.dismiss()
        surroundings = self._surroundings or copy_context()
        return [surroundings.copy().run(ask, job) for job in self._jobs.values()]

    @property
    def state(self) -> Literal["running", "stopped", "forked"]:
        """Whether it runs in this process; ``"forked"``: it ran in the process of which this one is a copy."""
        self._mind_fork()
        return "forked" if self._forked else "running" if self._is_running() else "stopped"

    def _is_running(self) -> bool:
        return self._crew is not None and self._crew.is_alive()

    def _mind_fork(self) -> None:
        """In a forked child, forget threads, locks and runs of the parent, none of which exist here."""
        if self._pid == os.getpid():
            return
        self._forked = self._forked or self._crew is not None
        self._pid, self._crew, self._lock = os.getpid(), None, threading.Lock()
        self._jobs = {key: job.renewed() for key, job in self._jobs.items()}
        if self._forked:
            _log.warning("this process was forked from one with a running supervisor; nothing runs here until start() is called")

    def __enter__(self) -> Self:
        """Start it in threads."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it within a second."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start it in tasks of the running loop."""
        await self.start.aio()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it within a second."""
        await self.stop.aio()

    def __repr__(self) -> str:
        """``<supervisor of Expunger of Token: running>``."""
        return f"<supervisor of {', '.join(map(str, self._jobs.values()))}: {self.state}>"


def _services(resources: tuple[Any, ...]) -> Iterator[_Key]:
    for resource in resources:
        for extension, options in resource.__info__.extensions.items():
            for kind in options.services:
                yield resource, extension, kind


def _nothing_to_run(target: object) -> DeclarationError:
    name = getattr(target, "__name__", None) or getattr(target, "name", None) or target
    hint = "Name resources whose extensions bring services, for example one with extensions=[TokenResource]."
    return DeclarationError("RK074", f"{name!s} has no service to run", hint=hint)


def _never() -> bool:
    return False
