"""Turns what a caller gives into the value that an attribute or argument holds. It knows types and constraints only."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Any

from resourcekit.declarations.attribute import Constraints
from resourcekit.declarations.value_type import JSON_VALUE, Kind, ValueType
from resourcekit.errors import FieldFinding

__all__ = ["Cast", "CastError", "compile_cast"]

Cast = Callable[[Any], Any]


_DEEPEST = 100
"""Lists and mappings of JSON inside each other; more than that is an attack, and would exhaust the stack of a parser."""


class CastError(ValueError):
    """The value will not do; the text says what would, and never shows the value.

    path: where inside the value, with dots for what lies deeper (``"2"``, ``"zip"``); ``""`` for the value itself.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path

    def inside(self, step: object) -> CastError:
        """Return this error as it is seen from outside of an item or a key."""
        return CastError(str(self), f"{step}.{self.path}" if self.path else str(step))

    def finding(self, field: str) -> FieldFinding:
        """Return what is wrong with a field whose value this is."""
        return FieldFinding(f"{field}.{self.path}" if self.path else field, str(self))


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
        if type(value) is str:
            return value
        if isinstance(value, str):  # a subclass (a StrEnum's member): the record holds plain text, on every store
            return str.__str__(value)
        msg = "must not be None" if value is None else "must be text"
        raise CastError(msg)

    return cast


def _parsed(kind: ValueType, parse: Callable[[str], Any], called: str) -> Cast:
    python = kind.python

    def cast(value: Any) -> Any:
        if isinstance(value, python):
            return value
        if isinstance(value, str) and "_" not in value:  # Python's parsers pass over "_" between digits
            try:
                return parse(value)
            except (ValueError, ArithmeticError):
                pass
        msg = f"must be {called}"
        raise CastError(msg)

    return cast


def _integer(kind: ValueType) -> Cast:
    inner = _refuse_bool(_parsed(kind, _parse_integer, "a whole number"), "a whole number")

    def cast(value: Any) -> int:
        return value if type(value) is int else int(inner(value))

    return cast


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
        if type(value) is dt.datetime and value.tzinfo is dt.UTC:
            return value
        moment: dt.datetime = inner(value)
        if moment.utcoffset() is None:
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


def _time(kind: ValueType) -> Cast:
    inner = _parsed(kind, dt.time.fromisoformat, "a time")

    def cast(value: Any) -> dt.time:
        time: dt.time = inner(value)
        if time.tzinfo is None:
            return time
        msg = "must be a time without a time zone"
        raise CastError(msg)

    return cast


def _enum(kind: ValueType) -> Cast:
    """Take a member, its value or its name; where a value is also another member's name, the value wins."""
    names = ", ".join(member.name for member in kind.options)

    def cast(value: Any) -> Any:
        if isinstance(value, kind.python):
            found = [member for member in kind.options if member is value]  # combined flags are no member
        else:
            found = [member for member in kind.options if type(member.value) is type(value) and member.value == value]
            found += [member for member in kind.options if member.name == value]
        if found:
            return found[0]
        msg = f"must be one of {names}"
        raise CastError(msg)

    return cast


def _literal(kind: ValueType) -> Cast:
    def cast(value: Any) -> Any:
        if type(value) is kind.python and value in kind.options:
            return value
        msg = f"must be one of {', '.join(map(repr, kind.options))}"
        raise CastError(msg)

    return cast


def _list(kind: ValueType) -> Cast:
    item = None if kind.item is None else compile_cast(kind.item, Constraints())

    def cast(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            msg = "must be a list"
            raise CastError(msg)
        if item is None:
            return [_json(each) for each in value]
        return [_item(item, each, position) for position, each in enumerate(value)]

    return cast


def _map(kind: ValueType) -> Cast:
    item = None if kind.item is None else compile_cast(kind.item, Constraints())

    def cast(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            msg = "must be a mapping with text keys"
            raise CastError(msg)
        if item is None:  # its keys are data, too, and are not named
            return {key: _json(each) for key, each in value.items()}
        return {key: _item(item, each, key) for key, each in value.items()}

    return cast


def _item(cast: Cast, value: Any, step: object) -> Any:
    try:
        return cast(value)
    except CastError as error:
        raise error.inside(step) from None


def _anything(kind: ValueType) -> Cast:
    return _json if kind == JSON_VALUE else lambda value: value


def _json(value: Any, depth: int = 0) -> Any:
    """Copy a JSON value, so that the record shares nothing with the caller."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth == _DEEPEST:
        msg = f"must not be nested more than {_DEEPEST} deep"
        raise CastError(msg)
    if isinstance(value, (list, tuple)):
        return [_json(each, depth + 1) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json(each, depth + 1) for key, each in value.items()}
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
    Kind.TIME: _time,
    Kind.DURATION: lambda kind: _parsed(kind, lambda text: dt.timedelta(seconds=float(text)), "a duration"),
    Kind.UUID: lambda kind: _parsed(kind, uuid.UUID, "a UUID"),
    Kind.ENUM: _enum,
    Kind.LITERAL: _literal,
    Kind.LIST: _list,
    Kind.MAP: _map,
    Kind.BYTES: _bytes,
    Kind.ANY: _anything,
}
