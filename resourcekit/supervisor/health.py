"""The status and the health of services, as plain values."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import attrs

__all__ = [
    "Health",
    "ServiceHealth",
    "ServiceState",
    "ServiceStatus",
    "is_late",
]

ServiceState = Literal["waiting", "running", "backing off", "resting", "stopped", "crashed"]
"""The state of a service; see ServiceStatus."""


@attrs.frozen(kw_only=True)
class ServiceStatus:
    """The status of a service at one moment. Times are aware datetimes in UTC.

    resource: the class.
    service: the name of the service.
    interval: from the start of one run to that of the next.
    state: ``"waiting"`` for its next run; ``"running"``; ``"backing off"``: the last run failed, and it waits for the retry;
        ``"resting"``: it crashed (raised an exception that is not an Exception) more often than Scheduling allows, and pauses
        for an interval; ``"stopped"``: no worker will run it; ``"crashed"``: its worker crashed, which is a bug of
        resourcekit.
    runs: number of runs that ended, including failed ones.
    failures: number of failures in a row; zero after a successful run.
    running_since: start of the run in progress.
    last_run: start of the last run that ended.
    last_seconds: duration of the last run that ended.
    last_result: result of the last successful run.
    last_error: name of the exception's type if the last run failed, else ``""``; never its text, which may contain values.
    next_due: time of the next run; ``None`` if no worker will run it.
    """

    resource: Any
    service: str
    state: ServiceState
    interval: timedelta
    runs: int = 0
    failures: int = 0
    running_since: datetime | None = None
    last_run: datetime | None = None
    last_seconds: float | None = None
    last_success: datetime | None = None
    last_result: object = None
    last_error: str = ""
    next_due: datetime | None = None


_OVERDUE_INTERVALS = 2
"""Intervals without a successful run, or with overdue work, after which a service is not healthy."""


@attrs.frozen(kw_only=True)
class ServiceHealth:
    """The health of one service of one resource.

    resource: the qualified name of the class.
    service: the name of the service.
    state: as in ServiceStatus.
    interval: from the start of one run to that of the next.
    is_on_time: a successful run of this process, or of another one of the fleet, is at most two intervals ago, or the start
        is.
    last_success: start of the last successful run in this process.
    last_error: name of the exception's type if the last run failed, else ``""``.
    lag: how long the oldest overdue work has been waiting (for a sweep: the age of the oldest record that should be removed);
        ``None`` if it was not requested, or the service cannot compute it.
    lag_error: name of the exception's type if the lag could not be computed, else ``""``.
    """

    resource: str
    service: str
    state: ServiceState
    interval: timedelta
    is_on_time: bool
    last_success: datetime | None = None
    last_error: str = ""
    lag: timedelta | None = None
    lag_error: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether the service is run, is on time, and its work is overdue by at most two intervals."""
        keeps_up = not self.lag_error and (self.lag is None or self.lag <= _OVERDUE_INTERVALS * self.interval)
        return self.state not in ("resting", "stopped", "crashed") and self.is_on_time and keeps_up

    def as_dict(self) -> dict[str, object]:
        """Return the values for JSON; a lag is in seconds."""
        return {
            "resource": self.resource,
            "service": self.service,
            "healthy": self.is_healthy,
            "state": self.state,
            "on_time": self.is_on_time,
            "last_success": None if self.last_success is None else self.last_success.isoformat(),
            "last_error": self.last_error,
            "lag_seconds": None if self.lag is None else self.lag.total_seconds(),
            "lag_error": self.lag_error,
        }


@attrs.frozen(kw_only=True)
class Health:
    """The health of a supervisor.

    state: as ``Supervisor.state``.
    services: one entry for each service, in the order of ``status()``.
    """

    state: Literal["running", "stopped", "forked"]
    services: tuple[ServiceHealth, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether the supervisor runs in this process, and each of its services is healthy."""
        return self.state == "running" and all(service.is_healthy for service in self.services)

    @property
    def is_alive(self) -> bool:
        """Whether the supervisor runs in this process, and none of its workers has ended. A failing store does not change it."""
        return self.state == "running" and not any(service.state in ("stopped", "crashed") for service in self.services)

    def as_dict(self) -> dict[str, object]:
        """Return the values for JSON: ``healthy``, ``state`` and ``services``."""
        return {"healthy": self.is_healthy, "state": self.state, "services": [service.as_dict() for service in self.services]}


def is_late(since: float, now: float, interval: float) -> bool:
    """Return whether the last successful run, or the start, is too long ago; in seconds of the monotonic clock."""
    return now - since > _OVERDUE_INTERVALS * interval
