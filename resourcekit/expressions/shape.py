"""Splits an expression into its shape, which is compiled once, and its values, which change with every call.

``None`` belongs to the shape (``x == None`` is a different statement than ``x == 1``), and so does the number of options of
``in_``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from resourcekit.expressions.context_nodes import Slot
from resourcekit.expressions.measures import At, Contains
from resourcekit.expressions.nodes import (
    Argument,
    Arithmetic,
    Call,
    Compare,
    Existing,
    Expression,
    Field,
    In,
    Incoming,
    IsNone,
    Not,
    Now,
    Param,
    Sort,
    Value,
)
from resourcekit.expressions.rewriting import children, rebuild

__all__ = ["Shaper"]


@attrs.define
class Shaper:
    """Collects the values of one statement.

    The names of parameters depend only on their order, so two statements of one shape get the same names.
    """

    params: dict[str, object] = attrs.field(factory=dict)
    slots: dict[str, Slot] = attrs.field(factory=dict)
    """The parameters whose values are slots."""

    def place(self, value: object) -> Param:
        """Store a value and return the parameter for it."""
        name = f"p{len(self.params)}"
        if isinstance(value, Slot):
            self.slots[name] = value
            value = value.value
        self.params[name] = value
        return Param(name)

    def shape(self, node: Expression) -> tuple[Expression, object]:
        """Return the expression with parameters for its values, and a hashable key of its shape."""
        match node:
            case Value(None):
                return node, None
            case Value(value):
                return self.place(node if isinstance(node, Slot) else value), "?"
            case Compare("==" | "!=" as op, left, Value(None)) | Compare("==" | "!=" as op, Value(None), left):
                inner, key = self.shape(left)
                is_none = IsNone(inner)
                return (is_none, ("IsNone", key)) if op == "==" else (Not(is_none), ("NotNone", key))
            case Arithmetic(op, left, right):
                (one, key), (other, other_key) = self._operand(left), self._operand(right)
                return Arithmetic(op, one, other), ("Arithmetic", op, key, other_key)
            case Now():
                return node, type(node).__name__
            case Call(function, parts, facts):
                shaped = [self._operand(part) for part in parts]
                return Call(function, tuple(part for part, _ in shaped), facts), (
                    "Call",
                    function,
                    facts,
                    *(k for _, k in shaped),
                )
            case In(operand, Value(options)) if isinstance(options, (tuple, list, set, frozenset)):
                inner, key = self.shape(operand)
                shaped = [self.shape(each) if isinstance(each, Expression) else (self.place(each), "?") for each in options]
                return In(inner, Value(tuple(each for each, _ in shaped))), ("In", key, *(shape for _, shape in shaped))
            case Field(name) | Param(name) | Argument(name) | Existing(name) | Incoming(name):
                return node, (type(node).__name__, name)
            case _:
                shaped = [self.shape(part) for part in children(node)]
                key = (
                    type(node).__name__,
                    getattr(node, "op", None) or getattr(node, "regex", None) or getattr(node, "facts", None) or _place(node),
                    *(key for _, key in shaped),
                )
                return rebuild(node, tuple(part for part, _ in shaped)), key

    def _operand(self, node: Expression) -> tuple[Expression, object]:
        """Return the shape of one side of a sum. A datetime, a timedelta, a text and a float need different sums, so the
        parameter keeps the kind.
        """
        for kind in (datetime, timedelta, str, float):
            if isinstance(node, Value) and isinstance(node.value, kind):
                return Param(self.place(node if isinstance(node, Slot) else node.value).name, kind), kind
        return self.shape(node)

    def shape_order(self, order: tuple[Sort, ...]) -> tuple[tuple[Sort, ...], object]:
        """Return the shape of an order."""
        shaped = [(self.shape(sort.by), sort) for sort in order]
        return (
            tuple(Sort(by, sort.descending, sort.nulls) for (by, _), sort in shaped),
            tuple((key, sort.descending, sort.nulls) for (_, key), sort in shaped),
        )


def _place(node: Expression) -> object:
    """Return the part of a value that a node looks at, as a hashable key; types are distinguished by their names."""
    if isinstance(node, At):
        return node.steps, node.form, str(node.type)
    return str(node.type) if isinstance(node, Contains) else None
