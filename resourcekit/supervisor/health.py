"""Whether background work is done as it should be, as plain values for a health endpoint. They know nobody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import attrs

from resourcekit.supervisor.status import ServiceState

__all__ = ["Health", "ServiceHealth", "is_late"]

_PATIENCE = 2
"""Intervals without a good run, or with work left undone, after which a service is not healthy."""


@attrs.frozen(kw_only=True)
class ServiceHealth:
    """How one service of one resource does.

    resource: the qualified name of the class. service: the name of the service. state: as in ServiceStatus.
    interval: from the start of one run to that of the next.
    is_on_time: a good run of this process, or of another one of the fleet, is at most two intervals ago, or the start is.
    last_success: start of the last good run in this process. last_error: name of the exception's type if the last run
        failed, else ``""``.
    lag: how long the oldest work has been waiting that a run should already have done (of a sweep: the age of the oldest
        record that should be gone); ``None`` where nobody asked, or the service cannot tell.
    lag_error: name of the exception's type where it could not be found out, else ``""``.
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
        """Whether somebody runs it, it is on time, and its work is not left undone for more than two intervals."""
        keeps_up = not self.lag_error and (self.lag is None or self.lag <= _PATIENCE * self.interval)
        return self.state not in ("resting", "stopped", "crashed") and self.is_on_time and keeps_up

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON can say it; a lag in seconds."""
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
    """How a supervisor does. state: as ``Supervisor.state``. services: one of each, in the order of ``status()``."""

    state: Literal["running", "stopped", "forked"]
    services: tuple[ServiceHealth, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether it runs in this process, and each of its services is healthy."""
        return self.state == "running" and all(service.is_healthy for service in self.services)

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON can say it: ``healthy``, ``state`` and ``services``."""
        return {"healthy": self.is_healthy, "state": self.state, "services": [service.as_dict() for service in self.services]}


def is_late(since: float, now: float, interval: float) -> bool:
    """Say whether the last good run, or the start, is too long ago; seconds of the monotonic clock."""
    return now - since > _PATIENCE * interval
