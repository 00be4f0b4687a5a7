"""Canonical JSON text for lists, dicts and other JSON values.

Equal values have equal text, except that 1 and 1.0 differ; ``json_by_value`` makes their texts equal.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Iterable
from typing import Any

from resourcekit.data_layers.json_reading import json_reader
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable, is_whole
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.expressions.decimals import plain

__all__ = ["from_plain_json", "json_by_value", "json_encoder", "to_plain_json"]

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


def _plain(value: Any, value_type: ValueType | None) -> Any:
    """Return a value as JSON has it."""
    if value is None or value_type is None:
        return value
    if value_type.kind is Kind.LIST:
        return [_plain(each, value_type.item) for each in value]
    if value_type.kind is Kind.MAP:
        return {key: _plain(each, value_type.item) for key, each in value.items()}
    if value_type.kind is Kind.ENUM:
        return _plain(value.value, value_type.held)
    convert = _INTO.get(value_type.kind)
    return value if convert is None else convert(value)


def _typed(value_type: ValueType | None) -> bool:
    """Return whether a value or one of its items has a type that JSON lacks."""
    return value_type is not None and (value_type.kind is Kind.ENUM or value_type.kind in _INTO or _typed(value_type.item))


def _check(value: Any) -> None:
    """Raise Unstorable for keys that are not text. JSON would turn them into text, so they would not come back as they were."""
    items: Iterable[Any] = value if isinstance(value, (list, tuple)) else ()
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Unstorable("must have text for all keys")
        items = value.values()
    for each in items:
        if isinstance(each, (dict, list, tuple)):
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
                plain = _plain(value, value_type)
            _check(plain)
            text = _dump(plain)
        except (TypeError, ValueError, AttributeError, RecursionError, OverflowError):
            pass  # raised below: Python's message may contain a part of the value
        if text is None:
            raise Unstorable("must be made of JSON values only")
        if not (text.isascii() or is_whole(text)):
            raise Unstorable("must not contain half of a surrogate pair")
        if "\\u0000" in text:
            _refuse_nul(plain)
        return text

    return encode


def json_by_value(text: str | None) -> str | None:
    """Return a canonical text in which equal numbers have equal text: 1.0 becomes 1. A text that is no JSON equals only itself."""
    try:
        return None if text is None else _dump(json.loads(text, parse_float=_whole_if_equal))
    except ValueError:
        return text


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


def from_plain_json(value_type: ValueType) -> Callable[[Any], Any]:
    """Return a function that converts a parsed JSON value to a value of this type.

    It raises an error for a value of another type. ``None`` stays ``None`` if the type allows it.
    """
    return json_reader(value_type) or _same


def _same(value: Any) -> Any:
    return value


def to_plain_json(value_type: ValueType) -> Callable[[Any], Any]:
    """Return a function that converts a value of this type to a value that JSON has. ``None`` stays ``None``."""
    return lambda value: _plain(value, value_type)
