"""Computes when a service runs next, in seconds of a monotonic clock."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

import attrs

__all__ = ["Scheduling"]

_MOST_DOUBLINGS = 64
"""Limit of the exponent: beyond it any pause is longer than any interval, and the power would overflow."""


def _start_daemon(target: Callable[[], object], name: str) -> None:
    # A daemon: a run that hangs must not keep the program from ending.
    threading.Thread(target=target, name=name, daemon=True).start()


@attrs.frozen(kw_only=True)
class Scheduling:
    """The rules of time, chance and threads, as a value that a test can replace.

    first_within: seconds after the start within which the first run falls; 60 by default.
    retry_within: seconds within which the first retry of a failed run falls; 1 by default. It doubles with each failure.
    restarts: how often a crashed service is started again within ``restart_window`` seconds; 5 within ten minutes by default.
        After one more crash it pauses.
    uniform: returns a random number between two numbers.
    spawn: runs a function in a new daemon thread of a given name.
    """

    first_within: float = 60.0
    retry_within: float = 1.0
    restarts: int = 5
    restart_window: float = 600.0
    uniform: Callable[[float, float], float] = random.uniform
    spawn: Callable[[Callable[[], object], str], object] = _start_daemon

    def first(self, now: float, interval: float) -> float:
        """Return the time of the first run: a random moment within ``first_within``, or within the interval if that is
        shorter.

        It is random so that a fleet that starts together does not work at the same moment.
        """
        return now + self.uniform(0.0, min(self.first_within, interval))

    def after_success(self, began: float, ended: float, interval: float) -> float:
        """Return the time of the next run: an interval after this one began, or now if it took longer.

        Missed runs (the machine slept, the run was long) are not made up for.
        """
        return max(began + interval, ended)

    def after_failure(self, ended: float, failures: int, interval: float) -> float:
        """Return the time of the retry of a failed run: exponential back-off with full jitter, at most an interval later.

        failures: number of failures in a row, including this one; at least 1.
        """
        longest = self.retry_within * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return ended + self.uniform(0.0, min(longest, interval))

    def recent(self, crashes: Sequence[float], now: float) -> tuple[float, ...]:
        """Return the times of the crashes that still count."""
        return tuple(moment for moment in crashes if now - moment < self.restart_window)

    def after_rest(self, ended: float, interval: float) -> float:
        """Return the time of the next run of a service that crashed too often: an interval later, and after the restart
        window.
        """
        return ended + max(interval, self.restart_window)

    def after_other(self, now: float, free: float, interval: float) -> float:
        """Return the time of the next attempt after another process held the lease: soon after it is free, at most about an
        interval later.

        free: seconds until the lease is free; negative if it is free already. A random part keeps the processes of a fleet
            apart.
        """
        return now + min(max(free, 0.0), interval) + self.uniform(0.0, min(self.first_within, interval) / 10)
