"""Tokens of our own: issue, verify, pairs, rotation, and every option of JWT, in every call style and on every layer."""

from __future__ import annotations

from datetime import timedelta

import jwt as pyjwt
import pytest
from call_styles import SECRET
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from resourcekit import env
from resourcekit.errors import Invalid
from resourcekit_tokens import JWT, Claims, SigningKey
from resourcekit_tokens.errors import (
    BadSignature,
    InvalidToken,
    ReuseDetected,
    TokenConsumed,
    TokenExpired,
    TokenRevoked,
    WrongPurpose,
)

OTHER = "another-secret-that-is-long-enough-for-every-hash-there-is-9876543210-abc"


class TestIssueAndVerify:
    def test_what_is_issued_verifies(self, token_resource, clock):
        """The claims come back by name and as a read-only mapping."""
        token = token_resource(jwt=JWT(SECRET))
        issued = token.issue("alice", claims={"role": "admin", "n": 1.5})
        claims = token.verify(issued.token)

        assert isinstance(claims, Claims)
        assert ("alice", "user", None) == (claims.subject, claims.purpose, claims.family)
        assert (clock.now(), clock.now() + timedelta(days=14)) == (claims.issued_at, claims.expires_at)
        assert ("alice", "admin", 1.5) == (claims["sub"], claims["role"], claims["n"])
        assert dict(claims) == dict(issued.claims)
        assert claims.jti == issued.claims.jti
        with pytest.raises(TypeError):
            claims["role"] = "root"

    def test_jtis_are_all_different(self, token_resource):
        """Two tokens of one moment differ in their jti."""
        token = token_resource(jwt=JWT(SECRET))

        assert 20 == len({token.issue("alice").claims.jti for _ in range(20)})

    @pytest.mark.parametrize(("purpose", "days"), [("user", 14), ("refresh", 30), ("reset", 1), ("confirm", 1)])
    def test_lifetimes_by_purpose(self, plain, purpose, days):
        """User 14 days, refresh 30 days, anything else one day."""
        token = plain(jwt=JWT(SECRET))
        claims = token.issue("alice", purpose=purpose).claims

        assert timedelta(days=days) == claims.expires_at - claims.issued_at

    def test_lifetimes_can_be_set(self, plain):
        """By purpose in JWT, and for one token in the call."""
        token = plain(jwt=JWT(SECRET, lifetimes={"user": timedelta(hours=1), "reset": timedelta(minutes=5)}))

        def life(**given):
            claims = token.issue("alice", **given).claims
            return claims.expires_at - claims.issued_at

        assert timedelta(hours=1) == life()
        assert timedelta(minutes=5) == life(purpose="reset")
        assert timedelta(days=30) == life(purpose="refresh")
        assert timedelta(seconds=2) == life(lifetime=timedelta(seconds=1.5))  # exp counts whole seconds

    @pytest.mark.parametrize("lifetime", [timedelta(seconds=0.9), timedelta(0), timedelta(seconds=-1), timedelta(days=31)])
    def test_a_lifetime_that_would_not_verify_is_refused(self, token_resource, lifetime):
        """Less than a second, or over the longest there is."""
        with pytest.raises(Invalid) as caught:
            token_resource(jwt=JWT(SECRET)).issue("alice", lifetime=lifetime)

        assert ["lifetime"] == [finding.path for finding in caught.value.findings]

    @pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "jti", "sub", "iss", "aud", "fam", "purpose"])
    def test_claims_of_ours_cannot_be_given(self, token_resource, claim):
        """What we write is not the caller's to write."""
        with pytest.raises(Invalid) as caught:
            token_resource(jwt=JWT(SECRET)).issue("alice", claims={claim: "x"})

        assert [claim] == [finding.path for finding in caught.value.findings]

    @pytest.mark.parametrize("claims", [{"x": object()}, {"x": float("nan")}, {"x": "y" * 20_000}])
    def test_claims_that_could_not_be_read_back_are_refused(self, token_resource, claims):
        """A token that we would refuse is not handed out."""
        with pytest.raises(Invalid):
            token_resource(jwt=JWT(SECRET)).issue("alice", claims=claims)

    def test_without_keys_nothing_is_issued_or_verified(self, token_resource, forge):
        """``issue`` says what to write; ``verify`` refuses every token."""
        token = token_resource()
        for make in (lambda: token.issue("alice"), lambda: token.issue_pair("alice")):
            with pytest.raises(Invalid):
                make()
        for use in (token.verify, token.rotate, token.confirm):
            with pytest.raises(InvalidToken):
                use(forge(purpose="user"))

    def test_each_failure_is_named(self, token_resource, forge, clock):
        """The class of the error says which check failed."""
        token = token_resource(jwt=JWT(SECRET), leeway=timedelta(seconds=10))
        good = {"purpose": "user"}
        revoked, family, cut = forge("revoked", **good), forge("member", fam="f1", **good), forge("cut", "bob", **good)
        clock.advance(seconds=1)
        token.revoke(revoked)
        token.revoke(forge("first", fam="f1", **good))
        token.log_out_everywhere("bob")
        expected = [
            (forge("a", key=OTHER, **good), BadSignature),
            (forge("b", hours=-1, **good), TokenExpired),
            (forge("c", purpose="reset"), WrongPurpose),
            (forge("d", hours=None, **good), InvalidToken),
            (forge("e", nbf=clock.now().timestamp() + 11, **good), InvalidToken),
            (forge("f", hours=24 * 31, **good), InvalidToken),
            (revoked, TokenRevoked),
            (family, TokenRevoked),
            (cut, TokenRevoked),
            ("garbage", InvalidToken),
        ]
        for text, error in expected:
            with pytest.raises(InvalidToken) as caught:
                token.verify(text)

            assert error is type(caught.value), expected.index((text, error))

    def test_leeway_holds_at_both_ends_to_the_microsecond(self, plain, forge, clock):
        """A token verifies from ``nbf - leeway`` until just before ``exp + leeway``."""
        token = plain(jwt=JWT(SECRET), leeway=timedelta(seconds=10))
        text = forge(hours=1, nbf=clock.now().timestamp() + 60)
        for step, verifies in ((49.999999, False), (0.000001, True), (3559.999999, True), (0.000001, False)):
            clock.advance(seconds=step)
            if verifies:
                assert "jti-1" == token.verify(text).jti
            else:
                with pytest.raises(InvalidToken):
                    token.verify(text)

    def test_a_consumed_token_says_so(self, token_resource):
        """``consume`` returns the claims once; the second use, and ``verify``, raise TokenConsumed."""
        token = token_resource(jwt=JWT(SECRET))
        issued = token.issue("alice", purpose="reset")

        assert "alice" == token.consume(issued.token, purpose="reset").subject
        for use in (lambda: token.consume(issued.token, purpose="reset"), lambda: token.verify(issued.token, purpose="reset")):
            with pytest.raises(TokenConsumed):
                use()
        assert "consumed" == token.get_token(jti=issued.claims.jti).revocation_reason

    def test_only_a_live_token_can_be_consumed(self, token_resource, clock):
        """Expired, revoked, logged out, of another purpose: refused, and nothing is used up."""
        token = token_resource(jwt=JWT(SECRET))
        expired = token.issue("alice", purpose="reset", lifetime=timedelta(seconds=1)).token
        revoked, cut = token.issue("alice", purpose="reset").token, token.issue("bob", purpose="reset")
        clock.advance(seconds=1)
        token.revoke(revoked)
        token.log_out_everywhere("bob")
        for text, purpose, error in (
            (expired, "reset", TokenExpired),
            (revoked, "reset", TokenRevoked),
            (cut.token, "reset", TokenRevoked),
            (token.issue("carol").token, "reset", WrongPurpose),
        ):
            with pytest.raises(error):
                token.consume(text, purpose=purpose)
        assert token.get_token(jti=cut.claims.jti) is None


class TestPairs:
    def test_a_pair_is_one_family(self, token_resource):
        """An access token for ``user``, a refresh token, one family, lives of their own."""
        token = token_resource(jwt=JWT(SECRET))
        pair = token.issue_pair("alice", claims={"role": "admin"})
        access, refresh = pair.access.claims, pair.refresh.claims

        assert ("user", "refresh") == (access.purpose, refresh.purpose)
        assert access.family == refresh.family is not None
        assert timedelta(minutes=15) == access.expires_at - access.issued_at
        assert timedelta(days=30) == refresh.expires_at - refresh.issued_at
        assert "admin" == token.verify(pair.access.token)["role"]
        with pytest.raises(WrongPurpose):
            token.verify(pair.refresh.token)

    def test_rotation_makes_a_new_pair_of_the_family(self, token_resource, clock):
        """Claims and life of the access token are copied; the old refresh token is used up, the old access token lives."""
        token = token_resource(jwt=JWT(SECRET))
        first = token.issue_pair("alice", access_lifetime=timedelta(minutes=5), claims={"role": "admin"})
        clock.advance(minutes=1)
        second = token.rotate(first.refresh.token)
        third = token.rotate(second.refresh.token)

        assert first.access.claims.family == second.access.claims.family == third.refresh.claims.family
        assert ("admin", "admin") == (second.access.claims["role"], third.access.claims["role"])
        assert timedelta(minutes=5) == third.access.claims.expires_at - third.access.claims.issued_at
        assert token.verify(first.access.token).subject == "alice"
        assert token.token_revoked(first.refresh.token) is True
        assert "rotated" == token.get_token(jti=first.refresh.claims.jti).revocation_reason

    def test_new_claims_can_be_given(self, token_resource):
        """A mapping takes the place of the old claims; a function gets them and returns the new ones."""
        token = token_resource(jwt=JWT(SECRET))
        pair = token.issue_pair("alice", claims={"role": "admin", "n": 1})
        second = token.rotate(pair.refresh.token, claims={"role": "guest"})
        third = token.rotate(second.refresh.token, claims=lambda old: {**old, "n": 2})

        assert ("guest", None) == (second.access.claims["role"], second.access.claims.get("n"))
        assert ("guest", 2) == (third.access.claims["role"], third.access.claims["n"])

    def test_reuse_ends_the_family(self, token_resource):
        """A second use of a rotated token ends the whole sign-in, and no other one."""
        token = token_resource(jwt=JWT(SECRET))
        pair, other = token.issue_pair("alice"), token.issue_pair("alice")
        second = token.rotate(pair.refresh.token)
        with pytest.raises(ReuseDetected):
            token.rotate(pair.refresh.token)

        assert all(token.token_revoked(each.token) for each in (pair.access, second.access, second.refresh))
        with pytest.raises(TokenRevoked):
            token.rotate(second.refresh.token)
        verdict = token.explain(token=second.access.token)
        assert ("family", "reuse") == (verdict.rule, verdict.reason)
        assert token.rotate(other.refresh.token).access.claims.subject == "alice"

    def test_a_revoked_refresh_token_does_not_rotate(self, token_resource):
        """Logging out is no theft: TokenRevoked, not ReuseDetected."""
        token = token_resource(jwt=JWT(SECRET))
        pair = token.issue_pair("alice")
        token.revoke(pair.access.token)
        with pytest.raises(TokenRevoked) as caught:
            token.rotate(pair.refresh.token)

        assert not isinstance(caught.value, (ReuseDetected, TokenConsumed))

    def test_only_refresh_tokens_rotate(self, token_resource):
        """An access token is for something else."""
        token = token_resource(jwt=JWT(SECRET))
        with pytest.raises(WrongPurpose):
            token.rotate(token.issue_pair("alice").access.token)

    def test_within_the_grace_every_repetition_is_answered_with_the_same_pair(self, token_resource, clock):
        """Any number of tabs get it; after the grace, it is reuse."""
        token = token_resource(jwt=JWT(SECRET), rotation_grace=timedelta(seconds=10))
        pair = token.issue_pair("alice")
        second = token.rotate(pair.refresh.token)
        clock.advance(seconds=10)
        twins = [token.rotate(pair.refresh.token) for _ in range(3)]

        assert [(second.access.token, second.refresh.token)] * 3 == [(each.access.token, each.refresh.token) for each in twins]
        assert token.verify(second.access.token)
        clock.advance(microseconds=1)
        with pytest.raises(ReuseDetected):
            token.rotate(pair.refresh.token)
        assert token.token_revoked(second.access.token) is True

    def test_after_the_grace_it_is_reuse(self, token_resource, clock):
        """To the microsecond."""
        token = token_resource(jwt=JWT(SECRET), rotation_grace=timedelta(seconds=10))
        pair = token.issue_pair("alice")
        token.rotate(pair.refresh.token)
        clock.advance(seconds=10, microseconds=1)
        with pytest.raises(ReuseDetected):
            token.rotate(pair.refresh.token)

    def test_the_reason_of_a_rotated_token_stays(self, token_resource, clock):
        """Neither a rotation within the grace nor a reuse changes what the record says (promise P6: facts only grow)."""
        token = token_resource(jwt=JWT(SECRET), rotation_grace=timedelta(seconds=10))
        pair = token.issue_pair("alice")
        token.rotate(pair.refresh.token)
        before = token.get_token(jti=pair.refresh.claims.jti)
        clock.advance(seconds=1)
        token.rotate(pair.refresh.token)
        clock.advance(seconds=10)
        with pytest.raises(ReuseDetected):
            token.rotate(pair.refresh.token)
        after = token.get_token(jti=pair.refresh.claims.jti)

        assert (before.revoked_at, "rotated") == (after.revoked_at, after.revocation_reason)


class TestKeys:
    def test_several_keys_rotate_by_kid(self, plain):
        """The first that is not on its way out signs, all verify; a token of a removed key does not."""
        old = SigningKey(kid="old", algorithm="HS256", key=SECRET)
        new = SigningKey(kid="new", algorithm="HS512", key=OTHER)
        leaving = SigningKey(kid="old", algorithm="HS256", key=SECRET, verify_only=True)
        first, second, third = plain(jwt=JWT(old)), plain(jwt=JWT([leaving, new])), plain(jwt=JWT(new))
        of_old, of_new = first.issue("alice").token, second.issue("alice").token

        assert "new" == pyjwt.get_unverified_header(of_new)["kid"]
        assert second.verify(of_old).subject == second.verify(of_new).subject == third.verify(of_new).subject
        with pytest.raises(BadSignature):
            third.verify(of_old)

    @pytest.mark.parametrize("algorithm", ["HS384", "RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
    def test_every_family_of_algorithms_signs_and_verifies(self, token_resource, algorithm):
        """And a token of another algorithm, or another key, does not."""
        keys = {
            "H": lambda: SECRET,
            "R": lambda: rsa.generate_private_key(65537, 2048),
            "P": lambda: rsa.generate_private_key(65537, 2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }
        make = keys.get(algorithm) or keys[algorithm[0]]
        token = token_resource(jwt=JWT(SigningKey(kid="k", algorithm=algorithm, key=make())))
        issued = token.issue("alice")

        assert token.verify(issued.token).subject == "alice"
        with pytest.raises(BadSignature):
            token.verify(pyjwt.encode({**issued.claims}, OTHER, "HS256", headers={"kid": "k"}))
        assert token.token_revoked(issued.token[:-6] + "AAAAAA") is True

    def test_secrets_may_come_from_outside(self, plain, monkeypatch):
        """From the environment or from a callable, read at first use."""
        from_env, from_callable = plain(jwt=JWT(env("TOKEN_SECRET_OF_A_TEST"))), plain(jwt=JWT(lambda: SECRET))
        monkeypatch.setenv("TOKEN_SECRET_OF_A_TEST", SECRET)

        assert from_callable.verify(from_env.issue("alice").token).subject == "alice"

    def test_issuer_and_audience_are_written_and_demanded(self, token_resource, forge):
        """A token of another issuer or audience, or of none, neither verifies nor writes (promise P8: resources are separate)."""
        token = token_resource(jwt=JWT(SECRET, issuer="us", audience=["api", "web"]))
        issued = token.issue("alice")

        assert ("us", ["api", "web"]) == (issued.claims["iss"], issued.claims["aud"])
        assert token.verify(forge("ok", iss="us", aud="web")).jti == "ok"
        for claims in ({"iss": "them", "aud": "api"}, {"iss": "us", "aud": "app"}, {"iss": "us"}, {"aud": "api"}, {}):
            for use in (token.verify, token.revoke, token.store_token):
                with pytest.raises(InvalidToken):
                    use(forge("other", **claims))
            assert token.token_revoked(forge("other", **claims)) is True
        assert token.jti_revoked("other") is False

    def test_a_token_for_an_audience_is_refused_where_none_is_set(self, token_resource, forge):
        """Who is not among the audience must refuse (RFC 7519, 4.1.3)."""
        with pytest.raises(InvalidToken):
            token_resource(jwt=JWT(SECRET)).verify(forge(aud="another app"))

    def test_a_peers_words_are_translated(self, token_resource, forge):
        """``purposes`` maps them to ours, in both directions; claims of other names are read and written."""
        token = token_resource(
            jwt=JWT(SECRET, purpose_claim="typ", purposes={"access": "user"}, subject_claim="uid", default_purpose=None)
        )
        issued = token.issue("alice")
        bobs = token.verify(forge(typ="access", uid="bob"))

        assert ("access", "alice") == (issued.claims["typ"], issued.claims["uid"])
        assert ("user", "bob") == (bobs.purpose, bobs.subject)
        assert "bob" == token.store_token(forge("one", None, typ="access", uid="bob")).subject
        with pytest.raises(WrongPurpose):
            token.verify(forge(uid="bob"))

    @pytest.mark.parametrize(("default", "fits"), [("user", True), ("reset", False)])
    def test_a_token_without_purpose_has_the_default_one(self, token_resource, forge, default, fits):
        """``default_purpose`` says what a silent token is for."""
        token = token_resource(jwt=JWT(SECRET, default_purpose=default))
        if fits:
            assert default == token.verify(forge()).purpose
        else:
            with pytest.raises(WrongPurpose):
                token.verify(forge())
