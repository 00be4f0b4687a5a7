"""Takes expressions apart and puts them together again; it knows their nodes, and neither a store nor a resource."""

from __future__ import annotations

from collections.abc import Mapping

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
    IsNone,
    Like,
    Not,
    Or,
    Value,
)

__all__ = ["children", "fields_of", "rebuild", "substitute", "with_fields"]


def children(node: Expression) -> tuple[Expression, ...]:
    """Return the direct parts of a node, in order."""
    match node:
        case And(parts) | Or(parts) | Coalesce(parts) | Greatest(parts):
            return parts
        case Compare(_, left, right) | Arithmetic(_, left, right):
            return (left, right)
        case In(operand, options):
            return (operand, options)
        case Like(operand, pattern):
            return (operand, pattern)
        case IsNone(part) | Not(part):
            return (part,)
        case Case(when, then, otherwise):
            return (when, then, otherwise)
        case _:
            return ()


def rebuild(node: Expression, parts: tuple[Expression, ...]) -> Expression:
    """Return the same kind of node over other parts (those of ``children``, in the same order)."""
    match node:
        case And() | Or() | Coalesce() | Greatest():
            return type(node)(parts)
        case Compare(op):
            return Compare(op, *parts)
        case Arithmetic(op):
            return Arithmetic(op, *parts)
        case In() | Like() | IsNone() | Not() | Case():
            return type(node)(*parts)
        case _:
            return node


def fields_of(node: Expression) -> frozenset[str]:
    """Return the names of all record fields that an expression reads."""
    if isinstance(node, (Field, Existing)):
        return frozenset((node.name,))
    return frozenset().union(*(fields_of(part) for part in children(node)))


def with_fields(node: Expression, given: Mapping[str, Expression]) -> Expression:
    """Replace fields by expressions, where one is given."""
    if isinstance(node, Field):
        return given.get(node.name, node)
    parts = children(node)
    return rebuild(node, tuple(with_fields(part, given) for part in parts)) if parts else node


def substitute(node: Expression, values: Mapping[str, object]) -> Expression:
    """Replace each Argument whose value is known by that."""
    if isinstance(node, Argument):
        return Value(values[node.name]) if node.name in values else node
    parts = children(node)
    if not parts:
        return node
    return rebuild(node, tuple(substitute(part, values) for part in parts))
