"""What gauges show of a service that is supervised: how long its work waits, and since when. It knows no worker and no store."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

from resourcekit.flow.clock import current_clock
from resourcekit.telemetry import gauge, measure

__all__ = ["Figures"]

_LAG = measure("resourcekit.service.lag", "How long the oldest work waits that a run should have done.", "s", "gauge")
_SINCE = measure("resourcekit.service.since", "Time since the last good run, or since the start.", "s", "gauge")


class Figures:
    """The gauges of one service, from the start of its supervisor to the stop.

    done: returns the moment of the last good run of the fleet, as far as is known here, or of the start.
    """

    def __init__(self, labels: dict[str, str], done: Callable[[], float]) -> None:
        self._labels, self._done = labels, done
        self._lag: tuple[float, float] | None = None
        self._pid = 0
        self._ends: list[Callable[[], None]] = []

    def show(self) -> None:
        """Begin."""
        self._pid, self._lag = os.getpid(), None
        self._ends = [gauge(_LAG, self._lag_now, **self._labels), gauge(_SINCE, self._since_now, **self._labels)]

    def hide(self) -> None:
        """End."""
        while self._ends:
            self._ends.pop()()

    def note(self, lag: timedelta | None) -> None:
        """Remember a lag that was found out just now; ``None``: it could not be."""
        self._lag = None if lag is None else (lag.total_seconds(), current_clock().monotonic())

    def _lag_now(self) -> float | None:
        """Return the lag: what waited when it was found out waits still, as long as no run has ended since."""
        if self._lag is None or self._pid != os.getpid():
            return None
        seconds, moment = self._lag
        return seconds + current_clock().monotonic() - moment if seconds > 0 else 0.0

    def _since_now(self) -> float | None:
        # In a forked child nothing runs, whatever its parent showed.
        return current_clock().monotonic() - self._done() if self._pid == os.getpid() else None
