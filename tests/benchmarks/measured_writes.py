"""Revocations."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import blacklist
import peers
from interleaving import Race
from plan import Run
from report import Line

__all__ = ["revoke"]

_FRESH = 60_000
"""Tokens that are there to be revoked; more than a run comes to."""


def revoke(run: Run) -> Iterable[Line]:
    """``revoke`` on SQLite against an upsert written by hand in ``engine.begin()``, and a Django blacklist.

    Each call revokes a token that was not revoked before. Both write to the same file, so both pay for the same disk.
    """
    path = run.made("written.db", peers.token_resource)
    resource, hand = peers.token_resource(path), peers.Hand(path)
    seed = time.time_ns()  # a file that was kept from an earlier run holds the tokens of that one
    texts = [peers.a_token(jti=jti) for jti in peers.jtis(_FRESH, seed)]
    claims, bare = _claims(seed + 1), peers.jtis(_FRESH, seed + 2)
    sides: dict[str, Any] = {
        "revoke": lambda number: resource.revoke(texts[number % _FRESH]),
        "revoke_jti": lambda number: resource.revoke_jti(bare[number % _FRESH]),
        "by hand": lambda number: hand.revoke(claims[number % _FRESH]),
    }
    if blacklist.is_there():
        sides["django"] = _blacklisting(run)
    race = Race(sides, run.sizes.pace)
    by_hand = "an upsert by hand in engine.begin()"
    yield Line.of(f"revoke(token), SQLite / {by_hand}", race.ratio("revoke", "by hand"), budget=1.2, aim=0.6)
    yield Line.of(f"revoke_jti, SQLite / {by_hand}", race.ratio("revoke_jti", "by hand"))
    if "django" in sides:
        yield Line.of("blacklist() of a Django blacklist / revoke(token)", race.ratio("django", "revoke"))
    for name, microseconds in race.microseconds().items():
        yield Line(f"one call: {name}", microseconds, "us")


def _claims(seed: int) -> list[dict[str, Any]]:
    return [{"jti": jti, "sub": "alice@example.com", "exp": 2_000_000_000} for jti in peers.jtis(_FRESH, seed)]


def _blacklisting(run: Run) -> Any:
    blacklist.use(run)
    from rest_framework_simplejwt.tokens import RefreshToken

    def add(_: int) -> None:
        token = RefreshToken()
        token.payload["user_id"] = "alice@example.com"
        token.blacklist()

    return add
