"""Websockets and streams of events that outlive the sign-in of their user: ``watch`` and ``watched`` of each adapter."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta

import pytest

from resourcekit.data_layers import SQL
from resourcekit.testing import ManualClock
from tests.support.setups import declare_tokens
from tests.support.web_requests import Sent, asgi_sender, handshake, wsgi_sender

OFTEN, MINUTE = timedelta(milliseconds=1), timedelta(minutes=1)


class Visit:
    """A visit to a websocket: what happens once it is open, and whether it was closed meanwhile.

    rounds: the times that the view looks whether it is closed, before it ends by itself.
    """

    def __init__(self, during, rounds):
        self.during, self.rounds, self.is_closed = during, rounds, False

    async def stay(self):
        """Let the event happen, and wait for the watch."""
        await self.during()
        for _ in range(self.rounds):
            if self.is_closed:
                break
            await asyncio.sleep(0.002)

    def noting(self, app):
        """Return the app, whose closes are noted."""

        async def noted(scope, receive, send):
            async def send_on(message):
                self.is_closed = self.is_closed or message["type"] == "websocket.close"
                await send(message)

            await app(scope, receive, send_on)

        return noted


def starlette_socket(token, visit):
    """Return an app of Starlette."""
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    from resourcekit_web.starlette import TokenAuth

    auth = TokenAuth(token, supervise=False)

    async def socket(websocket):
        await auth.accept(websocket)
        async with auth.watch(websocket, every=OFTEN):
            await visit.stay()
        if not visit.is_closed:
            await websocket.close()

    return auth.install(Starlette(routes=[WebSocketRoute("/socket", socket)]))


def fastapi_socket(token, visit):
    """Return an app of FastAPI."""
    from fastapi import FastAPI, WebSocket

    from resourcekit_web.fastapi import TokenAuth

    auth = TokenAuth(token, supervise=False)
    app = auth.install(FastAPI())

    async def socket(websocket):
        await auth.accept(websocket)
        async with auth.watch(websocket, every=OFTEN):
            await visit.stay()
        if not visit.is_closed:
            await websocket.close()

    socket.__annotations__["websocket"] = WebSocket
    app.websocket("/socket")(socket)
    return app


def quart_socket(token, visit):
    """Return an app of Quart, which closes a websocket when its view ends."""
    from quart import Quart

    from resourcekit_web.quart import TokenAuth

    app = Quart("shop")
    auth = TokenAuth(token, app, supervise=False)

    @app.websocket("/socket")
    @auth.required
    async def socket():
        await auth.accept()
        async with auth.watch(every=OFTEN):
            await visit.stay()

    return app


def litestar_socket(token, visit):
    """Return an app of Litestar."""
    from litestar import Litestar, WebSocket, websocket

    from resourcekit_web.litestar import SignedIn, TokenPlugin

    auth = TokenPlugin(token, supervise=False)

    @websocket("/socket")
    async def handler(socket: WebSocket, signed_in: SignedIn) -> None:
        await auth.accept(socket)
        async with auth.watch(socket, every=OFTEN):
            await visit.stay()
        if not visit.is_closed:
            await socket.close()

    names = {"WebSocket": WebSocket, "SignedIn": SignedIn}
    return Litestar([handler], plugins=[auth], signature_namespace=names, logging_config=None)


SOCKETS = {"starlette": starlette_socket, "fastapi": fastapi_socket, "quart": quart_socket, "litestar": litestar_socket}
WATCHED = {"signed out": (4401, "invalid_token"), "expired": (4401, "token_expired"), "nothing": (1000, "")}


@pytest.mark.parametrize("via", ["cookie", "ticket"])
@pytest.mark.parametrize("event", WATCHED)
@pytest.mark.parametrize("framework", SOCKETS)
def test_an_open_websocket_ends_with_its_sign_in(token, framework, event, via):
    """A check closes it with 4401 once the token has expired or was revoked."""
    access = token.issue_pair("alice").access.token

    async def during():
        if event == "signed out":
            await token.revoke.aio(access)
        if event == "expired":
            clock.advance(minutes=16)

    visit = Visit(during, 5 if event == "nothing" else 5000)
    app = visit.noting(SOCKETS[framework](token, visit))
    with ManualClock(everywhere=True) as clock:
        bearer = ("authorization", f"Bearer {access}".encode())
        ticket = asgi_sender(app)(Sent(method="POST", path="/auth/ticket", headers=(bearer,))).json["ticket"]
        given = (("cookie", f"__Host-rk-access={access}".encode()),) if via == "cookie" else ()
        offered = [f"rk.ticket.{ticket}"] if via == "ticket" else []
        got = handshake(app, Sent(path="/socket").with_headers(*given), *offered)

    assert ["websocket.accept", "websocket.close"] == [message["type"] for message in got]
    assert WATCHED[event] == (got[1]["code"], got[1].get("reason") or "")


# Streams of events ----------------------------------------------------------------------------------------------------------


async def as_async(events):
    """Yield the events, as an async program does."""
    for event in events:
        yield event


def starlette_stream(token, events):
    """Return a function that sends requests into an app of Starlette."""
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    from resourcekit_web.starlette import TokenAuth

    auth = TokenAuth(token, supervise=False)

    async def stream(request):
        await auth(request)
        return StreamingResponse(auth.watched(request, as_async(events()), every=MINUTE), media_type="text/event-stream")

    return asgi_sender(auth.install(Starlette(routes=[Route("/stream", stream)])))


def fastapi_stream(token, events):
    """Return a function that sends requests into an app of FastAPI."""
    from fastapi import FastAPI, Request
    from starlette.responses import StreamingResponse

    from resourcekit_web.fastapi import TokenAuth

    auth = TokenAuth(token, supervise=False)
    app = auth.install(FastAPI())

    async def stream(request):
        await auth(request)
        return StreamingResponse(auth.watched(request, as_async(events()), every=MINUTE), media_type="text/event-stream")

    stream.__annotations__["request"] = Request
    app.get("/stream")(stream)
    return asgi_sender(app)


def flask_stream(token, events):
    """Return a function that sends requests into an app of Flask."""
    from flask import Flask, Response

    from resourcekit_web.flask import TokenAuth

    app = Flask("shop")
    auth = TokenAuth(token, app, supervise=False)

    @app.get("/stream")
    @auth.required
    def stream():
        return Response(auth.watched(events(), every=MINUTE), mimetype="text/event-stream")

    return wsgi_sender(app)


def quart_stream(token, events):
    """Return a function that sends requests into an app of Quart."""
    from quart import Quart, Response

    from resourcekit_web.quart import TokenAuth

    app = Quart("shop")
    auth = TokenAuth(token, app, supervise=False)

    @app.get("/stream")
    @auth.required
    async def stream():
        return Response(auth.watched(as_async(events()), every=MINUTE), mimetype="text/event-stream")

    return asgi_sender(app)


def litestar_stream(token, events):
    """Return a function that sends requests into an app of Litestar."""
    from litestar import Litestar, Request, get
    from litestar.response import Stream

    from resourcekit_web.litestar import SignedIn, TokenPlugin

    auth = TokenPlugin(token, supervise=False)

    @get("/stream")
    async def stream(request: Request, signed_in: SignedIn) -> Stream:
        return Stream(auth.watched(request, as_async(events()), every=MINUTE), media_type="text/event-stream")

    names = {"Request": Request, "SignedIn": SignedIn, "Stream": Stream}
    return asgi_sender(Litestar([stream], plugins=[auth], signature_namespace=names, logging_config=None))


def django_stream(token, events):
    """Return a function that sends requests into a project of Django."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import StreamingHttpResponse
    from django.test import override_settings
    from django.urls import path

    from resourcekit_web.django import watched
    from resourcekit_web.django.decorators import required
    from tests.support.web_apps import django_app

    @required
    def stream(request):
        return StreamingHttpResponse(watched(request, events(), every=MINUTE), content_type="text/event-stream")

    django_app(token)

    def send(sent):
        with override_settings(ROOT_URLCONF=(path("stream", stream),)):
            return wsgi_sender(WSGIHandler())(sent)

    return send


STREAMS = {
    "starlette": starlette_stream,
    "fastapi": fastapi_stream,
    "flask": flask_stream,
    "quart": quart_stream,
    "litestar": litestar_stream,
    "django": django_stream,
}
FIRST, SECOND, THIRD = b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"


@pytest.fixture(params=STREAMS)
def streaming(request):
    """The function that makes an app of each framework with a stream."""
    return STREAMS[request.param]


def streamed(token, streaming, happens):
    """Return the answer of a stream of three events a minute, and what happens between the first two of them."""
    access = token.issue_pair("alice").access.token
    with ManualClock(everywhere=True) as clock:

        def events():
            yield FIRST
            clock.advance(MINUTE)
            happens(clock, access)
            yield SECOND
            clock.advance(MINUTE)
            yield THIRD

        return streaming(token, events)(Sent(path="/stream", headers=(("authorization", f"Bearer {access}".encode()),)))


def test_a_stream_of_events_goes_on_for_its_user(token, streaming):
    """Checks change nothing for a user who stays signed in."""
    reply = streamed(token, streaming, lambda clock, access: None)

    assert (200, FIRST + SECOND + THIRD) == (reply.status, reply.body)
    assert "text/event-stream" in reply.header("content-type")


@pytest.mark.parametrize("how", ["signed out", "signed out everywhere", "expired"])
def test_a_stream_of_events_ends_with_its_sign_in(token, streaming, how):
    """No event reaches a user whose token has expired or was revoked longer ago than a check."""

    def happens(clock, access):
        if how == "signed out":
            token.revoke(access)
        elif how == "expired":
            clock.advance(minutes=16)
        else:
            token.log_out_everywhere("alice")

    reply = streamed(token, streaming, happens)

    assert (200, FIRST) == (reply.status, reply.body)


def test_a_stream_of_events_ends_when_the_store_is_away(token, streaming, tmp_path):
    """A user whose sign-in cannot be checked gets no further event."""
    file = tmp_path / "tokens.db"
    kept = declare_tokens(SQL(f"sqlite:///{file}"), storage=True)

    def happens(clock, access):
        with sqlite3.connect(file) as connection:
            (name,) = connection.execute("select name from sqlite_master where type = 'table' and name like 'token%'").fetchone()
            connection.execute(f'alter table "{name}" rename to "away"')

    reply = streamed(kept, streaming, happens)

    assert (200, FIRST) == (reply.status, reply.body)


def test_a_stream_needs_a_user(token, streaming):
    """A visitor gets no stream."""
    reply = streaming(token, lambda: iter([FIRST]))(Sent(path="/stream"))

    assert (401, "missing_token") == (reply.status, reply.code)
