"""The strict parser of tokens (JWS compact form, RFC 7515, 7.1), and the check of their signatures.

A maintainer opens it to change which texts are refused, or which key may have signed a token. PyJWT computes signatures and does
nothing else: parts and claims come from the parser here, so what was verified and what is read are the same bytes. Errors are
raised outside the except block: the decoder's own error would contain the token, against promise P9 (no secrets in logs).
"""

from __future__ import annotations

import functools
import json
import re
from binascii import a2b_base64
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from resourcekit_tokens.claims import SCOPE, TOKEN_HASH, USUAL_RULES, ClaimRules, Claims, check_text, token_hash
from resourcekit_tokens.errors import BadSignature, InvalidToken
from resourcekit_tokens.keys.signing_key import edwards_curve
from resourcekit_tokens.options import TokenOptions

if TYPE_CHECKING:
    from resourcekit_tokens.keys.jwt import JWT, SigningKey
    from resourcekit_tokens.keys.key_sets import JWKSet

__all__ = [
    "MAX_TOKEN_LENGTH",
    "TokenHeader",
    "algorithms",
    "as_token",
    "check_signature",
    "decode_part",
    "key_set_for",
    "keys_ready",
    "parse_object",
    "read_claims",
    "split_token",
    "trusted_claims",
    "verify_signature",
]

MAX_TOKEN_LENGTH: Final = 16 * 1024
"""Longest token that is looked at, in characters (which are bytes, for a token is ASCII)."""

_MAX_DEPTH: Final = 64  # of nested arrays and objects; the same on every Python, whatever its recursion limit

_CACHED_HEADER_LENGTH: Final = 512  # bytes; longer headers are rare, and not worth keeping

_KID_LENGTH: Final = 255  # code points

_STRAY: Final = ord("!")  # replaces each character that a token must not have

_STANDARD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

_FROM_URL_SAFE: Final = dict(zip(_STANDARD[:-2] + b"-_.", _STANDARD + b".", strict=True))

_TO_STANDARD: Final = bytes(_FROM_URL_SAFE.get(character, _STRAY) for character in range(256))


# By the number of characters in the last group of four: which last characters leave no stray bits behind.
_CANONICAL_LAST: Final = (_STANDARD, b"", b"AQgw", b"AEIMQUYcgkosw048")

_PADDING: Final = b"=="  # as much as any part may lack; what is too much is passed over


# A string may lack its end here: a pattern that cannot fail cannot be made to try again and again either.
_BRACKETS_AND_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


# Names of claims and parameters that an error may quote. Any other name could be chosen by an attacker.
_QUOTABLE: Final = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "fam", "purpose", "alg", "kid", "typ", "crit", "b64"}
)


class TokenHeader(NamedTuple):
    """Algorithm and key id that the header of a token names. Neither is trusted."""

    algorithm: str
    kid: str | None


def as_token(given: object) -> str:
    """Return the argument as a plain ``str`` if it can be a token. Raise InvalidToken if it is not text."""
    if isinstance(given, str):
        return str.__str__(given)  # a subclass may answer as it likes
    raise InvalidToken("A token must be a str in the compact form: of an issued token its .token, of bytes their text.")


def split_token(token: object) -> tuple[TokenHeader, bytes, bytes, bytes]:
    """Take a token in the compact form apart: exactly three parts, canonical base64url, unpadded.

    Returned are the header, read; the whole token, which up to its last dot is what was signed; the payload, decoded; and
    the signature, ready for ``decode_part``.
    Raises InvalidToken for any other form, for a header that is no JWS header or that uses extensions (`crit`, `b64`),
    and BadSignature for ``"alg": "none"`` and for an empty signature.
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
        if text[:7].lower() == "bearer ":
            raise InvalidToken('The text is an Authorization header; pass the token alone, without "Bearer ".')
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


class _Refused(ValueError):
    """Raised inside the JSON reader for what JSON readers usually let pass."""

    def __init__(self, problem: str, name: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.name = problem, name


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(name for name, _ in pairs)
        raise _Refused("has one name twice", next((name for name in times if times[name] > 1 and name in _QUOTABLE), None))
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


@functools.cache
def algorithms() -> dict[str, Any]:
    """Return the algorithms of PyJWT by name. It is imported when the first token is signed or verified."""
    from jwt.algorithms import get_default_algorithms

    return get_default_algorithms()


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


def read_claims(token: object, *, rules: ClaimRules = USUAL_RULES, is_ours: bool = False) -> Claims:
    """Return the claims of ``token``, read strictly. **The signature is not verified**: never grant access by them.

    token: the compact form (RFC 7515, 7.1), a ``str`` of at most 16 KiB.
    Raises InvalidToken, with the claim's name, if the token is not in the compact form; BadSignature for an unsigned token.
    """
    _, raw, payload, seal = split_token(token)
    jti = token_hash(raw[: -len(seal) - 1]) if rules.jti_claim == TOKEN_HASH else None
    return Claims(parse_object(payload, "payload"), rules, is_ours=is_ours, jti=jti)


def verify_signature(options: JWT, token: object) -> Claims:
    """Return the claims of a token that one of these keys has signed. Signature, `iss` and `aud` are checked.

    Not checked here: times (``check_times``), purpose, revocation.
    Raises InvalidToken for a malformed token and for another issuer or audience, BadSignature if none of the keys has signed it
    (the key determines the algorithm, whatever the token names; RFC 8725, 3.1), DeclarationError for a key that cannot be read.
    """
    header, raw, payload, seal = split_token(token)
    signed, signature = raw[: -len(seal) - 1], decode_part(seal)
    # The issuer chooses among several key sets. Nothing else is believed before the signature is verified.
    issuer = None if options.issuers is None else _issuer_of(options.issuers, payload)
    if issuer is None and options.issuers is not None and not options.keys and options.key_set is None:
        raise InvalidToken("The token was not issued by any of the issuers that this resource accepts.", claim="iss")
    key = check_signature(options, header, signed, signature, issuer=issuer)
    jti = token_hash(signed) if options.rules.jti_claim == TOKEN_HASH else None
    is_ours = key.ready.signing is not None
    facts = parse_object(payload, "payload")
    if options.issuers is not None:
        _refuse_scoped(options.rules, facts)
    claims = Claims(facts, options.rules, is_ours=is_ours, jti=jti, issuer=issuer)
    if issuer is None and options.issuer_names and claims.get("iss") not in options.issuer_names:
        raise InvalidToken("The token was not issued by the issuer that this resource accepts.", claim="iss")
    if claims.get("aud") is not None or options.audiences:
        given = claims.get("aud") or []
        named = given if isinstance(given, list) else [given]
        if not any(entry in options.audiences for entry in named):
            raise InvalidToken("The token is meant for another audience; compare it with JWT(audience=...).", claim="aud")
    return claims


def _refuse_scoped(rules: ClaimRules, payload: Mapping[str, object]) -> None:
    """Raise InvalidToken for an identity or a family that is written like those made of an issuer: it would meet another provider's."""
    for claim in (rules.jti_claim, rules.family_claim):
        if str(payload.get(claim, "")).startswith(SCOPE):
            raise InvalidToken(
                f'The "{claim}" claim begins with "{SCOPE}", which is reserved for tokens of several providers.', claim=claim
            )


def key_set_for(options: JWT, token: object) -> tuple[str | None, JWKSet | None]:
    """Return the kid that a token names, and the key set that would verify it; ``None`` if a key of our own does.

    Nothing is verified. Raises InvalidToken for a malformed token.
    """
    header, _, payload, _ = split_token(token)
    if any(key.kid is not None and key.kid == header.kid for key in options.keys):
        return header.kid, None
    if options.issuers is None:
        return header.kid, options.key_set
    issuer = _issuer_of(options.issuers, payload)
    return header.kid, options.key_set if issuer is None else options.issuers[issuer]


def _issuer_of(issuers: Mapping[str, object], payload: bytes) -> str | None:
    """Return the provider that a token names, if it is one of these."""
    issuer = parse_object(payload, "payload").get("iss")
    return issuer if isinstance(issuer, str) and issuer in issuers else None


def check_signature(
    options: JWT, header: TokenHeader, message: bytes, signature: bytes, *, issuer: str | None = None
) -> SigningKey:
    """Return the key, of those that the header may mean, that made this signature of the message (RFC 7515, 5.2).

    issuer: the provider whose key set counts, of several. Raises BadSignature if none did, DeclarationError for a key that cannot be
    read, Unavailable for a key set that could not be fetched.
    """
    for key in _candidates(options, header, issuer):
        if _made_by(key, message, signature):
            return key
    raise BadSignature("The signature does not fit: the token was altered, or signed with another key.")


def _candidates(options: JWT, header: TokenHeader, issuer: str | None) -> list[SigningKey]:
    """The keys that may have signed: those of that kid, or all where the token names none; for that algorithm only."""
    named: list[SigningKey] = []
    if issuer is None:
        named = [key for key in options.keys if header.kid is None or key.kid == header.kid]
        key_set = options.key_set
    else:
        key_set = (options.issuers or {})[issuer]
    if key_set is not None and not (header.kid is not None and any(_serves(key, header.algorithm) for key in named)):
        named += key_set.keys_for(header.kid)
    if not named:
        raise BadSignature("The token names a key that is not known here; add it to JWT(key=[...]).", claim="kid")
    fitting = [key for key in named if _serves(key, header.algorithm)]
    if not fitting:
        raise BadSignature("The token names another algorithm than its key is for.", claim="alg")
    return fitting


def _serves(key: SigningKey, algorithm: str) -> bool:
    """Return whether a key is for an algorithm. EdDSA has the names of its curves too (RFC 9864)."""
    if key.algorithm == algorithm:
        return True
    is_curve = key.algorithm == "EdDSA" and algorithm in ("Ed25519", "Ed448")
    return is_curve and edwards_curve(key.ready.verifying) == algorithm


def _made_by(key: SigningKey, message: bytes, signature: bytes) -> bool:
    try:
        return bool(algorithms()[key.algorithm].verify(message, key.ready.verifying, signature))
    except ValueError:  # a signature whose very form is wrong, on some versions of cryptography
        return False


async def keys_ready(options: TokenOptions, token: object) -> None:
    """Fetch the key set of a provider if the key of a token cannot be known without that. Does nothing for a malformed token."""
    jwt = options.keys
    if jwt is None or not jwt.fetches:
        return

    try:
        kid, key_set = key_set_for(jwt, token)
    except InvalidToken:
        return
    if key_set is not None:
        await key_set.prepare(kid)


def trusted_claims(options: TokenOptions, token: object) -> Claims:
    """Return the claims of a token that a write may rely on, for promise P5 (only verified tokens write).

    If the resource has keys, signature, issuer and audience are verified. Without keys, the caller must have verified the token. Times
    are not checked, because an expired token may still be revoked. Raises InvalidToken.
    """
    if options.keys is not None:
        return verify_signature(options.keys, token)
    return read_claims(token) if options.jwt is None else read_claims(token, rules=options.jwt.rules)
