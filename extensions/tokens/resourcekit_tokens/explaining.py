"""Says why a token is, or is not, revoked."""

from __future__ import annotations

from typing import Any

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.extending import function
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.keyspace import refused_jti
from resourcekit_tokens.reading import lives_too_long, past_tolerance, vouched
from resourcekit_tokens.results import Verdict
from resourcekit_tokens.tokens import Standing, tokens_of

__all__ = ["explain"]


@function
async def explain(resource: Any, *, token: str | None = None, jti: str | None = None) -> Verdict:
    """Return the verdict on a token, or on a jti alone, with its rule, time and reason.

    Raises InvalidArgument where neither is given; a store's errors pass.
    """
    tokens = tokens_of(resource)
    if token is not None:
        try:
            claims = vouched(tokens.options, token)
        except InvalidToken as error:
            return Verdict(revoked=True, rule="invalid", reason=str(error))
        standing = await tokens.standing_of(claims)
        if standing is None and past_tolerance(tokens.options, claims, utc_now()):
            return Verdict(revoked=True, rule="expired", since=claims.expires_at, reason="past exp, leeway and clock skew")
        if standing is None and lives_too_long(tokens.options, claims, utc_now()):
            return Verdict(revoked=True, rule="invalid", reason="The token lives longer than any may, so it verifies nowhere.")
        return _verdict(standing)
    if jti is None:
        finding = FieldFinding("token", "is required, or jti is")
        raise InvalidArgument(finding, resource=resource.__name__, action="explain")
    if problem := refused_jti(jti):
        return Verdict(revoked=True, rule="invalid", reason=f"a jti {problem}")
    return _verdict(await tokens.standing(jti, None, None, None))


def _verdict(standing: Standing | None) -> Verdict:
    if standing is None:
        return Verdict(revoked=False, rule="none")
    return Verdict(revoked=True, rule=standing.rule, since=standing.since, reason=standing.reason)
