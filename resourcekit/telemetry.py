"""Log lines, counters, gauges and spans of the engine.

Log names: ``resourcekit`` and children. No record, key or token is ever part of a log line, a count or a span; promise P9 (no
secrets in logs).
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
"""Returns the value of a gauge; ``None`` if it is unknown."""


@attrs.frozen
class Measure:
    """A counter or a gauge: its name, its meaning, and its unit (in OpenTelemetry's notation)."""

    name: str
    doc: str
    unit: str = "1"
    kind: Literal["counter", "gauge"] = "counter"


class Watcher(Protocol):
    """The interface of a receiver of spans."""

    def span(self, name: str, labels: Mapping[str, str]) -> AbstractContextManager[object]:
        """Return a context manager for a piece of work. An exception that leaves it is the outcome."""
        ...


_measures: dict[str, Measure] = {}
_counts: Counter[tuple[str, Labels]] = Counter()
_readings: dict[tuple[str, Labels], Reading] = {}
_watchers: list[Watcher] = []


def logger(part: str) -> logging.Logger:
    """Return the logger of a part of the framework, for example ``logger("engine")``."""
    return logging.getLogger(f"resourcekit.{part}")


def measure(name: str, doc: str, unit: str = "1", kind: Literal["counter", "gauge"] = "counter") -> Measure:
    """Announce a counter or a gauge, once, when its module is imported."""
    return _measures.setdefault(name, Measure(name, doc, unit, kind))


def count(what: Measure, by: float = 1, **labels: str) -> None:
    """Add to a counter. Use few labels, and never a value of a record."""
    _counts[what.name, tuple(sorted(labels.items()))] += by  # type: ignore[assignment]  # seconds are counted as well


def gauge(what: Measure, read: Reading, **labels: str) -> Callable[[], None]:
    """Register a gauge that shows the result of ``read`` whenever it is read. Return a function that removes it.

    If the same labels are registered again, the last one counts.
    """
    key = what.name, tuple(sorted(labels.items()))
    _readings[key] = read

    def end() -> None:
        if _readings.get(key) is read:
            del _readings[key]

    return end


def measures() -> tuple[Measure, ...]:
    """Return all announced counters and gauges."""
    return tuple(_measures.values())


def counts() -> dict[tuple[str, Labels], float]:
    """Return the counts of this process, by name and labels."""
    return dict(_counts)


def gauges() -> dict[tuple[str, Labels], float]:
    """Return the values of all gauges, by name and labels, without those that are unknown."""
    shown = {key: read() for key, read in list(_readings.items())}
    return {key: value for key, value in shown.items() if value is not None}


def watch(watcher: Watcher) -> Callable[[], None]:
    """Send all spans to a watcher from now on. Return a function that ends this."""
    _watchers.append(watcher)
    return lambda: _watchers.remove(watcher)


def watched() -> bool:
    """Return whether there is a watcher. Work that only spans need is skipped without one."""
    return bool(_watchers)


@contextlib.contextmanager
def span(name: str, **labels: str) -> Generator[None]:
    """Run a piece of work inside a span of each watcher."""
    with contextlib.ExitStack() as stack:
        for watcher in _watchers:
            stack.enter_context(watcher.span(name, labels))
        yield
