"""Reads a token as far as the options of its resource allow it to be trusted; knows keys, and no store."""

from __future__ import annotations

from datetime import datetime, timedelta

from resourcekit_tokens.claims import Claims, check_times, read_claims
from resourcekit_tokens.errors import InvalidToken, WrongPurpose
from resourcekit_tokens.keyspace import later
from resourcekit_tokens.options import TokenOptions

__all__ = [
    "check_life",
    "check_purpose",
    "lives_too_long",
    "longest_expiry",
    "past_tolerance",
    "still_holds",
    "too_long",
    "verified",
    "vouched",
]


def vouched(options: TokenOptions, token: object) -> Claims:
    """Return the claims of a token that a write may rely on (P5).

    With keys: signature, issuer and audience are verified; without: the caller vouches. Times are not checked, because
    an expired token may still be revoked. Raises InvalidToken.
    """
    from resourcekit_tokens.signing import verify_signature

    return read_claims(token) if options.jwt is None else verify_signature(options.jwt, token)


def verified(options: TokenOptions, token: object, moment: datetime, purpose: str) -> Claims:
    """Return the claims of a token that holds at this moment: signature, issuer, audience, times, length of life, purpose.

    Revocation is the store's to say. Raises InvalidToken or the subclass that fits; without keys nothing verifies.
    """
    from resourcekit_tokens.signing import verify_signature

    if options.jwt is None:
        raise InvalidToken("This resource knows no keys, so it can verify no token; say TokenResource(jwt=JWT(...)).")
    claims = verify_signature(options.jwt, token)
    check_times(claims, moment, leeway=options.leeway)
    check_life(options, claims, moment)
    check_purpose(claims, purpose)  # always: a caller's None must not mean "any"
    return claims


def still_holds(options: TokenOptions, claims: Claims, moment: datetime) -> None:
    """Raise TokenExpired where a token has expired since it was verified; asked after its record was looked for.

    A process may be held up in between for longer than a sweep keeps the record that a token was revoked or used: what was
    not found then says nothing.
    """
    check_times(claims, moment, leeway=options.leeway)


def check_purpose(claims: Claims, purpose: str) -> None:
    """Raise WrongPurpose where a token is for something else."""
    if claims.purpose != purpose:
        raise WrongPurpose("The token is meant for another purpose; use the one that was issued for this.", claim="purpose")


def check_life(options: TokenOptions, claims: Claims, moment: datetime) -> None:
    """Raise InvalidToken for a token that lives longer than any may: swept cut-offs would revive it."""
    if claims.expires_at is not None and _outlives(options, claims, claims.expires_at, moment):
        raise InvalidToken("The token lives longer than max_lifetime allows.", claim="exp")


def _outlives(options: TokenOptions, claims: Claims, expires_at: datetime, moment: datetime) -> bool:
    limit = options.longest_life
    if limit is None:
        return False
    return expires_at - (claims.issued_at or moment) > limit or expires_at - moment > limit + options.margin


def past_tolerance(options: TokenOptions, claims: Claims, moment: datetime) -> bool:
    """Tell whether a token has expired everywhere: past exp, leeway and the difference of clocks."""
    return claims.expires_at is not None and moment - claims.expires_at > options.margin


def lives_too_long(options: TokenOptions, claims: Claims, moment: datetime) -> bool:
    """Tell whether a token lives longer than any may, so that it is accepted nowhere.

    A token without exp verifies nowhere that keys are known; elsewhere it is bounded by ``max_lifetime`` after its iat.
    """
    limit = options.longest_life
    if claims.expires_at is not None:
        return _outlives(options, claims, claims.expires_at, moment)
    if limit is None:
        return False
    return options.jwt is not None or claims.issued_at is None or moment - claims.issued_at > limit + options.margin


def longest_expiry(options: TokenOptions, moment: datetime, issued_at: datetime | None = None) -> datetime:
    """Return the moment after which a token of unknown expiry can be accepted nowhere; the end of time if none is known."""
    return later(moment if issued_at is None else max(moment, issued_at), options.longest_life)


def too_long(options: TokenOptions, lifetime: timedelta) -> bool:
    """Tell whether a lifetime is over the bound."""
    limit = options.longest_life
    return limit is not None and lifetime > limit
