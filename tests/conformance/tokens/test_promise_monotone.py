"""Promises P1 and P6: a revoked token stays revoked; facts only grow. Each test is a way by which a token could come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta

import pytest
from call_styles import SECRET

from resourcekit import transaction
from resourcekit_tokens import JWT, RevokedJti
from resourcekit_tokens.errors import InvalidToken, TokenConsumed, TokenRevoked

HOUR = timedelta(hours=1)


def revive(token, text, jti):
    """Do to a token all that might bring it back."""
    token.store_token(text)
    token.store_confirmation_changes(text, {"a": 1}, purpose="user")
    token.revoke(text, reason="again")
    token.revoke_jti(jti)
    token.revoke_jtis([RevokedJti(jti), RevokedJti(jti, subject="mallory")])
    token.get_token(token=text)
    token.expunge_expired()
    token.revoke_all_stored_for_subject("alice")
    token.log_out_everywhere("alice", keep=[jti])


def subject_stored(token, text):
    """Store a token and return the subject of its record; ``None`` if it was refused."""
    try:
        return token.store_token(text).subject
    except InvalidToken:
        return None


class TestMonotone:
    def test_nothing_revives_a_revoked_token(self, token_resource, forge, clock):
        """No function, and no sweep, until the token can be accepted nowhere; then the check still says ``True``."""
        token = token_resource()
        text = forge("one", purpose="user", hours=2)
        token.revoke(text)
        for _ in range(10):
            revive(token, text, "one")

            assert token.token_revoked(text) is True
            clock.advance(minutes=20)

        assert [] == token.read_expired()

    def test_a_forged_twin_with_an_earlier_expiry_shortens_nothing(self, token_resource, forge, clock):
        """Whatever comes first, the record lives as long as the later of the two."""
        for first, second in ((9, 1), (1, 9)):
            token = token_resource()
            token.revoke(forge("one", hours=first))
            token.revoke(forge("one", hours=second))
            token.store_token(forge("one", hours=1))
            token.revoke_jti("one", expires_at=clock.now() - HOUR)
            real = forge("one", hours=9)
            clock.advance(hours=8)

            assert 0 == token.expunge_expired().removed
            assert token.token_revoked(real) is True

    def test_a_check_that_found_the_twin_keeps_the_record_for_the_token(self, token_resource, forge, clock):
        """A token that was once found revoked by the record of its twin stays so after that record would have gone."""
        token = token_resource()
        real = forge("one", hours=9)
        token.revoke(forge("one", hours=1))

        assert token.token_revoked(real) is True
        clock.advance(hours=3)
        token.expunge_expired()
        assert token.token_revoked(real) is True

    @pytest.mark.parametrize("margin", [(0, 0), (30, 60), (120, 0)])
    def test_a_sweep_within_the_leeway_takes_nothing(self, token_resource, forge, clock, margin):
        """Expired, but still accepted somewhere: the record stays, and the check says ``True``, at every microsecond."""
        leeway, skew = (timedelta(seconds=seconds) for seconds in margin)
        token = token_resource(jwt=JWT(SECRET), leeway=leeway, clock_skew=skew)
        text = forge("one", purpose="user", hours=1)
        token.revoke(text)
        clock.advance(hours=1, microseconds=-1)
        for step in (0, 1, 1, (leeway + 5 * skew) / timedelta(microseconds=1) - 2, 1, 1, 1, 10**6):
            clock.advance(microseconds=max(0, step))
            token.expunge_expired()

            assert token.token_revoked(text) is True

    def test_a_token_past_its_cutoff_stays_dead(self, token_resource, forge, clock):
        """A cut-off goes when the last token that it ended is past all tolerance."""
        token = token_resource(max_lifetime=5 * HOUR)
        texts = [forge("dated", hours=5), forge("undated", hours=5, iat=None)]
        clock.advance(seconds=1)
        token.log_out_everywhere("alice")
        for _ in range(14):
            assert [True, True] == [token.token_revoked(text) for text in texts]
            clock.advance(minutes=30)
            token.expunge_expired()

    def test_a_token_without_iat_stays_dead_once_a_cutoff_was_found(self, token_resource, forge, clock):
        """It may be younger than the cut-off and outlive it; the check that found it dead keeps the cut-off."""
        token = token_resource(max_lifetime=5 * HOUR)
        token.log_out_everywhere("alice")
        clock.advance(hours=3)
        young = forge("young", hours=5, iat=None)
        verdicts = []
        for _ in range(6):
            verdicts.append(token.token_revoked(young))
            clock.advance(hours=1)
            token.expunge_expired()

        assert [True] * 6 == verdicts

    def test_a_token_of_an_ended_family_stays_dead_once_found(self, token_resource, forge, clock):
        """Also one that was issued into the family after its end."""
        token = token_resource(max_lifetime=5 * HOUR)
        token.revoke(forge("first", fam="f1", hours=5))
        clock.advance(hours=3)
        late = forge("late", fam="f1", hours=5)
        verdicts = []
        for _ in range(6):
            verdicts.append(token.token_revoked(late))
            clock.advance(hours=1)
            token.expunge_expired()

        assert [True] * 6 == verdicts

    def test_what_consume_refused_stays_refused(self, token_resource, forge, clock):
        """A consume that found the family ended never succeeds later, after a sweep."""
        token = token_resource(jwt=JWT(SECRET, default_purpose="reset"), max_lifetime=5 * HOUR)
        token.revoke(forge("first", fam="f1", hours=5))
        clock.advance(hours=3)
        late = forge("late", fam="f1", hours=5)
        for _ in range(4):
            with pytest.raises(TokenRevoked):
                token.consume(late, purpose="reset")
            clock.advance(hours=1)
            token.expunge_expired()

    @pytest.mark.parametrize("iat", [True, False])
    def test_an_endless_token_stays_dead(self, token_resource, forge, clock, iat):
        """Without ``exp``: its record goes by ``max_lifetime``, and by then it is dead by that alone."""
        token = token_resource(max_lifetime=5 * HOUR)
        text = forge("endless", hours=None) if iat else forge("endless", hours=None, iat=None)
        token.revoke(text)
        for _ in range(10):
            clock.advance(hours=1)
            token.expunge_expired()

            assert token.token_revoked(text) is True

    @pytest.mark.parametrize("iat", [True, False])
    def test_an_endless_token_that_nobody_asked_about_stays_dead(self, token_resource, forge, clock, iat):
        """Revoked, swept, and only then checked."""
        token = token_resource(max_lifetime=5 * HOUR)
        text = forge("endless", hours=None) if iat else forge("endless", hours=None, iat=None)
        token.revoke(text)
        clock.advance(hours=5, minutes=5, microseconds=1)

        assert 1 == token.expunge_expired().removed
        assert token.token_revoked(text) is True

    def test_an_endless_token_from_the_future_stays_dead(self, token_resource, forge, clock):
        """An ``iat`` that lies ahead counts from there."""
        token = token_resource(max_lifetime=5 * HOUR)
        text = forge("endless", hours=None, iat=(clock.now() + 3 * HOUR).timestamp())
        token.revoke(text)
        for _ in range(12):
            clock.advance(hours=1)
            token.expunge_expired()

            assert token.token_revoked(text) is True

    def test_a_consumed_token_stays_consumed(self, token_resource, clock):
        """After every revival attempt the second use is refused."""
        token = token_resource(jwt=JWT(SECRET))
        issued = token.issue("alice", lifetime=2 * HOUR)
        token.consume(issued.token, purpose="user")
        revive(token, issued.token, issued.claims.jti)

        assert "consumed" == token.get_token(jti=issued.claims.jti).revocation_reason
        with pytest.raises(TokenConsumed):
            token.consume(issued.token, purpose="user")

    def test_a_rolled_back_revoke_was_never_acknowledged(self, plain, forge):
        """Inside a transaction the acknowledgement is its commit."""
        token = plain()
        text = forge("one", fam="f1")
        with pytest.raises(OSError, match="no"), transaction(token.resource):
            token.revoke(text)
            inside = token.token_revoked(text)
            raise OSError("no")

        assert inside is True
        assert token.token_revoked(text) is False

    def test_a_cutoff_only_moves_forward(self, token_resource, forge, clock):
        """In each order of cut-offs, a token that one of them ended stays ended."""
        token = token_resource()
        texts = []
        for number in range(5):
            texts.append(forge(f"jti-{number}", fam=f"f{number % 2}", hours=48))
            clock.advance(hours=1)
        dead: set[str] = set()
        for back, keep in (
            (4.5, ["f0"]),
            (1.5, ["f1", "jti-0"]),
            (3.5, []),
            (0.5, ["f0", "jti-3"]),
            (2.5, ["f0"]),
            (0, ["jti-4"]),
        ):
            token.log_out_everywhere("alice", issued_before=clock.now() - timedelta(hours=back), keep=keep)
            now = {text for text in texts if token.token_revoked(text)}

            assert dead <= now
            dead = now


class TestGrowth:
    def test_a_revocation_keeps_its_first_moment_and_reason(self, token_resource, forge, clock):
        """Whatever writes afterwards."""
        token = token_resource()
        text = forge("one", purpose="user", hours=5)
        first = token.revoke(text, reason="first")
        clock.advance(minutes=1)
        revive(token, text, "one")
        last = token.get_token(jti="one")

        assert (first.revoked_at, "first") == (last.revoked_at, last.revocation_reason)
        assert first.created_at == last.created_at

    @pytest.mark.parametrize("order", [("real", "twin"), ("twin", "real")])
    @pytest.mark.parametrize("write", ["store_token", "revoke", "store_confirmation_changes"])
    def test_expiry_becomes_the_later_one(self, token_resource, forge, clock, order, write):
        """In both orders, by every function that takes a token."""
        token = token_resource()
        hours = {"real": 9, "twin": 2}
        for which in order:
            text = forge("one", hours=hours[which])
            if write == "store_confirmation_changes":
                token.store_confirmation_changes(text, {"a": 1})
            else:
                getattr(token, write)(text)

        assert clock.now() + 9 * HOUR == token.get_token(jti="one").expires_at

    @pytest.mark.parametrize("write", ["store_token", "revoke", "store_confirmation_changes", "revoke_jti", "revoke_jtis"])
    def test_subject_purpose_and_family_of_a_stored_token_never_change(self, token_resource, forge, write):
        """A twin that says otherwise changes nothing of them."""
        token = token_resource()
        token.store_token(forge("one", "alice", fam="f1"), purpose="confirm")
        twin = forge("one", "mallory", fam="f2")
        match write:
            case "store_token":
                token.store_token(forge("one", fam="f2"), purpose="user")
            case "revoke":
                token.revoke(twin)
            case "store_confirmation_changes":
                token.store_confirmation_changes(forge("one", fam="f2"), {}, purpose="other")
            case "revoke_jti":
                token.revoke_jti("one", subject="mallory")
            case _:
                token.revoke_jtis([RevokedJti("one", subject="mallory")])
        record = token.get_token(jti="one")

        assert ("alice", "confirm", "f1") == (record.subject, record.purpose, record.family)

    @pytest.mark.parametrize("write", ["store_token", "store_confirmation_changes"])
    @pytest.mark.parametrize("is_revoked", [False, True])
    def test_a_token_of_another_subject_is_not_stored_under_a_jti_that_is_taken(self, token_resource, forge, write, is_revoked):
        """The statement that would store it decides, and changes nothing of the record."""
        token = token_resource()
        token.store_token(forge("one", "alice"), extra_data={"a": 1})
        if is_revoked:
            token.revoke(forge("one", "alice"))
        before = token.get_token(jti="one")
        twin = forge("one", "mallory", hours=9)
        with pytest.raises(InvalidToken) as refusal:
            if write == "store_token":
                token.store_token(twin)
            else:
                token.store_confirmation_changes(twin, {"b": 2}, purpose="user")
        after = token.get_token(jti="one")

        assert "sub" == refusal.value.claim
        assert "mallory" not in str(refusal.value)
        assert before == after

    def test_of_two_subjects_under_one_jti_the_first_is_stored(self, plain, forge):
        """Both are stored at once: exactly one call returns, and the record is of its subject."""
        token = plain()
        for race in range(10):
            texts = [forge(f"race{race}", subject) for subject in ("alice", "mallory")]
            with ThreadPoolExecutor(2) as pool:
                calls = [pool.submit(copy_context().run, subject_stored, token, text) for text in texts]  # with the clock
                answers = [call.result() for call in calls]
            stored = token.get_token(jti=f"race{race}").subject

            assert {stored, None} == set(answers)

    def test_a_later_revocation_reason_never_replaces_that_of_a_use(self, token_resource):
        """Consumed stays consumed, rotated stays rotated."""
        token = token_resource(jwt=JWT(SECRET))
        issued, pair = token.issue("alice"), token.issue_pair("alice")
        token.consume(issued.token, purpose="user")
        token.rotate(pair.refresh.token)
        token.revoke(issued.token, reason="later")
        token.revoke(pair.refresh.token, reason="later")
        token.revoke_all_stored_for_subject("alice")

        assert "consumed" == token.get_token(jti=issued.claims.jti).revocation_reason
        assert "rotated" == token.get_token(jti=pair.refresh.claims.jti).revocation_reason

    def test_pending_changes_do_not_touch_the_revocation(self, token_resource, forge):
        """Changes on a dead token are written and never handed out."""
        token = token_resource()
        token.revoke(forge("one"), reason="gone")
        record = token.store_confirmation_changes(forge("one"), {"a": 1})

        assert "gone" == record.revocation_reason
        assert token.get_confirmation_changes(jti="one") is None
