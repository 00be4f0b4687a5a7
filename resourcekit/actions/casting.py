"""Casts: functions that convert an input to the value that an attribute or argument stores, and check its constraints."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from resourcekit.actions.cast_error import CastError
from resourcekit.actions.spelling import Check, all_limits, spelled, spelling_of
from resourcekit.actions.structured_casts import embedded_cast, own_cast, tagged_cast
from resourcekit.declarations.limits import Limits
from resourcekit.declarations.value_type import JSON_VALUE, Kind, ValueType
from resourcekit.expressions.decimals import MOST_DIGITS, plain
from resourcekit.expressions.far import Far

__all__ = ["Cast", "CastError", "compile_cast", "unchanged_type"]

Cast = Callable[[Any], Any]


_EXACT = decimal.Context(prec=4 * MOST_DIGITS, traps=[decimal.Inexact, decimal.InvalidOperation])
_DEEPEST = 100
"""Greatest depth of nested JSON lists and mappings. Deeper input would exhaust the stack of a parser, so it is refused as an
attack.
"""


def compile_cast(kind: ValueType, constraints: Limits) -> Cast:
    """Return a function that returns its value cast and checked, or raises CastError.

    Text is parsed for every type that has one plain form as text (``"12"``, ``"2026-11-24"``), because requests carry text.
    Nothing else is converted, and nothing is rounded.
    """
    cast = _CASTS[kind.kind](kind)
    scales = [limits.scale for limits in all_limits(kind, constraints) if limits.scale is not None]
    if scales and kind.kind is Kind.DECIMAL:
        cast = _with_scale(cast, min(scales))
    checks = [check for limits in all_limits(kind, constraints) for check in _checks(limits, kind.basic.kind)]
    spellings = [spelling for limits in all_limits(kind, constraints) if (spelling := spelling_of(limits)) is not None]
    if spellings:
        return spelled(kind, cast, spellings, checks)
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


def unchanged_type(kind: ValueType, constraints: Limits) -> type | None:
    """Return the type whose values the cast returns as they are, so that it need not be called for them; ``None`` if there is none."""
    if any(_checks(limits, kind.kind) or spelling_of(limits) is not None for limits in all_limits(kind, constraints)):
        return None
    return {Kind.STRING: str, Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.UUID: uuid.UUID}.get(kind.kind)


_UNITS = {Kind.STRING: "character", Kind.BYTES: "byte"}


def _checks(limits: Limits, kind: Kind) -> list[Check]:
    checks: list[Check] = []
    low, high, least, most, pattern = limits.min_length, limits.max_length, limits.minimum, limits.maximum, limits.match

    def count_of(number: int) -> str:
        return f"{number} {_UNITS.get(kind, 'item')}{'' if number == 1 else 's'}"

    if low is not None:
        checks.append((lambda value: len(value) >= low, f"must have at least {count_of(low)}"))
    if high is not None:
        checks.append((lambda value: len(value) <= high, f"must have at most {count_of(high)}"))
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
        if isinstance(value, str):  # a subclass of str (a StrEnum's member): a record holds plain text on every store
            return str.__str__(value)
        msg = "must not be None" if value is None else "must be text"
        raise CastError(msg)

    return cast


def _parsed(kind: ValueType, parse: Callable[[str], Any], called: str) -> Cast:
    python = kind.python

    def cast(value: Any) -> Any:
        if isinstance(value, python):
            return value
        if isinstance(value, str) and "_" not in value:  # Python's parsers ignore "_" between digits
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


def _with_scale(cast: Cast, scale: int) -> Cast:
    """Return a cast that gives each number the same digits after the point, and refuses to lose any."""
    unit = decimal.Decimal((0, (1,), -scale))

    def cast_to_scale(value: Any) -> decimal.Decimal:
        try:
            whole: decimal.Decimal = cast(value).quantize(unit, context=_EXACT)
        except (decimal.Inexact, decimal.InvalidOperation):
            msg = f"must have at most {scale} digits after the point"
            raise CastError(msg) from None
        return whole

    return cast_to_scale


def _decimal(kind: ValueType) -> Cast:
    inner = _refuse_bool(_parsed(kind, decimal.Decimal, "a decimal number"), "a decimal number")

    def cast(value: Any) -> decimal.Decimal:
        if isinstance(value, float):
            msg = "must be a decimal number, not a float: give a Decimal or its text"
            raise CastError(msg)
        number: decimal.Decimal = inner(decimal.Decimal(value) if type(value) is int else value)
        if number.is_finite():
            try:
                return plain(number)
            except ValueError as error:
                raise CastError(str(error)) from None
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


_OUT_OF_YEARS = "must lie between the years 1 and 9999 in UTC"


def _datetime(kind: ValueType) -> Cast:
    inner = _parsed(kind, dt.datetime.fromisoformat, "a date and time")

    def cast(value: Any) -> dt.datetime:
        if type(value) is dt.datetime and value.tzinfo is dt.UTC:
            return value
        if isinstance(value, Far):
            raise CastError(_OUT_OF_YEARS)
        moment: dt.datetime = inner(value)
        if moment.utcoffset() is None:
            msg = "must have a time zone"
            raise CastError(msg)
        try:
            return moment.astimezone(dt.UTC)
        except OverflowError:
            raise CastError(_OUT_OF_YEARS) from None

    return cast


def _date(kind: ValueType) -> Cast:
    inner = _parsed(kind, dt.date.fromisoformat, "a date")

    def cast(value: Any) -> dt.date:
        if isinstance(value, dt.datetime):  # a subclass of date, with a time that would be lost
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
    """Accept a member, its value or its name. If a value is also another member's name, the value wins."""
    names = ", ".join(member.name for member in kind.options)

    def cast(value: Any) -> Any:
        if isinstance(value, kind.python):
            found = [member for member in kind.options if member is value]  # combined flags are not a member
        else:
            found = [member for member in kind.options if type(member.value) is type(value) and member.value == value]
            found += [member for member in kind.options if isinstance(value, str) and member.name == value]
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
    item = None if kind.item is None else compile_cast(kind.item, Limits())

    def cast(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            msg = "must be a list"
            raise CastError(msg)
        if item is None:
            return [_json(each) for each in value]
        return [each for _, each in _items(item, enumerate(value))]

    return cast


def _map(kind: ValueType) -> Cast:
    item = None if kind.item is None else compile_cast(kind.item, Limits())

    def cast(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            msg = "must be a mapping with text keys"
            raise CastError(msg)
        if item is None:  # the keys of free JSON are data, and do not appear in error messages
            return {key: _json(each) for key, each in value.items()}
        return dict(_items(item, value.items()))

    return cast


_MOST_FOUND = 20
"""Errors reported of one list or mapping. A caller who sends a million wrong items gets the first ones."""


def _items(cast: Cast, values: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Cast the items, each under its position or key. Raise CastError with all errors."""
    found: list[tuple[Any, Any]] = []
    errors: list[CastError] = []
    for step, value in values:
        try:
            found.append((step, cast(value)))
        except CastError as error:
            errors.append(error.inside(step))
            if len(errors) == _MOST_FOUND:
                break
    if errors:
        raise CastError.of(errors)
    return found


def _compiled(kind: ValueType) -> Cast:
    return compile_cast(kind, Limits())


def _anything(kind: ValueType) -> Cast:
    return _json if kind == JSON_VALUE else lambda value: value


def _json(value: Any, depth: int = 0) -> Any:
    """Copy a JSON value, so that the record shares no mutable value with the caller."""
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
    Kind.EMBEDDED: lambda kind: embedded_cast(kind, _compiled),
    Kind.UNION: lambda kind: tagged_cast(kind, _compiled),
    Kind.OWN: lambda kind: own_cast(kind, _compiled),
}
