"""Preparations: steps of a read that shape its query. The built-in ones; they know no store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from resourcekit.flow.context import Context
from resourcekit.flow.expression import Operand, Sort, as_sort
from resourcekit.flow.query import Query

__all__ = ["Preparation", "PreparationFunction", "Shape", "filter", "limit", "sort"]

PreparationFunction = Callable[[Query[Any], Context], Query[Any]]
"""A preparation as a function: ``(query, context) -> query``."""


class Preparation:
    """A preparation as an object."""

    def prepare(self, query: Query[Any], context: Context) -> Query[Any]:
        """Return the query, shaped."""
        raise NotImplementedError


@attrs.frozen(eq=False)
class Shape(Preparation):
    """Applies one function to the query, whatever the call."""

    apply: Callable[[Query[Any]], Query[Any]]

    def prepare(self, query: Query[Any], context: Context) -> Query[Any]:
        """Shape the query."""
        return self.apply(query)


def filter(*conditions: Operand) -> Preparation:  # noqa: A001  # the field's word
    """Keep only records for which all conditions hold."""
    return Shape(lambda query: query.filter(*conditions))


def sort(*keys: Sort | Operand | str) -> Preparation:
    """Order the records, unless the caller orders them; an attribute's name sorts upwards, ``"-name"`` downwards."""
    order = tuple(map(as_sort, keys))
    return Shape(lambda query: query if query.order else query.sort(*order))


def limit(rows: int) -> Preparation:
    """Return at most this many records."""
    return Shape(lambda query: query.limit(rows))
