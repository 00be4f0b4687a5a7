"""Limits of computed values, as conditions of the statement that computes them.

Edit this module to add a limit or a type that computed values must keep. Values that a caller gives are checked by ``casting``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import attrs

from resourcekit.actions.casting import Cast, CastError
from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.limits import Limits
from resourcekit.declarations.value_type import Kind
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.dates import DATES
from resourcekit.expressions.measures import Length, Matches
from resourcekit.expressions.nodes import Expression, Fragment, Value, all_of, any_of
from resourcekit.expressions.rewriting import children

__all__ = ["is_chosen", "required_of"]

_WHOLE = frozenset({Kind.INTEGER, Kind.BOOLEAN})
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_FRACTIONS = (Kind.FLOAT, Kind.DECIMAL)


def is_chosen(name: str, node: Expression) -> bool:
    """Return whether an expression only chooses among values that the attribute had or was given, and computes nothing."""
    match node:
        case ex.Field(field) | ex.Existing(field) | ex.Incoming(field):
            return field == name
        case ex.Param() | Value(None):
            return True
        case ex.Coalesce(parts) | ex.Greatest(parts):
            return all(is_chosen(name, part) for part in parts)
        case ex.Case(_, then, otherwise):
            return is_chosen(name, then) and is_chosen(name, otherwise)
        case _:
            return False


def required_of(attribute: Attribute, cast: Cast, node: Expression, attributes: Mapping[str, Attribute]) -> Expression | None:
    """Return the condition under which an attribute may hold the value of an expression; ``None`` if it always may.

    Raise UnsupportedExpression if no condition expresses it: the value must then be computed and checked before the write.
    """
    held = _Limits(attribute, cast, attributes).allowed(node)
    if held is True:
        return None
    return Value(False) if held is False else held


class _Limits:
    """The limits of one attribute. Conditions that always or never hold are the values True and False."""

    def __init__(self, attribute: Attribute, cast: Cast, attributes: Mapping[str, Attribute]) -> None:
        self._attribute, self._cast, self._attributes = attribute, cast, attributes

    def allowed(self, node: Expression) -> Expression | bool:
        """Return the condition under which the value of a node is allowed."""
        if is_chosen(self._attribute.name, node):
            return True
        match node:
            case Value(value):
                return self._allows(value)
            case ex.Case(when, then, otherwise):
                return _chosen_by(when, self.allowed(then), self.allowed(otherwise))
            case ex.Coalesce(parts) | ex.Greatest(parts) if all(
                self.allowed(part) is True for part in parts if not (isinstance(part, Value) and part.value is None)
            ):
                return True
            case _:
                return self._limited(node)

    def _allows(self, value: object) -> bool:
        try:
            self._cast(value)
        except CastError:
            return False
        return True

    def _limited(self, node: Expression) -> Expression | bool:
        limits, kind, own = self._attribute.constraints, self._attribute.type.kind, self._attribute.type.own
        if attrs.evolve(limits.spelling, case=None) != Limits() or limits.case in ("lower", "upper"):
            raise UnsupportedExpression("how the text is spelled is known only when it is computed")
        if own is not None:
            if own.cast is not None or limits != Limits():
                raise UnsupportedExpression("whether the value is of the attribute's type is known only when it is computed")
            limits = own.limits
        if kind in _WHOLE and not self._is_whole(node):
            raise UnsupportedExpression("whether the value is of the attribute's type is known only when it is computed")
        if self._attribute.scale is not None:
            raise UnsupportedExpression("how many digits the value has is known only when it is computed")
        rules: list[Expression] = []
        if kind is Kind.DATETIME and isinstance(node, ex.Arithmetic):
            rules += [node >= _FIRST, node <= _LAST]
        if limits.minimum is not None:
            rules.append(node >= limits.minimum)
        if limits.maximum is not None:
            rules.append(node <= limits.maximum)
        if limits.min_length is not None:
            rules.append(Length(node) >= limits.min_length)
        if limits.max_length is not None:
            rules.append(Length(node) <= limits.max_length)
        if limits.match is not None:
            rules.append(Matches(node, limits.match))
        if kind is Kind.LITERAL:
            rules.append(node.in_(self._attribute.type.options))
        return any_of(all_of(*rules), node.is_none()) if rules else True

    def _is_whole(self, node: Expression) -> bool:
        """Return whether a value is of the attribute's own type: no fraction for a whole number, no arithmetic for a bool."""
        kind = self._attribute.type.kind
        match node:
            case ex.Field(name) | ex.Existing(name) | ex.Incoming(name):
                return self._attributes[name].type.kind is kind if kind is Kind.BOOLEAN else self._has_no_fraction(name)
            case Fragment():
                return bool(node.type.basic.kind is kind)
            case Value(value):
                return isinstance(value, bool) if kind is Kind.BOOLEAN else isinstance(value, int)
            case ex.Arithmetic(_, left, right):
                return kind is Kind.INTEGER and self._is_whole(left) and self._is_whole(right)
            case ex.Call(function, parts):
                return kind is Kind.INTEGER and (function in DATES or (function != "/" and all(map(self._is_whole, parts))))
            case ex.Case(_, then, otherwise):
                return self._is_whole(then) and self._is_whole(otherwise)
            case ex.Coalesce(parts) | ex.Greatest(parts):
                return all(map(self._is_whole, parts))
            case _:
                return not children(node) or kind is Kind.BOOLEAN

    def _has_no_fraction(self, name: str) -> bool:
        return self._attributes[name].type.kind not in (*_FRACTIONS, Kind.BOOLEAN)


def _chosen_by(when: Expression, then: Expression | bool, otherwise: Expression | bool) -> Expression | bool:
    """Return the condition of a case: that of the branch that is taken."""
    if then is otherwise and isinstance(then, bool):
        return then
    ways = [(when, then), (ex.Not(when), otherwise)]
    return any_of(*(test if way is True else all_of(test, way) for test, way in ways if way is not False))
