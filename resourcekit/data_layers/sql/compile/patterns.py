"""Tests of one value: of a text against a pattern or a regular expression, of a list for an item, of a value that is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.compile.json_parts import item_codec
from resourcekit.data_layers.sql.compile.parts import Bind, Built, exactly
from resourcekit.data_layers.sql.compile.variants import Item
from resourcekit.data_layers.sql.dialects.base import Element
from resourcekit.data_layers.sql.dialects.columns import STRING, Family, Form
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.measures import Contains
from resourcekit.expressions.nodes import Expression

__all__ = ["among", "contains", "is_untyped", "like", "matches", "truth"]

Builder = Any
"""``expressions.Builder``, which calls these functions. It is not imported, because it imports this module."""


def is_untyped(node: Expression) -> bool:
    """Return whether an operand takes its type from the other operand."""
    return isinstance(node, (ex.Param, ex.Argument, ex.Value, Item))


def among(builder: Builder, operand: Built, name: str, *, exact: bool) -> Element:
    """Build the test that a column has one of the values of a parameter, which holds a collection without ``None``."""
    assert operand.codec is not None
    encode, whole, key = operand.codec.encode, builder.dialect.whole, f"b{len(builder.binds)}"
    builder.binds[key] = Bind(name, lambda items: whole([encode(item) for item in dict.fromkeys(items)]), operand.field)
    test: Element = builder.dialect.among(operand.element, key)
    return exactly(test) if exact and operand.nullable else test


def contains(builder: Builder, node: Contains, *, exact: bool) -> Element:
    """Build the test that a list has an item."""
    whole = builder.value(node.operand)
    item = builder.value(node.item, builder.value_of(item_codec(node.type), whole.field))
    if whole.codec is None or whole.codec.family is not Family.JSON:
        raise UnsupportedExpression("only lists have items in the database")
    wanted = sa.literal_column("'null'") if item.codec is None else item.element
    test: Element = builder.dialect.json_contains(whole.whole, wanted)
    return exactly(test) if exact and whole.nullable else test


def matches(builder: Builder, built: Built, regex: re.Pattern[str], *, exact: bool) -> Element:
    """Build the test that a regular expression matches a text."""
    if built.codec is None or built.codec.family is not Family.TEXT:
        raise UnsupportedExpression("only text can be matched")
    test: Element = builder.dialect.matches(built.element, regex)
    return exactly(test) if exact and built.nullable else test


def truth(builder: Builder, built: Built, *, exact: bool) -> Element:
    """Build the test that a value is true, as Python takes it: not zero, and not empty."""
    if built.codec is None:
        return sa.false()
    if built.codec.form is Form.BOOLEAN:
        test: Element = builder.dialect.truth(built.element)
    elif built.codec.family is Family.NUMBER:
        test = built.element != sa.literal_column("0")
    elif built.codec.family in (Family.TEXT, Family.BYTES):
        test = built.element != sa.literal_column("''" if built.codec.family is Family.TEXT else builder.dialect.empty_bytes)
    else:
        raise UnsupportedExpression("this value is neither true nor false in the database")
    return exactly(test) if exact and built.nullable else test


def like(builder: Builder, operand: Expression, pattern: Expression, *, exact: bool) -> Element:
    """Build the test that a pattern matches a text."""
    dialect, text = builder.dialect, builder.value(operand)
    if text.codec is None or (isinstance(pattern, ex.Value) and pattern.value is None):
        return sa.false()
    if text.codec.family is not Family.TEXT:
        raise UnsupportedExpression("only text can be matched")
    if not is_untyped(pattern):
        held = builder.value(pattern)
        test: Element = dialect.matches_column(text.element, held.element)
        return exactly(test) if exact and (text.nullable or held.nullable) else test

    def encode(value: Any) -> Any:
        return dialect.pattern(STRING.encode(value))

    test = dialect.like(text.element, _of_pattern(builder, pattern, encode, text.field))
    if dialect.bounds_of is not None and isinstance(text.element, sa.Column):
        test = sa.and_(test, *_bounds(builder, text, pattern, *dialect.bounds_of))
    return exactly(test) if exact and text.nullable else test


def _of_pattern(builder: Builder, pattern: Expression, encode: Callable[[Any], Any], field: str) -> Element:
    """Add a placeholder for a value that is computed from a pattern."""
    if isinstance(pattern, ex.Value):
        bind = Bind("", encode, field, constant=encode(pattern.value))
    else:
        bind = Bind(pattern.name, encode, field)  # type: ignore[attr-defined]  # untyped: Param and Argument
    placed: Element = builder.bind(bind, STRING)
    return placed


def _bounds(
    builder: Builder, text: Built, pattern: Expression, first: Callable[[str], Any], end: Callable[[str], Any]
) -> list[Element]:
    """Return tests for the bounds of the text that a pattern matches, so that an index is read between them."""

    def of(bound: Callable[[str], Any]) -> Element:
        return _of_pattern(builder, pattern, lambda value: bound(STRING.encode(value)), text.field)

    return [text.element >= of(first), sa.or_(of(end).is_(None), text.element < of(end))]
