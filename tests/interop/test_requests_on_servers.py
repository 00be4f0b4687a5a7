"""The table of requests, and hostile ones, by raw sockets to apps of every framework under real servers: one meaning over all of them."""

from __future__ import annotations

import base64

import pytest

from tests.support.request_table import SECRET, TABLE, Tokens
from tests.support.web_apps import ASGI_APPS
from tests.support.web_hosts import Host, serving
from tests.support.web_requests import Sent
from tests.support.web_sockets import exchanged, handshaken, lines_of, reply_of, socket_sender

QUICK = (("fastapi", "uvicorn"), ("flask", "gunicorn"))
"""Those that each run has; the slow ones are all others."""

ALL = (
    *((framework, server) for framework in ASGI_APPS for server in ("uvicorn", "hypercorn")),
    ("flask", "gunicorn"),
    ("django", "gunicorn"),
)
SERVERS_OWN = {"too long": {400, 401, 431}, "byte FF in the query": {400}}
"""Rows that some servers refuse themselves: above their limit of a header (20,000 bytes), or with bytes that no request line has."""


@pytest.fixture(
    scope="module", params=[pytest.param(one, id="-".join(one), marks=[] if one in QUICK else pytest.mark.slow) for one in ALL]
)
def host(request, tmp_path_factory):
    """The tokens of the table, the port of an app, and whether it has websockets. The log of the server must show no part of a token."""
    framework, server = request.param
    folder = tmp_path_factory.mktemp("requests")
    one_host = Host(
        framework=framework, server=server, url=f"sqlite:///{folder}/tokens.db", table="tokens", keys=[(None, "HS256", SECRET)]
    )
    token = one_host.resource(storage=True)
    with serving(folder, one_host) as (address,):
        yield Tokens(token), int(address.rpartition(":")[2]), framework in ASGI_APPS


def test_each_server_answers_the_requests_as_the_table_says(host):
    """Status, challenge and code are those of the table, and no body contains a part of a token."""
    tokens, port, _ = host
    send, wrong = socket_sender(port), {}
    for row, (make, status, challenge, code) in TABLE.items():
        sent = make(tokens)
        reply = send(sent)
        got = (reply.status, reply.header("www-authenticate"), reply.code if reply.body else None)
        is_own = row in SERVERS_OWN and reply.status in SERVERS_OWN[row]
        if (got != (status, challenge, code if sent.method != "HEAD" else None) and not is_own) or b"eyJ" in reply.body:
            wrong[row] = got

    assert {} == wrong
    assert len(TABLE) >= 40


def hostile(tokens):
    """Return requests that no client would send: bytes, and the statuses that are right. 0 is a closed connection."""
    good = tokens.good
    bearer = b"authorization: Bearer " + good
    cookie = b"cookie: __Host-rk-access=" + good
    close = b"connection: close"
    me, post = Sent(), Sent(method="POST")
    refused = {0, 400, 401, 403, 404, 405, 413, 414, 431, 501, 505}
    return {
        "header of 1 MiB": (lines_of(me, b"authorization: Bearer " + b"a" * 1_048_576, close), refused),
        "cookie of 1 MiB": (lines_of(me, b"cookie: __Host-rk-access=" + b"a" * 1_048_576, close), refused),
        "100,000 cookies": (lines_of(me, b"cookie: " + b"a=b; " * 100_000, close), refused),
        "path of 1 MiB": (lines_of(Sent(path="/" + "a" * 1_048_576), close), refused),
        "byte FF in the query": (lines_of(Sent(query=b"\xff=1&a=\xff"), bearer, close), refused | {200}),
        "byte FF in the query of a route": (lines_of(Sent(method="POST", path="/auth/refresh", query=b"\xff"), b"content-length: 0", close), refused),
        "encoded byte FF in the query": (lines_of(Sent(query=b"%FF=%FF"), bearer, close), {200}),
        "NUL in the token": (lines_of(me, bearer[:-9] + b"\0" + bearer[-9:], close), refused),
        "space before the colon": (lines_of(me, b"authorization : Bearer " + good, close), refused),
        "folded header": (lines_of(me, b"authorization: Bearer\r\n " + good, close), refused | {200}),
        "underscore in the name": (lines_of(me, b"authorization_: Bearer " + good, close), refused),
        "good and empty header": (lines_of(me, bearer, b"authorization:", close), refused),
        "good and forged header": (lines_of(me, bearer, b"authorization: Bearer " + tokens.forged, close), {400}),
        "good and revoked header": (lines_of(me, b"Authorization: Bearer " + tokens.revoked, b"AUTHORIZATION: Bearer " + good, close), {400}),
        "two origins, the first own": (lines_of(post, cookie, b"origin: https://app.example", b"origin: https://evil.example", b"content-length: 0", close), {400, 403}),
        "two sites, the first own": (lines_of(post, cookie, b"sec-fetch-site: same-origin", b"sec-fetch-site: cross-site", b"content-length: 0", close), {400, 403}),
        "two cookies of one name": (lines_of(me, cookie, b"cookie: __Host-rk-access=x", close), {400}),
        "cookie behind a byte A0": (lines_of(me, b"cookie: \xa0__Host-rk-access=" + good, close), {400, 401}),
        "null origin": (lines_of(post, cookie, b"origin: null", b"content-length: 0", close), {403}),
        "another method with the cookie": (lines_of(Sent(method="DELETE", path="/auth/sessions/x"), cookie, b"origin: null", close), {403}),
        "method in small letters": (lines_of(Sent(method="post"), cookie, b"origin: null", b"content-length: 0", close), refused),
        "override of the method": (lines_of(me, cookie, b"x-http-method-override: POST", b"origin: null", close), {200}),
        "forwarded host": (lines_of(post, cookie, b"x-forwarded-host: evil.example", b"origin: https://evil.example", b"content-length: 0", close), {403}),
        "forwarded scheme and host": (lines_of(post, cookie, b"forwarded: host=evil.example;proto=https", b"origin: https://evil.example", b"content-length: 0", close), {403}),
        "length and chunks": (lines_of(Sent(method="POST", path="/auth/refresh"), b"content-length: 4", b"transfer-encoding: chunked", close) + b"0\r\n\r\n", refused),
        "form in chunks": (
            lines_of(Sent(method="POST", path="/auth/refresh"), b"content-type: application/x-www-form-urlencoded", b"transfer-encoding: chunked", close)
            + b"10\r\nrefresh_token=xy\r\n0\r\n\r\n",
            {401},
        ),
        "form of 200,000 bytes": (
            lines_of(Sent(method="POST", path="/auth/refresh"), b"content-type: application/x-www-form-urlencoded", b"content-length: 200014", close)
            + b"refresh_token=" + b"a" * 200_000,
            {400, 413},
        ),
        "form that is cut off": (
            lines_of(Sent(method="POST", path="/auth/logout"), b"content-type: application/x-www-form-urlencoded", b"content-length: 4", close) + b"keep",
            {204},
        ),
        "basic with bad base64": (lines_of(Sent(method="POST", path="/auth/token/introspect"), b"authorization: Basic \xff\xfe===", b"content-length: 0", close), {401, 404}),
        "no host": (b"GET /me HTTP/1.1\r\n" + bearer + b"\r\nconnection: close\r\n\r\n", refused | {200}),
        "two hosts": (lines_of(post, b"host: evil.example", cookie, b"origin: https://evil.example", b"content-length: 0", close), {0, 400, 403}),
        "HTTP/1.0": (b"GET /me HTTP/1.0\r\nhost: app.example\r\n\r\n", {401}),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", refused),
        "TRACE": (lines_of(Sent(method="TRACE"), cookie, close), refused | {200}),  # it is safe, and a view of Django takes each method
    }  # fmt: skip


def test_no_hostile_request_passes_or_breaks_a_server(host):
    """Each is refused, by the server or by the app; none is a 500, none is answered with a part of a token."""
    tokens, port, _ = host
    wrong = {}
    for name, (given, statuses) in hostile(tokens).items():
        reply = reply_of(exchanged(port, given))
        if reply.status not in statuses or b"eyJ" in reply.body:
            wrong[name] = (reply.status, reply.body[:200])

    assert {} == wrong
    assert 200 == socket_sender(port)(Sent(headers=(("authorization", b"Bearer " + tokens.good),))).status


def test_websockets_are_refused_before_they_open(host):
    """By the same rules as requests: no credential, a bad one, a page of another site, no ticket that was bought."""
    tokens, port, has_sockets = host
    if not has_sockets:
        assert 404 == handshaken(port).status
        return
    cookie = ("cookie", b"__Host-rk-access=" + tokens.good)
    bearer = ("authorization", b"Bearer " + tokens.good)
    expected = {
        "none": (handshaken(port), {401}),
        "foreign": (handshaken(port, cookie, ("origin", b"https://evil.example")), {403}),
        "null": (handshaken(port, cookie, ("origin", b"null")), {403}),
        "torn": (handshaken(port, ("cookie", b"__Host-rk-access=" + tokens.good[:40])), {401}),
        "two": (handshaken(port, bearer, bearer), {400}),
        "no ticket": (handshaken(port, subprotocols="rk, rk.ticket.x"), {401}),
        "two tickets": (handshaken(port, subprotocols="rk, rk.ticket.x, rk.ticket.y"), {400}),
        "own": (handshaken(port, cookie, ("origin", b"https://app.example")), {101}),
        "by header": (handshaken(port, bearer), {101}),
    }
    ticket = socket_sender(port)(Sent(method="POST", path="/auth/ticket", headers=(bearer,))).json["ticket"]
    first, second = (handshaken(port, subprotocols=f"rk, rk.ticket.{ticket}") for _ in range(2))

    assert {} == {name: reply.status for name, (reply, statuses) in expected.items() if reply.status not in statuses}
    assert (101, "rk", 401) == (first.status, first.header("sec-websocket-protocol"), second.status)


def test_a_secret_that_is_no_client_learns_nothing(host):
    """Without clients there is no introspection, with whatever credential."""
    _, port, _ = host
    basic = b"Basic " + base64.b64encode(b"billing:a-secret-of-a-client-0123456789")

    assert (
        404 == socket_sender(port)(Sent(method="POST", path="/auth/token/introspect", headers=(("authorization", basic),))).status
    )
