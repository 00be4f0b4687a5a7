"""Traverses and rewrites expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from resourcekit.expressions.context_nodes import ContextValue
from resourcekit.expressions.measures import At, Contains, Length, Matches
from resourcekit.expressions.nodes import (
    And,
    Argument,
    Arithmetic,
    Calculated,
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
    IsNone,
    Like,
    Not,
    Or,
    Sort,
    Value,
)
from resourcekit.expressions.related import ManyOf, OneOf, Parent, Related, SameKey

__all__ = ["children", "fields_of", "has_fragment", "is_constant", "rebuild", "refers", "substitute", "with_fields"]


def children(node: Expression) -> tuple[Expression, ...]:
    """Return the direct parts of a node, in order."""
    match node:
        case And(parts) | Or(parts) | Coalesce(parts) | Greatest(parts) | Call(_, parts) | Fragment(_, parts):
            return parts
        case Compare(_, left, right) | Arithmetic(_, left, right):
            return (left, right)
        case In(operand, Value(tuple() as options)) if any(isinstance(one, Expression) for one in options):
            return (operand, *(one for one in options if isinstance(one, Expression)))
        case In(operand, options):
            return (operand, options)
        case Like(one, other) | Contains(one, other) | SameKey(one, other):
            return (one, other)
        case IsNone(part) | Not(part) | Length(part) | Matches(part) | At(part):
            return (part,)
        case Case(when, then, otherwise):
            return (when, then, otherwise)
        case Parent(part) | OneOf(_, part):
            return (part,)
        case ManyOf():
            given = (node.part, node.where, node.only)
            return (*(part for part in given if part is not None), *(key.by for key in (*node.order, *node.sort)))
        case Related():
            rest = (part for part in (node.part, node.where) if part is not None)
            return (node.on, *rest, *(key.by for key in (*node.order, *node.sort)))
        case _:
            return ()


def rebuild(node: Expression, parts: tuple[Expression, ...]) -> Expression:
    """Return a node of the same kind with other parts (those of ``children``, in the same order)."""
    match node:
        case And() | Or() | Coalesce() | Greatest():
            return type(node)(parts)
        case Compare(op):
            return Compare(op, *parts)
        case Arithmetic(op):
            return Arithmetic(op, *parts)
        case Call() | Fragment():
            return attrs.evolve(node, parts=parts)
        case Matches(_, regex):
            return Matches(parts[0], regex)
        case At():
            return attrs.evolve(node, operand=parts[0])
        case Contains():
            return attrs.evolve(node, operand=parts[0], item=parts[1])
        case In(_, Value(tuple() as options)) if any(isinstance(one, Expression) for one in options):
            changed = iter(parts[1:])
            return In(parts[0], Value(tuple(next(changed) if isinstance(one, Expression) else one for one in options)))
        case In() | Like() | IsNone() | Not() | Length() | Case() | SameKey():
            return type(node)(*parts)
        case Parent() | OneOf():
            return attrs.evolve(node, part=parts[0])
        case ManyOf() | Related():
            return _rebuilt(node, parts)
        case _:
            return node


def _rebuilt(node: ManyOf | Related, parts: tuple[Expression, ...]) -> Expression:
    given = iter(parts)
    names = ("part", "where", "only") if isinstance(node, ManyOf) else ("on", "part", "where")
    changed: dict[str, Any] = {name: next(given) for name in names if getattr(node, name) is not None}
    for name in ("order", "sort"):
        changed[name] = tuple(Sort(next(given), key.descending, key.nulls) for key in getattr(node, name))
    return attrs.evolve(node, **changed)


def _level(node: Expression, level: int) -> int | None:
    """Return how many levels inside the record the parts of a node are; ``None`` for those outside of it."""
    if isinstance(node, Parent):
        return level - 1 if level else None
    return level + 1 if isinstance(node, (Related, OneOf, ManyOf)) else level


def fields_of(node: Expression, level: int = 0) -> frozenset[str]:
    """Return the names of all fields of the record that an expression reads. level: how deep in related rows it is."""
    if isinstance(node, (Field, Existing)):
        return frozenset(() if level else (node.name,))
    inner = _level(node, level)
    return frozenset() if inner is None else frozenset().union(*(fields_of(part, inner) for part in children(node)))


def has_fragment(node: Expression) -> bool:
    """Return whether a part of an expression is SQL of the application, which only the database computes."""
    return isinstance(node, Fragment) or any(map(has_fragment, children(node)))


def is_constant(node: Expression) -> bool:
    """Return whether an expression has the same value for every record and at every time."""
    parts = children(node)
    return not isinstance(node, Fragment) and all(map(is_constant, parts)) if parts else isinstance(node, Value)


def with_fields(node: Expression, given: Mapping[str, Expression], level: int = 0) -> Expression:
    """Replace the fields of the record for which an expression is given."""
    if isinstance(node, Field):
        return node if level else given.get(node.name, node)
    parts, inner = children(node), _level(node, level)
    return rebuild(node, tuple(with_fields(part, given, inner) for part in parts)) if parts and inner is not None else node


def substitute(node: Expression, values: Mapping[str, object]) -> Expression:
    """Replace each Argument whose value is given."""
    if isinstance(node, Argument):
        if node.name not in values:
            return node
        value = values[node.name]
        return value if isinstance(value, Expression) else Value(value)
    parts = children(node)
    if not parts:
        return node
    return rebuild(node, tuple(substitute(part, values) for part in parts))


def refers(node: Expression | None) -> bool:
    """Return whether an expression refers to relationships, calculations or the context of the call, and is not resolved."""
    if node is None or isinstance(node, Related):
        return False
    if isinstance(node, Parent):
        return node.type is None and node.family is None
    return isinstance(node, (OneOf, ManyOf, Calculated, ContextValue)) or any(map(refers, children(node)))
