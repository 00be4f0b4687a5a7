from __future__ import annotations

import base64
import json
import logging
import secrets
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from resourcekit.data_layers import SQL, Memory
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, SigningKey
from tests.support.setups import declare_tokens
from tests.support.web_apps import made
from tests.support.web_requests import Sent

ACCESS, REFRESH = "__Host-rk-access", "__Secure-rk-refresh"
FORM = ("content-type", b"application/x-www-form-urlencoded")


def carrying(cookies):
    """Return the header with which a browser sends cookies."""
    return ("cookie", "; ".join(f"{name}={value}" for name, value in cookies.items()).encode())


def sign_in(send):
    """Sign in and return the cookies."""
    return send(Sent(method="POST", path="/login")).cookies()


def status(send, cookies):
    """Return the status that a view answers to cookies."""
    return send(Sent(headers=(carrying(cookies),))).status


def post(path, *headers, body=b""):
    """Return a POST request."""
    return Sent(method="POST", path=path, headers=headers, body=body)


def test_a_sign_in_sets_two_cookies_with_their_attributes(send):
    """Neither cookie is readable by scripts, and the refresh cookie goes to the routes only."""
    reply = send(Sent(method="POST", path="/login"))

    found = {}
    for name, value in reply.headers:
        if name == "set-cookie":
            pair, *attributes = value.strip().split("; ")
            found[pair.partition("=")[0]] = dict(
                one.replace("=lax", "=Lax").replace("=strict", "=Strict").partition("=")[::2] for one in attributes
            )
    ages = [int(attributes.pop("Max-Age")) for attributes in found.values()]
    common = {"HttpOnly": "", "Secure": ""}
    assert 204 == reply.status
    assert {
        ACCESS: {"Path": "/", "SameSite": "Lax", **common},
        REFRESH: {"Path": "/auth", "SameSite": "Strict", **common},
    } == found
    assert [True, True] == [29 * 86_400 < age <= 30 * 86_400 for age in ages]


def test_a_refresh_by_cookie_gives_new_cookies(send):
    """After the access token has expired, the refresh cookie gives a new pair, without a body."""
    with ManualClock() as clock:
        cookies = sign_in(send)
        clock.advance(minutes=16)
        before = status(send, cookies)

        reply = send(post("/auth/refresh", carrying(cookies)))

        assert (401, 204, b"", "no-store") == (before, reply.status, reply.body, reply.header("cache-control"))
        assert 200 == status(send, reply.cookies())


def test_a_reused_refresh_cookie_ends_the_sign_in_and_is_cleared(send):
    """A refresh token that comes back long after its use is 401, its cookies are cleared, and the sign-in has ended."""
    with ManualClock() as clock:
        cookies = sign_in(send)
        newer = send(post("/auth/refresh", carrying(cookies))).cookies()
        clock.advance(minutes=1)

        reply = send(post("/auth/refresh", carrying(cookies)))

        assert (401, "invalid_token") == (reply.status, reply.code)
        assert {ACCESS: "", REFRESH: ""} == reply.cookies()
        assert 401 == status(send, newer)


def test_two_tabs_that_refresh_at_one_moment_both_stay_signed_in(send):
    """The second refresh by the same cookie is answered with the same pair."""
    cookies = sign_in(send)

    first, second = (send(post("/auth/refresh", carrying(cookies))) for _ in range(2))

    assert [204, 204] == [first.status, second.status]
    assert first.cookies() == second.cookies()
    assert 200 == status(send, second.cookies())


def test_a_refresh_by_form_is_answered_as_json(send, token):
    """A program without cookies gets the new pair in the body."""
    pair = token.issue_pair("alice")

    reply = send(post("/auth/refresh", FORM, body=f"refresh_token={pair.refresh.token}".encode()))

    assert (200, "Bearer", True) == (reply.status, reply.json["token_type"], 890 < reply.json["expires_in"] <= 901)
    assert "alice" == token.verify(reply.json["access_token"]).subject
    assert {} == reply.cookies()


def test_logout_ends_this_sign_in_and_no_other(send):
    """Access and refresh token of the browser die at once, another browser stays signed in."""
    here, elsewhere = sign_in(send), sign_in(send)

    reply = send(post("/auth/logout", carrying(here)))

    assert (204, {ACCESS: "", REFRESH: ""}) == (reply.status, reply.cookies())
    assert [401, 200] == [status(send, here), status(send, elsewhere)]
    assert 401 == send(post("/auth/refresh", carrying(here))).status


def test_logout_with_an_expired_token_ends_the_sign_in(send, token):
    """A user who comes back after the access token expired still signs out for good."""
    with ManualClock() as clock:
        cookies = sign_in(send)
        clock.advance(minutes=20)

        assert 204 == send(post("/auth/logout", carrying(cookies))).status
        assert token.token_revoked(cookies[REFRESH])


def test_logout_everywhere_ends_all_sign_ins(send):
    """One request ends them all, and clears the cookies of the browser that asked."""
    here, elsewhere = sign_in(send), sign_in(send)

    reply = send(post("/auth/logout-everywhere", carrying(here)))

    assert (204, {ACCESS: "", REFRESH: ""}) == (reply.status, reply.cookies())
    assert [401, 401] == [status(send, here), status(send, elsewhere)]


def test_logout_elsewhere_keeps_this_sign_in(send):
    """With keep=current, the browser that asked stays signed in."""
    here, elsewhere = sign_in(send), sign_in(send)

    reply = send(post("/auth/logout-everywhere", carrying(here), FORM, body=b"keep=current"))

    assert (204, {}) == (reply.status, reply.cookies())
    assert [200, 401] == [status(send, here), status(send, elsewhere)]


def test_a_cookie_until_the_browser_closes_is_not_prolonged(token):
    """A refresh keeps to persistent=False of the sign-in."""
    from resourcekit_web.core import Asked, Incoming, Web

    web, pair = Web(token), token.issue_pair("alice")
    incoming = Incoming(method="POST", headers=(("host", "app.example"),))
    cookies = dict(value.partition(";")[0].split("=", 1) for value in web.cookies_for(pair, incoming, persistent=False))
    name, value = carrying(cookies)
    refresh = next(route for route in web.routes if route.name == "refresh")

    from resourcekit.extending import drive

    asked = Asked(incoming=Incoming(method="POST", headers=(("host", "app.example"), (name, value.decode()))))
    answer = drive(web.answer(refresh, asked))

    assert 204 == answer.status
    assert [] == [value for name, value in answer.headers if "Max-Age" in value]


# The store does not answer ------------------------------------------------------------------------------------------------


@pytest.fixture
def cut_off(framework):
    """An app over a database that does not answer, and good cookies for it."""
    key = JWT("a-secret-for-web-tests-that-is-long-enough-0123456789")
    pair = declare_tokens(Memory(), jwt=key).issue_pair("alice")
    away = declare_tokens(
        SQL("postgresql://user@127.0.0.1:9/nothing", table=f"away_{secrets.token_hex(4)}"), jwt=key, storage=False
    )
    return made(framework, away), {ACCESS: pair.access.token, REFRESH: pair.refresh.token}


@pytest.mark.parametrize(
    "path", ["/me", "/optional", "/auth/refresh", "/auth/logout", "/auth/logout-everywhere", "/auth/ticket", "/readyz"]
)
def test_a_store_that_does_not_answer_is_a_503(cut_off, path, caplog):
    """A restart of a database signs no user out: 503 with Retry-After, cookies kept, nothing of a token in log or body."""
    send, cookies = cut_off
    method = "GET" if path in {"/me", "/optional", "/readyz"} else "POST"

    with caplog.at_level(logging.DEBUG, "resourcekit"):
        reply = send(Sent(method=method, path=path, headers=(carrying(cookies),)))

    assert (503, "unavailable", "5") == (reply.status, reply.code, reply.header("retry-after"))
    assert {} == reply.cookies()
    assert "eyJ" not in caplog.text
    assert b"eyJ" not in reply.body


def test_a_process_is_alive_without_its_store(cut_off):
    """A process that answers is not restarted because its database is away."""
    send, _ = cut_off

    assert [200, 200] == [send(Sent(path="/livez")).status, send(Sent(path="/healthz")).status]


def test_a_process_with_its_store_is_ready(send):
    """The store is asked, and answers."""
    assert {"status": "ok"} == send(Sent(path="/readyz")).json


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/.well-known/jwks.json", "/auth/sessions"])
def test_head_is_answered_as_get_without_the_body(framework, path):
    """Load balancers ask for the health endpoints so. The answer is the one to GET, a refusal too."""
    send = made(framework, declare_tokens(Memory(), sessions=True))

    got, head = send(Sent(path=path)), send(Sent(method="HEAD", path=path))

    names = ("content-type", "cache-control", "www-authenticate")
    assert (401 if path == "/auth/sessions" else 200) == head.status
    assert (got.status, *map(got.header, names)) == (head.status, *map(head.header, names))


# Other programs -----------------------------------------------------------------------------------------------------------

BASIC = ("authorization", b"Basic " + base64.b64encode(b"billing:a-secret-of-a-client-0123456789"))


def form(token, **more):
    """Return the body of a form with a token."""
    return "&".join(f"{name}={value}" for name, value in {"token": token, **more}.items()).encode()


def test_introspection_tells_a_client_about_a_live_token(send, token):
    """RFC 7662: subject and times of a live token, without its jti."""
    issued = token.issue("alice", claims={"scope": "read"})

    reply = send(post("/auth/token/introspect", BASIC, FORM, body=form(issued.token)))

    assert (200, True, "alice", "read") == (reply.status, *(reply.json[name] for name in ("active", "sub", "scope")))
    assert issued.claims.jti.encode() not in reply.body


@pytest.mark.parametrize("kind", ["garbage", "revoked", "expired"])
def test_introspection_tells_nothing_about_a_dead_token(send, token, kind):
    """The answer is exactly the same for each reason."""
    issued = token.issue("alice", lifetime=timedelta(minutes=5))
    text = "garbage" if kind == "garbage" else issued.token
    with ManualClock() as clock:
        if kind == "revoked":
            token.revoke(issued.token)
        if kind == "expired":
            clock.advance(minutes=6)

        reply = send(post("/auth/token/introspect", BASIC, FORM, body=form(text)))

    assert (200, {"active": False}) == (reply.status, reply.json)


def test_a_client_revokes_a_token_twice(send, token):
    """RFC 7009: 200 for a live and for a dead token, by the secret in the form as well."""
    text = token.issue("alice").token
    body = form(text, client_id="billing", client_secret="a-secret-of-a-client-0123456789")

    replies = [send(post("/auth/token/revoke", FORM, body=body)) for _ in range(2)]

    assert [200, 200] == [reply.status for reply in replies]
    assert token.token_revoked(text)


def test_a_client_without_its_secret_is_refused(send, token):
    """A wrong secret, and none, are 401 with a challenge, and change nothing."""
    text = token.issue("alice").token
    wrong = ("authorization", b"Basic " + base64.b64encode(b"billing:guess"))

    replies = [send(post("/auth/token/revoke", FORM, *given, body=form(text))) for given in ((), (wrong,))]

    assert [(401, {"error": "invalid_client"})] * 2 == [(reply.status, reply.json) for reply in replies]
    assert not token.token_revoked(text)


def test_a_client_sees_tokens_of_its_audience_only(framework):
    """A token for another audience is as unknown as garbage, and stays live."""
    token = declare_tokens(Memory(), jwt=JWT("a-secret-for-web-tests-that-is-long-enough-0123456789", audience="shop"))
    send, text = made(framework, token, clients={"billing": "a-secret-of-a-client-0123456789"}), token.issue("alice").token

    seen = send(post("/auth/token/introspect", BASIC, FORM, body=form(text)))
    send(post("/auth/token/revoke", BASIC, FORM, body=form(text)))

    assert {"active": False} == seen.json
    assert not token.token_revoked(text)


def test_public_keys_are_served_and_secrets_are_not(framework):
    """The key set has the public half of a key pair, and nothing of a secret."""
    pair = SigningKey(kid="2026", algorithm="ES256", key=ec.generate_private_key(ec.SECP256R1()))
    old = SigningKey(kid="old", algorithm="HS256", key="a-secret-for-web-tests-that-is-long-enough-0123456789", verify_only=True)
    send = made(framework, declare_tokens(Memory(), jwt=JWT([pair, old])))

    reply = send(Sent(path="/.well-known/jwks.json"))

    assert ["2026"] == [key["kid"] for key in json.loads(reply.body)["keys"]]
    assert b'"d"' not in reply.body


def test_without_clients_no_program_can_ask(framework, token):
    """The two routes are absent, and not merely refused."""
    send = made(framework, token)

    assert 404 == send(post("/auth/token/introspect", BASIC, FORM, body=form("x"))).status


def test_a_body_that_is_too_long_is_refused(send):
    """A form of more than 64 KiB is malformed, and is not read to its end."""
    reply = send(post("/auth/refresh", FORM, body=b"refresh_token=" + b"a" * 100_000))

    assert (400, "invalid_request") == (reply.status, reply.code)


@pytest.mark.parametrize("body", [b"refresh_token=a&refresh_token=b", b"refresh_token=\xff", b"=&&=;"])
def test_a_form_that_cannot_be_read_is_refused(send, body):
    """A field twice, bytes that are no form, and signs without names are malformed; none is a 500."""
    assert send(post("/auth/refresh", FORM, body=body)).status in {400, 401}


# Caches and log -----------------------------------------------------------------------------------------------------------


def test_answers_by_cookie_vary_by_cookie(send):
    """No cache gives the answer of one user to another."""
    assert "Cookie" == send(Sent(headers=(carrying(sign_in(send)),))).header("vary")


def test_a_foreign_origin_is_logged_once_with_both_origins(framework, token, caplog):
    """The log names the origin that came and the own one, once, and no cookie."""
    send = made(framework, token)
    cookies = sign_in(send)
    asked = Sent(method="POST", headers=(carrying(cookies), ("origin", b"https://app.example.org")))

    with caplog.at_level(logging.WARNING, "resourcekit"):
        assert [403, 403] == [send(asked).status, send(asked).status]

    (record,) = [record for record in caplog.records if "origin" in record.getMessage()]
    assert "https://app.example.org" in record.getMessage()
    assert "https://app.example." in record.getMessage()
    assert "eyJ" not in caplog.text


def test_an_origin_that_is_trusted_may_write(framework, token):
    """A page elsewhere that the app names in trusted_origins writes by cookie."""
    send = made(framework, token, trusted_origins=["https://spa.example"])
    cookies = sign_in(send)

    reply = send(Sent(method="POST", headers=(carrying(cookies), ("origin", b"https://spa.example"))))

    assert 200 == reply.status


def test_strict_protection_refuses_a_write_without_an_origin(framework, token):
    """With csrf="strict", a write by cookie that says nothing of its origin is refused."""
    send = made(framework, token, csrf="strict")
    own = ("origin", b"https://app.example")
    cookies = send(Sent(method="POST", path="/login", headers=(own,))).cookies()

    replies = [send(Sent(method="POST", headers=(carrying(cookies), *more))).status for more in ((), (own,))]

    assert [403, 200] == replies


OTHER_BODIES = {
    "JSON": ("application/json", b'{"keep": "current"}'),
    "multipart": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="keep"\r\n\r\ncurrent\r\n--x--\r\n',
    ),
    "text": ("text/plain", b"keep=current"),
    "misspelt value": ("application/x-www-form-urlencoded", b"keep=curent"),
    "empty value": ("application/x-www-form-urlencoded", b"keep="),
    "misspelt field": ("application/x-www-form-urlencoded", b"kep=current"),
}


@pytest.mark.parametrize(("kind", "body"), OTHER_BODIES.values(), ids=OTHER_BODIES.keys())
def test_logout_everywhere_ends_nothing_for_a_body_that_says_something_else(send, kind, body):
    """A wish that is misspelt, or in another form, is 400, and both browsers stay signed in."""
    here, elsewhere = sign_in(send), sign_in(send)

    reply = send(post("/auth/logout-everywhere", carrying(here), ("content-type", kind.encode()), body=body))

    assert (400, "invalid_request", {}) == (reply.status, reply.json["code"], reply.cookies())
    assert [200, 200] == [status(send, here), status(send, elsewhere)]


@pytest.mark.parametrize("body", [b"", b"csrfmiddlewaretoken=abc"])
def test_logout_everywhere_takes_an_empty_form(send, body):
    """A page's form without fields, or with the one that its framework adds, ends all sign-ins."""
    here = sign_in(send)

    assert 204 == send(post("/auth/logout-everywhere", carrying(here), FORM, body=body)).status
    assert 401 == status(send, here)


def test_a_token_without_a_sign_in_is_kept_by_itself(send, token):
    """With ``keep=current``, a token that belongs to no family stays, and the browser's sign-in ends."""
    elsewhere, program = sign_in(send), token.issue("alice", purpose="user").token
    bearer = ("authorization", f"Bearer {program}".encode())

    reply = send(post("/auth/logout-everywhere", bearer, FORM, body=b"keep=current"))

    assert 204 == reply.status
    assert [200, 401] == [send(Sent(headers=(bearer,))).status, status(send, elsewhere)]
