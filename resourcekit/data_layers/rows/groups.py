"""Figures of rows in Python: over all rows that match, and over each group of them, with one state for each group."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.base import Aggregate, Row
from resourcekit.expressions import decimals
from resourcekit.expressions.aggregates import Figure, rank

__all__ = [
    "Grouping",
    "figure",
]


class _State:
    """One figure of one group: the number of values, and their sum, or the smallest or largest one."""

    __slots__ = ("figure", "number", "value")

    def __init__(self, figure: Figure) -> None:
        self.figure, self.number = figure, 0
        self.value: Any = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the value of a row."""
        value = row[self.figure.field] if self.figure.field else 1
        if value is None:
            return
        self.number += 1
        if self.number == 1:
            self.value = value
        elif self.figure.kind in ("min", "max"):
            is_smaller = rank(value) < rank(self.value)
            self.value = value if is_smaller is (self.figure.kind == "min") else self.value
        else:
            self.value = decimals.add(self.value, value) if isinstance(value, Decimal) else self.value + value

    def result(self) -> Any:
        """Return the figure."""
        if self.figure.kind == "count":
            return self.number
        return self.value / self.number if self.figure.kind == "avg" and self.number else self.value


class Grouping:
    """The groups of rows that are added one by one."""

    def __init__(self, keys: Sequence[str], figures: Mapping[str, Figure]) -> None:
        self._keys, self._figures = tuple(keys), figures
        self._found: dict[tuple[Any, ...], dict[str, _State]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row to its group."""
        key = tuple([row[name] for name in self._keys])
        states = self._found.get(key)
        if states is None:
            states = self._found[key] = {name: _State(figure) for name, figure in self._figures.items()}
        for state in states.values():
            state.add(row)

    def rows(self) -> Iterator[Row]:
        """Yield one row for each group, with the keys and the figures by name."""
        for key, states in self._found.items():
            yield {**dict(zip(self._keys, key, strict=True)), **{name: state.result() for name, state in states.items()}}

    def rows_of(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
        """Add rows, and yield the groups."""
        for row in rows:
            self.add(row)
        return self.rows()


def figure(operation: Aggregate, rows: Iterator[Row]) -> Any:
    """Return the value of an aggregate over the matching rows. Min, max, sum and avg of no values are ``None``."""
    if operation.kind == "exists":
        return next(rows, None) is not None
    if operation.kind == "count":
        return sum(1 for _ in rows)
    assert operation.field is not None
    values = [value for row in rows if (value := row[operation.field]) is not None]
    if not values:
        return None
    if operation.kind in ("min", "max"):
        return (min if operation.kind == "min" else max)(values, key=rank)
    total = functools.reduce(decimals.add if isinstance(values[0], Decimal) else operator.add, values)
    return total if operation.kind == "sum" else total / len(values)
