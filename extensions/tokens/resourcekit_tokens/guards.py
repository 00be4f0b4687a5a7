"""What may become of a record that is there when another write of the same key arrives (P1, P6); knows expressions only.

Every upsert of the extension is one of these, so that facts grow in the statement itself, whoever else writes.
"""

from __future__ import annotations

from resourcekit import case, coalesce, existing, greatest, incoming
from resourcekit.extending import Expression
from resourcekit_tokens.keyspace import REVOCATION

__all__ = ["is_live", "revoking", "storing", "using_up"]


def is_live() -> Expression:
    """Hold of a stored record that is not revoked."""
    return existing("revoked_at").is_none()


def revoking(*, keep_expiry: bool) -> dict[str, Expression]:
    """Return the assignments of a revocation: the first moment and reason stay, the expiry only grows.

    keep_expiry: the incoming expiry is a guess, and a stored one is better.
    """
    return {
        "revoked_at": coalesce(existing("revoked_at"), incoming("revoked_at")),
        "revocation_reason": case(is_live(), incoming("revocation_reason"), existing("revocation_reason")),
        "expires_at": existing("expires_at") if keep_expiry else greatest(existing("expires_at"), incoming("expires_at")),
        "subject": coalesce(existing("subject"), incoming("subject")),
        "family": coalesce(existing("family"), incoming("family")),
        "updated_at": incoming("updated_at"),
    }


def storing(*, replace_extra: bool) -> dict[str, Expression]:
    """Return the assignments of a store: a revocation stays, what is known of the token stays, gaps are filled.

    replace_extra: pending changes that come later take the place of earlier ones.
    """
    extra = (incoming("extra_data"), existing("extra_data"))
    return {
        "purpose": case(existing("purpose") == REVOCATION, incoming("purpose"), existing("purpose")),
        "subject": coalesce(existing("subject"), incoming("subject")),
        "family": coalesce(existing("family"), incoming("family")),
        "expires_at": greatest(existing("expires_at"), incoming("expires_at")),
        "extra_data": coalesce(*extra) if replace_extra else coalesce(*reversed(extra)),
        "updated_at": incoming("updated_at"),
    }


def using_up() -> dict[str, Expression]:
    """Return the assignments of a use; only for a record that is live, so the winner is whoever finds it so."""
    return {
        "revoked_at": incoming("revoked_at"),
        "revocation_reason": incoming("revocation_reason"),
        "expires_at": greatest(existing("expires_at"), incoming("expires_at")),
        "subject": coalesce(existing("subject"), incoming("subject")),
        "family": coalesce(existing("family"), incoming("family")),
        "updated_at": incoming("updated_at"),
    }
