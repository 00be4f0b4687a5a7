from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import Annotated

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from resourcekit import Attr, Domain, Resource, attribute, env
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.extending import drive
from resourcekit.testing import declaration_errors, in_memory
from resourcekit_tokens import JWT, JWKSet, SigningKey
from resourcekit_web.core import Incoming, SignedIn, Web
from tests.support.setups import declare_tokens
from tests.support.web_apps import ASGI_APPS, made, started
from tests.support.web_requests import Sent, handshake

FRAMEWORKS = ("starlette", "fastapi", "flask", "quart", "django", "litestar", "rest_framework", "ninja")
INCOMING = Incoming(method="GET", headers=(("host", "app.example"),))


@contextmanager
def refused(code):
    """Collect the declaration errors of a block, and demand that there is one of this code."""
    with declaration_errors() as found:
        yield found
    assert code in [error.code for error in found]


@pytest.mark.parametrize("module", ["resourcekit_web", "resourcekit_web.core", "resourcekit_web.testing"])
def test_the_core_loads_no_framework(module):
    """A program that imports the core, or one adapter, pays for no other framework."""
    code = f"import {module}, sys; print([name for name in {FRAMEWORKS!r} if name in sys.modules])"

    assert "[]" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_an_app_without_its_secret_does_not_start(framework, monkeypatch):
    """The start fails with the name of the variable; the import does not read it."""
    monkeypatch.delenv("MISSING_TOKEN_SECRET", raising=False)
    token = declare_tokens(Memory(), jwt=JWT(env("MISSING_TOKEN_SECRET")), storage=False)

    with refused("RK020") as found:
        started(framework, token)

    assert "MISSING_TOKEN_SECRET" in str(found[0])


def test_an_app_over_a_resource_without_keys_does_not_start(framework):
    """The start fails with the next step: give the resource keys."""
    with refused("RK301") as found:
        started(framework, declare_tokens(Memory(), jwt=None))

    assert "JWT(" in str(found[0])


def test_a_class_that_is_no_token_resource_is_refused():
    """Any other class has no routes."""
    with refused("RK301"):
        _ = Web(object).routes


WRONG = {
    "name": {"name": "my app"},
    "prefix": {"prefix": "auth/"},
    "cookie_path": {"cookie_path": "auth; Domain=evil.example"},
    "origins": {"origins": ["*"]},
    "one origin": {"origins": "https://app.example"},
    "trusted_origins": {"trusted_origins": ["https://spa.example/path"]},
    "csrf": {"csrf": "off"},
    "user": {"user": "load_user"},
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_option_is_refused_where_it_is_written(token, options):
    """TokenAuth(...) itself raises, at import."""
    with refused("RK302"):
        Web(token, **options)


def test_all_wrong_options_are_told_together(token):
    """One start shows all of them."""
    with pytest.raises(DeclarationError) as error:
        Web(token, name="my app", prefix="auth", origins=["*"])

    assert 3 == len(error.value.exceptions)


def test_a_client_with_a_short_secret_stops_the_start(framework, token):
    """A secret that can be guessed opens every token."""
    with refused("RK302") as found:
        started(framework, token, clients={"billing": "short"})

    assert "short" not in str(found[0]).replace("too short", "")


def test_a_server_that_trusts_every_proxy_stops_the_start(framework, token, monkeypatch):
    """FORWARDED_ALLOW_IPS=* lets any client choose the scheme; naming the origins is a way out."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")

    with refused("RK304"):
        started(framework, token)
    started(framework, token, origins=["https://app.example"])


def test_a_cookie_that_browsers_would_drop_is_refused(token):
    """Name and value over 4,096 bytes: nothing is set."""
    pair = token.issue_pair("alice", claims={"note": "x" * 4000})

    with pytest.raises(InvalidArgument, match="4096"):
        Web(token).cookies_for(pair, INCOMING, persistent=True)


# Users --------------------------------------------------------------------------------------------------------------------


class User:
    """A user of the app."""

    def __init__(self, name, *, is_active=True):
        self.name, self.is_active = name, is_active


USERS = {"alice": User("alice"), "bob": User("bob", is_active=False)}


@pytest.mark.parametrize(("subject", "status"), [("alice", 200), ("bob", 401), ("carol", 401)])
def test_only_active_users_are_signed_in(framework, token, subject, status):
    """A user who was deleted or locked is 401, although the token is valid."""
    send = made(framework, token, user=USERS.get)

    reply = send(Sent(headers=(("authorization", f"Bearer {token.issue(subject).token}".encode()),)))

    assert status == reply.status


def test_a_user_is_loaded_once_a_request_by_an_async_function(token):
    """Async frameworks await the function."""
    asked = []

    async def load(subject):
        asked.append(subject)
        await asyncio.sleep(0)
        return USERS.get(subject)

    send = made("fastapi", token, user=load)
    reply = send(Sent(headers=(("authorization", f"Bearer {token.issue('alice').token}".encode()),)))

    assert (200, ["alice"]) == (reply.status, asked)


def test_a_plain_framework_refuses_an_async_user_function(token):
    """Flask cannot await it, and says so at the start."""

    async def load(subject):
        return subject

    with refused("RK302"):
        started("flask", token, user=load)


def test_the_user_of_a_request_shows_no_token(token):
    """The repr has the subject, and neither family nor claims."""
    issued = token.issue_pair("alice").access
    incoming = Incoming(method="GET", headers=(("authorization", f"Bearer {issued.token}"),))

    who = drive(Web(token).gate.authenticate(incoming))

    assert isinstance(who, SignedIn)
    assert "alice" in repr(who)
    assert issued.claims.family not in repr(who)
    assert issued.token not in repr(incoming)


def test_tokens_of_an_identity_provider_sign_users_in(framework):
    """A resource that only verifies has no routes that issue, and authenticates and logs out as any other."""
    pair = SigningKey(kid="idp", algorithm="ES256", key=ec.generate_private_key(ec.SECP256R1()))
    provider = declare_tokens(Memory(), jwt=JWT(pair))
    send = made(framework, declare_tokens(Memory(), jwt=JWT(keys=JWKSet(JWT(pair).jwks()))))
    bearer = (("authorization", f"Bearer {provider.issue('alice').token}".encode()),)

    before = send(Sent(headers=bearer)).status
    ticket, logout = (send(Sent(method="POST", path=f"/auth/{name}", headers=bearer)).status for name in ("ticket", "logout"))

    assert (200, 404, 204, 401) == (before, ticket, logout, send(Sent(headers=bearer)).status)


# Websockets ---------------------------------------------------------------------------------------------------------------


def app_of(framework, token):
    """Return an ASGI app of a framework."""
    from tests.support.web_apps import APPS

    return APPS[framework][0](token)


@pytest.fixture(params=ASGI_APPS)
def socket_app(request, token):
    """An ASGI app of each framework with websockets."""
    return app_of(request.param, token)


SOCKET = Sent(path="/socket")


def test_a_ticket_opens_one_websocket(socket_app, token):
    """The ticket comes as a subprotocol, and is good for one use."""
    from tests.support.web_requests import asgi_sender

    bearer = ("authorization", f"Bearer {token.issue_pair('alice').access.token}".encode())
    ticket = asgi_sender(socket_app)(Sent(method="POST", path="/auth/ticket", headers=(bearer,))).json["ticket"]

    first, second = (handshake(socket_app, SOCKET, "rk", f"rk.ticket.{ticket}") for _ in range(2))

    assert ("websocket.accept", "rk") == (first[0]["type"], first[0]["subprotocol"])
    assert ("websocket.http.response.start", 401) == (second[0]["type"], second[0]["status"])


def test_a_ticket_of_a_sign_in_that_has_ended_opens_nothing(socket_app, token):
    """Between ticket and handshake the user signed out."""
    from tests.support.web_requests import asgi_sender

    access = token.issue_pair("alice").access.token
    bearer = ("authorization", f"Bearer {access}".encode())
    ticket = asgi_sender(socket_app)(Sent(method="POST", path="/auth/ticket", headers=(bearer,))).json["ticket"]
    token.revoke(access)

    assert 401 == handshake(socket_app, SOCKET, f"rk.ticket.{ticket}")[0]["status"]


@pytest.mark.parametrize(
    ("origin", "kind"), [(b"https://app.example", "accept"), (b"https://evil.example", "http.response.start")]
)
def test_a_websocket_by_cookie_asks_for_the_origin(socket_app, token, origin, kind):
    """A page of another site opens no websocket with the user's cookie."""
    cookie = f"__Host-rk-access={token.issue('alice').token}".encode()

    got = handshake(socket_app, SOCKET.with_headers(("cookie", cookie), ("origin", origin)))

    assert f"websocket.{kind}" == got[0]["type"]


def test_a_websocket_without_a_credential_is_refused_before_it_opens(socket_app):
    """The handshake is answered like a request."""
    got = handshake(socket_app, SOCKET)

    assert ("websocket.http.response.start", 401) == (got[0]["type"], got[0]["status"])


# Routes of the app ----------------------------------------------------------------------------------------------------------


def test_an_app_with_a_route_of_its_own_there_is_refused(token):
    """Two routes at one path would hide each other."""
    from fastapi import FastAPI

    from resourcekit_web.fastapi import TokenAuth

    app = FastAPI()
    app.add_api_route("/auth/logout", lambda: None, methods=["POST"])

    with refused("RK303"):
        TokenAuth(token).install(app)
    TokenAuth(token).install(app, prefix="/session")


def test_the_supervisor_runs_while_the_app_does(token, caplog):
    """The life cycle of the app starts and stops the background services."""
    from fastapi import FastAPI

    from resourcekit_web.fastapi import TokenAuth

    app = TokenAuth(token).install(FastAPI())

    async def live() -> None:
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)

    with caplog.at_level(logging.INFO, "resourcekit"):
        asyncio.run(live())

    said = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("supervising expunger of Token") for text in said)
    assert "stopped" in said


@pytest.mark.parametrize("framework", ["flask", "django"])
def test_the_first_request_of_a_process_starts_the_supervisor(framework, token):
    """Plain frameworks have no start of a worker; a process that serves nothing runs nothing."""
    from flask import Flask

    from resourcekit_web.flask import TokenAuth
    from tests.support.web_requests import wsgi_sender

    if framework == "flask":
        app = Flask("shop")
        life = TokenAuth(token, app).life
    else:
        from resourcekit_web.django.auth import web
        from tests.support.web_apps import django_app

        app = django_app(token, supervise=token)
        life = web().life
    before = life.supervisor
    send = wsgi_sender(app)
    for _ in range(2):
        assert 200 == send(Sent(path="/livez")).status
    for thread in threading.enumerate():
        if thread.name == "resourcekit-web-start":
            thread.join(10)

    assert (None, "running") == (before, life.supervisor.state)
    life.stop()
    assert "stopped" == life.supervisor.state


def test_the_openapi_document_has_the_two_ways_to_sign_in(token):
    """A protected view has a security requirement, an open one has none."""
    from fastapi import Depends, FastAPI

    from resourcekit_web.fastapi import TokenAuth

    auth = TokenAuth(token)
    app = auth.install(FastAPI())

    def me(who: Annotated[SignedIn, Depends(auth)]) -> str:
        return who.subject

    me.__annotations__["who"] = Annotated[SignedIn, Depends(auth)]
    app.get("/me")(me)
    document = app.openapi()

    assert {"bearer", "cookie"} == document["components"]["securitySchemes"].keys()
    assert [{"bearer": []}, {"cookie": []}] == document["paths"]["/me"]["get"]["security"]
    assert "security" not in document["paths"]["/auth/logout"]["post"]


@pytest.mark.parametrize("supervise", [True, False])
def test_two_resources_with_one_table_stop_the_start(framework, tmp_path, supervise):
    """The start seals the domain, with and without background services, and names the next step."""
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    token = declare_tokens(SQL(url, table="tokens"), jwt=JWT("x" * 40), storage=False)
    domain = Domain("notes")

    class Note(Resource, domain=domain, data_layer=SQL(url, table="tokens")):
        id: Attr[int] = attribute(primary_key=True)

    with refused("RK051") as found:
        started(framework, token, supervise=supervise)

    assert "a table of its own" in str(found[0])


def test_flask_takes_an_app_whose_database_is_named_later(monkeypatch):
    """``init_app`` runs at import: the variable with the URL may be set afterwards, and tests replace the database."""
    from flask import Flask

    from resourcekit_web.flask import TokenAuth

    monkeypatch.delenv("RESOURCEKIT_TEST_LATER", raising=False)
    token = declare_tokens(SQL(env("RESOURCEKIT_TEST_LATER")), jwt=JWT("x" * 40), storage=False)
    app = Flask(__name__)
    auth = TokenAuth(token)
    auth.init_app(app)

    with in_memory(token):
        reply = app.test_client().post("/auth/refresh")

    assert 401 == reply.status_code
