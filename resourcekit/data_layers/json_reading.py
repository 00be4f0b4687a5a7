"""Reading of JSON values: each must have the shape of its type, since other programs write columns, too.

A reader is compiled once for each attribute. It makes one pass over a value, and raises an error for one of another shape.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NoReturn

from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.expressions.decimals import plain

__all__ = ["json_decoder", "json_reader"]

Read = Callable[[Any], Any]

_MICROSECOND = dt.timedelta(microseconds=1)


def json_decoder(value_type: ValueType) -> Callable[[Any], Any]:
    """Return a function that decodes JSON text to a value. It raises an error for a text that holds no value of this type.

    ``null`` is ``None`` if the type allows it.
    """
    parse, read = _parser(exact=_leaf(value_type) is Kind.DECIMAL), json_reader(value_type)
    return parse if read is None else lambda text: read(parse(text))


def json_reader(value_type: ValueType | None) -> Read | None:
    """Return a function that reads a parsed JSON value; ``None`` if each JSON value is one of this type."""
    if value_type is None or value_type.kind is Kind.ANY:
        return None
    if value_type.kind is Kind.LIST:
        read = _list(value_type.item)
    elif value_type.kind is Kind.MAP:
        read = _map(value_type.item)
    else:
        read = _scalar(value_type)
    return (lambda value: None if value is None else read(value)) if value_type.allow_none else read


def _leaf(value_type: ValueType | None) -> Kind | None:
    """Return the kind of the values in a list or a dict, or in those inside it."""
    while value_type is not None and value_type.kind in (Kind.LIST, Kind.MAP):
        value_type = value_type.item
    return None if value_type is None else value_type.kind


def _parser(*, exact: bool) -> Callable[[Any], Any]:
    """Return a function that parses JSON text, or its bytes in UTF-8. exact: numbers with a point become decimals."""
    decoder = json.JSONDecoder(parse_float=Decimal if exact else None, parse_constant=_refuse)
    scan, decode = decoder.raw_decode, decoder.decode

    def parse(text: Any) -> Any:
        try:
            value, end = scan(text)  # does not look for spaces around the value, which takes half of the time of a short one
            if end == len(text):
                return value
        except (TypeError, ValueError):
            pass
        return decode(text if isinstance(text, str) else bytes(memoryview(text)).decode())

    return parse


def _refuse(_: object) -> NoReturn:
    raise ValueError


def _list(of: ValueType | None) -> Read:
    item, check = json_reader(of), _plain_check(of)

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise ValueError
        return value if item is None else list(map(item, value))

    if check is None:
        return read

    def read_plain(value: Any) -> Any:
        if type(value) is not list:
            raise ValueError
        check(value)
        return value

    return read_plain


def _map(of: ValueType | None) -> Read:
    item, check = json_reader(of), _plain_check(of)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise ValueError
        return value if item is None else {key: item(each) for key, each in value.items()}

    if check is None:
        return read

    def read_plain(value: Any) -> Any:
        if type(value) is not dict:
            raise ValueError
        check(value.values())
        return value

    return read_plain


_PLAIN = {Kind.STRING: str, Kind.INTEGER: int, Kind.BOOLEAN: bool}
"""Kinds whose values JSON has, and nothing else has to be checked of them."""


def _plain_check(of: ValueType | None) -> Callable[[Iterable[Any]], object] | None:
    """Return a function that raises an error for items that are not of a plain type; ``None`` for another type."""
    if of is None or of.kind not in _PLAIN:
        return None
    python, also = _PLAIN[of.kind], type(None) if of.allow_none else _PLAIN[of.kind]
    if python is also is str:
        return "".join  # raises TypeError for all but text, in a third of the time of a loop

    def check(items: Iterable[Any]) -> None:
        for each in items:
            if type(each) is not python and type(each) is not also:
                raise ValueError

    return check


def _scalar(of: ValueType) -> Read:
    if of.kind is Kind.LITERAL:
        return _one_of({option: option for option in of.options}, of.held)
    if of.kind is Kind.ENUM:
        return _one_of({member.value: member for member in of.options}, of.held)
    return _of_class(_PLAIN[of.kind]) if of.kind in _PLAIN else _READERS[of.kind]


def _of_class(python: type) -> Read:
    def read(value: Any) -> Any:
        if type(value) is not python:
            raise ValueError
        return value

    return read


def _one_of(found: dict[Any, Any], held: ValueType | None) -> Read:
    """Return the reader of a value that is one of a few. held: the type of each of them."""
    read = json_reader(held)
    return lambda value: found[value if read is None else read(value)]


def _float(value: Any) -> float:
    if type(value) is int:  # other programs write 1 for 1.0
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise ValueError
    return value


def _decimal(value: Any) -> Decimal:
    """Return the number of a text, as we write it, or of a JSON number, as other programs do.

    A float, inside of an embedded value, is read as the shortest decimal that it equals.
    """
    if type(value) not in (str, int, float, Decimal):
        raise ValueError
    found = Decimal(repr(value) if type(value) is float else value)
    if not found.is_finite():
        raise ValueError
    return plain(found)


def _datetime(value: Any) -> dt.datetime:
    found = dt.datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError
    return found.astimezone(dt.UTC)


def _time(value: Any) -> dt.time:
    found = dt.time.fromisoformat(value)
    if found.tzinfo is not None:
        raise ValueError
    return found


def _duration(value: Any) -> dt.timedelta:
    if type(value) is not int:
        raise ValueError
    return value * _MICROSECOND


def _bytes(value: Any) -> bytes:
    return base64.b64decode(value, validate=True)


_READERS: dict[Kind, Read] = {
    Kind.FLOAT: _float,
    Kind.DECIMAL: _decimal,
    Kind.DATETIME: _datetime,
    Kind.DATE: dt.date.fromisoformat,
    Kind.TIME: _time,
    Kind.DURATION: _duration,
    Kind.UUID: uuid.UUID,
    Kind.BYTES: _bytes,
}
