"""Storage of values in fields of a hash, and in members of a sorted set.

============= ==================================================================================
kind          bytes
============= ==================================================================================
int, datetime 20 digits that sort like the value in every locale: the 64-bit number plus 2**63
timedelta     the same, in microseconds
bool          ``0`` or ``1``
float         the shortest text that gives the same number back
list, dict    canonical JSON (module ``json_text``)
any other     its ISO or plain text in UTF-8; bytes unchanged; an enum by its value
============= ==================================================================================

``None`` is a missing field (class RowCodec).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.json_reading import json_decoder
from resourcekit.data_layers.json_text import json_encoder
from resourcekit.data_layers.redis.unread import PartlyRead, Unread, require_read
from resourcekit.data_layers.rows.missing_values import MissingValues
from resourcekit.data_layers.rows.values import Refused
from resourcekit.data_layers.rows.writes import Keep
from resourcekit.data_layers.unstorable import Unstorable, unfit_value
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.resource_info import ResourceInfo
from resourcekit.signals import require_no_signal

__all__ = ["NONES", "Codec", "RowCodec", "StrictKeep", "codec_for", "sortable"]

Codec = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
"""Two functions: from a value to its bytes, and back. Neither is called with ``None``."""

NONES = b"~~"
"""Field of a record's hash: the attributes that are ``None`` although their default is not. No index can have this name."""

_Stored = tuple[str, bytes | None, Callable[[bytes], Any]]
"""An attribute, its bytes, and their decoder."""

_BIAS = 2**63
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_JSON = frozenset({Kind.LIST, Kind.MAP, Kind.ANY})
_SORTABLE = frozenset({Kind.INTEGER, Kind.DATETIME, Kind.DURATION})


def _number(value: Any) -> bytes:
    whole = int(value)
    if whole != value:
        raise ValueError("no whole number")
    return b"%020d" % (whole + _BIAS)


def _text_codec(write: Callable[[Any], str], read: Callable[[str], Any]) -> Codec:
    return lambda value: write(value).encode(), lambda given: read(given.decode())


def _shortest(number: Any) -> bytes:
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


_CODECS: dict[Kind, Codec] = {
    Kind.STRING: (str.encode, bytes.decode),
    Kind.INTEGER: (_number, lambda given: int(given) - _BIAS),
    Kind.FLOAT: _text_codec(repr, float),
    Kind.BOOLEAN: (lambda value: b"1" if value else b"0", {b"0": False, b"1": True}.__getitem__),
    Kind.DECIMAL: _text_codec("{:f}".format, Decimal),
    Kind.DATETIME: (
        lambda value: _number((value - _EPOCH) // _MICROSECOND),
        lambda given: _EPOCH + dt.timedelta(microseconds=int(given) - _BIAS),
    ),
    Kind.DATE: _text_codec(dt.date.isoformat, dt.date.fromisoformat),
    Kind.TIME: _text_codec(dt.time.isoformat, dt.time.fromisoformat),
    Kind.DURATION: (
        lambda value: _number(value // _MICROSECOND),
        lambda given: dt.timedelta(microseconds=int(given) - _BIAS),
    ),
    Kind.UUID: (lambda value: value.bytes, lambda given: uuid.UUID(bytes=given)),
    Kind.BYTES: (bytes, bytes),
}


def codec_for(type_: ValueType) -> Codec:
    """Return encoder and decoder for values of a type."""
    if type_.kind in _JSON:
        encode, decode = json_encoder(type_), json_decoder(type_)
        return lambda value: encode(value).encode(), lambda given: decode(given.decode())
    if type_.kind is Kind.ENUM:
        return _enum_codec(type_)
    if type_.kind is Kind.LITERAL:
        assert type_.held is not None
        to_bytes, from_bytes = _CODECS[type_.held.kind]
        options = {option: option for option in type_.options}
        return to_bytes, lambda given: options[from_bytes(given)]
    return _CODECS[type_.kind]


def _enum_codec(type_: ValueType) -> Codec:
    """Return encoder and decoder of the members of an enum, which are stored by their values."""
    assert type_.held is not None  # the declaration was refused otherwise
    to_bytes, _ = codec_for(type_.held)
    members = {to_bytes(member.value): member for member in type_.options}
    return lambda value: to_bytes(value.value), members.__getitem__


def sortable(type_: ValueType) -> bool:
    """Return whether the server may compare values of a type by comparing their bytes."""
    return type_.kind in _SORTABLE


class RowCodec:
    """Conversion between a row and the fields of its hash.

    A missing field is ``None``, or belongs to an attribute that was declared after the record was stored. If these two differ,
    because ``None`` is allowed and the default is another value, the field ``~~`` lists the attributes that are ``None``.
    """

    def __init__(self, info: ResourceInfo) -> None:
        codecs = {name: codec_for(attribute.type) for name, attribute in info.attributes.items()}
        self.encoders = {name: codec[0] for name, codec in codecs.items()}
        # Equal values have the same bytes in a key or an index, whatever their notation.
        kinds = {name: attribute.type.kind for name, attribute in info.attributes.items()}
        self.key_encoders = {name: _shortest if kinds[name] is Kind.DECIMAL else encode for name, encode in self.encoders.items()}
        self._decoders = {name: (name.encode(), codec[1]) for name, codec in codecs.items()}
        self._missing_values = MissingValues(info)
        self._resource = info.name
        self._primary_key = tuple(info.primary_key)
        self._key = tuple(name for name in info.primary_key if not info.attributes[name].sensitive)
        self._stored_none = self._missing_values.stored_none
        self._plain_none = {name for name, attribute in info.attributes.items() if attribute.allow_none} - self._stored_none

    def encode(self, row: Mapping[str, Any]) -> list[bytes]:
        """Return fields and values, alternating."""
        words: list[bytes] = []
        for name, encode in self.encoders.items():
            if (value := row[name]) is not None:
                words += (name.encode(), value.kept if type(value) is Unread else encode(value))
        if self._stored_none:
            words += (NONES, b",".join(name.encode() for name in self._stored_none if row[name] is None))
        return words

    def decode(self, kept: Mapping[bytes, bytes]) -> dict[str, Any]:
        """Return the row.

        Raise UnreadableValue for a value that does not fit its attribute's type, DataLayerError for one that is missing without default.
        """
        (row,) = require_read([self.decode_partly(kept)])
        return row

    def decode_partly(self, kept: Mapping[bytes, bytes]) -> dict[str, Any]:
        """Return the row; a PartlyRead if a value does not fit its attribute's type. Raise UnreadableValue for one of the key."""
        nones = kept.get(NONES)
        return self._decoded(((name, kept.get(field), decode) for name, (field, decode) in self._decoders.items()), nones)

    def key_of(self, kept: Mapping[bytes, bytes]) -> dict[str, Any]:
        """Return the attributes of the primary key."""
        decoders = ((name, self._decoders[name]) for name in self._primary_key)
        return self._decoded(((name, kept.get(field), decode) for name, (field, decode) in decoders), kept.get(NONES))

    def fields(self, names: tuple[str, ...]) -> tuple[bytes, ...]:
        """Return the fields to read for these attributes only."""
        more = () if self._stored_none.isdisjoint(names) else (NONES,)
        return (*(name.encode() for name in names), *more)

    def decode_some(self, names: tuple[str, ...], given: list[bytes | None]) -> dict[str, Any]:
        """Return a row of these attributes only, as ``decode_partly`` does. given: the values of ``fields``."""
        nones = given[-1] if len(given) > len(names) else None
        decoders = self._decoders
        return self._decoded(((name, value, decoders[name][1]) for name, value in zip(names, given, strict=False)), nones)

    def _decoded(self, values: Iterable[_Stored], nones: bytes | None) -> dict[str, Any]:
        row: dict[str, Any] = {}
        wrong: dict[str, bytes] = {}
        for name, value, decode in values:
            if value is None:
                row[name] = self._absent(name, nones)
                continue
            try:
                row[name] = decode(value)
            except Exception as error:  # its text may contain the value, so the other error is made outside of this block
                require_no_signal(error)
                row[name], wrong[name] = None, value
        return self._partly(row, wrong) if wrong else row

    def _partly(self, row: dict[str, Any], wrong: Mapping[str, bytes]) -> PartlyRead:
        shown = {name: row[name] for name in self._key if name in row and name not in wrong}
        errors = {name: unfit_value(name, shown, self._resource) for name in wrong}
        for name in self._primary_key:
            if name in wrong:
                raise errors[name]
        return PartlyRead({**row, **{name: Unread(errors[name], value) for name, value in wrong.items()}})

    def _absent(self, name: str, nones: bytes | None) -> Any:
        if name in self._plain_none or (nones and name.encode() in nones.split(b",")):
            return None
        return self._missing_values.value(name)

    def lacking(self, name: str) -> bytes | None:
        """Return the bytes of an attribute that a record lacks, empty for ``None``; ``None`` if they depend on the record."""
        if name in self._stored_none:
            return None
        default = self._missing_values.defaults.get(name)
        return b"" if default is None else self.encoders[name](default)


class StrictKeep(Keep):
    """Accepts only values that can be encoded as bytes, so that nothing is refused in the middle of a commit."""

    __slots__ = ("_encoders",)

    def __init__(self, info: ResourceInfo, codec: RowCodec) -> None:
        super().__init__(info)
        self._encoders = {name: codec.encoders[name] for name, fact in info.attributes.items() if fact.type.kind in _JSON}

    def value(self, field: str, value: Any) -> Any:
        if type(value) is Unread:
            value.refuse()
        kept = super().value(field, value)
        if kept is not None and field in self._encoders:
            try:
                self._encoders[field](kept)
            except (Unstorable, Refused) as refused:
                raise Invalid(FieldFinding(field, str(refused)), resource=self._resource) from None
        return kept
