"""Sessions: one record for each sign-in; lists, ends, and rotations that may be repeated within the grace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from call_styles import SECRET, declared

from resourcekit import Attr, attribute, query, transaction
from resourcekit.errors import DeclarationError, InvalidArgument, NotFound
from resourcekit_tokens import JWT, TokenSession
from resourcekit_tokens.errors import InvalidToken, ReuseDetected, TokenConsumed, TokenExpired, TokenRevoked

BODY = {"__annotations__": {"device": Attr[str | None]}, "device": attribute(default=None, max_length=20)}
GRACE = timedelta(seconds=10)


@pytest.fixture
def recorded(token_resource: Any) -> Any:
    """Declare a resource that records sessions, on each layer and in each call style."""
    return lambda **options: token_resource(dict(BODY), jwt=JWT(SECRET), sessions=True, **{"rotation_grace": GRACE, **options})


@pytest.fixture
def recorded_plain(plain: Any) -> Any:
    """Declare the same in one call style."""
    return lambda **options: plain(dict(BODY), jwt=JWT(SECRET), sessions=True, **{"rotation_grace": GRACE, **options})


def rows(token: Any) -> int:
    """Count all records of the store, reserved ones too."""
    return token.expunge_expired(dry_run=True).removed


class TestListing:
    def test_sessions_are_listed_newest_first_with_their_values(self, recorded, clock):
        """Values of the caller are on the record; the last refresh counts as the last use."""
        token = recorded()
        first = token.issue_pair("alice", session_values={"device": "Firefox"})
        clock.advance(minutes=1)
        second = token.issue_pair("alice")
        token.issue_pair("bob")
        clock.advance(minutes=1)
        token.rotate(first.refresh.token, session_values={"device": "Chromium"})
        newer, older = token.sessions("alice")

        assert [second.access.claims.family, first.access.claims.family] == [newer.family, older.family]
        assert ({"device": None}, {"device": "Chromium"}) == (newer.values, older.values)
        assert ("alice", timedelta(minutes=2), timedelta(0)) == (
            older.subject,
            older.last_used_at - older.signed_in_at,
            clock.now() - older.last_used_at,
        )
        assert older.last_used_at + timedelta(days=30) == older.expires_at
        assert "alice" not in repr(newer)
        assert isinstance(newer, TokenSession)

    def test_one_record_a_session_however_often_it_is_refreshed(self, recorded_plain, clock):
        """No record of the tokens that were used; reads and counts do not show it."""
        token = recorded_plain()
        pair = token.issue_pair("alice")
        for _ in range(3):
            pair = token.rotate(pair.refresh.token)
        clock.advance(days=60)

        assert (1, 0) == (rows(token), query(token.resource).count())
        assert [] == token.sessions("alice")

    def test_a_session_without_subject_is_not_recorded(self, recorded_plain, clock):
        """It cannot be listed; its rotation uses the record of the refresh token, as without sessions."""
        token = recorded_plain()
        pair = token.issue_pair(None)
        twins = [token.rotate(pair.refresh.token).refresh.token for _ in range(2)]

        assert 1 == len(set(twins))
        assert token.token_revoked(pair.refresh.token) is True

    @pytest.mark.parametrize("wrong", [{"nonsense": 1}, {"device": 7}, {"device": "x" * 21}, ["device"], {"subject": "eve"}])
    def test_session_values_are_attributes_of_the_user(self, recorded_plain, wrong):
        """Anything else is refused before a record is written."""
        token = recorded_plain()
        with pytest.raises(InvalidArgument):
            token.issue_pair("alice", session_values=wrong)

        assert [] == token.sessions("alice")

    def test_what_needs_sessions_says_so(self, plain):
        """Values that are not accepted, a list of nothing, and lifetimes that are not measured."""
        token = plain(dict(BODY), jwt=JWT(SECRET))
        with pytest.raises(InvalidArgument, match="sessions=True"):
            token.issue_pair("alice", session_values={"device": "x"})
        with pytest.raises(InvalidArgument, match="sessions=True"):
            token.sessions("alice")
        with pytest.raises(DeclarationError, match="sessions"):
            plain(jwt=JWT(SECRET), max_session=timedelta(days=1))
        with pytest.raises(DeclarationError, match="jwt"):
            plain(sessions=True)


class TestEnding:
    def test_one_session_ends_and_the_others_go_on(self, recorded):
        """Access and refresh tokens are dead at once; a second end keeps the first reason."""
        token = recorded()
        one, other = token.issue_pair("alice"), token.issue_pair("alice")
        family = one.access.claims.family
        token.end_session(family, subject="alice", reason="signed out by user")
        token.end_session(family, subject="alice")

        assert [True, True] == [token.token_revoked(each.token) for each in (one.access, one.refresh)]
        assert token.jti_revoked(one.access.claims.jti, family=family) is True
        assert "signed out by user" == token.explain(token=one.access.token).reason
        assert token.verify(other.access.token).subject == "alice"
        assert [other.access.claims.family] == [each.family for each in token.sessions("alice")]
        with pytest.raises(TokenRevoked):
            token.rotate(one.refresh.token)

    def test_the_family_of_somebody_else_is_not_found(self, recorded):
        """Nothing is written; without a subject an unknown family is recorded as ended."""
        token = recorded()
        pair = token.issue_pair("bob")
        for family in (pair.access.claims.family, "unknown"):
            with pytest.raises(NotFound):
                token.end_session(family, subject="alice")
        token.end_session("unknown")

        assert token.verify(pair.access.token).subject == "bob"
        assert token.jti_revoked("other", family="unknown") is True

    def test_revoke_all_stored_ends_recorded_sessions(self, recorded):
        """Each counts; those of purposes that have no part in a session leave it alone."""
        token = recorded()
        pair = token.issue_pair("alice")
        untouched = token.revoke_all_stored_for_subject("alice", purposes=["confirm"])
        live = token.token_revoked(pair.access.token)

        assert (0, False) == (untouched, live)
        assert 1 == token.revoke_all_stored_for_subject("alice")
        assert token.token_revoked(pair.access.token) is True

    def test_a_log_out_everywhere_ends_all_but_the_kept_session(self, recorded, clock):
        """By generation: in the same second too, and for a sign-in after it."""
        token = recorded()
        here, there = token.issue_pair("alice"), token.issue_pair("alice")
        token.log_out_everywhere("alice", keep=[here.access.claims.family])
        after = token.issue_pair("alice")
        kept = token.rotate(here.refresh.token)

        assert [True, False, False] == [token.token_revoked(each.access.token) for each in (there, after, kept)]
        assert 2 == len(token.sessions("alice"))

    @pytest.mark.parametrize("family", [True, "given"])
    def test_revoke_jti_ends_the_family_that_is_known(self, token_resource, family):
        """From the record, or as given; if neither is known, nothing is written."""
        token = token_resource(jwt=JWT(SECRET), store_all_tokens=True)
        pair, other = token.issue_pair("alice"), token.issue("alice")
        named = pair.access.claims.family if family == "given" else True
        token.revoke_jti(pair.access.claims.jti, family=named)
        with pytest.raises(NotFound):
            token.revoke_jti(other.claims.jti, family=True)

        assert token.token_revoked(pair.refresh.token) is True
        assert token.token_revoked(other.token) is False


class TestRotation:
    def test_a_repetition_is_answered_with_the_same_pair(self, recorded, clock):
        """Any number of tabs, to the end of the grace, also once one of them has refreshed again."""
        token = recorded()
        pair = token.issue_pair("alice", claims={"role": "admin", "ratio": 0.1})
        first = token.rotate(pair.refresh.token)
        second = token.rotate(first.refresh.token)
        clock.advance(seconds=10)
        again = token.rotate(pair.refresh.token)

        assert (first.access.token, first.refresh.token) == (again.access.token, again.refresh.token)
        assert second.refresh.token == token.rotate(first.refresh.token).refresh.token
        assert token.verify(second.access.token)["role"] == "admin"

    def test_a_repetition_two_rotations_later_is_reuse(self, recorded):
        """The successor was used, and its successor too: no tab of the same moment asks so."""
        token = recorded()
        pair = token.issue_pair("alice")
        newest = pair
        for _ in range(3):
            newest = token.rotate(newest.refresh.token)
        with pytest.raises(ReuseDetected):
            token.rotate(pair.refresh.token)

        assert token.token_revoked(newest.access.token) is True

    @pytest.mark.parametrize("sessions", [True, False])
    def test_after_the_grace_it_is_reuse(self, plain, clock, sessions):
        """To the microsecond; the whole sign-in ends."""
        token = plain(jwt=JWT(SECRET), sessions=sessions, rotation_grace=GRACE)
        pair = token.issue_pair("alice")
        newer = token.rotate(pair.refresh.token)
        clock.advance(seconds=10, microseconds=1)
        with pytest.raises(ReuseDetected):
            token.rotate(pair.refresh.token)

        assert token.token_revoked(newer.refresh.token) is True

    @pytest.mark.parametrize("sessions", [True, False])
    def test_a_grace_of_the_call_takes_the_place_of_the_option(self, plain, sessions):
        """At most five minutes."""
        token = plain(jwt=JWT(SECRET), sessions=sessions)
        pair = token.issue_pair("alice")
        newer = token.rotate(pair.refresh.token, grace=GRACE)

        assert newer.refresh.token == token.rotate(pair.refresh.token, grace=GRACE).refresh.token
        for wrong in (timedelta(minutes=6), timedelta(seconds=-1), 5):
            with pytest.raises(InvalidArgument, match="grace"):
                token.rotate(newer.refresh.token, grace=wrong)

    def test_a_used_refresh_token_is_dead_for_every_check(self, recorded):
        """Although no record has its jti."""
        token = recorded()
        pair = token.issue_pair("alice")
        token.rotate(pair.refresh.token)

        assert token.token_revoked(pair.refresh.token) is True
        for use in (token.verify, token.consume):
            with pytest.raises(TokenConsumed):
                use(pair.refresh.token, purpose="refresh")

    @pytest.mark.parametrize("sessions", [True, False])
    def test_a_successor_that_was_revoked_is_not_given_again(self, plain, sessions):
        """Logging out with it ends the sign-in; the token before it is refused, too."""
        token = plain(jwt=JWT(SECRET), sessions=sessions, rotation_grace=GRACE)
        pair = token.issue_pair("alice")
        token.revoke(token.rotate(pair.refresh.token).refresh.token, family=False)
        with pytest.raises(InvalidToken):
            token.rotate(pair.refresh.token)

    def test_a_rollback_lets_the_refresh_token_live(self, recorded_plain):
        """Record and pair go together."""
        token = recorded_plain()
        pair = token.issue_pair("alice")
        with pytest.raises(ZeroDivisionError), transaction(token.resource):
            token.rotate(pair.refresh.token)
            raise ZeroDivisionError

        assert token.token_revoked(pair.refresh.token) is False

    def test_a_sign_in_from_before_sessions_were_recorded_gets_a_record(self, plain, layers, layer_name, speak):
        """With its first rotation; a token that was used before stays used."""
        if layer_name == "memory":
            pytest.skip("the two resources need one table")
        token = plain(jwt=JWT(SECRET))
        pair = token.issue_pair("alice")
        newer = token.rotate(pair.refresh.token)
        later = _with_sessions(token)
        newest = later.rotate(newer.refresh.token)

        assert [newest.access.claims.family] == [each.family for each in later.sessions("alice")]
        with pytest.raises(ReuseDetected):
            later.rotate(pair.refresh.token)
        assert token.token_revoked(newest.access.token) is True

    def test_presence_asks_for_the_record_of_the_session(self, recorded):
        """With ``require_token_presence``, a sign-in without a record is not accepted."""
        token = recorded(require_token_presence=True)
        pair = token.issue_pair("alice")
        unknown = token.issue_pair(None)

        assert token.verify(token.rotate(pair.refresh.token).access.token).subject == "alice"
        with pytest.raises(InvalidToken, match="never stored"):
            token.verify(unknown.access.token)


def _with_sessions(token: Any) -> Any:
    """Declare a resource over the same table that records sessions."""
    from resourcekit import Domain
    from resourcekit_tokens import TokenRecord, TokenResource

    domain = Domain("conformance")
    made: Any = type(TokenRecord)(
        token.resource.__name__,
        (TokenRecord,),
        {"__module__": token.resource.__module__, "__qualname__": token.resource.__qualname__},
        domain=domain,
        data_layer=token.resource.__info__.options["data_layer"],
        extensions=[TokenResource(jwt=JWT(SECRET), sessions=True)],
    )
    made.__kept_domain__ = domain
    return made


def test_notifiers_hear_of_sign_ins_repetitions_and_ends(layers, layer_name, clock):
    """Under the names of what was called; with the family and the subject, which the key only hashes."""
    heard: list[tuple[str, str, str]] = []

    def hear(note: Any) -> None:
        heard.append((note.action, note.record.family, note.record.subject))

    options = {"jwt": JWT(SECRET), "sessions": True, "rotation_grace": GRACE}
    token = declared(layers(layer_name), "record", notifiers=[hear], **options)
    pair = token.issue_pair("alice")
    family = pair.access.claims.family
    for _ in range(2):
        token.rotate(pair.refresh.token)
    token.end_session(family, subject="alice")

    assert [(name, family, "alice") for name in ("issue_pair", "rotate", "repeated", "end_session")] == heard


class TestLives:
    def test_auth_time_survives_rotation_and_reauthentication_renews_it(self, recorded, clock):
        """The old pair is used up, the family stays."""
        token = recorded()
        pair = token.issue_pair("alice")
        signed_in = pair.access.claims.auth_time
        clock.advance(minutes=5)
        newer = token.rotate(pair.refresh.token)
        fresh = token.reauthenticate(newer.refresh.token, session_values={"device": "phone"})

        assert [signed_in, signed_in, clock.now()] == [each.access.claims.auth_time for each in (pair, newer, fresh)]
        assert pair.access.claims.family == fresh.access.claims.family
        assert [True, False] == [token.token_revoked(each.access.token) for each in (newer, fresh)]
        assert "phone" == token.sessions("alice")[0].values["device"]
        assert fresh.refresh.token == token.reauthenticate(newer.refresh.token).refresh.token
        with pytest.raises(TokenConsumed):
            token.rotate(newer.refresh.token)
        assert token.verify(fresh.access.token).subject == "alice"

    def test_no_token_outlives_max_session(self, recorded_plain, clock):
        """However often it is refreshed."""
        token = recorded_plain(max_session=timedelta(hours=8))
        pair = token.issue_pair("alice")
        ends = clock.now() + timedelta(hours=8)
        clock.advance(hours=7, minutes=50)
        pair = token.rotate(pair.refresh.token)

        assert [ends, ends] == [pair.access.claims.expires_at, pair.refresh.claims.expires_at]
        clock.advance(minutes=9, seconds=59, microseconds=1)
        with pytest.raises(TokenExpired, match="max_session"):
            token.rotate(pair.refresh.token)

    def test_a_session_that_is_not_refreshed_for_max_idle_expires(self, recorded_plain, clock):
        """Each refresh counts anew."""
        token = recorded_plain(max_idle=timedelta(hours=1))
        pair = token.issue_pair("alice")
        for _ in range(3):
            clock.advance(minutes=50)
            pair = token.rotate(pair.refresh.token)
        clock.advance(hours=1)

        assert [] == token.sessions("alice")
        with pytest.raises(TokenExpired):
            token.rotate(pair.refresh.token)


@pytest.mark.parametrize("use", ["sessions", "generation", "generation_claims", "log_out_everywhere", "issue", "issue_pair"])
def test_a_subject_that_is_no_text_is_told_what_to_write(recorded_plain, use):
    """An int is the mistake of a caller."""
    with pytest.raises(InvalidArgument, match=r"str\(user\.id\)"):
        getattr(recorded_plain(), use)(42)


@pytest.mark.parametrize("grace", [timedelta(minutes=5, seconds=1), timedelta(seconds=-1)])
def test_a_grace_beyond_its_bounds_is_refused(plain, grace):
    """When the class is declared."""
    with pytest.raises(DeclarationError, match="rotation_grace"):
        plain(jwt=JWT(SECRET), rotation_grace=grace)


def test_a_grace_longer_than_access_tokens_live_is_refused(plain):
    """Both places are named."""
    with pytest.raises(DeclarationError, match="access tokens"):
        plain(jwt=JWT(SECRET, lifetimes={"user": timedelta(minutes=1)}), rotation_grace=timedelta(minutes=2))
