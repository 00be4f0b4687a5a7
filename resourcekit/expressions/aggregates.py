"""Values that are computed over several records: figures of a query's groups, and aggregates of related rows.

What Python computes here is the reference for the meaning of aggregates on every store.
"""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

import attrs

from resourcekit.expressions import decimals
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.nodes import Expression, Field

__all__ = [
    "Figure",
    "aggregated",
    "count",
    "rank",
    "row",
]


@attrs.frozen
class Figure:
    """A value of a group of records. field: the attribute; empty for the number of records. owner: the resource that has it.

    ``None`` is passed over. Without values, count is 0 and all others are ``None``. avg is the sum divided by the number of values.
    """

    kind: Literal["count", "sum", "avg", "min", "max"]
    field: str = ""
    owner: Any = attrs.field(default=None, eq=False, repr=False)


@checked_call("count", "write count() for the number of records")
def count() -> Figure:
    """The number of records of a group: ``query(Order).group_by(Order.state).values(n=count())``."""
    return Figure("count")


@checked_call("row", "write row('n'), with the name of a key or a figure")
def row(name: str) -> Expression:
    """A key or a figure of a group, in conditions and orders of grouped queries: ``.filter(row("n") > 2)``."""
    return Field(name)


def rank(value: Any) -> tuple[bool, Any]:
    """Return a value's rank in an order: ``None`` is first, and the members of an enum sort like their values."""
    return value is not None, value.value if isinstance(value, enum.Enum) else value


def aggregated(kind: str, given: Iterable[Any], *, distinct: bool = False) -> Any:
    """Return the aggregate of the values of related rows, in their order. Sum, avg, min and max pass over ``None``."""
    if kind in ("one", "first"):
        return next(iter(given), None)
    values = list(given)
    match kind:
        case "exists":
            return bool(values)
        case "count":
            return len(values)
        case "every":
            return all(values)
        case "collect":
            return tuple(_unique(values) if distinct else values)
        case _:
            pass
    kept: list[Any] = [value for value in values if value is not None]
    if not kept:
        return None
    if kind in ("min", "max"):
        return (min if kind == "min" else max)(kept, key=rank)
    if isinstance(kept[0], bool):  # the sum of a single one is a number too
        kept = list(map(int, kept))
    total = functools.reduce(decimals.add if isinstance(kept[0], Decimal) else operator.add, kept)
    return total if kind == "sum" else total / len(kept)


def _unique(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    seen: set[Any] = set()
    for value in values:
        if value not in seen:
            seen.add(value)
            found.append(value)
    return found
