"""A call that is held up between two steps until a sweep has taken the record: what was revoked or used stays so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from resourcekit_tokens.errors import TokenExpired

SKEW = timedelta(seconds=60)


@pytest.fixture
def held_up(monkeypatch, clock):
    """Let the next call wait at its first step in the store until the token's record was swept."""

    def arrange(token, expires_at):
        store = token.__runtime__.store

        def wait() -> None:
            for name in ("select", "transaction"):
                monkeypatch.delattr(store, name)
            clock.set(expires_at + 5 * SKEW + timedelta(seconds=1))
            assert 1 == token.expunge_expired().removed

        def select(plan, params):
            wait()
            return store.select(plan, params)

        def transaction():
            wait()
            return store.transaction()

        monkeypatch.setattr(store, "select", select, raising=False)
        monkeypatch.setattr(store, "transaction", transaction, raising=False)

    return arrange


@pytest.fixture
def token(plain):
    """A token resource on each layer."""
    from resourcekit_tokens import JWT

    return plain(jwt=JWT("a-secret-for-those-held-up-that-is-long-enough-for-every-hash-there-is-01"), clock_skew=SKEW).resource


@pytest.mark.parametrize("function", ["consume", "confirm", "verify"])
def test_a_used_token_is_not_used_again_by_who_was_held_up(token, held_up, function):
    """Verified in time, held up over expiry, margin and a sweep: it has expired now, and is refused."""
    issued = token.issue("alice", purpose="confirm", lifetime=timedelta(hours=1))
    token.consume(issued.token, purpose="confirm")
    held_up(token, issued.claims.expires_at)

    with pytest.raises(TokenExpired):
        getattr(token, function)(issued.token, purpose="confirm")
    assert [] == token.read_expired()


def test_a_refresh_token_is_not_rotated_again_by_who_was_held_up(token, held_up):
    """The same for a rotation: no second pair."""
    pair = token.issue_pair("alice")
    token.revoke(pair.refresh.token, family=False)
    held_up(token, pair.refresh.claims.expires_at)

    with pytest.raises(TokenExpired):
        token.rotate(pair.refresh.token)


def test_a_check_that_was_held_up_does_not_take_a_revoked_token_for_live(token, held_up):
    """It found no record, because it came after the sweep; the token's time is over."""
    issued = token.issue("alice", lifetime=timedelta(hours=1))
    token.revoke(issued.token)
    held_up(token, issued.claims.expires_at)

    assert token.token_revoked(issued.token) is True
