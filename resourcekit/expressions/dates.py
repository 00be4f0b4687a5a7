"""Parts of dates, times and moments, which are cut to a unit in UTC: what they mean in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from resourcekit.expressions.nodes import Expression, Now

__all__ = ["DATES", "DATE_PARTS", "DATE_UNITS", "TIME_PARTS", "UNITS", "Today", "today"]

DATE_PARTS = ("year", "month", "day", "weekday")
TIME_PARTS = ("hour", "minute", "second")
DATE_UNITS = ("year", "month", "week", "day")
UNITS = (*DATE_UNITS, *TIME_PARTS)
"""The units to which a moment can be cut. A week begins on Monday."""


class Today(Now):
    """The date in UTC at which the statement runs, by the clock of the call."""

    __slots__ = ()

    def at(self, moment: datetime) -> date:
        """Return the date at a moment."""
        return moment.astimezone(UTC).date()


def today() -> Expression:
    """The date in UTC at which the query or the write runs, not that of this call."""
    return Today()


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _part(name: str) -> Callable[[Any], int | None]:
    def part(value: Any) -> int | None:
        if not isinstance(value, (date, time)):
            return None  # a moment that is no datetime, because it is too far away
        found: int = value.weekday() if name == "weekday" else getattr(value, name)  # type: ignore[union-attr]  # a time has no weekday
        return found

    return lambda value: part(_in_utc(value))


def _truncate(value: Any, unit: str) -> Any:
    if not isinstance(value, date):
        return None
    cut: Any = _in_utc(value)
    if isinstance(cut, datetime):
        names = ("microsecond", "second", "minute", "hour")[: {"second": 1, "minute": 2, "hour": 3}.get(unit, 4)]
        zeros: dict[str, Any] = dict.fromkeys(names, 0)
        cut = cut.replace(**zeros)
    if unit == "week":
        return cut - timedelta(days=cut.weekday())
    return cut.replace(**{"year": {"month": 1, "day": 1}, "month": {"day": 1}}.get(unit, {}))


DATES: Mapping[str, Callable[..., Any]] = {**{name: _part(name) for name in (*DATE_PARTS, *TIME_PARTS)}, "truncate": _truncate}
"""The functions in Python, as in ``computable.FUNCTIONS``."""
