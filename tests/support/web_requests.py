"""Sends requests into ASGI and WSGI apps without a server, byte for byte as a raw socket would. It imports no framework."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["Reply", "Sent", "asgi_sender", "handshake", "wsgi_sender"]

HOST = ("host", b"app.example")


@attrs.frozen(kw_only=True)
class Sent:
    """A request. headers: names in small letters, with values as bytes; Host is added."""

    method: str = "GET"
    path: str = "/me"
    headers: tuple[tuple[str, bytes], ...] = ()
    body: bytes = b""
    query: bytes = b""
    scheme: str = "https"

    def with_headers(self, *headers: tuple[str, bytes]) -> Sent:
        """Return the request with further headers."""
        return attrs.evolve(self, headers=(*self.headers, *headers))


@attrs.frozen(kw_only=True)
class Reply:
    """A response. headers: names in small letters."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of this name."""
        return next((value for key, value in self.headers if key == name), None)

    def cookies(self) -> dict[str, str]:
        """Return the values of the cookies that the response sets."""
        pairs = [value.strip().partition(";")[0].partition("=") for key, value in self.headers if key == "set-cookie"]
        return {name: value.strip('"') for name, _, value in pairs}

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem, None for another body."""
        return self.json["code"] if "problem+json" in (self.header("content-type") or "") else None


def _scope(sent: Sent, kind: str, **more: Any) -> dict[str, Any]:
    headers = [(name.encode(), value) for name, value in (HOST, *sent.headers)]
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": sent.scheme,
        "path": sent.path,
        "raw_path": sent.path.encode(),
        "query_string": sent.query,
        "root_path": "",
        "headers": headers,
        "client": ("203.0.113.9", 4242),
        "server": ("app.example", 443),
        "state": {},
        **more,
    }


def asgi_sender(app: Any) -> Callable[[Sent], Reply]:
    """Return a function that sends a request into an ASGI app, in an event loop of its own."""

    async def send_in(sent: Sent) -> Reply:
        got: list[Any] = []
        asked = [{"type": "http.request", "body": sent.body, "more_body": False}]
        is_answered = asyncio.Event()

        async def receive() -> Any:
            if asked:
                return asked.pop()
            await is_answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            got.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                is_answered.set()

        length = (("content-length", str(len(sent.body)).encode()),) if sent.body or sent.method == "POST" else ()
        await app(_scope(sent.with_headers(*length), "http", method=sent.method), receive, send)
        start = next(message for message in got if message["type"] == "http.response.start")
        body = b"".join(message.get("body", b"") for message in got if message["type"] == "http.response.body")
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"])
        return Reply(status=start["status"], headers=headers, body=body)

    return lambda sent: asyncio.run(send_in(sent))


def handshake(app: Any, sent: Sent, *subprotocols: str) -> list[Any]:
    """Return what an ASGI app sends to a websocket handshake, by a server that can answer one with a response."""

    async def connect() -> list[Any]:
        got: list[Any] = []
        asked = [{"type": "websocket.connect"}]

        async def receive() -> Any:
            return asked.pop() if asked else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            got.append(message)

        more = {"subprotocols": list(subprotocols), "extensions": {"websocket.http.response": {}}}
        offered = (("sec-websocket-protocol", ", ".join(subprotocols).encode()),) if subprotocols else ()
        await app(_scope(attrs.evolve(sent.with_headers(*offered), scheme="wss"), "websocket", **more), receive, send)
        return got

    return asyncio.run(connect())


def wsgi_sender(app: Any) -> Callable[[Sent], Reply]:
    """Return a function that sends a request into a WSGI app. Two headers of one name are joined, as servers do it."""

    def send(sent: Sent) -> Reply:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": sent.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": sent.path,
            "QUERY_STRING": sent.query.decode("latin-1"),
            "SERVER_NAME": "app.example",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "203.0.113.9",
            "CONTENT_LENGTH": str(len(sent.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": sent.scheme,
            "wsgi.input": io.BytesIO(sent.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in (HOST, *sent.headers):
            key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
            text, joint = value.decode("latin-1"), "; " if name == "cookie" else ","
            environ[key] = f"{environ[key]}{joint}{text}" if key in environ else text
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            started[:] = [int(status[:3]), headers]

        answered = app(environ, start_response)
        try:
            body = b"".join(answered)
        finally:
            if hasattr(answered, "close"):
                answered.close()
        headers = tuple((name.lower(), value) for name, value in started[1])
        return Reply(status=started[0], headers=headers, body=body)

    return send
