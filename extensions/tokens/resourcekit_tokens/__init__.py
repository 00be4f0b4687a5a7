"""resourcekit_tokens: what must be known about JSON Web Tokens and must not be shared with their holder.

``class Token(Resource, extensions=[TokenResource])`` gives a resource all of it. Every function stands here as well:
``revoke(Token, text)``, ``await revoke.aio(Token, text)``.
"""

from __future__ import annotations

from resourcekit_tokens.checking import jti_revoked, token_revoked
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.explaining import explain
from resourcekit_tokens.extension import TokenResource
from resourcekit_tokens.issuing import confirm, consume, issue, issue_pair, rotate, verify
from resourcekit_tokens.keys import JWT, SigningKey
from resourcekit_tokens.logging_out import log_out_everywhere
from resourcekit_tokens.options import Confirmation, Revocation
from resourcekit_tokens.record import TokenRecord
from resourcekit_tokens.results import Confirmed, CutOff, ExpungeResult, IssuedToken, RevokedJti, TokenPair, Verdict
from resourcekit_tokens.revoking import revoke, revoke_all_stored_for_subject, revoke_jti, revoke_jtis
from resourcekit_tokens.steps import RevokeJti, RevokeToken, StoreChanges, StoreToken
from resourcekit_tokens.storing import (
    get_confirmation_changes,
    get_token,
    store_confirmation_changes,
    store_token,
    tokens_for_subject,
)
from resourcekit_tokens.sweeping import Expunger, expunge_expired, read_expired

__all__ = [
    "JWT",
    "Claims",
    "Confirmation",
    "Confirmed",
    "CutOff",
    "ExpungeResult",
    "Expunger",
    "IssuedToken",
    "Revocation",
    "RevokeJti",
    "RevokeToken",
    "RevokedJti",
    "SigningKey",
    "StoreChanges",
    "StoreToken",
    "TokenPair",
    "TokenRecord",
    "TokenResource",
    "Verdict",
    "confirm",
    "consume",
    "explain",
    "expunge_expired",
    "get_confirmation_changes",
    "get_token",
    "issue",
    "issue_pair",
    "jti_revoked",
    "log_out_everywhere",
    "read_expired",
    "revoke",
    "revoke_all_stored_for_subject",
    "revoke_jti",
    "revoke_jtis",
    "rotate",
    "store_confirmation_changes",
    "store_token",
    "token_revoked",
    "tokens_for_subject",
    "verify",
]
