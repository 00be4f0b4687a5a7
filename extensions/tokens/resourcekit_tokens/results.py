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
    """A new token and what it says. The token is not shown by ``repr``.

    token: the signed text, to be given to its holder. claims: what it says.
    """

    token: str = attrs.field(repr=False)
    claims: Claims = attrs.field(repr=False)


@attrs.frozen
class TokenPair:
    """An access token and a refresh token of one family.

    access: short-lived, purpose ``user``, for each request. refresh: long-lived, purpose ``refresh``, for ``rotate`` only.
    """

    access: IssuedToken
    refresh: IssuedToken


@attrs.frozen
class Confirmed:
    """A confirmation token that was used, and the changes that waited for it.

    claims: of the token. changes: the JSON object that ``store_confirmation_changes`` kept; empty where there was none.
    """

    claims: Claims = attrs.field(repr=False)
    changes: Mapping[str, Any] = attrs.field(repr=False)


@attrs.frozen
class ExpungeResult:
    """What a sweep did.

    removed: records that are gone (with ``dry_run``: that would go). batches: transactions it took.
    seconds: how long it took.
    """

    removed: int = 0
    batches: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """``"12 gone in 1 batch, 0.02 s"``, as commands print it."""
        return f"{self.removed} gone in {self.batches} batch{'' if self.batches == 1 else 'es'}, {self.seconds:.2f} s"


@attrs.frozen
class Verdict:
    """Whether a token is revoked, and why.

    revoked: what ``token_revoked`` would answer.
    rule: ``"token"``, ``"cut-off"``, ``"family"``, ``"expired"``, ``"invalid"``, or ``"none"`` for a token that nothing
    is known against. since: when, where a record says so. reason: of that record, or the sentence of the error.
    """

    revoked: bool
    rule: str
    since: datetime | None = None
    reason: str | None = None


@attrs.frozen
class CutOff:
    """A subject was logged out everywhere.

    subject: whose tokens are dead. issued_before: those that were issued earlier than this; of several cut-offs, the
    latest. kept: how many jtis and families the call excepted.
    """

    subject: str = attrs.field(repr=False)
    issued_before: datetime
    kept: int = 0


@attrs.frozen
class RevokedJti:
    """One row of an import: a jti that is revoked elsewhere, and what is known of its token.

    jti: of the token. expires_at: aware; without it the record is kept as long as any token may live.
    subject: whom the token is about, for ``tokens_for_subject`` and the like.
    """

    jti: str = attrs.field(repr=False)
    expires_at: datetime | None = None
    subject: str | None = None
