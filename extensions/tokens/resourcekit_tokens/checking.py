"""Tells whether a token is revoked, and never says "live" where it cannot know (P3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from resourcekit import utc_now
from resourcekit.errors import ResourcekitError
from resourcekit.extending import count, function, logger, measure, run_action
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.keyspace import refused_jti
from resourcekit_tokens.reading import lives_too_long, past_tolerance, vouched
from resourcekit_tokens.tokens import Tokens, tokens_of

__all__ = ["is_revoked", "jti_revoked", "token_revoked"]

_FAILED_CLOSED = measure("resourcekit.tokens.failed_closed", "Checks that could not be answered, and said revoked, by cause.")


async def is_revoked(
    cls: Any,
    token: str | None = None,
    jti: str | None = None,
    subject: str | None = None,
    issued_at: datetime | None = None,
    family: str | None = None,
) -> bool:
    """Tell whether a token, or a jti, is revoked: the extension's own action of that name.

    token: asks for the token as a whole. jti: asks for the record of that jti, where no token is given.
    subject, issued_at, family: of the verified claims of that jti; with them cut-off and family count too.
    """
    tokens = tokens_of(cls)
    if token is not None:
        return await _token_is_dead(tokens, token)
    return await _jti_is_dead(tokens, jti, subject, issued_at, family)


async def _token_is_dead(tokens: Tokens, token: object) -> bool:
    try:
        claims = vouched(tokens.options, token)
    except InvalidToken:
        return True
    moment = utc_now()
    if past_tolerance(tokens.options, claims, moment):
        return True
    if await tokens.standing_of(claims) is not None or lives_too_long(tokens.options, claims, moment):
        return True
    # Asked again: whoever was held up meanwhile may have come after a sweep, and found no record of a revoked token.
    return past_tolerance(tokens.options, claims, utc_now())


async def _jti_is_dead(tokens: Tokens, jti: object, subject: str | None, issued_at: datetime | None, family: str | None) -> bool:
    if not isinstance(jti, str) or refused_jti(jti):
        return True
    if subject is None and family is None:
        return await tokens.is_recorded(jti)
    return await tokens.standing(jti, subject, issued_at, family) is not None


@function
async def token_revoked(resource: Any, token: object) -> bool:
    """Tell whether a token is revoked: by its own record, by a cut-off of its subject, or with its family.

    True as well for garbage, for a token past ``exp + leeway + clock_skew``, for one that lives longer than
    ``max_lifetime``, where keys are known for one that does not verify, and where no answer can be had (P3; logged and
    counted). False never means "valid": use ``verify``.
    """
    try:
        tokens = tokens_of(resource)
        if tokens.check_is_ours:
            return await _token_is_dead(tokens, token)
        name = tokens.options.revocation.is_revoked_action_name
        return await run_action(resource, name, {"token": token}) is not False
    except Exception as error:  # P3: whatever went wrong, the answer is "revoked"
        return _refuse(resource, error)


@function
async def jti_revoked(
    resource: Any, jti: object, *, subject: str | None = None, issued_at: datetime | None = None, family: str | None = None
) -> bool:
    """Tell whether a jti is revoked; cut-off and family count too where the caller, who verified the claims, gives them.

    issued_at: aware; a token without it dies at any cut-off of its subject. Fails closed as ``token_revoked`` does.
    """
    try:
        tokens = tokens_of(resource)
        if tokens.check_is_ours:
            if subject is None and family is None and isinstance(jti, str) and not refused_jti(jti):
                # The shortest way, which most checks go: what it would cost to call one more coroutine is a part of their time.
                return await tokens.store.aggregate(tokens.check_one, {"jti": jti}) is not False
            return await _jti_is_dead(tokens, jti, subject, issued_at, family)
        facts = {"jti": jti, "subject": subject, "issued_at": issued_at, "family": family}
        given = {name: value for name, value in facts.items() if value is not None}
        return await run_action(resource, tokens.options.revocation.is_revoked_action_name, given) is not False
    except Exception as error:  # P3: whatever went wrong, the answer is "revoked"
        return _refuse(resource, error)


def _refuse(resource: Any, error: Exception) -> bool:
    """Log and count an answer that could not be had. What is no token resource is a mistake in the program: raised."""
    if isinstance(error, ResourcekitError) and isinstance(error, TypeError):
        raise error
    cause = type(error).__name__
    count(_FAILED_CLOSED, cause=cause, resource=resource.__name__)
    text, name = "a check of %s could not be answered (%s); the answer is revoked", resource.__name__
    logger("tokens").error(text, name, cause, extra={"resourcekit": {"resource": name, "error": cause}})
    return True
