"""The reads of the extension's actions: expired records, the record of a token, pending changes."""

from __future__ import annotations

from typing import Any

from resourcekit import Context, Query
from resourcekit.extending import Field
from resourcekit_tokens.keyspace import refused_jti
from resourcekit_tokens.reading import vouched
from resourcekit_tokens.tokens import tokens_of

__all__ = ["find_expired", "find_pending", "find_token"]


def find_expired(cls: Any, query: Query[Any], context: Context) -> Query[Any]:
    """Find the records past their expiry, whether or not a sweep may let them go yet."""
    return query.filter(Field("expires_at") < context.now())


def find_token(
    cls: Any, query: Query[Any], context: Context, token: str | None = None, jti: str | None = None, purpose: str | None = None
) -> Query[Any]:
    """Find the record of a token, or of a jti, that has not expired; revoked or not.

    token: read for its jti. jti: the same as the token's, where both are given. purpose: only a record of this purpose.
    """
    if token is not None:
        of_token = vouched(tokens_of(cls).options, token).jti
        jti = of_token if jti in (None, of_token) else None
    if refused_jti(jti):
        return query.filter(Field("jti").in_(()))
    query = query.filter(Field("jti") == jti, Field("expires_at") > context.now())
    return query if purpose is None else query.filter(Field("purpose") == purpose)


def find_pending(cls: Any, query: Query[Any], context: Context, jti: str, purpose: str = "confirm") -> Query[Any]:
    """Find the record of pending changes that are neither used, nor revoked, nor expired.

    jti: of the confirmation token. purpose: the one it was issued for.
    """
    if refused_jti(jti):
        return query.filter(Field("jti").in_(()))
    return query.filter(
        Field("jti") == jti, Field("purpose") == purpose, Field("expires_at") > context.now(), Field("revoked_at").is_none()
    )
