"""Reads a token as far as the options of its resource allow it to be trusted; knows keys, and no store."""

from __future__ import annotations

from datetime import datetime, timedelta

from resourcekit_tokens.claims import Claims, check_times, read_claims
from resourcekit_tokens.errors import InvalidToken, WrongPurpose
from resourcekit_tokens.options import TokenOptions

__all__ = ["check_life", "check_purpose", "dead_by_time", "too_long", "verified", "vouched"]


def vouched(options: TokenOptions, token: object) -> Claims:
    """Return the claims of a token that a write may rely on (P5).

    With keys: signature, issuer and audience are verified; without: the caller vouches. Times are not checked, because
    an expired token may still be revoked. Raises InvalidToken.
    """
    from resourcekit_tokens.signing import verify_signature

    return read_claims(token) if options.jwt is None else verify_signature(options.jwt, token)


def verified(options: TokenOptions, token: object, moment: datetime, purpose: str | None) -> Claims:
    """Return the claims of a token that holds at this moment: signature, issuer, audience, times, length of life, purpose.

    Revocation is the store's to say. Raises InvalidToken or the subclass that fits; without keys nothing verifies.
    """
    from resourcekit_tokens.signing import verify_signature

    if options.jwt is None:
        raise InvalidToken("This resource knows no keys, so it can verify no token; say TokenResource(jwt=JWT(...)).")
    claims = verify_signature(options.jwt, token)
    check_times(claims, moment, leeway=options.leeway)
    check_life(options, claims, moment)
    if purpose is not None:
        check_purpose(claims, purpose)
    return claims


def check_purpose(claims: Claims, purpose: str) -> None:
    """Raise WrongPurpose where a token is for something else."""
    if claims.purpose != purpose:
        raise WrongPurpose("The token is meant for another purpose; use the one that was issued for this.", claim="purpose")


def check_life(options: TokenOptions, claims: Claims, moment: datetime) -> None:
    """Raise InvalidToken for a token that lives longer than any may: swept cut-offs would revive it."""
    limit = options.longest_life
    if limit is None or claims.expires_at is None:
        return
    begins = claims.issued_at or moment
    if claims.expires_at - begins > limit or claims.expires_at - moment > limit + options.margin:
        raise InvalidToken("The token lives longer than max_lifetime allows.", claim="exp")


def dead_by_time(options: TokenOptions, claims: Claims, moment: datetime) -> bool:
    """Tell whether a token can be accepted nowhere any more: past exp, leeway and the difference of clocks."""
    expires_at = claims.expires_at
    return expires_at is not None and moment - expires_at > options.margin


def too_long(options: TokenOptions, lifetime: timedelta) -> bool:
    """Tell whether a lifetime is over the bound."""
    limit = options.longest_life
    return limit is not None and lifetime > limit
