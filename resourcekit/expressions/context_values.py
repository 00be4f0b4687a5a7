"""Replaces the actor and the tenant in expressions by their values, and decides comparisons with values that are missing.

A maintainer opens it to change what a condition means for a call without an actor.
"""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

from resourcekit.expressions.context_nodes import ContextValue, Missing
from resourcekit.expressions.measures import Contains, Length
from resourcekit.expressions.nodes import (
    And,
    Arithmetic,
    Call,
    Case,
    Coalesce,
    Compare,
    Expression,
    Fragment,
    Greatest,
    In,
    IsNone,
    Like,
    Not,
    Or,
    Value,
    all_of,
    any_of,
    as_expression,
)
from resourcekit.expressions.related import Related
from resourcekit.expressions.rewriting import children, rebuild

__all__ = ["has_late", "lacks_late", "late_value", "with_facts", "without_missing"]


N = TypeVar("N", bound=Expression)

_TESTS = (And, Or, Not, Compare, In, Like, Contains)
_ANY_TEST = (*_TESTS, Related, Coalesce, Case)


def has_late(node: Expression | None) -> bool:
    """Return whether an expression reads the context of the call."""
    return node is not None and (isinstance(node, ContextValue) or any(map(has_late, children(node))))


def late_value(node: ContextValue, context: Any) -> Value:
    """Return the value of a node in a context: an object with ``actor`` and ``tenant``."""
    value = node.value(context.actor, context.tenant)
    return Missing(None) if value is None else Value(tuple(value) if isinstance(value, (list, set, frozenset)) else value)


def lacks_late(node: Expression, context: Any) -> bool:
    """Return whether an expression reads something of the context of the call that this context does not have."""
    if isinstance(node, ContextValue):
        return isinstance(late_value(node, context), Missing)
    return any(lacks_late(part, context) for part in children(node))


def with_facts(node: Expression, context: Any) -> Expression:
    """Return an expression with values in place of the actor and the tenant."""
    return without_missing(_replaced(node, context)) if has_late(node) else node


def _replaced(node: Expression, context: Any) -> Expression:
    if isinstance(node, ContextValue):
        return late_value(node, context)
    parts = children(node)
    return rebuild(node, tuple(_replaced(part, context) for part in parts)) if parts else node


def without_missing(node: Expression, *, holds: bool = True) -> Expression:  # noqa: PLR0912  # one case for each node
    """Return an expression in which each comparison with a missing value is false; true inside a negation, so that it is false
    with the negation.

    The comparison itself stays beside that, so that its attribute is still checked. holds: the expression is not negated.
    """
    match node:
        case Missing():
            return Value(None)
        case Not(part):
            return Not(_test(part, holds=not holds))
        case And(parts) | Or(parts):
            return type(node)(tuple(_test(part, holds=holds) for part in parts))
        case Coalesce(parts):
            return type(node)(tuple(without_missing(part, holds=holds) for part in parts))
        case Compare("==" | "!=", left, right) if _is_none(left) or _is_none(right):
            return _whole(node)  # it asks whether the value is missing
        case Compare("==" | "!=" as op, test, Value(bool() as wanted)) | Compare(
            "==" | "!=" as op, Value(bool() as wanted), test
        ) if isinstance(test, _TESTS) or not _is_missing(test):
            is_same = (op == "==") is wanted
            return _replaced_by(node, test, without_missing(test, holds=holds is is_same))
        case In(test, Value(tuple() as options)) if isinstance(test, _ANY_TEST) and options and all(map(_is_bool, options)):
            return without_missing(any_of(*(Compare("==", test, as_expression(each)) for each in options)), holds=holds)
        case In(operand, Missing()):
            return _decided(In(operand, Value(())), holds=holds)
        case In(operand, options) if (kept := _without(options)) is not options:
            test = In(operand, kept)
            return without_missing(test, holds=True) if holds else _decided(test, holds=False)
        case Compare(_, left, right) | Like(left, right) | Contains(left, right) if _is_missing(left) or _is_missing(right):
            return _decided(node, holds=holds)
        case In(operand) if _is_missing(operand):
            return _decided(node, holds=holds)
        case Compare() | Like() | Contains() | In() if (found := _choice(node)) is not None:
            value, chosen = found
            then, otherwise = (_replaced_by(node, value, each) for each in (chosen.then, chosen.otherwise))
            return without_missing(Case(chosen.when, then, otherwise), holds=holds)
        case Case(when, then, otherwise):
            return Case(without_missing(when), without_missing(then, holds=holds), without_missing(otherwise, holds=holds))
        case Related(kind="exists" | "every" | "one" | "first", on=on, part=part, where=where):
            rest = attrs.evolve(node, on=Value(True), part=None, where=None)
            is_met = holds is (node.kind != "every")  # ``every`` holds if no row is left by ``on`` and ``where``
            return attrs.evolve(
                _whole(rest),
                on=without_missing(on, holds=is_met if node.kind in ("exists", "every") else True),
                part=None if part is None else without_missing(part, holds=holds),
                where=None if where is None else without_missing(where, holds=is_met),
            )
        case _:
            return _plain(node)


def _is_bool(option: object) -> bool:
    return isinstance(option.value if isinstance(option, Value) else option, bool)


def _test(node: Expression, *, holds: bool) -> Expression:
    if isinstance(node, Fragment) and _is_missing(node):
        return _decided(node, holds=holds)
    return Value(not holds) if isinstance(node, Missing) else without_missing(node, holds=holds)


def _plain(node: Expression) -> Expression:
    """Return a value whose conditions are decided for themselves, outside of a negation."""
    return Value(None) if isinstance(node, Missing) else _whole(node)


def _whole(node: N) -> N:
    parts = children(node)
    return rebuild(node, tuple(map(without_missing, parts))) if parts else node  # type: ignore[return-value]  # of the same kind


def _decided(node: Expression, *, holds: bool) -> Expression:
    checked = _whole(node)
    return all_of(checked, Value(False)) if holds else any_of(checked, Value(True))


def _is_none(node: Expression) -> bool:
    return isinstance(node, Value) and node.value is None and not isinstance(node, Missing)


def _is_missing(node: Expression) -> bool:
    """Return whether a value is missing, or computed of one that is."""
    match node:
        case Compare("==" | "!=", left, right) if _is_none(left) or _is_none(right):
            return False
        case Coalesce(parts) | Greatest(parts):
            return bool(parts) and all(map(_is_missing, parts))
        case Case(_, then, otherwise):
            return _is_missing(then) and _is_missing(otherwise)
        case Arithmetic() | Call() | Length() | Fragment() | Not() | And() | Or() | Compare() | Like() | Contains() | In():
            return any(map(_is_missing, children(node)))
        case _:
            return isinstance(node, Missing)


def _choice(node: Expression) -> tuple[Expression, Case] | None:
    """Return a value in a comparison that is missing for some records only, and the same value as a choice; ``None`` without one."""
    match node:
        case Case(_, then, otherwise) if _is_missing(then) or _is_missing(otherwise):
            return node, node
        case Coalesce(parts) | Greatest(parts) if any(map(_is_missing, parts)):
            rest = type(node)(tuple(part for part in parts if not _is_missing(part)))
            return node, Case(Not(IsNone(rest)), rest, Missing(None))
        case Case(_, then, otherwise):
            inner: tuple[Expression, ...] = (then, otherwise)
        case Compare() | Like() | Contains() | In() | Arithmetic() | Call() | Length() | Coalesce() | Greatest():
            inner = children(node)
        case _:
            return None
    return next((found for part in inner if (found := _choice(part)) is not None), None)


def _replaced_by(node: Expression, old: Expression, new: Expression) -> Expression:
    parts = children(node)
    return new if node is old else rebuild(node, tuple(_replaced_by(part, old, new) for part in parts)) if parts else node


def _without(options: Expression) -> Expression:
    """Return the options of a membership without those that are missing."""
    if not isinstance(options, Value) or not isinstance(options.value, tuple):
        return options
    kept = tuple(option for option in options.value if not (isinstance(option, Expression) and _is_missing(option)))
    return options if len(kept) == len(options.value) else Value(kept)
