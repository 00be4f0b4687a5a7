"""How a value is kept in a column: one codec for each kind of value. It knows no statement and no database.

Stored forms are chosen so that comparing them in the database gives what comparing the values in Python gives:

================ ========= =====================================================================================
kind             column    form
================ ========= =====================================================================================
str              TEXT      as it is; UTF-8 compared byte by byte is the order of code points
int, bool        INTEGER   64 bits; beyond them a value is refused
float            REAL      as it is; NaN is refused
datetime         INTEGER   microseconds since 1970 in UTC, exact from year 1 to 9999
timedelta        INTEGER   microseconds
date, time       TEXT      ISO 8601
Decimal          TEXT      a key that sorts as the number does (see ``decimals``)
UUID             BLOB      16 bytes, which sort as UUIDs do
bytes            BLOB      as they are
Enum             TEXT      the member's name, so that a member may change its value
Literal          as its options
list, dict, Any  TEXT      canonical JSON (see ``json_text``)
================ ========= =====================================================================================
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Callable
from typing import Any

import attrs

from resourcekit.data_layers.json_text import json_decoder, json_encoder
from resourcekit.data_layers.sql.decimals import decode_decimal, encode_decimal
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable, is_whole
from resourcekit.declarations.value_type import Kind, ValueType

__all__ = [
    "BOOLEAN",
    "DURATION",
    "DYNAMIC",
    "FLOAT",
    "INTEGER",
    "MOMENT",
    "STRING",
    "Codec",
    "Family",
    "Form",
    "at_most",
    "codec_for",
]


class Form(enum.Enum):
    """The database's side of a column."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BLOB = "blob"


class Family(enum.Enum):
    """Which values can be compared with each other by comparing their stored forms."""

    NUMBER = "number"
    TEXT = "text"
    MOMENT = "moment"
    DURATION = "duration"
    DATE = "date"
    TIME = "time"
    DECIMAL = "decimal"
    UUID = "uuid"
    BYTES = "bytes"
    NAME = "name"
    JSON = "json"
    ANY = "any"


@attrs.frozen(eq=False)
class Codec:
    """Both ways between a value and its stored form.

    encode: refuses ``None`` (NoneGiven) and what cannot be kept (Unstorable); decode: ``None`` where nothing is to do.
    ordered: stored forms sort as values do. summed: ``+`` and ``-`` may be computed by the database.
    members: of an enum, whose members sort as their values do. width: the most characters or bytes of a stored form.
    """

    form: Form
    family: Family
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any] | None = None
    ordered: bool = True
    summed: bool = False
    members: type[enum.Enum] | None = None
    width: int | None = None


_INT_MOST = 2**63 - 1
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_US = 86_400_000_000
_SECOND_US = 1_000_000


def _microseconds(span: dt.timedelta) -> int:
    return span.days * _DAY_US + span.seconds * _SECOND_US + span.microseconds


_EARLIEST = _microseconds(dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH)
_LATEST = _microseconds(dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH)


def encode_text(value: Any) -> str:
    """Return the text itself."""
    if value is None:
        raise NoneGiven
    if not isinstance(value, str):
        raise Unstorable("must be text")
    if "\0" in value:
        raise Unstorable("must not contain the NUL character")
    if not value.isascii() and not is_whole(value):
        raise Unstorable("must not contain half of a surrogate pair")
    return value


def _encode_integer(value: Any) -> Any:
    if value is None:
        raise NoneGiven
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Unstorable("must be a finite number")
    if not -_INT_MOST - 1 <= value <= _INT_MOST:
        raise Unstorable("must fit in 64 bits")
    # A float that is a whole number becomes one: compared with a column of whole numbers it must be exact.
    return value if isinstance(value, float) and not value.is_integer() else int(value)


def _encode_float(value: Any) -> Any:
    if value is None:
        raise NoneGiven
    if not isinstance(value, (int, float)):
        raise Unstorable("must be a number")
    try:
        number = float(value)
    except OverflowError:
        raise Unstorable("is too large") from None
    if not math.isfinite(number):
        raise Unstorable("must be finite")
    # A whole number stays one while it can: compared with a column of whole numbers it must be exact.
    return value if isinstance(value, int) and -_INT_MOST <= value <= _INT_MOST else number


def encode_moment(value: Any) -> int:
    """Return microseconds since 1970 in UTC."""
    if value is None:
        raise NoneGiven
    try:
        stored = _microseconds(value - _EPOCH)
    except TypeError:
        raise Unstorable("must be a datetime with a time zone") from None
    if not _EARLIEST <= stored <= _LATEST:
        raise Unstorable("must lie between the years 1 and 9999 in UTC")
    return stored


def decode_moment(stored: int) -> dt.datetime:
    """Return the datetime, in UTC."""
    return _EPOCH + dt.timedelta(0, 0, stored)  # by position: a third of the time goes into names


def _encode_duration(value: Any) -> int:
    if value is None:
        raise NoneGiven
    if not isinstance(value, dt.timedelta):
        raise Unstorable("must be a timedelta")
    stored = _microseconds(value)
    if not -_INT_MOST - 1 <= stored <= _INT_MOST:
        raise Unstorable("must fit into 64 bits of microseconds")
    return stored


def _decode_duration(stored: int) -> dt.timedelta:
    return dt.timedelta(microseconds=stored)


def _encode_date(value: Any) -> str:
    if value is None:
        raise NoneGiven
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise Unstorable("must be a date")
    return value.isoformat()


def _encode_time(value: Any) -> str:
    if value is None:
        raise NoneGiven
    if not isinstance(value, dt.time) or value.tzinfo is not None:
        raise Unstorable("must be a time of day without a time zone")
    return value.isoformat("microseconds")


def _encode_uuid(value: Any) -> bytes:
    if value is None:
        raise NoneGiven
    if not isinstance(value, uuid.UUID):
        raise Unstorable("must be a UUID")
    return value.bytes


def _decode_uuid(stored: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=stored)


def _encode_bytes(value: Any) -> bytes:
    if value is None:
        raise NoneGiven
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise Unstorable("must be bytes")
    return bytes(value)


def _enum_codec(members: type[enum.Enum]) -> Codec:
    def encode(value: Any) -> str:
        if value is None:
            raise NoneGiven
        if not isinstance(value, members):
            raise Unstorable(f"must be one of {members.__name__}")
        return value.name

    def decode(name: str) -> enum.Enum:
        return members[name]  # not its __getitem__, which members that are texts have themselves

    width = max(map(len, members.__members__), default=1)
    return Codec(Form.TEXT, Family.NAME, encode, decode, ordered=False, members=members, width=width)


def _encode_dynamic(value: Any) -> Any:
    if value is None:
        raise NoneGiven
    for python, codec in _BY_PYTHON:
        if isinstance(value, python):
            return codec.encode(value)
    raise Unstorable("is of a type that this store cannot compare")


STRING = Codec(Form.TEXT, Family.TEXT, encode_text)
INTEGER = Codec(Form.INTEGER, Family.NUMBER, _encode_integer, summed=True)
# RETURNING gives a whole number of a REAL column as an int (SQLite).
FLOAT = Codec(Form.REAL, Family.NUMBER, _encode_float, float, summed=True)
BOOLEAN = Codec(Form.INTEGER, Family.NUMBER, _encode_integer, bool)
MOMENT = Codec(Form.INTEGER, Family.MOMENT, encode_moment, decode_moment)
DURATION = Codec(Form.INTEGER, Family.DURATION, _encode_duration, _decode_duration, summed=True)
DYNAMIC = Codec(Form.TEXT, Family.ANY, _encode_dynamic)
"""For a value whose place says nothing of its type: goes by the value itself."""

_DATE = Codec(Form.TEXT, Family.DATE, _encode_date, dt.date.fromisoformat, width=10)
_TIME = Codec(Form.TEXT, Family.TIME, _encode_time, dt.time.fromisoformat, width=15)
_DECIMAL = Codec(Form.TEXT, Family.DECIMAL, encode_decimal, decode_decimal)
_UUID = Codec(Form.BLOB, Family.UUID, _encode_uuid, _decode_uuid, width=16)
_BYTES = Codec(Form.BLOB, Family.BYTES, _encode_bytes)

_BY_KIND = {
    Kind.STRING: STRING,
    Kind.INTEGER: INTEGER,
    Kind.FLOAT: FLOAT,
    Kind.BOOLEAN: BOOLEAN,
    Kind.DECIMAL: _DECIMAL,
    Kind.DATETIME: MOMENT,
    Kind.DATE: _DATE,
    Kind.TIME: _TIME,
    Kind.DURATION: DURATION,
    Kind.UUID: _UUID,
    Kind.BYTES: _BYTES,
}
_BY_PYTHON: tuple[tuple[Any, Codec], ...] = (
    (str, STRING),
    (float, FLOAT),
    (int, INTEGER),
    (dt.datetime, MOMENT),
    (dt.date, _DATE),
    (dt.time, _TIME),
    (dt.timedelta, DURATION),
    (uuid.UUID, _UUID),
    ((bytes, bytearray), _BYTES),
)
_LITERALS = {str: STRING, int: INTEGER, bool: BOOLEAN}


def at_most(codec: Codec, length: int | None) -> Codec:
    """Return a codec that refuses stored forms of more code points, or bytes, than a column takes."""
    if length is None:
        return codec
    encode, unit = codec.encode, "bytes" if codec.form is Form.BLOB else "characters"

    def within(value: Any) -> Any:
        stored = encode(value)
        if len(stored) > length:
            raise Unstorable(f"must have at most {length} {unit}")
        return stored

    return attrs.evolve(codec, encode=within)


def codec_for(value_type: ValueType) -> Codec:
    """Return the codec for values of this type."""
    kind = value_type.kind
    if kind is Kind.LITERAL:
        codec = _LITERALS[value_type.python]
        return attrs.evolve(codec, width=max(map(len, value_type.options))) if codec is STRING else codec
    if kind is Kind.ENUM:
        return _enum_codec(value_type.python)
    if kind in (Kind.LIST, Kind.MAP, Kind.ANY):
        return Codec(Form.TEXT, Family.JSON, json_encoder(value_type), json_decoder(value_type), ordered=False)
    return _BY_KIND[kind]
