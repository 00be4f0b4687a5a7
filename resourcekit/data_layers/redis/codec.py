"""How a value is kept in a field of a hash, and in the member of a sorted set. It knows types, and no server.

============= ==================================================================================
kind          bytes
============= ==================================================================================
int, datetime 20 digits that sort as the value does, in every locale: the 64-bit number plus 2**63
timedelta     the same, in microseconds
bool          ``0`` or ``1``
float         shortest text that gives the same number back
list, dict    canonical JSON (see ``json_text``)
any other     its ISO or plain text in UTF-8; bytes as they are; an enum by its name
============= ==================================================================================

``None`` is a field that is not there.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.json_text import json_decoder, json_encoder
from resourcekit.data_layers.rows.values import Refused
from resourcekit.data_layers.rows.writes import Keep
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.resource_info import ResourceInfo

__all__ = ["Codec", "RowCodec", "StrictKeep", "codec_for", "sortable"]

Codec = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
"""Both ways: from a value to its bytes, and back. Neither meets ``None``."""

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


_CODECS: dict[Kind, Codec] = {
    Kind.STRING: (str.encode, bytes.decode),
    Kind.INTEGER: (_number, lambda given: int(given) - _BIAS),
    Kind.FLOAT: _text_codec(repr, float),
    Kind.BOOLEAN: (lambda value: b"1" if value else b"0", lambda given: given == b"1"),
    Kind.DECIMAL: _text_codec(str, Decimal),
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
    """Return both ways for values of a type."""
    if type_.kind in _JSON:
        encode, decode = json_encoder(type_), json_decoder(type_)
        return lambda value: encode(value).encode(), lambda given: decode(given.decode())
    if type_.kind is Kind.ENUM:
        return lambda value: value.name.encode(), lambda given: type_.python[given.decode()]
    if type_.kind is Kind.LITERAL:
        kinds = {str: Kind.STRING, int: Kind.INTEGER, bool: Kind.BOOLEAN}
        return _CODECS[kinds[type_.python]]
    return _CODECS[type_.kind]


def sortable(type_: ValueType) -> bool:
    """Say whether the server may compare values of a type by comparing their bytes."""
    return type_.kind in _SORTABLE


class RowCodec:
    """Both ways between a row and the fields of its hash."""

    def __init__(self, info: ResourceInfo) -> None:
        codecs = {name: codec_for(attribute.type) for name, attribute in info.attributes.items()}
        self.encoders = {name: codec[0] for name, codec in codecs.items()}
        self._decoders = [(name, name.encode(), codec[1]) for name, codec in codecs.items()]

    def encode(self, row: Mapping[str, Any]) -> list[bytes]:
        """Return fields and values in turn."""
        words: list[bytes] = []
        for name, encode in self.encoders.items():
            if (value := row[name]) is not None:
                words += (name.encode(), encode(value))
        return words

    def decode(self, kept: Mapping[bytes, bytes]) -> dict[str, Any]:
        """Return the row."""
        return {name: None if (given := kept.get(field)) is None else decode(given) for name, field, decode in self._decoders}

    def decode_some(self, names: tuple[str, ...], given: list[bytes | None]) -> dict[str, Any]:
        """Return a row of these attributes only."""
        decoders = {name: decode for name, _, decode in self._decoders}
        return {name: None if value is None else decoders[name](value) for name, value in zip(names, given, strict=True)}


class StrictKeep(Keep):
    """Keeps only what can be written as bytes too, so that nothing is refused in the middle of a commit."""

    __slots__ = ("_encoders",)

    def __init__(self, info: ResourceInfo, codec: RowCodec) -> None:
        super().__init__(info)
        self._encoders = {name: codec.encoders[name] for name, fact in info.attributes.items() if fact.type.kind in _JSON}

    def value(self, field: str, value: Any) -> Any:
        """See Keep."""
        kept = super().value(field, value)
        if kept is not None and field in self._encoders:
            try:
                self._encoders[field](kept)
            except (Unstorable, Refused) as refused:
                raise Invalid(FieldFinding(field, str(refused)), resource=self._resource) from None
        return kept
