"""A TCP proxy to a server that a test can cut, stall, slow down or deafen at a chosen moment."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import make_url

__all__ = ["Proxy", "proxied"]

_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: the other side learns at once that the connection is gone."""


class _Pair:
    """One connection of a client, and its counterpart to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.is_forgotten = False

    def close(self) -> None:
        """Cut both sides."""
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            side.close()


class Proxy:
    """Listen on a port and pass on what arrives, until the test changes that.

    listener: a socket to listen on, as of another network; one on 127.0.0.1 unless given. address: host and port.
    """

    def __init__(self, port: int, listener: socket.socket | None = None) -> None:
        self._port = port
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._lock = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: list[_Pair] = []
        self._trigger, self._what = b"", ""
        self._is_over = False
        self.is_stalled = self.is_deaf = False
        self.crumbs = 0.0
        self.accepted = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, url: str) -> str:
        """Return a URL that leads through here."""
        host, port = self.address
        return make_url(url).set(host=host, port=port).render_as_string(hide_password=False)

    def lead_to(self, port: int) -> None:
        """Lead new connections to another server, as a name or an address does after a failover; others stay where they are."""
        self._port = port

    def cut(self) -> None:
        """Cut all connections now; new ones are let through."""
        with self._lock:
            for pair in list(self._pairs):
                self._drop(pair)

    def when_sent(self, text: bytes, what: str) -> None:
        """Do something once a client sends this text.

        "cut before": the text does not arrive. "cut after": the server has answered it, and the answer is lost. "stall":
        nothing passes any more, the text included. "forget": the same, for this one connection and until its end.
        """
        self._trigger, self._what = text, what

    @property
    def has_happened(self) -> bool:
        """Whether what was to be done once a text is sent was done."""
        return not self._trigger

    def stall(self) -> None:
        """Let nothing pass, in neither direction; neither side is notified."""
        self.is_stalled = True

    def deafen(self) -> None:
        """Pass questions on and throw answers away."""
        self.is_deaf = True

    def crumble(self, pause: float) -> None:
        """Pass each answer on byte by byte, with a pause of so many seconds after each."""
        self.crumbs = pause

    def heal(self) -> None:
        """Pass everything on again."""
        self.is_stalled, self.is_deaf, self.crumbs, self._trigger = False, False, 0.0, b""

    def close(self) -> None:
        """End."""
        self._is_over = True
        self._thread.join(5)
        self.cut()
        self._listener.close()
        self._selector.close()

    def _drop(self, pair: _Pair) -> None:
        if pair in self._pairs:
            self._pairs.remove(pair)
            self._selector.unregister(pair.client)
            self._selector.unregister(pair.server)
            pair.close()

    def _serve(self) -> None:
        while not self._is_over:
            if self.is_stalled:
                time.sleep(0.005)  # what lies in the sockets stays there
                continue
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if key.data is None:
                        self._accept()
                    elif key.data in self._pairs:
                        self._pass(key.data, from_client=key.fileobj is key.data.client)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.accepted += 1
        try:
            server = socket.create_connection(("127.0.0.1", self._port), 2)
        except OSError:
            client.close()
            return
        pair = _Pair(client, server)
        self._pairs.append(pair)
        self._selector.register(client, selectors.EVENT_READ, pair)
        self._selector.register(server, selectors.EVENT_READ, pair)

    def _pass(self, pair: _Pair, *, from_client: bool) -> None:
        source, target = (pair.client, pair.server) if from_client else (pair.server, pair.client)
        try:
            data = source.recv(1 << 16)
            if not data:
                self._drop(pair)
            elif pair.is_forgotten:
                return
            elif from_client and self._trigger and self._trigger in data:
                self._trigger = b""
                self._do(self._what, pair, data)
            elif from_client or not (self.is_deaf or self.crumbs):
                target.sendall(data)
            elif self.crumbs:
                self._crumble(target, data)
        except OSError:
            self._drop(pair)

    def _do(self, what: str, pair: _Pair, data: bytes) -> None:
        if what == "forget":
            pair.is_forgotten = True
            return
        if what == "stall":
            self.is_stalled = True
            return
        if what == "cut after":
            pair.server.sendall(data)
            pair.server.recv(1 << 16)  # by now it has done it
        self._drop(pair)

    def _crumble(self, target: socket.socket, data: bytes) -> None:
        for number in range(len(data)):
            target.sendall(data[number : number + 1])
            time.sleep(self.crumbs)  # real time is what is tested
            if self._is_over or not self.crumbs:
                target.sendall(data[number + 1 :])
                return


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """Yield a proxy before the server of a URL, and the URL that leads through it."""
    made = make_url(url)
    port = made.port or {"postgresql": 5432, "mariadb": 3306, "redis": 6379}[made.get_backend_name()]
    proxy = Proxy(port)
    try:
        yield proxy, proxy.url(url)
    finally:
        proxy.close()
