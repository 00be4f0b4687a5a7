"""The functions that make and accept tokens: issue, verify, consume, confirm, rotate."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.extending import Row, function
from resourcekit_tokens.claims import Claims, extra_claims
from resourcekit_tokens.errors import InvalidToken, ReuseDetected, TokenConsumed, TokenRevoked
from resourcekit_tokens.keys import JWT
from resourcekit_tokens.keyspace import SUBJECT_LENGTH, family_of, refused_text
from resourcekit_tokens.reading import still_holds, too_long, verified
from resourcekit_tokens.results import Confirmed, IssuedToken, TokenPair
from resourcekit_tokens.storing import store_token
from resourcekit_tokens.tokens import Outside, Standing, Tokens, again, own_standing, tokens_of

__all__ = ["confirm", "consume", "issue", "issue_pair", "rotate", "verify"]

T = TypeVar("T")

_ACCESS_LIFETIME = timedelta(minutes=15)
_PURPOSE = 255  # code points, as the reader takes them
_SHORTEST, _LONGEST = 1e-6, 36_500 * 86_400.0
"""Seconds that the life of an access token may have in a refresh token: a microsecond to a hundred years."""

NewClaims = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _keys(tokens: Tokens) -> JWT:
    if tokens.options.jwt is None:
        message = "knows no keys and can issue nothing; say TokenResource(jwt=JWT(...))"
        raise InvalidArgument(FieldFinding("jwt", message), resource=tokens.runtime.info.name)
    return tokens.options.jwt


@function
async def issue(
    resource: Any,
    subject: str | None,
    *,
    purpose: str = "user",
    lifetime: timedelta | None = None,
    claims: Mapping[str, Any] | None = None,
    extra_data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> IssuedToken:
    """Make a signed token for a subject; with ``store_all_tokens`` its facts are stored, and only then it is returned.

    lifetime: that of the purpose unless given, or ``max_lifetime`` where that is shorter. claims: further claims, not those of RFC 7519.
    extra_data, values: for the stored record.
    Raises InvalidArgument for what could not be verified afterwards, and for facts of a record where none is stored.
    """
    tokens = tokens_of(resource)
    _check_facts(tokens, extra_data, values)
    issued = _make(tokens, subject, purpose, lifetime, claims, None, utc_now())
    await _store(tokens, issued, extra_data, values)
    return issued


@function
async def issue_pair(
    resource: Any,
    subject: str | None,
    *,
    access_lifetime: timedelta = _ACCESS_LIFETIME,
    claims: Mapping[str, Any] | None = None,
    extra_data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> TokenPair:
    """Make an access token (purpose ``user``) and a refresh token of one new family: one sign-in.

    claims: of the access token, and of those that rotations make. See ``issue`` for the rest.
    """
    tokens = tokens_of(resource)
    _check_facts(tokens, extra_data, values)
    pair = _make_pair(tokens, subject, secrets.token_urlsafe(16), access_lifetime, claims, utc_now())
    if tokens.options.store_all_tokens:
        async with tokens.store.transaction():  # both or none
            await _store(tokens, pair.access, extra_data, values)
            await _store(tokens, pair.refresh, extra_data, values)
    return pair


def _make(
    tokens: Tokens,
    subject: str | None,
    purpose: str,
    lifetime: timedelta | None,
    claims: Mapping[str, Any] | None,
    family: str | None,
    moment: datetime,
) -> IssuedToken:
    from resourcekit_tokens.signing import new_claims, sign

    jwt = _keys(tokens)
    findings = [FieldFinding("purpose", problem)] if (problem := refused_text(purpose, _PURPOSE)) else []
    if lifetime is not None and not isinstance(lifetime, timedelta):
        findings.append(FieldFinding("lifetime", "must be a timedelta"))
    if subject is not None and (problem := refused_text(subject, SUBJECT_LENGTH)):
        findings.append(FieldFinding("subject", problem))
    if claims is not None and not isinstance(claims, Mapping):
        findings.append(FieldFinding("claims", "must be a mapping"))
    if findings:
        raise InvalidArgument(findings, resource=tokens.runtime.info.name, action="issue")
    life = _shortened(tokens, jwt.lifetime(purpose)) if lifetime is None else lifetime
    if too_long(tokens.options, life):
        finding = FieldFinding("lifetime", f"is over max_lifetime, {tokens.options.longest_life}")
        raise InvalidArgument(finding, resource=tokens.runtime.info.name, action="issue")
    payload = new_claims(jwt, subject=subject, purpose=purpose, lifetime=life, moment=moment, family=family, extra=claims)
    return IssuedToken(*sign(jwt, payload))


_ACCESS_LIFE, _ACCESS_CLAIMS = "rk_life", "rk_claims"
"""Claims of a refresh token: what the access tokens of its family live and carry."""


def _make_pair(
    tokens: Tokens, subject: str | None, family: str, life: timedelta, claims: Mapping[str, Any] | None, moment: datetime
) -> TokenPair:
    if not isinstance(life, timedelta):
        raise InvalidArgument(FieldFinding("access_lifetime", "must be a timedelta"), resource=tokens.runtime.info.name)
    access = _make(tokens, subject, "user", life, claims, family, moment)
    carried = {_ACCESS_LIFE: life.total_seconds(), **({_ACCESS_CLAIMS: dict(claims)} if claims else {})}
    refresh = _make(tokens, subject, "refresh", None, carried, family, moment)
    return TokenPair(access, refresh)


async def _store(
    tokens: Tokens, issued: IssuedToken, extra_data: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None
) -> None:
    if tokens.options.store_all_tokens:
        await store_token.function(tokens.resource, issued.token, extra_data=extra_data, values=values)


def _check_facts(tokens: Tokens, extra_data: Mapping[str, Any] | None, values: Mapping[str, Any] | None) -> None:
    """Refuse facts for a record that is not made: they would be lost without a word."""
    if (extra_data or values) and not tokens.options.store_all_tokens:
        message = "is for stored tokens, and this one is not stored; set store_all_tokens=True, or call store_token with it"
        raise InvalidArgument(FieldFinding("values" if values else "extra_data", message), resource=tokens.runtime.info.name)


@function
async def verify(resource: Any, token: str, *, purpose: str = "user") -> Claims:
    """Return the claims of a token that may be trusted now.

    Checks signature, times, issuer, audience, purpose, length of life, revocation, cut-off, family and, with
    ``require_token_presence``, that it is stored. Raises the subclass of InvalidToken that says which one failed;
    Unavailable and Timeout pass, so that a web app can answer 503 instead of 401.
    """
    tokens = tokens_of(resource)
    claims = verified(tokens.options, token, utc_now(), purpose)
    standing = await tokens.standing_of(claims)
    if standing is not None:
        raise _revoked(standing)
    if tokens.options.require_token_presence:
        await _require_presence(tokens, claims, tokens.store.outside())
    still_holds(tokens.options, claims, utc_now())
    return claims


async def _require_presence(tokens: Tokens, claims: Claims, outside: Outside) -> None:
    if not any(await tokens.views((claims.jti,), outside)):
        raise InvalidToken("This token was never stored, and only stored tokens are accepted here.", claim="jti")


def _revoked(standing: Standing) -> TokenRevoked:
    if standing.is_use:
        return TokenConsumed("The token was good for one use, and has been used.", claim="jti")
    words = {"cut-off": "The subject of the token was logged out everywhere.", "family": "The sign-in of the token has ended."}
    return TokenRevoked(words.get(standing.rule, "The token was revoked."), claim="jti")


@function
async def consume(resource: Any, token: str, *, purpose: str) -> Claims:
    """Verify a token that is good for one use, use it up, and return its claims; of all who try, one succeeds (P2).

    Raises TokenConsumed for the others, TokenRevoked for a token that was dead before, and what ``verify`` raises.
    """
    claims, _ = await _use_once(tokens_of(resource), token, purpose)
    return claims


@function
async def confirm(resource: Any, token: str, *, purpose: str = "confirm") -> Confirmed:
    """Use up a confirmation token, and hand the changes that waited for it to the one who did."""
    claims, row = await _use_once(tokens_of(resource), token, purpose)
    return Confirmed(claims, row.get("extra_data") or {})


async def _use_once(tokens: Tokens, token: str, purpose: str) -> tuple[Claims, Row]:
    moment = utc_now()
    claims = verified(tokens.options, token, moment, purpose)
    return await _used(tokens, claims, lambda: _consume(tokens, claims, "consumed", moment))


async def _used(tokens: Tokens, claims: Claims, use: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a use, again where the store gave it up, or where another use came first while it looked at cut-off and family."""
    try:
        return await again(tokens, use)
    except TokenRevoked as refusal:
        standing = await tokens.standing_of(claims)  # what ends the token stays as long as the token (P1)
        # An optimistic store reads one row after the other: its transaction may have won for itself, and then found the
        # family ended by those who had lost against somebody else. What was lost is told as what it was.
        if type(refusal) is not TokenRevoked or standing is None or not standing.is_use:
            raise
    return await again(tokens, use)


async def _consume(tokens: Tokens, claims: Claims, reason: str, moment: datetime) -> tuple[Claims, Row]:
    """Compare and set first, then look at cut-off and family in the same transaction: no order of events lets two win."""
    outside = tokens.store.outside()  # of the caller's transaction; ours begins now, and what it reads is true at its commit
    async with tokens.store.transaction():
        if tokens.options.require_token_presence:
            await _require_presence(tokens, claims, outside)
        row = await tokens.use_up(claims, reason, moment)
        if row is None:
            raise _revoked(own_standing(await tokens.own_view(claims.jti, outside)))
        await _refuse_dead(tokens, claims, outside)
    return claims, row


async def _refuse_dead(tokens: Tokens, claims: Claims, outside: Outside) -> None:
    """Raise, and so roll the transaction back, where a cut-off or the family's end says so, or the token has expired meanwhile."""
    standing = await tokens.standing_around(claims, outside)
    if standing is not None:
        raise _revoked(standing)
    still_holds(tokens.options, claims, utc_now())


@function
async def rotate(resource: Any, refresh_token: str, *, claims: NewClaims | None = None) -> TokenPair:
    """Use up a refresh token and return a new pair of its family; of all who try, one succeeds (P2).

    claims: of the new access token: a mapping, or a function of the old ones; those of the old one unless given. With
    ``store_all_tokens`` the new records take over what was stored with the old one: extra data, and your own attributes.
    A second use is taken for theft: the whole family ends and ReuseDetected is raised; within ``rotation_grace`` one
    more use is answered with another pair instead.
    """
    tokens = tokens_of(resource)
    moment = utc_now()
    old = verified(tokens.options, refresh_token, moment, "refresh")
    pair = await _used(tokens, old, lambda: _rotate(tokens, old, claims, moment))
    if pair is None:
        raise ReuseDetected("The refresh token was used before; its sign-in has been ended.", claim="jti")
    return pair


async def _rotate(tokens: Tokens, old: Claims, claims: NewClaims | None, moment: datetime) -> TokenPair | None:
    """Compare and set, and make the next pair, in one transaction; ``None`` for a reuse, the family ended."""
    reused, outside = False, tokens.store.outside()  # as for a use, above
    async with tokens.store.transaction():
        if await tokens.use_up(old, "rotated", moment) is None:
            reused = not await _within_grace(tokens, old, moment, outside)
        if not reused:
            await _refuse_dead(tokens, old, outside)
            pair = _next_pair(tokens, old, claims, moment)
            extra_data, values = await tokens.facts_of_session(old.jti)
            await _store(tokens, pair.access, extra_data, values)
            await _store(tokens, pair.refresh, extra_data, values)
            return pair
        await tokens.end_family(old.family or family_of(old.jti), "reuse", moment)
    return None


async def _within_grace(tokens: Tokens, old: Claims, moment: datetime, outside: Outside) -> bool:
    """Take the one repetition that ``rotation_grace`` allows; raises TokenRevoked for a token that was not rotated."""
    own = await tokens.own_view(old.jti, outside)
    if own["revocation_reason"] != "rotated":
        raise _revoked(own_standing(own))
    grace = tokens.options.rotation_grace
    if not grace or moment - own["revoked_at"] > grace:
        return False
    return await tokens.take_grace(own, moment)


def _next_pair(tokens: Tokens, old: Claims, claims: NewClaims | None, moment: datetime) -> TokenPair:
    carried: Any = old.get(_ACCESS_CLAIMS)
    carried = extra_claims(carried, _keys(tokens).rules) if isinstance(carried, Mapping) else {}
    if callable(claims):
        carried = claims(carried)
    elif claims is not None:
        carried = claims
    life = _shortened(tokens, _access_life(old))
    return _make_pair(tokens, old.subject, old.family or family_of(old.jti), life, carried or None, moment)


def _access_life(old: Claims) -> timedelta:
    """Return what the access tokens of a family live; a refresh token of another issuer need not say it."""
    seconds = old.get(_ACCESS_LIFE)
    is_life = isinstance(seconds, int | float) and _SHORTEST <= seconds <= _LONGEST
    return timedelta(seconds=float(seconds)) if is_life else _ACCESS_LIFETIME  # type: ignore[arg-type]  # a number by now


def _shortened(tokens: Tokens, life: timedelta) -> timedelta:
    limit = tokens.options.longest_life
    return life if limit is None else min(life, limit)
