"""The values that stores keep, and their stored form, as the port demands it of all stores."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.plain_values import plain_date, plain_duration, plain_moment, plain_time, plain_uuid
from resourcekit.data_layers.unstorable import is_whole
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import DeclarationError
from resourcekit.expressions.decimals import plain
from resourcekit.expressions.far import Far
from resourcekit.resource_info import ResourceInfo

__all__ = [
    "Convert",
    "Refused",
    "check_parameter",
    "converter",
    "copied",
    "must_copy",
    "require_keys",
]

Convert = Callable[[Any], Any]

_LEAST, _MOST = -(2**63), 2**63 - 1
_MICROSECOND = dt.timedelta(microseconds=1)


class Refused(ValueError):  # becomes Invalid in the caller, which knows the field
    """A value that no store accepts. The text gives the reason, and never contains the value."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"must be text, not {type(value).__name__}")
    if "\0" in value:
        raise Refused("must not contain the NUL character")
    if not value.isascii() and not is_whole(value):
        raise Refused("must not contain half of a surrogate pair")
    return value if type(value) is str else str.__str__(value)


def _integer(value: Any) -> int:
    if not isinstance(value, int):
        raise Refused(f"must be a whole number, not {type(value).__name__}")
    if not _LEAST <= value <= _MOST:
        raise Refused("must fit in 64 bits")
    return value


def _float(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise Refused("is too large") from None
    if not math.isfinite(number):
        raise Refused("must be finite")
    return number


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal) and not value.is_finite():
        raise Refused("must be finite")
    try:
        return plain(value) if isinstance(value, Decimal) else value
    except ValueError as error:
        raise Refused(str(error)) from None


def _datetime(value: Any) -> dt.datetime:
    if isinstance(value, Far):
        raise Refused("must lie between the years 1 and 9999 in UTC")
    if not isinstance(value, dt.datetime):
        raise Refused(f"must be a datetime, not {type(value).__name__}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise Refused("must have a time zone")
    try:
        return plain_moment(value)
    except OverflowError:
        raise Refused("must lie between the years 1 and 9999 in UTC") from None


def _time(value: Any) -> Any:
    if isinstance(value, dt.time) and value.tzinfo is not None:
        raise Refused("must not have a time zone")
    return plain_time(value) if isinstance(value, dt.time) else value


def _date(value: Any) -> Any:
    is_date = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return plain_date(value) if is_date else value


def _duration(value: Any) -> Any:
    if isinstance(value, Far):
        raise Refused("must fit in 64 bits, in microseconds")
    if not isinstance(value, dt.timedelta):
        return value
    if not _LEAST <= value // _MICROSECOND <= _MOST:
        raise Refused("must fit in 64 bits, in microseconds")
    return plain_duration(value)


def _uuid(value: Any) -> Any:
    return plain_uuid(value) if isinstance(value, uuid.UUID) else value


def _bytes(value: Any) -> bytes:
    return bytes(value)


def _nested(value: Any) -> Any:
    """Copy a JSON value deeply, and check its leaves."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(key): _nested(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nested(item) for item in value]
    if isinstance(value, float):
        return _float(value)
    raise Refused("must be made of JSON values only")


def _typed_items(keep: Convert) -> Convert:
    """Return such a function for a list or a dict whose items have a type that JSON lacks."""

    def kept(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            return {_text(key): kept(item) for key, item in value.items()}
        return [kept(item) for item in value] if isinstance(value, (list, tuple)) else keep(value)

    return kept


def _leaf(type_: ValueType | None) -> ValueType | None:
    while type_ is not None and type_.kind in (Kind.LIST, Kind.MAP):
        type_ = type_.item
    return type_


_CONVERTERS: dict[Kind, Convert] = {
    Kind.STRING: _text,
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.DECIMAL: _decimal,
    Kind.DATETIME: _datetime,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.DURATION: _duration,
    Kind.UUID: _uuid,
    Kind.BYTES: _bytes,
    Kind.ANY: _nested,
}
_OF_JSON = frozenset({Kind.STRING, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.LITERAL, Kind.ANY})
_MUTABLE = frozenset({Kind.LIST, Kind.MAP, Kind.ANY})


def _as_it_is(value: Any) -> Any:
    return value


def converter(type_: ValueType) -> Convert:
    """Return a function that converts a value (never ``None``) of a type to its stored form. It may raise Refused."""
    if type_.kind in (Kind.LIST, Kind.MAP):
        leaf = _leaf(type_)
        return _nested if leaf is None or leaf.kind in _OF_JSON else _typed_items(converter(leaf))
    return _CONVERTERS.get(type_.kind, _as_it_is)


def must_copy(type_: ValueType) -> bool:
    """Return whether values of a type are mutable."""
    return type_.kind in _MUTABLE


def copied(value: Any) -> Any:
    """Copy lists and dicts deeply."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def check_parameter(value: Any, *, is_json: bool = False) -> None:
    """Raise Refused for a parameter that no stored value can be compared with. is_json: numbers may be of any size."""
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, int):
        if not is_json:
            _integer(value)
    elif isinstance(value, float):
        _float(value)
    elif isinstance(value, Decimal):
        _decimal(value)
    elif isinstance(value, dt.datetime):
        _datetime(value)
    elif isinstance(value, dt.timedelta):
        _duration(value)
    elif isinstance(value, dict):
        check_parameter([*value, *value.values()], is_json=is_json)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            check_parameter(each, is_json=is_json)


_NO_KEYS = frozenset({Kind.LIST, Kind.MAP, Kind.ANY})


def require_keys(info: ResourceInfo) -> None:
    """Raise DeclarationError RK151 for a resource whose rows have no usable key.

    That is a resource without a primary key, or with a list, a dict or a value of any type in its key or in an identity, because
    such a value cannot be a key.
    """
    if not info.primary_key:
        hint = "Declare one with attribute(primary_key=True)."
        raise DeclarationError("RK151", "has no primary key", resource=info.name, origin=info.origin, hint=hint)
    groups = {"primary_key": info.primary_key, **{name: identity.fields for name, identity in info.identities.items()}}
    for group, fields in groups.items():
        for field in fields:
            attribute = info.attributes[field]
            if attribute.type.kind in _NO_KEYS:
                raise DeclarationError(
                    "RK151",
                    f"{attribute.type} cannot be part of {group}",
                    resource=info.name,
                    path=("attributes", field),
                    origin=attribute.origin,
                    hint="Use a type whose values are atomic (str, int, UUID, datetime, ...).",
                )
