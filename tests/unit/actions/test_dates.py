"""Parts of dates, times and moments, cut moments, and the date of today mean the same on every layer, in UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest

from resourcekit import Attr, Calc, Domain, Resource, attribute, calculated, create, now, query, set_attribute, today, update
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.extending import Field
from resourcekit.testing import ManualClock

EAST = timezone(timedelta(hours=5, minutes=30))
MOMENTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1600, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2024, 12, 30, 7, 8, 9, 10, tzinfo=UTC),
    datetime(2026, 1, 1, 2, tzinfo=EAST),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
DAYS = [date(1, 1, 1), date(1900, 2, 28), date(2024, 2, 29), date(2025, 12, 31), date(2026, 1, 4), date(9999, 12, 31)]
IN_A_DAY = ("hour", "minute", "second")
TIMES = [time(0), time(0, 0, 59, 999_999), time(12, 30), time(23, 59, 59)]


@pytest.fixture
def event(every_layer: Callable[[], Any]) -> Any:
    """Return a resource with a moment, a date and a time of day."""
    domain = Domain("events of dates")

    class Event(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        at: Attr[datetime | None] = attribute(default=None)
        day: Attr[date | None] = attribute(default=None)
        hour: Attr[time | None] = attribute(default=None)
        made_on: Attr[date] = attribute(default=today())
        year: Attr[int | None] = attribute(default=None)
        facts: Attr[dict[str, Any] | None] = attribute(default=None)

        month: Calc[datetime | None] = calculated(lambda: Field("at").truncate("month"))

        make = create(accept=["id", "at", "day", "hour", "made_on"])
        date_it = update(changes=[set_attribute("made_on", today()), set_attribute("year", Field("at").year())])

    domain.create_storage()
    return Event


def values(event: Any, node: Any) -> list[Any]:
    """Return the values of an expression as records load it, after requiring that the store finds and sorts records by it."""
    found = [(each.id, each.extra["x"]) for each in query(event).sort("id").load(x=node).all()]
    for number, value in found:
        assert number in [each.id for each in query(event).filter(node == value).all()], (number, value)
    known = sorted((value, number) for number, value in found if value is not None)
    missing = [number for number, value in found if value is None]
    assert [*missing, *(number for _, number in known)] == [each.id for each in query(event).sort(node, "id").all()]
    return [value for _, value in found]


@pytest.mark.parametrize("part", ["year", "month", "day", "weekday", "hour", "minute", "second"])
def test_parts_are_those_of_python(event: Any, part: str) -> None:
    """A moment has all parts, in UTC; a date those of a day, a time of day those of a day's length."""

    def of(value: Any) -> Any:
        value = value.astimezone(UTC) if isinstance(value, datetime) else value
        return value.weekday() if part == "weekday" else getattr(value, part)

    longest = max(len(MOMENTS), len(DAYS), len(TIMES))
    columns = {"at": MOMENTS, "day": DAYS, "hour": TIMES}
    event.make.bulk([{"id": n, **{name: held[n] for name, held in columns.items() if n < len(held)}} for n in range(longest + 1)])
    for name, held in columns.items():
        if {"at": False, "day": part in IN_A_DAY, "hour": part not in IN_A_DAY}[name]:
            with pytest.raises(InvalidArgument, match=rf"{name}: has no {part}\(\)"):
                values(event, getattr(Field(name), part)())
            continue
        wanted = [*map(of, held), *[None] * (longest + 1 - len(held))]
        found = values(event, getattr(Field(name), part)())
        assert wanted == found
        assert all(each is None or type(each) is int for each in found)


@pytest.mark.parametrize("unit", ["year", "month", "week", "day", "hour", "minute", "second"])
def test_a_moment_is_cut_to_a_unit(event: Any, unit: str) -> None:
    """What is left is the first moment of the unit in UTC; of a date the first day."""
    event.make.bulk([{"id": n, "at": moment} for n, moment in enumerate(MOMENTS)])
    event.make.bulk([{"id": 100 + n, "day": day} for n, day in enumerate(DAYS)])
    found = values(event, event.at.truncate(unit))[: len(MOMENTS)]

    assert [_cut(moment.astimezone(UTC), unit) for moment in MOMENTS] == found
    assert all(each.tzinfo is UTC for each in found)
    if unit in IN_A_DAY:
        with pytest.raises(InvalidArgument, match=f"day: is a date, which has no {unit}"):
            values(event, event.day.truncate(unit))
    else:
        wanted = [_cut(datetime(day.year, day.month, day.day, tzinfo=UTC), unit).date() for day in DAYS]
        assert wanted == values(event, event.day.truncate(unit))[len(MOMENTS) :]


def _cut(moment: datetime, unit: str) -> datetime:
    """Return the first moment of a unit, by going back one step at a time."""
    at = moment.replace(microsecond=0)
    sizes = {"second": 1, "minute": 60, "hour": 3600}
    if unit in sizes:
        return at - timedelta(seconds=(at.minute * 60 + at.second) % sizes[unit])
    at = at.replace(hour=0, minute=0, second=0)
    while (unit == "week" and at.weekday()) or (unit in ("month", "year") and at.day > 1) or (unit == "year" and at.month > 1):
        at -= timedelta(days=1)
    return at


def test_what_is_computed_of_a_moment_too_far_away_is_none(event: Any) -> None:
    """The year 10000 has no parts."""
    event.make.bulk([{"id": n, "at": moment} for n, moment in enumerate([MOMENTS[0], MOMENTS[4], MOMENTS[-1]])])
    later, sooner = event.at + timedelta(days=2), event.at - timedelta(days=2)

    assert [3, 1, None] == values(event, later.day())
    assert [None, 28, 29] == values(event, sooner.day())
    assert [1, 2025, None] == [None if each is None else each.year for each in values(event, later.truncate("year"))]


def test_dates_have_a_difference(event: Any) -> None:
    """It is a duration; a moment of the clock has a date, which is that of UTC."""
    event.make.bulk([{"id": 1, "day": date(2026, 1, 1)}, {"id": 2, "day": date(2026, 1, 4)}, {"id": 3}])

    assert [timedelta(days=-3), timedelta(0), None] == values(event, event.day - date(2026, 1, 4))
    with ManualClock(datetime(2026, 1, 5, 3, tzinfo=EAST)):
        assert [2] == [each.id for each in query(event).filter(event.day == today()).all()]
        assert [1] == [each.id for each in query(event).filter(today() - event.day > timedelta(days=1)).all()]
        assert [1, 2, 3] == [each.id for each in query(event).filter(now().truncate("day").day() == 4).sort("id").all()]


def test_today_is_a_value_of_records(event: Any) -> None:
    """It is a default, and an update sets it; a part of a moment is stored by an update of many."""
    with ManualClock(datetime(2026, 3, 1, 23, 59, tzinfo=UTC)) as clock:
        assert date(2026, 3, 1) == event.make(id=1, at=MOMENTS[4]).made_on
        clock.advance(minutes=1)
        assert (date(2026, 3, 2), 2024) == (event.date_it(1).made_on, event.date_it(1).year)
        clock.advance(days=1)
        event.date_it.bulk(query(event), strategy="atomic")
    assert [(date(2026, 3, 3), 2024)] == [(each.made_on, each.year) for each in query(event).all()]
    assert [datetime(2024, 12, 1, tzinfo=UTC)] == [each.month for each in query(event).load(event.month).all()]


def test_wrong_parts_are_refused(event: Any) -> None:
    """The error names the attribute and what it is not."""
    with pytest.raises(InvalidArgument, match=r"id: has no year\(\): it is no datetime and no date"):
        query(event).filter(event.id.year() == 1).all()
    with pytest.raises(InvalidArgument, match=r"truncate takes one of 'year', .*, not 'century'"):
        event.at.truncate("century")
    with pytest.raises(InvalidArgument, match=r"facts\.at: is text inside of JSON"):
        query(event).filter(event.facts["at"].year() == 1).all()
    with pytest.raises(DeclarationError, match="default"):
        attribute_of_another_type()


def attribute_of_another_type() -> None:
    """Declare a moment whose default is a date."""

    class Wrong(Resource, domain=Domain("wrong dates")):
        id: Attr[int] = attribute(primary_key=True)
        at: Attr[datetime] = attribute(default=today())
