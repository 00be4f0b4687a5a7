"""The parts of a statement: placeholders, built expressions, and how two of them are compared and added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.dialects.base import Dialect, Element
from resourcekit.data_layers.sql.dialects.columns import DURATION, FLOAT, INTEGER, MOMENT, STRING, Codec, Family, Form
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.nodes import Expression
from resourcekit.expressions.related import Parent, Related
from resourcekit.expressions.rewriting import children

__all__ = ["Bind", "Built", "equality", "exactly", "furthest", "has_row", "is_computed", "of_one_scale", "partner", "sum_codec"]


@attrs.frozen(eq=False)
class Bind:
    """The source of the value of one placeholder.

    param: name of the parameter; empty for a constant.
    field: the attribute to name in an error.
    index: the position of the item, if the parameter holds a collection.
    constant: the stored form of a constant.
    """

    param: str
    encode: Callable[[Any], Any]
    field: str = ""
    index: int | None = None
    constant: Any = None


@attrs.frozen(eq=False)
class Built:
    """A part of a statement: its SQL, the codec of its values (``None``: it is NULL), and whether it may be NULL.

    field: the attribute to name in an error.
    document: a column of JSON as it is stored, with ``null`` that ``element`` has as NULL. Functions over its parts take both for
        no value.
    """

    element: Element
    codec: Codec | None
    nullable: bool
    field: str = ""
    document: Element | None = None

    @property
    def whole(self) -> Element:
        """The JSON for a function over its parts."""
        return self.element if self.document is None else self.document


def exactly(test: Element) -> Element:
    """Return a test that is false in place of NULL."""
    return sa.type_coerce(test, sa.Boolean).is_(sa.true())


def equality(op: str, left: Built, right: Built, *, exact: bool) -> Element:
    """Return the test that two values are equal, or are not. NULL equals NULL."""
    if left.codec is None or right.codec is None:
        same = left.element.is_(None) if right.codec is None else right.element.is_(None)
        return same if op == "==" else sa.not_(same)
    if op == "==":
        if (left.nullable and right.nullable) or (exact and (left.nullable or right.nullable)):
            return left.element.is_not_distinct_from(right.element)
        return left.element == right.element
    if left.nullable or right.nullable:
        return left.element.is_distinct_from(right.element)
    return left.element != right.element


def partner(known: Built) -> Built:
    """Return the type of a parameter beside this operand: a timedelta beside a datetime, otherwise the same type."""
    if known.codec is not None and known.codec.family is Family.MOMENT:
        return Built(known.element, DURATION, nullable=False)
    return known


def sum_codec(op: str, left: Codec | None, right: Codec | None) -> Codec:
    """Return the codec of a sum. Raise UnsupportedExpression if the database cannot compute it exactly."""
    codecs = [codec for codec in (left, right) if codec is not None]
    families = {codec.family for codec in codecs}
    if families <= {Family.NUMBER} and families:
        return FLOAT if any(codec.form is Form.REAL for codec in codecs) else INTEGER
    if families == {Family.TEXT} and op == "+":
        return STRING
    if families == {Family.DURATION} and op in ("+", "-"):
        return DURATION
    pair = tuple(None if codec is None else codec.family for codec in (left, right))
    if (pair == (Family.MOMENT, Family.DURATION) and op in ("+", "-")) or (
        pair == (Family.DURATION, Family.MOMENT) and op == "+"
    ):
        return MOMENT
    if pair == (Family.MOMENT, Family.MOMENT) and op == "-":
        return DURATION
    raise UnsupportedExpression("the database cannot compute this exactly")


def is_computed(built: Built | None) -> bool:
    """Return whether a value has the form with which the database computes."""
    return built is not None and built.codec is not None and built.codec.computing is None


def has_row(node: Expression) -> bool:
    """Return whether a value depends on a row."""
    return isinstance(node, (ex.Field, ex.Existing, ex.Incoming, Related, Parent)) or any(map(has_row, children(node)))


def of_one_scale(parts: list[Built]) -> list[Built]:
    """Return values that are compared, without their scales if these differ: their stored texts may differ for equal numbers."""
    if len({part.codec.scale for part in parts if part.codec is not None}) < 2:
        return parts
    return [part if part.codec is None else attrs.evolve(part, codec=attrs.evolve(part.codec, scale=None)) for part in parts]


def furthest(dialect: Dialect, elements: Sequence[Element], codec: Codec | None, *, least: bool) -> Element:
    """Return the greatest or the least of some values, in the order of their type."""
    found, *others = elements
    if codec is None or dialect.order_key(found, codec) is found:
        largest: Element = getattr(sa.func, dialect.least if least else dialect.greatest)(*elements)
        return largest
    for each in others:
        one, other = dialect.order_key(found, codec), dialect.order_key(each, codec)
        found = sa.case((one <= other if least else one >= other, found), else_=each)
    return found
