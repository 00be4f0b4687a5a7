"""Times functions against each other, interleaved, on a machine that others use too.

Both sides of a ratio run in turn, a short round of one after a short round of the other, so that whatever slows the
machine down slows both. What counts is the median of the ratios of rounds, never a ratio of two means.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Figure", "Pace", "Race", "median_ratio"]

Step = Callable[[int], object]
"""Does the work once; gets a number that is another one at each call."""


@dataclass(frozen=True)
class Pace:
    """How long a race takes. rounds: of each side; seconds: that a round takes about."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Figure:
    """One side against another, by the clock on the wall and by the processor time of this process."""

    wall: float
    cpu: float


@dataclass
class _Lane:
    """One side. wall, cpu: seconds a call took, a list entry for each round."""

    step: Step
    calls: int = 0
    done: int = 0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self, calls: int) -> tuple[float, float]:
        """Make so many calls; return the seconds that one took."""
        step, numbers = self.step, range(self.done, self.done + calls)
        self.done += calls
        gc.collect()  # else one side would pay for what the other one has left
        wall, cpu = time.perf_counter(), time.process_time()
        for number in numbers:
            step(number)
        return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls

    def warm(self, seconds: float) -> None:
        """Find out how many calls make a round."""
        calls = 1
        while (took := self.run(calls)[0] * calls) < seconds / 4:
            calls *= 2
        self.calls = max(1, round(calls * seconds / took))


class Race:
    """Sides that were timed in turn."""

    def __init__(self, sides: Mapping[str, Step], pace: Pace) -> None:
        self._lanes = {name: _Lane(step) for name, step in sides.items()}
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.warm(pace.seconds)
        for number in range(pace.rounds):
            # There and back: who runs first in one round runs last in the next.
            for lane in lanes if number % 2 else reversed(lanes):
                wall, cpu = lane.run(lane.calls)
                lane.wall.append(wall)
                lane.cpu.append(cpu)

    def ratio(self, name: str, other: str) -> Figure:
        """Return how many times as long one side takes as the other one."""
        one, two = self._lanes[name], self._lanes[other]
        return Figure(median_ratio(one.wall, two.wall), median_ratio(one.cpu, two.cpu))

    def above(self, name: str, other: str) -> Figure:
        """Return how many microseconds longer a call of one side takes than a call of the other one."""
        one, two = self._lanes[name], self._lanes[other]
        return Figure(_median_difference(one.wall, two.wall), _median_difference(one.cpu, two.cpu))

    def microseconds(self) -> dict[str, float]:
        """Return the median time of a call, by side."""
        return {name: statistics.median(lane.wall) * 1e6 for name, lane in self._lanes.items()}


def median_ratio(one: Sequence[float], two: Sequence[float]) -> float:
    """Return the median of the ratios of rounds."""
    return statistics.median(a / b if b else 0.0 for a, b in zip(one, two, strict=True))


def _median_difference(one: list[float], two: list[float]) -> float:
    return statistics.median(a - b for a, b in zip(one, two, strict=True)) * 1e6
