"""Functions over texts, numbers and times as methods of every operand, and what they mean in Python.

A maintainer opens it to add a function: a method here, its meaning in ``FUNCTIONS``, its types in ``actions/families``, and its
SQL in ``data_layers/sql/compile/called``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, get_args

from resourcekit.errors import FieldFinding, InvalidArgument, Misuse
from resourcekit.expressions import decimals
from resourcekit.expressions.calls import checked_methods
from resourcekit.known_names import KnownNames

__all__ = ["FUNCTIONS", "MOST_PLACES", "WHOLE", "Computable"]

E_co = TypeVar("E_co", covariant=True)

Unit = Literal["year", "month", "week", "day", "hour", "minute", "second"]
"""A unit of time to which a moment is cut."""

MOST_PLACES = 15
"""Most digits after the point that ``round`` keeps: a float has no more that count."""

WHOLE = 2.0**52
"""A float of this size or more has no fraction."""


_INSTEAD = {
    "any_": "Write in_([...]).",
    "between": "Write (a <= x) & (x <= b).",
    "endswith": "Write ends_with(...).",
    "icontains": "Write x.lower().contains(...).",
    "ilike": "Write x.lower().like(...).",
    "is_": "Write x == value, or is_none().",
    "is_in": "Write in_([...]).",
    "is_not": "Write x != value, or ~x.is_none().",
    "isin": "Write in_([...]).",
    "isnull": "Write is_none().",
    "not_in": "Write ~x.in_([...]).",
    "startswith": "Write starts_with(...).",
    "strip": "Write trim().",
}
"""Names of other query languages, and of texts in Python."""


@checked_methods(without=("abs", "call"))
class Computable(KnownNames, Generic[E_co]):
    """Base of operands with methods that compute a value; each builds an expression, of the type E_co."""

    __slots__ = ()
    __instead__ = _INSTEAD

    @abstractmethod
    def call(self, function: str, *others: object, facts: tuple[Any, ...] = (), is_right: bool = False) -> E_co:
        """Build the call of a function of this operand and others. is_right: this operand is the last one."""

    def is_distinct_from(self, other: object) -> E_co:
        """Build the condition "differs from", in which ``None`` is a value like others; the same as ``!=``."""
        return self != other  # type: ignore[return-value]  # operands build an expression

    def lower(self) -> E_co:
        """Build the text with ASCII letters in lower case; other letters stay, because databases fold them differently."""
        return self.call("lower")

    def upper(self) -> E_co:
        """Build the text with ASCII letters in upper case; other letters stay."""
        return self.call("upper")

    def trim(self) -> E_co:
        """Build the text without spaces at both ends."""
        return self.call("trim")

    def round(self, places: int = 0, /) -> E_co:
        """Build the number with so many digits after the point. A half goes to the even neighbour.

        Raises:
            InvalidArgument: places is not a whole number from 0 to 15.
        """
        if not _is_count(places) or not 0 <= places <= MOST_PLACES:
            raise InvalidArgument(
                FieldFinding("", f"round takes a whole number of digits from 0 to {MOST_PLACES}, not {places!r}")
            )
        return self.call("round", facts=(places,))

    def year(self) -> E_co:
        """Build the year of a date or a moment, in UTC as all parts of moments."""
        return self.call("year")

    def month(self) -> E_co:
        """Build the month, from 1 to 12."""
        return self.call("month")

    def day(self) -> E_co:
        """Build the day of the month, from 1."""
        return self.call("day")

    def weekday(self) -> E_co:
        """Build the day of the week: 0 for Monday, 6 for Sunday."""
        return self.call("weekday")

    def hour(self) -> E_co:
        """Build the hour of a moment or a time of day."""
        return self.call("hour")

    def minute(self) -> E_co:
        """Build the minute."""
        return self.call("minute")

    def second(self) -> E_co:
        """Build the second, without its fraction."""
        return self.call("second")

    def truncate(self, unit: Unit, /) -> E_co:
        """Build the first moment, in UTC, of the unit of time; of a date the first day. A week begins on Monday.

        Raises:
            InvalidArgument: There is no such unit.
        """
        if unit not in get_args(Unit):
            known = ", ".join(map(repr, get_args(Unit)))
            raise InvalidArgument(FieldFinding("", f"truncate takes one of {known}, not {unit!r}"))
        return self.call("truncate", facts=(unit,))

    def __truediv__(self, other: object) -> E_co:
        """Build the quotient of two numbers as a float; ``None`` if one is ``None`` or the divisor is zero."""
        return self.call("/", other)

    def __rtruediv__(self, other: object) -> E_co:
        """Build a quotient whose dividend is a value."""
        return self.call("/", other, is_right=True)

    def __floordiv__(self, other: object) -> E_co:
        """Build the quotient of whole numbers or decimals, rounded down as in Python; ``None`` if the divisor is zero."""
        return self.call("//", other)

    def __rfloordiv__(self, other: object) -> E_co:
        """Build a quotient, rounded down, whose dividend is a value."""
        return self.call("//", other, is_right=True)

    def __mod__(self, other: object) -> E_co:
        """Build what ``//`` leaves, with the sign of the divisor as in Python; ``None`` if the divisor is zero."""
        return self.call("%", other)

    def __rmod__(self, other: object) -> E_co:
        """Build what ``//`` leaves of a value."""
        return self.call("%", other, is_right=True)

    @abstractmethod
    def abs(self) -> E_co:
        """Build the value without its sign."""

    def __abs__(self) -> E_co:
        """Build the value without its sign, for ``abs(Order.price)``."""
        return self.abs()

    def __round__(self, places: int = 0, /) -> E_co:
        """Build the rounded number, for ``round(Order.price, 2)``."""
        return self.round(places)

    if not TYPE_CHECKING:  # type checkers refuse these anyway

        def __iter__(self) -> NoReturn:
            """Raise Misuse: the value is known only in the store. Python asks for this in a loop, and for ``in``."""
            raise Misuse("an expression holds no values; write text.contains(part), items.contains(item), or run a query")

        def __contains__(self, part: object) -> NoReturn:
            """Raise Misuse: the value is known only in the store."""
            raise Misuse("an expression holds no values; write text.contains(part), items.contains(item), or run a query")

        def __int__(self) -> NoReturn:
            """Raise Misuse: the value is known only in the store."""
            raise Misuse("an expression is no number in Python; read the attribute of a record, or use the expression in a query")

        __float__ = __int__

        def __len__(self) -> NoReturn:
            """Raise Misuse: the length is known only in the store."""
            raise Misuse("an expression has no length in Python; write .length()")

        def __rand__(self, other: object) -> NoReturn:
            """Raise Misuse: ``&`` and ``|`` bind more tightly than comparisons."""
            raise Misuse("& and | join conditions, and bind more tightly than comparisons: write (a > 1) & (b == 2)")

        __ror__ = __rand__

    def __pow__(self, other: object) -> NoReturn:
        """Raise Misuse: databases compute powers in different ways."""
        raise Misuse("an expression has no power; multiply, or compute it in Python")

    __rpow__ = __pow__


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
_LOWER = {upper: lower for lower, upper in _UPPER.items()}


def _lower(text: str) -> str:
    return text.translate(_LOWER)


def _upper(text: str) -> str:
    return text.translate(_UPPER)


def _trim(text: str) -> str:
    return text.strip(" ")


def _divide(left: Any, right: Any) -> float | None:
    return float(left) / float(right) if right else None


def _floor_divide(left: Any, right: Any) -> Any:
    if not right:
        return None
    return decimals.floor_divide(left, right) if isinstance(left, Decimal) or isinstance(right, Decimal) else left // right


def _modulo(left: Any, right: Any) -> Any:
    if not right:
        return None
    return decimals.modulo(left, right) if isinstance(left, Decimal) or isinstance(right, Decimal) else left % right


def _round(number: Any, places: int) -> Any:
    if isinstance(number, int):
        return number
    if isinstance(number, Decimal):
        return decimals.rounded(number, places)
    scale = 10.0**places
    # As databases compute it, from the scaled number. Adding nought turns -0.0 to 0.0.
    return round(number * scale) / scale + 0.0 if abs(number) < WHOLE / scale else number


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "lower": _lower,
    "upper": _upper,
    "trim": _trim,
    "/": _divide,
    "//": _floor_divide,
    "%": _modulo,
    "round": _round,
}
"""The functions in Python. Each takes the values, none of them ``None``, and then the facts of the call."""
