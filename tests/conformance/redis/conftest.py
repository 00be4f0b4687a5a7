"""Servers for the tests of the Redis layer: the machine's own, Valkey from a wheel, and a cluster of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator

import pytest
import redis

from resourcekit.data_layers import Redis
from tests.support import valkey


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory) -> Iterator[valkey.Valkey]:
    """A Valkey server that keeps what it acknowledged."""
    if valkey.binary() is None:
        _missing("a Valkey server")
    server = valkey.Valkey(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory) -> Iterator[list[valkey.Valkey]]:
    """Three Valkey nodes that share the slots."""
    if valkey.binary() is None:
        _missing("a Valkey server")
    nodes = valkey.cluster(tmp_path_factory.mktemp("cluster"))
    yield nodes
    for node in nodes:
        node.stop()


@pytest.fixture
def own_valkey(tmp_path) -> Iterator[Callable[..., valkey.Valkey]]:
    """A function that starts a server which the test may kill, freeze, or configure badly."""
    if valkey.binary() is None:
        _missing("a Valkey server")
    started: list[valkey.Valkey] = []

    def start(*options: str) -> valkey.Valkey:
        server = valkey.Valkey(tmp_path / f"valkey{len(started)}", *options).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def tags() -> Iterator[set[str]]:
    """The tags that tests use on the machine's own server; what they leave there is removed at the end."""
    used: set[str] = set()
    yield used
    if used and (url := valkey.machine_url()) is not None:
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(match="{test-*", count=10_000):
                if key[1:].partition(b"}")[0].decode() in used:
                    client.unlink(key)


@pytest.fixture(params=["valkey", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("redis", "cluster"))])
def redis_layer(request, tags) -> Callable[[], Redis]:
    """A function that makes a layer on each kind of server; those of one test share a tag."""
    tag = f"test-{secrets.token_hex(6)}"
    tags.add(tag)
    if request.param == "redis":
        url = valkey.machine_url()
        if url is None:
            _missing("a Redis server on port 6379")
        return lambda **options: Redis(url, tag=tag, accept=["appendonly"], **options)
    if request.param == "valkey":
        return lambda **options: Redis(request.getfixturevalue("valkey_server").url, tag=tag, **options)
    urls = [node.url for node in request.getfixturevalue("valkey_cluster")]
    return lambda **options: Redis(urls, tag=tag, **options)
