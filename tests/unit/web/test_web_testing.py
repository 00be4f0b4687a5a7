"""Signed-in test clients: those of each framework, by ``acting_as`` and by the fixture ``signed_in``."""

from __future__ import annotations

import asyncio

import pytest

from resourcekit.errors import InvalidArgument
from resourcekit_web.core import Web
from tests.support.web_apps import APPS


def starlette_client(app):
    """Return the client of Starlette, and of FastAPI."""
    from starlette.testclient import TestClient

    return TestClient(app)


def litestar_client(app):
    """Return the client of Litestar."""
    from litestar.testing import TestClient

    return TestClient(app)


def django_client(app):
    """Return the client of Django."""
    from django.test import Client

    return Client()


def async_django_client(app):
    """Return the async client of Django."""
    from django.test import AsyncClient

    return AsyncClient()


def own_client(app):
    """Return the client that an app of Flask or Quart makes."""
    return app.test_client()


pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with")  # the older of the two packages that Starlette takes

CLIENTS = {
    "starlette": ("starlette", starlette_client),
    "fastapi": ("fastapi", starlette_client),
    "flask": ("flask", own_client),
    "quart": ("quart", own_client),
    "litestar": ("litestar", litestar_client),
    "django": ("django", django_client),
    "async django": ("django", async_django_client),
}


@pytest.fixture(params=CLIENTS)
def client(request, token):
    """A test client of each framework, for an app over the token resource."""
    framework, made = CLIENTS[request.param]
    return made(APPS[framework][0](token))


def status(client, path, **options):
    """Return the status of an answer, also of a client that has to be awaited."""
    answered = client.get(path, **options)
    return (asyncio.run(answered) if asyncio.iscoroutine(answered) else answered).status_code


def test_a_client_of_each_framework_acts_as_a_user(client, token):
    """Inside the block it is signed in, with scopes and a fresh password; afterwards as before."""
    with Web(token).acting_as(client, "alice", scopes=["a:write"], fresh=True):
        inside = [status(client, path) for path in ("/me", "/scoped", "/fresh")]
    with Web(token).acting_as(client, "alice"):
        plain = [status(client, path) for path in ("/me", "/scoped", "/fresh")]

    assert ([200, 200, 200], [200, 403, 401]) == (inside, plain)
    assert 401 == status(client, "/me")


def test_the_fixture_signs_a_client_in(client, token, signed_in):
    """It returns the client, which stays signed in; a second user takes the place of the first."""
    auth = Web(token)

    assert 403 == status(signed_in(auth, client, "alice"), "/scoped")
    assert 200 == status(signed_in(auth, client, "bob", scopes=["a:write"]), "/scoped")


def test_a_header_that_a_request_gives_itself_counts(token):
    """The client of Quart keeps no headers, so they are added to each connection that has none."""
    client = own_client(APPS["quart"][0](token))
    with Web(token).acting_as(client, "alice"):
        given = status(client, "/me", headers={"Authorization": "Bearer x.y.z"})

    assert 401 == given


def test_a_websocket_of_quart_is_signed_in_too(token):
    """The test client of Quart opens websockets itself."""

    async def received() -> object:
        client = own_client(APPS["quart"][0](token))
        with Web(token).acting_as(client, "alice"):
            async with client.websocket("/socket") as socket:
                return await socket.receive_json()

    assert {"sub": "alice"} == asyncio.run(received())


def test_an_unknown_client_is_refused(token):
    """The error has the next step."""
    with pytest.raises(InvalidArgument, match="Authorization yourself"), Web(token).acting_as(object(), "alice"):
        pass
