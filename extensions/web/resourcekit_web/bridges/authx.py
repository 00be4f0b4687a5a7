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

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from authx import AuthX, TokenPayload
from authx.exceptions import AuthXException
from fastapi import Request, Response

from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.signature import read_claims
from resourcekit_web.bridges.claims import Bridge

__all__ = ["connect"]

_Next = Callable[[Request], Coroutine[Any, Any, Response]]
_Middleware = Callable[[Request, _Next], Coroutine[Any, Any, Response]]


def connect(auth: AuthX[Any], resource: Any) -> Bridge:
    """Let an ``AuthX`` ask a token resource which tokens are revoked, and return the bridge.

    Give ``data=await bridge.issued_async(uid)`` to ``create_access_token`` and ``create_refresh_token``. Call it before you add
    ``auth.implicit_refresh_middleware``: AuthX itself would renew a revoked cookie, so the bridge replaces that function.
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
    auth.implicit_refresh_middleware = _refreshing(auth)  # type: ignore[method-assign, assignment]  # of this AuthX only
    return bridge


def _refreshing(auth: AuthX[Any]) -> _Middleware:
    """Return the middleware that renews an access cookie shortly before it expires, as AuthX's own does.

    It renews no revoked cookie, and none that the response sets or clears itself. The new token keeps the claims of the old one: its
    session, its generation, its scopes and its audience too.
    """

    async def renew(request: Request, call_next: _Next) -> Response:
        response = await call_next(request)
        if _sets_cookie(response, auth.config.JWT_ACCESS_COOKIE_NAME):  # a sign-in or a sign-out, whose cookie has to stay
            return response
        # The two methods with an underscore are what the middleware of AuthX calls.
        if not auth.config.has_location("cookies") or not auth._implicit_refresh_enabled_for_request(request):  # noqa: SLF001
            return response
        with suppress(AuthXException):
            token = await auth._get_token_from_request(request=request, locations=["cookies"], refresh=False, optional=False)  # noqa: SLF001
            payload: TokenPayload = auth.verify_token(token, verify_fresh=False, verify_csrf=False)
            is_due = payload.exp is not None and payload.time_until_expiry < auth.config.JWT_IMPLICIT_REFRESH_DELTATIME
            if is_due and not await auth.is_token_in_blocklist(token.token):
                kept: Any = {"data": payload.model_extra, "audience": payload.aud, "scopes": payload.scopes}
                new = auth.create_access_token(uid=payload.sub, fresh=False, **kept)
                auth.set_access_cookies(new, response=response)
        return response

    return renew


def _sets_cookie(response: Response, name: str) -> bool:
    return any(value.startswith(f"{name}=") for value in response.headers.getlist("set-cookie"))
