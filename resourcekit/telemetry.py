"""What the engine says about its work: log lines, counts and gauges by name, spans; it knows nobody.

Log names: ``resourcekit`` and children. No record, key or token is ever part of a log line, a count or a span (P9).
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import attrs

__all__ = [
    "Measure",
    "Watcher",
    "count",
    "counts",
    "gauge",
    "gauges",
    "logger",
    "measure",
    "measures",
    "span",
    "watch",
    "watched",
]

Labels = tuple[tuple[str, str], ...]
Reading = Callable[[], float | None]
"""Answers what a gauge shows now; ``None`` where it cannot tell."""


@attrs.frozen
class Measure:
    """Something that is counted, or shown: its name, what it tells, and in which unit (as OpenTelemetry writes units)."""

    name: str
    doc: str
    unit: str = "1"
    kind: Literal["counter", "gauge"] = "counter"


class Watcher(Protocol):
    """Whoever wants to see work while it goes on."""

    def span(self, name: str, labels: Mapping[str, str]) -> AbstractContextManager[object]:
        """Return a block that stands for a piece of work; what leaves it is its outcome."""
        ...


_measures: dict[str, Measure] = {}
_counts: Counter[tuple[str, Labels]] = Counter()
_readings: dict[tuple[str, Labels], Reading] = {}
_watchers: list[Watcher] = []


def logger(part: str) -> logging.Logger:
    """Return the logger of a part of the house, for example ``logger("engine")``."""
    return logging.getLogger(f"resourcekit.{part}")


def measure(name: str, doc: str, unit: str = "1", kind: Literal["counter", "gauge"] = "counter") -> Measure:
    """Announce something that will be counted, or shown by a gauge, once, where its module is imported."""
    return _measures.setdefault(name, Measure(name, doc, unit, kind))


def count(what: Measure, by: float = 1, **labels: str) -> None:
    """Count that something happened; few labels, and never a value of a record."""
    _counts[what.name, tuple(sorted(labels.items()))] += by  # type: ignore[assignment]  # seconds are counted as well


def gauge(what: Measure, read: Reading, **labels: str) -> Callable[[], None]:
    """Let a gauge show what ``read`` answers whenever it is looked at; returns a function that ends it.

    Given again for the same labels, the last one counts.
    """
    key = what.name, tuple(sorted(labels.items()))
    _readings[key] = read

    def end() -> None:
        if _readings.get(key) is read:
            del _readings[key]

    return end


def measures() -> tuple[Measure, ...]:
    """Return all that was announced."""
    return tuple(_measures.values())


def counts() -> dict[tuple[str, Labels], float]:
    """Return how much of each was counted in this process, by name and labels."""
    return dict(_counts)


def gauges() -> dict[tuple[str, Labels], float]:
    """Return what each gauge shows now, by name and labels; those that cannot tell are left out."""
    shown = {key: read() for key, read in list(_readings.items())}
    return {key: value for key, value in shown.items() if value is not None}


def watch(watcher: Watcher) -> Callable[[], None]:
    """Show all work to a watcher from now on; returns a function that ends it."""
    _watchers.append(watcher)
    return lambda: _watchers.remove(watcher)


def watched() -> bool:
    """Tell whether anybody watches, and it is worth while to find out for him what nobody else asks."""
    return bool(_watchers)


@contextlib.contextmanager
def span(name: str, **labels: str) -> Generator[None]:
    """Surround a piece of work with a span of each watcher."""
    with contextlib.ExitStack() as stack:
        for watcher in _watchers:
            stack.enter_context(watcher.span(name, labels))
        yield
