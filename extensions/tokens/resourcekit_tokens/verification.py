"""Verification and use of tokens: signature, times, purpose, lifetime, revocation. Open it to change which tokens are accepted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, SerializationFailure
from resourcekit.extending import KnownNames, Row, function
from resourcekit_tokens.claims import Claims, owner_text, scoped_text
from resourcekit_tokens.errors import InvalidToken, TokenConsumed, TokenExpired, TokenRevoked, WrongPurpose
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.revocation_rules import RevocationStatus, family_key, own_status
from resourcekit_tokens.signature import keys_ready, verify_signature
from resourcekit_tokens.tokens import Outside, Tokens, again, tokens_of

__all__ = [
    "Confirmed",
    "check_life",
    "check_purpose",
    "check_times",
    "confirm",
    "consume",
    "lives_too_long",
    "longest_expiry",
    "owner_of",
    "past_tolerance",
    "require_presence",
    "revoked",
    "scope_of",
    "still_holds",
    "too_long",
    "used",
    "verified",
    "verify",
]


@attrs.frozen
class Confirmed(KnownNames):
    """The result of ``confirm``: a confirmation token that was used, and its pending changes.

    claims: of the token. changes: the JSON object from ``store_confirmation_changes``; empty if there was none.
    """

    claims: Claims = attrs.field(repr=False)
    changes: Mapping[str, Any] = attrs.field(repr=False)


T = TypeVar("T")


def owner_of(options: TokenOptions, subject: object) -> object:
    """Return a subject as records have it: ``(issuer, subject)`` as one text. Anything else is returned as it is.

    Raises InvalidArgument for a subject alone if several providers issue all tokens: each of them may have one of that name.
    """
    if isinstance(subject, tuple) and len(subject) == 2 and all(isinstance(part, str) for part in subject):
        return owner_text(*subject)
    jwt = options.keys
    if jwt is not None and jwt.issuers and not jwt.keys and isinstance(subject, str) and not subject.startswith('["'):
        raise InvalidArgument(FieldFinding("subject", "must be (issuer, subject), because several providers issue tokens here"))
    return subject


def scope_of(text: object) -> object:
    """Return a jti or a family as records have it: ``(issuer, jti)`` as one text. Anything else is returned as it is."""
    is_pair = isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) and part for part in text)
    return scoped_text(*text) if is_pair else text  # type: ignore[misc]  # two texts, by the line above


def verified(options: TokenOptions, token: object, moment: datetime, purpose: str) -> Claims:
    """Return the claims of a token that is valid at this moment: signature, issuer, audience, times, lifetime, purpose.

    Revocation is not checked here. Raises InvalidToken or the subclass that fits; without keys, always raises.
    """
    if options.keys is None:
        raise InvalidToken("This resource has no keys, so it cannot verify tokens; write TokenResource(jwt=JWT(...)).")
    claims = verify_signature(options.keys, token)
    check_times(claims, moment, leeway=options.leeway)
    check_life(options, claims, moment)
    check_dated(options, claims, moment)
    check_purpose(claims, purpose)  # always: None from a caller must not mean any purpose
    return claims


def check_times(claims: Claims, moment: datetime, *, leeway: timedelta = timedelta(0)) -> None:
    """Return if the token may be used at ``moment`` by its `exp` and `nbf`.

    moment: aware; the caller's clock. leeway: tolerance at both ends, not negative.
    Raises TokenExpired on and after `exp` + leeway, InvalidToken before `nbf` - leeway and for a token without `exp`.
    """
    expires_at, not_before = claims.expires_at, claims.not_before
    if expires_at is None:
        raise InvalidToken('The token has no "exp" claim: it can be revoked, but it never verifies.', claim="exp")
    # Differences, not sums: the end of year 9999 plus a leeway is out of the range of datetime.
    if moment - expires_at >= leeway:
        raise TokenExpired("The token has expired; get a new one.", claim="exp")
    if not_before is not None and not_before - moment > leeway:
        raise InvalidToken("The token is not valid yet; compare the clocks of the hosts.", claim="nbf")


def still_holds(options: TokenOptions, claims: Claims, moment: datetime) -> None:
    """Raise TokenExpired if a token has expired since it was verified. Called after its record was read.

    The process may have been delayed in between for longer than a sweep keeps the record of a revoked or used token. A missing
    record would then prove nothing.
    """
    check_times(claims, moment, leeway=options.leeway)


def check_purpose(claims: Claims, purpose: str) -> None:
    """Raise WrongPurpose if a token was issued for another purpose."""
    if claims.purpose != purpose:
        raise WrongPurpose("The token is meant for another purpose; use the one that was issued for this.", claim="purpose")


def check_life(options: TokenOptions, claims: Claims, moment: datetime) -> None:
    """Raise InvalidToken if a token could outlive its revocation: issued in the future, or with a lifetime over the limit."""
    issued_at, expires_at, limit = claims.issued_at, claims.expires_at, options.longest_life
    if limit is not None and expires_at is not None:
        # The lifetime of a token from the future is measured from now, because its iat is wrong.
        began = moment if issued_at is None else min(issued_at, moment + options.clock_skew)
        if expires_at - began > limit and options.bounds(moment):
            raise InvalidToken("The token lives longer than max_lifetime allows.", claim="exp")
    if issued_at is not None and issued_at - moment > options.clock_skew:
        message = "The token was issued in the future; compare the clocks of the hosts, and write iat in seconds."
        raise InvalidToken(message, claim="iat")


def check_dated(options: TokenOptions, claims: Claims, moment: datetime) -> None:
    """Raise InvalidToken for a token without ``iat``, unless records of revocations are kept without limit.

    Its lifetime cannot be measured, so the record of its revocation may already have been swept.
    """
    if claims.issued_at is None and options.bounds(moment):
        message = (
            'The token has no "iat" claim, so its life cannot be compared with max_lifetime; '
            "have the issuer write it, or set max_lifetime=timedelta.max, which keeps such records without end."
        )
        raise InvalidToken(message, claim="iat")


def past_tolerance(options: TokenOptions, claims: Claims, moment: datetime) -> bool:
    """Return whether a token has expired on every host: past exp, leeway and clock skew."""
    return claims.expires_at is not None and moment - claims.expires_at > options.tolerance


def lives_too_long(options: TokenOptions, claims: Claims, moment: datetime) -> bool:
    """Return whether no host accepts a token because of its lifetime: it is too long, unknown, or has not begun.

    With keys, a token without exp is never accepted. Without keys, it is limited to ``max_lifetime`` after its iat.
    """
    try:
        check_life(options, claims, moment)
        check_dated(options, claims, moment)
    except InvalidToken:
        return True
    limit = options.longest_life
    if claims.expires_at is not None or claims.issued_at is None or limit is None or not options.bounds(moment):
        return False
    return options.keys is not None or moment - claims.issued_at > limit + options.tolerance


def longest_expiry(options: TokenOptions, moment: datetime, issued_at: datetime | None = None) -> datetime:
    """Return the moment after which no host can accept a token of unknown expiry; ``NEVER_EXPIRES`` if there is no limit."""
    return options.kept_until(moment if issued_at is None else max(moment, issued_at))


def too_long(options: TokenOptions, lifetime: timedelta) -> bool:
    """Return whether a lifetime exceeds the limit."""
    limit = options.longest_life
    return limit is not None and lifetime > limit


@function
async def verify(resource: Any, token: str, *, purpose: str = "user") -> Claims:
    """Return the claims of a token that is valid now.

    Checks signature, times, issuer, audience, purpose, lifetime, revocation, cut-off, family and, with
    ``require_token_presence``, that the token is stored. Raises the subclass of InvalidToken for the check that failed. If the store
    fails, raises Unavailable or Timeout, so that a web app can respond with 503 instead of 401.
    """
    tokens = tokens_of(resource)
    await keys_ready(tokens.options, token)
    claims = verified(tokens.options, token, utc_now(), purpose)
    status = await tokens.status_of(claims)
    if status is not None:
        raise revoked(status)
    if tokens.options.require_token_presence:
        await require_presence(tokens, claims, tokens.store.outside())
    still_holds(tokens.options, claims, utc_now())
    return claims


async def require_presence(tokens: Tokens, claims: Claims, outside: Outside) -> None:
    """Raise InvalidToken if a token is not stored. A token of a recorded session counts as stored."""
    keys = [claims.jti]
    if tokens.options.sessions and claims.family is not None and claims.subject is not None:
        keys = [family_key(claims.family)]
    if not any(await tokens.views(keys, outside)):
        raise InvalidToken("This token was never stored, and only stored tokens are accepted here.", claim="jti")


def revoked(status: RevocationStatus) -> TokenRevoked:
    """Return the error for a revoked token."""
    if status.is_use:
        return TokenConsumed("The token was good for one use, and has been used.", claim="jti")
    words = {"cut-off": "The subject of the token was logged out everywhere.", "family": "The sign-in of the token has ended."}
    return TokenRevoked(words.get(status.rule, "The token was revoked."), claim="jti")


@function
async def consume(resource: Any, token: str, *, purpose: str) -> Claims:
    """Verify a single-use token, mark it as used, and return its claims. Of several concurrent calls, one succeeds.

    Serves promise P2 (one winner). Raises TokenConsumed in the other calls, TokenRevoked for a token that was revoked before, and the
    errors of ``verify``.
    """
    claims, _ = await _use_once(tokens_of(resource), token, purpose, "consume")
    return claims


@function
async def confirm(resource: Any, token: str, *, purpose: str = "confirm") -> Confirmed:
    """Consume a confirmation token, and return its claims with the pending changes stored under it."""
    claims, row = await _use_once(tokens_of(resource), token, purpose, "confirm")
    return Confirmed(claims, row.get("extra_data") or {})


async def _use_once(tokens: Tokens, token: str, purpose: str, action: str) -> tuple[Claims, Row]:
    await keys_ready(tokens.options, token)
    moment = utc_now()
    claims = verified(tokens.options, token, moment, purpose)
    return await used(tokens, claims, lambda outside: _consume(tokens, claims, moment, action, outside))


class _Unused(Exception):
    """The token is still unused: rolls an attempt back."""


async def used(tokens: Tokens, claims: Claims, use: Callable[[Outside], Coroutine[Any, Any, T]]) -> T:
    """Run a use of a token. Retry if the store aborted it, or if another use came first while cut-off and family were read.

    A database may give up the whole transaction of the caller in favour of another use (a deadlock on MariaDB). Then the other one is
    waited for, and its use is the reason of the refusal. SerializationFailure remains for a token that is still unused.
    use: gets the way out of the caller's transaction, whose own transaction begins now: its reads are valid at its commit.
    """
    outside = tokens.store.outside()
    attempt = partial(use, outside)
    try:
        try:
            return await again(tokens, attempt)
        except TokenRevoked as refusal:
            # This also extends the record that revokes the token, for promise P1 (a revoked token stays revoked).
            status = await tokens.status_of(claims)
            # An optimistic store reads one row after the other. This transaction may have marked the token as used, and then
            # have read that the family was ended by a call that lost against a third one. The retry raises the right error.
            if type(refusal) is not TokenRevoked or status is None or not status.is_use:
                raise
        return await again(tokens, attempt)
    except SerializationFailure as failure:
        if outside is None or not tokens.is_given_up():
            raise
        with outside:
            try:
                return await again(tokens, partial(_after_another, tokens, use))
            except _Unused:
                raise failure from None


async def _after_another(tokens: Tokens, use: Callable[[Outside], Coroutine[Any, Any, T]]) -> T:
    """Raise why the token cannot be used, or ``_Unused``. What a refusal returns, and has written, is committed."""
    async with tokens.store.transaction():
        refusal = await use(None)
        if refusal is not None:
            raise _Unused
    return refusal


async def _consume(tokens: Tokens, claims: Claims, moment: datetime, action: str, outside: Outside) -> tuple[Claims, Row]:
    """Compare and set first, then read cut-off and family in the same transaction, so that two callers cannot both succeed."""
    async with tokens.store.transaction():
        if tokens.options.require_token_presence:
            await require_presence(tokens, claims, outside)
        row = await tokens.use_up(claims, "consumed", moment, action)
        if row is None:
            raise revoked(own_status(await tokens.own_view(claims.jti, outside)))
        await _refuse_dead(tokens, claims, outside)
    return claims, row


async def _refuse_dead(tokens: Tokens, claims: Claims, outside: Outside) -> None:
    """Raise, and so roll the transaction back, if a cut-off or an ended family revokes the token, or if it has expired meanwhile."""
    status = await tokens.status_around(claims, outside)
    if status is not None:
        raise revoked(status)
    still_holds(tokens.options, claims, utc_now())
