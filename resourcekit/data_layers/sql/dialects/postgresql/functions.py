"""Functions over texts, numbers, dates and JSON in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from resourcekit.data_layers.sql.dialects.functions import DateFunctions, Functions, JSONFunctions, text_literal, toward_floor

__all__ = [
    "PostgresDates",
    "PostgresFunctions",
    "PostgresJSON",
]

_FIRST: Any = sa.literal_column("date '0001-01-01'", sa.Date())


def _date(days: Element) -> Any:
    return _FIRST.op("+")(sa.cast(days, sa.Integer()))


class PostgresDates(DateFunctions):
    """Functions over dates as PostgreSQL has them."""

    def split(self, number: Element, size: int) -> tuple[Element, Element]:
        whole, by = sa.cast(number, sa.Numeric()), sa.literal_column(f"{size}::numeric", sa.Numeric())
        return sa.func.div(whole, by, type_=sa.Numeric()), sa.func.mod(whole, by, type_=sa.Numeric())

    def days_of(self, date: Element) -> Element:
        days: Element = sa.cast(date, sa.Date()).op("-")(_FIRST)
        return sa.type_coerce(days, sa.Integer())

    def date_of(self, days: Element, *, is_text: bool) -> Element:
        found: Element = _date(days)
        return sa.collate(sa.func.to_char(found, sa.literal_column("'YYYY-MM-DD'"), type_=sa.Text()), "C") if is_text else found

    def calendar(self, part: str, days: Element) -> Element:
        return sa.type_coerce(sa.func.date_part(sa.literal_column(f"'{part}'"), _date(days)), sa.Integer())

    def seconds_of(self, time: Element) -> Element:
        return sa.func.trunc(sa.extract("epoch", sa.cast(time, sa.Time())), type_=sa.Numeric())


Element = sa.ColumnElement[Any]
_ZERO: Any = sa.literal_column("0")


def _numeric(text: str) -> Element:
    return sa.literal_column(f"{text}::numeric", sa.Numeric())


class PostgresFunctions(PostgresDates, Functions):
    """Functions over texts and numbers as PostgreSQL has them."""

    def text_lower(self, text: Element) -> Element:
        """Return a text in lower case by the rules of the collation "C", which change ASCII letters only."""
        return sa.func.lower(sa.collate(text, "C"), type_=sa.Text())

    def text_upper(self, text: Element) -> Element:
        return sa.func.upper(sa.collate(text, "C"), type_=sa.Text())

    def floor_division(self, left: Element, right: Element) -> tuple[Element, Element]:
        """Return quotient and rest as ``numeric``, which has no limit of 64 bits."""
        return self.decimal_division(sa.cast(left, sa.Numeric()), sa.cast(right, sa.Numeric()))

    def decimal_division(self, left: Element, right: Element) -> tuple[Element, Element]:
        divisor = sa.func.nullif(right, _ZERO)
        return toward_floor(sa.func.div(left, divisor), sa.func.mod(left, divisor), right)

    def decimal_rounded(self, number: Element, places: int) -> Element:
        """Return a decimal that is cut, and one unit of the last digit more if what was cut asks for it."""
        one, half, scale = _numeric(f"1e-{places}"), _numeric(f"5e-{places + 1}"), _numeric(f"1e{places}")
        short = sa.func.trunc(number, sa.literal_column(str(places)))
        cut = sa.func.abs(number.op("-")(short))
        is_odd = sa.func.mod(sa.func.abs(short.op("*")(scale)), sa.literal_column("2")) == sa.literal_column("1")
        is_up = sa.or_(cut > half, sa.and_(cut == half, is_odd))
        return sa.case((is_up, short.op("+")(sa.func.sign(number).op("*")(one))), else_=short)


_JSON_TYPES = {"text": "string", "number": "number", "bool": "boolean"}


class PostgresJSON(JSONFunctions):
    """Functions over JSON as PostgreSQL has them."""

    def json_or_none(self, json: Element) -> Element:
        """Return a stored value, NULL for ``null``."""
        return sa.func.nullif(json, text_literal("null"), type_=json.type)

    def json_list(self, json: Element) -> Element:
        """Return a list, NULL for each other value."""
        return sa.case((sa.func.jsonb_typeof(json) == text_literal("array"), json))

    def json_length(self, json: Element) -> Element:
        """Return the number of items of a list."""
        return sa.func.jsonb_array_length(self.json_list(json))

    def json_at(self, json: Element, steps: Sequence[str | int], form: str) -> Element:
        """Return a part of a value. Text has the collation of text columns."""
        part = sa.func.jsonb_extract_path(json, *map(text_literal, steps))
        text = sa.func.jsonb_extract_path_text(json, *map(text_literal, steps))
        if form == "any":
            return text
        values = {
            "text": sa.collate(text, "C"),
            "number": sa.cast(text, sa.Numeric),
            "bool": sa.cast(sa.cast(text, sa.Boolean), sa.Integer),
        }
        return sa.case((sa.func.jsonb_typeof(part) == text_literal(_JSON_TYPES[form]), values[form]))

    def json_items(self, json: Element) -> tuple[sa.FromClause, Element]:
        """Return the items of a list."""
        items = sa.func.jsonb_array_elements(self.json_list(json)).table_valued(sa.column("value", JSONB), name="items")
        return items, items.c.value

    def json_item(self, text: Element) -> Element:
        """Return the JSON that a text holds."""
        return sa.cast(text, JSONB)
