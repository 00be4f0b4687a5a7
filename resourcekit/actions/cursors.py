"""Cursors: the position of a record in an order, as opaque text that a client may keep.

A maintainer opens it to change what a cursor holds or how it is protected. Without a secret a cursor has a checksum. With a secret
it is authenticated and encrypted: the tag is an HMAC of the content, and the key stream is derived from the tag, so that equal
content gives equal cursors and no nonce is needed (the SIV construction).
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import enum
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from resourcekit.expressions.nodes import Sort
from resourcekit.expressions.shape import Shaper

__all__ = ["CursorError", "Cursors"]

_VERSION = 1
_OPEN, _SEALED = b"\x01", b"\x02"
_CHECK_BYTES = 8
"""Length of the checksum of a cursor without a secret. It detects torn text, not forgery."""
_TAG_BYTES = 16
_BLOCK_BYTES = 32
_encoded = json.JSONEncoder(separators=(",", ":")).encode
"""Made once, because ``json.dumps`` makes an encoder at each call."""
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+")


class CursorError(ValueError):
    """The text is no cursor of this order."""


@attrs.frozen
class Cursors:
    """Writes and reads the cursors of one order of one resource.

    header: what every cursor of this order has in common, and no other order.
    families: the type families of the sort keys; of an enum, its class.
    secret: ``None`` for cursors with a checksum only.
    """

    header: bytes
    families: tuple[object, ...]
    secret: bytes | None

    @classmethod
    def of(cls, resource: str, order: tuple[Sort, ...], families: tuple[object, ...], secret: bytes | None) -> Cursors:
        """Return the cursors of an order."""
        shaper = Shaper()
        _, shape = shaper.shape_order(order)
        constants = [_dump(value) for value in shaper.params.values()]
        return cls(json.dumps([_VERSION, resource, repr(shape), constants]).encode(), families, secret)

    def write(self, position: Sequence[object]) -> str:
        """Return the cursor of a position: the values of the sort keys."""
        content = _encoded([_dump(value) for value in position]).encode()
        if self.secret is None:
            return _text(_OPEN + self._checksum(content) + content)
        tag = self._tag(content)
        return _text(_SEALED + tag + self._crypted(tag, content))

    def read(self, cursor: str) -> tuple[Any, ...]:
        """Return the position. Raise CursorError for a text that was torn, changed, or made for another order or resource."""
        try:
            values = json.loads(self._opened(_bytes(cursor)))
            if len(values) != len(self.families):
                raise CursorError
            return tuple(_load(value, family) for value, family in zip(values, self.families, strict=True))
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError):
            raise CursorError from None

    def _opened(self, raw: bytes) -> bytes:
        kind, rest = raw[:1], raw[1:]
        if self.secret is None and kind == _OPEN:
            check, content = rest[:_CHECK_BYTES], rest[_CHECK_BYTES:]
            if hmac.compare_digest(check, self._checksum(content)):
                return content
        if self.secret is not None and kind == _SEALED:
            tag, content = rest[:_TAG_BYTES], self._crypted(rest[:_TAG_BYTES], rest[_TAG_BYTES:])
            if hmac.compare_digest(tag, self._tag(content)):
                return content
        raise CursorError

    def _checksum(self, content: bytes) -> bytes:
        return hashlib.sha256(self.header + b"\0" + content).digest()[:_CHECK_BYTES]

    def _keyed(self, purpose: bytes, content: bytes) -> bytes:
        assert self.secret is not None
        key = hmac.digest(self.secret, b"resourcekit cursor " + purpose, "sha256")
        return hmac.digest(key, content, "sha256")

    def _tag(self, content: bytes) -> bytes:
        return self._keyed(b"tag", self.header + b"\0" + content)[:_TAG_BYTES]

    def _crypted(self, tag: bytes, content: bytes) -> bytes:
        """Encrypt or decrypt: combine the content with a key stream that depends on the tag."""
        blocks = -(-len(content) // _BLOCK_BYTES)
        stream = b"".join(self._keyed(b"stream", tag + number.to_bytes(8, "big")) for number in range(blocks))
        return bytes(one ^ other for one, other in zip(content, stream, strict=False))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(cursor: str) -> bytes:
    if not _ALPHABET.fullmatch(cursor):
        raise CursorError
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    if _text(raw) != cursor:  # the last character has bits that decoding ignores
        raise CursorError
    return raw


_TAGGED: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (enum.Enum, "e", lambda value: value.name),
    (dt.datetime, "t", lambda value: value.isoformat()),
    (dt.date, "d", lambda value: value.isoformat()),
    (dt.time, "c", lambda value: value.isoformat()),
    (dt.timedelta, "s", lambda value: [value.days, value.seconds, value.microseconds]),
    (decimal.Decimal, "n", str),
    (uuid.UUID, "u", lambda value: value.hex),
    (bytes, "b", lambda value: value.hex()),
)
"""Types that JSON has not, each with its tag and its JSON form. A datetime is a date too, so it comes first."""

_LOADED: Mapping[str, Callable[[Any], Any]] = {
    "t": dt.datetime.fromisoformat,
    "d": dt.date.fromisoformat,
    "c": dt.time.fromisoformat,
    "s": lambda parts: dt.timedelta(*parts),
    "n": decimal.Decimal,
    "u": lambda text: uuid.UUID(hex=text),
    "b": bytes.fromhex,
}


def _dump(value: object) -> object:
    for kind, tag, dump in _TAGGED:
        if isinstance(value, kind):
            return [tag, dump(value)]
    return value


def _load(value: Any, family: object) -> object:
    if not isinstance(value, list):
        return value
    tag, stored = value
    if tag == "e" and isinstance(family, type) and issubclass(family, enum.Enum):
        return family[stored]
    return _LOADED[tag](stored)
