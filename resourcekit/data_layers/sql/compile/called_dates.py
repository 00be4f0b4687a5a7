"""Parts of dates, times and moments in statements, and moments and dates that are cut to a unit.

A maintainer opens it to add a part or a unit. What databases do differently is in ``dialects/date_functions``.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.compile.parts import Built
from resourcekit.data_layers.sql.dialects.base import Element
from resourcekit.data_layers.sql.dialects.columns import DURATION, INTEGER, Codec, Family, Form
from resourcekit.data_layers.sql.dialects.functions import DAY_US, START_US
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.dates import Today

__all__ = ["clock_codec", "days_between", "of_date"]

Builder = Any
"""``expressions.Builder``, which calls these functions. It is not imported, because it imports this module."""

_DATE = ValueType(Kind.DATE, dt.date)
_SIZES = {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000, "day": DAY_US, "week": 7 * DAY_US}
_IN_DAY = {"hour": (86_400, 3_600), "minute": (3_600, 60), "second": (60, 1)}
_ONE: Any = sa.literal_column("1", sa.BigInteger())
_START: Any = sa.literal_column(str(START_US), sa.BigInteger())
_FIRST: Any = sa.literal_column(str(-START_US), sa.BigInteger())
_END: Any = sa.literal_column(str(3_652_059 * DAY_US - START_US), sa.BigInteger())


def of_date(builder: Builder, node: ex.Call) -> Built:
    """Build a part of a date, a time or a moment, or one that is cut to a unit."""
    dialect, whole = builder.dialect, builder.value(node.parts[0])
    if whole.codec is None:
        return whole  # type: ignore[no-any-return]  # a Built: NULL
    if whole.codec.family is Family.TIME:
        return Built(_in_day(dialect, node.function, dialect.seconds_of(whole.element)), INTEGER, whole.nullable)
    if whole.codec.family is Family.DATE:
        days = dialect.days_of(whole.element)
        if node.function != "truncate":
            return Built(_of_days(dialect, node.function, days), INTEGER, whole.nullable)
        cut = dialect.date_of(_first_day(dialect, node.facts[0], days), is_text=whole.codec.form is Form.TEXT)
        return Built(cut, whole.codec, whole.nullable)
    if whole.codec.family is not Family.MOMENT:
        raise UnsupportedExpression("the database has parts of dates, times and moments only")
    return _of_moment(builder, node, builder.computable(whole))


def _of_moment(builder: Builder, node: ex.Call, moment: Built) -> Built:
    dialect = builder.dialect
    since: Element = moment.element.op("+")(_START)
    if node.function == "truncate":
        unit = node.facts[0]
        if unit in _SIZES:
            found: Element = moment.element.op("-")(dialect.split(since, _SIZES[unit])[1])
        else:
            days = _first_day(dialect, unit, dialect.split(since, DAY_US)[0])
            found = days.op("*")(sa.literal_column(str(DAY_US))).op("-")(_START)
        built = attrs.evolve(moment, element=found, field="")
    else:
        days, rest = dialect.split(since, DAY_US)
        seconds = dialect.split(rest, 1_000_000)[0]
        part = _in_day(dialect, node.function, seconds) if node.function in _IN_DAY else _of_days(dialect, node.function, days)
        built = Built(part, INTEGER, moment.nullable)
    if isinstance(node.parts[0], (ex.Field, ex.Existing, ex.Incoming, ex.Now, ex.Param, ex.Value)):
        return built
    # What is computed may lie outside of the years 1 to 9999, where nothing has a part.
    is_far = sa.or_(moment.element < _FIRST, moment.element >= _END)
    return attrs.evolve(built, element=sa.case((sa.not_(is_far), built.element)), nullable=True)


def _in_day(dialect: Any, part: str, seconds: Element) -> Element:
    size, unit = _IN_DAY[part]
    rest = seconds if size == _IN_DAY["hour"][0] else dialect.split(seconds, size)[1]
    found: Element = rest if unit == 1 else dialect.split(rest, unit)[0]
    return found


def _of_days(dialect: Any, part: str, days: Element) -> Element:
    found: Element = dialect.split(days, 7)[1] if part == "weekday" else dialect.calendar(part, days)
    return found


def _first_day(dialect: Any, unit: str, days: Element) -> Element:
    if unit == "day":
        return days
    if unit == "week":
        return days.op("-")(dialect.split(days, 7)[1])
    return days.op("-")(dialect.calendar("day" if unit == "month" else "doy", days)).op("+")(_ONE)


def clock_codec(dialect: Any, node: ex.Now, like: Built | None) -> Codec:
    """Return the codec of the time of a statement. like: what it is compared with, if that is known."""
    codec: Codec = dialect.codecs.of_type(_DATE) if isinstance(node, Today) else dialect.codecs.moment
    known = None if like is None else like.codec
    return known if known is not None and known.family is codec.family else codec


def days_between(builder: Builder, left: Built, right: Built) -> Built:
    """Build the duration between two dates."""
    dialect = builder.dialect
    days: Element = dialect.days_of(left.element).op("-")(dialect.days_of(right.element))
    if dialect.wide_type is not None:
        days = sa.cast(days, dialect.wide_type)
    return Built(days.op("*")(sa.literal_column(str(DAY_US))), DURATION, left.nullable or right.nullable)
