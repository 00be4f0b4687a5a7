"""Parts an expression into its shape, which is compiled once, and its values, which change with every call.

It knows expressions only. ``None`` belongs to the shape (``x == None`` is another statement than ``x == 1``), and so
does the number of options of ``in_``.
"""

from __future__ import annotations

import attrs

from resourcekit.flow.expression import (
    Argument,
    Compare,
    Existing,
    Expression,
    Field,
    In,
    Incoming,
    IsNone,
    Not,
    Param,
    Sort,
    Value,
)
from resourcekit.flow.rewriting import children, rebuild

__all__ = ["Shaper"]


@attrs.define
class Shaper:
    """Collects the values of one statement.

    Names given to parameters depend only on their order, so two statements of one shape get the same names.
    """

    params: dict[str, object] = attrs.field(factory=dict)

    def place(self, value: object) -> Param:
        """Keep a value and return the parameter that stands for it."""
        name = f"p{len(self.params)}"
        self.params[name] = value
        return Param(name)

    def shape(self, node: Expression) -> tuple[Expression, object]:
        """Return the expression with parameters for its values, and a hashable key of its shape."""
        match node:
            case Value(None):
                return node, None
            case Value(value):
                return self.place(value), "?"
            case Compare("==" | "!=" as op, left, Value(None)) | Compare("==" | "!=" as op, Value(None), left):
                inner, key = self.shape(left)
                is_none = IsNone(inner)
                return (is_none, ("IsNone", key)) if op == "==" else (Not(is_none), ("NotNone", key))
            case In(operand, Value(options)) if isinstance(options, (tuple, list, set, frozenset)):
                inner, key = self.shape(operand)
                return In(inner, Value(tuple(self.place(each) for each in options))), ("In", key, len(options))
            case Field(name) | Param(name) | Argument(name) | Existing(name) | Incoming(name):
                return node, (type(node).__name__, name)
            case _:
                shaped = [self.shape(part) for part in children(node)]
                key = (type(node).__name__, getattr(node, "op", None), *(key for _, key in shaped))
                return rebuild(node, tuple(part for part, _ in shaped)), key

    def shape_order(self, order: tuple[Sort, ...]) -> tuple[tuple[Sort, ...], object]:
        """Do the same for an order."""
        shaped = [(self.shape(sort.by), sort.descending) for sort in order]
        return (
            tuple(Sort(by, descending) for (by, _), descending in shaped),
            tuple((key, descending) for (_, key), descending in shaped),
        )
