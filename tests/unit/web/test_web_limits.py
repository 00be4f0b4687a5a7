"""Limits of cookies, forms, bodies and the log, and credentials at a place where none is read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import re

import attrs
import pytest

from resourcekit.errors import InvalidArgument
from resourcekit_web.core import LONGEST_BODY, Incoming, Refusal, Web, read_body
from resourcekit_web.core.cookies import LARGEST
from resourcekit_web.core.incoming import cookie_of
from resourcekit_web.core.origins import Origins
from tests.support.web_apps import made
from tests.support.web_requests import Sent

FORM = ("content-type", b"application/x-www-form-urlencoded")
ACCESS, REFRESH = "__Host-rk-access", "__Secure-rk-refresh"


def bearer(issued):
    """Return the header of a token."""
    return ("authorization", f"Bearer {issued.token}".encode())


@pytest.mark.parametrize("root_path", ["", "/shop"])
def test_a_cookie_is_cleared_at_the_path_where_it_was_set(token, root_path):
    """A browser keeps a cookie of another path, and a refresh cookie that stays is a sign-in that stays."""
    cookies = Web(token).settings.cookies

    places = [
        [(value.partition("=")[0], re.search(r"Path=([^;]*)", value)[1]) for value in values]
        for values in (cookies.set_both(token.issue_pair("alice"), root_path, persistent=True), cookies.clear_both(root_path))
    ]

    assert [("__Host-rk-access", "/"), ("__Secure-rk-refresh", f"{root_path}/auth")] == places[0] == places[1]


@pytest.mark.parametrize(("length", "passes"), [(LARGEST - len(ACCESS), True), (LARGEST - len(ACCESS) + 1, False)])
def test_a_cookie_is_as_large_as_browsers_keep_it(token, length, passes):
    """Name and value have 4,096 bytes together: the largest cookie passes, and one byte more is refused."""
    pair = token.issue_pair("alice")
    large = attrs.evolve(pair, access=attrs.evolve(pair.access, token="x" * length))

    with contextlib.nullcontext() if passes else pytest.raises(InvalidArgument, match=f"of {LARGEST + 1} bytes"):
        Web(token).settings.cookies.set_both(large, "", persistent=True)


def test_a_body_without_an_end_fills_no_memory():
    """Reading stops behind the longest form."""
    sent = itertools.count(1)

    async def endless():
        for _ in sent:
            yield b"a" * 1_024

    body = asyncio.run(read_body(endless()))

    assert LONGEST_BODY < len(body) <= LONGEST_BODY + 1_024
    assert next(sent) <= LONGEST_BODY // 1_024 + 3


def test_foreign_origins_do_not_fill_the_log(caplog):
    """Each pair of origins is logged once, and after about a hundred pairs no other one is: a client can send as many as it likes."""
    rules = Origins.read((), (), "usual")
    for port in range(1, 300):
        headers = (("host", "app.example"), ("origin", f"https://evil.example:{port}"))
        assert not rules.lets_pass(Incoming(method="POST", headers=headers))

    assert 90 <= len(caplog.records) <= 110


@pytest.mark.parametrize("joint", [",", ", ", " , "])
def test_a_cookie_that_a_server_has_joined_by_a_comma_is_malformed(joint):
    """Which of the two is the user's is not seen. A comma in another cookie is allowed."""
    joined, other = (Incoming(method="GET", headers=(("cookie", f"a=1{joint}{name}=x"),)) for name in (ACCESS, "another"))

    assert isinstance(cookie_of(joined, ACCESS, REFRESH), Refusal)
    assert {} == cookie_of(other, ACCESS, REFRESH)


def test_a_form_with_a_field_twice_is_malformed(framework, token):
    """A proxy and the app could take different ones of the two."""
    pair = token.issue_pair("alice")
    body = f"refresh_token={pair.refresh.token}&refresh_token={pair.refresh.token}".encode()

    reply = made(framework, token)(Sent(method="POST", path="/auth/refresh", headers=(FORM,), body=body))

    assert (400, "invalid_request") == (reply.status, reply.code)
    assert token.rotate(pair.refresh.token)  # it is not used up


def test_no_cache_keeps_the_answer_to_a_client(framework, token):
    """Nor that a token is unknown, nor that the client is."""
    send = made(framework, token, clients={"billing": "a-secret-of-a-client-0123456789"})
    basic = ("authorization", b"Basic " + base64.b64encode(b"billing:a-secret-of-a-client-0123456789"))
    body = f"token={token.issue('alice').token}".encode()

    replies = [
        send(Sent(method="POST", path=f"/auth/token/{name}", headers=headers, body=body))
        for name in ("introspect", "revoke")
        for headers in ((FORM, basic), (FORM,))
    ]

    assert [(200, "no-store"), (401, "no-store")] * 2 == [(reply.status, reply.header("cache-control")) for reply in replies]


def test_a_ticket_is_no_credential_of_a_request(framework, token):
    """It opens a websocket, and a request with it in the same header is not signed in and does not use it up."""
    send = made(framework, token)
    reply = send(Sent(method="POST", path="/auth/ticket", headers=(bearer(token.issue("alice")),)))
    if reply.status == 404:
        pytest.skip("has no websockets")
    ticket = reply.json["ticket"]

    seen = send(Sent(headers=(("sec-websocket-protocol", f"rk, rk.ticket.{ticket}".encode()),)))

    assert (401, "missing_token") == (seen.status, seen.code)
    assert "alice" == token.consume(ticket, purpose="ticket").subject
