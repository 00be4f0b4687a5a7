"""Storing and finding the facts of tokens, pending changes, and presence, in every call style and on every layer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from call_styles import SECRET

from resourcekit import Attr, attribute, query
from resourcekit.errors import Invalid, InvalidArgument
from resourcekit_tokens import JWT
from resourcekit_tokens.errors import InvalidToken, TokenConsumed, WrongPurpose


class TestStoreToken:
    def test_the_facts_of_a_token_are_stored_and_never_the_token(self, token_resource, forge, clock):
        """The record holds claims; no attribute holds the token or a part of it."""
        token = token_resource()
        text = forge("one", "alice", fam="f1", hours=2)
        record = token.store_token(text, extra_data={"device": "phone"})

        assert ("one", "alice", "user", "f1") == (record.jti, record.subject, record.purpose, record.family)
        assert clock.now() + timedelta(hours=2) == record.expires_at
        assert {"device": "phone"} == record.extra_data
        assert (None, None) == (record.revoked_at, record.revocation_reason)
        assert clock.now() == record.created_at == record.updated_at
        values = repr(vars(query(token.resource).one()))
        assert not any(part in values for part in text.split("."))

    @pytest.mark.parametrize(
        ("claim", "argument", "stored"),
        [(None, None, "user"), (None, "reset", "reset"), ("reset", None, "reset"), ("reset", "reset", "reset")],
    )
    def test_the_purpose_is_the_tokens_own_else_the_argument_else_user(self, token_resource, forge, claim, argument, stored):
        """In this order."""
        token = token_resource()

        assert stored == token.store_token(forge(purpose=claim), purpose=argument).purpose

    def test_storing_again_keeps_one_record(self, token_resource, forge, clock):
        """The first facts stay, the time of the last write is noted."""
        token = token_resource()
        first = token.store_token(forge("one"), extra_data={"a": 1})
        clock.advance(minutes=5)
        second = token.store_token(forge("one", hours=3), extra_data={"b": 2})

        assert 1 == query(token.resource).count()
        assert first.created_at == second.created_at
        assert clock.now() == second.updated_at
        assert {"a": 1} == second.extra_data
        assert clock.now() + timedelta(hours=3) == second.expires_at

    def test_it_never_revives(self, token_resource, forge):
        """A revoked token that is stored stays revoked, and gets its purpose."""
        token = token_resource()
        token.revoke(forge("one"))
        record = token.store_token(forge("one"), purpose="refresh")

        assert record.revoked_at is not None
        assert "refresh" == record.purpose
        assert token.token_revoked(forge("one")) is True

    def test_own_attributes_are_filled_by_values(self, token_resource, forge):
        """``values`` holds the user's own attributes; they are cast and checked, and a later store leaves them alone."""
        body = {"__annotations__": {"device": Attr[str | None]}, "device": attribute(default=None, max_length=10)}
        token = token_resource(body)
        token.store_token(forge("one"), values={"device": "phone"})
        record = token.store_token(forge("one"))

        assert "phone" == record.device
        with pytest.raises(Invalid) as caught:
            token.store_token(forge("two"), values={"device": "x" * 11})
        assert ["device"] == [finding.path for finding in caught.value.findings]

    @pytest.mark.parametrize("name", ["token", "purpose", "extra_data", "revoked_at", "jti", "expires_at", "subject", "nonsense"])
    def test_values_hold_nothing_but_own_attributes(self, token_resource, forge, name):
        """What the extension writes cannot be slipped in by ``values``."""
        token = token_resource()
        with pytest.raises(Invalid) as caught:
            token.store_token(forge("one"), values={name: None})

        assert [name] == [finding.path.removeprefix("values.") for finding in caught.value.findings]
        assert 0 == query(token.resource).count()

    @pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "x" * 20_000])
    def test_garbage_is_refused(self, token_resource, garbage):
        """Nothing is written."""
        token = token_resource()
        with pytest.raises(InvalidToken):
            token.store_token(garbage)

        assert 0 == query(token.resource).count()

    def test_expiry_is_rounded_up_and_clamped(self, token_resource, forge):
        """A fraction of a microsecond counts as a whole one; after year 9999 comes nothing."""
        token = token_resource()
        fraction = token.store_token(forge("one", exp=1_900_000_000.5))
        far = token.store_token(forge("two", exp=10**15))

        assert datetime(2030, 3, 17, 17, 46, 40, 500_000, tzinfo=UTC) == fraction.expires_at
        assert datetime.max.replace(tzinfo=UTC) == far.expires_at

    @pytest.mark.parametrize("extra", [{"deep": {"list": [1, 2.5, None, True, "é"]}}, {}, {"": ""}, {"🦉": 2**60}])
    def test_extra_data_is_any_json_object(self, token_resource, forge, extra):
        """It is kept as it was given."""
        token = token_resource()
        token.store_token(forge("one"), extra_data=extra)

        assert extra == token.get_token(jti="one").extra_data

    @pytest.mark.parametrize("extra", [{"x": object()}, {"x": float("nan")}, {1: 2}])
    def test_extra_data_that_is_no_json_is_refused(self, token_resource, forge, extra):
        """One finding, for ``extra_data`` or the place in it."""
        with pytest.raises(Invalid) as caught:
            token_resource().store_token(forge("one"), extra_data=extra)

        assert ["extra_data"] == [finding.path.partition(".")[0] for finding in caught.value.findings]


class TestGetToken:
    def test_a_record_is_found_by_token_and_by_jti(self, token_resource, forge):
        """Both name the same record; unknown ones give ``None``."""
        token = token_resource()
        token.store_token(forge("one"))

        assert "one" == token.get_token(token=forge("one")).jti == token.get_token(jti="one").jti
        assert "one" == token.get_token(token=forge("one"), jti="one").jti
        assert token.get_token(token=forge("one"), jti="two") is None
        assert token.get_token(jti="two") is None
        assert token.get_token(token=forge("two")) is None

    def test_the_purpose_narrows_it(self, token_resource, forge):
        """A record of another purpose is not found."""
        token = token_resource()
        token.store_token(forge("one"), purpose="reset")

        assert token.get_token(jti="one", purpose="reset") is not None
        assert token.get_token(jti="one", purpose="user") is None

    def test_revoked_records_are_found_and_expired_ones_are_not(self, token_resource, forge, clock):
        """Revocation does not hide a record, expiry does, at the very moment."""
        token = token_resource()
        token.revoke(forge("one", hours=1))
        clock.advance(hours=1, microseconds=-1)
        before = token.get_token(jti="one")
        clock.advance(microseconds=1)

        assert before.revoked_at is not None
        assert token.get_token(jti="one") is None

    def test_neither_is_an_error(self, token_resource):
        """One of the two must be named."""
        with pytest.raises(InvalidArgument):
            token_resource().get_token()

    def test_garbage_is_refused_and_reserved_keys_are_nobody(self, token_resource):
        """A garbage token is InvalidToken; what cannot be a jti is not found."""
        token = token_resource()
        token.log_out_everywhere("alice")
        with pytest.raises(InvalidToken):
            token.get_token(token="garbage")

        assert token.get_token(jti="rk:cutoff:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90") is None
        assert token.get_token(jti="") is None


CHANGES = {"email": "alice@example.org", "deep": {"list": [1, None]}}


class TestConfirmation:
    def test_changes_are_stored_and_found(self, token_resource, forge):
        """They wait under the jti of their token, apart from what was given."""
        token = token_resource()
        given = {"email": "alice@example.org", "deep": {"list": [1, None]}}
        record = token.store_confirmation_changes(forge("one"), given)
        given["deep"]["list"].append("later")

        assert "confirm" == record.purpose
        assert CHANGES == token.get_confirmation_changes(jti="one")
        assert token.get_confirmation_changes(jti="two") is None

    def test_another_purpose_is_another_waiting_room(self, token_resource, forge):
        """Changes are found under the purpose with which they were stored."""
        token = token_resource()
        token.store_confirmation_changes(forge("one"), CHANGES, purpose="invite")

        assert token.get_confirmation_changes(jti="one") is None
        assert CHANGES == token.get_confirmation_changes(jti="one", purpose="invite")

    def test_later_changes_take_the_place_of_earlier_ones(self, token_resource, forge):
        """One record, the last changes."""
        token = token_resource()
        token.store_confirmation_changes(forge("one"), {"email": "old"})
        token.store_confirmation_changes(forge("one"), {"email": "new"})

        assert {"email": "new"} == token.get_confirmation_changes(jti="one")
        assert 1 == query(token.resource).count()

    def test_none_wait_once_revoked_or_expired(self, token_resource, forge, clock):
        """They are not handed out afterwards, and storing again does not revive them."""
        token = token_resource()
        token.store_confirmation_changes(forge("revoked"), CHANGES)
        token.store_confirmation_changes(forge("expired", hours=0.5), CHANGES)
        token.revoke(forge("revoked"))
        token.store_confirmation_changes(forge("revoked"), {"email": "again"})
        clock.advance(minutes=30)

        assert token.get_confirmation_changes(jti="revoked") is None
        assert token.get_confirmation_changes(jti="expired") is None
        assert token.jti_revoked("revoked") is True

    def test_a_contradicting_purpose_is_refused(self, token_resource, forge):
        """A token that says what it is for cannot carry changes for something else."""
        with pytest.raises(WrongPurpose):
            token_resource().store_confirmation_changes(forge(purpose="user"), CHANGES)

    def test_confirm_hands_the_changes_to_one(self, token_resource):
        """The winner gets claims and changes; afterwards the token is used up and nothing waits."""
        token = token_resource(jwt=JWT(SECRET))
        issued = token.issue("alice", purpose="confirm")
        token.store_confirmation_changes(issued.token, CHANGES)
        confirmed = token.confirm(issued.token)

        assert CHANGES == confirmed.changes
        assert "alice" == confirmed.claims.subject
        with pytest.raises(TokenConsumed):
            token.confirm(issued.token)
        assert token.get_confirmation_changes(jti=issued.claims.jti) is None
        assert token.token_revoked(issued.token) is True

    def test_confirm_without_changes_hands_out_none(self, token_resource):
        """A token for which nothing waits can be used up as well."""
        token = token_resource(jwt=JWT(SECRET))

        assert {} == token.confirm(token.issue("alice", purpose="confirm").token).changes

    def test_confirm_of_another_purpose(self, token_resource):
        """The purpose may be any word; the token must carry it."""
        token = token_resource(jwt=JWT(SECRET))
        issued = token.issue("alice", purpose="invite")
        with pytest.raises(WrongPurpose):
            token.confirm(issued.token)

        assert "invite" == token.confirm(issued.token, purpose="invite").claims.purpose


class TestPresence:
    def test_issued_tokens_are_stored_where_asked(self, token_resource, clock):
        """``store_all_tokens`` keeps the facts of each token that ``issue`` makes."""
        token = token_resource(jwt=JWT(SECRET), store_all_tokens=True)
        issued = token.issue("alice", purpose="reset", extra_data={"ip": "::1"})
        record = token.get_token(jti=issued.claims.jti)

        assert ("alice", "reset", {"ip": "::1"}) == (record.subject, record.purpose, record.extra_data)
        assert issued.claims.expires_at == record.expires_at

    def test_without_it_nothing_is_stored(self, token_resource):
        """Issuing writes nothing by itself."""
        token = token_resource(jwt=JWT(SECRET))
        token.issue("alice")
        token.issue_pair("alice")

        assert 0 == query(token.resource).count()

    def test_only_stored_tokens_verify_where_presence_is_required(self, token_resource, forge):
        """A token that our own key signed, but that was never stored, is refused by verify and by consume."""
        token = token_resource(jwt=JWT(SECRET), store_all_tokens=True, require_token_presence=True)
        issued = token.issue("alice")
        foreign = forge("foreign", purpose="user")

        assert "alice" == token.verify(issued.token).subject
        for refuse in (lambda: token.verify(foreign), lambda: token.consume(foreign, purpose="user")):
            with pytest.raises(InvalidToken):
                refuse()
        token.store_token(foreign)
        assert "foreign" == token.verify(foreign).jti

    def test_a_pair_is_stored_whole(self, token_resource):
        """Both tokens of a pair, and of each rotation, are stored with their family."""
        body = {"__annotations__": {"device": Attr[str | None]}, "device": attribute(default=None)}
        token = token_resource(body, jwt=JWT(SECRET), store_all_tokens=True, require_token_presence=True)
        pair = token.issue_pair("alice", extra_data={"ip": "::1"}, values={"device": "phone"})
        rotated = token.rotate(pair.refresh.token)
        records = {record.jti: record for record in query(token.resource).all()}

        assert 4 == len(records)
        assert {pair.access.claims.family} == {record.family for record in records.values()}
        assert ("phone", {"ip": "::1"}) == (records[pair.access.claims.jti].device, records[pair.refresh.claims.jti].extra_data)
        assert token.verify(rotated.access.token).family == pair.access.claims.family
