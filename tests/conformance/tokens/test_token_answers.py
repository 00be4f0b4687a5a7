"""The checks, and what ends many tokens at once, in every call style and on every layer."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from call_styles import SECRET

from resourcekit import query
from resourcekit.errors import Invalid, InvalidArgument
from resourcekit_tokens import JWT, CutOff, RevokedJti, Verdict
from resourcekit_tokens.errors import ReuseDetected


class TestTokenRevoked:
    def test_an_unknown_token_is_not_revoked(self, token_resource, forge):
        """Of a token that was never revoked, nothing is known."""
        assert token_resource().token_revoked(forge()) is False

    def test_a_revoked_token_is_revoked(self, token_resource, forge):
        """After a revoke the answer is a real ``True``."""
        token = token_resource()
        token.revoke(forge())

        assert token.token_revoked(forge()) is True

    def test_a_stored_token_is_not_revoked(self, token_resource, forge):
        """Storing a token does not end it."""
        token = token_resource()
        token.store_token(forge())

        assert token.token_revoked(forge()) is False

    def test_a_token_past_all_tolerance_is_revoked(self, token_resource, forge, clock):
        """Past ``exp + leeway + clock_skew`` a token is revoked without a record; until then it is not."""
        token = token_resource(leeway=timedelta(seconds=30), clock_skew=timedelta(seconds=10))
        text = forge(hours=1)
        clock.advance(hours=1, seconds=40)
        at_the_end = token.token_revoked(text)
        clock.advance(microseconds=1)

        assert at_the_end is False
        assert token.token_revoked(text) is True

    @pytest.mark.parametrize("garbage", ["", "x", "a.b.c", None, 5, b"abc", {"jti": "x"}, "\ud800", "x" * 17_000, [1], object()])
    def test_garbage_is_revoked(self, token_resource, garbage):
        """Whatever is no token is answered ``True``, and nothing is raised."""
        assert token_resource().token_revoked(garbage) is True

    def test_the_family_counts(self, token_resource, forge):
        """A token of an ended family is revoked."""
        token = token_resource()
        token.revoke(forge("one", fam="f1"))

        assert token.token_revoked(forge("two", fam="f1")) is True
        assert token.token_revoked(forge("three")) is False

    def test_the_cutoff_counts(self, token_resource, forge, clock):
        """A token that was issued before a cut-off of its subject is revoked; one of another subject is not."""
        token = token_resource(foreign_iat_tolerance=timedelta(0))
        before, other = forge("one", "alice"), forge("two", "bob")
        clock.advance(seconds=1)
        token.log_out_everywhere("alice")

        assert token.token_revoked(before) is True
        assert token.token_revoked(other) is False
        assert token.token_revoked(forge("three", "alice")) is False


class TestJtiRevoked:
    def test_only_a_revoked_jti_is_revoked(self, token_resource, forge):
        """Unknown and stored jtis are not revoked, revoked ones are."""
        token = token_resource()
        token.store_token(forge("stored"))
        token.revoke(forge("revoked"))

        assert token.jti_revoked("unknown") is False
        assert token.jti_revoked("stored") is False
        assert token.jti_revoked("revoked") is True

    @pytest.mark.parametrize("jti", ["", None, 7, b"x", "x" * 256, "a\x00", "\ud800", "rk:cutoff:x", "rk:family:x", [], {}])
    def test_what_cannot_be_a_jti_is_revoked(self, token_resource, jti):
        """Garbage is answered ``True``, and nothing is raised."""
        assert token_resource().jti_revoked(jti) is True

    def test_verified_facts_bring_cutoff_and_family(self, token_resource, forge, clock):
        """Subject, issued_at and family count where the caller gives them, else the record alone does."""
        token = token_resource(foreign_iat_tolerance=timedelta(0))
        token.revoke(forge("one", "bob", fam="f1"))
        token.log_out_everywhere("alice")
        before, now = clock.now() - timedelta(seconds=1), clock.now()

        assert token.jti_revoked("other") is False
        assert token.jti_revoked("other", subject="alice", issued_at=before) is True
        assert token.jti_revoked("other", subject="alice", issued_at=now) is False
        assert token.jti_revoked("other", subject="alice") is True
        assert token.jti_revoked("other", family="f1") is True
        assert token.jti_revoked("other", family="f2") is False
        assert token.jti_revoked("other", subject="carol", issued_at=before, family="f2") is False

    def test_jtis_compare_by_code_point(self, token_resource):
        """Case, accents and trailing spaces make another jti."""
        token = token_resource()
        token.revoke_jti("Abc")

        assert [False] * 4 == [token.jti_revoked(jti) for jti in ("abc", "Abc ", "Ábc", "Abc\u0301")]


class TestRevokeMany:
    def test_all_stored_tokens_of_a_subject_are_revoked(self, token_resource, forge, clock):
        """One call revokes them, and counts those that were live."""
        token = token_resource()
        for jti, subject in (("a1", "alice"), ("a2", "alice"), ("b1", "bob")):
            token.store_token(forge(jti, subject))
        token.revoke(forge("a2", "alice"), reason="earlier")
        clock.advance(minutes=1)

        assert 1 == token.revoke_all_stored_for_subject("alice")
        assert 0 == token.revoke_all_stored_for_subject("alice")
        assert token.token_revoked(forge("a1", "alice")) is True
        assert token.token_revoked(forge("b1", "bob")) is False
        assert "earlier" == token.get_token(jti="a2").revocation_reason

    def test_purposes_narrow_it(self, token_resource, forge):
        """Only tokens of the named purposes are revoked."""
        token = token_resource()
        for purpose in ("user", "refresh", "reset"):
            token.store_token(forge(purpose), purpose=purpose)

        assert 0 == token.revoke_all_stored_for_subject("alice", purposes=[])
        assert 2 == token.revoke_all_stored_for_subject("alice", purposes=["user", "reset", "unknown"])
        assert token.jti_revoked("refresh") is False

    def test_tokens_of_a_subject_are_listed_newest_first(self, token_resource, forge, clock):
        """Live stored ones: not revoked, not expired, of that subject."""
        token = token_resource()
        for jti, subject, hours in (
            ("old", "alice", 9),
            ("short", "alice", 1),
            ("bobs", "bob", 9),
            ("gone", "alice", 9),
            ("new", "alice", 9),
        ):
            token.store_token(forge(jti, subject, hours=hours))
            clock.advance(minutes=1)
        token.revoke(forge("gone"))
        token.log_out_everywhere("bob")
        clock.advance(hours=1)

        assert ["new", "old"] == [record.jti for record in token.tokens_for_subject("alice")]
        assert [] == token.tokens_for_subject("unknown")

    def test_what_a_log_out_everywhere_ended_is_listed_no_more(self, token_resource, clock):
        """But for the sessions that it kept; and those begun afterwards are."""
        token = token_resource(jwt=JWT(SECRET), store_all_tokens=True)
        pairs = [token.issue_pair("alice") for _ in range(3)]
        clock.advance(minutes=1)
        token.log_out_everywhere("alice", keep=[pairs[1].refresh.claims.jti])
        kept = {record.jti for record in token.tokens_for_subject("alice")}
        clock.advance(minutes=1)
        later = token.issue("alice")

        assert pairs[1].refresh.claims.jti in kept
        assert kept.isdisjoint(pair.refresh.claims.jti for pair in (pairs[0], pairs[2]))
        assert {later.claims.jti, *kept} == {record.jti for record in token.tokens_for_subject("alice")}
        assert not any(token.jti_revoked(record.jti) for record in token.tokens_for_subject("alice"))

    def test_what_ended_with_its_family_is_listed_no_more(self, token_resource):
        """Of many sessions, those whose one token was revoked, or came back after its use, are gone as a whole."""
        token = token_resource(jwt=JWT(SECRET), store_all_tokens=True)
        pairs = [token.issue_pair("alice") for _ in range(60)]
        token.revoke(pairs[0].access.token)
        token.rotate(pairs[59].refresh.token)
        with pytest.raises(ReuseDetected):
            token.rotate(pairs[59].refresh.token)
        listed = token.tokens_for_subject("alice")

        assert 2 * 58 == len(listed)
        assert not {record.family for record in listed} & {pairs[0].refresh.claims.family, pairs[59].refresh.claims.family}

    def test_an_import_revokes_many(self, token_resource, forge, clock):
        """Each row is one revoked jti; what is known of it is kept."""
        token = token_resource(max_lifetime=timedelta(days=2))
        token.store_token(forge("stored", "alice", hours=5))
        until = clock.now() + timedelta(hours=1)
        rows = [RevokedJti("one", until, "alice"), RevokedJti("two"), RevokedJti(jti="stored", expires_at=until)]

        assert 3 == token.revoke_jtis(rows)
        assert all(token.jti_revoked(jti) for jti in ("one", "two", "stored"))
        found = {record.jti: record for record in query(token.resource).all()}
        assert (until, "alice") == (found["one"].expires_at, found["one"].subject)
        assert clock.now() + timedelta(days=2) == found["two"].expires_at
        assert clock.now() + timedelta(hours=5) == found["stored"].expires_at

    def test_an_import_may_be_large_empty_or_a_generator(self, token_resource):
        """More rows than one batch has, none at all, and rows that are made as they are asked for."""
        token = token_resource()

        assert 0 == token.revoke_jtis([])
        assert 2500 == token.revoke_jtis(RevokedJti(f"jti-{number}") for number in range(2500))
        assert 2500 == query(token.resource).count()

    @pytest.mark.parametrize(
        ("row", "path"),
        [
            (RevokedJti(""), "rows.1.jti"),
            (RevokedJti("rk:x"), "rows.1.jti"),
            (RevokedJti(None), "rows.1.jti"),
            (RevokedJti("x", datetime(2031, 1, 1)), "rows.1.expires_at"),  # noqa: DTZ001  # that is the point
            (RevokedJti("x", "tomorrow"), "rows.1.expires_at"),
            (RevokedJti("x", None, 7), "rows.1.subject"),
            (RevokedJti("x", None, "\ud800"), "rows.1.subject"),
            ("just-a-jti", "rows.1"),
        ],
    )
    def test_a_wrong_row_is_told_by_its_place_and_nothing_is_written(self, token_resource, row, path):
        """All rows are looked at before the first is written."""
        token = token_resource()
        with pytest.raises(InvalidArgument) as caught:
            token.revoke_jtis([RevokedJti("fine"), row])

        assert [path] == [finding.path for finding in caught.value.findings]
        assert 0 == query(token.resource).count()


class TestLogOutEverywhere:
    def test_it_ends_stored_and_never_stored_tokens_with_one_record(self, token_resource, forge, clock):
        """One write, however many tokens; it returns what it wrote."""
        token = token_resource()
        texts = [forge(f"jti-{number}") for number in range(3)]
        token.store_token(texts[0])
        clock.advance(seconds=5)
        cutoff = token.log_out_everywhere("alice", reason="password changed")

        assert isinstance(cutoff, CutOff)
        assert ("alice", clock.now(), 0) == (cutoff.subject, cutoff.issued_before, cutoff.kept)
        assert all(token.token_revoked(text) for text in texts)
        assert 1 == query(token.resource).count()

    def test_a_token_of_others_lives_once_it_is_later_by_the_tolerance(self, token_resource, forge, clock):
        """It has no generation, and the clock of its issuer may be ahead: ``clock_skew`` counts unless another tolerance is given."""
        usual, strict = token_resource(), token_resource(foreign_iat_tolerance=timedelta(minutes=5))
        for token in (usual, strict):
            token.log_out_everywhere("alice")
        clock.advance(seconds=59)
        early = forge("early")
        clock.advance(seconds=1)
        late = forge("late")

        assert [True, False] == [usual.token_revoked(text) for text in (early, late)]
        assert [True, True] == [strict.token_revoked(text) for text in (early, late)]

    def test_a_token_issued_at_the_very_moment_lives(self, token_resource, forge, clock):
        """Earlier than the cut-off dies; at the cut-off lives, where no tolerance for other clocks is wanted."""
        token = token_resource(foreign_iat_tolerance=timedelta(0))
        before = forge("before", iat=(clock.now() - timedelta(microseconds=100)).timestamp())
        token.log_out_everywhere("alice")

        assert token.token_revoked(before) is True
        assert token.token_revoked(forge("at")) is False

    def test_a_token_without_iat_dies(self, token_resource, forge):
        """The time of issue is unknown."""
        token = token_resource()
        token.log_out_everywhere("alice")

        assert token.token_revoked(forge(iat=None)) is True

    @pytest.mark.parametrize("kept", [["jti-kept"], ("f-kept",), {"jti-kept", "f-kept"}, {"jti-kept": 1}.keys(), "jti-kept"])
    def test_kept_tokens_live(self, token_resource, forge, clock, kept):
        """A token whose jti or family is in ``keep`` lives on."""
        token = token_resource()
        keep, other = forge("jti-kept", fam="f-kept"), forge("other", fam="f-other")
        clock.advance(seconds=1)
        token.log_out_everywhere("alice", keep=kept)

        assert token.token_revoked(keep) is False
        assert token.token_revoked(other) is True

    def test_a_kept_token_without_iat_lives_too(self, token_resource, forge, clock):
        """``keep`` names it, so the time of its issue is not needed."""
        token = token_resource()
        keep = forge("kept", iat=None)
        clock.advance(seconds=1)
        token.log_out_everywhere("alice", keep=["kept"])

        assert token.token_revoked(keep) is False
        assert token.token_revoked(forge("other", iat=None)) is True

    def test_whom_an_earlier_cutoff_ended_no_later_one_keeps(self, token_resource, forge, clock):
        """``keep`` cannot revive a dead session, not even one without ``iat`` (promise P1: a revoked token stays revoked)."""
        token = token_resource()
        dead, undated = forge("dead", fam="f1"), forge("undated", iat=None)
        clock.advance(seconds=1)
        token.log_out_everywhere("alice")
        clock.advance(seconds=1)
        token.log_out_everywhere("alice", keep=["dead", "f1", "undated"])

        assert token.token_revoked(dead) is True
        assert token.token_revoked(undated) is True

    def test_a_later_cutoff_ends_whom_an_earlier_one_kept(self, token_resource, forge, clock):
        """``keep`` holds for one cut-off, not for later ones."""
        token = token_resource()
        keep = forge("kept")
        clock.advance(seconds=1)
        token.log_out_everywhere("alice", keep=["kept"])
        clock.advance(seconds=1)
        token.log_out_everywhere("alice")

        assert token.token_revoked(keep) is True

    def test_the_later_cutoff_wins(self, token_resource, forge, clock):
        """A cut-off in the past does not change a later one."""
        token = token_resource()
        clock.advance(hours=1)
        text = forge("one")
        clock.advance(seconds=1)
        later = token.log_out_everywhere("alice")
        earlier = token.log_out_everywhere("alice", issued_before=clock.now() - timedelta(minutes=30))

        assert later.issued_before == earlier.issued_before == clock.now()
        assert token.token_revoked(text) is True

    def test_issued_before_draws_the_line(self, token_resource, forge, clock):
        """Only tokens from before that moment end."""
        token = token_resource()
        first = forge("first")
        clock.advance(hours=1)
        second = forge("second")
        clock.advance(hours=1)
        token.log_out_everywhere("alice", issued_before=clock.now() - timedelta(minutes=90))

        assert token.token_revoked(first) is True
        assert token.token_revoked(second) is False

    @pytest.mark.parametrize(
        "wrong",
        [
            {"subject": ""},
            {"subject": None},
            {"subject": 7},
            {"subject": "\ud800"},
            {"issued_before": datetime(2030, 1, 1)},  # noqa: DTZ001  # that is the point
            {"issued_before": "now"},
            {"keep": [7]},
            {"keep": ["\ud800"]},
            {"keep": ["a\x00b"]},
        ],
    )
    def test_wrong_arguments_are_refused(self, token_resource, wrong):
        """One finding, for the argument that is wrong; nothing is written."""
        token = token_resource()
        arguments = {"subject": "alice", **wrong}
        with pytest.raises(Invalid) as caught:
            token.log_out_everywhere(arguments.pop("subject"), **arguments)

        assert [*wrong] == [finding.path for finding in caught.value.findings]


class TestExplain:
    def test_each_rule_is_named(self, token_resource, forge, clock):
        """Own record, cut-off, family, time, garbage, or nothing."""
        token = token_resource()
        own, family, cut = forge("own"), forge("two", "bob", fam="f1"), forge("three", "carol")
        expired = forge("four", "dave", hours=0.5)
        clock.advance(seconds=1)
        token.revoke(own, reason="stolen")
        token.revoke(forge("first", "bob", fam="f1"))
        token.log_out_everywhere("carol")
        since = clock.now()
        clock.advance(minutes=45)

        assert Verdict(revoked=True, rule="token", since=since, reason="stolen") == token.explain(token=own)
        assert Verdict(revoked=True, rule="token", since=since, reason="stolen") == token.explain(jti="own")
        assert ("family", since) == (token.explain(token=family).rule, token.explain(token=family).since)
        assert ("cut-off", since) == (token.explain(token=cut).rule, token.explain(token=cut).since)
        assert (True, "expired") == (token.explain(token=expired).revoked, token.explain(token=expired).rule)
        assert (True, "invalid") == (token.explain(token="garbage").revoked, token.explain(token="garbage").rule)
        assert Verdict(revoked=False, rule="none") == token.explain(token=forge("new", "erin"))

    def test_it_agrees_with_the_check(self, token_resource, forge, clock):
        """``explain`` and ``token_revoked`` never contradict each other."""
        token = token_resource(max_lifetime=timedelta(hours=3))
        texts = [forge("a"), forge("b", fam="f1"), forge("c", hours=None), forge("d", hours=9), forge("e", iat=None), "x", None]
        token.revoke(texts[0])
        token.log_out_everywhere("alice", keep=["b"])

        assert [token.token_revoked(text) for text in texts] == [token.explain(token=text).revoked for text in texts[:-1]] + [
            True
        ]

    def test_neither_token_nor_jti_is_an_error(self, token_resource):
        """There is nothing to explain."""
        with pytest.raises(InvalidArgument):
            token_resource().explain()
