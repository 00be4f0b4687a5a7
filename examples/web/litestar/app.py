"""A login app of Litestar with a page of sessions. ``python app.py`` starts it at http://127.0.0.1:8000; alice's password is "wonderland"."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import NotAuthorizedException
from litestar.params import JSONBody

from resourcekit import Attr, Domain, attribute, env
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_web.litestar import TokenPlugin

accounts = Domain("litestar example")


class Token(
    TokenRecord,
    domain=accounts,
    data_layer=SQL(env("DATABASE_URL")),
    extensions=[TokenResource(jwt=JWT(env("TOKEN_SECRET")), sessions=True)],
):
    """One record for each session, and for each revoked token."""

    device: Attr[str | None] = attribute(default=None)


def hashed(password: str) -> bytes:
    """Return the hash of a password. A real app has a salt for each user."""
    return hashlib.scrypt(password.encode(errors="surrogatepass"), salt=b"of the example", n=2**14, r=8, p=1)


USERS = {"alice": hashed("wonderland")}
PAGE = (Path(__file__).parents[1] / "page.html").read_text(encoding="utf-8")

auth = TokenPlugin(Token)


@dataclass
class Login:
    """What the form of the page sends."""

    name: str
    password: str


@get("/", media_type="text/html")
async def page() -> str:
    """Return the page."""
    return PAGE


@post("/login")
async def login(data: JSONBody[Login], request: Request[Any, Any, Any]) -> Response[None]:
    """Sign in. The generation is read first, so that a sign-in does not survive a password change that overtakes it."""
    generation = await Token.generation.aio(data.name)
    if not hmac.compare_digest(USERS.get(data.name, b""), hashed(data.password)):
        raise NotAuthorizedException
    device = {"device": request.headers.get("user-agent", "")[:80]}
    pair = await Token.issue_pair.aio(data.name, generation=generation, session_values=device)
    response = Response(None, status_code=204)
    auth.remember(response, pair, request=request)
    return response


app = Litestar([page, login], plugins=[auth])

if __name__ == "__main__":
    import uvicorn

    os.environ.setdefault("TOKEN_SECRET", secrets.token_urlsafe(48))
    os.environ.setdefault("DATABASE_URL", "sqlite:///sessions.db")
    accounts.create_storage()
    uvicorn.run(app, port=8000)
