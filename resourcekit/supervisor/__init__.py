"""Runs the services of resources in the background.

``Supervisor`` finds the services. A ``Job`` is one of them, ``workers`` are the threads or tasks that run them, ``schedule``
computes when they run.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from resourcekit.actions.drive import SyncAndAsync
from resourcekit.call_context import CallMode, call_mode, is_async_function
from resourcekit.data_layers.transactions import outside_transaction
from resourcekit.discovery import find_resources
from resourcekit.doctor import run_startup_check
from resourcekit.dsl.compiler import raise_all, verify
from resourcekit.dsl.service import Service
from resourcekit.errors import DeclarationError, FieldFinding, InvalidArgument, ResourcekitError
from resourcekit.expressions.calls import checked_call
from resourcekit.forks import free_after_fork
from resourcekit.known_names import KnownNames, shown
from resourcekit.signals import require_no_signal
from resourcekit.supervisor.health import Health, ServiceHealth, ServiceState, ServiceStatus
from resourcekit.supervisor.job import Job
from resourcekit.supervisor.schedule import Scheduling
from resourcekit.supervisor.workers import Workers
from resourcekit.telemetry import logger

__all__ = ["Health", "Scheduling", "ServiceHealth", "ServiceState", "ServiceStatus", "Supervisor"]

_log = logger("supervisor")
T = TypeVar("T")
_Key = tuple[Any, type, type[Service], str]
"""Resource, extension, service, and the name of the entity (``""`` for none)."""


class Supervisor(KnownNames):
    """Runs the services that extensions declare, for all resources that the targets name.

    targets: resources, domains, modules, or texts (``"myapp.accounts"``, ``"myapp.**"``); see ``find_resources``.
    on_run: a function that is called with a ServiceStatus after each run, in the thread of the run. In an
        async program it may be an async function, and is awaited.
    startup_check: run doctor on the targets at the first start, for two seconds at most. The findings are logged, each at its
        level, to ``resourcekit.doctor``. Checks that may read a whole table are left out.
    scheduling: the rules of time, chance and threads; for tests.

    ``with Supervisor(accounts):`` runs services in daemon threads, ``async with`` in tasks of the running loop. For the hooks
    of servers there are ``start()`` and ``stop()``, and ``await start.aio()`` and ``await stop.aio()``. A stopped supervisor
    can be started again.

    The first run of a service comes at a random moment within 60 seconds of the start (within its interval if that is
    shorter). Then it runs once in each interval, counted from start to start by the monotonic clock, without overlap. A
    failed run is repeated after a random pause of at most 1, 2, 4, ... seconds, never more than the interval. A service that
    fails or blocks does not affect the others.

    A supervisor does not survive a fork: in the child process nothing runs, ``state`` is ``"forked"``, and ``start()`` starts
    it again.

    Raise DeclarationError: RK070 to RK073 as ``find_resources`` does, RK074 if a target has no service, RK075 if the interval
    of a service is not a timedelta of at least one second.
    """

    @checked_call("Supervisor", "its options are: on_run, startup_check")
    def __init__(
        self,
        *targets: object,
        on_run: Callable[[ServiceStatus], object] | None = None,
        startup_check: bool = True,
        scheduling: Scheduling | None = None,
        checkup: bool | None = None,
    ) -> None:
        if checkup is not None:
            warnings.warn("checkup is now called startup_check", DeprecationWarning, stacklevel=3)
            startup_check = checkup
        self.start = SyncAndAsync(self._start)
        self.stop = SyncAndAsync(self._stop)
        self.run_now = SyncAndAsync(self._run_now)
        self.health = SyncAndAsync(self._health)
        self._targets = targets
        self._on_run = on_run
        self._is_to_be_checked = startup_check
        self._scheduling = scheduling or Scheduling()
        self._lock = free_after_fork(threading.Lock())
        self._pid = os.getpid()
        self._forked = False
        self._workers: Workers | None = None
        self._deployment: Context | None = None
        self._jobs = self._add_worker({})

    def _add_worker(self, known: dict[_Key, Job]) -> dict[_Key, Job]:
        """Return the jobs of all targets. Jobs that exist already keep their history."""
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

    def _job(self, resource: Any, extension: type, kind: type[Service], entity: str) -> Job:
        options = resource.__info__.extensions[extension]
        name = kind.__name__
        try:
            service = kind()
            name = ".".join(filter(None, (service.name or name, entity)))
            service.entity = resource.__info__.all_of(kind.each)[entity] if kind.each is not None else None
            interval: object = service.interval(options)
        except ResourcekitError:
            raise
        except Exception as error:
            what = f"the service {name} of {extension.__name__} cannot be made: {type(error).__name__}: {error}"
            hint = f"Correct {kind.__qualname__}, or report it to the author of {extension.__module__}."
            raise DeclarationError("RK016", what, resource=resource.__name__, path=("services", name), hint=hint) from error
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
        """Start the services in threads; ``await start.aio()`` starts them in tasks of the running loop.

        It does nothing if they run already. Resources that have joined a target since are included. Raise DeclarationError if a
        resource lacks what it needs at run time, such as a secret.
        """
        self._require_callable_observer()
        self._reset_after_fork()
        self._require_start()
        is_to_be_checked, self._is_to_be_checked = self._is_to_be_checked, False
        if is_to_be_checked:
            await run_startup_check(self._targets)
        with self._lock:
            if self._is_running():
                return
            self._jobs = self._add_worker(self._jobs)
            with outside_transaction():
                self._deployment = copy_context()
            self._workers = Workers(tuple(self._jobs.values()), self._scheduling.spawn)
            self._forked = False
        _log.info("supervising %s", ", ".join(map(str, self._jobs.values())))

    async def _stop(self, timeout: float | timedelta = 1.0) -> bool:  # noqa: ASYNC109  # the name of the public argument
        """Stop the services and return whether all have ended.

        timeout: seconds, or a timedelta; the time for running services to end after ``should_stop()`` has become true. A task
            that takes longer is cancelled (and has a quarter of a second to clean up). A thread cannot be cancelled: it is
            abandoned, runs no service after its current one, and does not keep the program from ending.
        """
        self._reset_after_fork()
        seconds: object = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= threading.TIMEOUT_MAX:
            what = f"takes seconds, or a timedelta, from 0 to {threading.TIMEOUT_MAX:.0f} s, not {timeout!r}"
            raise InvalidArgument(FieldFinding("timeout", what))
        with self._lock:
            workers = self._workers
            if workers is None:
                return True
            workers.refuse_to_block()
            self._workers = None
        all_ended = await workers.join(float(seconds))
        if all_ended:
            _log.info("stopped")
        else:
            left = ", ".join(str(job) for job in self._jobs.values() if job.status().state == "running")
            _log.warning("stopped after %s s, and left behind a run of %s", seconds, left)
        return all_ended

    def _require_start(self) -> None:
        """Raise DeclarationError, or DeclarationErrors, if a resource lacks what it needs in a running program."""
        if not self._is_running():
            infos = {id(job.resource): job.resource.__info__ for job in self._jobs.values()}
            raise_all([error for info in infos.values() for error in verify(info, at_start=True)])

    def _require_callable_observer(self) -> None:
        """Raise InvalidArgument for an async on_run in a sync call, where it could not be awaited."""
        if self._on_run is not None and not callable(self._on_run):
            raise InvalidArgument(f"on_run must be a function of a ServiceStatus, is {shown(self._on_run)}")
        if call_mode.get() is CallMode.SYNC and is_async_function(self._on_run):
            what = "on_run is an async function, which a sync Supervisor cannot await"
            raise InvalidArgument(f"{what}; await start.aio() and run_now.aio(), or give a plain function")

    async def _run_now(self, resource: Any) -> dict[str, object]:
        """Run all services of a resource now, in this thread or task, and return their results by name.

        It works whether the supervisor is running or not. If a run is in progress, this call waits for it. The next run comes
        an interval after this one. All services run; then an error is raised, or several as an ExceptionGroup. Raise
        InvalidArgument for a resource that this supervisor does not include.
        """
        self._require_callable_observer()
        self._reset_after_fork()
        jobs = [job for job in self._jobs.values() if job.resource is resource]
        if not jobs:
            known = ", ".join(dict.fromkeys(job.resource.__name__ for job in self._jobs.values()))
            raise InvalidArgument(f"{getattr(resource, '__name__', resource)!s} is not supervised here, only {known}")
        results: dict[str, object] = {}
        errors: list[Exception] = []
        for job in jobs:
            before = job.claimed
            try:
                await job.claim_when_free()
                workers = self._workers
                results[job.name] = await job.run(_never if workers is None else workers.should_stop)
            except Exception as error:  # raised below, after the other services have run
                job.release(before)
                require_no_signal(error)
                errors.append(error)
            except BaseException:
                job.release(before)
                raise
            await job.note_lag()
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup(f"{len(errors)} services of {resource.__name__} failed", errors)
        return results

    async def _health(self, *, lag: bool = False) -> Health:
        """Return whether the supervisor runs and each service is healthy; for a health endpoint.

        lag: also ask the services how long the oldest overdue work has been waiting. This reads their stores: for a sweep it
            reads the oldest record, which scans the table if the store has no index for it.

        A service is healthy if a successful run is at most two intervals ago, here or in another process with the same store,
        and its lag is not longer than that. Errors are not raised: an error of a store is reported in ``lag_error``.
        """
        services = self._each(Job.health)
        if lag:
            services = [await job.with_lag(one) for job, one in zip(self._jobs.values(), services, strict=True)]
        return Health(state=self.state, services=tuple(services))

    def status(self) -> tuple[ServiceStatus, ...]:
        """Return the status of each service, in the order of resources and extensions."""
        return tuple(self._each(Job.status))

    def _each(self, ask: Callable[[Job], T]) -> list[T]:
        """Call a function on all jobs, by the clock that they use."""
        self._reset_after_fork()
        with self._lock:
            if self._workers is not None and not self._is_running():
                # The event loop has ended without a stop.
                self._workers.stop_worker()
        deployment = self._deployment or copy_context()
        return [deployment.copy().run(ask, job) for job in self._jobs.values()]

    @property
    def state(self) -> Literal["running", "stopped", "forked"]:
        """Whether the supervisor runs in this process; ``"forked"``: it runs in the parent process, of which this is a fork."""
        self._reset_after_fork()
        return "forked" if self._forked else "running" if self._is_running() else "stopped"

    def _is_running(self) -> bool:
        return self._workers is not None and self._workers.is_alive()

    def _reset_after_fork(self) -> None:
        """In a forked child, drop threads, locks and runs of the parent, which do not exist here."""
        if self._pid == os.getpid():
            return
        self._forked = self._forked or self._workers is not None
        self._pid, self._workers, self._lock = os.getpid(), None, free_after_fork(threading.Lock())
        self._jobs = {key: job.renewed() for key, job in self._jobs.items()}
        if self._forked:
            _log.warning("this process was forked from one with a running supervisor; nothing runs here until start() is called")

    def __enter__(self) -> Self:
        """Start the services in threads."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the services within a second."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start the services in tasks of the running loop."""
        await self.start.aio()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the services within a second."""
        await self.stop.aio()

    def __repr__(self) -> str:
        """Return ``<supervisor of Expunger of Token: running>``."""
        return f"<supervisor of {', '.join(map(str, self._jobs.values()))}: {self.state}>"


def _services(resources: tuple[Any, ...]) -> Iterator[_Key]:
    for resource in resources:
        for extension, options in resource.__info__.extensions.items():
            for kind in options.services:
                names = [""] if kind.each is None else resource.__info__.all_of(kind.each)
                yield from ((resource, extension, kind, name) for name in names)


def _nothing_to_run(target: object) -> DeclarationError:
    name = getattr(target, "__name__", None) or getattr(target, "name", None) or target
    hint = "Name resources whose extensions bring services, for example one with extensions=[TokenResource]."
    return DeclarationError("RK074", f"{name!s} has no service to run", hint=hint)


def _never() -> bool:
    return False
