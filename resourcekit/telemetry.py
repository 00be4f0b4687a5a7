"""What the engine says about its work: log lines, and counts by name; it knows nobody.

Log names: ``resourcekit`` and children. No record, key or token is ever part of a log line or a count (P9).
"""

from __future__ import annotations

import logging
from collections import Counter

import attrs

__all__ = ["Measure", "count", "counts", "logger", "measure", "measures"]

Labels = tuple[tuple[str, str], ...]


@attrs.frozen
class Measure:
    """Something that is counted: its name, what it counts, and in which unit (as OpenTelemetry writes units)."""

    name: str
    doc: str
    unit: str = "1"


_measures: dict[str, Measure] = {}
_counts: Counter[tuple[str, Labels]] = Counter()


def logger(part: str) -> logging.Logger:
    """Return the logger of a part of the house, for example ``logger("engine")``."""
    return logging.getLogger(f"resourcekit.{part}")


def measure(name: str, doc: str, unit: str = "1") -> Measure:
    """Announce something that will be counted, once, where its module is imported."""
    return _measures.setdefault(name, Measure(name, doc, unit))


def count(what: Measure, by: float = 1, **labels: str) -> None:
    """Count that something happened; few labels, and never a value of a record."""
    _counts[what.name, tuple(sorted(labels.items()))] += by  # type: ignore[assignment]  # seconds are counted as well


def measures() -> tuple[Measure, ...]:
    """Return all that was announced."""
    return tuple(_measures.values())


def counts() -> dict[tuple[str, Labels], float]:
    """Return how much of each was counted in this process, by name and labels."""
    return dict(_counts)
