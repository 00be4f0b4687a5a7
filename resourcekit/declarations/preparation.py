"""Preparations: steps of a read that shape its query. Has the interface and the built-in preparations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from resourcekit.call_context import Context
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.errors import DeclarationError, MissingMethod
from resourcekit.expressions.nodes import Operand, Sort
from resourcekit.expressions.query import Query, as_sort

__all__ = ["Preparation", "PreparationFunction", "Shape", "filter", "limit", "sort"]

PreparationFunction = Callable[[Query[Any], Context], Query[Any]]
"""A preparation as a function: ``(query, context) -> query``."""


class Preparation:
    """A preparation as an object."""

    def prepare(self, query: Query[Any], context: Context) -> Query[Any]:
        """Return the query with this step applied."""
        raise MissingMethod.of(self, "prepare")


@attrs.frozen(eq=False)
class Shape(Preparation):
    """Applies one function to the query, independent of the call."""

    apply: Callable[[Query[Any]], Query[Any]]

    def prepare(self, query: Query[Any], context: Context) -> Query[Any]:
        """Apply the function."""
        return self.apply(query)


@checked_builder("filter")
def filter(*conditions: Operand) -> Preparation:  # noqa: A001  # the field's word
    """Keep only records that meet all conditions."""
    return Shape(lambda query: query.filter(*conditions))


@checked_builder("sort")
def sort(*keys: Sort | Operand | str) -> Preparation:
    """Order the records, unless the caller orders them. An attribute's name sorts ascending, ``"-name"`` descending."""
    order = tuple(map(as_sort, keys))
    if not order:
        hint = 'Name them: sort("-opened_at").'
        raise DeclarationError("RK003", "sort names no attribute", path=("sort",), origin=Origin.here(), hint=hint)
    return Shape(lambda query: query if query.order else query.sort(*order))


@checked_builder("limit")
def limit(rows: int) -> Preparation:
    """Return at most this many records."""
    return Shape(lambda query: query.limit(rows))
