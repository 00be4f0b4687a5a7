"""Servers that may be frozen, cut off and restarted, and calls to them, sync and async."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Domain, context
from resourcekit.data_layers import SQL, Repo
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support import valkey
from tests.support.callers import Caller
from tests.support.databases import MISSING, Database, scratch
from tests.support.mariadb import MariaDB
from tests.support.notes import declared
from tests.support.postgres import Postgres
from tests.support.servers import Server

SERVERS: dict[str, Callable[..., Any]] = {"postgresql": Postgres, "mariadb": MariaDB}
SECRET = secrets.token_urlsafe(48)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.fault)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Iterator[Caller]:
    """A way to call functions of the framework, in each call mode."""
    caller = Caller(request.param)
    yield caller
    caller.close()


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database on a server that others use, too."""
    with scratch(request.param, tmp_path) as place:
        yield place


def started(kind: str, *options: str) -> Server:
    """Start a server of our own; skips the test where its programs are missing, and fails it under CI."""
    try:
        server: Server = SERVERS[kind](*options)
        server.start()
    except LookupError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{MISSING}{missing}")
        pytest.skip(f"{MISSING}{missing}")
    return server


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Server]]:
    """Servers of this run, by kind, each started when it is first needed."""
    kept: dict[str, Server] = {}
    yield kept
    for server in kept.values():
        server.remove()


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Iterator[Any]:
    """A server that a test may freeze, restart or cut off; it runs again afterwards."""
    if request.param not in servers:
        servers[request.param] = started(request.param)
    own: Any = servers[request.param]
    yield own
    if own.is_running:
        own.thaw()
    else:
        own.start()


@pytest.fixture
def own_mariadb() -> Iterator[Callable[..., Server]]:
    """A function that starts a MariaDB server with settings of its own."""
    made: list[Server] = []

    def start(*options: str) -> Server:
        made.append(started("mariadb", *options))
        return made[-1]

    yield start
    for server in made:
        server.remove()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Callable[..., valkey.Valkey]]:
    """A function that starts a Valkey server."""
    if valkey.binary() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}a Valkey server")
    made: list[valkey.Valkey] = []

    def start(*options: str) -> valkey.Valkey:
        made.append(valkey.Valkey(tmp_path / f"valkey{len(made)}", *options).start())
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def declare_note() -> Callable[..., Any]:
    """A function that declares a small resource on a database, its storage made, in a table of its own."""
    return lambda place, **more: declared(place, f"notes_{secrets.token_hex(6)}", **more)


@pytest.fixture
def declare_token() -> Callable[..., Any]:
    """A function that declares a token resource on a database, its storage made, in a table of its own."""
    kept: list[Any] = []

    def make(place: Any, **options: Any) -> Any:
        domain = Domain(f"tokens {len(kept)}")
        layer = SQL(place, table=f"tokens_{secrets.token_hex(6)}") if isinstance(place, (str, Repo)) else place

        class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(jwt=JWT(SECRET), **options)]):
            """Tokens of a test."""

        Token.__qualname__ = f"Token{id(domain)}"
        kept.append((domain, Token))
        with context(deadline=timedelta(seconds=60)):  # the place may have a short timeout, and the machine be busy
            domain.create_storage()
        return Token

    return make
