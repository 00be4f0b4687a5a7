"""The options of a token resource, as attrs classes. Open it to add an option or to change how one is checked."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import attrs

from resourcekit.extending import (
    Extension,
    Facts,
    Options,
    option,
)
from resourcekit_tokens.keys.jwt import JWT
from resourcekit_tokens.revocation_rules import NEVER_EXPIRES, later

__all__ = [
    "LONGEST_GRACE",
    "Confirmation",
    "Revocation",
    "TokenOptions",
    "own_attributes",
    "protected_attributes",
]

_LONGEST_TOLERANCE = timedelta(days=10_000)
"""Upper bound of ``leeway`` and ``clock_skew``; sums of a few of them stay within the range of ``datetime``."""


def _not_negative(value: timedelta) -> str | None:
    return "must not be negative" if value < timedelta(0) else None


def _tolerance(value: timedelta) -> str | None:
    if value > _LONGEST_TOLERANCE:
        return f"must be at most {_LONGEST_TOLERANCE.days} days; a tolerance is a matter of seconds or minutes"
    return _not_negative(value)


def _optional_tolerance(value: timedelta | None) -> str | None:
    return None if value is None else _tolerance(value)


LONGEST_GRACE = timedelta(minutes=5)
"""Upper bound of ``rotation_grace``."""


def _grace(value: timedelta | None) -> str | None:
    if value is not None and value > LONGEST_GRACE:
        return f"must be at most {LONGEST_GRACE}: until then a stolen refresh token is answered like a second tab"
    return None if value is None else _not_negative(value)


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
        default="revoked", check=_name, doc="Name of the generic action that returns whether a token, or a jti, is revoked."
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
    """The options of a token resource; ``TokenResource`` adds the parts of the extension.

    Names and meanings follow AshAuthentication's TokenResource if it has the option.
    """

    jwt: JWT | None = option(
        default=None,
        doc="Keys, issuer, audience and lifetimes. Without it tokens are not issued or verified, and the caller must trust them.",
    )
    leeway: timedelta = option(default=timedelta(0), check=_tolerance, doc="Tolerance for `exp` and `nbf` in `verify`.")
    clock_skew: timedelta = option(
        default=timedelta(seconds=60),
        check=_tolerance,
        doc="How far the clock of a host may be off. A record is kept this much longer for each of the hosts that take part; "
        "a token that was issued further in the future is refused; a sweep beyond it does not run.",
    )
    max_lifetime: timedelta | None = option(
        default=None,
        check=_at_least(1),
        doc="Upper bound of any token's life; a longer token is refused, and one without `iat`, whose life cannot be measured. "
        "The longest lifetime of `jwt` unless given; `None`, without keys, or `timedelta.max`: no bound, and records without "
        "an expiry are never removed.",
    )
    expunge_interval: timedelta = option(
        default=timedelta(hours=12),
        check=_at_least(1),
        doc="Time between two sweeps, at least one second. AshAuthentication's option of that name counts whole hours.",
    )
    store_all_tokens: bool = option(default=False, doc="`issue` also stores the facts of the tokens it makes.")
    require_token_presence: bool = option(default=False, doc="`verify` accepts only stored tokens; needs `store_all_tokens`.")
    rotation_grace: timedelta | None = option(
        default=None,
        check=_grace,
        doc="Within it, every repetition of a `rotate` is answered with the same pair, so that two tabs may refresh at once; after it, "
        "a repetition is reuse. At most five minutes, and the lifetime of access tokens. `None`: 0, and ten seconds where the web "
        "layer refreshes by cookie.",
    )
    sessions: bool = option(
        default=False,
        doc="One record for each sign-in with a subject, for `sessions`, `end_session` and the time of the last refresh.",
    )
    max_session: timedelta | None = option(
        default=None, check=_at_least(1), doc="Longest time from a sign-in to the last of its tokens' expiries; needs `sessions`."
    )
    max_idle: timedelta | None = option(
        default=None, check=_at_least(1), doc="Longest time from one refresh of a session to the next; needs `sessions`."
    )
    foreign_iat_tolerance: timedelta | None = option(
        default=None,
        check=_optional_tolerance,
        doc="A token of another issuer, without a generation, survives a log-out only if its `iat` is later by this much. "
        "`None`: `clock_skew`.",
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
        """Check the options, and store the names as an immutable set."""
        super().__attrs_post_init__()
        object.__setattr__(self, "allow_unsafe_actions", frozenset(self.allow_unsafe_actions))

    @cached_property
    def keys(self) -> JWT | None:
        """The ``jwt`` if it has keys; without any, tokens are neither issued nor verified."""
        return self.jwt if self.jwt is not None and self.jwt.has_keys else None

    @cached_property
    def longest_life(self) -> timedelta | None:
        """The maximum lifetime of a token: ``max_lifetime``, else the longest lifetime of the keys, else None."""
        if self.max_lifetime is not None or self.keys is None:
            return self.max_lifetime
        return self.keys.longest_lifetime

    @cached_property
    def iat_tolerance(self) -> timedelta:
        """How much later than a log-out the ``iat`` of a token without a generation must be."""
        return self.clock_skew if self.foreign_iat_tolerance is None else self.foreign_iat_tolerance

    @cached_property
    def tolerance(self) -> timedelta:
        """How long after its expiry one host, by its own clock, may still accept a token or check its record."""
        return self.leeway + self.clock_skew

    @property
    def margin(self) -> timedelta:
        """How long a record stays beyond its expiry, by the clock of the sweeping host: promise P7 (records are removed late).

        It covers two cases, in which each clock may be off by ``clock_skew``. A host with a slow clock checks while one with a fast clock
        sweeps. And a record's expiry was computed from the time of writing: a host with a fast clock issued the token, and one with a slow
        clock ended it.
        """
        return self.tolerance + 4 * self.clock_skew

    def bounds(self, moment: datetime) -> bool:
        """Return whether the lifetime of a token that is issued at this moment is limited."""
        return later(moment, self.longest_life) != NEVER_EXPIRES

    def kept_until(self, moment: datetime) -> datetime:
        """Return the expiry of a record that revokes tokens of unknown expiry, all of them issued up to this moment."""
        return later(moment, self.longest_life)


_TEMPLATE_ATTRIBUTES = frozenset(
    {"jti", "subject", "purpose", "family", "expires_at", "revoked_at", "revocation_reason", "updated_at", "extra_data"}
)


def own_attributes(facts: Facts, options: TokenOptions) -> tuple[str, ...]:
    """Return the attributes that the user added to those of the template."""
    template = _TEMPLATE_ATTRIBUTES | {options.created_at_attribute_name}
    return tuple(name for name in facts.attributes if name not in template)


def protected_attributes(options: TokenOptions) -> frozenset[str]:
    """Return the attributes that only the extension writes."""
    return (_TEMPLATE_ATTRIBUTES | {options.created_at_attribute_name}) - {"extra_data"}
