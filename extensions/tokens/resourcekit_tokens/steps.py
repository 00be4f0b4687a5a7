"""The changes of the extension's actions: they turn a token into the values of its record. They know keys, no store."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

import attrs

from resourcekit import Changeset, Context
from resourcekit.extending import Change, Expression, Upsert
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.errors import WrongPurpose
from resourcekit_tokens.guards import revoking, storing
from resourcekit_tokens.keyspace import RESERVED_PURPOSES, REVOCATION, later, refused_jti
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.reading import check_life, longest_expiry, vouched
from resourcekit_tokens.tokens import tokens_of

__all__ = ["RevokeJti", "RevokeToken", "StoreChanges", "StoreToken", "TokenStep"]


@attrs.frozen(kw_only=True)
class TokenStep:
    """A step that needs the options of its resource; the extension binds them when the class is made."""

    options: TokenOptions = attrs.field(factory=TokenOptions, repr=False)

    def bound(self, options: TokenOptions) -> Self:
        """Return this step with the options of the resource that it works for."""
        return attrs.evolve(self, options=options)

    def facts(self, claims: Claims, moment: datetime) -> dict[str, Any]:
        """Return what a token says of itself, as attributes."""
        return {
            "jti": claims.jti,
            "subject": claims.subject,
            "family": claims.family,
            "expires_at": claims.expires_at or longest_expiry(self.options, moment, claims.issued_at),
            "updated_at": moment,
        }


@attrs.frozen(kw_only=True)
class RevokeToken(TokenStep, Change):
    """Writes the revocation of a token, and ends its family unless the argument ``family`` says no."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(set={**revoking(keep_expiry=False), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Verify what can be verified, and set the values. Raises InvalidToken."""
        moment = context.now()
        claims = vouched(self.options, changeset.arguments["token"])
        reason = changeset.arguments.get("reason") or "revoked"
        changeset = changeset.set(**self.facts(claims, moment), purpose=REVOCATION, revoked_at=moment, revocation_reason=reason)
        family = claims.family
        if family is None or changeset.arguments.get("family") is False:
            return changeset

        async def end_family(_: Changeset, record: Any, __: Context) -> Any:
            await tokens_of(type(record)).end_family(family, reason, moment)
            return record

        return changeset.after_action(end_family)


@attrs.frozen(kw_only=True)
class RevokeJti(TokenStep, Change):
    """Writes the revocation of a jti whose token is not at hand."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(set={**revoking(keep_expiry=True), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the values; an unknown expiry is the longest that a token may have."""
        given = changeset.arguments
        if problem := refused_jti(given["jti"]):
            return changeset.reject("jti", problem)
        moment = context.now()
        expires_at = given.get("expires_at")
        return changeset.set(
            jti=given["jti"],
            subject=given.get("subject"),
            purpose=REVOCATION,
            expires_at=expires_at or later(moment, self.options.longest_life),
            revoked_at=moment,
            revocation_reason=given.get("reason") or "revoked",
            updated_at=moment,
        )


@attrs.frozen(kw_only=True)
class StoreToken(TokenStep, Change):
    """Writes what a token says of itself; never the token."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(set={**storing(replace_extra=False), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the values. Raises InvalidToken, and WrongPurpose where token and caller contradict each other."""
        moment = context.now()
        claims = vouched(self.options, changeset.arguments["token"])
        check_life(self.options, claims, moment)
        purpose = _purpose(claims, changeset.arguments.get("purpose"), "user")
        return changeset.set(**self.facts(claims, moment), purpose=purpose)


@attrs.frozen(kw_only=True)
class StoreChanges(TokenStep, Change):
    """Writes changes that wait for the token to be confirmed."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(set={**storing(replace_extra=True), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the values. Raises InvalidToken, and WrongPurpose where token and caller contradict each other."""
        moment = context.now()
        claims = vouched(self.options, changeset.arguments["token"])
        check_life(self.options, claims, moment)
        purpose = _purpose(claims, changeset.arguments.get("purpose"), "confirm")
        return changeset.set(**self.facts(claims, moment), purpose=purpose, extra_data=changeset.arguments["changes"])


def _purpose(claims: Claims, given: str | None, otherwise: str) -> str:
    """Return the token's own purpose, else the caller's, else the usual one."""
    purpose = claims.purpose if claims.states_purpose else given or otherwise
    if given is not None and given != purpose:
        raise WrongPurpose("The token was issued for another purpose than the caller names.", claim="purpose")
    if purpose in RESERVED_PURPOSES:
        raise WrongPurpose("This purpose is reserved for the extension's own records.", claim="purpose")
    return purpose
