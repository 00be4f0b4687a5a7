"""Conditions and orders that come from outside, for example from a URL: public fields only, with bounds.

A maintainer opens it to add an operator. What is unknown, not public or sensitive is reported alike, so that a client cannot find out
which private fields there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from resourcekit.actions.casting import CastError, compile_cast
from resourcekit.actions.joins import Join
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.data_layers.base import Capability
from resourcekit.declarations.calculations import Calculation
from resourcekit.declarations.limits import Limits
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, did_you_mean
from resourcekit.expressions.measures import Contains
from resourcekit.expressions.nodes import (
    And,
    Calculated,
    Compare,
    Expression,
    Field,
    In,
    IsNone,
    Like,
    Not,
    Or,
    Sort,
    Value,
    all_of,
    literally,
)
from resourcekit.expressions.related import OneOf

__all__ = ["condition_of_input", "order_of_input"]

_DEEPEST = 5
"""Most levels of ``and``, ``or`` and ``not`` inside each other."""
_MOST_CONDITIONS = 100
_MOST_OPTIONS = 1_000
"""Most options of all ``in`` together."""
_MOST_KEYS = 20
"""Most keys of an order."""


@attrs.frozen
class _Scope:
    """The public fields of a resource, and the way to it from the resource that is queried.

    path: the relationships to one record that lead to it.
    """

    runtime: Runtime
    path: tuple[Any, ...] = ()

    def attributes(self) -> dict[str, Any]:
        """Return its public attributes."""
        attributes = self.runtime.info.attributes.items()
        return {name: attribute for name, attribute in attributes if attribute.public and not attribute.sensitive}

    def calculations(self) -> dict[str, Calculation]:
        """Return its public calculations whose values the store can compute."""
        found = self.runtime.info.calculations.items()
        return {name: each for name, each in found if each.public and each.expression is not None and not each.arguments}

    def joins(self) -> dict[str, Join]:
        """Return its public relationships to resources that the store can look at, too."""
        return {name: join for name, join in self.runtime.joins.items() if self._is_open(join)}

    def _is_open(self, join: Join) -> bool:
        if not join.entity.public or join.entity.kind == "related":
            return False
        store = self.runtime.store
        others = [each.__runtime__.store for each in (join.destination, join.through) if each is not None]
        return all(each.group == store.group and Capability.RELATED in store.capabilities & each.capabilities for each in others)

    def names(self) -> list[str]:
        """Return all names that a client may use."""
        return [*self.attributes(), *self.calculations(), *self.joins()]

    def one(self, join: Join) -> _Scope:
        """Return the scope of the record at the other end of a relationship to one record."""
        return _Scope(runtime_of(join.destination), (*self.path, getattr(self.runtime.resource, join.entity.name)))

    def type_of(self, name: str) -> ValueType | None:
        """Return the type of an attribute or a calculation."""
        attribute = self.attributes().get(name)
        return self.calculations()[name].type if attribute is None else attribute.type

    def value(self, name: str) -> Expression:
        """Return the expression of an attribute or a calculation, as the resource that is queried sees it."""
        return self.seen(Field(name) if name in self.attributes() else Calculated(self.runtime.resource, name))

    def seen(self, node: Expression) -> Expression:
        """Return an expression over this resource as the resource that is queried sees it."""
        for relation in reversed(self.path):
            node = OneOf(relation, node)
        return node


def order_of_input(runtime: Runtime, given: object) -> tuple[Sort, ...]:
    """Return the order that a text names: ``"-opened_at,representative.last"``, or a list of such keys.

    Raise Invalid with a finding for each key that is unknown, not public, or without an order.
    """
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        what = f"must be a text like '-opened_at,subject', or a list of such keys, not {type(given).__name__}"
        raise Invalid(FieldFinding("sort", what), resource=runtime.info.name)
    keys = [part.strip() for part in parts if part.strip()]
    if len(keys) > _MOST_KEYS:
        raise Invalid(FieldFinding("sort", f"must have at most {_MOST_KEYS} keys"), resource=runtime.info.name)
    findings, order = list[FieldFinding](), list[Sort]()
    for key in keys:
        name = key.lstrip("+-") if key[:1] in "+-" and key[1:2] not in "+-" else key
        try:
            order.append(Sort(_sort_value(_Scope(runtime), name), key.startswith("-")))
        except InvalidArgument as error:
            findings += [FieldFinding(f"sort.{name}", finding.message) for finding in error.findings]
    if findings:
        raise Invalid(findings, resource=runtime.info.name)
    return tuple(order)


def _sort_value(scope: _Scope, name: str) -> Expression:
    """Return what a key names. Raise InvalidArgument for what is unknown, not public, or has no order."""
    *path, last = name.split(".")
    for part in path[:_DEEPEST]:
        join = scope.joins().get(part)
        if join is None or join.entity.is_many:
            raise InvalidArgument(f"is nothing to sort by. {did_you_mean(part, scope.names())}".rstrip())
        scope = scope.one(join)
    if len(path) >= _DEEPEST:
        raise InvalidArgument(f"must have at most {_DEEPEST} levels")
    if last not in scope.attributes() and last not in scope.calculations():
        raise InvalidArgument(f"is nothing to sort by. {did_you_mean(last, scope.names())}".rstrip())
    if last in scope.attributes():
        scope.runtime.conditions.order((Sort(Field(last)),))
    elif (kind := scope.type_of(last)) is not None and kind.kind in _UNORDERED:
        raise InvalidArgument("has no order")
    return scope.value(last)


def condition_of_input(runtime: Runtime, given: object) -> Expression | None:
    """Return the condition that a mapping describes; ``None`` for an empty one. Raise Invalid with a finding for each problem."""
    reader = _Reader()
    condition = reader.all_of(_Scope(runtime), given, "", 1)
    if reader.findings:
        raise Invalid(reader.findings, resource=runtime.info.name)
    return condition


def _pattern(before: str, after: str) -> Callable[[Expression, str], Expression]:
    return lambda value, text: Like(value, Value(before + literally(text) + after))


_COMPARED: Mapping[str, Any] = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_MATCHED: Mapping[str, Callable[[Expression, str], Expression]] = {
    "contains": _pattern("%", "%"),
    "starts_with": _pattern("", "%"),
    "ends_with": _pattern("%", ""),
}
_OPERATORS = (*_COMPARED, "in", "is_none", *_MATCHED)
_YES_NO = {True: True, False: False, "true": True, "false": False}


_UNORDERED = frozenset({Kind.ANY, Kind.LIST, Kind.MAP, Kind.EMBEDDED, Kind.UNION})


class _Reader:
    """Reads one condition, and collects all findings about it."""

    def __init__(self) -> None:
        self.findings: list[FieldFinding] = []
        self._number_of_conditions = self._number_of_options = 0

    def _refuse(self, path: str, message: str) -> Expression | None:
        """Collect a finding, and return no condition. The whole input is refused at the end."""
        finding = FieldFinding(f"filter.{path}" if path else "filter", message)
        if finding not in self.findings:
            self.findings.append(finding)
        return None

    def all_of(self, scope: _Scope, given: object, path: str, level: int) -> Expression | None:
        """Return the condition that all entries of a mapping hold."""
        if level > _DEEPEST:
            return self._refuse("", f"must have at most {_DEEPEST} levels")
        if not isinstance(given, Mapping):
            return self._refuse(path, f"must be a mapping from fields to conditions, not {type(given).__name__}")
        found = [self._entry(scope, key, value, f"{path}.{key}" if path else str(key), level) for key, value in given.items()]
        parts = [part for part in found if part is not None]
        return all_of(*parts) if parts else None

    def _entry(self, scope: _Scope, key: object, value: object, path: str, level: int) -> Expression | None:
        if key in ("and", "or"):
            if not isinstance(value, (list, tuple)):
                return self._refuse(path, f"must be a list of conditions, not {type(value).__name__}")
            some = value[: _MOST_CONDITIONS + 1]
            found = [self.all_of(scope, part, f"{path}.{index}", level + 1) for index, part in enumerate(some)]
            parts = tuple(Value(True) if part is None else part for part in found)
            return (And if key == "and" else Or)(parts)
        if key == "not":
            inner = self.all_of(scope, value, path, level + 1)
            return Not(Value(True) if inner is None else inner)
        if isinstance(key, str) and (join := scope.joins().get(key)) is not None:
            return self._related(scope, join, value, path, level)
        if not isinstance(key, str) or not (key in scope.attributes() or key in scope.calculations()):
            return self._refuse(path, f"is nothing to filter by. {did_you_mean(str(key), scope.names())}".rstrip())
        if not isinstance(value, Mapping):
            return self._test(scope, key, "eq", value, path)
        tests = [self._test(scope, key, operator, operand, f"{path}.{operator}") for operator, operand in value.items()]
        return all_of(*(test for test in tests if test is not None))

    def _related(self, scope: _Scope, join: Join, value: object, path: str, level: int) -> Expression | None:
        """Return the condition that the related record, or at least one of several, meets a condition."""
        if not join.entity.is_many:
            return self.all_of(scope.one(join), value, path, level + 1)
        inner = self.all_of(_Scope(runtime_of(join.destination)), value, path, level + 1)
        relation = getattr(scope.runtime.resource, join.entity.name)
        return scope.seen(relation.exists(*(() if inner is None else (inner,))))

    def _test(self, scope: _Scope, name: str, operator: object, operand: Any, path: str) -> Expression | None:
        self._number_of_conditions += 1
        if self._number_of_conditions > _MOST_CONDITIONS:
            return self._refuse("", f"must have at most {_MOST_CONDITIONS} conditions")
        try:
            if name in scope.calculations():
                operand = _cast(scope.type_of(name), operator, operand)
            built = self._built(scope, name, operator, operand, path)
            if built is None or name in scope.calculations():
                return built
            # The condition over the attribute alone is checked now; one over a path is cast again when the query runs.
            checked = scope.runtime.conditions.condition(built)
        except InvalidArgument as error:
            for finding in error.findings:
                self._refuse(path, finding.message)
            return None
        return self._built(scope, name, operator, operand, path, is_seen=True) if scope.path else checked

    def _built(
        self, scope: _Scope, name: str, operator: object, operand: Any, path: str, *, is_seen: bool = False
    ) -> Expression | None:
        kind = scope.type_of(name)
        value = Field(name) if not is_seen and name in scope.attributes() else scope.value(name)
        if operator in _COMPARED:
            return Compare(_COMPARED[operator], value, Value(operand))  # type: ignore[index]  # it is one of the keys
        if operator in _MATCHED:
            if operator == "contains" and kind is not None and kind.basic.kind is Kind.LIST:
                return Contains(value, Value(operand))
            if kind is None or kind.basic.kind is not Kind.STRING or not isinstance(operand, str):
                return self._refuse(path, "matches text, and needs a text")
            return _MATCHED[operator](value, operand)  # type: ignore[index]  # it is one of the keys
        if operator == "is_none":
            answer = _YES_NO.get(operand) if isinstance(operand, (bool, str)) else None
            if answer is None:
                return self._refuse(path, "must be true or false")
            return IsNone(value) if answer else Not(IsNone(value))
        if operator == "in":
            return self._among(value, operand, path, is_counted=not is_seen)
        return self._refuse(path, f"is no operator. {did_you_mean(str(operator), _OPERATORS)}")

    def _among(self, value: Expression, operand: Any, path: str, *, is_counted: bool) -> Expression | None:
        if not isinstance(operand, Iterable) or isinstance(operand, (str, bytes, Mapping)):
            return self._refuse(path, "must be a list of values")
        options = tuple(operand)
        self._number_of_options += len(options) if is_counted else 0
        if self._number_of_options > _MOST_OPTIONS:
            return self._refuse("", f"must have at most {_MOST_OPTIONS} options")
        return In(value, Value(options))


def _cast(kind: ValueType | None, operator: object, operand: Any) -> Any:
    """Return a value that a calculation is compared with, cast to its type. Raise InvalidArgument for a wrong one."""
    if kind is None or operator not in (*_COMPARED, "in"):
        return operand
    if operator not in ("eq", "ne", "in") and kind.kind in _UNORDERED:
        raise InvalidArgument("has no order")
    cast = compile_cast(attrs.evolve(kind, allow_none=True), Limits())
    try:
        if operator == "in" and isinstance(operand, (list, tuple, set, frozenset)):
            return [cast(each) for each in operand]
        return operand if operator == "in" else cast(operand)
    except CastError as error:
        raise InvalidArgument(str(error)) from None
