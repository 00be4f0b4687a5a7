"""Records apart from their actions: creation by hand, ``repr``, conversion to a dict, error texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resourcekit.actions.casting import CastError
from resourcekit.actions.compiled_rows import MakeRow, compile_row
from resourcekit.actions.loaded import loaded_of
from resourcekit.actions.runtime import Runtime
from resourcekit.clock import utc_now
from resourcekit.data_layers.stored_forms import plain_form
from resourcekit.declarations.frozen import frozen, thawed
from resourcekit.declarations.value_type import ValueType
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, Misuse, did_you_mean
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.nodes import Now
from resourcekit.resource_info import ResourceInfo

__all__ = ["as_dict", "compared", "describe", "how_to_change", "new_values", "no_such_name"]


def new_values(runtime: Runtime, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a complete set of values, cast and with defaults. Raise Invalid with a finding for each problem."""
    make = runtime.kept.get("unsaved") or runtime.keep("unsaved", _compiled, runtime)
    try:
        made = None if make is None else make(given, None)
    except CastError:
        made = None
    return _new_values(runtime, given) if made is None else made


def _compiled(runtime: Runtime) -> MakeRow | None:
    attributes = runtime.info.attributes
    return compile_row(attributes, runtime.casts, attributes, frozen)


def _new_values(runtime: Runtime, given: Mapping[str, Any]) -> dict[str, Any]:
    """Bind the values one by one, for the errors of an unusual input."""
    values: dict[str, Any] = {}
    attributes, moment = runtime.info.attributes, utc_now()
    findings = [
        FieldFinding(name, f"is no attribute. {did_you_mean(name, attributes)}".rstrip())
        for name in given
        if name not in attributes
    ]
    for name, attribute in attributes.items():
        if name not in given and not attribute.has_default:
            findings.append(FieldFinding(name, "is required"))
            continue
        if name not in given and attribute.is_filled:  # reading it raises NotLoaded
            continue
        default = attribute.default_value if attribute.default_factory is not utc_now else lambda: moment
        value = given[name] if name in given else default()
        try:
            values[name] = frozen(runtime.casts[name](value.at(moment) if isinstance(value, Now) else value))
        except CastError as error:
            findings += error.findings(name)
    if findings:
        raise Invalid(findings, resource=runtime.info.name)
    return values


def describe(info: ResourceInfo, values: Mapping[str, Any]) -> str:
    """Return the ``repr`` of a record. Sensitive values are shown as ``***``; ``None`` is always shown. Attributes that were not
    loaded are left out.
    """
    shown = (
        f"{name}={'***' if attribute.sensitive and values[name] is not None else repr(values[name])}"
        for name, attribute in info.attributes.items()
        if name in values
    )
    return f"{info.name}({', '.join(shown)})"


@checked_call("as_dict", "its parameters are: record, private, sensitive")
def as_dict(record: Any, *, private: bool = False, sensitive: bool = False) -> dict[str, Any]:
    """Return the public values of a record by attribute name; those that were loaded, if its query selected some.

    Public relationships and calculations that were loaded are included; related records as dicts of the same kind.
    private: include attributes and relationships that are not declared public. sensitive: include attributes that are declared sensitive.
    """
    info = getattr(type(record), "__info__", None)
    if not isinstance(info, ResourceInfo):
        raise InvalidArgument(f"needs a record, not {type(record).__name__}")
    shown = {
        name: _plain(attribute.type, vars(record)[name])
        for name, attribute in info.attributes.items()
        if name in vars(record) and (private or attribute.public) and (sensitive or not attribute.sensitive)
    }
    if (info.relationships or info.calculations) and (loaded := loaded_of(record)) is not None:
        for name, relationship in info.relationships.items():
            if name in loaded.related and (private or relationship.public):
                shown[name] = _related_dicts(loaded.related[name], private=private, sensitive=sensitive)
        for name, calculation in info.calculations.items():
            if name in loaded.related and (private or calculation.public):
                value = loaded.related[name]
                shown[name] = list(value) if isinstance(value, tuple) else thawed(value)
    return shown


def _plain(of: ValueType, value: Any) -> Any:
    """Return a value with plain lists and dicts; an embedded value becomes a dict of its fields."""
    convert = plain_form(of) if value is not None and of.basic is not of else None
    return thawed(value if convert is None else convert(value))


def _related_dicts(related: Any, *, private: bool, sensitive: bool) -> Any:
    if isinstance(related, tuple):
        return [as_dict(each, private=private, sensitive=sensitive) for each in related]
    return None if related is None else as_dict(related, private=private, sensitive=sensitive)


def compared(one: Any, other: Any, operator: str) -> Any:
    """Return the result of an order comparison of two records, by the ``<`` that their class defines. Raise Misuse without one."""
    base: Any = next(each for each in type(one).__mro__ if "__setstate__" in vars(each))  # Resource, which is above this module
    kind: Any = type(one)
    if kind is not type(other) or kind.__gt__ is not base.__gt__:
        return NotImplemented
    if kind.__lt__ is base.__lt__:
        name = kind.__name__
        raise Misuse(f"records of {name} have no order; sort by values: query({name}).sort(...), sorted(records, key=...)")
    match operator:
        case "__gt__":
            return other < one
        case "__le__":
            return one == other or one < other
        case _:
            return one == other or other < one


def how_to_change(info: ResourceInfo, name: str) -> str:
    """Return the error text for an assignment to a record: records do not change, and an update action writes."""
    updates = [f"{info.name}.{action.name}" for action in info.actions.values() if action.kind == "update"]
    way = f"use an update action: {', '.join(updates)}" if updates else "declare an update action"
    return f"records of {info.name} do not change; to write {name!r}, {way}"


_CALLS = {"as_dict": "as_dict(record)", "to_dict": "as_dict(record)", "query": "query({})", "objects": "query({})"}
"""The advice for a method that other libraries have, or that one may expect."""


def no_such_name(resource: type, name: str) -> str:
    """Return the error text for a name that a resource, or a record of it, does not have."""
    what = f"{resource.__name__} has no attribute, action or function {name!r}"
    info = resource.__dict__.get("__info__")
    if (
        isinstance(info, ResourceInfo)
        and "__runtime__" not in resource.__dict__
        and (name in info.actions or name == "__runtime__")
    ):
        return f"{resource.__name__} is abstract, and keeps no records; declare a resource that inherits from it"
    if not isinstance(info, ResourceInfo) or name.startswith("__"):  # Python itself looks up such names and discards the message
        return what
    if name in _CALLS:
        return f"{what}. Write {_CALLS[name].format(resource.__name__)}, with the function of resourcekit."
    return f"{what}. {did_you_mean(name, [*info.attributes, *info.actions, *info.functions])}".rstrip()
