from __future__ import annotations

import pytest

from resourcekit.data_layers import Memory
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens
from tests.support.web_apps import APPS, made

SECRET = "a-secret-for-web-tests-that-is-long-enough-0123456789"
CLIENT = ("billing", "a-secret-of-a-client-0123456789")


@pytest.fixture
def token():
    """A token resource with one key, in memory."""
    return declare_tokens(Memory(), jwt=JWT(SECRET))


@pytest.fixture(params=APPS)
def framework(request):
    """The name of each framework that has an adapter."""
    return request.param


@pytest.fixture
def send(framework, token):
    """A function that sends a request into an app of each framework."""
    return made(framework, token, clients=dict([CLIENT]))
