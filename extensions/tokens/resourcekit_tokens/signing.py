"""Signs and verifies tokens, and is the only user of PyJWT; it must never know a store, or what the time is.

PyJWT computes signatures and nothing else: parts and claims come from our strict reader, so what was verified and what
is read are the same bytes.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from jwt.algorithms import get_default_algorithms

from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit_tokens.claims import REGISTERED_CLAIMS, Claims, read_claims
from resourcekit_tokens.compact import decode_part, parse_object, split_token
from resourcekit_tokens.errors import BadSignature, InvalidToken

if TYPE_CHECKING:
    from resourcekit_tokens.compact import TokenHeader
    from resourcekit_tokens.keys import JWT, SigningKey

__all__ = ["check_signature", "new_claims", "sign", "verify_signature"]

_ALGORITHMS: Final = get_default_algorithms()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_JTI_BYTES: Final = 16  # 128 random bits: two equal ones are not to be expected


def new_claims(
    options: JWT,
    *,
    subject: str | None,
    purpose: str = "user",
    lifetime: timedelta | None = None,
    moment: datetime,
    family: str | None = None,
    extra: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """The payload of a new token, with a random `jti`.

    lifetime: above zero; that of the purpose unless given. moment: aware; becomes `iat`, to the microsecond, and `exp`
    is exactly ``moment + lifetime``: both whole numbers when they are, else fractions (RFC 7519, 2 allows them).
    extra: further claims; those of RFC 7519, `fam`, and the claims of purpose and subject cannot be given so.
    Raises InvalidArgument, one finding each, for claims that could not be read back.
    """
    rules = options.rules
    if not isinstance(extra, Mapping | None):
        raise InvalidArgument(FieldFinding("claims", "must be a mapping"))
    reserved = sorted((extra or {}).keys() & (REGISTERED_CLAIMS | {rules.purpose_claim, rules.subject_claim}))
    if reserved:
        raise InvalidArgument([FieldFinding(name, "is set by resourcekit; leave it out of the claims") for name in reserved])
    life = options.lifetime(purpose) if lifetime is None else lifetime
    if life <= timedelta(0):
        raise InvalidArgument(FieldFinding("lifetime", "must be above zero"))
    issued = (moment - _EPOCH) // _MICROSECOND
    claims: dict[str, object] = dict(extra or {})
    claims["jti"] = secrets.token_urlsafe(_JTI_BYTES)
    claims["iat"], claims["exp"] = _seconds(issued), _seconds(issued + life // _MICROSECOND)
    claims[rules.purpose_claim] = _word(options, purpose)
    if subject is not None:
        claims[rules.subject_claim] = subject
    if family is not None:
        claims["fam"] = family
    if options.issuer is not None:
        claims["iss"] = options.issuer
    if options.audiences:
        claims["aud"] = options.audience if isinstance(options.audience, str) else list(options.audiences)
    _accepted(lambda: Claims(claims, rules))
    return claims


def sign(options: JWT, payload: Mapping[str, object]) -> tuple[str, Claims]:
    """The signed token, in the compact form, by the first key that is not ``verify_only``; and what it says, read back.

    Raises InvalidArgument for a payload that is not JSON, or that we would not accept back (over 16 KiB, no `jti`...);
    DeclarationError for a key that cannot be read or cannot sign.
    """
    key = options.signing_key
    header: dict[str, str] = {"alg": key.algorithm, "typ": "JWT"}
    if key.kid is not None:
        header["kid"] = key.kid
    signing_input = f"{_base64url(_json(header))}.{_base64url(_json(payload))}"
    signature: bytes = _ALGORITHMS[key.algorithm].sign(signing_input.encode("ascii"), key.material().signing)
    token = f"{signing_input}.{_base64url(signature)}"
    return token, _accepted(lambda: read_claims(token, rules=options.rules))


def verify_signature(options: JWT, token: object) -> Claims:
    """The claims of a token that one of our keys has signed, for us: signature, `iss` and `aud` are checked.

    Not checked here: times (``check_times``), purpose, revocation.
    Raises InvalidToken for garbage and for another issuer or audience, BadSignature where no key of ours has signed
    (the algorithm is the key's, whatever the token says; RFC 8725, 3.1), DeclarationError for a key that cannot be read.
    """
    header, raw, payload, seal = split_token(token)
    check_signature(options, header, raw[: -len(seal) - 1], decode_part(seal))
    # Read only now: what nobody whom we trust has signed need not be understood.
    claims = Claims(parse_object(payload, "payload"), options.rules)
    if options.issuer is not None and claims.get("iss") != options.issuer:
        raise InvalidToken("The token was not issued by the issuer that this resource accepts.", claim="iss")
    if "aud" in claims or options.audiences:
        given = claims.get("aud", [])
        named = given if isinstance(given, list) else [given]
        if not any(entry in options.audiences for entry in named):
            raise InvalidToken("The token is meant for another audience; compare it with JWT(audience=...).", claim="aud")
    return claims


def check_signature(options: JWT, header: TokenHeader, message: bytes, signature: bytes) -> None:
    """Return if a key that the header may mean made this signature of the message (RFC 7515, 5.2).

    Raises BadSignature if none did, DeclarationError for a key that cannot be read.
    """
    if not any(_made_by(key, message, signature) for key in _candidates(options, header)):
        raise BadSignature("The signature does not fit: the token was altered, or signed with another key.")


def _candidates(options: JWT, header: TokenHeader) -> list[SigningKey]:
    """The keys that may have signed: the one of that kid, or all where the token names none; for that algorithm only."""
    named = [key for key in options.keys if header.kid is None or key.kid == header.kid]
    if not named:
        raise BadSignature("The token names a key that is not known here; add it to JWT(key=[...]).", claim="kid")
    fitting = [key for key in named if key.algorithm == header.algorithm]
    if not fitting:
        raise BadSignature("The token names another algorithm than its key is for.", claim="alg")
    return fitting


def _made_by(key: SigningKey, message: bytes, signature: bytes) -> bool:
    algorithm, material = _ALGORITHMS[key.algorithm], key.material()
    try:
        return algorithm.verify(message, material.verifying, signature)
    except ValueError:  # a signature whose very form is wrong, on some versions of cryptography
        return False


def _word(options: JWT, purpose: str) -> str:
    word = options.rules.word_for(purpose)
    if word is None:
        message = (
            "would be read back as another purpose, by the option purposes of JWT; name that purpose, or map a word to this one"
        )
        raise InvalidArgument(FieldFinding("purpose", message))
    return word


def _accepted(read: Callable[[], Claims]) -> Claims:
    """Run our own reader over what we are about to hand out; what it refuses is the caller's argument."""
    try:
        return read()
    except InvalidToken as refused:
        finding = FieldFinding(refused.claim or "claims", str(refused))
    raise InvalidArgument(finding)


def _json(values: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(values, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        pass  # Raised below: json's own message may quote a value.
    raise InvalidArgument(FieldFinding("claims", "cannot be written as JSON; use text, finite numbers, lists and dicts"))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _seconds(microseconds: int) -> int | float:
    """Seconds since 1970 as JSON should have them: whole where they are."""
    whole, rest = divmod(microseconds, 1_000_000)
    return microseconds / 1_000_000 if rest else whole
