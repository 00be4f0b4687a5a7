"""Values of Python's own classes, in place of those of subclasses, so that a record holds the same classes on every store.

Packages subclass them: pendulum the datetime, uuid6 and asyncpg the UUID, freezegun the date.
"""

from __future__ import annotations

import datetime as dt
import uuid

__all__ = ["plain_date", "plain_duration", "plain_moment", "plain_time", "plain_uuid"]


def plain_moment(value: dt.datetime) -> dt.datetime:
    """Return a datetime in UTC as a plain one, without a fold. Raise OverflowError outside of the years 1 to 9999 in UTC."""
    found = value.astimezone(dt.UTC)
    if type(found) is dt.datetime and not found.fold:
        return found
    return dt.datetime(found.year, found.month, found.day, found.hour, found.minute, found.second, found.microsecond, dt.UTC)


def plain_date(value: dt.date) -> dt.date:
    """Return a date as a plain one."""
    return value if type(value) is dt.date else dt.date(value.year, value.month, value.day)


def plain_time(value: dt.time) -> dt.time:
    """Return a time of day as a plain one, without a fold and a zone."""
    if type(value) is dt.time and not value.fold:
        return value
    return dt.time(value.hour, value.minute, value.second, value.microsecond)


def plain_duration(value: dt.timedelta) -> dt.timedelta:
    """Return a timedelta as a plain one."""
    return value if type(value) is dt.timedelta else dt.timedelta(value.days, value.seconds, value.microseconds)


def plain_uuid(value: uuid.UUID) -> uuid.UUID:
    """Return a UUID as a plain one."""
    return value if type(value) is uuid.UUID else uuid.UUID(int=value.int)
