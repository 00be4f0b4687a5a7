"""Expression nodes over related records: paths to one record, values of several records, and the record one level out.

Two nodes are written by users and know relationships: OneOf and ManyOf. ``actions/relating`` replaces them by Related before a
query runs, which holds all that a data layer needs: the store of the related rows, their condition, their order and limit.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from resourcekit.errors import InvalidArgument
from resourcekit.expressions.nodes import Expression, Operand, Sort, as_expression
from resourcekit.known_names import shown

__all__ = [
    "ROWS",
    "Kind",
    "ManyOf",
    "OneOf",
    "Parent",
    "Related",
    "SameKey",
    "Target",
    "parent",
]

Kind = Literal["one", "exists", "count", "every", "sum", "avg", "min", "max", "first", "collect"]

ROWS = "rows()"
"""Name of the parameter through which Python reads related rows. No parameter of an action has such a name."""


@attrs.frozen(eq=False)
class OneOf(Expression):
    """As a user writes it: the value of ``part`` in the one related record; ``None`` without such a record."""

    relation: Any
    part: Expression


@attrs.frozen(eq=False)
class ManyOf(Expression):
    """As a user writes it: a value of several related records.

    only, limit: the condition, and the most records, of the relationship as it was asked for. order: of ``only`` and ``limit``.
    part: the value of each record; ``None`` for exists, count and every. where: the conditions that the value itself has.
    sort: the order of first and collect; ``()`` for that of the relationship.
    """

    relation: Any
    kind: Kind
    part: Expression | None = None
    where: Expression | None = None
    only: Expression | None = None
    order: tuple[Sort, ...] = ()
    limit: int | None = None
    sort: tuple[Sort, ...] = ()
    distinct: bool = False


@attrs.frozen(eq=False)
class Parent(Expression):
    """The value of an expression in the row one level out. type, family: of its values, once it was checked."""

    part: Expression
    type: Any = None
    family: object = None


@attrs.frozen(eq=False)
class SameKey(Expression):
    """True if both sides are equal and not ``None``: the condition that joins two rows."""

    left: Expression
    right: Expression


@attrs.frozen
class Target:
    """The store of related rows. Its ``repr`` is the same in every process, because cursors contain it."""

    store: Any = attrs.field(repr=False, eq=id)
    name: str = attrs.field(eq=False)

    def __hash__(self) -> int:
        """Hash by identity of the store."""
        return id(self.store)


@attrs.frozen(eq=False)
class Related(Expression):
    """A value of the rows of another store, or of the same one, that belong to a row.

    on: the condition of the related rows; ``Parent`` in it refers to the row that they belong to.
    part, where, order, sort: expressions over a related row. Limit and order apply to the rows of ``on``; ``where`` and ``sort``
        to those that are left.
    name: names a path to at most one row by key, which a statement may join; ``""`` otherwise. ``"through"``: the rows between two
        sides of a many_to_many, whose first test in ``on`` is that of the far side.
    type, family: of the value, as in conditions. public: the value may be shown to the outside.
    """

    target: Target
    kind: Kind
    on: Expression
    part: Expression | None = None
    where: Expression | None = None
    order: tuple[Sort, ...] = ()
    limit: int | None = None
    sort: tuple[Sort, ...] = ()
    distinct: bool = False
    name: str = ""
    type: Any = None
    family: object = None
    public: bool = False

    @property
    def facts(self) -> object:
        """The properties of the node that decide its statement, besides the parts."""
        directions = tuple(key.descending for key in (*self.order, *self.sort))
        parts = (self.part is None, self.where is None, len(self.order))
        return (self.target, self.kind, self.limit, self.distinct, self.name, directions, parts)


def parent(part: object) -> Any:
    """The attribute of the record one level out, in a condition over related records.

    ``Author.books.exists(Book.price > parent(Author.limit))``. ``parent(parent(...))`` is two levels out.
    """
    if not isinstance(part, Operand):
        raise InvalidArgument(f"parent takes an attribute or an expression, not {shown(part)}")
    return Parent(as_expression(part))
