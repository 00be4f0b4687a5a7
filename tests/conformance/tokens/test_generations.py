"""A log-out everywhere by generation: whatever the clocks of the hosts say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from call_styles import SECRET

from resourcekit import transaction
from resourcekit.errors import InvalidArgument
from resourcekit_tokens import JWT


class TestGenerations:
    def test_a_token_from_a_clock_ahead_does_not_survive(self, token_resource, clock):
        """Issued before the log-out, by a host that is 45 s ahead; a sign-in right after it lives, by a host that is behind too."""
        token = token_resource(jwt=JWT(SECRET))
        now = clock.now()
        clock.set(now + timedelta(seconds=45))
        ahead = token.issue("alice").token
        clock.set(now)
        token.log_out_everywhere("alice")
        clock.set(now - timedelta(seconds=45))
        behind = token.issue("alice").token
        clock.set(now + timedelta(seconds=45))

        assert [True, False] == [token.token_revoked(text) for text in (ahead, behind)]

    def test_a_sign_in_that_began_before_a_log_out_does_not_survive_it(self, token_resource):
        """Its generation was read before the password was checked."""
        token = token_resource(jwt=JWT(SECRET))
        before = token.generation("alice")
        token.log_out_everywhere("alice")
        late, fresh = token.issue_pair("alice", generation=before), token.issue("alice", generation=token.generation("alice"))

        assert [True, True, False] == [token.token_revoked(each.token) for each in (late.access, late.refresh, fresh)]
        assert before != token.generation("alice")

    @pytest.mark.parametrize("typed", ["", "a\0", "\ud800", "a" * 1_025])
    def test_a_text_that_is_no_subject_has_a_generation(self, token_resource, typed):
        """A form may hold it, and the password is checked afterwards. A token for it is refused."""
        token = token_resource(jwt=JWT(SECRET))

        assert token.generation("carol") == token.generation(typed)
        with pytest.raises(InvalidArgument, match="subject: must"):
            token.issue_pair(typed, generation=token.generation(typed))

    def test_whom_an_earlier_log_out_ended_no_later_one_keeps(self, token_resource):
        """A kept session must be of a generation that was alive then (promise P1: a revoked token stays revoked)."""
        token = token_resource(jwt=JWT(SECRET))
        dead = token.issue_pair("alice")
        token.log_out_everywhere("alice")
        kept = token.issue_pair("alice")
        families = [each.access.claims.family for each in (dead, kept)]
        for _ in range(2):
            token.log_out_everywhere("alice", keep=families)

        assert [True, False] == [token.token_revoked(each.access.token) for each in (dead, kept)]
        token.log_out_everywhere("alice")
        assert token.token_revoked(kept.access.token) is True

    def test_a_log_out_of_this_transaction_and_a_token_after_it(self, plain):
        """The open transaction sees its own generation, and others the former one until it commits."""
        token = plain(jwt=JWT(SECRET))
        token.log_out_everywhere("alice")
        old = token.issue("alice").token
        with transaction(token.resource):
            token.log_out_everywhere("alice")
            new = token.issue("alice").token

            assert [True, False] == [token.token_revoked(text) for text in (old, new)]
        assert [True, False] == [token.token_revoked(text) for text in (old, new)]

    def test_the_generation_of_a_peer_counts_by_our_key_only(self, token_resource, forge):
        """``generation_claims`` goes into tokens that the resource's key signs; another issuer's claims of that name are ignored."""
        token = token_resource(jwt=JWT(SECRET))
        token.log_out_everywhere("alice")
        claims = token.generation_claims("alice")
        ours, without = forge("ours", **claims), forge("without")

        assert [False, True] == [token.token_revoked(text) for text in (ours, without)]
        facts = {"subject": "alice", "issued_at": None}
        assert token.jti_revoked("ours", generation=claims["rk_gen"], **facts) is False
        assert token.jti_revoked("ours", **facts) is True
        with pytest.raises(InvalidArgument, match="rk_gen"):
            token.issue("alice", claims={"rk_gen": "mine"})

    def test_issued_before_counts_whole_seconds(self, token_resource, clock):
        """``iat`` is rounded down, so the moment is rounded up: every token of that second ends."""
        token = token_resource(jwt=JWT(SECRET))
        clock.advance(microseconds=700_000)
        issued = token.issue("alice")
        token.log_out_everywhere("alice", issued_before=clock.now() - timedelta(microseconds=200_000))
        clock.advance(seconds=1)

        assert int is type(issued.claims["iat"])
        assert token.token_revoked(issued.token) is True
        assert token.token_revoked(token.issue("alice").token) is False
