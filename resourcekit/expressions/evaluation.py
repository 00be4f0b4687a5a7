"""Evaluates expressions in Python. This is the reference for the meaning of expressions on every store."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import attrs

from resourcekit.clock import utc_now
from resourcekit.errors import InvalidArgument
from resourcekit.expressions import decimals
from resourcekit.expressions.aggregates import aggregated, rank
from resourcekit.expressions.computable import FUNCTIONS
from resourcekit.expressions.context_nodes import ContextValue, Tenant
from resourcekit.expressions.dates import DATES
from resourcekit.expressions.far import far_result
from resourcekit.expressions.measures import At, Contains, Length, Matches
from resourcekit.expressions.nodes import (
    And,
    Argument,
    Arithmetic,
    Call,
    Case,
    Coalesce,
    Compare,
    Existing,
    Expression,
    Field,
    Fragment,
    Greatest,
    In,
    Incoming,
    IsNone,
    Least,
    Like,
    Not,
    Now,
    Or,
    Param,
    Value,
)
from resourcekit.expressions.related import ROWS, Parent, Related, SameKey

__all__ = ["Evaluator", "compile_expression", "like_pattern", "same"]

Row = Mapping[str, object]
Evaluator = Callable[[Row, Mapping[str, object], Row], Any]
"""``evaluate(row, params, incoming)``: the record (in a conflict, the stored one), the parameters, and in a conflict the
incoming record. Any, not object: its results are compared and added.
"""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FUNCTIONS = {**FUNCTIONS, **DATES}
_SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_EXACT: dict[str, Callable[[Any, Any], Any]] = {"+": decimals.add, "-": decimals.subtract, "*": decimals.multiply}


@lru_cache(maxsize=256)
def like_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression for a pattern of ``like``."""
    parts = re.findall(r"\\.|[%_]|[^\\%_]+|\\", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    text = "".join(wild.get(part) or re.escape(part[1:] if part[0] == "\\" and len(part) > 1 else part) for part in parts)
    return re.compile(text, re.DOTALL)


def compile_expression(node: Expression) -> Evaluator:  # noqa: PLR0912  # one case for each node
    """Compile an expression to a function; ``Evaluator`` describes its arguments."""
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
            return lambda row, params, incoming: node.at(utc_now())
        case Compare() | In() | IsNone() | Like() | Matches() | Contains():
            return _compile_test(node)
        case And() | Or() | Not() | Case():
            return _compile_logic(node)
        case Length(operand):
            measured = compile_expression(operand)
            return lambda row, params, incoming: None if (value := measured(row, params, incoming)) is None else len(value)
        case At():
            return _compile_part(node)
        case Call():
            return _compile_call(node)
        case Arithmetic() | Coalesce() | Greatest():
            return _compile_value(node)
        case SameKey(left, right):
            one, other = compile_expression(left), compile_expression(right)
            return lambda row, params, incoming: (
                (key := one(row, params, incoming)) is not None and same(key, other(row, params, incoming))
            )
        case Parent(part):
            outer = compile_expression(part)
            return lambda row, params, incoming: outer(*_outward(params))
        case Related():
            return _compile_related(node)
        case Fragment():
            raise InvalidArgument("fragment(...) is SQL, which only the SQL database that it is written for can compute")
        case ContextValue():
            what = "is known only in a query, a preparation or a change; it cannot be computed here"
            raise InvalidArgument(f"{'tenant()' if isinstance(node, Tenant) else 'actor(...)'} {what}")
        case _:
            raise InvalidArgument(f"{type(node).__name__} is no expression that can be computed; build it from those of the core")


def _compile_call(node: Call) -> Evaluator:
    parts, function, facts = [compile_expression(part) for part in node.parts], _FUNCTIONS[node.function], node.facts

    def called(row: Row, params: Row, incoming: Row) -> object:
        values = [part(row, params, incoming) for part in parts]
        return None if any(value is None for value in values) else function(*values, *facts)

    return called


_NOT_OF_FORM: dict[str, tuple[type, ...]] = {
    "text": (bool, int, float, list, dict),
    "number": (bool, str, list, dict),
    "bool": (int, float, str, list, dict),
    "any": (),
}


def _compile_part(node: At) -> Evaluator:
    whole, steps, others, is_bool = compile_expression(node.operand), node.steps, _NOT_OF_FORM[node.form], node.form == "bool"

    def part(row: Row, params: Row, incoming: Row) -> object:
        value: Any = whole(row, params, incoming)
        for step in steps:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list):
                value = value[step] if isinstance(step, int) and step < len(value) else None
            else:  # an embedded value of a record
                value = getattr(value, step, None) if isinstance(step, str) else None
        return value if (is_bool and isinstance(value, bool)) or not isinstance(value, others) else None

    return part


def _compile_contains(node: Contains) -> Evaluator:
    whole, item = compile_expression(node.operand), compile_expression(node.item)

    def contains(row: Row, params: Row, incoming: Row) -> bool:
        values, wanted = whole(row, params, incoming), item(row, params, incoming)
        return values is not None and any(same(each, wanted) for each in values)

    return contains


def _compile_test(node: Compare | In | IsNone | Like | Matches | Contains) -> Evaluator:
    if isinstance(node, Contains):
        return _compile_contains(node)
    if isinstance(node, Matches):
        matched, match = compile_expression(node.operand), node.regex.fullmatch
        return lambda row, params, incoming: (value := matched(row, params, incoming)) is not None and match(value) is not None
    if isinstance(node, IsNone):
        inner = compile_expression(node.operand)
        return lambda row, params, incoming: inner(row, params, incoming) is None
    if isinstance(node, In):
        return _compile_in(node)
    if isinstance(node, Like):
        text, pattern = compile_expression(node.operand), compile_expression(node.pattern)

        def like(row: Row, params: Row, incoming: Row) -> bool:
            value, wanted = text(row, params, incoming), pattern(row, params, incoming)
            return value is not None and wanted is not None and like_pattern(wanted).fullmatch(value) is not None

        return like
    left, right = compile_expression(node.left), compile_expression(node.right)
    if node.op == "==":
        return lambda row, params, incoming: same(left(row, params, incoming), right(row, params, incoming))
    if node.op == "!=":
        return lambda row, params, incoming: not same(left(row, params, incoming), right(row, params, incoming))
    order = _ORDERS[node.op]

    def compare(row: Row, params: Row, incoming: Row) -> bool:
        one, other = left(row, params, incoming), right(row, params, incoming)
        return one is not None and other is not None and order(one, other)

    return compare


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal: numbers by value, also in lists and dicts. A bool is not a number."""
    if one != other:
        return False
    return (type(one) is type(other) and not isinstance(one, (list, dict))) or _same_inside(one, other)


def _same_inside(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return all(_same_inside(item, other[key]) for key, item in one.items())
    if isinstance(one, (list, tuple)):
        return all(map(_same_inside, one, other))
    return isinstance(one, bool) is isinstance(other, bool)


def _compile_in(node: In) -> Evaluator:
    operand = compile_expression(node.operand)
    if isinstance(node.options, Value) and isinstance(node.options.value, tuple):
        options = [
            compile_expression(option if isinstance(option, Expression) else Value(option)) for option in node.options.value
        ]

        def among(row: Row, params: Row, incoming: Row) -> bool:
            value = operand(row, params, incoming)
            return any(same(value, option(row, params, incoming)) for option in options)

        return among
    collection = compile_expression(node.options)

    def within(row: Row, params: Row, incoming: Row) -> bool:
        value, options = operand(row, params, incoming), collection(row, params, incoming)
        if isinstance(value, (list, dict)):
            return any(same(value, option) for option in options)
        return value in options and (not isinstance(value, (int, float)) or any(same(value, option) for option in options))

    return within


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
        exactly = _EXACT[node.op]

        def arithmetic(row: Row, params: Row, incoming: Row) -> object:
            one, other = left(row, params, incoming), right(row, params, incoming)
            if one is None or other is None:
                return None
            if type(one) is Decimal or type(other) is Decimal:
                return exactly(one, other)
            try:
                return compute(one, other)
            except OverflowError:
                return far_result(node.op, one, other)

        return arithmetic
    parts = [compile_expression(part) for part in node.parts]
    if isinstance(node, Coalesce):

        def coalesce(row: Row, params: Row, incoming: Row) -> object:
            values = (part(row, params, incoming) for part in parts)
            return next((value for value in values if value is not None), None)

        return coalesce

    choose = min if isinstance(node, Least) else max

    def greatest(row: Row, params: Row, incoming: Row) -> object:
        values = [value for part in parts if (value := part(row, params, incoming)) is not None]
        return choose(values, default=None)

    return greatest


_OUTER = "outer()"
"""Name of the parameter with the row one level out, and its parameters."""


def _outward(params: Mapping[str, Any]) -> tuple[Row, Mapping[str, object], Row]:
    """Return what an expression over the row one level out is evaluated with."""
    row, outer = params[_OUTER]
    return row, outer, row


_Rows = Callable[[Mapping[str, Any]], Iterable[Row]]
"""Returns the rows that may belong to the row one level out; those parameters hold it."""


def _keys_of(on: Expression) -> tuple[list[tuple[str, Evaluator]], list[Expression]]:
    """Return the fields of related rows that equal a key of the row one level out, and the other tests."""
    fields: list[tuple[str, Evaluator]] = []
    rest: list[Expression] = []
    for part in on.parts if isinstance(on, And) else (on,):
        if isinstance(part, SameKey) and isinstance(part.left, Field) and isinstance(part.right, Parent):
            fields.append((part.left.name, compile_expression(part.right)))
        else:
            rest.append(part)
    return fields, rest


def _rows_of(node: Related) -> _Rows:
    """Return a function that returns the rows that meet ``on``, found by their keys."""
    fields, rest = _keys_of(node.on)
    between = next((part for part in rest if isinstance(part, Related) and part.name == "through"), None)
    tests = [compile_expression(part) for part in rest if part is not between]
    names, reads, target = tuple(name for name, _ in fields), [read for _, read in fields], node.target
    bridge = None if between is None else _bridge(between)

    def rows(params: Mapping[str, Any]) -> Iterable[Row]:
        if bridge is not None:
            keys = bridge(params)
            found = [row for names, values in keys for row in params[ROWS](target, names, values)]
        else:
            values = tuple([read({}, params, {}) for read in reads])
            found = [] if None in values else params[ROWS](target, names, values)
        return [row for row in found if all(test(row, params, row) for test in tests)]

    return rows


def _bridge(between: Related) -> Callable[[Mapping[str, Any]], Iterable[tuple[tuple[str, ...], tuple[Any, ...]]]]:
    """Return a function that returns fields and values of the far side, over the rows between two sides."""
    assert isinstance(between.on, And)
    pairs, near = list[tuple[str, str]](), list[Expression]()
    for test in between.on.parts:
        match test:
            case SameKey(Field(held), Parent(Field(wanted))):
                pairs.append((wanted, held))
            case _:
                near.append(test)
    rows = _rows_of(attrs.evolve(between, on=And(tuple(near))))
    far, onward = tuple(one for one, _ in pairs), tuple(other for _, other in pairs)

    def keys(params: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], tuple[Any, ...]]]:
        # The tests of the near side refer to the row two levels out: one level more is put in between.
        inner = {**params, _OUTER: ({}, params)}
        found = dict.fromkeys(tuple([row[name] for name in onward]) for row in rows(inner))
        return [(far, values) for values in found if None not in values]

    return keys


def _compile_related(node: Related) -> Evaluator:
    rows = _rows_of(node)
    kind, limit, distinct = node.kind, node.limit, node.distinct
    part = None if node.part is None else compile_expression(node.part)
    where = None if node.where is None else compile_expression(node.where)
    order, sort = ([(compile_expression(key.by), key.descending) for key in reversed(keys)] for keys in (node.order, node.sort))

    def related(row: Row, params: Mapping[str, object], incoming: Row) -> Any:
        del incoming
        inner: dict[str, Any] = {**params, _OUTER: (row, params)}
        found = list(rows(inner))
        for by, descending in order:
            found.sort(key=lambda each: rank(by(each, inner, each)), reverse=descending)  # called at once
        found = found if limit is None else found[:limit]
        if where is not None:
            found = [each for each in found if where(each, inner, each)]
        for by, descending in sort:
            found.sort(key=lambda each: rank(by(each, inner, each)), reverse=descending)  # called at once
        return aggregated(kind, found if part is None else [part(each, inner, each) for each in found], distinct=distinct)

    return related
