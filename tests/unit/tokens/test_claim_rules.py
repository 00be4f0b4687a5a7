"""The claims of a token by name, in a peer's words, and what may be given to a new token."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from forge import NOW, SECRET, START, algorithm_of, claims, private_key, signed

from resourcekit.errors import Invalid, InvalidArgument
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, SigningKey
from resourcekit_tokens.claims import ClaimRules, extra_claims
from resourcekit_tokens.errors import InvalidToken, WrongPurpose
from resourcekit_tokens.pairs import new_claims, sign
from resourcekit_tokens.signature import read_claims, verify_signature

PEER = ClaimRules(
    purpose_claim="scope", subject_claim="uid", purposes={"access": "user", "renew": "refresh"}, default_purpose=None
)
named = pytest.mark.parametrize


def deep(levels):
    """A list in a list in a list."""
    value = []
    for _ in range(levels):
        value = [value]
    return value


class TestClaims:
    """A read-only mapping with names."""

    def test_it_is_a_mapping(self):
        """In the token's order, with all its claims, equal to any mapping that says the same."""
        read = read_claims(signed(claims(n=[1, None], m={"a": 1.5})))

        assert isinstance(read, Mapping)
        assert ["jti", "sub", "iat", "exp", "n", "m"] == list(read)
        assert claims(n=[1, None], m={"a": 1.5}) == read == read_claims(signed(claims(n=[1, None], m={"a": 1.5})))
        assert (6, None, True, False) == (len(read), read.get("fam"), "n" in read, "x" in read)
        with pytest.raises(KeyError):
            read["x"]

    def test_it_cannot_be_changed(self):
        """Neither an item nor an attribute."""
        read = read_claims(signed(claims()))

        with pytest.raises(TypeError):
            read["sub"] = "root"  # type: ignore[index]
        with pytest.raises(TypeError):
            del read["sub"]  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            read.subject = "root"  # type: ignore[misc]
        with pytest.raises(AttributeError):
            read.admin = True  # type: ignore[attr-defined]

    def test_names(self):
        """The registered claims and the family by attribute; what is not there is None."""
        read = read_claims(signed(claims(fam="f", purpose="reset")))
        bare = read_claims(signed({"jti": "j"}))

        assert ("jti-1", "alice", "reset", "f", True) == (
            read.jti,
            read.subject,
            read.purpose,
            read.family,
            read.states_purpose,
        )
        assert ("j", None, "user", None, False) == (bare.jti, bare.subject, bare.purpose, bare.family, bare.states_purpose)

    def test_its_repr_tells_nothing(self):
        """Names are the token's as much as values."""
        assert "<Claims: 5, values hidden>" == repr(read_claims(signed(claims(secret="xyzzy"))))


class TestAPeersWords:
    """Purpose and subject under other names, and in other words."""

    @named(("word", "purpose"), [("access", "user"), ("renew", "refresh"), ("reset", "reset"), ("user", "user")])
    def test_words_are_translated(self, word, purpose):
        """Words that the peer has no translation for stay as they are."""
        assert purpose == read_claims(signed(claims(scope=word, uid="alice")), rules=PEER).purpose

    @named(("purpose", "word"), [("user", "access"), ("refresh", "renew"), ("reset", "reset"), ("access", None)])
    def test_purposes_are_written_in_their_words(self, purpose, word):
        """What would be read back as another purpose has no word."""
        assert word == PEER.word_for(purpose)

    def test_the_subject_is_theirs(self):
        """`sub` means nothing where another claim holds the subject."""
        assert "bob" == read_claims(signed(claims(scope="access", uid="bob")), rules=PEER).subject

    def test_a_token_that_names_no_purpose(self):
        """Refused where none is assumed, the claim named as the peer names it."""
        with pytest.raises(WrongPurpose) as caught:
            read_claims(signed(claims(uid="bob", purpose="user")), rules=PEER)

        assert "scope" == caught.value.claim

    @named("claim", ["scope", "uid"])
    @named("value", ["", 7.5, True, None, ["a"], "a\0", "\ud800", "a" * 1025])
    def test_their_claims_are_as_strict(self, claim, value):
        """Texts that every store keeps."""
        with pytest.raises(InvalidToken) as caught:
            read_claims(signed({"jti": "j", "scope": "access", "uid": "bob", claim: value}), rules=PEER)

        assert claim == caught.value.claim

    def test_rules_keep_a_copy(self):
        """They cannot be changed from outside."""
        words = {"access": "user"}
        rules = ClaimRules(purposes=words)
        words["access"] = "admin"

        assert "user" == rules.purposes["access"]
        with pytest.raises(TypeError):
            rules.purposes["access"] = "admin"  # type: ignore[index]

    def test_claims_that_have_no_meaning_to_us(self):
        """What a rotation carries on: neither the registered claims nor those of the rules."""
        assert {"role": "x", "sub2": 1} == extra_claims(claims(role="x", purpose="user", fam="f", sub2=1), ClaimRules())
        assert {"purpose": "x"} == extra_claims({"purpose": "x", "scope": "access", "uid": "a", "exp": NOW}, PEER)

    def test_through_a_resource(self, declare):
        """Issued and verified in the peer's words; the record says it in ours."""
        jwt = JWT(SECRET, purpose_claim="scope", subject_claim="uid", purposes={"access": "user"}, default_purpose=None)
        resource = declare(jwt=jwt, store_all_tokens=True)
        issued = resource.issue("alice", claims={"purpose": "free", "role": 1})

        assert ("access", "alice", "free") == tuple(issued.claims[name] for name in ("scope", "uid", "purpose"))
        assert ("user", "alice") == (resource.verify(issued.token).purpose, resource.verify(issued.token).subject)
        assert ("user", "alice") == (
            resource.get_token(token=issued.token).purpose,
            resource.get_token(token=issued.token).subject,
        )

    @named("purpose", [None, "", 7, ["user"], "User", "user "])
    def test_a_purpose_that_is_none_is_not_any(self, declare, purpose):
        """What a caller forgot to fill in does not switch the check off."""
        resource = declare(jwt=JWT(SECRET))
        token = resource.issue("alice").token
        for use in (resource.verify, resource.consume, resource.confirm):
            with pytest.raises(WrongPurpose):
                use(token, purpose=purpose)


class TestNewTokens:
    """What ``issue`` writes, and what it refuses to write."""

    @named("claim", ["jti", "exp", "iat", "nbf", "sub", "iss", "aud", "fam", "purpose"])
    def test_claims_of_ours_cannot_be_given(self, claim, declare):
        """Each is named, and nothing is signed; all are reported together."""
        with pytest.raises(InvalidArgument) as caught:
            declare().issue("alice", claims={claim: "x", "role": "y"})

        assert [claim] == [finding.path for finding in caught.value.findings]

    def test_nor_those_of_the_peer(self):
        """Purpose and subject, under whatever names."""
        options = JWT(SECRET, purpose_claim="scope", subject_claim="uid")
        with pytest.raises(InvalidArgument) as caught:
            new_claims(options, subject="alice", moment=START, extra={"scope": "x", "uid": "root", "exp": 1, "role": 1})

        assert ["exp", "scope", "uid"] == [finding.path for finding in caught.value.findings]

    @named("name", ["EXP", "exp ", "Sub", "\u0435xp", "jt\u0131"])
    def test_names_that_look_like_ours(self, name):
        """Are other names, and change nothing."""
        made = new_claims(JWT(SECRET), subject="alice", moment=START, extra={name: 1})

        assert ("alice", NOW + 14 * 86400, 1) == (made["sub"], made["exp"], made[name])

    @named(
        "extra",
        [
            {"n": float("nan")},
            {"n": [float("inf")]},
            {"n": object()},
            {"n": {1, 2}},
            {"n": b"bytes"},
            {1: "a", "1": "b"},
            {("a",): 1},
            {"n": deep(100)},
            {"n": deep(100_000)},
            {"n": "x" * 13_000},
            "claims",
            ["claims"],
            7,
        ],
        ids=lambda extra: str(type(extra)) + str(extra)[:20] if not isinstance(extra, dict) else str([*extra]),
    )
    def test_what_could_not_be_read_back(self, extra):
        """Not JSON, a name twice, too deep, too long: refused as an argument, its value not shown."""
        with pytest.raises(Invalid) as caught:
            sign(JWT(SECRET), new_claims(JWT(SECRET), subject="alice", moment=START, extra=extra))

        assert ["claims"] == [finding.path for finding in caught.value.findings]
        assert "xxx" not in str(caught.value)
        assert caught.value.__context__ is None

    @named("subject", ["", "a\0", "\ud800", "a" * 1025, 7, ["alice"]])
    def test_subjects_that_no_store_keeps(self, subject, declare):
        """They would be refused when the token comes back."""
        with pytest.raises(Invalid) as caught:
            declare().issue(subject)

        assert ["subject"] == [finding.path for finding in caught.value.findings]

    @named("purpose", ["", "a\0", "a" * 256, 7])
    def test_purposes_that_no_store_keeps(self, purpose, declare):
        """They would be refused when the token comes back."""
        with pytest.raises(Invalid) as caught:
            declare().issue("alice", purpose=purpose)

        assert ["purpose"] == [finding.path for finding in caught.value.findings]

    def test_issued_claims_are_those_of_the_token(self, declare):
        """Read back from it: what JSON makes of a value, and independent of what the caller keeps."""
        roles = ["a"]
        issued = declare().issue("alice", claims=MappingProxyType({"roles": roles, "pair": (1, 2), "n": {1: True}}))
        roles.append("root")

        assert (["a"], [1, 2], {"1": True}) == tuple(issued.claims[name] for name in ("roles", "pair", "n"))
        assert dict(read_claims(issued.token)) == dict(issued.claims)

    def test_a_token_without_subject(self, declare):
        """No subject is named, and `sub` is not written."""
        issued = declare().issue(None)

        assert "sub" not in issued.claims
        assert issued.claims.subject is None

    def test_issuer_and_audience(self):
        """As they were given: text as text, several as a list."""
        one = new_claims(JWT(SECRET, issuer="i", audience="a"), subject="s", moment=START)
        two = new_claims(JWT(SECRET, audience=("a", "b")), subject="s", moment=START)

        assert ("i", "a") == (one["iss"], one["aud"])
        assert (["a", "b"], False) == (two["aud"], "iss" in two)


class TestAudience:
    """RFC 7519, 4.1.3: who is not among the audience must refuse."""

    @named("said", ["a", ["a"], ["x", "a"], ["a", "a"]])
    @named("ours", ["a", ["a"], ("b", "a")])
    def test_one_is_enough(self, ours, said):
        """Of the token's audience, and of the resource's."""
        assert "alice" == verify_signature(JWT(SECRET, audience=ours), signed(claims(aud=said))).subject

    @named("said", ["", [], "A", "a ", "ab", ["x", "y"], ["a b"]])
    def test_none_is_refused(self, said):
        """Compared unchanged, with no case folded and no word cut out."""
        with pytest.raises(InvalidToken) as caught:
            verify_signature(JWT(SECRET, audience="a"), signed(claims(aud=said)))

        assert "aud" == caught.value.claim

    def test_no_audience_is_refused_where_one_is_demanded(self):
        """A token with an audience is refused if the resource has none."""
        for options, token in ((JWT(SECRET, audience="a"), signed(claims())), (JWT(SECRET), signed(claims(aud=["a"])))):
            with pytest.raises(InvalidToken) as caught:
                verify_signature(options, token)

            assert "aud" == caught.value.claim

    @named("said", [None, "I", "i ", "j"])
    def test_another_issuer(self, said):
        """Or none at all."""
        with pytest.raises(InvalidToken) as caught:
            verify_signature(JWT(SECRET, issuer="i"), signed(claims(iss=said)))

        assert "iss" == caught.value.claim
        assert "alice" == verify_signature(JWT(SECRET), signed(claims(iss=said))).subject


class TestRefreshTokensOfAPeer:
    """A refresh token of another issuer, signed with a trusted key, need not have the claims of this one's."""

    @named("life", ["abc", None, True, {}, [1], -5, 0, 1e-300, 1e300, 10**400])
    def test_a_life_that_is_none(self, declare, life):
        """The access token lives as long as ours usually do."""
        with ManualClock(START):
            pair = declare(jwt=JWT(SECRET)).rotate(signed({**claims(purpose="refresh"), "rk_life": life}))
            lived = pair.access.claims["exp"] - pair.access.claims["iat"]

        assert (1 if life is True else 15 * 60) == lived

    @named("carried", ["abc", None, True, [["sub", "root"]], 7, {"sub": "root", "exp": 1, "role": "x"}])
    def test_claims_that_are_none(self, declare, carried):
        """What is no claim of its own is not carried on, least of all a subject."""
        with ManualClock(START):
            pair = declare(jwt=JWT(SECRET)).rotate(signed({**claims(purpose="refresh"), "rk_claims": carried}))

        assert ("alice", isinstance(carried, dict)) == (pair.access.claims.subject, "role" in pair.access.claims)

    def test_any_algorithm(self, declare):
        """The new pair is signed by our first key."""
        keys = [SigningKey(kid=name, algorithm=algorithm_of(name), key=private_key(name)) for name in ("EdDSA", "HS256")]
        with ManualClock(START):
            resource = declare(jwt=JWT(keys))
            pair = resource.rotate(signed(claims(purpose="refresh")))

            assert "alice" == resource.verify(pair.access.token).subject
