"""Sends requests to real servers byte for byte, by a socket: what no HTTP client would send can be sent too."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from tests.support.web_requests import HOST, Reply, Sent

__all__ = ["exchanged", "handshaken", "socket_sender"]

_TIME_LIMIT = 60  # seconds that a busy machine may take


def exchanged(port: int, *parts: bytes) -> bytes:
    """Send bytes, and return what the server sends until it closes the connection; empty if it resets it without an answer."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), _TIME_LIMIT) as connection, contextlib.suppress(ConnectionError):
        with contextlib.suppress(ConnectionError):  # a server may answer before it has read all
            for part in parts:
                connection.sendall(part)
        while more := connection.recv(65_536):
            found += more
    return found


def lines_of(sent: Sent, *more: bytes) -> bytes:
    """Return the head of a request."""
    place = sent.path.encode() + (b"?" + sent.query if sent.query else b"")
    headers = [name.encode() + b": " + value for name, value in (HOST, *sent.headers)]
    return b"\r\n".join([sent.method.encode() + b" " + place + b" HTTP/1.1", *headers, *more, b"", b""])


def reply_of(answered: bytes) -> Reply:
    """Return the response that a server has sent; its status is 0 for none."""
    if not answered.startswith(b"HTTP/1."):
        return Reply(status=0, headers=(), body=answered)
    head, _, body = answered.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
    if ("transfer-encoding", "chunked") in headers:
        body = _joined(body)
    return Reply(status=int(status.split()[1]), headers=headers, body=body)


def socket_sender(port: int) -> Callable[[Sent], Reply]:
    """Return a function that sends a request to a server at a port of this machine."""

    def send(sent: Sent) -> Reply:
        length = (b"content-length: " + str(len(sent.body)).encode(),) if sent.body or sent.method == "POST" else ()
        return reply_of(exchanged(port, lines_of(sent, b"connection: close", *length), sent.body))

    return send


def handshaken(port: int, *headers: tuple[str, bytes], subprotocols: str = "") -> Reply:
    """Return the answer to the handshake of a websocket. An accepted one is closed at once."""
    given = [
        b"connection: Upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: " + b"A" * 22 + b"==",
    ]
    if subprotocols:
        given.append(b"sec-websocket-protocol: " + subprotocols.encode())
    with socket.create_connection(("127.0.0.1", port), _TIME_LIMIT) as connection:
        connection.sendall(lines_of(Sent(path="/socket", headers=headers), *given))
        found = b""
        while b"\r\n\r\n" not in found and (more := connection.recv(65_536)):
            found += more
    return reply_of(found)


def _joined(body: bytes) -> bytes:
    """Return a body that was sent in chunks."""
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.partition(b";")[0] or b"0", 16)
        if not length:
            break
        found, body = found + rest[:length], rest[length + 2 :]
    return found
