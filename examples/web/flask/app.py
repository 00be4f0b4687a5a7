"""A login app of Flask with a page of sessions. ``python app.py`` starts it at http://127.0.0.1:8000; alice's password is "wonderland"."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from flask import Flask, Response, abort, request, send_file

from resourcekit import Attr, Domain, attribute, env
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_web.flask import TokenAuth

os.environ.setdefault("TOKEN_SECRET", secrets.token_urlsafe(48))  # Flask's app reads it when it is made
os.environ.setdefault("DATABASE_URL", "sqlite:///sessions.db")
accounts = Domain("flask example")


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

app = Flask(__name__)
auth = TokenAuth(Token, app)


@app.get("/")
def page() -> Response:
    """Return the page."""
    return send_file(Path(__file__).parents[1] / "page.html")


@app.post("/login")
def login() -> Response:
    """Sign in. The generation is read first, so that a sign-in does not survive a password change that overtakes it."""
    match request.get_json():
        case {"name": str(name), "password": str(password)}:
            generation = Token.generation(name)
        case _:
            abort(400)
    if not hmac.compare_digest(USERS.get(name, b""), hashed(password)):
        abort(401)
    device = {"device": request.headers.get("user-agent", "")[:80]}
    pair = Token.issue_pair(name, generation=generation, session_values=device)
    return auth.remember(Response(status=204), pair)


if __name__ == "__main__":
    accounts.create_storage()
    app.run(port=8000)
