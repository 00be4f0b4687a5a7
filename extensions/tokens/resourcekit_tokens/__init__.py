"""resourcekit_tokens: JSON Web Tokens that can be issued, verified, revoked and swept.

``class Token(Resource, extensions=[TokenResource])`` adds all of it to a resource. Every function can also be called directly:
``revoke(Token, text)``, ``await revoke.aio(Token, text)``.
"""

from __future__ import annotations

from resourcekit_tokens.actions import RevokeJti, RevokeToken, StoreChanges, StoreToken
from resourcekit_tokens.claims import TOKEN_HASH, Claims
from resourcekit_tokens.extension import TokenResource
from resourcekit_tokens.issuance import (
    get_confirmation_changes,
    get_token,
    issue,
    issue_pair,
    store_confirmation_changes,
    store_token,
    tokens_for_subject,
)
from resourcekit_tokens.keys.jwt import JWT, SigningKey
from resourcekit_tokens.keys.key_sets import JWKSet
from resourcekit_tokens.log_out import CutOff, generation, generation_claims, log_out_everywhere
from resourcekit_tokens.options import Confirmation, Revocation
from resourcekit_tokens.pairs import IssuedToken, TokenPair
from resourcekit_tokens.record import TokenRecord
from resourcekit_tokens.revocation import RevokedJti, revoke, revoke_all_stored_for_subject, revoke_jti, revoke_jtis
from resourcekit_tokens.revocation_check import Verdict, explain, jti_revoked, token_revoked
from resourcekit_tokens.rotation import reauthenticate, rotate
from resourcekit_tokens.sessions import TokenSession, end_session, sessions
from resourcekit_tokens.sweep import Expunger, ExpungeResult, expunge_expired, read_expired
from resourcekit_tokens.verification import Confirmed, confirm, consume, verify

__all__ = [
    "JWT",
    "TOKEN_HASH",
    "Claims",
    "Confirmation",
    "Confirmed",
    "CutOff",
    "ExpungeResult",
    "Expunger",
    "IssuedToken",
    "JWKSet",
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
    "TokenSession",
    "Verdict",
    "confirm",
    "consume",
    "end_session",
    "explain",
    "expunge_expired",
    "generation",
    "generation_claims",
    "get_confirmation_changes",
    "get_token",
    "issue",
    "issue_pair",
    "jti_revoked",
    "log_out_everywhere",
    "read_expired",
    "reauthenticate",
    "revoke",
    "revoke_all_stored_for_subject",
    "revoke_jti",
    "revoke_jtis",
    "rotate",
    "sessions",
    "store_confirmation_changes",
    "store_token",
    "token_revoked",
    "tokens_for_subject",
    "verify",
]
