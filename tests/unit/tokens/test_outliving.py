"""No drawn history of hosts, clocks and tokens brings a token back that a record had ended; the model and the real code agree."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt as pyjwt
import outliving
import pytest
from outliving import SETTINGS, History, Setting, Step, drawn, replay

from resourcekit import Domain
from resourcekit.data_layers import SQL, Memory
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_tokens.errors import InvalidToken

SECRET = "a-secret-for-histories-that-is-long-enough-0123456789"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def violations(seed: int, count: int, settings: list[Setting] = SETTINGS) -> int:
    """Return how many of so many drawn histories broke the rule."""
    rng = random.Random(seed)
    return sum(any(broken for _, _, broken in replay(drawn(rng, settings))) for _ in range(count))


def test_no_history_brings_a_token_back():
    """Ten thousand histories."""
    assert 0 == violations(seed=1, count=10_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_none_of_a_million_histories_brings_a_token_back(seed):
    """A hundred thousand histories for each of ten seeds."""
    assert 0 == violations(seed=1000 + seed, count=100_000)


@pytest.mark.parametrize("short", ["one second", "one skew"])
def test_a_shorter_margin_is_found_out(short):
    """The margin is as short as it can be: with one second less, some history brings a token back."""
    shorter = [each._replace(margin=each.margin - (1 if short == "one second" else each.skew)) for each in SETTINGS if each.skew]

    assert 0 < violations(seed=2, count=10_000, settings=shorter)


@pytest.mark.parametrize("rule", ["_is_refused", "_end"])
def test_a_broken_rule_is_found_out(monkeypatch, rule):
    """Tokens that live too long or begin in the future, and records that keep an earlier expiry, bring tokens back."""
    if rule == "_end":
        monkeypatch.setattr(outliving.Model, rule, _keeping_a_stored_expiry)
    else:
        monkeypatch.setattr(outliving.Model, rule, lambda self, token, clock: False)

    assert 0 < violations(seed=3, count=10_000)


def _keeping_a_stored_expiry(self: Any, key: int | str, until: int) -> None:
    self.records[key] = True, self.records.get(key, (False, until))[1]


class Real:
    """Does the steps of a history with the real code."""

    def __init__(self, history: History, layer: Any) -> None:
        self.tokens = history.tokens
        self.domain, made = Domain("histories"), history.setting
        seconds = {"leeway": made.leeway, "clock_skew": made.skew, "max_lifetime": made.life}
        options = {name: timedelta(seconds=value) for name, value in seconds.items()}
        self.resource: Any = type(TokenRecord)(
            "Token",
            (TokenRecord,),
            {"__module__": __name__, "__qualname__": "Token"},
            domain=self.domain,
            data_layer=layer,
            extensions=[TokenResource(jwt=JWT(SECRET), **options)],
        )
        self.domain.create_storage()

    def text(self, which: int) -> str:
        """Return a token as its issuer signs it."""
        token = self.tokens[which]
        claims = {"jti": f"jti-{token.jti}", "sub": "alice", "exp": token.expires_at, "iat": token.issued_at}
        claims["fam"] = "f" if token.family else None
        return pyjwt.encode({name: value for name, value in claims.items() if value is not None}, SECRET, "HS256")

    def do(self, step: Step) -> bool:
        """Do one step, and return its answer as the model gives it."""
        match step.kind:
            case "store":
                try:
                    self.resource.store_token(self.text(step.which))
                except InvalidToken:
                    return False
            case "revoke":
                self.resource.revoke(self.text(step.which))
            case "revoke_jti":
                self.resource.revoke_jti(f"jti-{self.tokens[step.which].jti}")
            case "revoke_all":
                self.resource.revoke_all_stored_for_subject("alice")
            case "log_out":
                self.resource.log_out_everywhere("alice")
            case "sweep":
                self.resource.expunge_expired()
            case "check":
                return bool(self.resource.token_revoked(self.text(step.which)))
        return True


@pytest.mark.parametrize("count", [60, pytest.param(800, marks=pytest.mark.slow)])
@pytest.mark.parametrize("layer", ["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_the_real_code_answers_as_the_model_does(tmp_path, layer, count):
    """The same drawn histories, each step with the clock of its host: the same answers, and no ended token is answered "live"."""
    rng = random.Random(4)
    for number in range(count):
        history = drawn(rng)
        real = Real(history, Memory() if layer == "memory" else SQL(f"sqlite:///{tmp_path}/h.db", table=f"tokens_{number}"))
        with ManualClock(EPOCH) as clock:
            for step, answer, broken in replay(history):
                clock.set(EPOCH + timedelta(seconds=step.clock))

                assert answer is real.do(step), (history, step)
                assert not broken
