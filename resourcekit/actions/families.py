"""Families of types in expressions: which values are compared with each other, and what sums and functions of them return.

A maintainer opens it to add a type to expressions, or a function.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.dates import DATE_PARTS, DATE_UNITS, DATES, TIME_PARTS
from resourcekit.expressions.measures import At, Length
from resourcekit.expressions.nodes import Expression
from resourcekit.expressions.related import Parent, Related

__all__ = ["CLASSES", "SUMS", "Family", "family_of", "family_of_value", "formed", "is_whole", "result_of"]

Family = object
"""The types whose values can be compared with each other: a Kind, or the class of an enum; ``None`` for a value that fits every
type.
"""

_KINDS = {Kind.INTEGER: Kind.FLOAT, Kind.LIST: Kind.ANY, Kind.MAP: Kind.ANY}
CLASSES: Mapping[type, Kind] = {
    str: Kind.STRING,
    bool: Kind.BOOLEAN,
    int: Kind.FLOAT,
    float: Kind.FLOAT,
    decimal.Decimal: Kind.DECIMAL,
    dt.datetime: Kind.DATETIME,
    dt.date: Kind.DATE,
    dt.time: Kind.TIME,
    dt.timedelta: Kind.DURATION,
    uuid.UUID: Kind.UUID,
    bytes: Kind.BYTES,
}
SUMS: Mapping[tuple[Family, str, Family], Kind] = {
    **{(kind, op, kind): kind for op in "+-*" for kind in (Kind.FLOAT, Kind.DECIMAL)},
    (Kind.STRING, "+", Kind.STRING): Kind.STRING,
    (Kind.DURATION, "+", Kind.DURATION): Kind.DURATION,
    (Kind.DURATION, "-", Kind.DURATION): Kind.DURATION,
    (Kind.DATETIME, "+", Kind.DURATION): Kind.DATETIME,
    (Kind.DATETIME, "-", Kind.DURATION): Kind.DATETIME,
    (Kind.DURATION, "+", Kind.DATETIME): Kind.DATETIME,
    (Kind.DATETIME, "-", Kind.DATETIME): Kind.DURATION,
    (Kind.DATE, "-", Kind.DATE): Kind.DURATION,
}
"""The family of a sum, a difference or a product, by the families of both sides."""

_TIMES = (Kind.DATETIME, Kind.DATE, Kind.TIME)
_SHOWN = {Kind.DATETIME: "datetime", Kind.DATE: "date", Kind.TIME: "time of day"}
_DATES = frozenset(DATES)
_TEXTS = frozenset({"lower", "upper", "trim"})
_NUMBERS = (Kind.FLOAT, Kind.DECIMAL)


def family_of(each: ValueType) -> Family:
    """Return the family of a type: the types whose values can be compared with its own."""
    each = each.basic
    if each.kind is Kind.LITERAL:
        return CLASSES[each.python]
    return each.python if each.kind is Kind.ENUM else _KINDS.get(each.kind, each.kind)


def family_of_value(value: object) -> Family:
    """Return the family of a value: the types whose values can be compared with it."""
    if value is None:
        return None
    if isinstance(value, enum.Enum):
        return type(value)
    return next((CLASSES[kind] for kind in type(value).__mro__ if kind in CLASSES), Kind.ANY)


def formed(function: str, node: Expression, family: Family, beside: Family = None) -> tuple[Expression, Family]:
    """Return an operand of a sum or a function, with its family; a part of free JSON gets the form of which it is computed.

    beside: the family of the other operand.
    """
    if not isinstance(node, At) or family is not None:
        return node, family
    is_text = function in _TEXTS or (function == "+" and beside is Kind.STRING)
    if function == "+" and beside not in (Kind.STRING, Kind.FLOAT):
        return node, family
    return attrs.evolve(node, form="text" if is_text else "number"), Kind.STRING if is_text else Kind.FLOAT


def result_of(
    function: str, facts: tuple[Any, ...], nodes: Sequence[Expression], families: Sequence[Family], types: Mapping[str, ValueType]
) -> tuple[Family, str]:
    """Return the family of a function's values, and the problem if it cannot take its operands. types: those of the attributes."""
    known = [family for family in families if family is not None]
    is_date = function in _DATES
    if any(
        isinstance(node, At) and (is_date or family in (Kind.DECIMAL, *_TIMES))
        for node, family in zip(nodes, families, strict=True)
    ):
        return None, "is text inside of JSON, of which nothing can be computed"
    if is_date:
        return _of_date(function, facts, known)
    if function in _TEXTS:
        return Kind.STRING, "" if known in ([], [Kind.STRING]) else f"is no text, and {function}() is for texts"
    if any(family not in _NUMBERS for family in known) or len(set(known)) > 1:
        shown = "round() is for numbers" if function == "round" else f"{function} is for two numbers of one type"
        return None, f"cannot be computed: {shown}"
    family, is_exact = (known[0] if known else None), Kind.DECIMAL in known
    if function == "/":
        cure = "is a Decimal, and each database rounds a quotient of decimals in its own way; multiply the other side"
        return Kind.FLOAT, cure if is_exact else ""
    if function == "round" or is_exact or all(is_whole(node, types) for node in nodes):
        return family, ""
    return None, f"has a fraction, and {function} is for whole numbers and decimals; use / and round(...)"


def _of_date(function: str, facts: tuple[Any, ...], known: Sequence[Family]) -> tuple[Family, str]:
    has_date, has_time = function in DATE_PARTS or function == "truncate", function in TIME_PARTS or function == "truncate"
    if function == "truncate" and known == [Kind.DATE] and facts[0] not in DATE_UNITS:
        return None, f"is a date, which has no {facts[0]}"
    allowed = {Kind.DATETIME, *([Kind.DATE] if has_date else ()), *([Kind.TIME] if has_time and not has_date else ())}
    if not allowed.issuperset(known):
        return None, f"has no {function}(): it is no " + " and no ".join(_SHOWN[kind] for kind in _TIMES if kind in allowed)
    return Kind.FLOAT if function != "truncate" else known[0] if known else None, ""


def is_whole(node: Expression, types: Mapping[str, ValueType]) -> bool:
    """Return whether a number has no fraction, by its type. types: those of the attributes."""
    match node:
        case ex.Field(name) | ex.Existing(name) | ex.Incoming(name):
            return _has_no_fraction(types[name])
        case ex.Value(value):
            return value is None or (isinstance(value, int) and not isinstance(value, bool))
        case ex.Param() | ex.Argument() | Length() | Related(kind="count"):
            return True
        case Related(type=ValueType() as held) | Parent(type=ValueType() as held):
            return _has_no_fraction(held)
        case ex.Call(function, parts):
            return function in _DATES or (function != "/" and all(is_whole(part, types) for part in parts))
        case ex.Arithmetic(_, left, right):
            return is_whole(left, types) and is_whole(right, types)
        case ex.Case(_, then, otherwise):
            return is_whole(then, types) and is_whole(otherwise, types)
        case ex.Coalesce(parts) | ex.Greatest(parts):
            return all(is_whole(part, types) for part in parts)
        case _:
            return False


def _has_no_fraction(held: ValueType) -> bool:
    held = held.basic
    return held.kind is Kind.INTEGER or (held.kind is Kind.LITERAL and held.python is int)
