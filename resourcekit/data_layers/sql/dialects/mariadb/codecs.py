"""Codecs of MariaDB: native types where their order is that of the values, and ``char(36)`` for UUIDs.

The type ``uuid`` of MariaDB sorts versions 1 to 5 by their last part, so a UUID is text.
"""

from __future__ import annotations

import datetime as dt
import json
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
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.value_type import Kind

__all__ = ["CODECS", "DIGITS", "JSON_LEVELS"]

DIGITS = 38
"""The digits of a ``decimal`` column, those after the point included."""

JSON_LEVELS = 31
"""The nested lists and objects that a ``json`` column accepts: it calls ``json_valid``, which reads no more."""

_START = dt.datetime(1, 1, 1)  # noqa: DTZ001  # for a time of day


def _encode_moment(value: Any) -> str:
    return require_moment(value).isoformat(" ", "microseconds")[:26]


def _decode_moment(stored: Any) -> dt.datetime:
    found = stored if isinstance(stored, dt.datetime) else dt.datetime.fromisoformat(stored)
    if found.tzinfo is not None:
        raise UnfitValue("has a time zone")
    return found.replace(tzinfo=dt.UTC)


def _decode_date(stored: Any) -> dt.date:
    return stored if isinstance(stored, dt.date) else dt.date.fromisoformat(stored)


def _decode_time(stored: Any) -> dt.time:
    if isinstance(stored, str):
        return dt.time.fromisoformat(stored)
    if not dt.timedelta(0) <= stored < dt.timedelta(1):
        raise UnfitValue("is no time of a day")
    found: dt.datetime = _START + stored
    return found.time()


def _encode_uuid(value: Any) -> str:
    return str(require_uuid(value))


def _encode_decimal(value: Any) -> Decimal:
    number = encode_decimal(value)
    if len(number.as_tuple().digits) > DIGITS:
        raise Unstorable(f"must have at most {DIGITS} digits")
    return number


def _encode_json(text: str) -> str:
    if text.count("[") + text.count("{") > JSON_LEVELS and _levels(json.loads(text)) > JSON_LEVELS:
        raise Unstorable(f"must have at most {JSON_LEVELS} nested levels of JSON, which MariaDB can check")
    return text


def _levels(value: Any) -> int:
    if not isinstance(value, (list, dict)):
        return 0
    return 1 + max(map(_levels, value.values() if isinstance(value, dict) else value), default=0)


_BOOLEAN = Codec(Form.BOOLEAN, Family.NUMBER, BOOLEAN.encode, decode_bool)
_MOMENT = Codec(Form.MOMENT, Family.MOMENT, _encode_moment, _decode_moment, computing=MOMENT)
_DATE = Codec(Form.DATE, Family.DATE, encode_date, _decode_date)
_TIME = Codec(Form.TIME, Family.TIME, encode_time, _decode_time)
_UUID = Codec(Form.UUID, Family.UUID, _encode_uuid, uuid.UUID, width=36)
_DECIMAL = Codec(Form.NUMBER, Family.DECIMAL, _encode_decimal, Decimal)

CODECS = Codecs(
    "mariadb",
    {
        Kind.BOOLEAN: _BOOLEAN,
        Kind.DATETIME: _MOMENT,
        Kind.DATE: _DATE,
        Kind.TIME: _TIME,
        Kind.UUID: _UUID,
        Kind.DECIMAL: _DECIMAL,
    },
    Codec(Form.JSON, Family.JSON, _encode_json, ordered=False),
    needs_scale=True,
)
"""The codecs of MariaDB. A timedelta is a whole number of microseconds: ``time`` ends at 838 hours."""
