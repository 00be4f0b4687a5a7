"""Two ``TokenAuth``s in one app: users and administrators, each with their own resource, cookies and routes."""

from __future__ import annotations

import secrets
from typing import Annotated

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError
from resourcekit_tokens import JWT, SigningKey
from tests.support.setups import declare_tokens
from tests.support.web_apps import ASGI_APPS, lived
from tests.support.web_requests import Sent, asgi_sender, wsgi_sender


def keys(kid):
    """Return new keys of one name."""
    return JWT(SigningKey(kid=kid, algorithm="ES256", key=ec.generate_private_key(ec.SECP256R1())))


SECOND = {"name": "admin", "prefix": "/admin/auth", "supervise": False}


def starlette_app(users, admins, **second):
    """Return an app of Starlette."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from resourcekit_web.starlette import TokenAuth

    auths = {"": TokenAuth(users, supervise=False), "/admin": TokenAuth(admins, **second)}

    def views(prefix, auth, resource):
        async def me(request):
            return JSONResponse({"sub": (await auth(request)).subject})

        async def login(request):
            response = Response(status_code=204)
            auth.remember(response, await resource.issue_pair.aio("alice"), request=request)
            return response

        return [Route(f"{prefix}/me", me), Route(f"{prefix}/login", login, methods=["POST"])]

    app = Starlette(routes=[*views("", auths[""], users), *views("/admin", auths["/admin"], admins)])
    for auth in auths.values():
        auth.install(app)
    return app


def fastapi_app(users, admins, **second):
    """Return an app of FastAPI."""
    from fastapi import Depends, FastAPI, Request, Response

    from resourcekit_web.fastapi import TokenAuth

    app = FastAPI()

    def add(prefix, auth, resource):
        auth.install(app)

        async def me(who):
            return {"sub": who.subject}

        async def login(request, response):
            auth.remember(response, await resource.issue_pair.aio("alice"), request=request)

        me.__annotations__["who"] = Annotated[object, Depends(auth)]
        login.__annotations__.update(request=Request, response=Response)
        app.get(f"{prefix}/me")(me)
        app.post(f"{prefix}/login", status_code=204)(login)

    add("", TokenAuth(users, supervise=False), users)
    add("/admin", TokenAuth(admins, **second), admins)
    return app


def flask_app(users, admins, **second):
    """Return an app of Flask."""
    from flask import Flask, Response

    from resourcekit_web.flask import TokenAuth

    app = Flask("shop")

    def add(prefix, auth, resource):
        auth.init_app(app)
        me, login = f"me{prefix}", f"login{prefix}"
        app.add_url_rule(f"{prefix}/me", me, auth.required(lambda: {"sub": auth.signed_in.subject}))
        signs_in = lambda: auth.remember(Response(status=204), resource.issue_pair("alice"))  # noqa: E731  # a view of one line
        app.add_url_rule(f"{prefix}/login", login, signs_in, methods=["POST"])

    add("", TokenAuth(users, supervise=False), users)
    add("/admin", TokenAuth(admins, **second), admins)
    return app


def quart_app(users, admins, **second):
    """Return an app of Quart."""
    from quart import Quart, Response

    from resourcekit_web.quart import TokenAuth

    app = Quart("shop")

    def add(prefix, auth, resource):
        auth.init_app(app)

        @app.get(f"{prefix}/me", endpoint=f"me{prefix}")
        @auth.required
        async def me():
            return {"sub": auth.signed_in.subject}

        @app.post(f"{prefix}/login", endpoint=f"login{prefix}")
        async def login():
            return auth.remember(Response("", status=204), await resource.issue_pair.aio("alice"))

    add("", TokenAuth(users, supervise=False), users)
    add("/admin", TokenAuth(admins, **second), admins)
    return app


def litestar_app(users, admins, **second):
    """Return an app of Litestar."""
    from litestar import Litestar, Request, Response, get, post

    from resourcekit_web.litestar import SignedIn, TokenPlugin

    user_auth, admin_auth = TokenPlugin(users, supervise=False), TokenPlugin(admins, **second)

    @get("/me")
    async def me(signed_in: SignedIn) -> dict[str, str]:
        return {"sub": signed_in.subject}

    @get("/admin/me")
    async def admin_me(signed_in_admin: SignedIn) -> dict[str, str]:
        return {"sub": signed_in_admin.subject}

    def signs_in(path, auth, resource):
        @post(path, status_code=200)
        async def login(request: Request) -> Response[bytes]:
            response = Response(b"", status_code=204)
            auth.remember(response, await resource.issue_pair.aio("alice"), request=request)
            return response

        return login

    handlers = [me, admin_me, signs_in("/login", user_auth, users), signs_in("/admin/login", admin_auth, admins)]
    names = {"SignedIn": SignedIn, "Request": Request, "Response": Response}
    return Litestar(handlers, plugins=[user_auth, admin_auth], signature_namespace=names, logging_config=None)


APPS = {"starlette": starlette_app, "fastapi": fastapi_app, "flask": flask_app, "quart": quart_app, "litestar": litestar_app}


@pytest.fixture(params=APPS)
def framework(request):
    """The name of each framework in which an app may have two."""
    return request.param


def sender(framework, app):
    """Return a function that sends a request into an app."""
    return (asgi_sender if framework in ASGI_APPS else wsgi_sender)(app)


def begun(framework, *args, **options):
    """Make an app, and start it as its server does."""
    import asyncio

    app = APPS[framework](*args, **options)
    if framework in ASGI_APPS:
        asyncio.run(lived(app))
    return app


def cookies(reply):
    """Return the header with which a browser sends the cookies of an answer."""
    return ("cookie", "; ".join(f"{name}={value}" for name, value in reply.cookies().items()).encode())


def resources():
    """Return a resource of users and one of administrators."""
    return declare_tokens(Memory(), jwt=keys("users")), declare_tokens(Memory(), jwt=keys("admins"))


def test_users_and_administrators_are_apart(framework):
    """A user is no administrator; refresh and log-out of one leave the other; the key set has the keys of both."""
    send = sender(framework, begun(framework, *resources(), **SECOND))
    user, admin = (send(Sent(method="POST", path=f"{prefix}/login")) for prefix in ("", "/admin"))

    def seen(*given):
        return [send(Sent(path=path, headers=given)).status for path in ("/me", "/admin/me")]

    assert {"__Host-admin-access", "__Secure-admin-refresh"} == admin.cookies().keys()
    assert ([200, 401], [401, 200]) == (seen(cookies(user)), seen(cookies(admin)))
    both = ("cookie", cookies(user)[1] + b"; " + cookies(admin)[1])
    assert [200, 200] == seen(both)

    refreshed = send(Sent(method="POST", path="/admin/auth/refresh", headers=(both,)))
    assert (204, admin.cookies().keys()) == (refreshed.status, refreshed.cookies().keys())
    assert 204 == send(Sent(method="POST", path="/auth/logout", headers=(both,))).status
    assert ([401, 401], [401, 200]) == (seen(cookies(user)), seen(cookies(refreshed)))

    listed = send(Sent(path="/.well-known/jwks.json")).json["keys"]
    assert ["users", "admins"] == [key["kid"] for key in listed]
    assert "Cookie" == send(Sent(path="/me", headers=(both,))).header("vary")


def test_an_app_is_ready_if_both_stores_answer(framework):
    """Each of the two is asked."""
    users, _ = resources()
    away = declare_tokens(
        SQL("postgresql://user@127.0.0.1:9/nothing", table=f"away_{secrets.token_hex(4)}"), jwt=keys("admins"), storage=False
    )
    send = sender(framework, APPS[framework](users, away, **SECOND))

    assert [503, 200] == [send(Sent(path=path)).status for path in ("/readyz", "/livez")]


def test_two_of_one_name_are_refused(framework):
    """Their cookies would overwrite each other."""
    with pytest.raises(DeclarationError, match="RK302") as error:
        begun(framework, *resources(), prefix="/admin/auth", supervise=False)

    assert 'name="admin"' in str(error.value)


def test_two_of_one_path_are_refused(framework):
    """The routes of the first would hide those of the second."""
    with pytest.raises(DeclarationError, match="RK303"):
        begun(framework, *resources(), name="admin", supervise=False)


def test_two_keys_of_one_name_are_refused(framework):
    """A verifier takes a key by its name."""
    users, admins = (declare_tokens(Memory(), jwt=keys("first")) for _ in range(2))

    with pytest.raises(DeclarationError, match="RK302") as error:
        begun(framework, users, admins, **SECOND)

    assert "first" in str(error.value)


def test_two_may_share_a_resource(framework):
    """One key set has each key once."""
    users, _ = resources()
    send = sender(framework, begun(framework, users, users, **SECOND))

    assert ["users"] == [key["kid"] for key in send(Sent(path="/.well-known/jwks.json")).json["keys"]]


def test_the_openapi_document_of_litestar_has_both_cookies():
    """Each of the two has a scheme of its own."""
    schemes = litestar_app(*resources(), **SECOND).openapi_schema.components.security_schemes

    assert {"bearer", "cookie", "bearer-admin", "cookie-admin"} == schemes.keys()
