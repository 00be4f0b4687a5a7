"""What is done with a token's text: reading, verifying and issuing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import jwt
import peers
from interleaving import Race
from plan import Run
from report import Line

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_tokens.signature import read_claims

__all__ = ["claims", "issue", "verify"]

_TEXTS = 2_000


def claims(run: Run) -> Iterable[Line]:
    """Claims without verification: ours, strict, against PyJWT's decode with ``verify_signature`` off."""
    texts, options = _texts(), {"verify_signature": False}
    sides = {
        "ours": lambda number: read_claims(texts[number % _TEXTS]),
        "pyjwt": lambda number: jwt.decode(texts[number % _TEXTS], options=options),
    }
    _agree(sides)
    race = Race(sides, run.sizes.pace)
    figure = race.ratio("pyjwt", "ours")
    what = "PyJWT's unverified decode / claims of a token, read strictly"
    yield Line(what, figure.wall, budget=5.0, at_least=True, cpu=figure.cpu)
    yield from _times(race)


def verify(run: Run) -> Iterable[Line]:
    """``verify`` of an HS256 token, revocation included, on Memory and SQLite, against PyJWT's decode, which asks no store."""
    texts = _texts()
    memory = _in_memory()
    sqlite = peers.token_resource(run.made("verified.db", peers.token_resource), jwt=JWT(peers.SECRET))
    sides = {
        "verify, Memory": lambda number: memory.verify(texts[number % _TEXTS]),
        "verify, SQLite": lambda number: sqlite.verify(texts[number % _TEXTS]),
        "pyjwt": lambda number: jwt.decode(texts[number % _TEXTS], peers.SECRET, ["HS256"], leeway=timedelta(seconds=0)),
    }
    _agree(sides)
    race = Race(sides, run.sizes.pace)
    for name in ("verify, Memory", "verify, SQLite"):
        yield Line.of(f"{name}, revocation included / PyJWT's decode", race.ratio(name, "pyjwt"))
    yield from _times(race)


def issue(run: Run) -> Iterable[Line]:
    """``issue`` against PyJWT's encode of the same claims."""
    token, payload = _in_memory(), dict(jwt.decode(_texts()[0], options={"verify_signature": False}))
    sides = {
        "issue": lambda _: token.issue("alice@example.com"),
        "pyjwt": lambda number: jwt.encode({**payload, "jti": f"{number:032x}"}, peers.SECRET, "HS256"),
    }
    race = Race(sides, run.sizes.pace)
    yield Line.of("issue, HS256 / PyJWT's encode", race.ratio("issue", "pyjwt"))
    yield from _times(race)


def _texts() -> list[str]:
    return [peers.a_token() for _ in range(_TEXTS)]


def _in_memory() -> Any:
    domain = Domain("benchmark of tokens")

    class Token(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource(jwt=JWT(peers.SECRET))]):
        """Tokens in memory."""

    return Token


def _agree(sides: dict[str, Any]) -> None:
    found = {name: step(0)["jti"] for name, step in sides.items()}
    if len(set(found.values())) != 1:
        msg = f"the sides do not agree: {found}"
        raise AssertionError(msg)


def _times(race: Race) -> Iterable[Line]:
    for name, microseconds in race.microseconds().items():
        yield Line(f"one call: {name}", microseconds, "us")
