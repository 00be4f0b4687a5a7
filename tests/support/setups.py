"""Token resources whose set-up is safe but for what a test asks for."""

from __future__ import annotations

import secrets
from typing import Any

from resourcekit import Domain
from resourcekit_tokens import JWT, TokenRecord, TokenResource

__all__ = ["declare_tokens"]

_kept: list[Any] = []


def declare_tokens(layer: Any, *, storage: bool = True, notifiers: Any = (), **options: Any) -> Any:
    """Return a token resource with a key of its own, and its storage; all is sound but for what is given."""
    options.setdefault("jwt", JWT(secrets.token_urlsafe(48)))
    domain = Domain("setups")

    class Token(TokenRecord, domain=domain, data_layer=layer, notifiers=notifiers, extensions=[TokenResource(**options)]):
        """Tokens of a set-up."""

        __qualname__ = f"Token{len(_kept)}"  # a class declared again under one name takes the place of the old one

    if storage:
        domain.create_storage()
    _kept.append((domain, Token))
    return Token
