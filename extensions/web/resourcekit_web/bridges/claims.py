"""``Bridge``: checks and revokes the tokens of another library by their verified claims. Edit this module to change how claims are read."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from resourcekit_tokens.claims import GENERATION_CLAIM

__all__ = ["Bridge"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class Bridge:
    """A token resource as the store of another library's revocations.

    The library has verified the claims that it gives. resource: the token resource, with or without keys of its own.
    subject_claim, jti_claim, family_claim: names of the claims in the library's tokens.
    """

    resource: Any
    subject_claim: str = "sub"
    jti_claim: str = "jti"
    family_claim: str = "fam"

    def issued(self, subject: object) -> dict[str, str]:
        """Return the claims that a new token of a subject needs, so that ``log_out_everywhere`` ends it.

        Raises InvalidArgument for a subject that is neither text nor a number.
        """
        claims: dict[str, str] = self.resource.generation_claims(_subject(subject))
        return claims

    async def issued_async(self, subject: object) -> dict[str, str]:
        """Return the claims that a new token of a subject needs, so that ``log_out_everywhere`` ends it."""
        claims: dict[str, str] = await self.resource.generation_claims.aio(_subject(subject))
        return claims

    def new_family(self) -> dict[str, str]:
        """Return the claim that connects all tokens of one sign-in, so that revoking one of them ends all."""
        return {self.family_claim: secrets.token_urlsafe(16)}

    def is_revoked(self, claims: Mapping[str, Any]) -> bool:
        """Return whether a token is revoked. True also for a token without a jti, and if the store fails."""
        revoked: bool = self.resource.jti_revoked(claims.get(self.jti_claim), **self._facts(claims))
        return revoked

    async def is_revoked_async(self, claims: Mapping[str, Any]) -> bool:
        """Return whether a token is revoked. True also for a token without a jti, and if the store fails."""
        revoked: bool = await self.resource.jti_revoked.aio(claims.get(self.jti_claim), **self._facts(claims))
        return revoked

    def revoke(self, claims: Mapping[str, Any], *, reason: str | None = None) -> Any:
        """Revoke a token, and all tokens of its family if it has one, and return its record.

        Raises Invalid for a token without a jti, and a DataLayerError if the store fails.
        """
        return self.resource.revoke_jti(claims.get(self.jti_claim), **self._written(claims), reason=reason)

    async def revoke_async(self, claims: Mapping[str, Any], *, reason: str | None = None) -> Any:
        """Revoke a token, and all tokens of its family if it has one, and return its record."""
        return await self.resource.revoke_jti.aio(claims.get(self.jti_claim), **self._written(claims), reason=reason)

    def _facts(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        family, generation = claims.get(self.family_claim), claims.get(GENERATION_CLAIM)
        return {
            "subject": _text(claims.get(self.subject_claim)),
            "issued_at": _moment(claims.get("iat"), round_up=False),
            "family": family if isinstance(family, str) else None,
            "generation": generation if isinstance(generation, str) else None,
        }

    def _written(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        family = claims.get(self.family_claim)
        return {
            "subject": _text(claims.get(self.subject_claim)),
            "expires_at": _moment(claims.get("exp"), round_up=True),
            "family": family if isinstance(family, str) and family else False,
        }


def _text(subject: object) -> str | None:
    """Return a subject as records have it. Libraries write numbers for users, too."""
    if type(subject) is int:
        return str(subject)
    return subject if isinstance(subject, str) and subject else None


def _subject(subject: object) -> object:
    return str(subject) if type(subject) is int else subject


def _moment(seconds: object, *, round_up: bool) -> datetime | None:
    """Return a time of a token. None for a value that is no number, or that is out of range."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return _EPOCH + timedelta(seconds=math.ceil(seconds) if round_up else float(seconds))
    except (OverflowError, ValueError):
        return None
