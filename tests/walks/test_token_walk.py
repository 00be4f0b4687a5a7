"""A random walk over the life of tokens: nothing leads from "revoked" back to "live", on any layer."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from resourcekit import Domain, utc_now
from resourcekit.data_layers import SQL, Memory
from resourcekit.testing import ManualClock
from resourcekit_tokens import TokenRecord, TokenResource
from resourcekit_tokens.errors import InvalidToken

SECRET = "a-secret-for-walks-that-is-long-enough-0123456789"
START = datetime(2030, 1, 1, tzinfo=UTC)
SUBJECTS = ["alice", "bob"]


def forge(jti: str, subject: str, family: str | None, issued_at: datetime, hours: int) -> str:
    """Make a token as some application would; without keys, the caller vouches for it."""
    claims: dict[str, Any] = {
        "jti": jti,
        "sub": subject,
        "iat": issued_at.timestamp(),
        "exp": (issued_at + timedelta(hours=hours)).timestamp(),
    }
    if family is not None:
        claims["fam"] = family
    return pyjwt.encode(claims, SECRET, "HS256")


class TokenWalk(RuleBasedStateMachine):
    """Every step is done on each layer; every observation must agree, and "revoked" must stay."""

    tokens = Bundle("tokens")

    @initialize()
    def begin(self) -> None:
        """Declare one resource on each layer, and stop the clock."""
        self.clock = ManualClock(START)
        self.clock.__enter__()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.domain = Domain("walk")
        domain = self.domain

        class OnMemory(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource()]):
            """The reference."""

        class OnSQLite(TokenRecord, domain=domain, data_layer=SQL(f"sqlite:///{self.folder.name}/walk.db"), extensions=[TokenResource()]):
            """The real thing."""

        self.resources = (OnMemory, OnSQLite)
        domain.create_storage()
        self.known: list[tuple[str, str, str | None, datetime]] = []
        self.dead: set[tuple[str, str]] = set()
        self.made = 0

    def teardown(self) -> None:
        """Let the clock go."""
        if hasattr(self, "clock"):
            self.clock.__exit__(None, None, None)
            self.folder.cleanup()

    def everywhere(self, work: Any) -> list[Any]:
        """Do the same on each layer, and require the same outcome."""
        outcomes = []
        for resource in self.resources:
            try:
                outcomes.append(("did", work(resource)))
            except InvalidToken as error:
                outcomes.append((type(error).__name__, None))
        assert len({name for name, _ in outcomes}) == 1, outcomes
        return [outcome for _, outcome in outcomes]

    @rule(target=tokens, subject=st.sampled_from(SUBJECTS), family=st.sampled_from([None, "f1", "f2"]), hours=st.integers(1, 30))
    def issue(self, subject: str, family: str | None, hours: int) -> str:
        """A new token of a subject, some with a family."""
        self.made += 1
        self.known.append((f"jti-{self.made}", subject, family, utc_now()))
        return forge(*self.known[-1], hours)

    @rule(target=tokens, hours=st.integers(1, 60), which=st.integers(0, 1000))
    def forge_twin(self, hours: int, which: int) -> str:
        """A token with the jti of another one, and another expiry."""
        if not self.known:
            return forge("jti-0", "alice", None, utc_now(), hours)
        return forge(*self.known[which % len(self.known)], hours)

    @rule(token=tokens, family=st.sampled_from([None, False]))
    def revoke(self, token: str, family: bool | None) -> None:
        """Revoke, with or without the family."""
        self.everywhere(lambda resource: resource.revoke(token, family=family))
        self.must_be_dead(token)

    @rule(which=st.integers(0, 1000))
    def revoke_jti(self, which: int) -> None:
        """Revoke by jti."""
        if self.known:
            jti = self.known[which % len(self.known)][0]
            self.everywhere(lambda resource: resource.revoke_jti(jti))
            assert all(resource.jti_revoked(jti) for resource in self.resources)

    @rule(token=tokens)
    def store(self, token: str) -> None:
        """Store what the token says."""
        self.everywhere(lambda resource: resource.store_token(token))

    @rule(token=tokens)
    def store_changes(self, token: str) -> None:
        """Store pending changes."""
        self.everywhere(lambda resource: resource.store_confirmation_changes(token, {"a": 1}, purpose="user"))

    @rule(subject=st.sampled_from(SUBJECTS), keep=st.sampled_from([(), ("f1",), ("f2",), ("f1", "f2")]), back=st.integers(0, 3))
    def log_out_everywhere(self, subject: str, keep: tuple[str, ...], back: int) -> None:
        """Log out, some sessions kept, some moments in the past."""
        moment = utc_now() - timedelta(hours=back)
        self.everywhere(lambda resource: resource.log_out_everywhere(subject, keep=keep, issued_before=moment))

    @rule(subject=st.sampled_from(SUBJECTS))
    def revoke_all_stored(self, subject: str) -> None:
        """Revoke what is stored of a subject; both layers count the same."""
        counts = self.everywhere(lambda resource: resource.revoke_all_stored_for_subject(subject))
        assert len(set(counts)) == 1

    @rule()
    def expunge(self) -> None:
        """Sweep; both layers remove the same number."""
        removed = self.everywhere(lambda resource: resource.expunge_expired().removed)
        assert len(set(removed)) == 1

    @rule(minutes=st.integers(1, 600))
    def time_passes(self, minutes: int) -> None:
        """The clock moves forward."""
        self.clock.advance(minutes=minutes)

    @rule(token=tokens)
    def look(self, token: str) -> None:
        """Check a token: layers agree, and what was dead is dead."""
        verdicts = {resource.token_revoked(token) for resource in self.resources}
        assert len(verdicts) == 1
        if (token, "") in self.dead:
            assert verdicts == {True}
        if verdicts == {True}:
            self.dead.add((token, ""))

    def must_be_dead(self, token: str) -> None:
        """Note an acknowledged revocation."""
        assert all(resource.token_revoked(token) for resource in self.resources)
        self.dead.add((token, ""))

    @invariant()
    def stays_dead(self) -> None:
        """Once revoked, for ever revoked."""
        for token, _ in getattr(self, "dead", ()):
            assert all(resource.token_revoked(token) for resource in self.resources)


_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestTokenWalk = TokenWalk.TestCase
TestTokenWalk.settings = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=_CHECKS)


@pytest.mark.slow
class TestLongTokenWalk(TokenWalk.TestCase):  # type: ignore[name-defined,misc]  # Hypothesis makes the class
    """The same walk, longer."""

    settings = settings(max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=_CHECKS)
