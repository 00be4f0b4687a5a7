"""The actions that a token resource gets, each under the name that its options say. They know no store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import attrs

from resourcekit import action, argument, create, destroy, read
from resourcekit.extending import Action, Origin, Word, named
from resourcekit_tokens.checking import is_revoked
from resourcekit_tokens.finding import find_expired, find_pending, find_token
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.revoking import revoke_stored
from resourcekit_tokens.steps import RevokeJti, RevokeToken, StoreChanges, StoreToken, TokenStep

__all__ = ["default_actions", "required_steps"]

_TOKEN = argument("token", str, sensitive=True, doc="The token; it is read, and never stored.")
_PURPOSE = argument("purpose", str | None, default=None, max_length=255, doc="What the token is for, where it does not say.")
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
    doc="Stores what a token says of itself.",
)
_STORE_CHANGES = create(
    arguments=[_TOKEN, argument("changes", dict[str, Any], sensitive=True, doc="A JSON object."), _PURPOSE],
    changes=[StoreChanges()],
    upsert=StoreChanges.upsert(),
    doc="Keeps changes until their token is confirmed.",
)


def _ours(word: Word) -> Action:
    """Return a word's action, its signature read once for all resources; the name comes with the options."""
    return attrs.evolve(named("unnamed", word), origin=Origin(declared_by="TokenResource"))


_ACTIONS: Mapping[str, Action] = {
    "revoke_token": _ours(_REVOKE_TOKEN),
    "revoke_jti": _ours(_REVOKE_JTI),
    "revoke_all": _ours(
        action(
            classmethod(revoke_stored), doc="Revokes all stored tokens of a subject that nobody revoked yet, in one statement."
        )
    ),
    "is_revoked": _ours(action(classmethod(is_revoked), doc="Tells whether a token, or a jti, is revoked.")),
    "store_changes": _ours(_STORE_CHANGES),
    "get_changes": _ours(read(classmethod(find_pending), get=True, doc="Finds pending changes.")),
    "store_token": _ours(_STORE_TOKEN),
    "get_token": _ours(read(classmethod(find_token), get=True, doc="Finds the record of a token that has not expired.")),
    "read_expired": _ours(read(classmethod(find_expired), doc="Finds the records past their expiry.")),
    "expunge_expired": _ours(destroy(doc="Removes a record that no check needs any more.")),
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
