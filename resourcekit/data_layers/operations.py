"""The operations that every store compiles: plain values that actions make and data layers read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from resourcekit.expressions.aggregates import Figure
from resourcekit.expressions.nodes import Expression, Sort

__all__ = [
    "Aggregate",
    "Delete",
    "DeleteInBatches",
    "Insert",
    "OnConflict",
    "Operation",
    "Select",
    "UnsupportedExpression",
    "Update",
]


class UnsupportedExpression(Exception):  # not a user error: the action falls back to computing the expression in Python
    """The store cannot compute this expression itself. Only ``compile`` raises it."""


@attrs.frozen(eq=False)
class Select:
    """Find rows.

    condition: matches the rows to return; ``None``: all rows.
    limit, offset: a Param with an int, or ``None``.
    fields: the attributes to return; ``None``: all.
    figures: return groups instead of rows, with these figures by name, for each combination of values of ``fields``. An order, a
        limit or an offset is not allowed then. Needs the capability GROUP.
    distinct: return only the first row, by ``order``, for each combination of values of these attributes. Limit and offset apply
        after that. Needs the capability DISTINCT.
    each: limit and offset count the rows of each combination of values of these attributes, by ``order``. Not with ``distinct``.
    computed: expressions whose values each row has as well, by names that are no attributes. Needs the capability RELATED.
    lock: lock the rows until the transaction ends, if the store has the capability LOCK.
    partial: return a row with an unreadable value as a PartialRow, if the store can; else the Select raises UnreadableValue.
    """

    condition: Expression | None = None
    order: tuple[Sort, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None
    fields: tuple[str, ...] | None = None
    lock: bool = False
    figures: Mapping[str, Figure] | None = None
    distinct: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    computed: Mapping[str, Expression] = attrs.field(factory=dict)
    partial: bool = False


@attrs.frozen(eq=False)
class OnConflict:
    """The behaviour of an insert if a row with the same values of ``target`` exists.

    target: the attributes of the primary key or of an identity.
    action: ``"skip"`` leaves the existing row; ``"update"`` applies ``set`` to it, if ``where`` holds.
    set, where: expressions over Existing, Incoming and Param nodes. All of ``set`` is computed from the row before the update.
    """

    target: tuple[str, ...]
    action: Literal["skip", "update"] = "update"
    set: Mapping[str, Expression] = attrs.field(factory=dict)
    where: Expression | None = None


@attrs.frozen(eq=False)
class Insert:
    """Insert rows with exactly these fields. Without ``on_conflict``, an existing key or identity is a failure of the row.

    Attributes that ``fields`` lacks are filled by the store, which needs the capability FILLED; returned rows have their values.
    """

    fields: tuple[str, ...]
    on_conflict: OnConflict | None = None
    returning: bool = True


@attrs.frozen(eq=False)
class Update:
    """Update all rows that match. All assignments are computed from the row before the update."""

    condition: Expression | None
    assignments: Mapping[str, Expression]
    returning: bool = False


@attrs.frozen(eq=False)
class Delete:
    """Delete all rows that match."""

    condition: Expression | None
    returning: bool = False


@attrs.frozen(eq=False)
class DeleteInBatches:
    """Delete all rows that match, in many short transactions."""

    condition: Expression | None


@attrs.frozen(eq=False)
class Aggregate:
    """Compute a value over the rows that such a Select returns; of an attribute that is not ``None``, except exists and count."""

    kind: Literal["exists", "count", "min", "max", "sum", "avg"]
    condition: Expression | None = None
    field: str | None = None
    order: tuple[Sort, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None


Operation = Select | Insert | Update | Delete | DeleteInBatches | Aggregate
"""Every operation that a store compiles. There are no others."""
