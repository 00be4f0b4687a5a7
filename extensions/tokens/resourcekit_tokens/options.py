"""The options of a token resource, as attrs classes; they know keys, and neither a store nor a resource."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any

import attrs

from resourcekit.extending import Extension, Options, option
from resourcekit_tokens.keys import JWT

__all__ = ["Confirmation", "Revocation", "TokenOptions"]


def _not_negative(value: timedelta) -> str | None:
    return "must not be negative" if value < timedelta(0) else None


def _at_least(seconds: int) -> Callable[[Any], str | None]:
    def check(value: timedelta | None) -> str | None:
        return None if value is None or value >= timedelta(seconds=seconds) else f"must be at least {seconds} s"

    return check


def _name(value: str) -> str | None:
    return None if value.isidentifier() and not value.startswith("_") else "must be a name that a class body could use"


def _names(value: AbstractSet[object]) -> str | None:
    return None if all(isinstance(name, str) for name in value) else "must hold names of actions"


@attrs.frozen(kw_only=True)
class Revocation(Options):
    """Names of the actions that revoke and check."""

    revoke_token_action_name: str = option(default="revoke_token", check=_name, doc="Name of the action that revokes a token.")
    revoke_jti_action_name: str = option(default="revoke_jti", check=_name, doc="Name of the action that revokes by jti.")
    revoke_all_stored_for_subject_action_name: str = option(
        default="revoke_all_stored_for_subject",
        check=_name,
        doc="Name of the action that revokes all stored tokens of a subject.",
    )
    is_revoked_action_name: str = option(
        default="revoked", check=_name, doc="Name of the generic action that tells whether a token, or a jti, is revoked."
    )


@attrs.frozen(kw_only=True)
class Confirmation(Options):
    """Names of the actions that keep changes until they are confirmed."""

    store_changes_action_name: str = option(
        default="store_confirmation_changes", check=_name, doc="Name of the action that stores pending changes."
    )
    get_changes_action_name: str = option(
        default="get_confirmation_changes", check=_name, doc="Name of the action that finds the record of pending changes."
    )


@attrs.frozen(kw_only=True)
class TokenOptions(Extension):
    """What a user may say of a token resource; ``TokenResource`` adds what it brings.

    Names and meanings follow AshAuthentication's TokenResource where it has the option.
    """

    jwt: JWT | None = option(
        default=None,
        doc="Keys, issuer, audience and lifetimes. Without it tokens are not issued or verified, and the caller vouches for them.",
    )
    leeway: timedelta = option(default=timedelta(0), check=_not_negative, doc="Tolerance for `exp` and `nbf` in `verify`.")
    clock_skew: timedelta = option(
        default=timedelta(seconds=60),
        check=_not_negative,
        doc="How far the clocks of two hosts may differ; a part of the sweep's margin.",
    )
    max_lifetime: timedelta | None = option(
        default=None,
        check=_at_least(1),
        doc="Upper bound of any token's life; a longer token is refused. The longest lifetime of `jwt` unless "
        "given; `None`, without keys: what has no expiry is kept for ever.",
    )
    expunge_interval: timedelta = option(
        default=timedelta(hours=12),
        check=_at_least(1),
        doc="Time between two sweeps, at least one second. AshAuthentication's option of that name counts whole hours.",
    )
    store_all_tokens: bool = option(default=False, doc="`issue` also stores the facts of the tokens it makes.")
    require_token_presence: bool = option(default=False, doc="`verify` accepts only stored tokens; needs `store_all_tokens`.")
    rotation_grace: timedelta = option(
        default=timedelta(0),
        check=_not_negative,
        doc="Within it, one more `rotate` of the same refresh token is answered with a new pair; after it, it is reuse.",
    )
    created_at_attribute_name: str = option(
        default="created_at", check=_name, doc="Name of the attribute for the time of storing."
    )
    expunge_expired_action_name: str = option(
        default="expunge_expired", check=_name, doc="Name of the action that removes expired records."
    )
    read_expired_action_name: str = option(
        default="read_expired", check=_name, doc="Name of the action that finds expired records."
    )
    store_token_action_name: str = option(
        default="store_token", check=_name, doc="Name of the action that stores a token's facts."
    )
    get_token_action_name: str = option(default="get_token", check=_name, doc="Name of the action that finds a token's record.")
    revocation: Revocation = option(factory=Revocation, doc="Names of the actions that revoke and check.")
    confirmation: Confirmation = option(factory=Confirmation, doc="Names of the actions for pending changes.")
    allow_unsafe_actions: AbstractSet[str] = option(
        factory=frozenset,
        check=_names,
        doc="Actions of yours that may write what only the extension writes, or destroy records that have not expired.",
    )

    def __attrs_post_init__(self) -> None:
        """Check the options, and keep the names as a set that nobody can change any more."""
        super().__attrs_post_init__()
        object.__setattr__(self, "allow_unsafe_actions", frozenset(self.allow_unsafe_actions))

    @property
    def longest_life(self) -> timedelta | None:
        """The upper bound of any token's life: ``max_lifetime``, else the longest lifetime of the keys, else none."""
        if self.max_lifetime is not None or self.jwt is None:
            return self.max_lifetime
        return self.jwt.longest_lifetime

    @property
    def margin(self) -> timedelta:
        """How long a record stays beyond its expiry (P7)."""
        return self.leeway + self.clock_skew
