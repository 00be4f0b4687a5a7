"""Takes a token apart (JWS compact form, RFC 7515, 7.1), strictly; it must never know a claim, a key or a store.

Whatever is refused here is raised outside the except block: a decoder's own error would carry the token along (P9).
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from collections import Counter
from functools import lru_cache
from json.scanner import make_scanner
from typing import Final, NamedTuple, NoReturn

from resourcekit_tokens.errors import BadSignature, InvalidToken

__all__ = ["MAX_TOKEN_LENGTH", "TokenHeader", "as_token", "check_text", "decode_part", "parse_object", "split_token"]

MAX_TOKEN_LENGTH: Final = 16 * 1024
"""Longest token that is looked at, in characters (which are bytes, for a token is ASCII)."""

_MAX_DEPTH: Final = 64  # of nested arrays and objects; the same on every Python, whatever its recursion limit
_CACHED_HEADER_LENGTH: Final = 512  # bytes; longer headers are rare, and not worth keeping
_KID_LENGTH: Final = 255  # code points

_STRAY: Final = ord("!")  # what every character that has no business in a token becomes
_STANDARD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FROM_URL_SAFE: Final = dict(zip(_STANDARD[:-2] + b"-_.", _STANDARD + b".", strict=True))
_TO_STANDARD: Final = bytes(_FROM_URL_SAFE.get(character, _STRAY) for character in range(256))
# By the number of characters in the last group of four: which last characters leave no stray bits behind.
_CANONICAL_LAST: Final = (_STANDARD, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING: Final = b"=="  # as much as any part may lack; what is too much is passed over

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")  # a pair of surrogates has become one code point by then
# A string may lack its end here: a pattern that cannot fail cannot be made to try again and again either.
_BRACKETS_AND_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
# Names that an error may tell; any other one is the token's own invention.
_TELLABLE: Final = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "fam", "purpose", "alg", "kid", "typ", "crit", "b64"}
)


class TokenHeader(NamedTuple):
    """What the header of a token claims about its signature; nothing of it is to be believed."""

    algorithm: str
    kid: str | None


def as_token(given: object) -> str:
    """What was given, if it can be a token at all, as a plain ``str``; raises InvalidToken for what is no text."""
    if isinstance(given, str):
        return str.__str__(given)  # a subclass may answer as it likes
    raise InvalidToken("A token must be a str in the compact form: of an issued token its .token, of bytes their text.")


def split_token(token: object) -> tuple[TokenHeader, bytes, bytes, bytes]:
    """Take a token in the compact form apart: exactly three parts, canonical base64url, unpadded.

    Returned are the header, read; the whole token, which up to its last dot is what was signed; the payload, decoded; and
    the signature, ready for ``decode_part``.
    Raises InvalidToken for any other form, for a header that is no JWS header or that uses extensions (`crit`, `b64`),
    and BadSignature for ``"alg": "none"`` and for an empty signature (an unsigned token is good for nothing).
    """
    text = token if type(token) is str else as_token(token)
    if len(text) > MAX_TOKEN_LENGTH:
        raise InvalidToken("The token is longer than 16 KiB; keep large data in a store and its key in the token.")
    if not text.isascii():
        raise InvalidToken("The token contains characters outside ASCII; pass it exactly as it was issued.")
    raw = text.encode()
    standard = raw.translate(_TO_STANDARD)
    parts = standard.split(b".")
    if len(parts) != 3 or _STRAY in standard:
        raise InvalidToken("A token is three parts in base64url, joined by dots, and nothing else; this is no signed JWT.")
    head, body, seal = parts
    header = _read_header_once(head) if len(head) <= _CACHED_HEADER_LENGTH else _read_header(head)
    if not seal:
        raise BadSignature("The token has no signature; only signed tokens are accepted.")
    if not body or body[-1] not in _CANONICAL_LAST[len(body) & 3] or seal[-1] not in _CANONICAL_LAST[len(seal) & 3]:
        raise _not_canonical()
    return header, raw, a2b_base64(body + _PADDING), seal


def decode_part(part: bytes) -> bytes:
    """The bytes of a part that ``split_token`` found canonical."""
    return a2b_base64(part + _PADDING)


def parse_object(raw: bytes, part: str) -> dict[str, object]:
    """The JSON object in ``raw``, whose names are distinct at every level; raises InvalidToken for anything else.

    part: what messages call it. Nesting ends at 64 levels; NaN and Infinity are refused, for JSON does not know them.
    What has no object inside is read by the bare scanner, in a third less time. It would not see a name that comes
    twice; but members are parted by commas, and each has a colon: where the text has no more commas, or no more colons,
    than the names that are left call for, none came twice.
    """
    name: str | None = None
    try:
        text = raw.decode()
        # The only brace that opens must be the first character, and arrays alone must not be able to nest too deeply.
        if text.rfind("{") == 0 and ("[" not in text or text.count("[") < _MAX_DEPTH):
            value: dict[str, object]
            value, end = _SCAN(text, 0)
            if end == len(text) and (text.count(",") == len(value) - 1 or text.count(":") == len(value)):
                return value
        return _parse_strictly(text)
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except _Refused as refused:
        problem, name = refused.problem, refused.name
    except (ValueError, StopIteration):  # what the decoder or the bare scanner raises, or an int of too many digits
        problem = "is not JSON"
    raise InvalidToken(f"The {part} of the token {problem}; it was not made by a JWT library.", claim=name)


def _parse_strictly(text: str) -> dict[str, object]:
    if text.count("[") + text.count("{") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
        raise _Refused("is nested too deeply")
    value: object = None
    end = 0
    if text.startswith("{"):
        value, end = _SCAN_STRICTLY(text, 0)
    if end != len(text):  # white space around it, or garbage
        value = _JSON.decode(text)
    if not isinstance(value, dict):
        raise _Refused("is not a JSON object")
    return value


def check_text(name: str, value: object, longest: int) -> None:
    """Return if the claim or parameter is text of 1 to ``longest`` code points that every store keeps, else InvalidToken."""
    if not isinstance(value, str):
        raise InvalidToken(f'"{name}" is not text; have the issuer write it as a JSON string.', claim=name)
    if not 0 < len(value) <= longest:
        raise InvalidToken(f'"{name}" must have 1 to {longest} characters.', claim=name)
    if _UNSTORABLE.search(value):
        raise InvalidToken(f'"{name}" contains NUL or half a surrogate pair, which no store keeps.', claim=name)


class _Refused(ValueError):
    """Raised inside the JSON reader for what JSON readers usually let pass."""

    def __init__(self, problem: str, name: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.name = problem, name


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(name for name, _ in pairs)
        raise _Refused("says one name twice", next((name for name in times if times[name] > 1 and name in _TELLABLE), None))
    return found


def _constant(_: str) -> NoReturn:
    raise _Refused("contains NaN or Infinity, which JSON does not know")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
# The scanners that decoders use, written in C. The stubs name their class, but any decoder's settings will do.
_SCAN_STRICTLY: Final = make_scanner(_JSON)  # type: ignore[arg-type]
_SCAN: Final = make_scanner(json.JSONDecoder(parse_constant=_constant))  # type: ignore[arg-type]


def _depth(text: str) -> int:
    """How deep arrays and objects are nested in a JSON text, without recursion."""
    depth = deepest = 0
    for match in _BRACKETS_AND_STRINGS.finditer(text):
        mark = match[0]
        depth += 1 if mark in "[{" else -1 if mark in "]}" else 0
        deepest = max(deepest, depth)
    return deepest


def _not_canonical() -> InvalidToken:
    return InvalidToken("A part of the token is not canonical base64url; pass the token exactly as it was issued.")


def _read_header(segment: bytes) -> TokenHeader:
    if not segment or segment[-1] not in _CANONICAL_LAST[len(segment) & 3]:
        raise _not_canonical()
    header = parse_object(decode_part(segment), "header")
    for name in ("crit", "b64"):
        if name in header:
            raise InvalidToken(f'The header uses "{name}", an extension that is not supported here.', claim=name)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise InvalidToken('The header has no "alg", or one that is not text (RFC 7515, 4.1.1).', claim="alg")
    if algorithm.lower() == "none":
        raise BadSignature("The token says that it is not signed; only signed tokens are accepted.", claim="alg")
    if not isinstance(header.get("typ", ""), str):
        raise InvalidToken('The "typ" of the header is not text (RFC 7515, 4.1.9).', claim="typ")
    if "kid" in header:
        check_text("kid", kid, _KID_LENGTH)
    return TokenHeader(algorithm, kid if isinstance(kid, str) else None)


# Tokens of one issuer share their header. It holds no secret, and failures are not kept.
_read_header_once: Final = lru_cache(maxsize=128)(_read_header)
