"""The parts of values that conditions look at: their types, and the form that they have in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import did_you_mean

__all__ = ["FORMS", "inside", "is_in_class", "is_of"]

FORMS: Mapping[object, Any] = {
    **dict.fromkeys((Kind.STRING, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.UUID, Kind.BYTES), "text"),
    **dict.fromkeys((Kind.INTEGER, Kind.FLOAT, Kind.DURATION), "number"),
    Kind.BOOLEAN: "bool",
}
"""The JSON form of a part of a value, by its kind."""


def inside(held: ValueType | None, step: str | int) -> tuple[ValueType | None, str]:
    """Return the type of a part of a value, and the problem if there is no such part. ``None``: any JSON value."""
    if held is not None and held.kind is Kind.OWN and held.own is not None:
        held = held.own.stored
    if held is None or held.kind is Kind.ANY:
        return None, ""
    if held.kind is Kind.LIST:
        return held.item, "" if isinstance(step, int) else "is an item of a list, which has a position, not a key"
    if held.kind is Kind.MAP:
        return held.item, "" if isinstance(step, str) else "is a value of a dict, which has a key, not a position"
    if held.kind is Kind.EMBEDDED:
        found = held.fields.get(str(step))
        return found, "" if found is not None else f"is no field. {did_you_mean(str(step), held.fields)}".rstrip()
    if held.kind is Kind.UNION:
        if step == held.tag:
            return ValueType(Kind.STRING, str), ""
        known = {str(each): each for variant in held.variants.values() if (each := variant.fields.get(str(step))) is not None}
        if len(known) == 1:
            return next(iter(known.values())), ""
        return None, "is no field of the classes of the union, or has different types in them"
    return None, f"is no part of a value: the whole is {held}"


def is_in_class(whole: ValueType, steps: tuple[str | int, ...]) -> bool:
    """Return whether a part belongs to an embedded value, whose decimals have one spelling."""
    held: ValueType | None = whole
    for step in steps:
        if held is not None and held.kind in (Kind.EMBEDDED, Kind.UNION):
            return True
        held, _ = inside(held, step)
    return False


def is_of(value: object, own: ValueType | None) -> bool:
    """Return whether a value is an instance of the class of a type."""
    return own is not None and isinstance(own.python, type) and isinstance(value, own.python)
