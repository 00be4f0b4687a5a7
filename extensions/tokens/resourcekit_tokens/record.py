"""TokenRecord: the template of a token resource, the single source of its attributes, actions and functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from resourcekit import Attr, Resource, attribute, index, read, utc_now
from resourcekit.extending import Field
from resourcekit_tokens import (
    issuance,
    log_out,
    revocation,
    revocation_check,
    rotation,
    sweep,
    verification,
)
from resourcekit_tokens.revocation_rules import REVOCATION
from resourcekit_tokens.sessions import end_session as end_session_function
from resourcekit_tokens.sessions import sessions as sessions_function

__all__ = ["TokenRecord"]

_STORED: Mapping[str, Literal["microseconds"]] = {"sqlite": "microseconds"}
"""As text, the datetimes of a token would take 1.6 times the file on SQLite, and 1.3 times the sweep."""


class TokenRecord(Resource, abstract=True):
    """The record of a token: revocation and further facts that its holder does not have; never the token itself.

    The extension adds the actions under their configured names.
    """

    jti: Attr[str] = attribute(
        primary_key=True, sensitive=True, min_length=1, max_length=255, doc="The token's own identity; compared by code point."
    )
    subject: Attr[str | None] = attribute(default=None, doc="The sub claim: whom the token is about.")
    purpose: Attr[str] = attribute(
        default=REVOCATION, doc='"user", "confirm", ...; "revocation" for a token that was never stored.'
    )
    family: Attr[str | None] = attribute(default=None, doc="The fam claim: one sign-in with all its rotations.")
    expires_at: Attr[datetime] = attribute(
        stored=_STORED, doc="When the token expires, rounded up; the end of year 9999 for never."
    )
    extra_data: Attr[dict[str, Any] | None] = attribute(
        default=None, sensitive=True, doc="Further facts, pending changes; a JSON object."
    )
    revoked_at: Attr[datetime | None] = attribute(
        stored=_STORED, default=None, doc="When it was revoked or used; None while it lives."
    )
    revocation_reason: Attr[str | None] = attribute(
        default=None, doc='"revoked", "consumed", "rotated", "reuse", or the caller\'s word.'
    )
    created_at: Attr[datetime] = attribute(stored=_STORED, default_factory=utc_now, doc="When the record was made.")
    updated_at: Attr[datetime] = attribute(stored=_STORED, default_factory=utc_now, doc="When the record was last written.")

    # Revoked records are read by their key only, so these indexes leave them out. A revoke then costs nothing here, and a
    # sweep, which removes them in the order of the key, need not delete each of them from an index of another order.
    by_subject = index("subject", where=Field("revoked_at").is_none())
    by_family = index("family", where=Field("revoked_at").is_none())

    all_records = read(primary=True, doc="Every record of a token.")

    confirm = verification.confirm
    consume = verification.consume
    end_session = end_session_function
    expunge_expired = sweep.expunge_expired
    explain = revocation_check.explain
    generation = log_out.generation
    generation_claims = log_out.generation_claims
    get_confirmation_changes = issuance.get_confirmation_changes
    get_token = issuance.get_token
    issue = issuance.issue
    issue_pair = issuance.issue_pair
    jti_revoked = revocation_check.jti_revoked
    log_out_everywhere = log_out.log_out_everywhere
    read_expired = sweep.read_expired
    reauthenticate = rotation.reauthenticate
    revoke = revocation.revoke
    revoke_all_stored_for_subject = revocation.revoke_all_stored_for_subject
    revoke_jti = revocation.revoke_jti
    revoke_jtis = revocation.revoke_jtis
    rotate = rotation.rotate
    sessions = sessions_function
    store_confirmation_changes = issuance.store_confirmation_changes
    store_token = issuance.store_token
    token_revoked = revocation_check.token_revoked
    tokens_for_subject = issuance.tokens_for_subject
    verify = verification.verify
