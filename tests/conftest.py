"""What all tests share: a data layer of each kind, and token resources on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Domain
from resourcekit.data_layers import SQL, Memory
from resourcekit_tokens import JWT, TokenRecord, TokenResource

SECRET = "a-secret-for-tests-that-is-long-enough-for-every-hash-there-is-0123456789"


@pytest.fixture(params=["memory", "sqlite"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """A function that makes a data layer; those of one test share their database."""
    tables = iter(range(1000))
    if request.param == "memory":
        return Memory
    return lambda: SQL(f"sqlite:///{tmp_path}/test.db", table=f"table_{next(tables)}")


@pytest.fixture
def declare(layer: Callable[[], Any]) -> Callable[..., Any]:
    """A function that declares a token resource with keys (``keys=False``: without), its storage made."""
    kept: list[Any] = []

    def make(*, keys: bool = True, **options: Any) -> Any:
        domain = Domain(f"tokens {len(kept)}")
        if keys:
            options.setdefault("jwt", JWT(SECRET))

        class Token(TokenRecord, domain=domain, data_layer=layer(), extensions=[TokenResource(**options)]):
            """A token resource of a test."""

        Token.__qualname__ = f"Token{len(kept)}"
        domain.create_storage()
        kept.append((domain, Token))
        return Token

    return make
