"""Codecs of PostgreSQL: the native types. Values are sent as psycopg sends them, and read by the loaders of ``loaders``."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.sql.dialects.codecs import Codecs
from resourcekit.data_layers.sql.dialects.columns import (
    BOOLEAN,
    DURATION,
    MOMENT,
    Codec,
    Family,
    Form,
    UnfitValue,
    encode_decimal,
    require_date,
    require_duration,
    require_moment,
    require_time,
    require_uuid,
)
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.declarations.value_type import Kind

__all__ = ["CODECS"]

_NUMBERS = re.compile(r'"(?:[^"\\]|\\.)*"|(-?\d+(?:\.\d+)?e\+\d+)')


def _encode_bool(value: Any) -> bool:
    if value is None:
        raise NoneGiven
    if not isinstance(value, (int, float)) or value not in (0, 1):
        raise Unstorable("must be true or false")
    return bool(value)


def _decode_moment(stored: Any) -> dt.datetime:
    if stored.__class__ is not dt.datetime:
        raise UnfitValue("lies outside of the years 1 to 9999")
    if stored.tzinfo is dt.UTC:
        return stored
    if stored.tzinfo is None:
        raise UnfitValue("has no time zone")
    found: dt.datetime = stored.astimezone(dt.UTC)
    return found


def _decoder(python: type, what: str) -> Any:
    def decode(stored: Any) -> Any:
        if stored.__class__ is not python:
            raise UnfitValue(what)
        return stored

    return decode


def _decode_decimal(stored: Any) -> Decimal:
    if isinstance(stored, int):
        stored = Decimal(stored)
    if not isinstance(stored, Decimal) or not stored.is_finite():
        raise UnfitValue("is no finite number")
    return stored


def _encode_json(text: str) -> str:
    """Return JSON in which floats keep their point: ``jsonb`` writes 1e16 as a whole number otherwise."""
    if "e+" not in text:
        return text
    return _NUMBERS.sub(lambda found: found[0] if found[1] is None else f"{float(found[1]):.1f}", text)


_BOOLEAN = Codec(Form.BOOLEAN, Family.NUMBER, _encode_bool, _decoder(bool, "is no bool"), computing=BOOLEAN)
_MOMENT = Codec(Form.MOMENT, Family.MOMENT, require_moment, _decode_moment, computing=MOMENT)
_DATE = Codec(Form.DATE, Family.DATE, require_date, _decoder(dt.date, "lies outside of the years 1 to 9999"))
_TIME = Codec(Form.TIME, Family.TIME, require_time, _decoder(dt.time, "is no time of a day"))
_SPAN = Codec(
    Form.SPAN,
    Family.DURATION,
    require_duration,
    _decoder(dt.timedelta, "has months, whose length is not known"),
    computing=DURATION,
)
_UUID = Codec(Form.UUID, Family.UUID, require_uuid, _decoder(uuid.UUID, "is no UUID"))
_DECIMAL = Codec(Form.NUMBER, Family.DECIMAL, encode_decimal, _decode_decimal)

CODECS = Codecs(
    "postgresql",
    {
        Kind.BOOLEAN: _BOOLEAN,
        Kind.DATETIME: _MOMENT,
        Kind.DATE: _DATE,
        Kind.TIME: _TIME,
        Kind.DURATION: _SPAN,
        Kind.UUID: _UUID,
        Kind.DECIMAL: _DECIMAL,
    },
    Codec(Form.JSON, Family.JSON, _encode_json, ordered=False),
)
"""The codecs of PostgreSQL."""
