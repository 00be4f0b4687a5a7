"""Calls of functions in statements: texts, quotients, rounded numbers, and fragments, whose SQL the application writes.

A maintainer opens it to add a function, which ``expressions.computable`` gives its meaning.
"""

from __future__ import annotations

from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.sql.elements import ClauseList, Grouping

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.compile.called_dates import of_date
from resourcekit.data_layers.sql.compile.parts import Built
from resourcekit.data_layers.sql.dialects.base import Element
from resourcekit.data_layers.sql.dialects.columns import FLOAT, INTEGER, STRING, Family, Form
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.computable import WHOLE
from resourcekit.expressions.dates import DATES
from resourcekit.expressions.nodes import Expression, Fragment

__all__ = ["called", "fragment_of"]

Builder = Any
"""``expressions.Builder``, which calls these functions. It is not imported, because it imports this module."""

_TEXTS = frozenset({"lower", "upper", "trim"})


def called(builder: Builder, node: ex.Call) -> Built:
    """Build the call of a function. Raise UnsupportedExpression for one that the database cannot compute exactly."""
    if node.function in DATES:
        return of_date(builder, node)
    if node.function in _TEXTS:
        return _text(builder, node.function, node.parts[0])
    parts = _operands(builder, node)
    codecs = [part.codec for part in parts if part.codec is not None]
    if len(codecs) < len(parts):
        return Built(sa.null(), None, nullable=True)
    families = {codec.family for codec in codecs}
    if families - {Family.NUMBER, Family.DECIMAL} or len(families) > 1:
        raise UnsupportedExpression("the database computes this of numbers only")
    if node.function == "round":
        return _rounded(builder, parts[0], *node.facts)
    left, right = (part.element for part in parts)
    dialect = builder.dialect
    if node.function == "/":
        quotient = dialect.quotient(dialect.as_float(left), dialect.as_float(right))
        return Built(quotient, FLOAT, nullable=True)
    if Family.DECIMAL in families:
        whole, rest = dialect.decimal_division(left, right)
        return Built(whole if node.function == "//" else rest, dialect.codecs.decimal, nullable=True)
    if any(codec.form is Form.REAL for codec in codecs):
        raise UnsupportedExpression("the database computes this of whole numbers only")
    whole, rest = dialect.floor_division(left, right)
    return Built(whole if node.function == "//" else rest, INTEGER, nullable=True)


def _operands(builder: Builder, node: ex.Call) -> list[Built]:
    if len(node.parts) == 1:
        return [builder.operand(builder.value(node.parts[0]))]
    return list(builder.operands(ex.Arithmetic("*", *node.parts)))


def _text(builder: Builder, function: str, part: Expression) -> Built:
    text: Built = builder.value(part, builder.value_of(STRING))
    if text.codec is None:
        return text
    if text.codec.family is not Family.TEXT:
        raise UnsupportedExpression("the database computes this of texts only")
    made: Element = getattr(builder.dialect, f"text_{function}")(text.element)
    return Built(made, STRING, text.nullable)


def _rounded(builder: Builder, number: Built, places: int) -> Built:
    assert number.codec is not None
    if number.codec.family is Family.DECIMAL:
        return attrs.evolve(number, element=builder.dialect.decimal_rounded(number.element, places), field="")
    if number.codec.form is not Form.REAL:
        return number
    dialect: Any = builder.dialect
    scale: Any = sa.literal_column(f"1e{places}", sa.Double())
    value: Any = sa.type_coerce(dialect.as_float(number.element), sa.Double())
    near: Any = dialect.to_even(value * scale) / scale + sa.literal_column("0e0", sa.Double())
    is_small = sa.func.abs(value) < sa.literal_column(f"{WHOLE!r}e-{places}", sa.Double())
    return Built(sa.case((is_small, near), else_=value), FLOAT, number.nullable)


def fragment_of(builder: Builder, node: Fragment) -> Built:
    """Build a fragment, in parentheses."""
    pieces: list[Any] = []
    for place, text in enumerate(node.texts):
        pieces += [sa.literal_column(text)] if text.strip() else []
        if place < len(node.parts):
            pieces.append(Grouping(builder.value(node.parts[place]).element))
    spaced: Any = None  # no operator: a space
    whole: Any = Grouping(ClauseList(*pieces, operator=spaced, group_contents=False))
    return Built(sa.type_coerce(whole, sa.types.NullType()), builder.dialect.codecs.of_type(node.type.basic), nullable=True)
