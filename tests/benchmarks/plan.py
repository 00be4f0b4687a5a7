"""How large a run is, and where it keeps its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from interleaving import Pace
from report import Line

__all__ = ["FULL", "TINY", "Benchmark", "Run", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """The figures of a run.

    rows: in a table that is checked. expired, swept: rows that a sweep removes, of so many. bulk: rows created at once.
    sweeps: how many of resourcekit are timed. starts: of processes, on each side. idle: seconds for which others are watched
    without a sweep. pace: of all races.
    """

    rows: int
    expired: int
    swept: int
    bulk: int
    sweeps: int
    starts: int
    idle: float
    pace: Pace


FULL = Sizes(1_000_000, 1_000_000, 2_000_000, 10_000, 3, 15, 5.0, Pace(25, 0.06))
TINY = Sizes(100, 50, 100, 30, 1, 1, 0.01, Pace(2, 0.0002))
"""So small that its figures mean nothing: it shows that a benchmark runs."""


@dataclass(frozen=True)
class Run:
    """One run. folder: for databases; those that are there already are taken as they are."""

    sizes: Sizes
    folder: Path

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """Return a file of this run, made the first time it is asked for."""
        path, finished = self.folder / name, self.folder / f"{name}.finished"
        if not finished.exists():
            for left in self.folder.glob(f"{name}*"):
                left.unlink()
            make(path)
            finished.touch()
        return path


Benchmark = Callable[[Run], Iterable[Line]]
