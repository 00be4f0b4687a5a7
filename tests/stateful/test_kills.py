"""Promise P4: a write that a process had acknowledged is kept, also when the process is killed in the middle of its work."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import racers
from places import SHARED, Place
from workers import Worker

from resourcekit import query
from resourcekit.extending import Field

pytestmark = pytest.mark.parametrize("place", SHARED, indirect=True)


def killed_in_the_middle(place: Place, start: Callable[[int], list[Worker]], rounds: int, seed: int) -> None:
    """Kill a process among its revokes, uses and sweeps, again and again; acknowledged writes are kept."""
    token, dice = racers.declare(place), random.Random(seed)
    for _ in range(rounds):
        (racer,) = start(1)
        operations: list[tuple[str, str]] = []
        for word in dice.choices(["revoke", "consume", "revoke_jti", "expunge"], k=60):
            issued = token.issue("alice", purpose="reset")
            token.revoke_jti(f"due-{issued.claims.jti}", expires_at=issued.claims.issued_at)
            racer.send(f"{word}:{issued.claims.jti if word == 'revoke_jti' else issued.token}")
            operations.append((word, issued.claims.jti))
        heard = [racer.answer() for _ in range(dice.randrange(60))] + racer.kill()

        assert {"won"} >= set(heard)
        for word, jti in operations[: len(heard)]:
            if word != "expunge":
                reason = "consumed" if word == "consume" else "revoked"
                assert reason == token.get_token(jti=jti).revocation_reason
                assert token.jti_revoked(jti) is True
        assert place.is_sound()
        assert 0 == query(token).filter(Field("revoked_at").is_none()).count()


class TestKilled:
    def test_what_was_acknowledged_survives_a_kill(self, place, workers):
        """Revoke, consume, revoke_jti and a sweep, cut off by SIGKILL: acknowledged writes are kept, half of one never is."""
        killed_in_the_middle(place, workers, rounds=3, seed=1)

    @pytest.mark.slow
    def test_what_was_acknowledged_survives_many_kills(self, place, workers):
        """The same, longer."""
        killed_in_the_middle(place, workers, rounds=15, seed=2)

    def test_a_killed_winner_keeps_nobody_waiting(self, place, workers):
        """A process that dies inside its transaction has done nothing, and the next one wins at once."""
        token, (one, two) = racers.declare(place), workers(2)
        text = token.issue("alice", purpose="reset").token
        one.send(f"hold:{text}")
        assert "holding" == one.answer()
        two.send(f"consume:{text}")
        one.kill()

        assert "won" == two.answer()
        assert token.token_revoked(text) is True
