"""What a record is besides its actions: how it is made by hand, shown, and turned into a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resourcekit.engine.casting import CastError
from resourcekit.engine.runtime import Runtime
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, did_you_mean
from resourcekit.flow.clock import utc_now
from resourcekit.flow.expression import Now
from resourcekit.resource_info import ResourceInfo

__all__ = ["as_dict", "describe", "how_to_change", "new_values", "no_such_name"]


def new_values(runtime: Runtime, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a complete set of values: cast, with defaults. Raises Invalid with a finding for each that is wrong."""
    values: dict[str, Any] = {}
    attributes = runtime.info.attributes
    findings = [
        FieldFinding(name, f"is no attribute. {did_you_mean(name, attributes)}".rstrip())
        for name in given
        if name not in attributes
    ]
    for name, attribute in attributes.items():
        if name not in given and not attribute.has_default:
            findings.append(FieldFinding(name, "is required"))
            continue
        value = given[name] if name in given else attribute.default_value()
        try:
            values[name] = runtime.casts[name](utc_now() if isinstance(value, Now) else value)
        except CastError as error:
            findings.append(error.finding(name))
    if findings:
        raise Invalid(findings, resource=runtime.info.name)
    return values


def describe(info: ResourceInfo, values: Mapping[str, Any]) -> str:
    """Return the ``repr`` of a record: sensitive values are starred out, ``None`` is shown as it is."""
    shown = (
        f"{name}={'***' if attribute.sensitive and values.get(name) is not None else repr(values.get(name))}"
        for name, attribute in info.attributes.items()
    )
    return f"{info.name}({', '.join(shown)})"


def as_dict(record: Any, *, private: bool = False, sensitive: bool = False) -> dict[str, Any]:
    """Return the public values of a record by attribute name.

    private: those not declared public, too. sensitive: those declared sensitive, too.
    """
    info = getattr(type(record), "__info__", None)
    if not isinstance(info, ResourceInfo):
        raise InvalidArgument(f"needs a record, not {type(record).__name__}")
    return {
        name: getattr(record, name)
        for name, attribute in info.attributes.items()
        if (private or attribute.public) and (sensitive or not attribute.sensitive)
    }


def how_to_change(info: ResourceInfo, name: str) -> str:
    """Return what is said to whoever assigns to a record: records do not change, and the way is an update action."""
    updates = [f"{info.name}.{action.name}" for action in info.actions.values() if action.kind == "update"]
    way = f"use an update action: {', '.join(updates)}" if updates else "declare an update action"
    return f"records of {info.name} do not change; to write {name!r}, {way}"


def no_such_name(resource: type, name: str) -> str:
    """Return what is said to whoever asks a resource, or a record of it, for a name that it does not have."""
    what = f"{resource.__name__} has no attribute, action or function {name!r}"
    info = resource.__dict__.get("__info__")
    if not isinstance(info, ResourceInfo) or name.startswith("__"):  # Python itself asks so, and shows the answer to nobody
        return what
    return f"{what}. {did_you_mean(name, [*info.attributes, *info.actions, *info.functions])}".rstrip()
