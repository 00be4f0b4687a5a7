"""Clients that others wrote, against the endpoints of RFC 7009, RFC 7662 and the refresh under real servers."""

from __future__ import annotations

import secrets

import pytest
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.support.web_hosts import Host, serving

pytestmark = pytest.mark.slow

CLIENTS = {
    "billing": "a-secret-of-a-client-0123456789",
    "odd": "b+/4%2Bx:y=ä-0123456789",  # as from `openssl rand -base64`, and worse: few clients encode it as RFC 6749 says
}
SLOW = ("starlette", "quart", "litestar", "django")


@pytest.fixture(scope="module", params=["fastapi", "flask", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def host(request, tmp_path_factory):
    """A token resource, and the address of an app of each framework on it."""
    folder = tmp_path_factory.mktemp("oauth")
    host = Host(
        framework=request.param,
        url=f"sqlite:///{folder}/tokens.db",
        table="tokens",
        keys=[("first", "HS256", secrets.token_urlsafe(48))],
        clients=CLIENTS,
    )
    token = host.resource(storage=True)
    with serving(folder, host) as (address,):
        yield token, address


@pytest.fixture(autouse=True)
def _loopback(monkeypatch):
    """requests-oauthlib demands https unless the environment declares a test."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def as_answered(pair, **changed):
    """Return a pair as the answer of a token endpoint."""
    answer = {"access_token": pair.access.token, "refresh_token": pair.refresh.token, "token_type": "Bearer", "expires_in": 900}
    return {**answer, **changed}


def test_requests_oauthlib_refreshes_by_itself(host):
    """A token that the client holds for expired is refreshed before the request, and once it is revoked the view refuses it."""
    token, address = host
    kept = []
    session = OAuth2Session(
        "billing",
        token=as_answered(token.issue_pair("alice"), expires_in=-1),
        auto_refresh_url=f"{address}/auth/refresh",
        token_updater=kept.append,
    )

    seen = session.get(f"{address}/me").json()

    (new,) = kept
    assert ({"sub": "alice"}, "Bearer", 900) == (seen, new["token_type"], round(new["expires_in"], -2))
    session.auto_refresh_url, session.token = None, new
    url, headers, body = session._client.prepare_token_revocation_request(
        f"{address}/auth/token/revoke", new["refresh_token"], "refresh_token"
    )
    done = session.post(url, data=body, headers=headers, auth=HTTPBasicAuth("billing", CLIENTS["billing"]))
    assert (200, 401) == (done.status_code, session.get(f"{address}/me").status_code)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("name", CLIENTS)
def test_authlib_refreshes_introspects_and_revokes(host, name, method):
    """Both ways of client authentication work, for a secret of any characters, and a revoked token is inactive."""
    token, address = host
    session = AuthlibSession(name, CLIENTS[name], token_endpoint_auth_method=method, revocation_endpoint_auth_method=method)
    session.introspection_endpoint_auth_method = method
    pair = token.issue_pair("alice", claims={"scope": "read"})

    new = session.refresh_token(f"{address}/auth/refresh", refresh_token=pair.refresh.token)
    introspect, revoke = f"{address}/auth/token/introspect", f"{address}/auth/token/revoke"
    facts = session.introspect_token(introspect, new["access_token"], token_type_hint="access_token").json()
    hinted = session.introspect_token(introspect, new["refresh_token"], token_type_hint="refresh_token").json()
    done = session.revoke_token(revoke, new["access_token"], token_type_hint="access_token")
    again = session.revoke_token(revoke, "no token at all")

    assert {"active": True, "sub": "alice", "scope": "read", "token_type": "Bearer"}.items() <= facts.items()
    assert (True, "alice") == (hinted["active"], hinted["sub"])
    assert ([200, 200], [b"", b""]) == ([done.status_code, again.status_code], [done.content, again.content])
    after = [session.introspect_token(introspect, new[kind]).json() for kind in ("access_token", "refresh_token")]
    assert [{"active": False}] * 2 == after


def test_authlib_learns_that_its_secret_is_wrong(host):
    """The answer is that of RFC 6749 for a client that is not known: 401, a challenge, ``invalid_client``."""
    _, address = host
    session = AuthlibSession("billing", "not the secret of this client")

    replies = [
        session.revoke_token(f"{address}/auth/token/revoke", "x"),
        session.introspect_token(f"{address}/auth/token/introspect", "x"),
    ]

    assert [(401, {"error": "invalid_client"})] * 2 == [(reply.status_code, reply.json()) for reply in replies]
    assert all(reply.headers["www-authenticate"].startswith("Basic ") for reply in replies)
