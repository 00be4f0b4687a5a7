"""Storage of values in columns: what a codec is, and the codecs that all databases share.

Each database has a table of codecs in its own folder (``sqlite/codecs.py``, ``postgresql/codecs.py``, ``mariadb/codecs.py``), with the
column types that its other users expect. Stored forms are compared by the database as the values are compared in Python, or the
dialect has an expression for it (``equal_key``, ``order_key``).

A database computes with moments and durations as microseconds, whole numbers without a limit. A codec whose stored form is another
one names that form as ``computing``, and the dialect converts between both.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs

from resourcekit.data_layers.plain_values import plain_date, plain_duration, plain_moment, plain_time, plain_uuid
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable, is_whole
from resourcekit.expressions.decimals import plain

__all__ = [
    "BOOLEAN",
    "BYTES",
    "DURATION",
    "DYNAMIC",
    "FLOAT",
    "INTEGER",
    "MOMENT",
    "STRING",
    "Codec",
    "Family",
    "Form",
    "UnfitValue",
    "at_most",
]


class UnfitValue(Exception):  # becomes UnreadableValue in the caller, which knows the attribute
    """A stored value does not fit the type of its attribute. The message never contains the value."""


class Form(enum.Enum):
    """The type of a column. Each database writes the name of the type in its own way."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BLOB = "blob"
    BOOLEAN = "boolean"
    NUMBER = "number"
    UUID = "uuid"
    MOMENT = "moment"
    DATE = "date"
    TIME = "time"
    SPAN = "span"
    JSON = "json"
    OPTION = "option"
    """Text, or an enum of PostgreSQL, in a table of another program: a parameter beside it has no type of its own."""


class Family(enum.Enum):
    """Values of one family can be compared by comparing their stored forms."""

    NUMBER = "number"
    TEXT = "text"
    MOMENT = "moment"
    DURATION = "duration"
    DATE = "date"
    TIME = "time"
    DECIMAL = "decimal"
    UUID = "uuid"
    BYTES = "bytes"
    JSON = "json"
    ANY = "any"


@attrs.frozen(eq=False)
class Codec:
    """Conversion between a value and its stored form.

    encode: raises NoneGiven for ``None``, and Unstorable for a value that cannot be stored.
    decode: ``None`` if the stored form is the value. It accepts what a driver returns, and what ``encode`` returns.
    ordered: stored forms sort like the values, and may be compared by ``<``.
    members: the enum whose members are stored by their values.
    width: the most characters or bytes of a stored form.
    scale: the number of digits after the point of all values; ``None`` if it is not fixed.
    computing: the codec of the form with which the database computes; ``None`` if it computes with the stored form.
    compared: encodes a value that is only compared, if that may be one which cannot be stored; ``None``: as ``encode`` does.
    options: the stored forms of an enum's members, or of the options of a literal.
    """

    form: Form
    family: Family
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any] | None = None
    ordered: bool = True
    members: type[enum.Enum] | None = None
    width: int | None = None
    scale: int | None = None
    computing: Codec | None = None
    compared: Callable[[Any], Any] | None = None
    options: tuple[Any, ...] = ()


INT_MOST = 2**63 - 1
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_US = 86_400_000_000
_SECOND_US = 1_000_000


def _microseconds(span: dt.timedelta) -> int:
    return span.days * _DAY_US + span.seconds * _SECOND_US + span.microseconds


_EARLIEST = _microseconds(dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH)
_LATEST = _microseconds(dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH)


def encode_text(value: Any) -> str:
    """Return the text itself, after checking it."""
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
    if not _is_finite(value):
        raise Unstorable("must be a finite number")
    if not -INT_MOST - 1 <= value <= INT_MOST:
        raise Unstorable("must fit in 64 bits")
    # A float with a whole value becomes an int, because a comparison with an integer column must be exact.
    return value if isinstance(value, float) and not value.is_integer() else int(value)


def _is_finite(value: Any) -> bool:
    """Return whether a value is an int, or a float with a finite value. ``math.isfinite`` fails for an int beyond all floats."""
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def encode_decimal(value: Any) -> Decimal:
    """Return the number in plain notation."""
    if value is None:
        raise NoneGiven
    if _is_finite(value):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise Unstorable("must be a finite number")
    try:
        return plain(value)
    except ValueError as error:
        raise Unstorable(str(error)) from None


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
    # An int stays an int if possible, because a comparison with an integer column must be exact.
    return value if isinstance(value, int) and -INT_MOST <= value <= INT_MOST else number


def encode_moment(value: Any) -> int:
    """Return microseconds since 1970 in UTC."""
    if value is None:
        raise NoneGiven
    try:
        span: dt.timedelta = value - _EPOCH
        stored = span.days * _DAY_US + span.seconds * _SECOND_US + span.microseconds
    except TypeError:
        raise Unstorable("must be a datetime with a time zone") from None
    if not _EARLIEST <= stored <= _LATEST:
        raise Unstorable("must lie between the years 1 and 9999 in UTC")
    return stored


def decode_moment(stored: int) -> dt.datetime:
    """Return the datetime in UTC."""
    return _EPOCH + dt.timedelta(0, 0, stored)  # positional: keywords would take a third of the time


def _decode_computed_moment(stored: Any) -> dt.datetime:
    return decode_moment(int(stored))


def _encode_duration(value: Any) -> int:
    if value is None:
        raise NoneGiven
    if not isinstance(value, dt.timedelta):
        raise Unstorable("must be a timedelta")
    stored = _microseconds(value)
    if not -INT_MOST - 1 <= stored <= INT_MOST:
        raise Unstorable("must fit into 64 bits of microseconds")
    return stored


def _decode_duration(stored: Any) -> dt.timedelta:
    return dt.timedelta(0, 0, int(stored))


def require_moment(value: Any) -> dt.datetime:
    """Return a plain datetime in UTC. Raise Unstorable for one without a zone, or outside of the years 1 to 9999 in UTC."""
    if value is None:
        raise NoneGiven
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise Unstorable("must be a datetime with a time zone")
    try:
        return plain_moment(value)
    except OverflowError:
        raise Unstorable("must lie between the years 1 and 9999 in UTC") from None


def require_duration(value: Any) -> dt.timedelta:
    """Return a plain timedelta that fits into 64 bits of microseconds."""
    _encode_duration(value)
    return plain_duration(value)


def require_date(value: Any) -> dt.date:
    """Return a plain date; a datetime is refused."""
    if value is None:
        raise NoneGiven
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise Unstorable("must be a date")
    return plain_date(value)


def require_time(value: Any) -> dt.time:
    """Return a plain time of day without a zone."""
    if value is None:
        raise NoneGiven
    if not isinstance(value, dt.time) or value.tzinfo is not None:
        raise Unstorable("must be a time of day without a time zone")
    return plain_time(value)


def encode_date(value: Any) -> str:
    """Return a date as ISO text."""
    return require_date(value).isoformat()


def encode_time(value: Any) -> str:
    """Return a time of day as ISO text with microseconds."""
    return require_time(value).isoformat("microseconds")


def decode_bool(stored: Any) -> bool:
    """Return the bool of 0 or 1. Raise UnfitValue for any other number."""
    if stored not in (0, 1):
        raise UnfitValue("is neither 0 nor 1")
    return bool(stored)


def require_uuid(value: Any) -> uuid.UUID:
    """Return a plain UUID."""
    if type(value) is uuid.UUID:
        return value
    if value is None:
        raise NoneGiven
    if not isinstance(value, uuid.UUID):
        raise Unstorable("must be a UUID")
    return plain_uuid(value)


def _encode_bytes(value: Any) -> bytes:
    if value is None:
        raise NoneGiven
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise Unstorable("must be bytes")
    return bytes(value)


STRING = Codec(Form.TEXT, Family.TEXT, encode_text)
INTEGER = Codec(Form.INTEGER, Family.NUMBER, _encode_integer)
# SQLite's RETURNING gives a whole number of a REAL column as an int.
FLOAT = Codec(Form.REAL, Family.NUMBER, _encode_float, float)
BOOLEAN = Codec(Form.INTEGER, Family.NUMBER, _encode_integer, bool)
"""A bool as the number 0 or 1."""

MOMENT = Codec(Form.INTEGER, Family.MOMENT, encode_moment, _decode_computed_moment)
"""A datetime as microseconds since 1970 in UTC."""

DURATION = Codec(Form.INTEGER, Family.DURATION, _encode_duration, _decode_duration)
"""A timedelta as microseconds."""

BYTES = Codec(Form.BLOB, Family.BYTES, _encode_bytes)
DYNAMIC = Codec(Form.TEXT, Family.ANY, encode_text)
"""For a value without a type; ``Codecs.dynamic`` is its form that chooses the codec by the value itself."""


def at_most(codec: Codec, length: int | None) -> Codec:
    """Return a codec that refuses stored forms with more code points or bytes than a column accepts."""
    if length is None:
        return codec
    encode, unit = codec.encode, "bytes" if codec.form is Form.BLOB else "characters"

    def within(value: Any) -> Any:
        stored = encode(value)
        if len(stored) > length:
            raise Unstorable(f"must have at most {length} {unit}")
        return stored

    return attrs.evolve(codec, encode=within)
