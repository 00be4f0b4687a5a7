"""Other libraries keep their tokens, and ask a token resource which are revoked: each with its real package."""

import asyncio
import math
import time
import uuid
from datetime import timedelta
from typing import Annotated

import httpx
import pytest
from litestar import Litestar, Request, Response, get, post

from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import InvalidArgument
from resourcekit_tokens import JWT
from resourcekit_web.bridges import Bridge
from tests.support.setups import declare_tokens

SECRET = "a-secret-for-bridges-that-is-long-enough-0123456789-abcdefghij"


class Asgi:
    """Sends requests into an ASGI app."""

    def __init__(self, app):
        self.app = app

    def send(self, method, path, **options):
        """Return the response."""

        async def sent():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://shop.example") as client:
                return await client.request(method, path, **options)

        return asyncio.run(sent())

    def get(self, path, **options):
        """Return the response to a GET."""
        return self.send("GET", path, **options)

    def post(self, path, **options):
        """Return the response to a POST."""
        return self.send("POST", path, **options)


@pytest.fixture
def keyless():
    """A token resource without keys: the library verifies, and the resource only knows what is revoked."""
    return declare_tokens(Memory(), jwt=None)


@pytest.fixture
def gone():
    """A token resource whose store does not answer."""
    return declare_tokens(SQL("postgresql://127.0.0.1:1/none"), jwt=JWT(SECRET), storage=False)


def test_a_bridge_reads_claims_as_libraries_write_them(keyless):
    """Numbers for users are text in records; a token without a usable jti counts as revoked; odd times are no error."""
    bridge = Bridge(resource=keyless, subject_claim="user_id")
    token = {"jti": "one", "user_id": 7, "iat": 1e400, "exp": "soon", "fam": "", **bridge.issued(7)}
    before = bridge.is_revoked(token)

    keyless.log_out_everywhere("7")

    assert (False, True) == (before, bridge.is_revoked(token))
    assert [True] * 4 == [bridge.is_revoked({**token, "user_id": "8", "jti": jti}) for jti in (None, 5, "", "rk:x")]
    with pytest.raises(InvalidArgument, match="must be text"):
        bridge.issued({"id": 7})


def test_a_bridge_ends_a_family_and_keeps_the_expiry(keyless):
    """Revoking one token ends the others of its sign-in; the record is kept until the token expires, rounded up."""
    bridge = Bridge(resource=keyless)
    family, ends = bridge.new_family(), int(time.time()) + 900.25

    record = bridge.revoke({"jti": "one", "sub": "alice", "exp": ends, **family}, reason="stolen")

    assert (True, False) == (bridge.is_revoked({"jti": "two", **family}), bridge.is_revoked({"jti": "two"}))
    assert ("alice", "stolen") == (record.subject, record.revocation_reason)
    assert math.ceil(ends) == record.expires_at.timestamp()


@pytest.fixture
def flask_app(keyless):
    """An app of Flask-JWT-Extended, with claims of its own and users that are objects."""
    from flask import Flask, jsonify
    from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, get_jwt, jwt_required

    from resourcekit_web.bridges.flask_jwt_extended import connect

    app = Flask("shop")
    app.config.update(JWT_SECRET_KEY=SECRET, TESTING=True)
    manager = JWTManager(app)
    manager.user_identity_loader(lambda user: user["name"])
    manager.additional_claims_loader(lambda user: {"plan": user["plan"]})
    bridge = connect(manager, keyless)

    @app.post("/login")
    def login():
        user = {"name": "alice", "plan": "large"}
        return jsonify(access=create_access_token(user, additional_claims={"more": 1}), refresh=create_refresh_token(user))

    @app.get("/me")
    @jwt_required()
    def me():
        return jsonify({name: value for name, value in get_jwt().items() if name in ("sub", "plan", "more")})

    @app.post("/refresh")
    @jwt_required(refresh=True)
    def refresh():
        return jsonify(ok=True)

    @app.delete("/logout")
    @jwt_required(verify_type=False)
    def logout():
        bridge.revoke(get_jwt())
        return jsonify(msg="bye")

    @app.get("/optional")
    @jwt_required(optional=True)
    def optional():
        return jsonify(sub=get_jwt().get("sub"))

    @app.get("/unchecked")
    @jwt_required(skip_revocation_check=True)
    def unchecked():
        return jsonify(ok=True)

    return app


def test_flask_jwt_extended_asks_the_resource(flask_app, keyless):
    """Its decorators refuse a revoked access or refresh token as with its own blocklist; the app's claims stay."""
    client = flask_app.test_client()
    pair = client.post("/login").json
    access, refresh = ({"Authorization": f"Bearer {pair[kind]}"} for kind in ("access", "refresh"))
    seen = client.get("/me", headers=access)
    client.delete("/logout", headers=access)
    revoked = client.get("/me", headers=access)
    after = client.post("/refresh", headers=refresh).status_code
    client.delete("/logout", headers=refresh)

    assert (200, {"sub": "alice", "plan": "large", "more": 1}) == (seen.status_code, seen.json)
    assert (401, {"msg": "Token has been revoked"}) == (revoked.status_code, revoked.json)
    assert (200, 401) == (after, client.post("/refresh", headers=refresh).status_code)
    assert [401, 200] == [client.get(path, headers=access).status_code for path in ("/optional", "/unchecked")]
    assert 200 == client.get("/optional").status_code


def test_flask_jwt_extended_is_logged_out_everywhere_at_once(flask_app, keyless):
    """Tokens that were issued in the same second before the log-out die, those after it live: their generation decides."""
    client = flask_app.test_client()
    before = {"Authorization": f"Bearer {client.post('/login').json['access']}"}

    keyless.log_out_everywhere("alice")

    after = {"Authorization": f"Bearer {client.post('/login').json['access']}"}
    assert [401, 200] == [client.get("/me", headers=headers).status_code for headers in (before, after)]


def users_app(token):
    """Return an app of FastAPI Users with its users in memory."""
    from fastapi import Depends, FastAPI
    from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
    from fastapi_users.authentication import AuthenticationBackend, BearerTransport
    from fastapi_users.db import BaseUserDatabase

    from resourcekit_web.bridges.fastapi_users import TokenStrategy

    class User:
        def __init__(self, **values):
            self.id = uuid.uuid4()
            self.__dict__.update({"is_active": True, "is_superuser": False, "is_verified": False, **values})

    kept = {}

    class Users(BaseUserDatabase):
        async def get(self, id):  # noqa: A002  # the name is that of FastAPI Users
            return kept.get(id)

        async def get_by_email(self, email):
            return next((user for user in kept.values() if user.email == email), None)

        async def create(self, create_dict):
            user = User(**create_dict)
            kept[user.id] = user
            return user

        async def update(self, user, update_dict):
            user.__dict__.update(update_dict)
            return user

    class Manager(UUIDIDMixin, BaseUserManager):
        pass

    async def manager():
        yield Manager(Users())

    class Shown(schemas.BaseUser[uuid.UUID]):
        pass

    backend = AuthenticationBackend("tokens", BearerTransport("login"), lambda: TokenStrategy(token))
    users = FastAPIUsers(manager, [backend])
    app = FastAPI()
    app.include_router(users.get_auth_router(backend))
    app.include_router(users.get_register_router(Shown, schemas.BaseUserCreate))

    @app.get("/me")
    async def me(user: Annotated[User, Depends(users.current_user(active=True))]):
        return {"email": user.email}

    return app, kept


def test_fastapi_users_signs_in_and_out_by_the_resource():
    """Its routers work with our strategy: sign-in, log-out, an inactive user, and a user who is gone."""
    token = declare_tokens(Memory(), jwt=JWT(SECRET))
    app, kept = users_app(token)
    client = Asgi(app)
    client.post("/register", json={"email": "a@example.com", "password": "wonderland"})
    form = {"username": "a@example.com", "password": "wonderland"}
    first, second, third = (
        {"Authorization": f"Bearer {client.post('/login', data=form).json()['access_token']}"} for _ in range(3)
    )

    def ask(headers):
        return client.get("/me", headers=headers).status_code

    seen = [ask(first), ask({}), ask({"Authorization": "Bearer x.y.z"})]
    out = client.post("/logout", headers=first).status_code
    again = client.post("/logout", headers=first).status_code
    (user,) = kept.values()
    one_out = [ask(first), ask(second)]
    user.is_active = False
    inactive = ask(second)
    user.is_active = True
    token.log_out_everywhere(str(user.id))
    refresh = token.issue_pair(str(user.id)).refresh.token
    wrong = ask({"Authorization": f"Bearer {refresh}"})
    kept.clear()

    assert [200, 401, 401] == seen
    assert (204, 401, [401, 200], 401) == (out, again, one_out, inactive)
    assert [401, 401, 401] == [ask(third), wrong, ask({"Authorization": f"Bearer {token.issue(str(user.id)).token}"})]
    assert 401 == ask({"Authorization": f"Bearer {token.issue('no uuid').token}"})


def test_fastapi_users_answers_503_if_the_store_is_away(gone):
    """A store that does not answer signs no user out: the client tries again."""
    good = declare_tokens(Memory(), jwt=JWT(SECRET)).issue("alice").token
    app, _ = users_app(gone)
    client = Asgi(app)
    reply = client.get("/me", headers={"Authorization": f"Bearer {good}"})

    assert (503, "5") == (reply.status_code, reply.headers["retry-after"])


def test_litestar_jwt_auth_asks_the_resource(keyless):
    """Its middleware refuses a revoked token, one without an identity, and all of a subject after a log-out everywhere."""
    from litestar.security.jwt import JWTAuth

    from resourcekit_web.bridges.litestar_jwt import Connected

    connected = Connected(keyless)

    async def user_of(token, connection):
        return token.sub

    auth = JWTAuth(
        token_secret=SECRET,
        retrieve_user_handler=user_of,
        revoked_token_handler=connected.is_revoked,
        exclude=["/login", "/plain"],
    )

    @post("/login")
    async def login() -> Response:
        return auth.login("alice", **await connected.login_options("alice", plan="large"))

    @post("/plain")
    async def plain() -> Response:
        return auth.login("alice")

    @get("/me")
    async def me(request: Request) -> dict[str, str]:
        return {"sub": request.user, "plan": request.auth.extras["plan"]}

    @post("/logout")
    async def logout(request: Request) -> None:
        await connected.revoke(request.auth)

    app = Litestar([login, plain, me, logout], on_app_init=[auth.on_app_init])
    client = Asgi(app)
    first, second, bare = (
        {"Authorization": client.post(path).headers["authorization"]} for path in ("/login", "/login", "/plain")
    )
    seen = client.get("/me", headers=first)
    client.post("/logout", headers=first)
    one = [client.get("/me", headers=headers).status_code for headers in (first, second, bare)]
    keyless.log_out_everywhere("alice")

    assert {"sub": "alice", "plan": "large"} == seen.json()
    assert [401, 200, 401] == one
    assert 401 == client.get("/me", headers=second).status_code


def test_authx_asks_the_resource(keyless):
    """Its dependencies refuse a revoked token, garbage, and all of a subject after a log-out everywhere."""
    from authx import AuthX, AuthXConfig, TokenPayload
    from fastapi import Depends, FastAPI

    from resourcekit_web.bridges.authx import connect

    auth = AuthX(AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["headers"]))
    bridge = connect(auth, keyless)
    app = FastAPI()
    auth.handle_errors(app)

    @app.post("/login")
    async def login():
        return {"access": auth.create_access_token("alice", data={"plan": "large", **await bridge.issued_async("alice")})}

    @app.get("/me")
    async def me(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]):
        return {"sub": payload.sub, "plan": payload.plan}

    @app.post("/logout")
    async def logout(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]):
        await bridge.revoke_async(payload.model_dump())

    client = Asgi(app)
    first, second = ({"Authorization": f"Bearer {client.post('/login').json()['access']}"} for _ in range(2))
    seen = client.get("/me", headers=first)
    out = client.post("/logout", headers=first)
    one = [client.get("/me", headers=headers).status_code for headers in (first, second, {"Authorization": "Bearer x.y"})]
    keyless.log_out_everywhere("alice")

    assert ({"sub": "alice", "plan": "large"}, 200) == (seen.json(), out.status_code)
    assert [401, 200, 401] == one
    assert 401 == client.get("/me", headers=second).status_code


def test_authx_renews_no_revoked_cookie(keyless):
    """Its middleware for implicit refreshes renews a valid cookie with all of its claims, and neither a revoked one nor a garbage one."""
    from authx import AuthX, AuthXConfig, TokenPayload
    from fastapi import Depends, FastAPI

    from resourcekit_web.bridges.authx import connect

    config = AuthXConfig(
        JWT_SECRET_KEY=SECRET,
        JWT_TOKEN_LOCATION=["cookies"],
        JWT_COOKIE_CSRF_PROTECT=False,
        JWT_IMPLICIT_REFRESH_DELTATIME=timedelta(hours=1),
        JWT_IMPLICIT_REFRESH_ROUTE_EXCLUDE=["/plain"],
    )
    auth = AuthX(config)
    bridge = connect(auth, keyless)
    app = FastAPI()
    auth.handle_errors(app)
    app.middleware("http")(auth.implicit_refresh_middleware)

    @app.get("/me")
    async def me(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]):
        return payload.model_extra

    @app.get("/logout")
    async def logout(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]):
        await bridge.revoke_async(payload.model_dump())

    @app.get("/plain")
    async def plain():
        return {}

    def ask(path, token):
        return Asgi(app).get(path, headers={"Cookie": f"{config.JWT_ACCESS_COOKIE_NAME}={token}"})

    def renewed(path, token):
        return ask(path, token).cookies.get(config.JWT_ACCESS_COOKIE_NAME)

    family = bridge.new_family()
    first = auth.create_access_token("alice", data={"plan": "large", **bridge.issued("alice"), **family})
    second = renewed("/me", first)
    claims = ask("/me", second).json()
    seen = [renewed("/plain", second), renewed("/me", "x.y.z"), renewed("/logout", second)]
    after = [(ask("/me", each).status_code, renewed("/me", each)) for each in (first, second)]

    assert {"plan": "large", **family}.items() <= claims.items()
    assert claims["rk_gen"]
    assert [None] * 3 == seen
    assert [(401, None)] * 2 == after


def test_authx_leaves_the_cookie_of_a_sign_in(keyless):
    """Its middleware for implicit refreshes leaves a cookie that the response sets or clears; the renewed token keeps scopes and audience."""
    from authx import AuthX, AuthXConfig, RequestToken
    from fastapi import FastAPI, Response

    from resourcekit_web.bridges.authx import connect

    config = AuthXConfig(
        JWT_SECRET_KEY=SECRET,
        JWT_TOKEN_LOCATION=["cookies"],
        JWT_COOKIE_CSRF_PROTECT=False,
        JWT_DECODE_AUDIENCE="shop",
        JWT_IMPLICIT_REFRESH_DELTATIME=timedelta(hours=1),
    )
    auth = AuthX(config)
    bridge = connect(auth, keyless)
    app = FastAPI()
    app.middleware("http")(auth.implicit_refresh_middleware)

    def issued(subject):
        return auth.create_access_token(subject, data=bridge.issued(subject), audience="shop", scopes=["read"])

    @app.get("/sign-in")
    async def sign_in(response: Response):
        auth.set_access_cookies(await asyncio.to_thread(issued, "bob"), response=response)

    @app.get("/sign-out")
    async def sign_out(response: Response):
        auth.unset_access_cookies(response)

    @app.get("/plain")
    async def plain():
        return {}

    def renewed(path):
        name = config.JWT_ACCESS_COOKIE_NAME
        found = Asgi(app).get(path, headers={"Cookie": f"{name}={issued('alice')}"}).cookies.get(name)
        return (
            auth.verify_token(RequestToken(token=found, type="access", location="cookies"), verify_csrf=False) if found else None
        )

    payload = renewed("/plain")

    assert ("alice", ["read"], "shop") == (payload.sub, payload.scopes, payload.aud)
    assert "bob" == renewed("/sign-in").sub
    assert renewed("/sign-out") is None
