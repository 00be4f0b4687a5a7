"""What the functions return, as plain values; they know claims only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from resourcekit_tokens.claims import Claims

__all__ = ["Confirmed", "CutOff", "ExpungeResult", "IssuedToken", "RevokedJti", "TokenPair", "Verdict"]


@attrs.frozen
class IssuedToken:
    """A new token and what it says. The token is not shown by ``repr``."""

    token: str = attrs.field(repr=False)
    claims: Claims = attrs.field(repr=False)


@attrs.frozen
class TokenPair:
    """An access token and the refresh token that replaces both, of one family."""

    access: IssuedToken
    refresh: IssuedToken


@attrs.frozen
class Confirmed:
    """A confirmation token that was used, and the changes that waited for it."""

    claims: Claims = attrs.field(repr=False)
    changes: Mapping[str, Any] = attrs.field(repr=False)


@attrs.frozen
class ExpungeResult:
    """What a sweep did.

    removed: records that are gone (with ``dry_run``: that would go). batches: transactions it took. seconds: of work.
    """

    removed: int = 0
    batches: int = 0
    seconds: float = 0.0


@attrs.frozen
class Verdict:
    """Whether a token is revoked, and why.

    rule: ``"token"``, ``"cut-off"``, ``"family"``, ``"expired"``, ``"invalid"``, or ``"none"`` for a token that nothing
    is known against. since: when, where a record says so. reason: of that record, or the sentence of the error.
    """

    revoked: bool
    rule: str
    since: datetime | None = None
    reason: str | None = None


@attrs.frozen
class CutOff:
    """A subject was logged out everywhere: tokens issued before ``issued_before`` are dead, except those kept."""

    subject: str = attrs.field(repr=False)
    issued_before: datetime
    kept: int = 0


@attrs.frozen
class RevokedJti:
    """One row of an import: a jti that is revoked elsewhere, and what is known of its token."""

    jti: str = attrs.field(repr=False)
    expires_at: datetime | None = None
    subject: str | None = None
