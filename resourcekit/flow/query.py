"""A question about the records of one resource, as a plain value; it knows neither the resource nor how to run."""

from __future__ import annotations

from typing import Generic, Self, TypeVar

import attrs

from resourcekit.flow.expression import Expression, Operand, Sort, all_of, as_expression

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

    def filter(self, *conditions: Expression) -> Self:
        """Keep only records for which all conditions hold, besides those named before."""
        return attrs.evolve(self, condition=all_of(self.condition, *conditions))

    def sort(self, *keys: Sort | Operand) -> Self:
        """Order by these keys, the first one first; replaces an earlier order. A bare attribute sorts upwards."""
        order = tuple(key if isinstance(key, Sort) else Sort(as_expression(key)) for key in keys)
        return attrs.evolve(self, order=order)

    def limit(self, rows: int) -> Self:
        """Return at most this many records, 0 or more; the smaller of two limits wins."""
        if rows < 0:
            msg = f"a limit is 0 or more, not {rows}"
            raise ValueError(msg)
        return attrs.evolve(self, row_limit=rows if self.row_limit is None else min(rows, self.row_limit))

    def offset(self, rows: int) -> Self:
        """Pass over this many records first, 0 or more."""
        if rows < 0:
            msg = f"an offset is 0 or more, not {rows}"
            raise ValueError(msg)
        return attrs.evolve(self, row_offset=rows)
