"""How one service of one resource is doing, as a plain value. It knows nobody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import attrs

__all__ = ["ServiceState", "ServiceStatus"]

ServiceState = Literal["waiting", "running", "backing off", "resting", "stopped", "crashed"]
"""What a service is doing; see ServiceStatus."""


@attrs.frozen(kw_only=True)
class ServiceStatus:
    """What is known of a service at one moment. Times are aware datetimes in UTC.

    resource: the class. service: the name of the service. interval: from the start of one run to that of the next.
    state: ``"waiting"`` for its next run; ``"running"``; ``"backing off"``: the last run failed, and it waits for the next
        try; ``"resting"``: it crashed (what it raised was no Exception) more often than Scheduling allows, and is left alone for
        an interval; ``"stopped"``: nobody will run it; ``"crashed"``: its worker did so, which is a bug of resourcekit.
    runs: how many runs ended, failed ones included. failures: how many failed in a row, zero after a good one.
    running_since: start of the run that is going on. last_run: start of the last run that ended; last_seconds: how long
        it took. last_result: what the last good run returned. last_error: name of the exception's type if the last run
        failed, else ``""``; never its text, which may hold values.
    next_due: when it runs next; ``None`` where nobody will run it.
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
