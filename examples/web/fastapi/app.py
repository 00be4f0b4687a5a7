"""A login app of FastAPI with a page of sessions. ``python app.py`` starts it at http://127.0.0.1:8000; alice's password is "wonderland"."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from resourcekit import Attr, Domain, attribute, env
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_web.fastapi import TokenAuth

accounts = Domain("fastapi example")


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

auth = TokenAuth(Token)
app = auth.install(FastAPI())


class Login(BaseModel):
    """What the form of the page sends."""

    name: str
    password: str


@app.get("/")
def page() -> FileResponse:
    """Return the page."""
    return FileResponse(Path(__file__).parents[1] / "page.html")


@app.post("/login", status_code=204)
async def login(form: Login, request: Request, response: Response) -> None:
    """Sign in. The generation is read first, so that a sign-in does not survive a password change that overtakes it."""
    generation = await Token.generation.aio(form.name)
    if not hmac.compare_digest(USERS.get(form.name, b""), hashed(form.password)):
        raise HTTPException(401, "The name or the password is wrong.")
    device = {"device": request.headers.get("user-agent", "")[:80]}
    pair = await Token.issue_pair.aio(form.name, generation=generation, session_values=device)
    auth.remember(response, pair, request=request)


if __name__ == "__main__":
    import uvicorn

    os.environ.setdefault("TOKEN_SECRET", secrets.token_urlsafe(48))
    os.environ.setdefault("DATABASE_URL", "sqlite:///sessions.db")
    accounts.create_storage()
    uvicorn.run(app, port=8000)
