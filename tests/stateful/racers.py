"""What a racer does: a process that does what each line says, on a place that all racers share, and answers each.

A line is ``function rest``; the answer is ``won``, or the name of the error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from places import Place
from workers import PATIENCE, Line

from resourcekit import Domain, context, transaction
from resourcekit.errors import ResourcekitError
from resourcekit_tokens import JWT, TokenRecord, TokenResource

__all__ = ["RACERS", "declare", "race"]

RACERS = 8
SECRET = "a-secret-for-races-that-is-long-enough-for-every-hash-there-is-0123456789"


def declare(place: Place, more: str = "", **options: Any) -> Any:
    """Declare the token resource that all racers share; ``more``: another one beside it."""
    domain = Domain(f"races {more}")
    options = {"jwt": JWT(SECRET), "clock_skew": timedelta(0), **options}

    class Token(TokenRecord, domain=domain, data_layer=place.layer(more), extensions=[TokenResource(**options)]):
        """Tokens of a race."""

    Token.__qualname__ = f"Token{more}"
    domain.create_storage()
    Token.__kept__ = domain  # type: ignore[attr-defined]  # the registry holds it weakly
    return Token


def lenient(place: Place) -> Any:
    """Declare the resource beside it whose refresh tokens may be rotated once more."""
    return declare(place, "_grace", rotation_grace=timedelta(minutes=5))


def recorded(place: Place) -> Any:
    """Declare the resource beside it that records sessions."""
    return declare(place, "_sessions", rotation_grace=timedelta(minutes=5), sessions=True)


def operations(place: Place, loop: asyncio.Runner, line: Line) -> dict[str, Callable[[str], Any]]:
    """Return what a racer can do, by the word that asks for it."""
    token, other, sessions = declare(place), lenient(place), recorded(place)

    def soon(work: Callable[..., Any], *args: Any, **given: Any) -> Any:
        return loop.run(work(*args, **given), context=copy_context())

    return {
        "consume": lambda text: token.consume(text, purpose="reset"),
        "consume.aio": lambda text: soon(token.consume.aio, text, purpose="reset"),
        "confirm": token.confirm,
        "confirm.aio": lambda text: soon(token.confirm.aio, text),
        "rotate": token.rotate,
        "rotate.aio": lambda text: soon(token.rotate.aio, text),
        "rotate with grace": other.rotate,
        "rotate with session": sessions.rotate,
        "revoke": token.revoke,
        "revoke_jti": token.revoke_jti,
        "store": token.store_token,
        "expunge": lambda _: token.expunge_expired(batch_size=50),
        "hold": lambda text: hold(token, text, line),
        "ping": lambda _: None,
        "close": lambda _: soon(token.__runtime__.store.close),
    }


def hold(token: Any, text: str, line: Line) -> None:
    """Use a token in a transaction that stays open until this process is killed."""
    with transaction(token):
        token.consume(text, purpose="reset")
        line.reply("holding")
        next(line.lines())


def race(line: Line, place: Place) -> None:
    """Answer each line, as a process of its own."""
    with asyncio.Runner() as loop:
        known = operations(place, loop, line)
        for received in line.lines():
            word, _, rest = received.partition(":")
            try:
                with context(deadline=timedelta(seconds=PATIENCE)):
                    known[word](rest)
            except ResourcekitError as error:
                line.reply(type(error).__name__)
            else:
                line.reply("won")
        known["close"]("")
