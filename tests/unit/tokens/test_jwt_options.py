"""What JWT may say of tokens besides their keys, and what it refuses, all findings together."""

from __future__ import annotations

from datetime import timedelta

import pytest
from forge import SECRET, START, private_key

from resourcekit import env
from resourcekit.errors import DeclarationError, DeclarationErrors, InvalidArgument
from resourcekit_tokens import JWT, SigningKey
from resourcekit_tokens.pairs import new_claims

OTHER = SECRET[::-1]
DAY = timedelta(days=1)
named = pytest.mark.parametrize


def codes(**options):
    """The codes of the findings, sorted."""
    with pytest.raises(DeclarationError) as caught:
        JWT(SECRET, **options)
    errors = caught.value.exceptions if isinstance(caught.value, DeclarationErrors) else [caught.value]
    return sorted(error.code for error in errors)


class TestLifetimes:
    """How long tokens live, by purpose."""

    def test_the_usual_ones(self):
        """Two weeks for a user, thirty days for a refresh token, a day for anything else; the longest bounds them all."""
        options = JWT(SECRET)

        assert (14 * DAY, 30 * DAY, DAY) == tuple(map(options.lifetime, ("user", "refresh", "reset")))
        assert 30 * DAY == options.longest_lifetime

    def test_those_that_are_set(self):
        """One replaces the usual one; the others stay."""
        options = JWT(SECRET, lifetimes={"reset": timedelta(minutes=5), "device": 90 * DAY, "refresh": 2 * DAY})

        assert (14 * DAY, 2 * DAY, timedelta(minutes=5), 90 * DAY) == tuple(
            map(options.lifetime, ("user", "refresh", "reset", "device"))
        )
        assert 90 * DAY == options.longest_lifetime

    def test_they_cannot_be_changed_from_outside(self):
        """A copy is kept."""
        lifetimes = {"user": DAY}
        options = JWT(SECRET, lifetimes=lifetimes)
        lifetimes["user"] = 90 * DAY

        assert DAY == options.lifetime("user")

    @named("lifetimes", [{"user": 3600}, {"user": timedelta(0)}, {"user": -DAY}, {"": DAY}, {7: DAY}, {"a\0": DAY}, [], None, 7])
    def test_what_is_no_lifetime(self, lifetimes):
        """Above zero, a timedelta, by a purpose that tokens can name."""
        assert ["RK206"] == codes(lifetimes=lifetimes)

    def test_each_is_told(self):
        """Two wrong ones are two findings."""
        assert ["RK206", "RK206"] == codes(lifetimes={"user": 1, "reset": 2, "confirm": DAY})


class TestPeers:
    """Issuer and audience."""

    @named("issuer", ["", "a\0", "a" * 1025, "\ud800", 7, b"issuer", ["issuer", ""], []])
    def test_what_is_no_issuer(self, issuer):
        """Text as tokens can carry it."""
        assert ["RK207"] == codes(issuer=issuer)

    @named("audience", ["", [], (), "a" * 256, ["a", ""], ["a", 7], 7, b"audience", {"a"}, [["a"]], "a\0"])
    def test_what_is_no_audience(self, audience):
        """Text, or several in an order."""
        assert ["RK207"] == codes(audience=audience)

    @named(("audience", "kept"), [(None, ()), ("a", ("a",)), (["a", "b"], ("a", "b")), (("a",), ("a",))])
    def test_what_is_an_audience(self, audience, kept):
        """Kept as a tuple, whatever was given."""
        assert kept == JWT(SECRET, audience=audience).audiences

    @named(
        ("one", "two", "shared"),
        [
            ({}, {}, True),
            ({"audience": "a"}, {"audience": ["b", "a"]}, True),
            ({"audience": "a"}, {"audience": "b"}, False),
            ({"audience": "a"}, {}, False),
            ({"issuer": "i"}, {"issuer": "j"}, False),
            ({"issuer": "i"}, {"issuer": "i"}, True),
            ({"issuer": "i"}, {}, True),
            ({"issuer": "i", "audience": "a"}, {"issuer": "j", "audience": "a"}, False),
        ],
    )
    def test_who_may_accept_the_same_token(self, one, two, shared):
        """As far as issuer and audience say, both ways."""
        one, two = JWT(SECRET, **one), JWT(SECRET, **two)

        assert (shared, shared) == (one.shares_audience_with(two), two.shares_audience_with(one))


class TestWords:
    """The claims that hold purpose and subject, and what a peer calls purposes."""

    @named("option", ["purpose_claim", "subject_claim"])
    @named("claim", ["", "exp", "jti", "iat", "nbf", "aud", "iss", "fam", 7, None, "a\0", "a" * 256])
    def test_claims_that_mean_something_else(self, option, claim):
        """They could not be read back."""
        assert "RK208" in codes(**{option: claim})

    def test_one_claim_for_both(self):
        """A subject is no purpose."""
        assert ["RK208"] == codes(purpose_claim="who", subject_claim="who")

    @named("default", ["", 7, "a\0", "a" * 256])
    def test_what_is_no_default_purpose(self, default):
        """Text, or None to refuse tokens that name none."""
        assert ["RK208"] == codes(default_purpose=default)

    @named("purposes", [None, [], {"access": 7}, {7: "user"}, {"": "user"}, {"access": ""}, {"a\0": "user"}])
    def test_what_is_no_translation(self, purposes):
        """Text to text."""
        assert ["RK208"] == codes(purposes=purposes)

    def test_a_purpose_that_has_no_word(self):
        """The peer's word `access` means `user`: a token for the purpose `access` would be read back as another one."""
        options = JWT(SECRET, purposes={"access": "user"})
        with pytest.raises(InvalidArgument) as caught:
            new_claims(options, subject="alice", purpose="access", moment=START)

        assert ["purpose"] == [finding.path for finding in caught.value.findings]
        assert "access" == new_claims(options, subject="alice", purpose="user", moment=START)["purpose"]


class TestTogether:
    """What is seen of the whole."""

    def test_all_findings_come_at_once(self):
        """One error that is a DeclarationError and holds the others."""
        wrong = {"lifetimes": {"user": 1}, "issuer": "", "audience": [], "purposes": [], "default_purpose": ""}

        assert ["RK206", "RK207", "RK207", "RK208", "RK208"] == codes(**wrong)

    def test_its_repr(self):
        """Keys by algorithm and kid, and for whom."""
        options = JWT([SigningKey(kid="a", algorithm="EdDSA", key=private_key("EdDSA")), SECRET], issuer="i", audience=["b"])

        assert "JWT(<EdDSA 'a', HS256>, issuer='i', audience=['b'])" == repr(options)

    def test_it_is_itself(self):
        """Two that say the same are two: keys are compared by doctor only."""
        assert JWT(SECRET) != JWT(SECRET)
        assert 2 == len({JWT(SECRET), JWT(SECRET)})

    def test_it_cannot_be_changed(self):
        """Nor can its keys."""
        options = JWT(SECRET)
        with pytest.raises(AttributeError):
            options.issuer = "other"
        with pytest.raises(AttributeError):
            options.keys[0].algorithm = "none"

        assert isinstance(options.keys, tuple)

    def test_shared_keys(self):
        """Known by their value, whatever their name, form or place."""
        one = JWT([OTHER, SigningKey(kid="a", algorithm="EdDSA", key=private_key("EdDSA"))])
        public = SigningKey(kid="b", algorithm="EdDSA", key=private_key("EdDSA").public_key(), verify_only=True)

        assert one.shares_key_with(JWT([SECRET, public]))
        assert one.shares_key_with(JWT(OTHER.decode()))
        assert not one.shares_key_with(JWT(SECRET))

    def test_what_is_wrong_with_keys_from_outside(self, monkeypatch):
        """All of it, for doctor; nothing is raised."""
        monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
        options = JWT([SECRET, env("NOT_SET_ANYWHERE"), lambda: "short"])

        assert ["RK020", "RK209"] == [error.code for error in options.check_keys()]
        assert [] == JWT(SECRET).check_keys()
