"""Addresses of Redis servers: URLs of users, and those that a cluster names.

A maintainer opens it to change which URLs mean one server.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = [
    "Address",
    "elsewhere",
    "place_of",
]


Address = str
"""A URL: one that the user gave, or one with a host and port that a cluster named."""


def elsewhere(address: Address, host: str, port: int) -> Address:
    """Return the URL with the host and port that a cluster named. An empty host means the host that was asked."""
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    login, at, place = authority.rpartition("@")
    return f"{scheme}://{login}{at}{host or place.rpartition(':')[0]}:{port}{slash}{path}"


_LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1"})


def place_of(urls: Iterable[str]) -> Hashable:
    """Return servers and databases of URLs, without login and options, and with the defaults of redis-py."""
    return frozenset(_place(url) for url in urls)


def _place(url: str) -> tuple[str, int, int]:
    parts = urlsplit(url)
    asked = parse_qs(parts.query).get("db")
    if parts.scheme == "unix":
        return os.path.realpath(unquote(parts.path)), 0, int(asked[0]) if asked else 0
    host = (parts.hostname or "").rstrip(".")
    named = asked[0] if asked else unquote(parts.path).strip("/")
    return "localhost" if host in _LOOPBACK else host, parts.port or 6379, int(named or 0)
