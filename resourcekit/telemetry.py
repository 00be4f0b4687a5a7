"""What the engine says about its work: log lines, and counts by name; it knows nobody.

Log names: ``resourcekit`` and children. No record, key or token is ever part of a log line or a count (P9).
"""

from __future__ import annotations

import logging
from collections import Counter

__all__ = ["count", "counts", "logger"]

_counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()


def logger(part: str) -> logging.Logger:
    """Return the logger of a part of the house, for example ``logger("engine")``."""
    return logging.getLogger(f"resourcekit.{part}")


def count(name: str, **labels: str) -> None:
    """Count that something happened, by name and labels; few of both, and never a value of a record."""
    _counts[name, tuple(sorted(labels.items()))] += 1


def counts() -> dict[tuple[str, tuple[tuple[str, str], ...]], int]:
    """Return how often each thing happened in this process."""
    return dict(_counts)
