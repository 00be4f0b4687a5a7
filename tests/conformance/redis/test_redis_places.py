"""Resources on one server: apart, or refused, however their places are written."""

from __future__ import annotations

import secrets

import pytest

from resourcekit import Domain
from resourcekit.data_layers import Redis
from resourcekit.errors import DeclarationError
from resourcekit_tokens import TokenRecord, TokenResource


def declare_one(layer):
    """Return a token resource, its storage created."""
    domain = Domain(f"one-{secrets.token_hex(4)}")

    class One(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource]):
        """Tokens."""

    domain.create_storage()
    return One


def declare_other(layer):
    """Return another token resource, its storage created."""
    domain = Domain(f"other-{secrets.token_hex(4)}")

    class Other(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource]):
        """Tokens."""

    domain.create_storage()
    return Other


@pytest.mark.parametrize(
    ("one", "other", "jti", "other_jti"),
    [
        ("app", "app=eu", "eu=j", "j"),
        ("app", "app!keys", "=j", "j"),
        ("app", "app%3Deu", "j", "j"),
        ("app=eu", "app%3Deu", "j", "j"),
        ("app!by", "app", "j", "j"),
        ("app", "APP", "j", "j"),
        ("app", "app ", "j", "j"),
    ],
)
def test_prefixes_are_apart(valkey_server, one, other, jti, other_jti):
    """No name of one is a name of the other, whatever they and the keys are made of."""
    tag = secrets.token_hex(6)
    first = declare_one(Redis(valkey_server.url, tag=tag, prefix=one))
    second = declare_other(Redis(valkey_server.url, tag=tag, prefix=other))
    first.revoke_jti(jti)

    assert [True, False, False] == [first.jti_revoked(jti), second.jti_revoked(other_jti), second.jti_revoked(jti)]


@pytest.mark.parametrize(
    "written",
    [
        "redis://127.0.0.1:{port}",
        "redis://127.0.0.1:{port}/",
        "redis://localhost:{port}/0",
        "redis://LocalHost:{port}/0",
        "redis://:@127.0.0.1:{port}/0",
        "redis://127.0.0.1:{port}/0?socket_timeout=4",
        "redis://127.0.0.1:{port}/7?db=0",
        "redis://0.0.0.0:{port}/0",
    ],
)
def test_one_place_that_is_written_in_two_ways_is_refused(valkey_server, written):
    """By its text, or by what the server says of itself when storage is created."""
    tag = secrets.token_hex(6)
    first = declare_one(Redis(valkey_server.url, tag=tag, prefix="t"))
    with pytest.raises(DeclarationError) as refused:
        declare_other(Redis(written.format(port=valkey_server.port), tag=tag, prefix="t"))

    assert "RK051" == refused.value.code
    assert first.jti_revoked("a") is False


def test_nodes_of_one_cluster_are_one_place(valkey_cluster):
    """Each node leads to the records, so the marker identifies the place."""
    tag = secrets.token_hex(6)
    first = declare_one(Redis(valkey_cluster[0].url, tag=tag, prefix="t"))
    with pytest.raises(DeclarationError, match="RK051"):
        declare_other(Redis(valkey_cluster[1].url, tag=tag, prefix="t"))

    assert first.jti_revoked("a") is False


def test_databases_of_one_server_are_apart(valkey_server):
    """The number counts."""
    tag = secrets.token_hex(6)
    first = declare_one(Redis(valkey_server.url, tag=tag, prefix="t"))
    second = declare_other(Redis(valkey_server.url.replace("/0", "/1"), tag=tag, prefix="t"))
    first.revoke_jti("a")

    assert (True, False) == (first.jti_revoked("a"), second.jti_revoked("a"))


@pytest.mark.parametrize("names", [{"tag": "\ud800"}, {"prefix": "\udfff"}])
def test_names_that_no_server_can_hold_are_refused(names):
    """At the declaration."""
    with pytest.raises(DeclarationError, match="RK162"):
        Redis("redis://localhost", **names)
