"""A question about the records of one resource, as a plain value; it knows neither the resource nor how to run."""

from __future__ import annotations

from typing import Generic, Self, TypeVar

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.flow.expression import Expression, Operand, Sort, all_of, as_condition, as_sort

__all__ = ["Query"]

R = TypeVar("R")


@attrs.frozen(eq=False)
class Query(Generic[R]):
    """Which records, in which order, how many. Every method returns a new query.

    ``R`` is the resource; it is there for type checkers.
    """

    condition: Expression | None = None
    order: tuple[Sort, ...] = ()
    row_limit: int | None = None
    row_offset: int = 0

    def filter(self, *conditions: Expression | Operand) -> Self:
        """Keep only records for which all conditions hold, besides those named before."""
        return attrs.evolve(self, condition=all_of(self.condition, *map(as_condition, conditions)))

    def sort(self, *keys: Sort | Operand | str) -> Self:
        """Order by these keys, the first one first; replaces an earlier order.

        A bare attribute, or its name, sorts upwards; ``"-name"`` downwards.
        """
        return attrs.evolve(self, order=tuple(map(as_sort, keys)))

    def limit(self, rows: int) -> Self:
        """Return at most this many records, 0 or more; the smaller of two limits wins."""
        most = _count("limit", rows)
        return attrs.evolve(self, row_limit=most if self.row_limit is None else min(most, self.row_limit))

    def offset(self, rows: int) -> Self:
        """Pass over this many records first, 0 or more."""
        return attrs.evolve(self, row_offset=_count("offset", rows))


def _count(what: str, rows: int) -> int:
    if type(rows) is int and 0 <= rows < 2**63:
        return rows
    raise InvalidArgument(FieldFinding(what, f"must be a whole number from 0 on, not {rows!r}"))
