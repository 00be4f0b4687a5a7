"""Functions that expressions have over texts, numbers, dates and JSON, and that differ between databases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression

__all__ = [
    "DAY_US",
    "START_US",
    "DateFunctions",
    "Functions",
    "JSONFunctions",
    "divided",
    "json_path",
    "text_literal",
    "toward_floor",
]

DAY_US = 86_400_000_000
START_US = 62_135_596_800_000_000
"""Microseconds from the first day of the year 1 to that of 1970."""


class DateFunctions:
    """Functions over dates. Each database has its own.

    All of it is computed from two numbers: the days and the microseconds since the first day of the year 1, a Monday. They are never
    negative, so a division rounds down everywhere.
    """

    @abstractmethod
    def split(self, number: Element, size: int) -> tuple[Element, Element]:
        """Return quotient and rest of a whole number that is not negative."""

    @abstractmethod
    def days_of(self, date: Element) -> Element:
        """Return the days from the first day of the year 1 to a date."""

    @abstractmethod
    def date_of(self, days: Element, *, is_text: bool) -> Element:
        """Return the date of a number of days. is_text: as a column holds it that stores dates as text."""

    @abstractmethod
    def calendar(self, part: str, days: Element) -> Element:
        """Return the year, the month, the day, or the day of the year (``doy``) of a number of days."""

    @abstractmethod
    def seconds_of(self, time: Element) -> Element:
        """Return the whole seconds from midnight to a time of day."""


Element = sa.ColumnElement[Any]
_CLOSEST = 20
"""A precedence above that of all signs of SQLAlchemy."""

_ZERO: Any = sa.literal_column("0")


def toward_floor(quotient: Element, rest: Element, divisor: Element) -> tuple[Element, Element]:
    """Return quotient and rest of a division that rounds down, from those of one that rounds toward zero."""
    is_above = sa.or_(
        sa.and_(rest < _ZERO, divisor > _ZERO),
        sa.and_(rest > _ZERO, divisor < _ZERO),
    )
    down: Element = sa.case((is_above, quotient.op("-")(sa.literal_column("1"))), else_=quotient)
    left: Element = sa.case((is_above, rest.op("+")(divisor)), else_=rest)
    return down, left


def divided(sign: str, left: Element, right: Element) -> Element:
    """Return a division whose sides are in parentheses, unless they are one value."""
    return left.op(sign, precedence=_CLOSEST)(right)


class Functions:
    """Functions over texts and numbers, in the form that most databases have them."""

    def text_lower(self, text: Element) -> Element:
        """Return a text with ASCII letters in lower case."""
        return sa.func.lower(text, type_=sa.Text())

    def text_upper(self, text: Element) -> Element:
        """Return a text with ASCII letters in upper case."""
        return sa.func.upper(text, type_=sa.Text())

    def text_trim(self, text: Element) -> Element:
        """Return a text without spaces at both ends."""
        return sa.func.trim(text, type_=sa.Text())

    def quotient(self, left: Element, right: Element) -> Element:
        """Return the quotient of two floats; NULL for a division by zero."""
        return divided("/", left, sa.func.nullif(right, sa.literal_column("0e0")))

    def floor_division(self, left: Element, right: Element) -> tuple[Element, Element]:
        """Return quotient and rest of two whole numbers, rounded down; NULL for a division by zero."""
        raise UnsupportedExpression("the database has no division of whole numbers")

    def decimal_division(self, left: Element, right: Element) -> tuple[Element, Element]:
        """Return quotient and rest of two decimals, rounded down; NULL for a division by zero."""
        raise UnsupportedExpression("the database cannot compute decimals exactly")

    def decimal_rounded(self, number: Element, places: int) -> Element:
        """Return a decimal with so many digits after the point; a half goes to the even neighbour."""
        raise UnsupportedExpression("the database cannot compute decimals exactly")

    def to_even(self, number: Element) -> Element:
        """Return the nearest whole number of a float, as a float; a half goes to the even neighbour."""
        return sa.func.round(number, type_=sa.Double())


def text_literal(text: object) -> Element:
    """Return a text of this library, without quotes, as a literal."""
    return sa.literal_column(f"'{text}'", sa.Text)


def json_path(steps: Sequence[str | int]) -> Element:
    """Return a path as SQLite and MariaDB write it. Keys have no quotes and no backslashes (``expressions.measures``)."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)
    return sa.literal_column(f"'${text}'", sa.Text)


class JSONFunctions:
    """Functions over JSON. Each database has its own."""

    if TYPE_CHECKING:

        def json_key(self, json: Element) -> Element:
            """Return an expression for comparing JSON, as TextFunctions has it."""
            ...

    @abstractmethod
    def json_or_none(self, json: Element) -> Element:
        """Return a stored value, NULL for the JSON value ``null``, which other programs write for ``None``."""

    @abstractmethod
    def json_list(self, json: Element) -> Element:
        """Return a list, NULL for each other value: functions over lists fail for it, and with them the statement."""

    @abstractmethod
    def json_length(self, json: Element) -> Element:
        """Return the number of items of a list."""

    @abstractmethod
    def json_at(self, json: Element, steps: Sequence[str | int], form: str) -> Element:
        """Return a part of a value, NULL if it is missing or has another form: text, number, or bool (as 0 or 1).

        form: ``"any"`` for an expression that is NULL only if the part is missing or null.
        """

    @abstractmethod
    def json_items(self, json: Element) -> tuple[sa.FromClause, Element]:
        """Return the items of a list as a table, and its column, which is JSON."""

    def json_item(self, text: Element) -> Element:
        """Return the JSON that a text holds, to be compared with an item."""
        return text

    def json_contains(self, json: Element, text: Element) -> Element:
        """Return the test that a list has an item. text: the item as JSON text."""
        items, item = self.json_items(json)
        found: sa.Select[Any] = (
            sa.select(sa.literal_column("1")).select_from(items).where(self.json_key(item) == self.json_key(self.json_item(text)))
        )
        return sa.exists(found.correlate_except(items))
