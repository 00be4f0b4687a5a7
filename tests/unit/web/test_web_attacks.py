from __future__ import annotations

import base64
import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from resourcekit import utc_now
from resourcekit.data_layers import Memory
from resourcekit.extending import drive
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, JWKSet
from resourcekit_tokens.signature import read_claims
from resourcekit_web.core import Incoming, Refusal, Web
from resourcekit_web.core.incoming import cookie_of
from tests.support.setups import declare_tokens
from tests.support.web_apps import made
from tests.support.web_requests import Sent, asgi_sender, wsgi_sender

FORM = ("content-type", b"application/x-www-form-urlencoded")
ACCESS, REFRESH = "__Host-rk-access", "__Secure-rk-refresh"


def carrying(**cookies):
    """Return the header with which a browser sends both cookies."""
    names = {"access": ACCESS, "refresh": REFRESH}
    return ("cookie", "; ".join(f"{names[name]}={value}" for name, value in cookies.items()).encode())


def bearer(issued):
    """Return the header of a token."""
    return ("authorization", f"Bearer {issued.token}".encode())


@pytest.mark.parametrize("space", ["\xa0", "\x85", "\x1f", "\x0b", "\x0c"])
def test_a_cookie_whose_name_begins_with_another_space_is_not_ours(space):
    """A subdomain may set such a cookie, because its name does not begin with __Host- for the browser."""
    incoming = Incoming(method="GET", headers=(("cookie", f"a=b; {space}{ACCESS}=planted; c=d"),))

    assert {} == cookie_of(incoming, ACCESS, REFRESH)


def found(token, load):
    """Return what the core finds in a request with a good token, for a function that loads the user."""
    asked = Incoming(method="GET", headers=(("authorization", f"Bearer {token.issue('alice').token}"),))
    return drive(Web(token, user=load).gate.authenticate(asked))


@pytest.mark.parametrize("value", [False, 0, None])
def test_a_user_who_is_not_active_is_refused(token, value):
    """A row of SQLite or MariaDB says 0 in place of False."""
    user = type("User", (), {"is_active": value})()

    assert isinstance(found(token, lambda subject: user), Refusal)


def test_a_plain_function_that_hands_on_to_an_async_one_is_awaited(token):
    """Its coroutine is no user: the user that it returns is asked."""

    async def load():
        return None

    assert isinstance(found(token, lambda subject: load()), Refusal)


def test_a_user_who_may_not_sign_in_gets_no_new_tokens(framework, token):
    """Programs that verify by the public keys alone would take them; introspection says that a live token is dead."""
    secret = "a-secret-of-a-client-0123456789"
    active = ["alice"]
    send = made(framework, token, user=lambda subject: subject in active or None, clients={"billing": secret})
    pair, form = token.issue_pair("alice"), ("content-type", b"application/x-www-form-urlencoded")
    cookies = carrying(access=pair.access.token, refresh=pair.refresh.token)
    asked = {
        "cookie": Sent(method="POST", path="/auth/refresh", headers=(cookies,)),
        "form": Sent(method="POST", path="/auth/refresh", headers=(form,), body=f"refresh_token={pair.refresh.token}".encode()),
    }
    body = f"token={pair.access.token}&client_id=billing&client_secret={secret}".encode()
    introspect = Sent(method="POST", path="/auth/token/introspect", headers=(form,), body=body)
    before = send(introspect).json["active"]
    active.clear()

    refused = {name: send(sent).status for name, sent in asked.items()}

    assert ({"cookie": 401, "form": 401}, {"active": False}, True) == (refused, send(introspect).json, before)
    active.append("alice")
    assert 204 == send(asked["cookie"]).status  # the refresh token was not used up


def test_a_refresh_after_a_new_password_keeps_the_new_cookies(send, token):
    """A tab that was about to refresh gets 401; the cookies that reauthenticate has set meanwhile are not cleared."""
    pair = token.issue_pair("alice")
    token.reauthenticate(pair.refresh.token)

    reply = send(
        Sent(
            method="POST",
            path="/auth/refresh",
            headers=(carrying(access=pair.access.token, refresh=pair.refresh.token),),
        )
    )

    assert (401, {}) == (reply.status, reply.cookies())


def test_a_torn_access_cookie_does_not_save_the_sign_in_from_a_logout(send, token):
    """Its payload names the family, but its signature does not fit; the refresh cookie ends the sign-in."""
    pair = token.issue_pair("alice")
    head, _, seal = pair.access.token.rpartition(".")
    torn = f"{head}.{'B' if seal[0] == 'A' else 'A'}{seal[1:]}"

    reply = send(Sent(method="POST", path="/auth/logout", headers=(carrying(access=torn, refresh=pair.refresh.token),)))

    assert (204, True) == (reply.status, token.token_revoked(pair.refresh.token))


def test_a_log_out_everywhere_between_check_and_issue_gives_no_ticket(framework, token):
    """The ticket would be of the new generation, and open a websocket for a user who was logged out."""

    def log_out_meanwhile(subject):
        token.log_out_everywhere(subject)
        return subject

    send = made(framework, token, user=log_out_meanwhile)

    reply = send(Sent(method="POST", path="/auth/ticket", headers=(bearer(token.issue("alice")),)))

    assert (401, "invalid_token") == (reply.status, reply.code)


def test_a_user_of_one_resource_is_none_of_another():
    """Two TokenAuth of one name in one app do not share what they found in a request."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from resourcekit_web.starlette import TokenAuth

    people, staff = (declare_tokens(Memory(), jwt=JWT(letter * 16 + "0123456789abcdef")) for letter in ("ab", "cd"))
    auth, admin = TokenAuth(people, supervise=False), TokenAuth(staff, supervise=False)

    async def both(request: Request) -> JSONResponse:
        return JSONResponse({"sub": (await auth(request)).subject, "admin": (await admin(request)).subject})

    send = asgi_sender(auth.install(Starlette(routes=[Route("/me", both)])))

    assert 401 == send(Sent(headers=(bearer(people.issue("mallory")),))).status


def test_a_user_is_not_kept_beyond_a_request_of_flask(token):
    """A test that holds the app's context open sends two requests; the second one has no credential."""
    from flask import Flask

    from resourcekit_web.flask import TokenAuth

    app = Flask("shop")
    auth = TokenAuth(token, app, supervise=False)
    app.add_url_rule("/me", view_func=auth.required(lambda: {"sub": auth.signed_in.subject}), endpoint="me")
    send = wsgi_sender(app)

    with app.app_context():
        replies = [send(Sent(headers=given)).status for given in ((bearer(token.issue("alice")),), ())]

    assert [200, 401] == replies


def test_a_user_of_a_provider_is_none_of_the_app(token):
    """A provider signs in its own alice: she can neither see, end nor become a user of the app."""
    key = ec.generate_private_key(ec.SECP256R1())
    published = {"keys": [{**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "idp", "alg": "ES256"}]}
    keys = JWT("a-secret-for-web-tests-that-is-long-enough-0123456789", issuers={"https://idp.example": JWKSet(published)})
    shop = declare_tokens(Memory(), jwt=keys, sessions=True)
    ours = shop.issue_pair("alice")
    now = int(utc_now().timestamp())
    facts = {"iss": "https://idp.example", "sub": "alice", "jti": "j", "iat": now, "exp": now + 600}
    sent = (("authorization", f"Bearer {pyjwt.encode(facts, key, 'ES256', headers={'kid': 'idp'})}".encode()),)
    loaded = []
    send = made("starlette", shop, user=lambda subject: loaded.append(subject) or subject)

    me = send(Sent(headers=sent)).json
    listed = send(Sent(path="/auth/sessions", headers=sent)).json
    ended = send(Sent(method="DELETE", path=f"/auth/sessions/{ours.access.claims.family}", headers=sent)).status
    ticket = send(Sent(method="POST", path="/auth/ticket", headers=sent)).json["ticket"]
    everywhere = send(Sent(method="POST", path="/auth/logout-everywhere", headers=sent)).status

    name = '["https://idp.example","alice"]'
    assert ({"sub": name}, {"sessions": []}, 404, 204) == (me, listed, ended, everywhere)
    assert {name} == set(loaded)
    assert name == read_claims(ticket).subject
    assert not shop.token_revoked(ours.access.token)


@pytest.mark.parametrize("root_path", ["/x; Domain=example.com", "/x;Domain=example.com", "/a b", "/ä"])
def test_the_path_of_an_app_adds_no_attribute_to_a_cookie(token, root_path):
    """An app that is mounted under a parameter of the path gets what the browser asked for."""
    pair, asked = token.issue_pair("alice"), Incoming(method="POST", root_path=root_path)

    made_of = [value.split("; ") for value in Web(token).cookies_for(pair, asked, persistent=True)]

    assert [5 + 1, 5 + 1] == [len(parts) for parts in made_of]
    assert made_of[1][1].isascii()
    assert not {" ", ";"} & set(made_of[1][1])


TWO = {
    "two Bearer": ("Bearer {}", "Bearer {}"),
    "another word": ("Bearer {}", "x"),
    "another scheme": ("Bearer {}", "Negotiate"),
    "an unknown scheme first": ("Custom abc", "Bearer {}"),
    "no token": ("Bearer=x", 'Bearer="x"'),
    "no space": ("Custom=x", "Other=y"),
    "parameters, then no token": ('Digest realm="a"', "Bearer=x"),
    "nothing": ("", "a=b"),
    "parameters first": ('Digest username="a, b", realm="c"', "Bearer {}"),
}


@pytest.mark.parametrize("names", TWO)
@pytest.mark.parametrize("is_joined", [False, True])
def test_two_authorization_headers_are_malformed_however_the_server_hands_them_on(send, token, names, is_joined):
    """A proxy and the app might each look at another one. WSGI servers join them by a comma, ASGI servers do not."""
    values = [value.format(token.issue("alice").token).encode() for value in TWO[names]]
    headers = tuple(("authorization", value) for value in ([b",".join(values)] if is_joined else values))

    reply = send(Sent(headers=headers))

    assert (400, "invalid_request") == (reply.status, reply.code)


def test_parameters_of_another_scheme_are_one_header(send):
    """Digest has commas of its own, and is no credential here."""
    reply = send(Sent(headers=(("authorization", b'Digest username="a, b", realm="c", qop=auth'),)))

    assert (401, "missing_token") == (reply.status, reply.code)


def test_a_client_with_two_authorization_headers_is_not_authenticated(send, token):
    """The first one is not chosen."""
    basic = base64.b64encode(b"billing:a-secret-of-a-client-0123456789")
    headers = (("authorization", b"Basic " + basic), ("authorization", b"Basic eDp5"), FORM)
    body = f"token={token.issue('alice').token}".encode()

    reply = send(Sent(method="POST", path="/auth/token/introspect", headers=headers, body=body))

    assert (400, {"error": "invalid_request"}) == (reply.status, reply.json)


@pytest.mark.parametrize("name", ["origin", "sec-fetch-site"])
def test_of_two_headers_of_one_name_none_is_chosen(send, token, name):
    """The second one may be the browser's own."""
    own, foreign = {
        "origin": (b"https://app.example", b"https://evil.example"),
        "sec-fetch-site": (b"same-origin", b"cross-site"),
    }[name]
    cookie = carrying(access=token.issue("alice").token)

    reply = send(Sent(method="POST", path="/auth/logout-everywhere", headers=(cookie, (name, own), (name, foreign))))

    assert (403, "cross_origin") == (reply.status, reply.code)


ROW = sqlite3.connect(":memory:")
ROW.row_factory = sqlite3.Row
LOCKED = {
    "dict": {"is_active": False},
    "row of sqlite3": ROW.execute("SELECT 'alice' AS name, 0 AS is_active").fetchone(),
    "method": type("User", (), {"is_active": lambda self: False})(),
}


@pytest.mark.parametrize("form", LOCKED)
def test_a_locked_user_is_refused_whatever_the_user_is(token, form):
    """A dict and a row have no attribute is_active, and a method is true until it is called."""
    assert isinstance(found(token, lambda subject: LOCKED[form]), Refusal)


@pytest.mark.parametrize(
    "user", [{"name": "alice"}, {"is_active": True}, ROW.execute("SELECT 1 AS is_active").fetchone(), "alice"]
)
def test_a_user_who_is_not_locked_is_signed_in(token, user):
    """A dict without the key says nothing."""
    assert user == found(token, lambda subject: user).user


@pytest.mark.parametrize(("ahead", "status"), [(3600, 401), (10**9, 401), (30, 200), (-30, 200), (-3600, 401)])
def test_a_password_that_was_entered_in_the_future_is_not_fresh(send, token, ahead, status):
    """It would be fresh until then; clocks of hosts may differ by clock_skew."""
    moment = int(utc_now().timestamp()) + ahead

    reply = send(Sent(path="/fresh", headers=(bearer(token.issue("alice", claims={"auth_time": moment})),)))

    assert (status, "insufficient_user_authentication" if status == 401 else None) == (reply.status, reply.code)


class Provider:
    """Serves a key set on this machine: nothing while it is away."""

    def __init__(self):
        self.keys, self.is_away = [], True
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(503 if provider.is_away else 200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": provider.keys}).encode())

            def log_message(self, *args):
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def add(self, kid):
        """Publish a new key, and return a token that is signed with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.keys.append({**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "ES256"})
        now = int(utc_now().timestamp())
        facts = {"sub": "alice", "jti": kid, "iat": now, "exp": now + 600}
        return pyjwt.encode(facts, key, "ES256", headers={"kid": kid})


@pytest.fixture
def provider():
    """An identity provider that is away."""
    made_here = Provider()
    yield made_here
    made_here.server.shutdown()
    made_here.server.server_close()


def test_a_provider_that_is_away_is_a_503_and_a_rotated_key_too_until_it_is_known(framework, provider):
    """Clients throw a token away after a 401, so a good token never gets one because of the provider's key set."""
    shop = declare_tokens(Memory(), jwt=JWT(keys=JWKSet.from_url(f"http://127.0.0.1:{provider.server.server_port}/keys")))
    with ManualClock(everywhere=True) as clock:
        send = made(framework, shop)
        first, second = (("authorization", f"Bearer {provider.add(kid)}".encode()) for kid in ("first", "second"))
        hidden = provider.keys.pop()
        away = [send(Sent(headers=(first,))) for _ in range(2)]
        provider.is_away = False
        there = send(Sent(headers=(first,))).status
        provider.keys.append(hidden)
        rotated = send(Sent(headers=(second,)))
        out = send(Sent(method="POST", path="/auth/logout", headers=(second,))).status
        clock.advance(seconds=31)

        assert [(503, "unavailable", "5")] * 3 == [
            (each.status, each.code, each.header("retry-after")) for each in (*away, rotated)
        ]
        assert (200, 503, 200) == (there, out, send(Sent(headers=(second,))).status)


def test_the_first_revocation_of_a_process_fetches_the_key_set(framework, provider):
    """A client revokes a token of the provider before any request has asked for its keys."""
    shop = declare_tokens(Memory(), jwt=JWT(keys=JWKSet.from_url(f"http://127.0.0.1:{provider.server.server_port}/keys")))
    text, provider.is_away = provider.add("first"), False
    send = made(framework, shop, clients={"billing": "a-secret-of-a-client-0123456789"})
    body = f"token={text}&client_id=billing&client_secret=a-secret-of-a-client-0123456789".encode()

    revoked = send(Sent(method="POST", path="/auth/token/revoke", headers=(FORM,), body=body)).status

    assert (200, 401) == (revoked, send(Sent(headers=(("authorization", f"Bearer {text}".encode()),))).status)
