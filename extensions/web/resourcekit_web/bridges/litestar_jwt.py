"""The bridge to Litestar's ``JWTAuth`` and ``JWTCookieAuth``: a token resource knows which tokens are revoked.

::

    bridge = Connected(Token)
    jwt_auth = JWTAuth[User](token_secret=..., retrieve_user_handler=..., revoked_token_handler=bridge.is_revoked)

    @post("/login")
    async def login(data: Login) -> Response[User]:
        return jwt_auth.login(data.name, **await bridge.login_options(data.name))
"""

from __future__ import annotations

import secrets
from typing import Any

from litestar.connection import ASGIConnection
from litestar.security.jwt import Token

from resourcekit_web.bridges.claims import Bridge

__all__ = ["Connected"]


class Connected:
    """The part of a token resource that ``JWTAuth`` uses.

    Litestar's tokens have no identity unless one is given, so a token without ``jti`` counts as revoked.
    """

    def __init__(self, resource: Any) -> None:
        self.bridge = Bridge(resource=resource)

    async def is_revoked(self, token: Token, connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
        """Return whether a token is revoked: the ``revoked_token_handler`` of ``JWTAuth``."""
        return await self.bridge.is_revoked_async(_claims(token))

    async def login_options(self, subject: str, **extras: Any) -> dict[str, Any]:
        """Return the arguments of ``JWTAuth.login`` and ``create_token`` that make a token revocable.

        Args:
            subject: the identifier that is given to ``login``.
            extras: your own ``token_extras``.
        """
        return {
            "token_unique_jwt_id": secrets.token_urlsafe(16),
            "token_extras": {**extras, **await self.bridge.issued_async(subject)},
        }

    async def revoke(self, token: Token, *, reason: str | None = None) -> None:
        """Revoke a token, for example ``request.auth`` at a log-out."""
        await self.bridge.revoke_async(_claims(token), reason=reason)


def _claims(token: Token) -> dict[str, Any]:
    times = {"iat": token.iat.timestamp(), "exp": token.exp.timestamp()}
    return {**token.extras, "sub": token.sub, "jti": token.jti, **times}
