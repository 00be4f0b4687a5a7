"""The server that a URL leads to: two URLs of one server give one value, however they are written."""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import Final

from sqlalchemy.engine import URL

__all__ = ["first", "server_of"]

_THIS_HOST: Final = frozenset({"", "localhost", "127.0.0.1", "::1", "[::1]"})


def first(given: str | tuple[str, ...] | None) -> str:
    """Return a parameter of a URL as one text; ``""`` if the URL does not have it."""
    return given if isinstance(given, str) else ",".join(given or ())


def server_of(url: URL, default_port: str) -> Hashable:
    """Return a value that is equal for URLs that lead to one server, judged by their texts.

    Two host names of one server are not recognized here; the server itself is asked when storage is created.
    """
    query = url.query
    socket = first(query.get("unix_socket"))
    if socket:
        return os.path.realpath(socket)
    hosts = (first(query.get("hostaddr")) or first(query.get("host")) or url.host or "").split(",")
    ports = (first(query.get("port")) or str(url.port or default_port)).split(",")
    found: set[tuple[str, str]] = set()
    for number, given in enumerate(hosts):
        host, _, port = given.partition(":") if given.count(":") == 1 else (given, "", "")
        name = host.strip().lower().rstrip(".")
        port = port or ports[number if number < len(ports) else -1]
        found.add(("localhost" if name in _THIS_HOST or name.startswith("/") else name, port or default_port))
    return frozenset(found)
