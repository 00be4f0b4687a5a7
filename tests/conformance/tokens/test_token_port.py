"""What a token resource does without any declaration of the user's: the ideas of AshAuthentication's own token tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from resourcekit import info, query
from resourcekit.errors import InvalidArgument
from resourcekit_tokens.errors import InvalidToken, WrongPurpose


class TestReadExpired:
    def test_nothing_is_expired_at_first(self, token_resource):
        """A resource without records has no expired ones."""
        assert [] == token_resource().read_expired()

    def test_only_records_past_their_expiry_are_read(self, token_resource, forge, clock):
        """Of a record that has expired and one that has not, the first is read."""
        token = token_resource()
        token.store_token(forge("short", hours=1))
        token.store_token(forge("long", hours=5))
        clock.advance(hours=2)

        assert ["short"] == [record.jti for record in token.read_expired()]

    def test_a_record_is_not_expired_at_the_very_moment(self, token_resource, forge, clock):
        """``read_expired`` gives what lies past ``expires_at``, from the next microsecond on."""
        token = token_resource()
        token.store_token(forge(hours=1))
        clock.advance(hours=1)
        at_the_moment = token.read_expired()
        clock.advance(microseconds=1)

        assert [] == at_the_moment
        assert 1 == len(token.read_expired())

    def test_revoked_records_are_read_too(self, token_resource, forge, clock):
        """Revoked or stored: what has expired is read."""
        token = token_resource()
        token.revoke(forge("revoked"))
        token.store_token(forge("stored"))
        clock.advance(hours=2)

        assert {"revoked", "stored"} == {record.jti for record in token.read_expired()}

    def test_cutoffs_and_families_are_not_read(self, token_resource, forge, clock):
        """Records that belong to no token are never in a list."""
        token = token_resource(max_lifetime=timedelta(hours=1))
        token.revoke(forge("one", fam="f1"))
        token.log_out_everywhere("alice")
        clock.advance(hours=2)

        assert ["one"] == [record.jti for record in token.read_expired()]
        assert ["one"] == [record.jti for record in query(token.resource).all()]
        assert 1 == query(token.resource).count()


class TestExpunge:
    def test_expired_records_go_and_others_stay(self, token_resource, forge, clock):
        """A sweep removes what has expired, and says how many that were."""
        token = token_resource()
        token.store_token(forge("short", hours=1))
        token.store_token(forge("long", hours=5))
        clock.advance(hours=2)
        result = token.expunge_expired()

        assert 1 == result.removed
        assert result.batches >= 1
        assert result.seconds >= 0
        assert [] == token.read_expired()
        assert ["long"] == [record.jti for record in query(token.resource).all()]

    def test_a_sweep_of_nothing_removes_nothing(self, token_resource):
        """An empty table is swept without an error."""
        assert 0 == token_resource().expunge_expired().removed

    def test_a_dry_run_counts_and_removes_nothing(self, token_resource, forge, clock):
        """``dry_run=True`` returns what would be removed."""
        token = token_resource()
        token.store_token(forge("short"))
        clock.advance(hours=2)
        dry = token.expunge_expired(dry_run=True)

        assert 1 == dry.removed
        assert 1 == len(token.read_expired())

    def test_a_limit_stops_the_sweep(self, token_resource, forge, clock):
        """With batches of one row a sweep that is limited to two leaves the rest to the next one."""
        token = token_resource()
        for number in range(5):
            token.store_token(forge(f"jti-{number}"))
        clock.advance(hours=2)
        first = token.expunge_expired(batch_size=1, limit=2)
        second = token.expunge_expired()

        assert 2 == first.removed
        assert 3 == second.removed

    def test_progress_is_told_after_each_batch(self, token_resource, forge, clock):
        """``on_progress`` gets the result so far, and the last one is the result."""
        token = token_resource()
        for number in range(3):
            token.store_token(forge(f"jti-{number}"))
        clock.advance(hours=2)
        seen = []
        result = token.expunge_expired(batch_size=1, on_progress=seen.append)

        assert seen[-1] == result
        assert sorted(step.removed for step in seen) == [step.removed for step in seen]
        assert result.batches == len(seen)

    def test_async_progress_is_awaited_or_refused_in_a_sync_call(self, token_resource, forge, clock, request):
        """A sync call could not await it, and removes nothing then."""
        token = token_resource()
        token.store_token(forge("one"))
        clock.advance(hours=2)
        seen = []

        async def show(result):
            seen.append(result.removed)

        if request.node.callspec.id.endswith(".aio"):
            token.expunge_expired(on_progress=show)
        else:
            with pytest.raises(InvalidArgument) as caught:
                token.expunge_expired(on_progress=show)
            assert ["on_progress"] == [finding.path for finding in caught.value.findings]
            seen.append(token.expunge_expired().removed)

        assert 1 == seen[-1]  # a layer may also show a last batch that removed nothing

    @pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"limit": 0}, {"batch_size": -1, "limit": -5}])
    def test_sizes_below_one_are_refused(self, token_resource, sizes):
        """One finding for each size that is too small."""
        with pytest.raises(InvalidArgument) as caught:
            token_resource().expunge_expired(**sizes)

        assert set(sizes) == {finding.path for finding in caught.value.findings}

    def test_cutoffs_and_families_are_swept_once_no_token_can_need_them(self, token_resource, forge, clock):
        """They live for ``max_lifetime`` and P7's margin, not longer."""
        token = token_resource(max_lifetime=timedelta(hours=1), clock_skew=timedelta(seconds=60))
        token.revoke(forge("one", hours=1, fam="f1"))
        token.log_out_everywhere("alice")
        clock.advance(hours=1, minutes=5)
        early = token.expunge_expired().removed
        clock.advance(microseconds=1)

        assert 0 == early
        assert 3 == token.expunge_expired().removed


class TestRevoke:
    def test_a_token_that_was_never_stored_is_revoked(self, token_resource, forge, clock):
        """The record says what the token says of itself, and when and why it was revoked."""
        token = token_resource()
        record = token.revoke(forge("one", "alice", fam="f1", hours=2))

        assert "one" == record.jti
        assert "alice" == record.subject
        assert "revocation" == record.purpose
        assert "f1" == record.family
        assert clock.now() + timedelta(hours=2) == record.expires_at
        assert clock.now() == record.revoked_at == record.created_at == record.updated_at
        assert "revoked" == record.revocation_reason
        assert isinstance(record, token.resource)

    def test_a_stored_token_is_revoked_and_keeps_its_purpose(self, token_resource, forge, clock):
        """The stored record itself becomes the revoked one."""
        token = token_resource()
        token.store_token(forge("one"), purpose="user", extra_data={"device": "phone"})
        clock.advance(minutes=1)
        record = token.revoke(forge("one"), reason="stolen")

        assert "user" == record.purpose
        assert {"device": "phone"} == record.extra_data
        assert clock.now() == record.revoked_at
        assert "stolen" == record.revocation_reason
        assert 1 == query(token.resource).count()

    def test_revoking_again_changes_neither_moment_nor_reason(self, token_resource, forge, clock):
        """Revoking is idempotent, and the first revocation counts."""
        token = token_resource()
        text = forge("one", hours=3)
        first = token.revoke(text, reason="first")
        clock.advance(hours=1)
        second = token.revoke(text, reason="second")

        assert first.revoked_at == second.revoked_at
        assert "first" == second.revocation_reason
        assert 1 == query(token.resource).count()

    def test_an_expired_token_can_be_revoked(self, token_resource, forge):
        """Expiry is no reason to refuse a revocation."""
        token = token_resource()
        record = token.revoke(forge("old", hours=-5))

        assert "old" == record.jti
        assert token.jti_revoked("old") is True

    @pytest.mark.parametrize(("family", "other_dies"), [(None, True), (True, True), (False, False)])
    def test_the_family_ends_unless_told_otherwise(self, token_resource, forge, family, other_dies):
        """Another token of the same family dies with the revoked one, unless ``family=False``."""
        token = token_resource()
        one, other, stranger = forge("one", fam="f1"), forge("other", fam="f1"), forge("stranger", fam="f2")
        token.revoke(one, family=family)

        assert token.token_revoked(one) is True
        assert other_dies is token.token_revoked(other)
        assert token.token_revoked(stranger) is False

    @pytest.mark.parametrize("garbage", ["", "garbage", "a.b.c", "..", None, 7, b"a.b.c", "x" * 20_000])
    def test_garbage_is_an_invalid_token(self, token_resource, garbage):
        """What is no token cannot be revoked; nothing is written."""
        token = token_resource()
        with pytest.raises((InvalidToken, ValueError)):
            token.revoke(garbage)

        assert 0 == query(token.resource).count()

    def test_a_token_without_jti_is_invalid(self, token_resource, forge):
        """Without a jti there is nothing to keep."""
        with pytest.raises(InvalidToken) as caught:
            token_resource().revoke(forge(None))

        assert "jti" == caught.value.claim

    def test_a_reserved_jti_is_invalid(self, token_resource, forge):
        """No token can pose as a cut-off or a family."""
        with pytest.raises(InvalidToken):
            token_resource().revoke(forge("rk:cutoff:1"))


class TestRevokeJti:
    def test_a_jti_is_revoked(self, token_resource, clock):
        """Nothing but the jti need be known."""
        token = token_resource()
        record = token.revoke_jti("one")

        assert "one" == record.jti
        assert clock.now() == record.revoked_at
        assert "revoked" == record.revocation_reason
        assert "revocation" == record.purpose
        assert token.jti_revoked("one") is True

    def test_without_bounds_it_is_kept_for_ever(self, token_resource):
        """No expiry, no keys, no max_lifetime: the end of time."""
        assert datetime.max.replace(tzinfo=UTC) == token_resource().revoke_jti("one").expires_at

    def test_max_lifetime_bounds_an_unknown_expiry(self, token_resource, clock):
        """A token cannot live longer than any token may."""
        token = token_resource(max_lifetime=timedelta(days=3))

        assert clock.now() + timedelta(days=3) == token.revoke_jti("one").expires_at

    def test_subject_expiry_and_reason_are_kept(self, token_resource, clock):
        """What the caller knows is written."""
        token = token_resource()
        until = clock.now() + timedelta(hours=7)
        record = token.revoke_jti("one", subject="alice", expires_at=until, reason="lost")

        assert ("alice", until, "lost") == (record.subject, record.expires_at, record.revocation_reason)

    def test_the_stored_subject_and_purpose_stay(self, token_resource, forge, clock):
        """What a stored token says of itself stays; its expiry may be of an earlier twin, and does not shorten the record."""
        token = token_resource(max_lifetime=timedelta(days=30))
        token.store_token(forge("one", "alice", hours=2))
        record = token.revoke_jti("one", subject="mallory")

        assert clock.now() + timedelta(days=30) == record.expires_at
        assert "alice" == record.subject
        assert "user" == record.purpose

    @pytest.mark.parametrize(("hours", "kept"), [(1, 2), (5, 5)])
    def test_a_given_expiry_only_prolongs(self, token_resource, forge, clock, hours, kept):
        """The later of the stored and the given one counts."""
        token = token_resource()
        token.store_token(forge("one", hours=2))
        record = token.revoke_jti("one", expires_at=clock.now() + timedelta(hours=hours))

        assert clock.now() + timedelta(hours=kept) == record.expires_at

    @pytest.mark.parametrize("jti", ["", "x" * 256, "a\x00b", "\ud800", "rk:cutoff:1", None, 7])
    def test_what_cannot_be_a_jti_is_refused(self, token_resource, jti):
        """One finding, for ``jti``; nothing is written."""
        token = token_resource()
        with pytest.raises(ValueError) as caught:
            token.revoke_jti(jti)

        assert ["jti"] == [finding.path for finding in caught.value.findings]
        assert 0 == query(token.resource).count()

    def test_a_naive_expiry_is_refused(self, token_resource):
        """A moment without a time zone is no moment."""
        with pytest.raises(ValueError) as caught:
            token_resource().revoke_jti("one", expires_at=datetime(2031, 1, 1))  # noqa: DTZ001  # that is the point

        assert ["expires_at"] == [finding.path for finding in caught.value.findings]

    @pytest.mark.parametrize("jti", ["x" * 255, "ÄÖÜ €", " ", "Abc", "a'b\"c;--", "🦉" * 255])
    def test_every_other_text_is_a_jti(self, token_resource, jti):
        """Any text of 1 to 255 code points; it is found again and equals only itself."""
        token = token_resource()
        token.revoke_jti(jti)

        assert token.jti_revoked(jti) is True
        assert token.jti_revoked(jti[:-1] + "~") is False
        assert jti == query(token.resource).one().jti


class TestWrongPurposes:
    def test_a_contradiction_is_refused(self, token_resource, forge):
        """The token says one purpose, the caller another."""
        with pytest.raises(WrongPurpose):
            token_resource().store_token(forge(purpose="user"), purpose="confirm")

    @pytest.mark.parametrize("purpose", ["cutoff", "family", "revocation"])
    def test_reserved_purposes_are_refused(self, token_resource, forge, purpose):
        """A token cannot pose as one of the extension's own records."""
        with pytest.raises(WrongPurpose):
            token_resource().store_token(forge(purpose=purpose))


def test_every_function_and_action_is_there(token_resource):
    """The names of the table are on the class, and the usual actions are declared."""
    token = token_resource()
    actions = set(info(token.resource).actions)

    assert {
        "revoke_token",
        "revoke_jti",
        "revoke_all_stored_for_subject",
        "revoked",
        "store_confirmation_changes",
        "get_confirmation_changes",
        "store_token",
        "get_token",
        "read_expired",
        "expunge_expired",
    } <= actions
    assert {
        "jti",
        "subject",
        "purpose",
        "family",
        "expires_at",
        "extra_data",
        "revoked_at",
        "revocation_reason",
        "created_at",
        "updated_at",
    } == set(info(token.resource).attributes)
