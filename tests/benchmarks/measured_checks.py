"""Checks: whether a jti, or a token, is revoked."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import blacklist
import peers
from interleaving import Race
from plan import Run
from report import Line

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit_tokens import TokenRecord, TokenResource

__all__ = ["check", "memory", "token"]

_ASKED = 20_000
"""Identities that are asked for in turn: every other one is revoked."""


def check(run: Run) -> Iterable[Line]:
    """``jti_revoked`` on SQLite against a prebuilt statement of SQLAlchemy Core, bare sqlite3, and a Django blacklist."""
    path, asked = _table(run), _asked(run)
    token, hand, bare = peers.token_resource(path), peers.Hand(path), sqlite3.connect(path)
    sql = "SELECT revoked_at FROM tokens WHERE jti = ?"
    sides: dict[str, Any] = {
        "jti_revoked": lambda number: token.jti_revoked(asked[number % _ASKED]),
        "core": lambda number: hand.is_revoked(asked[number % _ASKED]),
        "sqlite3": lambda number: (
            (row := bare.execute(sql, (asked[number % _ASKED],)).fetchone()) is not None and row[0] is not None
        ),
    }
    if blacklist.is_there():
        sides["django"] = _blacklist(run, asked)
    _agree(sides)
    race = Race(sides, run.sizes.pace)
    name = f"jti_revoked, SQLite, {run.sizes.rows:,} rows"
    yield Line.of(f"{name} / prebuilt Core statement, kept connection", race.ratio("jti_revoked", "core"), budget=1.0, aim=0.5)
    yield Line.of(f"{name} / bare sqlite3, kept connection", race.ratio("jti_revoked", "sqlite3"))
    if "django" in sides:
        yield Line.of(f"check_blacklist of a Django blacklist / {name}", race.ratio("django", "jti_revoked"))
    yield from _times(race)


def _times(race: Race) -> Iterable[Line]:
    for name, microseconds in race.microseconds().items():
        yield Line(f"one call: {name}", microseconds, "us")


def _agree(sides: dict[str, Any]) -> None:
    for number in range(4):
        answers = {name: bool(step(number)) for name, step in sides.items()}
        if set(answers.values()) != {number % 2 == 0}:
            msg = f"the sides do not agree about jti {number}: {answers}"
            raise AssertionError(msg)


def _asked(run: Run) -> list[str]:
    stride = max(1, run.sizes.rows // _ASKED)
    there = itertools.cycle(peers.jtis(run.sizes.rows)[::stride])
    absent = iter(peers.jtis(_ASKED, seed=1))
    return [next(there) if number % 2 == 0 else next(absent) for number in range(_ASKED)]


def _table(run: Run) -> Path:
    return run.made("tokens.db", lambda path: peers.make_tables(path, peers.jtis(run.sizes.rows)))


def _blacklist(run: Run, asked: list[str]) -> Any:
    blacklist.use(run)
    from rest_framework_simplejwt.exceptions import TokenError
    from rest_framework_simplejwt.tokens import RefreshToken

    token = RefreshToken()

    def listed(number: int) -> bool:
        token.payload["jti"] = asked[number % _ASKED]
        try:
            token.check_blacklist()
        except TokenError:
            return True
        return False

    return listed


def memory(run: Run) -> Iterable[Line]:
    """``jti_revoked`` on Memory, and how much it takes beyond a look-up in a dict."""
    domain = Domain("benchmark of memory")

    class Token(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource()]):
        """Tokens in memory."""

    revoked = peers.jtis(min(run.sizes.rows, 10_000))
    for jti in revoked:
        Token.revoke_jti(jti)
    kept = dict.fromkeys(revoked, True)
    absent = peers.jtis(len(revoked), seed=1)
    asked = [jti for pair in zip(revoked, absent, strict=True) for jti in pair]
    count = len(asked)
    sides = {
        "jti_revoked": lambda number: Token.jti_revoked(asked[number % count]),
        "dict": lambda number: asked[number % count] in kept,
    }
    _agree(sides)
    race = Race(sides, run.sizes.pace)
    yield Line.of("jti_revoked, Memory, beyond a dict look-up", race.above("jti_revoked", "dict"), unit="us", budget=6.0)


def token(run: Run) -> Iterable[Line]:
    """``token_revoked`` on SQLite against PyJWT's unverified decode and one Core statement over three keys."""
    import jwt

    path = _table(run)
    resource, hand = peers.token_resource(path), peers.Hand(path)
    texts = [peers.a_token(jti=jti) for jti in _asked(run)[: min(2_000, run.sizes.rows)]]
    count, options = len(texts), {"verify_signature": False}

    def by_hand(number: int) -> bool:
        claims = jwt.decode(texts[number % count], options=options)
        return hand.is_revoked(claims["jti"]) or hand.is_revoked(f"cutoff:{claims['sub']}")

    sides = {"token_revoked": lambda number: resource.token_revoked(texts[number % count]), "by hand": by_hand}
    _agree(sides)
    race = Race(sides, run.sizes.pace)
    what = "token_revoked, SQLite (record and cut-off in one statement) / PyJWT's unverified decode and two Core statements"
    yield Line.of(what, race.ratio("token_revoked", "by hand"))
    yield from _times(race)
