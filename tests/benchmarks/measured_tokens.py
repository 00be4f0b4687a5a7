"""What is done with a token's text: reading, verifying and issuing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import peers
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from interleaving import Race
from measured_peers import quick_folder
from plan import Run
from report import Line

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit_tokens import JWT, SigningKey, TokenRecord, TokenResource
from resourcekit_tokens.signature import read_claims

__all__ = ["claims", "issue", "rotate", "verify"]

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
    """``issue`` against PyJWT's encode of the same claims, with keys of each kind."""
    made = {"ES256": ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate()}
    keys: list[tuple[str, Any, Any, float | None]] = [("HS256", peers.SECRET, JWT(peers.SECRET), None)]
    keys += [(name, key, JWT(SigningKey(kid="one", algorithm=name, key=key)), 1.15) for name, key in made.items()]
    for algorithm, key, ours, budget in keys:
        token = _in_memory(ours)
        payload = dict(jwt.decode(token.issue("alice@example.com").token, options={"verify_signature": False}))

        def by_hand(number: int, key: Any = key, algorithm: str = algorithm, payload: dict[str, Any] = payload) -> str:
            return jwt.encode({**payload, "jti": f"{number:032x}"}, key, algorithm, headers={"kid": "one"})

        race = Race({"issue": lambda _, token=token: token.issue("alice@example.com"), "pyjwt": by_hand}, run.sizes.pace)
        yield Line.of(f"issue, {algorithm} / PyJWT's encode", race.ratio("issue", "pyjwt"), budget=budget)
        yield from _times(race)


def rotate(run: Run) -> Iterable[Line]:
    """``rotate`` on SQLite, HS256, against a rotation by hand: PyJWT, and statements of Core in one transaction.

    By hand, the refresh token is verified, its jti and its family are looked up, it is recorded as used, and a pair is issued. Nothing
    is answered twice within a grace, and no reuse ends the family.
    """
    with quick_folder(run) as folder:
        token = peers.token_resource(folder / "rotated.db", jwt=JWT(peers.SECRET))
        hand = _RotatedByHand(folder / "rotated.db")
        kept = {"ours": token.issue_pair("alice@example.com").refresh.token, "by hand": hand.first()}

        def ours(_: int) -> None:
            kept["ours"] = token.rotate(kept["ours"]).refresh.token

        def by_hand(_: int) -> None:
            kept["by hand"] = hand.rotate(kept["by hand"])

        race = Race({"ours": ours, "by hand": by_hand}, run.sizes.pace)
        yield Line.of("rotate, SQLite / by hand", race.ratio("ours", "by hand"), budget=1.3)
        yield from _times(race)
        hand.engine.dispose()


class _RotatedByHand:
    def __init__(self, path: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{path}")
        with self.engine.begin() as connection:
            self._table = table = sa.Table(
                "used_by_hand",
                sa.MetaData(),
                sa.Column("jti", sa.String(64), primary_key=True),
                sa.Column("subject", sa.String(200)),
                sa.Column("used_at", sa.DateTime(), nullable=False),
                sa.Column("expires_at", sa.DateTime(), nullable=False),
            )
            table.metadata.create_all(connection)
        self._find = sa.select(table.c.jti).where(table.c.jti.in_([sa.bindparam("jti"), sa.bindparam("family")]))
        self._use = sa.insert(table)

    def first(self) -> str:
        """Return the refresh token of a new sign-in."""
        return self._pair("alice@example.com", secrets.token_urlsafe(16), int(time.time()))[1]

    def rotate(self, text: str) -> str:
        """Use a refresh token up and return the next one."""
        old = jwt.decode(text, peers.SECRET, ["HS256"], options={"require": ["exp", "jti"]})
        moment = datetime.now(UTC).replace(tzinfo=None)
        ends = datetime.fromtimestamp(old["exp"], UTC).replace(tzinfo=None)
        with self.engine.begin() as connection:
            if connection.execute(self._find, {"jti": old["jti"], "family": f"family:{old['family']}"}).first() is not None:
                raise ValueError(old["jti"])
            used = {"jti": old["jti"], "subject": old["sub"], "used_at": moment, "expires_at": ends}
            connection.execute(self._use, used)
        return self._pair(old["sub"], old["family"], old["auth_time"])[1]

    @staticmethod
    def _pair(subject: str, family: str, auth_time: int) -> tuple[str, str]:
        now = int(time.time())
        common = {"sub": subject, "iat": now, "family": family, "auth_time": auth_time}
        access = {**common, "jti": secrets.token_urlsafe(16), "exp": now + 900, "purpose": "user"}
        refresh = {**common, "jti": secrets.token_urlsafe(16), "exp": now + 1_209_600, "purpose": "refresh"}
        return jwt.encode(access, peers.SECRET, "HS256"), jwt.encode(refresh, peers.SECRET, "HS256")


def _texts() -> list[str]:
    return [peers.a_token() for _ in range(_TEXTS)]


def _in_memory(keys: JWT | None = None) -> Any:
    domain = Domain("benchmark of tokens")

    class Token(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource(jwt=keys or JWT(peers.SECRET))]):
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
