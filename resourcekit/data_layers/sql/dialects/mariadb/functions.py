"""Functions over texts, numbers, dates and JSON in MariaDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.functions import (
    DateFunctions,
    Functions,
    JSONFunctions,
    divided,
    json_path,
    text_literal,
    toward_floor,
)
from resourcekit.data_layers.sql.dialects.mariadb import sessions

__all__ = [
    "MariaDates",
    "MariaFunctions",
    "MariaJSON",
]

_FIRST: Any = sa.literal_column("366", sa.BigInteger())
"""The number that MariaDB gives the first day of the year 1."""

_PARTS = {"year": "year", "month": "month", "day": "dayofmonth", "doy": "dayofyear"}


def _date(days: Element) -> Any:
    return sa.func.from_days(days.op("+")(_FIRST), type_=sa.Date())


class MariaDates(DateFunctions):
    """Functions over dates as MariaDB has them."""

    def split(self, number: Element, size: int) -> tuple[Element, Element]:
        by: Any = sa.literal_column(str(size))
        return divided("DIV", number, by), sa.func.mod(number, by, type_=sa.BigInteger())

    def days_of(self, date: Element) -> Element:
        days: Element = sa.func.to_days(date).op("-")(_FIRST)
        return sa.type_coerce(days, sa.BigInteger())

    def date_of(self, days: Element, *, is_text: bool) -> Element:
        found: Element = _date(days)
        return sa.collate(sa.cast(found, sa.CHAR()), sessions.COLLATION) if is_text else found

    def calendar(self, part: str, days: Element) -> Element:
        found: Element = getattr(sa.func, _PARTS[part])(_date(days), type_=sa.BigInteger())
        return found

    def seconds_of(self, time: Element) -> Element:
        return sa.func.truncate(sa.func.time_to_sec(time), sa.literal_column("0"), type_=sa.BigInteger())


Element = sa.ColumnElement[Any]
_WIDE = sa.Numeric(65, 0)
_ONE_CASE = "tis620"
"""A character set of one byte for each character. It folds ASCII letters, and has no other letters with case."""


def _using(value: Element, charset: str) -> Element:
    converted: Element = sa.func.convert(value.op("USING")(sa.literal_column(charset)))
    return converted


def _folded(function: str, text: Element) -> Element:
    """Return a text whose ASCII letters are folded: its bytes are, as those of a character set without other case."""
    single = _using(sa.cast(text, sa.LargeBinary()), _ONE_CASE)
    folded = _using(sa.cast(getattr(sa.func, function)(single), sa.LargeBinary()), "utf8mb4")
    return sa.collate(sa.type_coerce(folded, sa.Text()), sessions.COLLATION)


class MariaFunctions(MariaDates, Functions):
    """Functions over texts and numbers as MariaDB has them."""

    def text_lower(self, text: Element) -> Element:
        return _folded("lower", text)

    def text_upper(self, text: Element) -> Element:
        return _folded("upper", text)

    def floor_division(self, left: Element, right: Element) -> tuple[Element, Element]:
        """Return quotient and rest as decimals without fraction, which may exceed 64 bits."""
        left, right = sa.cast(left, _WIDE), sa.cast(right, _WIDE)
        divisor = sa.func.nullif(right, sa.literal_column("0"))
        rest: Element = sa.func.mod(left, divisor)
        return toward_floor(sa.cast(divided("/", left.op("-")(rest), divisor), _WIDE), rest, right)


_JSON_TYPES = {"text": ("STRING",), "number": ("INTEGER", "DOUBLE"), "bool": ("BOOLEAN",)}


def _valid(json: Element) -> Element:
    """Return JSON, NULL for text that is none: a column without a check may hold it, and an UPDATE or DELETE that meets it fails."""
    return sa.case((sa.func.json_valid(json) == sa.literal_column("1"), json))


class MariaJSON(JSONFunctions):
    """Functions over JSON as MariaDB has them."""

    def json_or_none(self, json: Element) -> Element:
        """Return a stored value, NULL for ``null``."""
        return sa.case((sa.func.json_type(_valid(json)) == text_literal("NULL"), sa.null()), else_=json)

    def json_list(self, json: Element) -> Element:
        """Return a list, NULL for each other value."""
        return sa.case((sa.func.json_type(_valid(json)) == text_literal("ARRAY"), json))

    def json_length(self, json: Element) -> Element:
        """Return the number of items of a list."""
        return sa.func.json_length(self.json_list(json))

    def json_at(self, json: Element, steps: Sequence[str | int], form: str) -> Element:
        """Return a part of a value. Text has the collation of text columns, in which trailing spaces count."""
        path = json_path(steps)
        kind = sa.func.json_type(sa.func.json_extract(json, path))
        if form == "any":
            return sa.func.nullif(kind, text_literal("NULL"))
        text = sa.func.json_value(json, path)
        values = {
            "text": sa.collate(text, "utf8mb4_nopad_bin"),
            "number": sa.type_coerce(text, sa.Numeric) + sa.literal_column("0e0", sa.Numeric),
            "bool": sa.cast(text, sa.Integer),
        }
        return sa.case((kind.in_(list(map(text_literal, _JSON_TYPES[form]))), values[form]))

    def json_items(self, json: Element) -> tuple[sa.FromClause, Element]:
        """Return the items of a list."""
        columns: Element = sa.literal_column("'$[*]' COLUMNS (item JSON PATH '$')")
        items = sa.func.json_table(self.json_list(json), columns).table_valued("item", name="items")
        return items, items.c.item
