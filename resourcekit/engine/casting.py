"""Turns what a caller gives into the value that an attribute or argument holds. It knows types and constraints only."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Any

from resourcekit.declarations.attribute import Constraints
from resourcekit.declarations.value_type import Kind, ValueType

__all__ = ["Cast", "CastError", "compile_cast"]

Cast = Callable[[Any], Any]


class CastError(ValueError):
    """The value will not do; the text says what would, and never shows the value."""


def compile_cast(kind: ValueType, constraints: Constraints) -> Cast:
    """Return a function that gives the value back, cast and checked, or raises CastError.

    Texts are parsed for every type that has one plain form (``"12"``, ``"2026-11-24"``), because requests bring texts;
    nothing else is converted, and nothing is ever rounded.
    """
    cast = _CASTS[kind.kind](kind)
    checks = _checks(constraints)
    if kind.kind is Kind.STRING and not checks and not kind.allow_none:
        return cast

    def cast_and_check(value: Any) -> Any:
        if value is None:
            if kind.allow_none:
                return None
            msg = "must not be None"
            raise CastError(msg)
        value = cast(value)
        for holds, message in checks:
            if not holds(value):
                raise CastError(message)
        return value

    return cast_and_check


def _checks(limits: Constraints) -> list[tuple[Callable[[Any], bool], str]]:
    checks: list[tuple[Callable[[Any], bool], str]] = []
    low, high, least, most, pattern = limits.min_length, limits.max_length, limits.minimum, limits.maximum, limits.match
    if low is not None:
        checks.append((lambda value: len(value) >= low, f"must have at least {low} characters or items"))
    if high is not None:
        checks.append((lambda value: len(value) <= high, f"must have at most {high} characters or items"))
    if least is not None:
        checks.append((lambda value: value >= least, f"must be at least {least}"))
    if most is not None:
        checks.append((lambda value: value <= most, f"must be at most {most}"))
    if pattern is not None:
        checks.append((lambda value: pattern.fullmatch(value) is not None, f"must match {pattern.pattern}"))
    return checks


def _string(kind: ValueType) -> Cast:
    def cast(value: Any) -> str:
        if isinstance(value, str):
            return value
        msg = "must be text"
        raise CastError(msg)

    return cast


def _parsed(kind: ValueType, parse: Callable[[str], Any], called: str) -> Cast:
    python = kind.python

    def cast(value: Any) -> Any:
        if isinstance(value, python):
            return value
        if isinstance(value, str):
            try:
                return parse(value)
            except (ValueError, ArithmeticError):
                pass
        msg = f"must be {called}"
        raise CastError(msg)

    return cast


def _integer(kind: ValueType) -> Cast:
    inner = _parsed(kind, _parse_integer, "a whole number")
    return _refuse_bool(inner, "a whole number")


def _parse_integer(text: str) -> int:
    if not text.strip().lstrip("+-").isascii():
        raise ValueError
    return int(text)


def _float(kind: ValueType) -> Cast:
    inner = _refuse_bool(_parsed(kind, float, "a number"), "a number")

    def cast(value: Any) -> float:
        number: float = inner(float(value) if type(value) is int and abs(value) <= 2**53 else value)
        if math.isfinite(number):
            return number
        msg = "must be a finite number"
        raise CastError(msg)

    return cast


def _decimal(kind: ValueType) -> Cast:
    inner = _refuse_bool(_parsed(kind, decimal.Decimal, "a decimal number"), "a decimal number")

    def cast(value: Any) -> decimal.Decimal:
        number: decimal.Decimal = inner(decimal.Decimal(value) if type(value) is int else value)
        if number.is_finite():
            return number
        msg = "must be a finite decimal number"
        raise CastError(msg)

    return cast


def _refuse_bool(inner: Cast, called: str) -> Cast:
    def cast(value: Any) -> Any:
        if isinstance(value, bool):
            msg = f"must be {called}, not a bool"
            raise CastError(msg)
        return inner(value)

    return cast


def _boolean(kind: ValueType) -> Cast:
    words = {"true": True, "false": False}
    return _parsed(kind, lambda text: _look_up(words, text.lower()), "true or false")


def _look_up(words: dict[str, bool], text: str) -> bool:
    if text not in words:
        raise ValueError
    return words[text]


def _datetime(kind: ValueType) -> Cast:
    inner = _parsed(kind, dt.datetime.fromisoformat, "a date and time")

    def cast(value: Any) -> dt.datetime:
        moment: dt.datetime = inner(value)
        if moment.tzinfo is None:
            msg = "must have a time zone"
            raise CastError(msg)
        try:
            return moment.astimezone(dt.UTC)
        except OverflowError:
            msg = "must lie between the years 1 and 9999 in UTC"
            raise CastError(msg) from None

    return cast


def _date(kind: ValueType) -> Cast:
    inner = _parsed(kind, dt.date.fromisoformat, "a date")

    def cast(value: Any) -> dt.date:
        if isinstance(value, dt.datetime):  # a subclass of date, and more than a date
            msg = "must be a date without a time"
            raise CastError(msg)
        date: dt.date = inner(value)
        return date

    return cast


def _enum(kind: ValueType) -> Cast:
    members = {**{member.value: member for member in kind.options}, **{member.name: member for member in kind.options}}
    names = ", ".join(member.name for member in kind.options)

    def cast(value: Any) -> Any:
        if isinstance(value, kind.python):
            return value
        try:
            return members[value]
        except (KeyError, TypeError):
            msg = f"must be one of {names}"
            raise CastError(msg) from None

    return cast


def _literal(kind: ValueType) -> Cast:
    def cast(value: Any) -> Any:
        if type(value) is kind.python and value in kind.options:
            return value
        msg = f"must be one of {', '.join(map(repr, kind.options))}"
        raise CastError(msg)

    return cast


def _list(kind: ValueType) -> Cast:
    item = _json if kind.item is None else compile_cast(kind.item, Constraints())

    def cast(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            msg = "must be a list"
            raise CastError(msg)
        return [item(each) for each in value]

    return cast


def _map(kind: ValueType) -> Cast:
    item = _json if kind.item is None else compile_cast(kind.item, Constraints())

    def cast(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            msg = "must be a mapping with text keys"
            raise CastError(msg)
        return {key: item(each) for key, each in value.items()}

    return cast


def _json(value: Any) -> Any:
    """Copy a JSON value, so that the record shares nothing with the caller."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json(each) for key, each in value.items()}
    msg = "must hold only what JSON can: text, finite numbers, true, false, None, lists, mappings with text keys"
    raise CastError(msg)


def _bytes(kind: ValueType) -> Cast:
    def cast(value: Any) -> bytes:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        msg = "must be bytes"
        raise CastError(msg)

    return cast


_CASTS: dict[Kind, Callable[[ValueType], Cast]] = {
    Kind.STRING: _string,
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.BOOLEAN: _boolean,
    Kind.DECIMAL: _decimal,
    Kind.DATETIME: _datetime,
    Kind.DATE: _date,
    Kind.TIME: lambda kind: _parsed(kind, dt.time.fromisoformat, "a time"),
    Kind.DURATION: lambda kind: _parsed(kind, lambda text: dt.timedelta(seconds=float(text)), "a duration"),
    Kind.UUID: lambda kind: _parsed(kind, uuid.UUID, "a UUID"),
    Kind.ENUM: _enum,
    Kind.LITERAL: _literal,
    Kind.LIST: _list,
    Kind.MAP: _map,
    Kind.BYTES: _bytes,
    Kind.ANY: lambda kind: lambda value: value,
}
