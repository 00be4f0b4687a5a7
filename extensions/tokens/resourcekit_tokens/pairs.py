"""Makes signed tokens, and the pairs of a sign-in; makes a pair again from its record. It reads no store.

A maintainer opens it to change the claims of new tokens.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument, Misuse
from resourcekit.extending import KnownNames
from resourcekit_tokens.claims import GENERATION_CLAIM, NUMBER_CLAIM, TOKEN_HASH, Claims, extra_claims, family_of
from resourcekit_tokens.errors import InvalidToken, TokenExpired
from resourcekit_tokens.keys.jwt import JWT, SigningKey
from resourcekit_tokens.revocation_rules import refused_subject, refused_text
from resourcekit_tokens.signature import algorithms, read_claims
from resourcekit_tokens.tokens import Tokens
from resourcekit_tokens.verification import too_long

__all__ = [
    "ACCESS_LIFETIME",
    "IssuedToken",
    "NewClaims",
    "PairTerms",
    "TokenPair",
    "access_jti",
    "access_life",
    "keys_of",
    "make_pair",
    "make_token",
    "new_claims",
    "remade",
    "sign",
    "step_of",
    "successor_terms",
]


@attrs.frozen
class IssuedToken(KnownNames):
    """A new token and its claims. The token is not shown by ``repr``.

    token: the signed text, for its holder. claims: of the token.
    """

    token: str = attrs.field(repr=False)
    claims: Claims = attrs.field(repr=False)


@attrs.frozen
class TokenPair(KnownNames):
    """An access token and a refresh token of one family.

    access: short-lived, purpose ``user``, for each request. refresh: long-lived, purpose ``refresh``, for ``rotate`` only.
    """

    access: IssuedToken
    refresh: IssuedToken

    if not TYPE_CHECKING:  # type checkers refuse it anyway

        def __iter__(self) -> NoReturn:
            raise Misuse("a pair is not unpacked; read pair.access.token and pair.refresh.token")


ACCESS_LIFETIME: Final = timedelta(minutes=15)

NewClaims = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]]

_PURPOSE = 255  # code points, as in tokens

_SHORTEST, _LONGEST = 1.0, 36_500 * 86_400.0
"""Bounds of the access lifetime that a refresh token may carry, in seconds: one second to a hundred years."""

_ACCESS_LIFE, _ACCESS_CLAIMS, _ACCESS_JTI = "rk_life", "rk_claims", "rk_access"
"""Claims of a refresh token: the lifetime and the claims of its family's access tokens, and the jti of its own one."""

_AUTH_TIME = "auth_time"

_SECOND = timedelta(seconds=1)


@attrs.frozen
class PairTerms:
    """The terms of a new pair.

    number: of the refresh token in its family. auth_time: seconds since 1970. life: of access tokens. claims: further claims of
    the access token. ends: the last moment of the session, if it has one.
    """

    subject: str | None = attrs.field(repr=False)
    family: str = attrs.field(repr=False)
    generation: str | None = attrs.field(repr=False)
    number: int
    auth_time: int
    life: timedelta
    claims: Mapping[str, Any] | None = attrs.field(repr=False)
    ends: datetime | None = None


def keys_of(tokens: Tokens) -> JWT:
    """Return the keys of a resource. Raises InvalidArgument if it has none."""
    if tokens.options.keys is None:
        message = "has no keys and cannot issue tokens; write TokenResource(jwt=JWT(...))"
        raise InvalidArgument(FieldFinding("jwt", message), resource=tokens.runtime.info.name)
    return tokens.options.keys


def make_token(
    tokens: Tokens,
    subject: str | None,
    purpose: str,
    lifetime: timedelta | None,
    claims: Mapping[str, Any] | None,
    moment: datetime,
    *,
    family: str | None = None,
    generation: str | None = None,
    own: Mapping[str, Any] | None = None,
    key: SigningKey | None = None,
) -> IssuedToken:
    """Return a new signed token. Raises InvalidArgument, with a finding for each wrong argument.

    lifetime: that of the purpose unless given. own: claims that only resourcekit writes. key: signs, instead of the usual one.
    """
    jwt, name = keys_of(tokens), tokens.runtime.info.name
    findings = [FieldFinding("purpose", problem)] if (problem := refused_text(purpose, _PURPOSE)) else []
    if lifetime is not None and not isinstance(lifetime, timedelta):
        findings.append(FieldFinding("lifetime", "must be a timedelta"))
    if subject is not None and (problem := refused_subject(subject)):
        findings.append(FieldFinding("subject", problem))
    if claims is not None and not isinstance(claims, Mapping):
        findings.append(FieldFinding("claims", "must be a mapping"))
    if findings:
        raise InvalidArgument(findings, resource=name, action="issue")
    longest = tokens.options.longest_life
    life = _shortened(tokens, jwt.lifetime(purpose)) if lifetime is None else lifetime
    if too_long(tokens.options, life):
        raise InvalidArgument(FieldFinding("lifetime", f"is over max_lifetime, {longest}"), resource=name, action="issue")
    payload = new_claims(
        jwt,
        subject=subject,
        purpose=purpose,
        lifetime=life,
        moment=moment,
        family=family,
        generation=generation,
        extra=claims,
        own=own,
        longest=longest,
    )
    return IssuedToken(*sign(jwt, payload, key=key))


def make_pair(tokens: Tokens, terms: PairTerms, moment: datetime) -> TokenPair:
    """Return a new pair. Raises TokenExpired if the session may not last for another second."""
    if not isinstance(terms.life, timedelta):
        raise InvalidArgument(FieldFinding("access_lifetime", "must be a timedelta"), resource=tokens.runtime.info.name)
    if terms.claims is not None and not isinstance(terms.claims, Mapping):
        raise InvalidArgument(FieldFinding("claims", "must be a mapping"), resource=tokens.runtime.info.name)
    most = [
        limit for limit in (tokens.options.max_idle, None if terms.ends is None else terms.ends - moment) if limit is not None
    ]
    if any(limit < _SECOND for limit in most):
        raise TokenExpired("The sign-in has lasted as long as max_session allows; sign in again.", claim="exp")
    lives = [min(life, *most) if most else life for life in (terms.life, _shortened(tokens, keys_of(tokens).lifetime("refresh")))]
    return _signed(tokens, terms, moment, lives)


def _signed(
    tokens: Tokens,
    terms: PairTerms,
    moment: datetime,
    lives: list[timedelta],
    again: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
    key: SigningKey | None = None,
) -> TokenPair:
    """Sign both tokens. again: `jti`, `iat` and `exp` of each, if the pair is made once more."""
    proven = {_AUTH_TIME: terms.auth_time}
    own_claims = dict(terms.claims or {})
    facts: dict[str, Any] = {"family": terms.family, "generation": terms.generation, "key": key}
    of_access = {**({} if _AUTH_TIME in own_claims else proven), **again[0]}
    access = make_token(tokens, terms.subject, "user", lives[0], terms.claims, moment, own=of_access, **facts)
    carried: dict[str, Any] = {
        _ACCESS_LIFE: terms.life.total_seconds(),
        _ACCESS_JTI: access.claims.jti,
        NUMBER_CLAIM: terms.number,
        **proven,
    }
    if own_claims:
        carried[_ACCESS_CLAIMS] = own_claims
    refresh = make_token(tokens, terms.subject, "refresh", lives[1], None, moment, own={**carried, **again[1]}, **facts)
    return TokenPair(access, refresh)


def successor_terms(
    tokens: Tokens, old: Claims, claims: NewClaims | None, *, auth_time: datetime | None, ends: datetime | None
) -> PairTerms:
    """Return the terms of the pair that follows a refresh token. ``claims`` is called here if it is a function.

    auth_time: if the subject has proven just now who it is; that of the refresh token otherwise.
    """
    carried: Any = old.get(_ACCESS_CLAIMS)
    carried = extra_claims(carried, keys_of(tokens).rules) if isinstance(carried, Mapping) else {}
    if callable(claims):
        carried = claims(carried)
    elif claims is not None:
        carried = claims
    proven = auth_time or old.auth_time or old.issued_at
    return PairTerms(
        subject=old.subject,
        family=old.family or family_of(old.jti),
        generation=old.generation,
        number=old.number + 1,
        auth_time=0 if proven is None else int(proven.timestamp()),
        life=_shortened(tokens, access_life(old)),
        claims=carried or None,
        ends=ends,
    )


def access_life(old: Claims) -> timedelta:
    """Return the lifetime of a family's access tokens. A refresh token of another issuer may lack it; then the default applies."""
    seconds = old.get(_ACCESS_LIFE)
    is_life = isinstance(seconds, int | float) and _SHORTEST <= seconds <= _LONGEST
    return timedelta(seconds=float(seconds)) if is_life else ACCESS_LIFETIME  # type: ignore[arg-type]  # a number by now


def access_jti(old: Claims) -> str | None:
    """Return the jti of the access token that was issued with a refresh token; ``None`` if the refresh token does not name it."""
    jti = old.get(_ACCESS_JTI)
    return jti if isinstance(jti, str) else None


def step_of(old: Claims, terms: PairTerms, pair: TokenPair, at: datetime, key: SigningKey, *, is_fresh: bool) -> dict[str, Any]:
    """Return what is recorded of a rotation, so that it can be repeated: never a signature.

    at: on the clock of the store. The claims are text, so that every store gives them back as they are.
    """
    access, refresh = pair.access.claims, pair.refresh.claims
    return {
        "parent": old.jti,
        "number": terms.number,
        "at": at.isoformat(),
        "iat": refresh["iat"],
        "access": [access.jti, access["exp"]],
        "refresh": [refresh.jti, refresh["exp"]],
        "kid": key.kid,
        "life": int(terms.life / timedelta(microseconds=1)),
        "auth_time": terms.auth_time,
        "claims": json.dumps(dict(terms.claims)) if terms.claims else None,
        "fresh": is_fresh,
    }


def remade(tokens: Tokens, old: Claims, step: Mapping[str, Any]) -> TokenPair:
    """Return the pair of a recorded rotation of this refresh token once more: the same jtis, times and claims."""
    jwt = keys_of(tokens)
    of_kid = (key for key in jwt.keys if key.kid == step["kid"] and key.material().signing is not None)
    terms = PairTerms(
        subject=old.subject,
        family=old.family or family_of(old.jti),
        generation=old.generation,
        number=step["number"],
        auth_time=step["auth_time"],
        life=timedelta(microseconds=step["life"]),
        claims=None if step["claims"] is None else json.loads(step["claims"]),
    )
    again = tuple({jwt.rules.jti_claim: jti, "iat": step["iat"], "exp": exp} for jti, exp in (step["access"], step["refresh"]))
    moment = datetime.fromtimestamp(step["iat"], UTC)
    return _signed(tokens, terms, moment, [_SECOND, _SECOND], (again[0], again[1]), next(of_kid, jwt.signing_key))


def _shortened(tokens: Tokens, life: timedelta) -> timedelta:
    limit = tokens.options.longest_life
    return life if limit is None else min(life, limit)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND: Final = timedelta(microseconds=1)

_MILLION: Final = 1_000_000

_JTI_BYTES: Final = 16  # 128 random bits: two equal ones are not to be expected


def new_claims(
    options: JWT,
    *,
    subject: str | None,
    purpose: str = "user",
    lifetime: timedelta | None = None,
    moment: datetime,
    family: str | None = None,
    generation: str | None = None,
    extra: Mapping[str, object] | None = None,
    own: Mapping[str, object] | None = None,
    longest: timedelta | None = None,
) -> dict[str, object]:
    """The payload of a new token, with a random `jti`.

    lifetime: at least one second; that of the purpose unless given. moment: aware; rounded down to a whole second it becomes
    `iat`. `exp` is ``moment + lifetime``, rounded up to a whole number of seconds, which every verifier can read; rounded down
    if the token would live longer than ``longest`` otherwise.
    extra: further claims; those of RFC 7519, `fam`, `rk_gen`, `rk_n`, and the claims of purpose and subject cannot be given so.
    own: claims of our own, among them `jti`, `iat` and `exp` of a token that is made once more.
    Raises InvalidArgument, one finding each, for claims that could not be read back.
    """
    rules = options.rules
    if not isinstance(extra, Mapping | None):
        raise InvalidArgument(FieldFinding("claims", "must be a mapping"))
    if rules.jti_claim == TOKEN_HASH:
        finding = FieldFinding("jti_claim", "is TOKEN_HASH: tokens without an identity of their own are read, never issued")
        raise InvalidArgument(finding)
    reserved = sorted((extra or {}).keys() & rules.reserved)
    if reserved:
        raise InvalidArgument([FieldFinding(name, "is set by resourcekit; leave it out of the claims") for name in reserved])
    life = options.lifetime(purpose) if lifetime is None else lifetime
    if life < _SECOND:
        raise InvalidArgument(FieldFinding("lifetime", "must be at least one second, because exp counts whole seconds"))
    issued = (moment - _EPOCH) // _MICROSECOND
    claims: dict[str, object] = dict(extra or {})
    claims[rules.jti_claim] = secrets.token_urlsafe(_JTI_BYTES)
    claims["iat"], claims["exp"] = issued // _MILLION, _expiry(issued, life, longest)
    claims[rules.purpose_claim] = _purpose_word(options, purpose)
    if subject is not None:
        claims[rules.subject_claim] = subject
    if family is not None:
        claims[rules.family_claim] = family
    if generation is not None:
        claims[GENERATION_CLAIM] = generation
    if options.issuer_names:
        claims["iss"] = options.issuer_names[0]
    if options.audiences:
        claims["aud"] = options.audience if isinstance(options.audience, str) else list(options.audiences)
    claims.update(own or {})
    _accepted(lambda: Claims(claims, rules))
    return claims


def sign(options: JWT, payload: Mapping[str, object], *, key: SigningKey | None = None) -> tuple[str, Claims]:
    """The signed token, in the compact form; and its claims, read back.

    key: signs; the first that is not ``verify_only`` unless given.

    Raises InvalidArgument for a payload that is not JSON, or that ``verify`` would refuse (over 16 KiB, no `jti`...);
    DeclarationError for a key that cannot be read or cannot sign.
    """
    key = options.signing_key if key is None else key
    header: dict[str, str] = {"alg": key.algorithm, "typ": "JWT"}
    if key.kid is not None:
        header["kid"] = key.kid
    signing_input = f"{_base64url(_json(header))}.{_base64url(_json(payload))}"
    signature: bytes = algorithms()[key.algorithm].sign(signing_input.encode("ascii"), key.material().signing)
    token = f"{signing_input}.{_base64url(signature)}"
    return token, _accepted(lambda: read_claims(token, rules=options.rules, is_ours=True))


def _purpose_word(options: JWT, purpose: str) -> str:
    word = options.rules.word_for(purpose)
    if word is None:
        message = (
            "would be read back as another purpose, by the option purposes of JWT; name that purpose, or map a word to this one"
        )
        raise InvalidArgument(FieldFinding("purpose", message))
    return word


def _accepted(read: Callable[[], Claims]) -> Claims:
    """Read a new token as ``verify`` would. Raise InvalidArgument for what is refused: the caller's arguments cause it."""
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


def _expiry(issued: int, life: timedelta, longest: timedelta | None) -> int:
    """Return the end of a life in whole seconds since 1970: rounded up, but no later than ``longest`` after `iat`.

    issued: in microseconds since 1970; the sums are of whole numbers, so none of them overflows.
    """
    up = -(-(issued + life // _MICROSECOND) // _MILLION)
    return up if longest is None else min(up, issued // _MILLION + longest // _SECOND)
