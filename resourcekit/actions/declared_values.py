"""Checks declared values against their types: defaults, limits, and the attributes and values in changes and preparations.

These checks run when the class is created, so that an action does not fail at its first call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import attrs

from resourcekit.actions.casting import CastError, compile_cast
from resourcekit.actions.conditions import Conditions
from resourcekit.declarations.action import Action, CreateAction, ReadAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.change import AtomicChange, Change
from resourcekit.declarations.limits import Limits
from resourcekit.declarations.preparation import Shape
from resourcekit.declarations.validation import AtomicValidation, Validation, declared_condition, text_field
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.option import MISSING
from resourcekit.errors import InvalidArgument, did_you_mean
from resourcekit.expressions.context_nodes import ContextValue
from resourcekit.expressions.dates import Today
from resourcekit.expressions.nodes import Argument as ArgumentNode
from resourcekit.expressions.nodes import Expression, Field, Now, Param, Value
from resourcekit.expressions.query import Query
from resourcekit.expressions.rewriting import children, fields_of, has_fragment, rebuild, refers
from resourcekit.resource_info import ResourceInfo

__all__ = ["declared_value_findings"]

_SIZED = frozenset({Kind.STRING, Kind.BYTES, Kind.LIST, Kind.MAP})
_RANGED = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.DURATION})
_MATCHED = frozenset({Kind.STRING})
_MOST_SCALE = 30
"""The digits after the point that every database can hold, beside some before it."""


def declared_value_findings(info: ResourceInfo) -> Iterable[Finding]:
    """Return a finding for every declared default, limit, argument or step that no record could satisfy."""
    for attribute in info.attributes.values():
        yield from _of_input(attribute)
        second = f"{attribute.name}_folded"
        if attribute.constraints.case == "fold" and second in info.attributes:
            what = f"case='fold' keeps the folded text as {second!r}, and that is an attribute, too"
            yield _finding("RK035", attribute, what, "Rename that attribute.")
    conditions = Conditions(info)
    for action in info.actions.values():
        for argument in action.arguments.values():
            yield from _of_input(argument, action)
        for change in getattr(action, "changes", ()):
            if isinstance(change, Change):
                yield from _of_change(change, action, info, conditions)
        for validation in getattr(action, "validations", ()):
            if isinstance(validation, Validation):
                yield from _of_validation(validation, action, info, conditions)
        if isinstance(action, ReadAction):
            yield from _of_read(action, info, conditions)


def _finding(code: str, entity: Entity, what: str, cure: str, inner: Entity | None = None) -> Finding:
    path = (entity.section, entity.name) if inner is None else (entity.section, entity.name, inner.name)
    return Finding(id=code, what=what, cure=cure, path=path, origin=entity.origin)


def _of_input(given: Attribute | Argument, action: Action | None = None) -> Iterable[Finding]:
    """Find limits that do not apply to the type, and limits and defaults that are not of the type."""
    place: tuple[Entity, Entity | None] = (given, None) if action is None else (action, given)
    limits = given.constraints
    for kinds, names in [(_SIZED, ("min_length", "max_length")), (_RANGED, ("minimum", "maximum")), (_MATCHED, ("match",))]:
        for name in names:
            if getattr(limits, name) is not None and given.type.basic.kind not in kinds:
                yield _finding("RK035", place[0], f"{name} means nothing for {given.type}", "Take it away.", place[1])
            elif name in ("minimum", "maximum") and getattr(limits, name) is not None:
                yield from _uncastable(name, given, getattr(limits, name), Limits(), place)
    yield from _wrong_spelling(given, place)
    yield from _wrong_column(given, place)
    if given.default is not MISSING and not (isinstance(given.default, Now) and given.type.kind is _KIND_AT[type(given.default)]):
        # Wrong limits are reported above; the default is not checked against them.
        yield from _uncastable("default", given, given.default, limits if _is_sound(given) else Limits(), place)


def _wrong_spelling(given: Attribute | Argument, place: tuple[Entity, Entity | None]) -> Iterable[Finding]:
    """Find trim, empty and case where they mean nothing."""
    limits = given.constraints
    for name, is_given in (("trim", limits.trim), ("empty", limits.empty is not MISSING), ("case", limits.case is not None)):
        if is_given and given.type.basic.kind is not Kind.STRING:
            yield _finding("RK035", place[0], f"{name} means nothing for {given.type}", "Take it away.", place[1])
    if limits.empty is None and not given.type.allow_none:
        yield _finding("RK034", place[0], "empty=None needs a type with None", f"Write {given.type} | None.", place[1])
    if limits.case == "fold" and (isinstance(given, Argument) or given.primary_key):
        what = "case='fold' is for attributes outside of the primary key, which compare by a second column"
        yield _finding("RK035", place[0], what, "Write case='lower'.", place[1])


_KIND_AT = {Now: Kind.DATETIME, Today: Kind.DATE}


def _wrong_column(given: Attribute | Argument, place: tuple[Entity, Entity | None]) -> Iterable[Finding]:
    """Find scale and stored where they mean nothing."""
    kind, scale = given.type.basic.kind, given.constraints.scale
    if scale is not None and (kind is not Kind.DECIMAL or not 0 <= scale <= _MOST_SCALE):
        what = f"scale={scale} means nothing for {given.type}; a Decimal has 0 to {_MOST_SCALE} digits after the point"
        yield _finding("RK035", place[0], what, "Take it away.", place[1])
    if not isinstance(given, Attribute):
        return
    for members in _mixed_enums(given.type):
        what = f"the values of {members.__name__} have several types, or no plain one; members are stored by their values"
        yield _finding("RK031", given, what, "Give each member a value of one type: all str, for example.")
    for stored in {given.stored} if isinstance(given.stored, str) else set(given.stored.values()):
        fits = {"": True, "microseconds": kind is Kind.DATETIME, "integer": kind is Kind.DECIMAL and given.scale is not None}
        if not fits.get(stored, False):
            what = f"stored={stored!r} means nothing for {given.type}"
            cure = 'Write stored="microseconds" for a datetime, scale=2, stored="integer" for a Decimal, or take it away.'
            yield _finding("RK035", given, what, cure)


def _mixed_enums(of: ValueType) -> Iterator[Any]:
    """Return the enums in a type whose members' values are not of one plain type."""
    if of.kind is Kind.ENUM and of.held is None:
        yield of.python
    inner = (of.item, None if of.own is None else of.own.stored, *of.fields.values(), *of.variants.values())
    for each in inner:
        if each is not None:
            yield from _mixed_enums(each)


def static_defaults(info: ResourceInfo) -> dict[str, object]:
    """Return the defaults that are the same for all records, cast. They were checked before."""
    return {
        name: compile_cast(attribute.type, Limits())(attribute.default)
        for name, attribute in info.attributes.items()
        if attribute.default is not MISSING and not isinstance(attribute.default, Now)
    }


def _is_sound(given: Attribute | Argument) -> bool:
    limits, kind = given.constraints, given.type.basic.kind
    return (
        (kind in _SIZED or (limits.min_length is None and limits.max_length is None))
        and (kind in _RANGED or (limits.minimum is None and limits.maximum is None))
        and (kind in _MATCHED or limits.match is None)
        and not any(_misses(given, bound, Limits()) for bound in (limits.minimum, limits.maximum) if bound is not None)
    )


def _misses(given: Attribute | Argument, value: Any, limits: Limits) -> str:
    try:
        compile_cast(given.type, limits)(value)
    except CastError as error:
        return f"{error.path}: {error}" if error.path else str(error)
    return ""


def _uncastable(
    called: str, given: Attribute | Argument, value: Any, limits: Limits, place: tuple[Entity, Entity | None]
) -> Iterable[Finding]:
    problem = _misses(given, value, limits)
    if not problem and called != "default" and isinstance(value, str):
        problem = "must be a value of the type itself, not its text"
    if problem:
        cure = f"Give a value that the type {given.type} and its limits let pass."
        yield _finding("RK034", place[0], f"its {called} {problem}", cure, place[1])


def _of_change(change: Change, action: Action, info: ResourceInfo, conditions: Conditions) -> Iterable[Finding]:
    """Find attributes and arguments that do not exist, and values and expressions of a wrong type."""
    parts = [*map(Field, change.writes), *(each for each in change.writes.values() if each is not None)]
    unknown = list(_unknown(action, parts, set(info.attributes), "attribute"))
    yield from unknown
    if unknown:
        return
    for name, expression in change.writes.items():
        problem = ""
        if isinstance(expression, Value):
            attribute = info.attributes[name]
            problem = _misses(attribute, expression.value, attribute.constraints if _is_sound(attribute) else Limits())
        elif expression is not None and not refers(expression := _open(expression)):
            problem = _refusal(partial(conditions.assigned, name, expression))
        if problem:
            yield _finding("RK034", action, f"what it writes to {name!r} {problem}", "Write a value of the attribute's type.")
        elif expression is not None and has_fragment(expression) and (reason := _no_statement(action)):
            what = f"what it writes to {name!r} is a fragment(...), which a database computes of a stored record, and {reason}"
            yield _finding("RK034", action, what, "Compute it with methods of attributes, or in Python.")


def _no_statement(action: Action) -> str:
    """Return why the changes of an action are computed here and not in a statement; an empty text if they may be in one."""
    if isinstance(action, CreateAction):
        return "a create computes what it writes before the statement"
    steps = [*getattr(action, "changes", ()), *getattr(action, "validations", ())]
    is_apart = getattr(action, "function", None) is not None or not all(
        isinstance(step, (AtomicChange, AtomicValidation)) for step in steps
    )
    return "another step of the action runs in Python, over the record as it was read" if is_apart else ""


def _of_validation(validation: Validation, action: Action, info: ResourceInfo, conditions: Conditions) -> Iterable[Finding]:
    """Find fields that do not exist, and built-in validations that can never hold for the type of their field."""
    unknown = list(_unknown(action, validation.reads, {*info.attributes, *action.arguments}, "attribute or argument"))
    yield from unknown
    if any(map(has_fragment, validation.reads)):
        what = (
            "in its validation, compares with a fragment(...), which only a statement computes; a validation also runs in Python"
        )
        cure = "Compare with attributes and values, or put the fragment into the condition of the query that is written to."
        yield _finding("RK034", action, what, cure)
        return
    fields = {name for part in validation.reads for name in fields_of(part)}
    if unknown or fields & action.arguments.keys():  # an argument is tested as it was cast
        return
    is_refused = getattr(action, "require_atomic", False) and not isinstance(validation, AtomicValidation)
    name, declared = None if is_refused else text_field(validation), declared_condition(validation)
    condition = None if declared is None else _open(declared)
    if name is not None and info.attributes[name].type.basic.kind is not Kind.STRING:
        what = f"tests {name!r} as a text, which is {info.attributes[name].type}"
        yield _finding("RK035", action, what, "Take the validation away, or use compare(...).")
    elif condition is not None and not refers(condition) and (problem := _refusal(lambda: conditions.condition(condition))):
        yield _finding("RK034", action, f"in its validation, {problem}", "Compare with a value of the attribute's type.")


def _of_read(action: ReadAction, info: ResourceInfo, conditions: Conditions) -> Iterable[Finding]:
    """Find conditions and orders that cannot run."""
    for preparation in action.preparations:
        if not isinstance(preparation, Shape):
            continue
        query: Query[Any] = preparation.apply(Query())
        query = attrs.evolve(
            query,
            condition=None if query.condition is None else _without_late(query.condition),
            order=tuple(attrs.evolve(key, by=_without_late(key.by)) for key in query.order),
        )
        parts = [*([] if query.condition is None else [query.condition]), *(key.by for key in query.order)]
        unknown = list(_unknown(action, parts, {*info.attributes, *info.calculations}, "attribute"))
        yield from unknown
        # Relationships and calculations are resolved when the domain is sealed, and their types are checked at each use.
        if any(refers(part) or fields_of(part) & info.calculations.keys() for part in parts):
            continue
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
    """Replace arguments, the actor and the tenant by parameters, which fit every type."""
    if isinstance(node, ArgumentNode):
        return Param(node.name)
    if isinstance(node, ContextValue):
        return Param("late")
    parts = children(node)
    return rebuild(node, tuple(map(_open, parts))) if parts else node


def _without_late(node: Expression) -> Expression:
    """Replace the actor and the tenant by parameters."""
    if isinstance(node, ContextValue):
        return Param("late")
    parts = children(node)
    return rebuild(node, tuple(map(_without_late, parts))) if parts else node


def _refusal(read: Callable[[], object]) -> str:
    try:
        read()
    except InvalidArgument as error:
        return "; ".join(map(str, error.findings))
    return ""
