"""How the tests of tokens speak to a resource: in every spelling and call mode; and how they forge tokens."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import jwt as pyjwt

import resourcekit_tokens
from resourcekit import Domain, Resource
from resourcekit.errors import ResourcekitError
from resourcekit.testing import ManualClock
from resourcekit_tokens import TokenRecord, TokenResource

SECRET = "a-secret-for-conformance-that-is-long-enough-for-every-hash-there-is-0123"
START = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = 24.0
"""Hours, as ``forge`` takes them."""

KEYED = {"jwt": resourcekit_tokens.JWT(SECRET)}
"""Options of a resource whose tokens ``forge`` can sign."""

CALL_STYLES = {
    "class": ("class", False),
    "class.aio": ("class", True),
    "module": ("module", False),
    "module.aio": ("module", True),
}
"""How a function is called: ``Token.revoke(t)`` or ``revoke(Token, t)``, sync or in a loop."""


class CallStyle:
    """Calls the functions of a token resource in one spelling and call mode; whatever else is asked of it, is the class's."""

    def __init__(self, resource: Any, place: str, runner: asyncio.Runner | None) -> None:
        self.resource, self._place, self._runner = resource, place, runner

    def __getattr__(self, name: str) -> Any:
        """Return a function in this call style; an attribute, an action or anything else as it is."""
        if name not in resourcekit_tokens.__all__ or name in ("Claims", "JWT"):
            return getattr(self.resource, name)
        if self._place == "class":
            function, leading = getattr(self.resource, name), ()
        else:
            function, leading = getattr(resourcekit_tokens, name), (self.resource,)

        def call(*args: Any, **given: Any) -> Any:
            if self._runner is None:
                return function(*leading, *args, **given)
            return self._runner.run(function.aio(*leading, *args, **given), context=copy_context())

        return call


def declared(
    layer: Any, spelling: str, body: dict[str, Any] | None = None, *, storage: bool = True, notifiers: Any = (), **options: Any
) -> Any:
    """Declare a token resource, in one of the two spellings, with its storage; ``body``: what the user declares."""
    domain = Domain("conformance")
    base = TokenRecord if spelling == "record" else Resource
    made: Any = type(Resource)(
        "Token",
        (base,),
        {"__module__": __name__, "__qualname__": f"Token{id(domain)}", "__doc__": "Tokens of a test.", **(body or {})},
        domain=domain,
        data_layer=layer,
        notifiers=list(notifiers),
        extensions=[TokenResource(**options)],
    )
    if storage:
        domain.create_storage()
    made.__kept_domain__ = domain
    return made


@attrs.frozen
class Forge:
    """Makes tokens as some application would: with PyJWT, by the clock of the test."""

    clock: ManualClock

    def __call__(
        self, jti: str | None = "jti-1", sub: str | None = "alice", *, hours: float | None = 1, key: str = SECRET, **claims: Any
    ) -> str:
        """Return a token; ``hours``: until it expires (``None``: no ``exp``), further claims as they are."""
        facts: dict[str, Any] = {"jti": jti, "sub": sub, "iat": self.clock.now().timestamp()}
        if hours is not None:
            facts["exp"] = (self.clock.now() + timedelta(hours=hours)).timestamp()
        facts.update(claims)
        headers = {"kid": facts.pop("kid")} if "kid" in facts else None
        return pyjwt.encode({name: value for name, value in facts.items() if value is not None}, key, "HS256", headers=headers)


def refused(call: Any, *kinds: type[Exception]) -> bool:
    """Return whether a call is refused by an error of these kinds."""
    try:
        call()
    except ResourcekitError as error:
        return isinstance(error, kinds or ResourcekitError)
    return False
