"""What the suites of Flask-JWT-Extended and FastAPI Users demand of their extension points, of our bridges, with the real packages."""

from __future__ import annotations

import asyncio
import types
import uuid
from datetime import timedelta

import pytest
from fastapi_users.exceptions import InvalidID, UserNotExists
from flask import Flask, jsonify
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
    get_csrf_token,
    get_jwt,
    jwt_required,
    set_access_cookies,
)

from resourcekit.data_layers import Memory
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT
from resourcekit_web.bridges.fastapi_users import TokenStrategy
from resourcekit_web.bridges.flask_jwt_extended import connect
from tests.support.setups import declare_tokens

SECRET = "a-secret-for-bridges-that-is-long-enough-0123456789-abcdefghij"


@pytest.fixture
def keyless():
    """A token resource without keys: the library verifies, and the resource only knows what is revoked."""
    return declare_tokens(Memory(), jwt=None)


@pytest.fixture
def flask_app():
    """An app with a route of each kind that Flask-JWT-Extended has."""
    app = Flask(__name__)
    app.config |= {"JWT_SECRET_KEY": SECRET, "JWT_TOKEN_LOCATION": ["headers", "cookies"]}
    JWTManager(app)
    kinds = {
        "access": {},
        "refresh": {"refresh": True},
        "any": {"verify_type": False},
        "fresh": {"fresh": True},
        "unchecked": {"verify_type": False, "skip_revocation_check": True},
    }
    for name, options in kinds.items():
        app.add_url_rule(f"/{name}", name, jwt_required(**options)(lambda: jsonify(foo="bar")), methods=["GET", "POST"])
    return app


def manager_of(app):
    """Return the manager of an app."""
    return app.extensions["flask-jwt-extended"]


def ask(app, path, token):
    """Return status and body of a request with a token in its header."""
    reply = app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})
    return reply.status_code, reply.json


REVOKED = (401, {"msg": "Token has been revoked"})
PASSED = (200, {"foo": "bar"})


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (create_access_token, "/access"),
        (create_access_token, "/any"),
        (lambda name: create_access_token(name, fresh=True), "/fresh"),
        (create_refresh_token, "/refresh"),
        (create_refresh_token, "/any"),
    ],
    ids=["access", "access of any", "fresh", "refresh", "refresh of any"],
)
def test_each_kind_of_route_refuses_a_revoked_token_only(flask_app, keyless, make, path):
    """A token that is not revoked passes, a revoked one is refused, and a route that skips the check takes it."""
    bridge = connect(manager_of(flask_app), keyless)
    with flask_app.test_request_context():
        revoked, other = make("username"), make("username")
        bridge.revoke(decode_token(revoked))

    assert REVOKED == ask(flask_app, path, revoked)
    assert PASSED == ask(flask_app, path, other)
    assert PASSED == ask(flask_app, "/unchecked", revoked)


@pytest.mark.parametrize("connects_first", [True, False])
def test_an_app_answers_a_revoked_token_in_its_own_way(flask_app, keyless, connects_first):
    """``revoked_token_loader`` gets the header and the claims, whether it is registered before or after the bridge."""
    manager, got = manager_of(flask_app), []

    def own_answer(header, claims):
        got.append((header["alg"], claims["sub"]))
        return jsonify(baz="foo"), 404

    if not connects_first:
        manager.revoked_token_loader(own_answer)
    bridge = connect(manager, keyless)
    if connects_first:
        manager.revoked_token_loader(own_answer)
    with flask_app.test_request_context():
        token = create_access_token("username")
        bridge.revoke(decode_token(token))

    assert (404, {"baz": "foo"}) == ask(flask_app, "/access", token)
    assert [("HS256", "username")] == got


def test_a_token_in_a_cookie_is_refused_too(flask_app, keyless):
    """The way in which a token comes does not matter."""
    bridge = connect(manager_of(flask_app), keyless)

    @flask_app.post("/login")
    def login():
        answer = jsonify()
        set_access_cookies(answer, create_access_token("username"))
        return answer

    @flask_app.post("/out")
    @jwt_required()
    def out():
        bridge.revoke(get_jwt())
        return jsonify()

    client = flask_app.test_client()
    client.post("/login")
    token = client.get_cookie("access_token_cookie").value
    with flask_app.test_request_context():
        csrf = get_csrf_token(token)
    seen = [client.get("/access").status_code, client.post("/out", headers={"X-CSRF-TOKEN": csrf}).status_code]

    assert [200, 200, 401] == [*seen, client.get("/access").status_code]


def test_the_claim_of_the_identity_may_have_another_name(flask_app, keyless):
    """With ``JWT_IDENTITY_CLAIM``, a log-out everywhere finds the subject under that name."""
    flask_app.config["JWT_IDENTITY_CLAIM"] = "identity"
    connect(manager_of(flask_app), keyless, subject_claim="identity")
    with flask_app.test_request_context():
        token, other = create_access_token("username"), create_access_token("other")
    keyless.log_out_everywhere("username")

    assert [REVOKED, PASSED] == [ask(flask_app, "/access", each) for each in (token, other)]


class Manager:
    """A user manager of FastAPI Users with one user."""

    def __init__(self):
        self.user = types.SimpleNamespace(id=uuid.uuid4())

    def parse_id(self, value):
        try:
            return uuid.UUID(value)
        except ValueError as error:
            raise InvalidID from error

    async def get(self, id):  # noqa: A002  # the name is that of FastAPI Users
        if id != self.user.id:
            raise UserNotExists
        return self.user


@pytest.fixture
def strategy():
    """The strategy over a token resource with a key."""
    return TokenStrategy(declare_tokens(Memory(), jwt=JWT(SECRET)), lifetime=timedelta(minutes=5))


def test_a_token_of_the_strategy_leads_to_its_user(strategy):
    """What it wrote it reads, until the token expires."""
    manager = Manager()
    with ManualClock() as clock:
        token = asyncio.run(strategy.write_token(manager.user))
        found = asyncio.run(strategy.read_token(token, manager))
        clock.advance(minutes=6)

        assert manager.user is found
        assert asyncio.run(strategy.read_token(token, manager)) is None


@pytest.mark.parametrize("wrong", ["no token", "garbage", "no id", "unknown user", "other key"])
def test_the_strategy_finds_no_user_for_a_wrong_token(strategy, wrong):
    """It answers None, and raises nothing."""
    manager = Manager()
    tokens = {
        "no token": lambda: None,
        "garbage": lambda: "INVALID",
        "no id": lambda: strategy.resource.issue("no id").token,
        "unknown user": lambda: strategy.resource.issue(str(uuid.uuid4())).token,
        "other key": lambda: declare_tokens(Memory()).issue(str(manager.user.id)).token,
    }

    assert asyncio.run(strategy.read_token(tokens[wrong](), manager)) is None


def test_the_strategy_destroys_a_token_once_and_for_all(strategy):
    """Another token of the user lives on; to destroy it again, or one that is garbage, changes nothing."""
    manager = Manager()
    token, other = (asyncio.run(strategy.write_token(manager.user)) for _ in range(2))
    for each in (token, token, "INVALID"):
        asyncio.run(strategy.destroy_token(each, manager.user))

    assert asyncio.run(strategy.read_token(token, manager)) is None
    assert manager.user is asyncio.run(strategy.read_token(other, manager))
