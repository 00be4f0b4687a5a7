"""The bridge to AuthX: the app keeps its dependencies, a token resource keeps the blocklist.

::

    auth = AuthX(config=config)
    bridge = connect(auth, Token)

    @app.post("/login")
    async def login(form: Login):
        return {"access_token": auth.create_access_token(form.name, data=await bridge.issued_async(form.name))}

    @app.post("/logout")
    async def logout(payload: TokenPayload = Depends(auth.access_token_required)):
        await bridge.revoke_async(payload.model_dump())
"""

from __future__ import annotations

from typing import Any

from authx import AuthX

from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.signature import read_claims
from resourcekit_web.bridges.claims import Bridge

__all__ = ["connect"]


def connect(auth: AuthX[Any], resource: Any) -> Bridge:
    """Let an ``AuthX`` ask a token resource which tokens are revoked, and return the bridge.

    Give ``data=await bridge.issued_async(uid)`` to ``create_access_token`` and ``create_refresh_token``.
    """
    bridge = Bridge(resource=resource)

    async def is_revoked(token: str, **_: Any) -> bool:
        # AuthX asks before it verifies the signature of the same text, so the claims only choose which records are read.
        try:
            claims = read_claims(token)
        except InvalidToken:
            return True
        return await bridge.is_revoked_async(claims)

    auth.set_token_blocklist(is_revoked)
    return bridge
