"""Helpers for the tests of an app: a signed-in test client, without a switch in the app's code."""

from __future__ import annotations

from collections.abc import Generator, Iterable, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.extending import is_async_function

__all__ = ["acting_as"]


@contextmanager
def acting_as(resource: Any, client: Any, subject: str, *, scopes: Iterable[str] = (), fresh: bool = False) -> Generator[None]:
    """Let a test client send a real token of a subject with each request in the block.

    client: of httpx, Starlette, FastAPI, Litestar, Flask, Quart or Django. scopes: of the token. fresh: whether the password was
    entered just now; such a token belongs to a session.
    """
    claims: dict[str, Any] | None = {"scope": " ".join(scopes)} if scopes else None
    issued = resource.issue_pair(subject, claims=claims).access if fresh else resource.issue(subject, claims=claims)
    with _sending(client, f"Bearer {issued.token}"):
        yield


def _sending(client: Any, value: str) -> AbstractContextManager[None]:
    """Let a test client send an Authorization header with each request."""
    if hasattr(client, "environ_base"):  # Flask
        return _with_entry(client.environ_base, "HTTP_AUTHORIZATION", value)
    if hasattr(client, "defaults") and hasattr(client, "cookies"):  # Django
        is_async = is_async_function(client.request)
        return _with_entry(client.defaults, "authorization" if is_async else "HTTP_AUTHORIZATION", value)
    if hasattr(client, "http_connection_class") and hasattr(client, "websocket_connection_class"):  # Quart
        return _with_connections(client, value.encode())
    if hasattr(client, "headers"):  # httpx, and the clients that are built on it
        return _with_entry(client.headers, "Authorization", value)
    message = "is no test client that is known here; send the header Authorization yourself"
    raise InvalidArgument(FieldFinding("client", message), action="acting_as")


@contextmanager
def _with_entry(place: MutableMapping[str, Any], name: str, value: str) -> Generator[None]:
    """Put the header into the mapping of those that a client sends with each request."""
    before = place.get(name)
    place[name] = value
    try:
        yield
    finally:
        if before is None:
            del place[name]
        else:
            place[name] = before


@contextmanager
def _with_connections(client: Any, value: bytes) -> Generator[None]:
    """Put the header into the scope of each connection of a client that keeps none. One that a request gives itself stays."""
    kinds = {name: getattr(client, name) for name in ("http_connection_class", "websocket_connection_class")}

    def connecting(kind: Any) -> Any:
        def connect(app: Any, scope: Any, **options: Any) -> Any:
            names = {name.lower() for name, _ in scope["headers"]}
            added = [] if b"authorization" in names else [(b"authorization", value)]
            return kind(app, {**scope, "headers": [*scope["headers"], *added]}, **options)

        return connect

    for name, kind in kinds.items():
        setattr(client, name, connecting(kind))
    try:
        yield
    finally:
        for name, kind in kinds.items():
            setattr(client, name, kind)
