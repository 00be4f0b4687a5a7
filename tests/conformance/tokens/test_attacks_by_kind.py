"""Attacks on the promises P1 to P9, one after each kind of fault that was found before, on every layer and in every call style."""

from __future__ import annotations

import itertools
import unicodedata
from datetime import timedelta

import pytest
from call_styles import DAY, KEYED, refused

from resourcekit_tokens import RevokedJti
from resourcekit_tokens.errors import InvalidToken, ReuseDetected


class TestWhatEndsATokenOutlivesIt:
    def test_a_shorter_twin_does_not_shorten_the_record(self, token_resource, forge, clock):
        """P1 (monotone): two tokens of one jti, the shorter one revoked later: the longer one stays revoked to its end."""
        token = token_resource(**KEYED)
        long, short = forge("j", hours=10 * DAY), forge("j", hours=1)
        token.revoke(long)
        token.revoke(short)
        for days in (1, 8):
            clock.advance(days=days)
            token.expunge_expired()
            assert token.token_revoked(long) is True

    def test_a_longer_twin_that_appears_later_is_revoked_too(self, token_resource, forge, clock):
        """P1 (monotone): the short token was revoked and swept; the long twin of its jti is refused while it could be accepted."""
        token = token_resource(max_lifetime=timedelta(days=10), **KEYED)
        long = forge("j", hours=10 * DAY)
        token.revoke_jti("j", expires_at=clock.now() + timedelta(hours=1))
        assert token.token_revoked(long) is True  # the check prolongs the record
        clock.advance(days=5)
        token.expunge_expired()

        assert token.token_revoked(long) is True

    def test_an_import_with_an_earlier_expiry_holds_from_the_first_check_on(self, token_resource, forge, clock):
        """P1 (monotone): a check that found the token revoked keeps the record as long as the token, whatever the import said."""
        token = token_resource(max_lifetime=timedelta(days=14), **KEYED)
        text = forge("j", hours=13 * DAY)
        token.revoke_jtis([RevokedJti("j", expires_at=clock.now() + timedelta(minutes=1))])
        assert token.token_revoked(text) is True
        for days in (1, 11):
            clock.advance(days=days)
            token.expunge_expired()
            assert token.token_revoked(text) is True

    def test_the_family_ends_with_tokens_of_it_that_are_made_later(self, token_resource, clock):
        """P1 (monotone): a sibling that a race made after the reuse was found is dead as well, to its last day."""
        token = token_resource(**KEYED)
        pair = token.issue_pair("alice")
        successor = token.rotate(pair.refresh.token)
        clock.advance(seconds=1)
        assert refused(lambda: token.rotate(pair.refresh.token), ReuseDetected)
        assert refused(lambda: token.rotate(successor.refresh.token), InvalidToken)
        clock.advance(days=29)
        token.expunge_expired()

        assert token.token_revoked(successor.refresh.token) is True
        assert refused(lambda: token.verify(successor.refresh.token, purpose="refresh"), InvalidToken)

    @pytest.mark.parametrize("keep", ["jti", "family"])
    def test_what_a_log_out_keeps_ends_with_the_next_one(self, token_resource, clock, keep):
        """P1 (monotone): what one log-out spared is not spared by a later one."""
        token = token_resource(**KEYED)
        kept, other = token.issue_pair("alice"), token.issue_pair("alice")
        clock.advance(seconds=1)
        names = (kept.access.claims.jti, kept.refresh.claims.jti) if keep == "jti" else (kept.access.claims.family,)
        token.log_out_everywhere("alice", keep=names)
        assert (False, True) == (token.token_revoked(kept.access.token), token.token_revoked(other.access.token))
        clock.advance(seconds=1)
        token.log_out_everywhere("alice")

        assert [True] * 4 == [token.token_revoked(each.token) for pair in (kept, other) for each in (pair.access, pair.refresh)]

    def test_a_log_out_for_the_past_does_not_take_back_a_later_one(self, token_resource, forge, clock):
        """P6 (facts only grow): ``issued_before`` of an hour ago after a log-out of now ends nothing less."""
        token = token_resource(**KEYED)
        foreign, pair = forge("f"), token.issue_pair("alice")
        clock.advance(minutes=5)
        token.log_out_everywhere("alice")
        token.log_out_everywhere("alice", issued_before=clock.now() - timedelta(hours=1))

        assert [True, True] == [token.token_revoked(foreign), token.token_revoked(pair.access.token)]

    def test_pending_changes_end_with_the_token(self, token_resource, clock):
        """P1 (monotone): no road gives the changes of a confirmation that was ended, used, or whose subject was logged out."""
        token = token_resource(**KEYED)
        ends = {
            "revoke": lambda issued: token.revoke(issued.token),
            "use": lambda issued: token.confirm(issued.token),
            "log out": lambda issued: token.log_out_everywhere("alice"),
            "time": lambda issued: clock.advance(days=3),
        }
        for name, end in ends.items():
            issued = token.issue("alice", purpose="confirm", lifetime=timedelta(hours=1))
            token.store_confirmation_changes(issued.token, {"mail": name})
            clock.advance(seconds=1)
            end(issued)

            assert token.get_confirmation_changes(jti=issued.claims.jti) is None, name
            assert refused(lambda issued=issued: token.confirm(issued.token), InvalidToken), name


NAMES = (
    "alice",
    "Alice",
    "alice ",
    " alice",
    "alice\u0301",
    unicodedata.normalize("NFC", "alice\u0301"),
    "ali\u200bce",
    "😀",
    "😁",
    "ß",
    "ss",
)
"""Texts that look alike, or that some stores compare as equal."""


class TestApart:
    @pytest.mark.parametrize("function", ["log_out_everywhere", "revoke_all_stored_for_subject"])
    def test_subjects_that_look_alike_are_apart(self, token_resource, clock, function):
        """P8 (apart): a log-out of one subject ends no token of another whose text differs in a case, a blank or an accent."""
        token = token_resource(store_all_tokens=True, **KEYED)
        issued = {name: token.issue(name) for name in dict.fromkeys(NAMES)}
        for name in issued:
            clock.advance(seconds=1)
            getattr(token, function)(name)
            ended = [each for each, one in issued.items() if token.token_revoked(one.token)]

            assert ended == list(issued)[: len(ended)]
            assert name == ended[-1]

    def test_jtis_and_families_that_look_alike_are_apart(self, token_resource, forge, clock):
        """P8 (apart): so are identities and families."""
        token = token_resource(**KEYED)
        for first, second in itertools.pairwise(NAMES):
            one, other = forge(first, fam=first), forge(second, fam=second)
            before = token.token_revoked(other)
            token.revoke(one)

            assert (True, before) == (token.token_revoked(one), token.token_revoked(other)), (first, second)

    @pytest.mark.parametrize("jti", ["rk:cutoff:x", "rk:family:x", "rk:", "rk:generation:x"])
    def test_reserved_keys_are_refused_everywhere(self, token_resource, forge, jti):
        """P8 (apart): no caller reaches a cut-off or a family by its key."""
        token = token_resource(**KEYED)
        calls = [
            lambda: token.revoke(forge(jti)),
            lambda: token.revoke_jti(jti),
            lambda: token.revoke_jtis([RevokedJti("fine"), RevokedJti(jti)]),
            lambda: token.store_token(forge(jti)),
            lambda: token.consume(forge(jti), purpose="user"),
        ]

        assert [True] * len(calls) == [refused(call) for call in calls]
        assert token.token_revoked(forge(jti)) is True
        assert token.jti_revoked(jti) is True
        assert token.token_revoked(forge("fine")) in (False, True)
