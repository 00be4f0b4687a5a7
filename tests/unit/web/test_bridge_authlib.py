"""Authlib issues, checks, introspects, rotates and revokes by a token resource."""

from __future__ import annotations

import base64

import pytest

from resourcekit.data_layers import SQL, Memory
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens

SECRET = "a-secret-for-bridges-that-is-long-enough-0123456789-abcdefghij"


class Client:
    """A client of an authorization server, as Authlib sees it."""

    def __init__(self, name):
        self.name = name

    def get_client_id(self):
        return self.name

    def get_allowed_scope(self, scope):
        return " ".join(each for each in scope.split() if each != "admin")

    def check_client_secret(self, secret):
        return secret == f"secret-of-{self.name}"

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant):
        return grant in ("password", "client_credentials", "refresh_token")


class Person:
    """A user, as Authlib sees it."""

    def get_user_id(self):
        return 7


@pytest.fixture
def oauth_app():
    """An authorization server and a resource server of Authlib in one app of Flask, and its token resource."""
    return oauth_app_of(declare_tokens(Memory(), jwt=JWT(SECRET)))


def oauth_app_of(token):
    """Return a client of both servers over a token resource, and the resource."""
    from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
    from authlib.oauth2.rfc6749 import grants
    from flask import Flask, jsonify

    from resourcekit_web.bridges import authlib as ours

    class Password(grants.ResourceOwnerPasswordCredentialsGrant):
        def authenticate_user(self, username, password):
            return Person() if (username, password) == ("alice", "wonderland") else None

    app = Flask("oauth")
    clients = {name: Client(name) for name in ("shop", "other")}
    server = AuthorizationServer(app, query_client=clients.get, save_token=lambda token, request: None)
    server.register_token_generator("default", ours.TokenGenerator(token))
    server.register_grant(Password)
    server.register_grant(grants.ClientCredentialsGrant)
    server.register_grant(ours.refresh_grant(token, user_of=lambda subject: Person()))
    server.register_endpoint(ours.RevocationEndpoint(token))
    server.register_endpoint(ours.IntrospectionEndpoint(token))
    protect = ResourceProtector()
    protect.register_token_validator(ours.TokenValidator(token))
    app.post("/token", endpoint="token")(server.create_token_response)
    app.post("/revoke", endpoint="revoke")(lambda: server.create_endpoint_response("revocation"))
    app.post("/introspect", endpoint="introspect")(lambda: server.create_endpoint_response("introspection"))

    @app.get("/orders")
    @protect("read")
    def orders():
        return jsonify(sub=current_token.get_user())

    return app.test_client(), token


def asked(client, path, name="shop", **form):
    """Send a form as a client of the authorization server."""
    credentials = base64.b64encode(f"{name}:secret-of-{name}".encode()).decode()
    return client.post(path, data=form, headers={"Authorization": f"Basic {credentials}"})


def test_authlib_issues_checks_and_revokes_by_the_resource(oauth_app):
    """Grant, protected view, introspection and revocation work; another client neither sees nor revokes a token."""
    client, _ = oauth_app
    grant = {"grant_type": "password", "username": "alice", "password": "wonderland", "scope": "read"}
    made = asked(client, "/token", **grant).json
    narrow = asked(client, "/token", **{**grant, "scope": "write"}).json
    bearer, short = ({"Authorization": f"Bearer {each['access_token']}"} for each in (made, narrow))
    seen = [client.get("/orders", headers=headers).status_code for headers in (bearer, short, {"Authorization": "Bearer x.y.z"})]
    shown = asked(client, "/introspect", token=made["access_token"]).json
    refresh = asked(client, "/introspect", token=made["refresh_token"]).json
    hidden = asked(client, "/introspect", "other", token=made["access_token"]).json
    foreign = asked(client, "/revoke", "other", token=made["access_token"]).status_code
    between = client.get("/orders", headers=bearer)
    revoked = asked(client, "/revoke", token=made["refresh_token"]).status_code

    assert ("Bearer", "read", 900) == (made["token_type"], made["scope"], made["expires_in"])
    assert [200, 403, 401] == seen
    assert {"active": True, "sub": "7", "scope": "read", "client_id": "shop", "token_type": "Bearer"}.items() <= shown.items()
    assert (True, False) == (refresh["active"], "token_type" in refresh)
    assert ({"active": False}, 400) == (hidden, foreign)
    assert ({"sub": "7"}, 200, 401) == (between.json, revoked, client.get("/orders", headers=bearer).status_code)
    assert {"active": False} == asked(client, "/introspect", token=made["access_token"]).json
    assert 200 == asked(client, "/revoke", token="unknown").status_code


@pytest.mark.parametrize("asks_for", ["read admin", "admin"])
def test_authlib_gives_a_client_no_scope_that_it_may_not_have(oauth_app, asks_for):
    """The client decides (``get_allowed_scope``); answer, token and the tokens of a rotation have the scopes that are left."""
    client, token = oauth_app
    made = asked(client, "/token", grant_type="password", username="alice", password="wonderland", scope=asks_for).json
    turned = asked(client, "/token", grant_type="refresh_token", refresh_token=made["refresh_token"]).json
    left = asks_for.partition("admin")[0].strip() or None

    assert [left] * 2 == [each.get("scope") for each in (made, turned)]
    assert [left] * 2 == [token.verify(each["access_token"]).get("scope") for each in (made, turned)]


def test_authlib_rotates_and_ends_a_sign_in_whose_refresh_token_is_reused(oauth_app):
    """A refresh token is used once; the second use is invalid_grant and ends the sign-in. Clients without users sign in as themselves."""
    client, token = oauth_app
    made = asked(client, "/token", grant_type="password", username="alice", password="wonderland", scope="read").json
    turned = asked(client, "/token", grant_type="refresh_token", refresh_token=made["refresh_token"])
    stolen = asked(client, "/token", "other", grant_type="refresh_token", refresh_token=turned.json["refresh_token"])
    reused = asked(client, "/token", grant_type="refresh_token", refresh_token=made["refresh_token"])
    machine = asked(client, "/token", grant_type="client_credentials").json["access_token"]

    assert (200, "read") == (turned.status_code, turned.json["scope"])
    assert [(400, "invalid_grant")] * 2 == [(each.status_code, each.json["error"]) for each in (stolen, reused)]
    assert token.token_revoked(turned.json["access_token"])
    assert "shop" == token.verify(machine).subject


def test_authlib_answers_503_if_the_store_is_away(oauth_app):
    """Each endpoint and each protected view says when to try again, and none says that the token is bad."""
    client, _ = oauth_app
    grant = {"grant_type": "password", "username": "alice", "password": "wonderland", "scope": "read"}
    made = asked(client, "/token", **grant).json
    away = declare_tokens(SQL("postgresql://user@127.0.0.1:9/nothing", table="away_authlib"), jwt=JWT(SECRET), storage=False)
    cut, _ = oauth_app_of(away)

    replies = [
        asked(cut, "/token", **grant),
        asked(cut, "/token", grant_type="client_credentials", scope="read"),
        asked(cut, "/token", grant_type="refresh_token", refresh_token=made["refresh_token"]),
        asked(cut, "/introspect", token=made["access_token"]),
        asked(cut, "/revoke", token=made["access_token"]),
        cut.get("/orders", headers={"Authorization": f"Bearer {made['access_token']}"}),
    ]

    assert [(503, "5")] * 6 == [(reply.status_code, reply.headers.get("Retry-After")) for reply in replies]
