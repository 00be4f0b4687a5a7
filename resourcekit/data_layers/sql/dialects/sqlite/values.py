"""Values in statements of SQLite: decimals and moments, which are text, and JSON.

Equality of decimals is an expression over built-in functions, because unique indexes contain it and other programs write the table.
Order, arithmetic and moments as numbers use Python functions of our connections. They take one argument, which some pack.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.json_text import json_by_value
from resourcekit.data_layers.sql.dialects.columns import Codec, Family, Form, decode_moment, encode_moment
from resourcekit.data_layers.sql.dialects.sqlite.codecs import decimal_of, moment_of, text_of_moment
from resourcekit.expressions.decimals import add, multiply, subtract
from resourcekit.signals import raised_by_signal

__all__ = [
    "FUNCTIONS",
    "called",
    "called_plainly",
    "computable",
    "decimal_sum",
    "decimal_total",
    "is_digits",
    "json_key",
    "rank",
    "same_digits",
    "sort_key",
    "stored",
    "watching",
]

_OFFSET = 5_000_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_BELOW, _ZERO, _ABOVE = "0", "1", "2"


def sort_key(number: Decimal) -> str:
    """Return the key of a number: text that sorts like the numbers.

    A number is ``0.d1d2d3... x 10^e`` without zeros at either end. Its key consists of a class (negative, zero, positive), the
    exponent in seven digits, and the digits. For negative numbers all digits are replaced by their complement to nine, and a
    final ``~`` makes the shorter key the larger one: -1.2 < -1.19.
    """
    sign, digits, exponent = number.as_tuple()
    if not number:
        return _ZERO
    text = "".join(map(str, digits)).lstrip("0")
    key = f"{int(exponent) + len(text) + _OFFSET:07d}{text.rstrip('0')}"
    return f"{_BELOW}{key.translate(_COMPLEMENT)}~" if sign else f"{_ABOVE}{key}"


Element = sa.ColumnElement[Any]
_JSON, _DECIMAL, _RANK, _SCALED = "resourcekit_json", "resourcekit_decimal", "resourcekit_rank", "resourcekit_scaled"
_MICROS, _MOMENT, _BOUND = "resourcekit_microseconds", "resourcekit_moment", "resourcekit_bound"
_TOTAL = "resourcekit_total"
_BEFORE, _AFTER = "", "~"
"""Texts that sort before and after the text of every datetime."""


def _call(name: str, argument: Element) -> Element:
    called: Element = getattr(sa.func, name)(argument, type_=sa.Text())
    return called


def _word(text: str) -> Element:
    return sa.literal_column(f"'{text}'", sa.Text())


def is_digits(codec: Codec) -> bool:
    """Return whether stored decimals may have more than one text for a number: those without a fixed scale."""
    return codec.family is Family.DECIMAL and codec.form is Form.TEXT and codec.scale is None


def same_digits(text: Element) -> Element:
    """Return the text of a decimal without zeros at its end."""
    short = sa.func.rtrim(sa.func.rtrim(text, _word("0")), _word("."))
    return sa.case((sa.func.instr(text, _word(".")) > sa.literal_column("0"), short), else_=text)


def rank(text: Element) -> Element:
    """Return a text that sorts like the number."""
    return _call(_RANK, text)


def json_key(json: Element) -> Element:
    """Return the JSON text in which equal values are equal."""
    return _call(_JSON, json)


def decimal_sum(op: str, left: Element, right: Element) -> Element:
    """Return the sum, difference or product of two decimals."""
    return _call(_DECIMAL, _word(op).op("||")(left).op("||")(sa.literal(" ")).op("||")(right))


def decimal_total(numbers: Element) -> Element:
    """Return the sum of the decimals of a group; NULL if it has none."""
    return _call(_TOTAL, sa.func.group_concat(numbers, _word(" ")))


def computable(element: Element, codec: Codec) -> Element:
    """Return a moment as microseconds, and a decimal that is stored as a whole number as text."""
    if codec.family is Family.MOMENT:
        called: Element = getattr(sa.func, _MICROS)(element, type_=sa.BigInteger())
        return called
    if codec.family is Family.DECIMAL:
        return _call(_SCALED, _word(f"{codec.scale} ").op("||")(sa.cast(element, sa.Text())))
    return element


def stored(element: Element, codec: Codec, *, assigned: bool) -> Element:
    """Return microseconds as the text of a moment."""
    return _call(_MOMENT if assigned else _BOUND, element) if codec.family is Family.MOMENT else element


def _rank(text: Any) -> str | None:
    return None if text is None else sort_key(decimal_of(text))


def _decimal_sum(packed: str | None) -> str | None:
    """Return a sum of decimals. packed: the operation, the first number, a space, the second number."""
    if packed is None:
        return None
    left, _, right = packed[1:].partition(" ")
    compute = {"+": add, "-": subtract, "*": multiply}[packed[0]]
    return f"{compute(decimal_of(left), decimal_of(right)):f}"


def _total(packed: str | None) -> str | None:
    """Return the sum of decimals with spaces between them."""
    return None if packed is None else f"{functools.reduce(add, map(decimal_of, packed.split())):f}"


def _scaled(packed: str | None) -> str | None:
    if packed is None:
        return None
    scale, _, number = packed.partition(" ")
    return f"{decimal_of(number).scaleb(-int(scale)):f}"


def _micros(text: str | None) -> int | None:
    return None if text is None else encode_moment(moment_of(text))


def _moment(number: int | None) -> str | None:
    return None if number is None else text_of_moment(decode_moment(number))


def _bound(number: int | None) -> str | None:
    if number is None:
        return None
    try:
        return text_of_moment(decode_moment(number))
    except OverflowError:
        return _AFTER if number > 0 else _BEFORE


FUNCTIONS = (
    (_JSON, json_by_value),
    (_DECIMAL, _decimal_sum),
    (_RANK, _rank),
    (_SCALED, _scaled),
    (_TOTAL, _total),
    (_MICROS, _micros),
    (_MOMENT, _moment),
    (_BOUND, _bound),
)
"""The functions that a connection gets, by name. Each has one argument."""

_FAILED = object()
"""A value that sqlite3 cannot give to SQLite: the statement fails, and the generator lives on."""


def called(callback_state: Any, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that keeps what a signal raises inside of ``function``, in ``callback_state.outside``."""
    steps = _steps(callback_state, function)
    next(steps)
    return steps.send


def watching(callback_state: Any) -> Callable[[], bool]:
    """Return the progress handler of a connection: it ends a statement that is late, or during which a signal raised."""
    return called_plainly(callback_state, callback_state.is_late)  # what is returned after a signal is true, too


def called_plainly(callback_state: Any, function: Callable[[], Any]) -> Callable[[], Any]:
    """Return the same for a function without an argument."""
    steps = _steps(callback_state, lambda _: function())
    next(steps)
    return steps.__next__


def _steps(callback_state: Any, function: Callable[[Any], Any]) -> Generator[Any, Any, None]:
    result: Any = None
    while True:
        try:
            while True:  # inside of the ``try``, for signals are handled at the jump, too
                value = yield result
                result = function(value)
        except GeneratorExit:
            return
        except BaseException as error:
            _keep(callback_state, error)
            result = _FAILED


def _keep(callback_state: Any, error: BaseException) -> None:
    """Keep an exception that a signal raised. Errors of the function itself are left to sqlite3."""
    if not isinstance(error, Exception) or raised_by_signal(error) is not None:
        callback_state.outside = error
