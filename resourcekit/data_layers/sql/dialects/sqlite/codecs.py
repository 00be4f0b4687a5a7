"""Codecs of SQLite: the forms that SQLAlchemy, Django and the ``sqlite3`` shell read and write.

A datetime is the text ``2026-01-02 03:04:05.678901`` in UTC, a UUID 32 hex digits, a Decimal plain digits. Other spellings of the
same values are read, too; comparisons find only the usual one (``doctor --data`` counts the others).
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.sql.dialects.codecs import Codecs
from resourcekit.data_layers.sql.dialects.columns import (
    BOOLEAN,
    MOMENT,
    Codec,
    Family,
    Form,
    UnfitValue,
    decode_bool,
    encode_date,
    encode_decimal,
    encode_time,
    require_moment,
    require_uuid,
)
from resourcekit.declarations.value_type import Kind
from resourcekit.expressions.decimals import plain

__all__ = ["CODECS", "decimal_of", "moment_of", "text_of_moment"]

_NEW, _SET, _UNKNOWN = object.__new__, object.__setattr__, uuid.SafeUUID.unknown


def text_of_moment(value: dt.datetime) -> str:
    """Return a datetime in UTC as text."""
    return value.isoformat(" ", "microseconds")[:26]


def _encode_moment(value: Any) -> str:
    if type(value) is dt.datetime and value.tzinfo is dt.UTC:
        return value.isoformat(" ", "microseconds")[:26]  # most moments, in half the time
    return text_of_moment(require_moment(value))


def moment_of(stored: Any) -> dt.datetime:
    """Return the datetime of a text; one without a zone is in UTC."""
    try:
        found = dt.datetime.fromisoformat(stored + "+00:00")
        if found.tzinfo is not None:  # after a date alone, the zone is read as its time
            return found
    except (TypeError, ValueError):
        pass
    found = dt.datetime.fromisoformat(stored)
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def _decode_time(stored: str) -> dt.time:
    found = dt.time.fromisoformat(stored)
    if found.tzinfo is not None:
        raise UnfitValue("has a time zone")
    return found


def _encode_uuid(value: Any) -> str:
    if type(value) is uuid.UUID:
        return f"{value.int:032x}"  # as ``hex`` does; two calls less
    return require_uuid(value).hex


def _decode_uuid(stored: Any) -> uuid.UUID:
    """Return ``UUID(stored)``. The usual text of 32 digits takes a third of the time of a call, which looks for other spellings."""
    if type(stored) is str and len(stored) == 32 and stored[0] != "-":
        try:
            number = int(stored, 16)
        except ValueError:
            return uuid.UUID(stored)
        made = _NEW(uuid.UUID)
        _SET(made, "int", number)
        _SET(made, "is_safe", _UNKNOWN)
        return made
    return uuid.UUID(stored)


def _encode_decimal(value: Any) -> str:
    return f"{encode_decimal(value):f}"


def decimal_of(stored: Any) -> Decimal:
    """Return the number of a text. Other programs may have written it with an exponent, or as a number.

    A binary number is read as the shortest decimal that it equals: a column ``decimal(10, 2)`` keeps 0.1 as one.
    """
    found = Decimal(repr(stored) if isinstance(stored, float) else stored)
    if not found.is_finite():
        raise UnfitValue("is no finite number")
    return plain(found)


_MOMENT = Codec(Form.TEXT, Family.MOMENT, _encode_moment, moment_of, width=26, computing=MOMENT)
_DATE = Codec(Form.TEXT, Family.DATE, encode_date, dt.date.fromisoformat, width=10)
_TIME = Codec(Form.TEXT, Family.TIME, encode_time, _decode_time, width=15)
_UUID = Codec(Form.TEXT, Family.UUID, _encode_uuid, _decode_uuid, width=32)
_DECIMAL = Codec(Form.TEXT, Family.DECIMAL, _encode_decimal, decimal_of)
_BOOLEAN = Codec(Form.INTEGER, Family.NUMBER, BOOLEAN.encode, decode_bool)

CODECS = Codecs(
    "sqlite",
    {
        Kind.BOOLEAN: _BOOLEAN,
        Kind.DATETIME: _MOMENT,
        Kind.DATE: _DATE,
        Kind.TIME: _TIME,
        Kind.UUID: _UUID,
        Kind.DECIMAL: _DECIMAL,
    },
    needs_scale="key",
)
"""The codecs of SQLite. A timedelta is a whole number of microseconds, as Django stores it."""
