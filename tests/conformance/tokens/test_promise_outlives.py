"""P1 and P7: a record that ends a token stays until the last moment at which any host could accept the token."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from call_styles import SECRET

from resourcekit.errors import DeclarationError
from resourcekit_tokens import JWT, RevokedJti, TokenResource
from resourcekit_tokens.claims import family_of
from resourcekit_tokens.errors import InvalidToken, ReuseDetected, TokenRevoked

DAYS = 24.0
SKEW = timedelta(seconds=60)

ENDS = {
    "revoke_jti": lambda token, _: token.revoke_jti("long"),
    "revoke_jtis": lambda token, _: token.revoke_jtis([RevokedJti("long")]),
    "log_out_everywhere": lambda token, _: token.log_out_everywhere("alice"),
    "end of the family": lambda token, sibling: token.revoke(sibling),
}


class TestTokensWithoutIat:
    @pytest.mark.parametrize("end", list(ENDS))
    @pytest.mark.parametrize("keyed", [True, False])
    def test_a_long_token_stays_ended(self, token_resource, forge, clock, end, keyed):
        """A token of a hundred days without ``iat`` is refused in its last days too, when what ended it is gone."""
        options = {"jwt": JWT(SECRET)} if keyed else {}
        token = token_resource(max_lifetime=timedelta(days=14), **options)
        long = forge("long", fam="f", hours=100 * DAYS, iat=None)
        ENDS[end](token, forge("sibling", fam="f", hours=DAYS))
        clock.advance(days=90)
        token.expunge_expired()

        assert token.token_revoked(long) is True
        with pytest.raises(InvalidToken):
            token.verify(long)

    def test_the_error_names_iat_and_the_cure(self, plain, forge):
        """The token is refused from its first day on, and the error says what to do."""
        token = plain(jwt=JWT(SECRET))
        with pytest.raises(InvalidToken, match=r"max_lifetime=timedelta\.max") as caught:
            token.verify(forge(iat=None))

        assert "iat" == caught.value.claim
        assert ("invalid", True) == (token.explain(token=forge(iat=None)).rule, token.token_revoked(forge(iat=None)))

    def test_without_a_bound_they_are_accepted_and_records_stay_for_ever(self, token_resource, forge, clock):
        """``max_lifetime=timedelta.max``: a token without ``iat`` verifies until it is ended, and then never again."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta.max)
        text = forge("long", hours=300 * DAYS, iat=None)
        verified = token.verify(text).jti
        token.revoke_jti("long")
        clock.advance(days=299)
        token.expunge_expired()

        assert "long" == verified
        assert token.token_revoked(text) is True


class TestTokensFromTheFuture:
    @pytest.mark.parametrize("ahead", [SKEW + timedelta(microseconds=1), timedelta(days=10), timedelta(days=300_000)])
    def test_they_are_refused(self, token_resource, forge, clock, ahead):
        """A post-dated token, or one whose ``iat`` counts milliseconds, is accepted by nothing that trusts it."""
        token = token_resource(jwt=JWT(SECRET, default_purpose="refresh"))
        text = forge(iat=(clock.now() + ahead).timestamp())
        for act in (
            lambda: token.verify(text, purpose="refresh"),
            lambda: token.consume(text, purpose="refresh"),
            lambda: token.confirm(text, purpose="refresh"),
            lambda: token.rotate(text),
            lambda: token.store_token(text),
            lambda: token.store_confirmation_changes(text, {"a": 1}, purpose="refresh"),
        ):
            with pytest.raises(InvalidToken) as caught:
                act()
            assert "iat" == caught.value.claim
        assert token.token_revoked(text) is True
        assert ("invalid", True) == (token.explain(token=text).rule, token.explain(token=text).revoked)

    def test_a_clock_that_is_ahead_by_clock_skew_is_fine(self, token_resource, forge, clock):
        """Clocks of issuers do run ahead."""
        token = token_resource(jwt=JWT(SECRET))
        text = forge(iat=(clock.now() + SKEW).timestamp())

        assert "alice" == token.verify(text).subject
        assert token.token_revoked(text) is False

    def test_revoke_takes_them_and_they_stay_ended(self, token_resource, forge, clock):
        """A post-dated token is revoked before its time; neither it nor its family lives when its time has come."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta(days=14))
        dated = {"iat": (clock.now() + timedelta(days=100)).timestamp(), "hours": 110 * DAYS}
        token.revoke(forge("late", fam="f", **dated))
        for days in (13, 20, 60, 15, 1):  # until 109 days
            clock.advance(days=days)
            token.expunge_expired()

        assert token.token_revoked(forge("late", fam="f", iat=clock.now().timestamp(), hours=1)) is True
        assert token.token_revoked(forge("other", fam="f", iat=clock.now().timestamp(), hours=1)) is True


REVOKES = {
    "revoke_jti": lambda token: token.revoke_jti("j"),
    "revoke_jtis": lambda token: token.revoke_jtis([RevokedJti("j")]),
    "revoke_all_stored_for_subject": lambda token: token.revoke_all_stored_for_subject("alice"),
    "revoke_all of a purpose": lambda token: token.revoke_all_stored_for_subject("alice", purposes=["user"]),
}


class TestStoredExpiries:
    @pytest.mark.parametrize("revoke", list(REVOKES))
    @pytest.mark.parametrize("minutes", [1, 70])
    def test_a_prolonged_token_stays_revoked(self, token_resource, forge, clock, revoke, minutes):
        """The issuer prolonged a token under its jti; the stored expiry, passed or not, is of the earlier one."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta(days=14))
        token.store_token(forge("j", hours=1))
        prolonged = forge("j", hours=10 * DAYS)
        clock.advance(minutes=minutes)
        REVOKES[revoke](token)
        for _ in range(9):
            token.expunge_expired()

            assert token.token_revoked(prolonged) is True
            clock.advance(days=1)

    @pytest.mark.parametrize("revoke", list(REVOKES))
    @pytest.mark.parametrize("bounded", [True, False])
    def test_a_forged_twin_that_came_first_does_not_shorten(self, token_resource, forge, clock, revoke, bounded):
        """Without keys anything can be stored; what is revoked by jti stays as long as any token may live."""
        token = token_resource(**({"max_lifetime": timedelta(days=14)} if bounded else {}))
        real = forge("j", hours=10 * DAYS)
        token.store_token(forge("j", exp=1, iat=None, key="another-secret-of-another-issuer-0123456789"))
        REVOKES[revoke](token)
        token.expunge_expired()
        clock.advance(days=9)
        token.expunge_expired()

        assert token.token_revoked(real) is True

    def test_an_earlier_expiry_that_is_given_does_not_shorten(self, token_resource, forge, clock):
        """The later of the stored and the given expiry counts."""
        token = token_resource()
        token.store_token(forge("j", hours=10))
        record = token.revoke_jti("j", expires_at=clock.now() - timedelta(hours=1))

        assert clock.now() + timedelta(hours=10) == record.expires_at

    def test_a_revoked_token_that_has_expired_does_not_let_its_twin_live(self, token_resource, forge, clock):
        """The holder logs out with an expired token; the prolonged one of that jti ends with it."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta(days=14))
        expired, prolonged = forge("j", hours=1), forge("j", hours=10 * DAYS)
        clock.advance(hours=2)
        token.revoke(expired)
        token.expunge_expired()

        assert token.token_revoked(prolonged) is True


class TestHostsApart:
    """The clock of a host may be off by ``clock_skew``, either way; the test shows the time of one host after another."""

    @pytest.mark.parametrize("leeway", [timedelta(0), timedelta(minutes=3)])
    def test_a_token_at_the_end_of_its_life(self, token_resource, clock, leeway):
        """A host that is ahead sweeps, a host that is behind is asked: at every second around the end it says "revoked"."""
        token = token_resource(jwt=JWT(SECRET), leeway=leeway)
        issued = token.issue("alice", lifetime=timedelta(hours=1))
        token.revoke(issued.token)
        self.ask_around(token, clock, issued, leeway)

    @pytest.mark.parametrize("end", ["revoke_jti", "family", "cut-off"])
    def test_a_token_from_a_host_that_is_ahead(self, token_resource, clock, end):
        """Issued ahead, ended behind: the record's expiry is counted from an earlier moment than the token's."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta(hours=1))
        now = clock.now()
        clock.set(now + SKEW)
        pair = token.issue_pair("alice", access_lifetime=timedelta(minutes=1))
        clock.set(now - SKEW)
        match end:
            case "revoke_jti":
                token.revoke_jti(pair.refresh.claims.jti)
            case "family":
                token.revoke(pair.access.token)
            case _:
                token.log_out_everywhere("alice", issued_before=now + SKEW + timedelta(seconds=1))
        self.ask_around(token, clock, pair.refresh, timedelta(0))

    def ask_around(self, token: Any, clock: Any, issued: Any, leeway: timedelta) -> None:
        """Sweep by a clock that is ahead, and ask by one that is behind, until all tolerance is over."""
        moment = issued.claims.expires_at - 3 * SKEW
        while moment < issued.claims.expires_at + leeway + 4 * SKEW:
            clock.set(moment + SKEW)
            token.expunge_expired()
            clock.set(moment - SKEW)

            assert token.token_revoked(issued.token) is True
            with pytest.raises(InvalidToken):
                token.verify(issued.token, purpose=issued.claims.purpose)
            moment += timedelta(seconds=17)


class TestFamilies:
    def test_revoking_a_refresh_token_without_family_ends_the_one_that_it_begins(self, token_resource, forge):
        """What ``rotate`` made of it dies with it."""
        token = token_resource(jwt=JWT(SECRET))
        first = forge("first", purpose="refresh")
        pair = token.rotate(first)
        token.revoke(first)

        assert family_of("first") == pair.access.claims.family
        assert [True, True] == [token.token_revoked(each.token) for each in (pair.access, pair.refresh)]

    def test_family_false_leaves_the_one_that_it_begins_alone(self, token_resource, forge):
        """As for a family that has a name."""
        token = token_resource(jwt=JWT(SECRET))
        first = forge("first", purpose="refresh")
        pair = token.rotate(first)
        token.revoke(first, family=False)

        assert "alice" == token.verify(pair.access.token).subject

    def test_a_repetition_after_the_end_of_the_family_is_refused(self, token_resource, forge):
        """Within ``rotation_grace``, the family that the token began counts for the token itself."""
        token = token_resource(jwt=JWT(SECRET), rotation_grace=timedelta(minutes=1))
        first = forge("first", purpose="refresh")
        pair = token.rotate(first)
        token.revoke(pair.access.token)

        with pytest.raises(TokenRevoked):
            token.rotate(first)

    def test_no_refresh_token_outlives_max_lifetime(self, token_resource, clock):
        """The end of a family stays as long as the last of its tokens, over rotations."""
        token = token_resource(jwt=JWT(SECRET, lifetimes={"refresh": timedelta(days=90)}), max_lifetime=timedelta(days=14))
        pair = token.issue_pair("alice")
        clock.advance(days=13)
        pair = token.rotate(pair.refresh.token)
        token.revoke(pair.access.token)
        for _ in range(15):
            assert token.token_revoked(pair.refresh.token) is True
            clock.advance(days=1)
            token.expunge_expired()


class TestPendingChanges:
    @pytest.mark.parametrize("end", ["cut-off", "cut-off at that moment", "family", "own"])
    def test_none_once_the_token_was_ended(self, token_resource, forge, clock, end):
        """By a cut-off of its subject, with its family, or by itself."""
        token = token_resource()
        text = forge("change", fam="f")
        token.store_confirmation_changes(text, {"email": "new@example.org"})
        before = token.get_confirmation_changes(jti="change")
        match end:
            case "cut-off":
                clock.advance(seconds=1)
                token.log_out_everywhere("alice")
            case "cut-off at that moment":
                token.log_out_everywhere("alice")
            case "family":
                token.revoke(forge("sibling", fam="f"))
            case _:
                token.revoke(text, family=False)

        assert {"email": "new@example.org"} == before
        assert token.get_confirmation_changes(jti="change") is None

    def test_changes_of_a_kept_session_stay(self, token_resource, forge, clock):
        """``keep`` names the family, so the pending changes live on; another subject's log-out ends nothing here."""
        token = token_resource()
        token.store_confirmation_changes(forge("change", fam="f"), {"a": 1})
        clock.advance(seconds=1)
        token.log_out_everywhere("alice", keep=["f"])
        token.log_out_everywhere("bob")

        assert {"a": 1} == token.get_confirmation_changes(jti="change")


class TestPresence:
    def test_rotate_asks_for_presence(self, token_resource, forge):
        """A refresh token that was never stored is refused, and nothing is written for it."""
        token = token_resource(jwt=JWT(SECRET), store_all_tokens=True, require_token_presence=True)
        stray = forge("stray", purpose="refresh")
        with pytest.raises(InvalidToken):
            token.rotate(stray)

        assert token.get_token(jti="stray") is None

    def test_a_stored_one_is_rotated_and_its_reuse_is_detected(self, token_resource):
        """Presence changes nothing else."""
        token = token_resource(jwt=JWT(SECRET), store_all_tokens=True, require_token_presence=True)
        pair = token.issue_pair("alice")
        successor = token.rotate(pair.refresh.token)
        with pytest.raises(ReuseDetected):
            token.rotate(pair.refresh.token)

        assert token.token_revoked(successor.access.token) is True


class TestExtremes:
    @pytest.mark.parametrize("option", ["leeway", "clock_skew"])
    def test_a_tolerance_beyond_all_measure_is_refused(self, option):
        """Sums of it would leave the range of dates; the error says how much may be."""
        with pytest.raises(DeclarationError, match="10000 days"):
            TokenResource(**{option: timedelta.max})

    @pytest.mark.parametrize("option", ["leeway", "clock_skew"])
    def test_the_longest_tolerance_works(self, token_resource, forge, clock, option):
        """Revoked, swept and asked, with a token that never ends beside it."""
        token = token_resource(jwt=JWT(SECRET), **{option: timedelta(days=10_000)})
        text = forge("one")
        token.revoke(text)
        token.revoke(forge("endless", hours=None, fam="f"))
        token.log_out_everywhere("alice")
        clock.advance(days=9_999)
        token.expunge_expired()

        assert token.token_revoked(text) is True

    def test_a_cut_off_in_the_future_stays_until_its_last_token_has_ended(self, token_resource, clock):
        """``issued_before`` may lie ahead: tokens that are issued until then are dead, and their cut-off outlives them."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta(days=14))
        token.log_out_everywhere("alice", issued_before=clock.now() + timedelta(days=100))
        clock.advance(days=99)
        token.expunge_expired()
        late = token.issue("alice", lifetime=timedelta(days=14)).token
        for _ in range(15):
            assert token.token_revoked(late) is True
            clock.advance(days=1)
            token.expunge_expired()
