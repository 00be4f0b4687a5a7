"""A model of the rule that records outlive tokens, over hosts whose clocks are off; docs/internals/records-outlive-tokens.md explains it.

Time is counted in whole seconds. A history is drawn, then replayed on the model, and for some of them on the real code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from resourcekit_tokens import TokenResource

FOR_EVER = 10**15
BEGIN = 10**6
"""The moment at which histories begin, in seconds: late enough for every token that is drawn to have been issued after 0."""


class Setting(NamedTuple):
    """The options of a resource, in seconds, as the real class computes them."""

    leeway: int
    skew: int
    life: int
    tolerance: int
    margin: int


def setting(leeway: int, skew: int, life: int) -> Setting:
    """Return a setting; tolerance and margin are those of the real options."""
    seconds = {"leeway": leeway, "clock_skew": skew, "max_lifetime": life}
    real = TokenResource(**{name: timedelta(seconds=value) for name, value in seconds.items()})
    second = timedelta(seconds=1)
    return Setting(leeway, skew, life, real.tolerance // second, real.margin // second)


SETTINGS = [setting(leeway, skew, life) for leeway in (0, 7, 90) for skew in (0, 1, 10, 60) for life in (1, 30, 600)]


class Token(NamedTuple):
    """What a token says. is_honest: its ``iat`` is what the clock of its issuer showed, so that the rule covers it unseen."""

    jti: int
    family: bool
    issued_at: int | None
    expires_at: int
    is_honest: bool


class Step(NamedTuple):
    """Something that a host does when its clock shows a moment. which: the token that it is about."""

    kind: str
    clock: int
    which: int = 0


class History(NamedTuple):
    """Tokens, and what is done with them in the order of true time."""

    setting: Setting
    tokens: list[Token]
    steps: list[Step]


_ENDS = ("revoke", "revoke_jti", "revoke_all", "log_out")
_KINDS = ("issue", "issue", "store", *_ENDS, "sweep", "check", "check")


def drawn(rng: random.Random, settings: Sequence[Setting] = SETTINGS) -> History:
    """Draw a history; half of them put each host's clock at the edge of what is allowed, in the worst direction."""
    made = settings[int(rng.random() * len(settings))]
    skew = made.skew
    issuer, writer, checker, sweeper = skew, -skew, -skew, skew
    if rng.random() < 0.5:
        issuer, writer, checker, sweeper = (rng.randint(-skew, skew) for _ in range(4))
    now, tokens, steps = BEGIN, [_token(rng, made, BEGIN + issuer, [])], [Step("issue", BEGIN + issuer)]
    for _ in range(int(rng.random() * 6) + 2):
        now = _later(rng, made, now, tokens)
        kind = _KINDS[int(rng.random() * len(_KINDS))]
        if kind == "issue":
            tokens.append(_token(rng, made, now + issuer, tokens))
            steps.append(Step("issue", now + issuer, len(tokens) - 1))
        else:
            which = int(rng.random() * len(tokens))
            steps.append(Step(kind, now + (checker if kind == "check" else sweeper if kind == "sweep" else writer), which))
    # The end of all lives, where it matters: swept by one host, asked by another.
    for _ in range(3):
        now = _later(rng, made, now, tokens)
        steps.append(Step("sweep", now + sweeper))
        steps += [Step("check", now + checker, which) for which in range(len(tokens))]
    return History(made, tokens, steps)


def _later(rng: random.Random, made: Setting, now: int, tokens: list[Token]) -> int:
    """Return the moment of the next step: often near the end of the life of a token."""
    chance = rng.random()
    if chance < 0.4:
        end = tokens[int(rng.random() * len(tokens))].expires_at + made.leeway
        return max(now, end + int(rng.random() * 8 - 3) * made.skew + int(rng.random() * 5) - 2)
    if chance < 0.6:
        return now + (1, made.skew, made.life // 2, made.life)[int(rng.random() * 4)]
    return now


def _token(rng: random.Random, made: Setting, clock: int, others: list[Token]) -> Token:
    """Draw a token that is issued now: new, or an earlier one prolonged; some break a rule that ``verify`` holds."""
    chance = rng.random()
    life = made.life if chance < 0.5 else 1 + int(rng.random() * made.life)
    issued_at: int | None = clock
    if chance > 0.9:  # too long
        life += 1 + int(rng.random() * 3 * made.life)
    elif chance > 0.8:  # post-dated
        issued_at = clock + 1 + int(rng.random() * 3 * (made.life + made.skew))
    elif chance > 0.7:
        issued_at = None
    jti = int(rng.random() * 2)
    if others and chance < 0.2:  # prolonged: under the same jti
        jti = others[-1].jti
    return Token(jti, rng.random() < 0.5, issued_at, (clock if issued_at is None else issued_at) + life, issued_at == clock)


class Model:
    """The store and the rules, for tokens of one subject; each step returns what the real call answers.

    records: by key, whether it ends something, and its expiry. ended: the tokens that must never be answered "live" again.
    """

    def __init__(self, history: History) -> None:
        self.made, self.tokens = history.setting, history.tokens
        self.records: dict[int | str, tuple[bool, int]] = {}
        self.cut_off = -1
        self.issued: list[int] = []
        self.ended: set[int] = set()

    def issue(self, clock: int, which: int) -> bool:
        """A token comes into being."""
        self.issued.append(which)
        return True

    def store(self, clock: int, which: int) -> bool:
        """``store_token``; false if it is refused."""
        token = self.tokens[which]
        if self._is_refused(token, clock):
            return False
        is_revoked, expires_at = self.records.get(token.jti, (False, 0))
        self.records[token.jti] = is_revoked, max(expires_at, token.expires_at)
        return True

    def revoke(self, clock: int, which: int) -> bool:
        """``revoke``: the token, and its family."""
        token = self.tokens[which]
        known = token.expires_at if token.expires_at > clock else clock + self.made.life
        self._end(token.jti, known)
        until = self.records[token.jti][1]
        self._have_ended(lambda other: other.jti == token.jti and (other.expires_at <= until or known != token.expires_at))
        self.ended.add(which)
        if token.family:
            self._end("family", max(known, clock + self.made.life))
            self._have_ended(lambda other: other.family)
        return True

    def revoke_jti(self, clock: int, which: int) -> bool:
        """``revoke_jti``: every token of the jti."""
        jti = self.tokens[which].jti
        self._end(jti, clock + self.made.life)
        self._have_ended(lambda other: other.jti == jti)
        return True

    def revoke_all(self, clock: int, which: int) -> bool:
        """``revoke_all_stored_for_subject``: every token of a stored jti that is live."""
        stored = [key for key, (is_revoked, _) in self.records.items() if isinstance(key, int) and not is_revoked]
        for jti in stored:
            self._end(jti, clock + self.made.life)
        self._have_ended(lambda other: other.jti in stored)
        return True

    def log_out(self, clock: int, which: int) -> bool:
        """``log_out_everywhere``: every token of others whose ``iat`` is not later by the tolerance."""
        self._end("cut-off", clock + self.made.life)
        self.cut_off = max(clock, self.cut_off)
        self._have_ended(lambda other: other.issued_at is not None and other.issued_at < self.cut_off + self.made.skew)
        return True

    def sweep(self, clock: int, which: int) -> bool:
        """``expunge_expired``."""
        before = clock - self.made.margin
        for key in [key for key, (_, expires_at) in self.records.items() if expires_at < before]:
            del self.records[key]
            if key == "cut-off":
                self.cut_off = -1
        return True

    def check(self, clock: int, which: int) -> bool:
        """``token_revoked``."""
        token = self.tokens[which]
        if clock - token.expires_at > self.made.tolerance:
            return True
        for key in self._keys(token):
            is_revoked, expires_at = self.records.get(key, (False, 0))
            if is_revoked and (key != "cut-off" or token.issued_at is None or token.issued_at < self.cut_off + self.made.skew):
                self.records[key] = True, max(expires_at, token.expires_at)
                self.ended.add(which)
                return True
        return token.issued_at is None or self._is_refused(token, clock)

    def _keys(self, token: Token) -> tuple[int | str, ...]:
        return (token.jti, "cut-off", "family") if token.family else (token.jti, "cut-off")

    def _is_refused(self, token: Token, clock: int) -> bool:
        began = clock if token.issued_at is None else min(token.issued_at, clock + self.made.skew)
        is_post_dated = token.issued_at is not None and token.issued_at - clock > self.made.skew
        return is_post_dated or token.expires_at - began > self.made.life

    def _end(self, key: int | str, until: int) -> None:
        self.records[key] = True, max(until, self.records.get(key, (False, 0))[1])

    def _have_ended(self, is_ended: Callable[[Token], bool]) -> None:
        """Note the tokens that were issued by now and that a record ends: those whose ``iat`` is true, and those it has met."""
        self.ended.update(which for which in self.issued if self.tokens[which].is_honest and is_ended(self.tokens[which]))


def replay(history: History, model: Model | None = None) -> Iterator[tuple[Step, bool, bool]]:
    """Replay a history; yields each step with its answer, and whether it broke the rule: an ended token was answered "live"."""
    model = Model(history) if model is None else model
    for step in history.steps:
        answer: Any = getattr(model, step.kind)(step.clock, step.which)
        yield step, answer, step.kind == "check" and not answer and step.which in model.ended
