"""Values in statements of PostgreSQL: decimals, and moments and durations as microseconds."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from resourcekit.data_layers.sql.dialects.base import Place
from resourcekit.data_layers.sql.dialects.columns import Codec, Family, Form

__all__ = ["PostgresValues", "Untyped"]


class Untyped(sa.types.UserDefinedType[Any]):
    """A type that no cast names, so that the server gives a parameter the type of the column: text, or an enum."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type that the column would have in a table of resourcekit."""
        return "text"


Element = sa.ColumnElement[Any]
_SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_HOUR = sa.literal_column("3600000000", sa.Numeric())
_DAY = sa.literal_column("86400000000", sa.Numeric())
_SECOND = sa.literal_column("1000000.0", sa.Numeric())
_FIRST = sa.literal_column("-62135596800000000", sa.Numeric())
_LAST = sa.literal_column("253402300799999999", sa.Numeric())
_TYPES: Mapping[Form, Any] = {
    Form.TEXT: functools.partial(sa.Text, collation="C"),
    Form.INTEGER: sa.BigInteger,
    Form.REAL: sa.Double,
    Form.BLOB: sa.LargeBinary,
    Form.BOOLEAN: sa.Boolean,
    Form.NUMBER: sa.Numeric,
    Form.UUID: sa.Uuid,
    Form.MOMENT: functools.partial(postgresql.TIMESTAMP, timezone=True),
    Form.DATE: sa.Date,
    Form.TIME: sa.Time,
    Form.SPAN: postgresql.INTERVAL,
    Form.JSON: postgresql.JSONB,
    Form.OPTION: Untyped,
}


class PostgresValues:
    """Types of columns, and values in statements."""

    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        """Return the type of a column."""
        made: sa.types.TypeEngine[Any] = _TYPES[place.form]()
        return made

    def decimal_sum(self, op: str, left: Element, right: Element) -> Element:
        """Return the sum, difference or product of two decimals."""
        total: Element = _SUMS[op](sa.cast(left, sa.Numeric()), sa.cast(right, sa.Numeric()))
        return total

    def computable(self, stored: Element, codec: Codec) -> Element:
        """Return a moment or an interval as microseconds, a bool as 0 or 1, and a decimal that is stored as a whole number as it is."""
        if codec.form in (Form.MOMENT, Form.SPAN):
            kind: Any = postgresql.TIMESTAMP(timezone=True) if codec.form is Form.MOMENT else postgresql.INTERVAL()
            seconds: Any = sa.type_coerce(sa.extract("epoch", sa.cast(stored, kind)), sa.Numeric())
            microseconds: Element = seconds * sa.literal_column("1000000", sa.Numeric())
            return microseconds
        if codec.form is Form.BOOLEAN:
            return sa.cast(stored, sa.Integer())
        if codec.family is Family.DECIMAL and codec.form is Form.INTEGER:
            return sa.cast(stored, sa.Numeric()) * sa.literal_column(f"1e-{codec.scale}::numeric", sa.Numeric())
        return stored

    def stored(self, computed: Element, codec: Codec, *, assigned: bool) -> Element:
        """Return microseconds as a moment or an interval, and a number as a bool."""
        if codec.form is Form.BOOLEAN:
            return computed != sa.literal_column("0")
        if codec.form not in (Form.MOMENT, Form.SPAN):
            return computed
        number = sa.cast(computed, sa.Numeric())
        if codec.form is Form.SPAN:  # hours alone would exceed 32 bits
            days = sa.cast(sa.func.div(number, _DAY), sa.Integer())
            rest: Element = sa.cast(sa.func.mod(number, _DAY) / _SECOND, sa.Double())
            parts = [*map(sa.literal_column, "000"), days, *map(sa.literal_column, "00"), rest]
            made: Element = sa.func.make_interval(*parts)
            return made
        hours = sa.cast(sa.func.div(number, _HOUR), sa.Integer())
        seconds: Element = sa.cast(sa.func.mod(number, _HOUR) / _SECOND, sa.Double())
        # Not by days: those of a time zone with summer time have 23 to 25 hours.
        span: Any = sa.func.make_interval(*map(sa.literal_column, "0000"), hours, sa.literal_column("0"), seconds)
        moment: Any = sa.literal_column("timestamptz 'epoch'").op("+")(span)
        if assigned:
            return moment  # type: ignore[no-any-return]  # an expression
        first: Element = sa.literal_column("timestamptz '-infinity'")
        last: Element = sa.literal_column("timestamptz 'infinity'")
        return sa.case((number < _FIRST, first), (number > _LAST, last), else_=moment)

    def truth(self, value: Element) -> Element:
        """Return a bool itself, which is a test."""
        return value

    def as_number(self, test: Element) -> Element:
        """Return the test itself, as a value of the type ``boolean``."""
        return test
