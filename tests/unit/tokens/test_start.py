"""A program without its secret stops when it starts, not at its first sign-in."""

from __future__ import annotations

from typing import Any

import pytest

from resourcekit import Domain, env
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError
from resourcekit.supervisor import Supervisor
from resourcekit_tokens import JWT, TokenRecord, TokenResource

SECRET = "a-secret-for-starts-that-is-long-enough-for-hs256-0123"


def declared(key: Any) -> tuple[Domain, Any]:
    """Declare a token resource with a key that comes from outside."""
    domain = Domain("starts")

    class Token(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource(jwt=JWT(key))]):
        """Tokens."""

    return domain, Token


def broken() -> str:
    """Fail as the client of a vault does."""
    raise OSError("sealed")


@pytest.mark.parametrize(("key", "named"), [(env("NO_SECRET_OF_A_TEST"), "NO_SECRET_OF_A_TEST"), (broken, "OSError")])
class TestWithoutSecret:
    def test_sealing_names_what_is_missing(self, key, named):
        """Each time that it is called."""
        domain, _ = declared(key)
        for _ in range(2):
            with pytest.raises(DeclarationError, match=named):
                domain.seal()

    def test_a_supervisor_does_not_start(self, key, named):
        """Nothing runs then."""
        _, token = declared(key)
        with pytest.raises(DeclarationError, match=named), Supervisor(token, startup_check=False):
            pytest.fail("it runs")

    def test_storage_can_be_created(self, key, named):
        """As migrations do it, where no secret is."""
        domain, token = declared(key)
        domain.create_storage()

        assert token.jti_revoked("unknown") is False


def test_with_its_secret_a_program_starts(monkeypatch):
    """The secret is read at the start."""
    monkeypatch.setenv("A_SECRET_OF_A_TEST", SECRET)
    domain, token = declared(env("A_SECRET_OF_A_TEST"))
    domain.seal()
    with Supervisor(token, startup_check=False):
        assert "alice" == token.verify(token.issue("alice").token).subject
