"""Every option of TokenResource: what it changes, and what it refuses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from call_styles import SECRET, declared

from resourcekit import Attr, attribute, query
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError, Invalid
from resourcekit_tokens import JWT, Confirmation, Revocation, TokenRecord, TokenResource
from resourcekit_tokens.errors import InvalidToken, NotATokenResource

RENAMED = {
    "expunge_expired_action_name": "sweep_away",
    "read_expired_action_name": "bygone",
    "store_token_action_name": "remember",
    "get_token_action_name": "recall",
    "revocation": Revocation(
        revoke_token_action_name="kill",
        revoke_jti_action_name="kill_jti",
        revoke_all_stored_for_subject_action_name="kill_all",
        is_revoked_action_name="is_dead",
    ),
    "confirmation": Confirmation(store_changes_action_name="hold_changes", get_changes_action_name="held_changes"),
}


class TestRenamedActions:
    def test_actions_have_the_names_of_the_options(self, token_resource, forge, clock):
        """They are called by these names, and find and write the same records as the functions."""
        token = token_resource(**RENAMED)
        clock.advance(seconds=1)
        kill = token.resource.kill(token=forge("one"), reason="gone")
        token.resource.kill_jti(jti="two")
        token.resource.remember(token=forge("three"), purpose="user")
        token.resource.hold_changes(token=forge("four"), changes={"a": 1})

        assert ("one", "gone") == (kill.jti, kill.revocation_reason)
        assert token.resource.is_dead(jti="two") is True
        assert token.resource.is_dead(token=forge("three")) is False
        assert "three" == token.resource.recall(jti="three").jti
        assert {"a": 1} == token.resource.held_changes(jti="four").extra_data
        assert 1 == token.resource.kill_all(subject="alice", purposes=["user"])
        assert [] == token.resource.bygone()

    def test_functions_keep_their_names(self, token_resource, forge, clock):
        """Functions own their names on the class, whatever the actions are called."""
        token = token_resource(**RENAMED)
        token.store_token(forge("one"))
        token.revoke(forge("one"))
        token.revoke_jti("two", expires_at=clock.now() + timedelta(hours=1))
        token.store_confirmation_changes(forge("three"), {"a": 1})

        assert token.token_revoked(forge("one")) is True
        assert token.jti_revoked("two") is True
        assert {"a": 1} == token.get_confirmation_changes(jti="three")
        assert "three" == token.get_token(jti="three").jti
        assert 1 == token.revoke_all_stored_for_subject("alice")
        clock.advance(hours=2)
        assert 2 == len(token.read_expired())
        assert 2 == token.expunge_expired().removed
        assert token.jti_revoked("three") is True  # no keys and no max_lifetime: nothing bounds what was revoked as a whole

    def test_the_usual_names_are_then_no_actions(self, plain):
        """Only the configured ones are declared."""
        actions = set(plain(**RENAMED).resource.__info__.actions)

        assert not actions & {"revoke_token", "revoke_jti", "store_token", "get_token", "read_expired", "revoked"}

    def test_two_actions_of_one_name_are_refused(self):
        """Each needs a name of its own."""
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), "resource", store_token_action_name="same", get_token_action_name="same")

        assert "RK223" in str(caught.value)

    @pytest.mark.parametrize("name", ["", "two words", "1st", "_hidden", "a-b"])
    def test_a_name_that_a_class_body_could_not_use_is_refused(self, name):
        """At once, with the option's name."""
        with pytest.raises(DeclarationError) as caught:
            TokenResource(store_token_action_name=name)

        assert "store_token_action_name" in str(caught.value)


class TestCreatedAt:
    def test_it_may_have_another_name(self, token_resource, forge, clock):
        """The attribute has the new name, in records, queries and order; the old name is gone."""
        token = token_resource(created_at_attribute_name="inserted_at")
        token.store_token(forge("old"))
        clock.advance(minutes=1)
        record = token.store_token(forge("new"))

        assert clock.now() == record.inserted_at
        assert "created_at" not in token.resource.__info__.attributes
        assert ["new", "old"] == [found.jti for found in token.tokens_for_subject("alice")]
        assert "new" == query(token.resource).sort(token.resource.inserted_at.desc()).first().jti
        assert token.revoke_jti("never stored").inserted_at == clock.now()

    def test_an_own_created_at_stays_beside_it(self, plain, clock):
        """The user's own attribute of the usual name is the user's."""
        body = {"__annotations__": {"created_at": Attr[str | None]}, "created_at": attribute(default="mine")}
        record = plain(body, created_at_attribute_name="inserted_at").revoke_jti("one")

        assert ("mine", clock.now()) == (record.created_at, record.inserted_at)

    def test_not_on_a_subclass_of_the_record(self):
        """Checkers see ``created_at`` there, so renaming it is a DeclarationError."""
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), "record", created_at_attribute_name="inserted_at")

        assert "created_at_attribute_name" in str(caught.value)


class TestMargins:
    @pytest.mark.parametrize(("leeway", "skew", "margin"), [(0, 60, 300), (30, 10, 80), (0, 0, 0), (90, 0, 90)])
    def test_leeway_and_clock_skew_are_the_margin_of_the_sweep(self, token_resource, forge, clock, leeway, skew, margin):
        """A record goes once ``expires_at`` is ``leeway + 5 * clock_skew`` ago, to the microsecond (promise P7: no early removal)."""
        token = token_resource(leeway=timedelta(seconds=leeway), clock_skew=timedelta(seconds=skew))
        token.store_token(forge(hours=1))
        clock.advance(hours=1, seconds=margin)
        early = token.expunge_expired().removed
        clock.advance(microseconds=1)

        assert 0 == early
        assert 1 == token.expunge_expired().removed

    def test_the_usual_margin_is_five_minutes(self, plain, forge, clock):
        """``clock_skew`` 60 s, ``leeway`` 0."""
        options = TokenResource.of(plain().resource)

        assert (timedelta(0), timedelta(seconds=60)) == (options.leeway, options.clock_skew)
        assert timedelta(hours=12) == options.expunge_interval


class TestMaxLifetime:
    def test_a_longer_token_is_invalid(self, token_resource, forge):
        """It neither verifies nor is stored, and the check says ``True``; it can be revoked."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta(hours=2))
        long = forge("long", hours=2.001)
        for use in (token.verify, token.store_token):
            with pytest.raises(InvalidToken) as caught:
                use(long)
            assert "exp" == caught.value.claim
        assert token.token_revoked(long) is True
        assert token.revoke(long).revoked_at is not None
        assert token.verify(forge("fits", hours=2)).jti == "fits"

    def test_it_counts_without_keys_too(self, token_resource, forge, clock):
        """No token may outlive the record that ends it, whichever option vouches for its lifetime."""
        token = token_resource(max_lifetime=timedelta(hours=2))
        late = forge("late", hours=1.5, iat=(clock.now() - timedelta(hours=1)).timestamp())
        with pytest.raises(InvalidToken):
            token.store_token(late)

        assert token.token_revoked(late) is True
        assert token.token_revoked(forge("fine", hours=1.5)) is False

    def test_usual_lifetimes_are_cut_to_it_and_asked_for_ones_are_refused(self, token_resource):
        """``issue`` gives what fits; a lifetime that was asked for is not shortened in silence."""
        token = token_resource(jwt=JWT(SECRET), max_lifetime=timedelta(hours=2))
        claims = token.issue("alice").claims
        pair = token.issue_pair("alice")

        assert timedelta(hours=2) == claims.expires_at - claims.issued_at
        assert timedelta(hours=2) == pair.refresh.claims.expires_at - pair.refresh.claims.issued_at
        assert token.rotate(pair.refresh.token).access.claims.subject == "alice"
        with pytest.raises(Invalid):
            token.issue("alice", lifetime=timedelta(hours=3))

    def test_keys_bring_a_bound_of_their_own(self, plain, clock):
        """The longest lifetime of JWT, where nothing else is said."""
        token = plain(jwt=JWT(SECRET, lifetimes={"device": timedelta(days=400)}))

        assert clock.now() + timedelta(days=400) == token.revoke_jti("one").expires_at

    def test_a_token_without_exp_can_be_revoked_and_never_verifies(self, token_resource, forge, clock):
        """With keys the check says so too; without, it is kept like any unknown expiry."""
        keyless, keyed = token_resource(max_lifetime=timedelta(days=2)), token_resource(jwt=JWT(SECRET))
        endless = forge(hours=None)

        assert keyless.token_revoked(endless) is False
        assert clock.now() + timedelta(days=2) == keyless.revoke(endless).expires_at
        assert keyless.token_revoked(endless) is True
        assert keyed.revoke(endless).revoked_at is not None
        assert keyed.token_revoked(endless) is True
        with pytest.raises(InvalidToken):
            keyed.verify(endless)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("leeway", timedelta(seconds=-1)),
        ("clock_skew", timedelta(seconds=-1)),
        ("rotation_grace", timedelta(seconds=-1)),
        ("expunge_interval", timedelta(milliseconds=999)),
        ("expunge_interval", 12),
        ("max_lifetime", timedelta(0)),
        ("leeway", 5),
        ("jwt", "secret"),
        ("store_all_tokens", "yes"),
        ("created_at_attribute_name", None),
        ("revocation", {"revoke_token_action_name": "x"}),
        ("allow_unsafe_actions", "wipe"),
    ],
)
def test_wrong_options_are_refused_by_name(option, value):
    """Wrong type or out of range: a DeclarationError that names the option."""
    with pytest.raises(DeclarationError) as caught:
        TokenResource(**{option: value})

    assert option in str(caught.value)


def test_an_unknown_option_is_refused_with_a_suggestion():
    """A misspelled option is reported, with the likely name."""
    with pytest.raises((DeclarationError, TypeError)) as caught:
        TokenResource(expunge_intervall=timedelta(hours=1))

    assert "expunge_interval" in str(caught.value)


@pytest.mark.parametrize("options", [{"require_token_presence": True, "jwt": JWT(SECRET)}, {"store_all_tokens": True}])
def test_options_that_need_another_are_refused_alone(options):
    """Presence needs storing, storing needs keys."""
    with pytest.raises(DeclarationError) as caught:
        declared(Memory(), "resource", **options)

    assert "RK226" in str(caught.value)


def test_the_options_are_there_to_read(plain):
    """``TokenResource.of(Token)`` returns them, typed; they are frozen."""
    token = plain(expunge_interval=timedelta(hours=1))
    options = TokenResource.of(token.resource)

    assert timedelta(hours=1) == options.expunge_interval
    assert "revoke_token" == options.revocation.revoke_token_action_name
    with pytest.raises(AttributeError):
        options.leeway = timedelta(seconds=1)


def test_the_record_is_abstract():
    """``TokenRecord`` itself keeps nothing."""
    with pytest.raises(NotATokenResource):
        TokenRecord.revoke("x")
