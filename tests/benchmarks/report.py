"""What a benchmark found, and how it is printed: one line a figure, with its budget and a word that judges it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from interleaving import Figure

__all__ = ["Line", "printed"]


@dataclass(frozen=True)
class Line:
    """One figure. unit: ``"x"`` for a ratio. budget: the bound, ``None`` where there is none to keep.

    aim: what we would like. at_least: budget and aim are lower bounds. cpu: the same figure in processor time.
    """

    what: str
    value: float
    unit: str = "x"
    budget: float | None = None
    aim: float | None = None
    at_least: bool = False
    cpu: float | None = None

    @classmethod
    def of(cls, what: str, figure: Figure, *, unit: str = "x", budget: float | None = None, aim: float | None = None) -> Line:
        """Return the line of a figure that ought to be small."""
        return cls(what, figure.wall, unit, budget, aim, cpu=figure.cpu)

    @property
    def word(self) -> str:
        """``pass``, ``fail``, or ``info`` where nothing is promised."""
        if self.budget is None:
            return "info"
        return "pass" if self._keeps(self.budget) else "fail"

    def _keeps(self, bound: float) -> bool:
        return self.value >= bound if self.at_least else self.value <= bound

    def columns(self) -> tuple[str, str, str, str, str]:
        """Return the parts of the line."""
        side = ">=" if self.at_least else "<="
        bound = "" if self.budget is None else f"{side} {_number(self.budget)} {self.unit}"
        aim = "" if self.aim is None else f"aim {_number(self.aim)}{'' if self._keeps(self.aim) else ' missed'}"
        cpu = "" if self.cpu is None else f"cpu {_number(self.cpu)}"
        return self.word, f"{_number(self.value)} {self.unit}", cpu, ", ".join(filter(None, (bound, aim))), self.what


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def printed(lines: Iterable[Line]) -> str:
    """Return the lines as a table."""
    rows = [line.columns() for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return "\n".join("  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in rows)
