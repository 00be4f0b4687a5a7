"""Canonical JSON text for lists, dicts and other JSON values.

Equal values have equal text, except that 1 and 1.0 differ; ``json_by_value`` makes their texts equal.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.unstorable import NoneGiven, Unstorable, is_whole
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.expressions.decimals import plain

__all__ = ["from_plain_json", "json_by_value", "json_decoder", "json_encoder", "to_plain_json"]

_MICROSECOND = dt.timedelta(microseconds=1)
_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def _utc(value: dt.datetime) -> str:
    if value.tzinfo is None:
        raise Unstorable("must hold datetimes with a time zone")
    return value.astimezone(dt.UTC).isoformat()


_INTO: dict[Kind, Callable[[Any], Any]] = {
    Kind.DECIMAL: lambda value: f"{plain(value):f}",
    Kind.DATETIME: _utc,
    Kind.DATE: dt.date.isoformat,
    Kind.TIME: dt.time.isoformat,
    Kind.DURATION: lambda value: value // _MICROSECOND,
    Kind.UUID: str,
    Kind.BYTES: lambda value: base64.b64encode(value).decode(),
}
_OUT_OF: dict[Kind, Callable[[Any], Any]] = {
    Kind.DECIMAL: Decimal,
    Kind.DATETIME: dt.datetime.fromisoformat,
    Kind.DATE: dt.date.fromisoformat,
    Kind.TIME: dt.time.fromisoformat,
    Kind.DURATION: lambda text: dt.timedelta(microseconds=text),
    Kind.UUID: uuid.UUID,
    Kind.BYTES: base64.b64decode,
}


def _walk(value: Any, value_type: ValueType | None, scalars: dict[Kind, Callable[[Any], Any]]) -> Any:
    if value is None or value_type is None:
        return value
    if value_type.kind is Kind.LIST:
        return [_walk(each, value_type.item, scalars) for each in value]
    if value_type.kind is Kind.MAP:
        return {key: _walk(each, value_type.item, scalars) for key, each in value.items()}
    if value_type.kind is Kind.ENUM:
        return _member(value, value_type) if scalars is _OUT_OF else _walk(value.value, value_type.held, _INTO)
    convert = scalars.get(value_type.kind)
    return value if convert is None else convert(value)


def _member(stored: Any, of: ValueType) -> Any:
    """Return the member of an enum with a value. Raise ValueError if there is none."""
    value, held = _walk(stored, of.held, _OUT_OF), of.held
    for member in of.options:
        if member.value == value and (held is None or held.kind is Kind.FLOAT or type(value) is held.python):
            return member
    raise ValueError


def _typed(value_type: ValueType | None) -> bool:
    """Return whether a value or one of its items has a type that JSON lacks."""
    return value_type is not None and (value_type.kind is Kind.ENUM or value_type.kind in _INTO or _typed(value_type.item))


def _check(value: Any) -> None:
    """Raise Unstorable for keys that are not text. JSON would turn them into text, so they would not come back as they were."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Unstorable("must have text for all keys")
        for each in value.values():
            _check(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _check(each)


def json_encoder(value_type: ValueType) -> Callable[[Any], str]:
    """Return a function that encodes values of this type as text."""
    typed = _typed(value_type)

    def encode(value: Any) -> str:
        if value is None:
            raise NoneGiven
        plain, text = value, None
        try:
            if typed:
                plain = _walk(value, value_type, _INTO)
            _check(plain)
            text = _dump(plain)
        except (TypeError, ValueError, AttributeError, RecursionError, OverflowError):
            pass  # raised below: Python's message may contain a part of the value
        if text is None:
            raise Unstorable("must be made of JSON values only")
        if not is_whole(text):
            raise Unstorable("must not contain half of a surrogate pair")
        if "\\u0000" in text:
            _refuse_nul(plain)
        return text

    return encode


def json_by_value(text: str | None) -> str | None:
    """Return a canonical text in which equal numbers have equal text: 1.0 becomes 1."""
    return None if text is None else _dump(json.loads(text, parse_float=_whole_if_equal))


def _whole_if_equal(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _refuse_nul(value: Any) -> None:
    if isinstance(value, str) and "\0" in value:
        raise Unstorable("must not contain the character NUL")
    if isinstance(value, dict):
        for key, each in value.items():
            _refuse_nul(key)
            _refuse_nul(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _refuse_nul(each)


def json_decoder(value_type: ValueType) -> Callable[[str], Any]:
    """Return a function that decodes the text to the value."""
    if not _typed(value_type):
        return json.loads
    return lambda text: _walk(json.loads(text), value_type, _OUT_OF)


def from_plain_json(value_type: ValueType) -> Callable[[Any], Any]:
    """Return a function that converts a parsed JSON value to a value of this type. ``None`` stays ``None``."""
    return lambda plain: _walk(plain, value_type, _OUT_OF)


def to_plain_json(value_type: ValueType) -> Callable[[Any], Any]:
    """Return a function that converts a value of this type to a value that JSON has. ``None`` stays ``None``."""
    return lambda value: _walk(value, value_type, _INTO)
