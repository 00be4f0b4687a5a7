"""The gauges of a supervised service: how long its work has been waiting, and the time since its last successful run."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

from resourcekit.clock import current_clock
from resourcekit.telemetry import gauge, measure

__all__ = ["Metrics"]

_LAG = measure("resourcekit.service.lag", "How long the oldest work waits that a run should have done.", "s", "gauge")
_SINCE = measure("resourcekit.service.since", "Time since the last good run, or since the start.", "s", "gauge")


class Metrics:
    """The gauges of one service, from the start of its supervisor to the stop.

    done: returns the moment of the last successful run of the fleet, as far as it is known here, or of the start.
    """

    def __init__(self, labels: dict[str, str], done: Callable[[], float]) -> None:
        self._labels, self._done = labels, done
        self._lag: tuple[float, float] | None = None
        self._pid = 0
        self._ends: list[Callable[[], None]] = []

    def show(self) -> None:
        """Register the gauges."""
        self._pid, self._lag = os.getpid(), None
        self._ends = [gauge(_LAG, self._lag_now, **self._labels), gauge(_SINCE, self._since_now, **self._labels)]

    def hide(self) -> None:
        """Remove the gauges."""
        while self._ends:
            self._ends.pop()()

    def note(self, lag: timedelta | None) -> None:
        """Store a lag that was just measured; ``None``: it could not be measured."""
        self._lag = None if lag is None else (lag.total_seconds(), current_clock().monotonic())

    def _lag_now(self) -> float | None:
        """Return the lag. It grows with time: work that was waiting when it was measured is waiting until the next run."""
        if self._lag is None or self._pid != os.getpid():
            return None
        seconds, moment = self._lag
        return seconds + current_clock().monotonic() - moment if seconds > 0 else 0.0

    def _since_now(self) -> float | None:
        # In a forked child nothing runs, so its gauges have no value.
        return current_clock().monotonic() - self._done() if self._pid == os.getpid() else None
