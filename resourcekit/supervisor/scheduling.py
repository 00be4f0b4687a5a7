"""When a service runs next: plain arithmetic over seconds of a monotonic clock. It knows no service and no thread."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

import attrs

__all__ = ["Scheduling"]

_MOST_DOUBLINGS = 64
"""Beyond this any pause is longer than any interval; further doubling would only overflow."""


def _start_daemon(target: Callable[[], object], name: str) -> None:
    # A daemon: a run that hangs must not keep the program from ending.
    threading.Thread(target=target, name=name, daemon=True).start()


@attrs.frozen(kw_only=True)
class Scheduling:
    """The rules of time, chance and threads, as a value that a test can replace.

    first_within: seconds after the start within which the first run falls; 60 unless set.
    retry_within: seconds within which the first retry of a failed run falls; 1 unless set. It doubles with each failure.
    restarts: how often a service that crashes is started again within ``restart_window`` seconds; 5 within ten minutes
        unless set. One crash more, and it rests.
    uniform: returns a random number between two; spawn: runs a function in a new daemon thread of that name.
    """

    first_within: float = 60.0
    retry_within: float = 1.0
    restarts: int = 5
    restart_window: float = 600.0
    uniform: Callable[[float, float], float] = random.uniform
    spawn: Callable[[Callable[[], object], str], object] = _start_daemon

    def first(self, now: float, interval: float) -> float:
        """Return when the first run is due: at a random moment within a minute, or within the interval if that is shorter.

        Random, so that a fleet that starts at once does not work at once.
        """
        return now + self.uniform(0.0, min(self.first_within, interval))

    def after_success(self, began: float, ended: float, interval: float) -> float:
        """Return when the next run is due: an interval after this one began, at once if it took longer.

        Runs that were missed (the machine slept, the run was long) are not made up for.
        """
        return max(began + interval, ended)

    def after_failure(self, ended: float, failures: int, interval: float) -> float:
        """Return when a failed run is tried again: exponential back-off with full jitter, never later than an interval.

        failures: how many there were in a row, this one included; at least 1.
        """
        longest = self.retry_within * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return ended + self.uniform(0.0, min(longest, interval))

    def recent(self, crashes: Sequence[float], now: float) -> tuple[float, ...]:
        """Return the moments of crashes that still count."""
        return tuple(moment for moment in crashes if now - moment < self.restart_window)

    def after_rest(self, ended: float, interval: float) -> float:
        """Return when a service that crashed too often is tried again: an interval later, and not before the window is over."""
        return ended + max(interval, self.restart_window)

    def after_other(self, now: float, free: float, interval: float) -> float:
        """Return when to look again after another process had the turn: soon after it is free, never later than an interval.

        free: seconds until the turn is free, negative where that is over. Random, so that a fleet does not come at once.
        """
        return now + min(max(free, 0.0), interval) + self.uniform(0.0, min(self.first_within, interval) / 10)
