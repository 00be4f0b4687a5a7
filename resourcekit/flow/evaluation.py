"""What an expression means, in Python: the reference that every store is held against. It knows expressions only."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from resourcekit.flow.clock import utc_now
from resourcekit.flow.expression import (
    And,
    Argument,
    Arithmetic,
    Case,
    Coalesce,
    Compare,
    Existing,
    Expression,
    Field,
    Greatest,
    In,
    Incoming,
    IsNone,
    Like,
    Not,
    Now,
    Or,
    Param,
    Value,
)

__all__ = ["Evaluator", "compile_expression"]

Row = Mapping[str, object]
Evaluator = Callable[[Row, Mapping[str, object], Row], Any]
"""``evaluate(row, params, incoming)``: the record (in a conflict, the stored one), the parameters, and in a conflict the
record that came. Any, not object: its results are compared and added."""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|[%_]|[^\\%_]+|\\", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    text = "".join(wild.get(part) or re.escape(part[1:] if part[0] == "\\" and len(part) > 1 else part) for part in parts)
    return re.compile(text, re.DOTALL)


def compile_expression(node: Expression) -> Evaluator:
    """Turn an expression into a function; see ``Evaluator`` for its arguments."""
    match node:
        case Field(name) | Existing(name):
            return lambda row, params, incoming: row[name]
        case Incoming(name):
            return lambda row, params, incoming: incoming[name]
        case Param(name) | Argument(name):
            return lambda row, params, incoming: params[name]
        case Value(value):
            return lambda row, params, incoming: value
        case Now():
            return lambda row, params, incoming: utc_now()
        case Compare() | In() | IsNone() | Like():
            return _compile_test(node)
        case And() | Or() | Not() | Case():
            return _compile_logic(node)
        case Arithmetic() | Coalesce() | Greatest():
            return _compile_value(node)
        case _:
            msg = f"no meaning for {type(node).__name__}"
            raise TypeError(msg)


def _compile_test(node: Compare | In | IsNone | Like) -> Evaluator:
    if isinstance(node, IsNone):
        inner = compile_expression(node.operand)
        return lambda row, params, incoming: inner(row, params, incoming) is None
    if isinstance(node, In):
        return _compile_in(node)
    if isinstance(node, Like):
        text, pattern = compile_expression(node.operand), compile_expression(node.pattern)

        def like(row: Row, params: Row, incoming: Row) -> bool:
            value, wanted = text(row, params, incoming), pattern(row, params, incoming)
            return value is not None and wanted is not None and _pattern(wanted).fullmatch(value) is not None

        return like
    left, right = compile_expression(node.left), compile_expression(node.right)
    if node.op == "==":
        return lambda row, params, incoming: left(row, params, incoming) == right(row, params, incoming)
    if node.op == "!=":
        return lambda row, params, incoming: left(row, params, incoming) != right(row, params, incoming)
    order = _ORDERS[node.op]

    def compare(row: Row, params: Row, incoming: Row) -> bool:
        one, other = left(row, params, incoming), right(row, params, incoming)
        return one is not None and other is not None and order(one, other)

    return compare


def _compile_in(node: In) -> Evaluator:
    operand = compile_expression(node.operand)
    if isinstance(node.options, Value) and isinstance(node.options.value, tuple):
        options = [
            compile_expression(option if isinstance(option, Expression) else Value(option)) for option in node.options.value
        ]

        def among(row: Row, params: Row, incoming: Row) -> bool:
            value = operand(row, params, incoming)
            return any(value == option(row, params, incoming) for option in options)

        return among
    collection = compile_expression(node.options)
    return lambda row, params, incoming: operand(row, params, incoming) in collection(row, params, incoming)


def _compile_logic(node: And | Or | Not | Case) -> Evaluator:
    match node:
        case And(parts):
            every = [compile_expression(part) for part in parts]
            return lambda row, params, incoming: all(part(row, params, incoming) for part in every)
        case Or(parts):
            some = [compile_expression(part) for part in parts]
            return lambda row, params, incoming: any(part(row, params, incoming) for part in some)
        case Not(part):
            inner = compile_expression(part)
            return lambda row, params, incoming: not inner(row, params, incoming)
        case Case(when, then, otherwise):
            test, yes, no = compile_expression(when), compile_expression(then), compile_expression(otherwise)
            return lambda row, params, incoming: (yes if test(row, params, incoming) else no)(row, params, incoming)


def _compile_value(node: Arithmetic | Coalesce | Greatest) -> Evaluator:
    if isinstance(node, Arithmetic):
        left, right, compute = compile_expression(node.left), compile_expression(node.right), _SUMS[node.op]

        def arithmetic(row: Row, params: Row, incoming: Row) -> object:
            one, other = left(row, params, incoming), right(row, params, incoming)
            return None if one is None or other is None else compute(one, other)

        return arithmetic
    parts = [compile_expression(part) for part in node.parts]
    if isinstance(node, Coalesce):

        def coalesce(row: Row, params: Row, incoming: Row) -> object:
            values = (part(row, params, incoming) for part in parts)
            return next((value for value in values if value is not None), None)

        return coalesce

    def greatest(row: Row, params: Row, incoming: Row) -> object:
        values = [value for part in parts if (value := part(row, params, incoming)) is not None]
        return max(values, default=None)

    return greatest
