"""The actions of a token resource, under their configured names, and the steps of which they consist.

Open it to change an action, the values that it writes, or what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Self

import attrs

from resourcekit import Changeset, Context, Query, action, argument, create, destroy, read
from resourcekit.extending import Action, Change, Expression, Field, Origin, Upsert, Word, named
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.errors import WrongPurpose
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.revocation import facts_of_claims, revocation_of, revoke_stored
from resourcekit_tokens.revocation_check import is_revoked
from resourcekit_tokens.revocation_rules import RESERVED_PURPOSES, REVOCATION, is_of_same_subject, refused_jti, revoking, storing
from resourcekit_tokens.signature import trusted_claims
from resourcekit_tokens.tokens import tokens_of
from resourcekit_tokens.verification import check_life

__all__ = [
    "RevokeJti",
    "RevokeToken",
    "StoreChanges",
    "StoreToken",
    "TokenStep",
    "default_actions",
    "find_expired",
    "find_pending",
    "find_token",
    "required_steps",
]


def find_expired(cls: Any, query: Query[Any], context: Context) -> Query[Any]:
    """Find the records past their expiry, whether or not a sweep may let them go yet."""
    return query.filter(Field("expires_at") < context.now())


def find_token(
    cls: Any, query: Query[Any], context: Context, token: str | None = None, jti: str | None = None, purpose: str | None = None
) -> Query[Any]:
    """Find the record of a token, or of a jti, that has not expired; revoked or not.

    token: read for its jti. jti: the same as the token's, where both are given. purpose: only a record of this purpose.
    """
    if token is not None:
        of_token = trusted_claims(tokens_of(cls).options, token).jti
        jti = of_token if jti in (None, of_token) else None
    if refused_jti(jti):
        return query.filter(Field("jti").in_(()))
    query = query.filter(Field("jti") == jti, Field("expires_at") > context.now())
    return query if purpose is None else query.filter(Field("purpose") == purpose)


def find_pending(cls: Any, query: Query[Any], context: Context, jti: str, purpose: str = "confirm") -> Query[Any]:
    """Find the record of pending changes that are neither used, nor revoked, nor expired.

    jti: of the confirmation token. purpose: the one it was issued for.
    """
    if refused_jti(jti):
        return query.filter(Field("jti").in_(()))
    return query.filter(
        Field("jti") == jti, Field("purpose") == purpose, Field("expires_at") > context.now(), Field("revoked_at").is_none()
    )


@attrs.frozen(kw_only=True)
class TokenStep:
    """A step that needs the options of its resource; the extension binds them when the class is made."""

    options: TokenOptions = attrs.field(factory=TokenOptions, repr=False)

    def bound(self, options: TokenOptions) -> Self:
        """Return this step with the options of the resource that it works for."""
        return attrs.evolve(self, options=options)

    def facts(self, claims: Claims, moment: datetime) -> dict[str, Any]:
        """Return the claims of a token as attributes."""
        return {**facts_of_claims(self.options, claims, moment), "updated_at": moment}


@attrs.frozen(kw_only=True)
class RevokeToken(TokenStep, Change):
    """Writes the revocation of a token, and ends its family unless the argument ``family`` is false."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(ignores_read=True, set={**revoking(), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Verify the token if there are keys, and set the values. Raises InvalidToken."""
        moment = context.now()
        claims = trusted_claims(self.options, changeset.arguments["token"])
        reason = changeset.arguments.get("reason") or "revoked"
        values = revocation_of(self.options, claims, moment, reason)
        changeset = changeset.set(**values, updated_at=moment)
        family, until = claims.sign_in, values["expires_at"]
        if family is None or changeset.arguments.get("family") is False:
            return changeset

        async def end_family(_: Changeset, record: Any, __: Context) -> Any:
            await tokens_of(type(record)).end_family(family, reason, moment, until)
            return record

        return changeset.after_action(end_family)


@attrs.frozen(kw_only=True)
class RevokeJti(TokenStep, Change):
    """Writes the revocation of a jti whose token is not at hand."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(ignores_read=True, set={**revoking(), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the values; for an unknown expiry, use the latest that a token may have."""
        given = changeset.arguments
        if problem := refused_jti(given["jti"]):
            return changeset.reject("jti", problem)
        moment = context.now()
        expires_at = given.get("expires_at")
        return changeset.set(
            jti=given["jti"],
            subject=given.get("subject"),
            purpose=REVOCATION,
            expires_at=expires_at or self.options.kept_until(moment),
            revoked_at=moment,
            revocation_reason=given.get("reason") or "revoked",
            updated_at=moment,
        )


@attrs.frozen(kw_only=True)
class StoreToken(TokenStep, Change):
    """Writes the claims of a token; never the token."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(ignores_read=True, where=is_of_same_subject(), set={**storing(replace_extra=False), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the values. Raises InvalidToken, and WrongPurpose if the purposes of token and caller differ."""
        moment = context.now()
        claims = trusted_claims(self.options, changeset.arguments["token"])
        check_life(self.options, claims, moment)
        purpose = _purpose(claims, changeset.arguments.get("purpose"), "user")
        return changeset.set(**self.facts(claims, moment), purpose=purpose)


@attrs.frozen(kw_only=True)
class StoreChanges(TokenStep, Change):
    """Writes the pending changes of a confirmation token."""

    @classmethod
    def upsert(cls, **own: Expression) -> Upsert:
        """Return the upsert that an action with this change needs; ``own``: assignments of your own attributes."""
        return Upsert(ignores_read=True, where=is_of_same_subject(), set={**storing(replace_extra=True), **own})

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the values. Raises InvalidToken, and WrongPurpose if the purposes of token and caller differ."""
        moment = context.now()
        claims = trusted_claims(self.options, changeset.arguments["token"])
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


_TOKEN = argument("token", str, sensitive=True, doc="The token; it is read, and never stored.")
_PURPOSE = argument("purpose", str | None, default=None, max_length=255, doc="The purpose of a token that has none.")
_REASON = argument("reason", str | None, default=None, max_length=255, doc="Why; the first reason stays.")
_JTI = argument("jti", str, sensitive=True, doc="The token's own identity.")

_REVOKE_TOKEN = create(
    accept=["extra_data"],
    arguments=[_TOKEN, argument("family", bool | None, default=None, doc="False: the token's family lives on."), _REASON],
    changes=[RevokeToken()],
    upsert=RevokeToken.upsert(),
    doc="Revokes a token.",
)
_REVOKE_JTI = create(
    arguments=[
        _JTI,
        argument("subject", str | None, default=None, doc="Whom the token is about."),
        argument("expires_at", datetime | None, default=None, doc="When it expires, if that is known."),
        _REASON,
    ],
    changes=[RevokeJti()],
    upsert=RevokeJti.upsert(),
    doc="Revokes the token with a jti.",
)
_STORE_TOKEN = create(
    accept=["extra_data"],
    arguments=[_TOKEN, _PURPOSE],
    changes=[StoreToken()],
    upsert=StoreToken.upsert(),
    doc="Stores the claims of a token.",
)
_STORE_CHANGES = create(
    arguments=[_TOKEN, argument("changes", dict[str, Any], sensitive=True, doc="A JSON object."), _PURPOSE],
    changes=[StoreChanges()],
    upsert=StoreChanges.upsert(),
    doc="Keeps changes until their token is confirmed.",
)


def _own(word: Word) -> Action:
    """Return a word's action, its signature read once for all resources; the name comes with the options."""
    return attrs.evolve(named("unnamed", word), origin=Origin(declared_by="TokenResource"))


_ACTIONS: Mapping[str, Action] = {
    "revoke_token": _own(_REVOKE_TOKEN),
    "revoke_jti": _own(_REVOKE_JTI),
    "revoke_all": _own(
        action(
            classmethod(revoke_stored), doc="Revokes all stored tokens of a subject that are not revoked yet, in one statement."
        )
    ),
    "is_revoked": _own(action(classmethod(is_revoked), doc="Returns whether a token, or a jti, is revoked.")),
    "store_changes": _own(_STORE_CHANGES),
    "get_changes": _own(read(classmethod(find_pending), get=True, doc="Finds pending changes.")),
    "store_token": _own(_STORE_TOKEN),
    "get_token": _own(read(classmethod(find_token), get=True, doc="Finds the record of a token that has not expired.")),
    "read_expired": _own(read(classmethod(find_expired), doc="Finds the records past their expiry.")),
    "expunge_expired": _own(destroy(doc="Removes a record that no check needs any more.")),
}


@lru_cache(maxsize=256)
def default_actions(options: TokenOptions) -> tuple[Action, ...]:
    """Return the extension's own actions under their configured names."""
    revocation, confirmation = options.revocation, options.confirmation
    names = {
        "revoke_token": revocation.revoke_token_action_name,
        "revoke_jti": revocation.revoke_jti_action_name,
        "revoke_all": revocation.revoke_all_stored_for_subject_action_name,
        "is_revoked": revocation.is_revoked_action_name,
        "store_changes": confirmation.store_changes_action_name,
        "get_changes": confirmation.get_changes_action_name,
        "store_token": options.store_token_action_name,
        "get_token": options.get_token_action_name,
        "read_expired": options.read_expired_action_name,
        "expunge_expired": options.expunge_expired_action_name,
    }
    return tuple(attrs.evolve(_ACTIONS[key], name=name) for key, name in names.items())


def required_steps(options: TokenOptions) -> Mapping[str, tuple[type[TokenStep], str]]:
    """Return, by action name, the change and the argument that an action of the user's own of that name must have."""
    return {
        options.revocation.revoke_token_action_name: (RevokeToken, "token"),
        options.revocation.revoke_jti_action_name: (RevokeJti, "jti"),
        options.store_token_action_name: (StoreToken, "token"),
        options.confirmation.store_changes_action_name: (StoreChanges, "token"),
    }
