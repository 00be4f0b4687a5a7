"""The functions that check whether a token is revoked, and explain why. Open it to change a check, or what it does if the store fails.

After any failure the answer is "revoked", by promise P3 (checks fail closed).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, ResourcekitError
from resourcekit.extending import (
    KnownNames,
    count,
    function,
    logger,
    measure,
    require_no_signal,
    run_action,
)
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.revocation_rules import (
    RevocationStatus,
    TokenFacts,
    refused_jti,
)
from resourcekit_tokens.signature import keys_ready, trusted_claims
from resourcekit_tokens.tokens import Tokens, tokens_of
from resourcekit_tokens.verification import lives_too_long, owner_of, past_tolerance, scope_of

__all__ = [
    "Verdict",
    "explain",
    "is_revoked",
    "jti_revoked",
    "token_revoked",
]


@attrs.frozen
class Verdict(KnownNames):
    """Whether a token is revoked, and why.

    revoked: the result of ``token_revoked``.
    rule: ``"token"``, ``"cut-off"``, ``"family"``, ``"expired"``, ``"invalid"``, or ``"none"`` if no rule applies.
    since: time of the revocation, if a record revokes the token. reason: of that record, or the text of the error.
    """

    revoked: bool
    rule: str
    since: datetime | None = None
    reason: str | None = None


_FAILED_CLOSED = measure(
    "resourcekit.tokens.failed_closed", "Checks that could not reach the store and answered revoked, by cause."
)


async def is_revoked(
    cls: Any,
    token: str | None = None,
    jti: str | None = None,
    subject: str | None = None,
    issued_at: datetime | None = None,
    family: str | None = None,
    generation: str | None = None,
) -> bool:
    """Return whether a token, or a jti, is revoked: the extension's own action of that name.

    token: checks the token as a whole. jti: checks the record of that jti, if no token is given.
    subject, issued_at, family, generation: of the verified claims of that jti; with them, cut-off, generation and family are checked
    too.
    """
    tokens = tokens_of(cls)
    if token is not None:
        return await _token_is_dead(tokens, token)
    return await _jti_is_dead(tokens, jti, subject, issued_at, family, generation)


async def _token_is_dead(tokens: Tokens, token: object) -> bool:
    await keys_ready(tokens.options, token)
    try:
        claims = trusted_claims(tokens.options, token)
    except InvalidToken:
        return True
    moment = utc_now()
    if past_tolerance(tokens.options, claims, moment):
        return True
    if await tokens.status_of(claims) is not None or lives_too_long(tokens.options, claims, moment):
        return True
    # Checked again: if this process was delayed, a sweep may have removed the record of a revoked token before it was read.
    return past_tolerance(tokens.options, claims, utc_now())


async def _jti_is_dead(
    tokens: Tokens, jti: object, subject: str | None, issued_at: datetime | None, family: str | None, generation: str | None
) -> bool:
    if not isinstance(jti, str) or refused_jti(jti):
        return True
    if subject is None and family is None:
        return await tokens.is_recorded(jti)
    tolerance = tokens.options.iat_tolerance
    return await tokens.status(TokenFacts(jti, subject, issued_at, family, generation, tolerance)) is not None


@function
async def token_revoked(resource: Any, token: object) -> bool:
    """Return whether a token is revoked: by its own record, by a cut-off of its subject, or with its family.

    Also true for a malformed token, for a token past ``exp + leeway + clock_skew``, for a lifetime over ``max_lifetime``, for a token that
    does not verify (if the resource has keys), and if the store fails (logged and counted), by promise P3 (checks fail closed).
    False never means "valid": use ``verify``.
    """
    try:
        tokens = tokens_of(resource)
        if tokens.check_is_own:
            return await _token_is_dead(tokens, token)
        name = tokens.options.revocation.is_revoked_action_name
        return await run_action(resource, name, {"token": token}) is not False
    except Exception as error:  # promise P3 (checks fail closed): after any error, the answer is "revoked"
        return _refuse(resource, error)


@function
async def jti_revoked(
    resource: Any,
    jti: object,
    *,
    subject: str | tuple[str, str] | None = None,
    issued_at: datetime | None = None,
    family: str | tuple[str, str] | None = None,
    generation: str | None = None,
) -> bool:
    """Return whether a jti is revoked. If the caller gives verified claims, cut-off, generation and family are checked too.

    jti: ``(issuer, jti)`` for a token of one of several providers; family and subject likewise.
    issued_at: aware; a token without it is revoked by any cut-off of its subject. generation: the claim `rk_gen`, if a key of yours
    has signed it; a token without it must be issued later than a log-out by ``foreign_iat_tolerance``.
    Fails closed like ``token_revoked``. Raises InvalidArgument for a subject that is no text, which is a mistake in the program.
    """
    if type(jti) is tuple or type(family) is tuple:
        jti, family = scope_of(jti), cast("str | None", scope_of(family))
    if isinstance(subject, tuple):
        if len(subject) == 2:  # the jti of a provider's token, as the token has it
            jti = scope_of((subject[0], jti))
            family = cast("str | None", family and scope_of((subject[0], family)))
        subject = cast("str", owner_of(tokens_of(resource).options, subject))
    if subject is not None and not isinstance(subject, str):  # a mistake in the program, not a failure of the check
        finding = FieldFinding("subject", "must be text; write str(user.id)")
        raise InvalidArgument(finding, resource=tokens_of(resource).runtime.info.name, action="jti_revoked")
    try:
        tokens = tokens_of(resource)
        if tokens.check_is_own:
            if subject is None and family is None and isinstance(jti, str) and not refused_jti(jti):
                # The fast path of most checks. One more coroutine call would take a noticeable part of their time.
                if await tokens.store.aggregate(tokens.check_one, {"jti": jti}) is not False:
                    return True
                # An open transaction may read an earlier snapshot, so the latest committed rows are checked too (promise P1:
                # a revoked token stays revoked).
                outside = tokens.store.outside()
                return outside is not None and await tokens.is_recorded_outside(jti, outside)
            return await _jti_is_dead(tokens, jti, subject, issued_at, cast("str | None", family), generation)
        facts = {"jti": jti, "subject": subject, "issued_at": issued_at, "family": family, "generation": generation}
        given = {name: value for name, value in facts.items() if value is not None}
        return await run_action(resource, tokens.options.revocation.is_revoked_action_name, given) is not False
    except Exception as error:  # promise P3 (checks fail closed): after any error, the answer is "revoked"
        return _refuse(resource, error)


def _refuse(resource: Any, error: Exception) -> bool:
    """Log and count a check that failed, and return True. Raises NotATokenResource, which is a mistake in the program.

    The error of a signal handler, such as the time limit of a job, is raised too: the caller gets no result, so fails closed as well.
    """
    require_no_signal(error)
    if isinstance(error, ResourcekitError) and isinstance(error, TypeError):
        raise error
    cause = type(error).__name__
    count(_FAILED_CLOSED, cause=cause, resource=resource.__name__)
    text, name = "a check of %s could not be answered (%s); the answer is revoked", resource.__name__
    logger("tokens").error(text, name, cause, extra={"resourcekit": {"resource": name, "error": cause}})
    return True


@function
async def explain(resource: Any, *, token: str | None = None, jti: str | tuple[str, str] | None = None) -> Verdict:
    """Return the verdict on a token, or on a jti alone, with its rule, time and reason.

    jti: ``(issuer, jti)`` for a token of one of several providers.

    Raises InvalidArgument where neither is given; a store's errors pass.
    """
    tokens = tokens_of(resource)
    if token is not None:
        await keys_ready(tokens.options, token)
        try:
            claims = trusted_claims(tokens.options, token)
        except InvalidToken as error:
            return Verdict(revoked=True, rule="invalid", reason=str(error))
        status = await tokens.status_of(claims)
        if status is None and past_tolerance(tokens.options, claims, utc_now()):
            return Verdict(revoked=True, rule="expired", since=claims.expires_at, reason="past exp, leeway and clock skew")
        if status is None and lives_too_long(tokens.options, claims, utc_now()):
            return Verdict(revoked=True, rule="invalid", reason="The token lives longer than any may, so it verifies nowhere.")
        return _verdict(status)
    if jti is None:
        finding = FieldFinding("token", "is required, or jti is")
        raise InvalidArgument(finding, resource=resource.__name__, action="explain")
    jti = cast("str", scope_of(jti))
    if problem := refused_jti(jti):
        return Verdict(revoked=True, rule="invalid", reason=f"a jti {problem}")
    return _verdict(await tokens.status(TokenFacts(jti)))


def _verdict(status: RevocationStatus | None) -> Verdict:
    if status is None:
        return Verdict(revoked=False, rule="none")
    return Verdict(revoked=True, rule=status.rule, since=status.since, reason=status.reason)
