"""Finds declared values that no record could hold: defaults, limits, and what changes and preparations name and write.

Found when the class is made, so that an action does not fail at its first call. It knows facts and types, no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from resourcekit.declarations.action import Action, ReadAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute, Constraints
from resourcekit.declarations.change import Change
from resourcekit.declarations.preparation import Shape
from resourcekit.declarations.validation import Validation
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.finding import Finding
from resourcekit.dsl.sentinel import MISSING
from resourcekit.engine.casting import CastError, compile_cast
from resourcekit.engine.conditions import Conditions
from resourcekit.errors import InvalidArgument, did_you_mean
from resourcekit.flow.expression import Argument as ArgumentNode
from resourcekit.flow.expression import Expression, Field, Now, Param, Value
from resourcekit.flow.query import Query
from resourcekit.flow.rewriting import children, fields_of, rebuild
from resourcekit.resource_info import ResourceInfo

__all__ = ["misfits"]

_SIZED = frozenset({Kind.STRING, Kind.BYTES, Kind.LIST, Kind.MAP})
_RANGED = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.DURATION})
_MATCHED = frozenset({Kind.STRING})


def misfits(info: ResourceInfo) -> Iterable[Finding]:
    """Return a finding for each."""
    for attribute in info.attributes.values():
        yield from _of_input(attribute)
    conditions = Conditions(info)
    for action in info.actions.values():
        for argument in action.arguments.values():
            yield from _of_input(argument, action)
        for change in getattr(action, "changes", ()):
            if isinstance(change, Change):
                yield from _of_change(change, action, info, conditions)
        for validation in getattr(action, "validations", ()):
            if isinstance(validation, Validation):
                yield from _unknown(action, validation.reads, {*info.attributes, *action.arguments}, "attribute or argument")
        if isinstance(action, ReadAction):
            yield from _of_read(action, info, conditions)


def _finding(code: str, entity: Entity, what: str, cure: str, inner: Entity | None = None) -> Finding:
    path = (entity.section, entity.name) if inner is None else (entity.section, entity.name, inner.name)
    return Finding(id=code, what=what, cure=cure, path=path, origin=entity.origin)


def _of_input(given: Attribute | Argument, action: Action | None = None) -> Iterable[Finding]:
    """Find limits that mean nothing for the type, and limits and defaults that are not of it."""
    place: tuple[Entity, Entity | None] = (given, None) if action is None else (action, given)
    limits = given.constraints
    for kinds, names in [(_SIZED, ("min_length", "max_length")), (_RANGED, ("minimum", "maximum")), (_MATCHED, ("match",))]:
        for name in names:
            if getattr(limits, name) is not None and given.type.kind not in kinds:
                yield _finding("RK035", place[0], f"{name} means nothing for {given.type}", "Take it away.", place[1])
            elif name in ("minimum", "maximum") and getattr(limits, name) is not None:
                yield from _uncastable(name, given, getattr(limits, name), Constraints(), place)
    if given.default is not MISSING and not (isinstance(given.default, Now) and given.type.kind is Kind.DATETIME):
        # Limits that are wrong themselves are told above, and could not be held against a value.
        yield from _uncastable("default", given, given.default, limits if _is_sound(given) else Constraints(), place)


def _is_sound(given: Attribute | Argument) -> bool:
    limits, kind = given.constraints, given.type.kind
    return (
        (kind in _SIZED or (limits.min_length is None and limits.max_length is None))
        and (kind in _RANGED or (limits.minimum is None and limits.maximum is None))
        and (kind in _MATCHED or limits.match is None)
        and not any(_misses(given, bound, Constraints()) for bound in (limits.minimum, limits.maximum) if bound is not None)
    )


def _misses(given: Attribute | Argument, value: Any, limits: Constraints) -> str:
    try:
        compile_cast(given.type, limits)(value)
    except CastError as error:
        return str(error)
    return ""


def _uncastable(
    called: str, given: Attribute | Argument, value: Any, limits: Constraints, place: tuple[Entity, Entity | None]
) -> Iterable[Finding]:
    problem = _misses(given, value, limits)
    if not problem and called != "default" and isinstance(value, str):
        problem = "must be a value of the type itself, not its text"
    if problem:
        cure = f"Give a value that the type {given.type} and its limits let pass."
        yield _finding("RK034", place[0], f"its {called} {problem}", cure, place[1])


def _of_change(change: Change, action: Action, info: ResourceInfo, conditions: Conditions) -> Iterable[Finding]:
    """Find attributes and arguments that do not exist, and values and expressions of another type."""
    parts = [*map(Field, change.writes), *(each for each in change.writes.values() if each is not None)]
    unknown = list(_unknown(action, parts, set(info.attributes), "attribute"))
    yield from unknown
    if unknown:
        return
    for name, expression in change.writes.items():
        problem = ""
        if isinstance(expression, Value):
            attribute = info.attributes[name]
            problem = _misses(attribute, expression.value, attribute.constraints if _is_sound(attribute) else Constraints())
        elif expression is not None:
            problem = _refusal(partial(conditions.assigned, name, _open(expression)))
        if problem:
            yield _finding("RK034", action, f"what it writes to {name!r} {problem}", "Write a value of the attribute's type.")


def _of_read(action: ReadAction, info: ResourceInfo, conditions: Conditions) -> Iterable[Finding]:
    """Find conditions and orders that could not be asked."""
    for preparation in action.preparations:
        if not isinstance(preparation, Shape):
            continue
        query: Query[Any] = preparation.apply(Query())
        parts = [*([] if query.condition is None else [query.condition]), *(key.by for key in query.order)]
        unknown = list(_unknown(action, parts, set(info.attributes), "attribute"))
        yield from unknown
        if not unknown and query.condition is not None:
            condition = _open(query.condition)
            if problem := _refusal(lambda: conditions.condition(condition)):  # noqa: B023  # called at once
                yield _finding("RK034", action, f"in its condition, {problem}", "Compare with a value of the attribute's type.")
        if not unknown and (problem := _refusal(lambda: conditions.order(query.order))):  # noqa: B023  # called at once
            yield _finding("RK034", action, f"in its order, {problem}", "Sort by something else.")


def _unknown(action: Action, parts: Iterable[Expression], known: set[str], called: str) -> Iterable[Finding]:
    fields: dict[str, None] = {}
    arguments: dict[str, None] = {}
    for part in parts:
        fields.update(dict.fromkeys(sorted(fields_of(part))))
        arguments.update(dict.fromkeys(_arguments_of(part)))
    for name in fields:
        if name not in known:
            yield _finding("RK052", action, f"names {name!r}, which is no {called}", did_you_mean(name, known))
    for name in arguments:
        if name not in action.arguments:
            cure = did_you_mean(name, action.arguments) or "Declare it: arguments=[argument(...)]."
            yield _finding("RK052", action, f"names {name!r}, which is no argument", cure)


def _arguments_of(node: Expression) -> list[str]:
    if isinstance(node, ArgumentNode):
        return [node.name]
    return [name for part in children(node) for name in _arguments_of(part)]


def _open(node: Expression) -> Expression:
    """Put a place for any value where an argument stands."""
    if isinstance(node, ArgumentNode):
        return Param(node.name)
    parts = children(node)
    return rebuild(node, tuple(map(_open, parts))) if parts else node


def _refusal(read: Callable[[], object]) -> str:
    try:
        read()
    except InvalidArgument as error:
        return "; ".join(map(str, error.findings))
    return ""
