"""TokenRecord: the template of a token resource, the single source of its attributes, actions and functions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from resourcekit import Attr, Resource, attribute, index, read, utc_now
from resourcekit.extending import Field
from resourcekit_tokens import checking, explaining, issuing, logging_out, revoking, storing, sweeping
from resourcekit_tokens.keyspace import REVOCATION

__all__ = ["TokenRecord"]


class TokenRecord(Resource, abstract=True):
    """What is known of tokens and not shared with their holders; never a token.

    The extension adds the actions, under the names that its options say.
    """

    jti: Attr[str] = attribute(
        primary_key=True, sensitive=True, min_length=1, max_length=255, doc="The token's own identity; compared by code point."
    )
    subject: Attr[str | None] = attribute(default=None, doc="The sub claim: whom the token is about.")
    purpose: Attr[str] = attribute(
        default=REVOCATION, doc='"user", "confirm", ...; "revocation" for a token that was never stored.'
    )
    family: Attr[str | None] = attribute(default=None, doc="The fam claim: one sign-in with all its rotations.")
    expires_at: Attr[datetime] = attribute(doc="When the token expires, rounded up; the end of year 9999 for never.")
    extra_data: Attr[dict[str, Any] | None] = attribute(
        default=None, sensitive=True, doc="Further facts, pending changes; a JSON object."
    )
    revoked_at: Attr[datetime | None] = attribute(default=None, doc="When it was revoked or used; None while it lives.")
    revocation_reason: Attr[str | None] = attribute(
        default=None, doc='"revoked", "consumed", "rotated", "reuse", or the caller\'s word.'
    )
    created_at: Attr[datetime] = attribute(default_factory=utc_now, doc="When the record was made.")
    updated_at: Attr[datetime] = attribute(default_factory=utc_now, doc="When the record was last written.")

    # Revoked records are asked for by their key only. Out of these indexes they cost a revoke nothing, and a sweep, which
    # meets them in the order of the key, need not look for each of them in an index of another order.
    by_subject = index("subject", where=Field("revoked_at").is_none())
    by_family = index("family", where=Field("revoked_at").is_none())

    all_records = read(primary=True, doc="Every record that stands for a token.")

    confirm = issuing.confirm
    consume = issuing.consume
    expunge_expired = sweeping.expunge_expired
    explain = explaining.explain
    get_confirmation_changes = storing.get_confirmation_changes
    get_token = storing.get_token
    issue = issuing.issue
    issue_pair = issuing.issue_pair
    jti_revoked = checking.jti_revoked
    log_out_everywhere = logging_out.log_out_everywhere
    read_expired = sweeping.read_expired
    revoke = revoking.revoke
    revoke_all_stored_for_subject = revoking.revoke_all_stored_for_subject
    revoke_jti = revoking.revoke_jti
    revoke_jtis = revoking.revoke_jtis
    rotate = issuing.rotate
    store_confirmation_changes = storing.store_confirmation_changes
    store_token = storing.store_token
    token_revoked = checking.token_revoked
    tokens_for_subject = storing.tokens_for_subject
    verify = issuing.verify
