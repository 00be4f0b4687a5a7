"""The codecs of one database, by the kinds of values: plain types, enums, literals, decimals of a fixed scale, JSON.

A maintainer opens it to change how the codec of an attribute is chosen.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Literal

import attrs

from resourcekit.data_layers.json_reading import json_decoder
from resourcekit.data_layers.json_text import json_encoder
from resourcekit.data_layers.sql.dialects.columns import (
    BOOLEAN,
    BYTES,
    DURATION,
    DYNAMIC,
    FLOAT,
    INT_MOST,
    INTEGER,
    MOMENT,
    STRING,
    Codec,
    Family,
    Form,
    UnfitValue,
    decode_moment,
    encode_decimal,
    encode_text,
)
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.expressions.decimals import MOST_DIGITS

__all__ = ["Codecs"]

_HALVES = 2**51
"""Whole numbers below it have a half above them that is a float."""

_BEYOND = 2.0**64
"""A number above all that a column of 64 bits holds."""

_EXACT = Context(prec=4 * MOST_DIGITS, traps=[InvalidOperation, Inexact])
"""Arithmetic that raises in place of rounding."""

_CLASSES: tuple[tuple[Any, Kind], ...] = (
    (str, Kind.STRING),
    (float, Kind.FLOAT),
    (int, Kind.INTEGER),
    (dt.datetime, Kind.DATETIME),
    (dt.date, Kind.DATE),
    (dt.time, Kind.TIME),
    (dt.timedelta, Kind.DURATION),
    (uuid.UUID, Kind.UUID),
    ((bytes, bytearray), Kind.BYTES),
)


class Codecs:
    """The codecs of one database. kinds: those of plain types; a database replaces and adds some.

    json: from the encoder and the decoder of JSON text to the codec of JSON columns.
    needs_scale: a Decimal can be stored only with a fixed number of digits after the point; ``"key"``: in a primary key, because the
        database compares the stored forms of keys.
    """

    json = Codec(Form.TEXT, Family.JSON, encode_text, ordered=False)
    needs_scale: bool | Literal["key"] = False

    def __init__(
        self, name: str, kinds: Mapping[Kind, Codec], json: Codec | None = None, *, needs_scale: bool | Literal["key"] = False
    ) -> None:
        self.name, self.needs_scale = name, needs_scale
        self._json = self.json if json is None else json
        shared = {Kind.STRING: STRING, Kind.INTEGER: INTEGER, Kind.FLOAT: FLOAT, Kind.BOOLEAN: BOOLEAN, Kind.BYTES: BYTES}
        self._kinds = {**shared, Kind.DURATION: DURATION, **kinds}
        self.boolean, self.moment = self._kinds[Kind.BOOLEAN], self._kinds[Kind.DATETIME]
        self.duration, self.decimal = self._kinds[Kind.DURATION], self._kinds[Kind.DECIMAL]
        self.dynamic = attrs.evolve(DYNAMIC, encode=self._encode_dynamic)

    def of(self, attribute: Attribute) -> Codec:
        """Return the codec of an attribute. Raise ValueError for one that this database cannot store."""
        kind = attribute.type.basic.kind
        if kind is Kind.DATETIME and attribute.stored_on(self.name) == "microseconds":
            return attrs.evolve(MOMENT, decode=decode_moment)
        if kind is Kind.DECIMAL:
            return self._scaled(attribute)
        return self.of_type(attribute.type.basic)

    def of_type(self, value_type: ValueType) -> Codec:
        """Return the codec for values of a type. Raise ValueError for an enum whose values have different types."""
        kind = value_type.kind
        if value_type.held is not None:
            codec = self._kinds[value_type.held.kind]
            if kind is Kind.LITERAL:
                return _optional(codec, {option: _stored_option(codec, option, repr(option)) for option in value_type.options})
            stored = {member: _stored_option(codec, member.value, str(member)) for member in value_type.options}
            if value_type.held.kind is Kind.DECIMAL and self.needs_scale is True:
                codec = attrs.evolve(codec, scale=max(_digits_after_point(member.value) for member in value_type.options))
            encode = _encoder(value_type.python, stored)
            return attrs.evolve(_optional(codec, stored), encode=encode, members=value_type.python, ordered=False)
        if kind is Kind.ENUM:
            raise ValueError(f"the values of {value_type.python.__name__} have several types, or no plain one")
        if kind in (Kind.LIST, Kind.MAP, Kind.ANY):
            inner, decode = json_encoder(value_type), json_decoder(value_type)
            if (outer := self._json.encode) is not encode_text:
                return attrs.evolve(self._json, encode=lambda value: outer(inner(value)), decode=decode)
            return attrs.evolve(self._json, encode=inner, decode=decode)
        return self._kinds[kind]

    def _scaled(self, attribute: Attribute) -> Codec:
        """Return the codec of a Decimal with the scale of its attribute."""
        scale = attribute.scale
        if scale is None:
            if self.needs_scale == "key" and attribute.primary_key:
                raise ValueError(f"1.5 and 1.50 would be two primary keys on {self.name}; declare it with scale=")
            if self.needs_scale is True:
                raise ValueError(
                    f"{self.name} stores a Decimal with a fixed number of digits after the point; declare it with scale="
                )
            return self.decimal
        if attribute.stored_on(self.name) == "integer":
            inner = _scaled_integer(scale, self.decimal)
            encode = _with_scale(inner.encode, scale)
            return attrs.evolve(inner, encode=encode, compared=_compared(encode, _between(scale)), scale=scale)
        encode = _with_scale(self.decimal.encode, scale)
        return attrs.evolve(self.decimal, encode=encode, compared=_compared(encode, self.decimal.encode), scale=scale)

    def _encode_dynamic(self, value: Any) -> Any:
        if value is None:
            raise NoneGiven
        for python, kind in _CLASSES:
            if isinstance(value, python):
                return self._kinds[kind].encode(value)
        raise Unstorable("is of a type that this store cannot compare")


def _stored_option(codec: Codec, value: Any, shown: str) -> Any:
    """Return the stored form of an option. Raise ValueError for one that cannot be stored."""
    try:
        return codec.encode(value)
    except Unstorable as refused:
        raise ValueError(f"the value of the option {shown} {refused}") from None


def _digits_after_point(value: Any) -> int:
    exponent = encode_decimal(value).as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _with_scale(encode: Callable[[Any], Any], scale: int) -> Callable[[Any], Any]:
    unit = Decimal((0, (1,), -scale))

    def encode_scaled(value: Any) -> Any:
        number = encode_decimal(value)
        try:
            return encode(number.quantize(unit, context=_EXACT))
        except (InvalidOperation, Inexact):
            raise Unstorable(f"must have at most {scale} digits after the point") from None

    return encode_scaled


def _compared(encode_scaled: Callable[[Any], Any], encode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return an encoder for compared numbers: one with more digits equals no stored number, and lies between two of them."""

    def encode_compared(value: Any) -> Any:
        try:
            return encode_scaled(value)
        except Unstorable:
            return encode(value)

    return encode_compared


def _between(scale: int) -> Callable[[Any], Any]:
    """Return an encoder of a compared number for a column of whole numbers: a half between the two that it lies between.

    No stored number equals it, and each is less or greater as it is than the number itself.
    """

    def encode(value: Any) -> float:
        digits = encode_decimal(value).scaleb(scale, context=_EXACT)
        if abs(digits) > INT_MOST:
            return math.copysign(_BEYOND, digits)
        whole = int(digits) - (digits < 0)  # it has a fraction
        if abs(whole) >= _HALVES:
            raise Unstorable(f"must have at most {scale} digits after the point")
        return whole + 0.5

    return encode


def _scaled_integer(scale: int, computing: Codec) -> Codec:
    """Return the codec of decimals that are stored as whole numbers of their last digit."""

    def encode(value: Any) -> int:
        whole = encode_decimal(value).scaleb(scale, context=_EXACT)
        if whole != whole.to_integral_value():
            raise Unstorable(f"must have at most {scale} digits after the point")
        if not -INT_MOST - 1 <= whole <= INT_MOST:
            raise Unstorable("must fit in 64 bits of its last digit")
        return int(whole)

    return Codec(Form.INTEGER, Family.DECIMAL, encode, lambda stored: Decimal(stored).scaleb(-scale), computing=computing)


def _optional(codec: Codec, stored: Mapping[Any, Any]) -> Codec:
    """Return the codec of a column with a few possible values. stored: their stored forms."""
    found = {form: value for value, form in stored.items()}
    width = max(map(len, found), default=1) if codec.form is Form.TEXT else None

    def decode(form: Any) -> Any:
        try:
            return found[form if codec.decode is None or form in found else codec.encode(codec.decode(form))]
        except KeyError:
            raise UnfitValue("is none of the options") from None

    return attrs.evolve(codec, decode=decode, width=width, options=tuple(found))


def _encoder(members: type[enum.Enum], stored: Mapping[Any, Any]) -> Callable[[Any], Any]:
    def encode(value: Any) -> Any:
        if value is None:
            raise NoneGiven
        if not isinstance(value, members) or value not in stored:  # flags can be combined
            raise Unstorable(f"must be one of {members.__name__}")
        return stored[value]

    return encode
