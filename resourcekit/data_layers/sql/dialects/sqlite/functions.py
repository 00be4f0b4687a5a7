"""Functions over texts, numbers, dates and JSON in SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.columns import Codec, Family, Form
from resourcekit.data_layers.sql.dialects.functions import (
    DateFunctions,
    Functions,
    JSONFunctions,
    divided,
    json_path,
    text_literal,
    toward_floor,
)
from resourcekit.data_layers.sql.dialects.sqlite.codecs import decimal_of
from resourcekit.expressions.computable import FUNCTIONS
from resourcekit.expressions.decimals import rounded

__all__ = [
    "CALLED",
    "SQLiteDates",
    "SQLiteFunctions",
    "SQLiteJSON",
]

_FORMATS = {"year": "%Y", "month": "%m", "day": "%d", "doy": "%j"}
_DAY, _START = sa.literal_column("86400", sa.BigInteger()), sa.literal_column("62135596800", sa.BigInteger())
_JULIAN: Any = sa.literal_column("1721425.5", sa.Double())
"""The Julian day number of the first day of the year 1."""


class SQLiteDates(DateFunctions):
    """Functions over dates as SQLite has them."""

    def split(self, number: Element, size: int) -> tuple[Element, Element]:
        by: Any = sa.literal_column(str(size))
        return divided("/", number, by), divided("%", number, by)

    def days_of(self, date: Element) -> Element:
        return sa.cast(sa.func.julianday(date, type_=sa.Double()) - _JULIAN, sa.BigInteger())

    def date_of(self, days: Element, *, is_text: bool) -> Element:
        del is_text
        return sa.func.date(days.op("*")(_DAY).op("-")(_START), text_literal("unixepoch"), type_=sa.Text())

    def calendar(self, part: str, days: Element) -> Element:
        seconds = days.op("*")(_DAY).op("-")(_START)
        return sa.cast(sa.func.strftime(text_literal(_FORMATS[part]), seconds, text_literal("unixepoch")), sa.BigInteger())

    def seconds_of(self, time: Element) -> Element:
        total: Any = None
        for place, size in ((1, 3600), (4, 60), (7, 1)):
            digits = sa.func.substr(time, sa.literal_column(str(place)), sa.literal_column("2"))
            part = sa.cast(digits, sa.BigInteger()).op("*")(sa.literal_column(str(size)))
            total = part if total is None else total.op("+")(part)
        return total  # type: ignore[no-any-return]  # a sum


Element = sa.ColumnElement[Any]
_TO_EVEN, _DECIMALS = "resourcekit_to_even", "resourcekit_decimals"


class SQLiteFunctions(SQLiteDates, Functions):
    """Functions over texts and numbers as SQLite has them. ``lower`` and ``upper`` change ASCII letters only."""

    def floor_division(self, left: Element, right: Element) -> tuple[Element, Element]:
        return toward_floor(divided("/", left, right), divided("%", left, right), right)

    def decimal_division(self, left: Element, right: Element) -> tuple[Element, Element]:
        return _of_decimals("//", left, right), _of_decimals("%", left, right)

    def decimal_rounded(self, number: Element, places: int) -> Element:
        return _of_decimals(f"r{places}", number, number)

    def to_even(self, number: Element) -> Element:
        """Return a call of a function of this library, because SQLite rounds a half away from zero."""
        called: Element = getattr(sa.func, _TO_EVEN)(number, type_=sa.Double())
        return called


def _of_decimals(what: str, left: Element, right: Element) -> Element:
    packed = sa.literal_column(f"'{what} '", sa.Text()).op("||")(left).op("||")(sa.literal(" ")).op("||")(right)
    called: Element = getattr(sa.func, _DECIMALS)(packed, type_=sa.Text())
    return called


def _decimals(packed: str | None) -> str | None:
    """Return a quotient, a rest or a rounded decimal. packed: what to compute, a space, the first number, a space, the second number."""
    if packed is None:
        return None
    what, _, numbers = packed.partition(" ")
    left, right = map(decimal_of, numbers.split(" "))
    if what[0] == "r":
        return f"{rounded(left, int(what[1:])):f}"
    found: Decimal | None = FUNCTIONS[what](left, right)
    return None if found is None else f"{found:f}"


def _to_even(number: float | None) -> float | None:
    return None if number is None else float(round(number))


CALLED: Mapping[str, Callable[[Any], Any]] = {_TO_EVEN: _to_even, _DECIMALS: _decimals}
"""Functions of this library that statements call, by name. Each has one argument."""

_JSON_TYPES = {"text": ("text",), "number": ("integer", "real"), "bool": ("true", "false")}


def _valid(json: Element) -> Element:
    """Return JSON, NULL for text that is none, for which each function over JSON fails."""
    return sa.case((sa.func.json_valid(json) == sa.literal_column("1"), json))


_SPACES: Element = sa.literal_column("char(9, 10, 13, 32)")
"""The characters that JSON may have around a value."""


class SQLiteJSON(JSONFunctions):
    """Functions over JSON as SQLite has them."""

    def json_or_none(self, json: Element) -> Element:
        """Return a stored value, NULL for ``null``."""
        return sa.case((sa.func.trim(json, _SPACES) == text_literal("null"), sa.null()), else_=json)

    def json_list(self, json: Element) -> Element:
        """Return a list, NULL for each other value, and for text that is no JSON."""
        return sa.case((sa.func.json_type(_valid(json)) == text_literal("array"), json))

    def json_length(self, json: Element) -> Element:
        """Return the number of items of a list."""
        return sa.func.json_array_length(self.json_list(json))

    def json_at(self, json: Element, steps: Sequence[str | int], form: str) -> Element:
        """Return a part of a value."""
        path, json = json_path(steps), _valid(json)
        kind = sa.func.json_type(json, path)
        if form == "any":
            return sa.func.nullif(kind, text_literal("null"))
        value: Element = sa.func.json_extract(json, path)
        return sa.case((kind.in_(list(map(text_literal, _JSON_TYPES[form]))), value))

    def json_items(self, json: Element) -> tuple[sa.FromClause, Element]:
        """Return the items of a list. json_each gives texts without quotes, and bools as numbers."""
        items = sa.func.json_each(self.json_list(json)).table_valued("value", "type", name="items")
        kind, value = items.c.type, items.c.value
        plain = [(kind == text_literal(name), text_literal(name)) for name in ("true", "false", "null")]
        return items, sa.case(*plain, (kind == text_literal("text"), sa.func.json_quote(value)), else_=sa.cast(value, sa.Text))

    def sends_whole(self, codec: Codec) -> bool:
        """Return whether the stored forms are numbers or texts, which a JSON text can hold exactly."""
        return codec.form in (Form.INTEGER, Form.TEXT) and codec.family in (Family.NUMBER, Family.TEXT, Family.UUID)

    def whole(self, items: list[Any]) -> Any:
        """Return the items as JSON."""
        return json.dumps(items, ensure_ascii=False)

    def among(self, column: Element, key: str) -> Element:
        """Return the test over the items of a JSON text."""
        items = sa.func.json_each(sa.bindparam(key, type_=sa.Text())).table_valued("value", name=f"each_{key}")
        return column.in_(sa.select(items.c.value))
