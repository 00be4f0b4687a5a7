"""Tokens of several providers (``issuers``): subjects, jtis and families of two of them never meet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from resourcekit_tokens import JWT, JWKSet
from resourcekit_tokens.errors import BadSignature, InvalidToken
from tests.unit.tokens.test_key_sets import FIRST, NOON, SECOND, clock, declare, public, signed

__all__ = ["clock"]


def test_the_issuer_chooses_the_set_and_subjects_stay_apart(clock):
    """The key of one provider signs nothing for another; a log-out is about a pair."""
    sets = {"https://a.example": JWKSet({"keys": [public(FIRST, kid="k")]}), "b": JWKSet({"keys": [public(SECOND, kid="k")]})}
    token = declare(JWT(issuers=sets), foreign_iat_tolerance=timedelta(0), max_lifetime=timedelta(days=30))
    of_a, of_b = signed(FIRST, iss="https://a.example", jti="a"), signed(SECOND, iss="b", jti="b")
    crossed = signed(SECOND, iss="https://a.example")
    for text in (of_a, of_b):
        assert "alice" == token.verify(text).subject
        token.store_token(text)
    with pytest.raises(BadSignature):
        token.verify(crossed)
    for issuer in ({"iss": "c"}, {}):
        with pytest.raises(InvalidToken):
            token.verify(signed(FIRST, **issuer))
    clock.advance(seconds=1)
    token.log_out_everywhere(("b", "alice"))

    assert [False, True] == [token.token_revoked(text) for text in (of_a, of_b)]
    assert (1, 0) == tuple(len(token.tokens_for_subject((name, "alice"))) for name in ("https://a.example", "b"))
    assert token.jti_revoked("other", subject=("b", "alice"), issued_at=NOON) is True
    with pytest.raises(Exception, match="issuer, subject"):
        token.log_out_everywhere("alice")


def test_tokens_of_two_providers_with_one_jti_are_revoked_apart(clock):
    """A jti and a family are unique for their issuer only; a provider must not end the sign-ins of another one."""
    sets = {name: JWKSet({"keys": [public(key, kid="k")]}) for name, key in (("a", FIRST), ("b", SECOND))}
    secret = "a-secret-for-sets-that-is-long-enough-0123456789"
    token = declare(JWT(secret, issuers=sets, family_claim="sid"), max_lifetime=timedelta(days=30))
    own = token.issue_pair("alice")
    same = {"jti": own.access.claims.jti, "sid": own.access.claims.family}
    of_a, of_b = signed(FIRST, iss="a", **same), signed(SECOND, iss="b", **same)
    texts = (of_a, of_b, own.access.token)

    token.revoke(of_b)
    after_revoke = [token.token_revoked(text) for text in texts]
    token.end_session(("a", same["sid"]), reason="back-channel")
    after_session = [token.token_revoked(text) for text in texts]

    assert ([False, True, False], [True, True, False]) == (after_revoke, after_session)


@pytest.mark.parametrize("form", ["pair", "claims", "subject"])
def test_a_jti_of_a_provider_is_named_with_its_issuer(clock, form):
    """By a pair, by the claims of a verified token, or by the pair of its subject; the bare jti is of no provider."""
    sets = {name: JWKSet({"keys": [public(key, kid="k")]}) for name, key in (("a", FIRST), ("b", SECOND))}
    token = declare(JWT(issuers=sets), max_lifetime=timedelta(days=30))
    of_a, of_b = signed(FIRST, iss="a"), signed(SECOND, iss="b")
    jti = {"pair": ("a", "j"), "claims": token.verify(of_a).jti, "subject": "j"}[form]
    token.revoke_jti("j")
    before = token.token_revoked(of_a)
    token.revoke_jti(jti, subject=("a", "alice") if form == "subject" else None)

    assert (False, True, False) == (before, token.token_revoked(of_a), token.token_revoked(of_b))
    assert [True, False] == [token.jti_revoked("j", subject=(name, "alice"), issued_at=NOON) for name in ("a", "b")]
    assert [True, False] == [token.jti_revoked((name, "j")) for name in ("a", "b")]
    assert token.explain(jti=("a", "j")).revoked


def test_a_log_out_keeps_the_family_of_one_provider_only(clock):
    """The kept family is named as the token has it."""
    sets = {name: JWKSet({"keys": [public(key, kid="k")]}) for name, key in (("a", FIRST), ("b", SECOND))}
    token = declare(JWT(issuers=sets, family_claim="sid"), foreign_iat_tolerance=timedelta(0), max_lifetime=timedelta(days=30))
    kept, ended, other = (
        signed(FIRST, iss="a", sid="s"),
        signed(FIRST, iss="a", sid="t", jti="t"),
        signed(SECOND, iss="b", sid="s"),
    )
    clock.advance(seconds=1)
    token.log_out_everywhere(("a", "alice"), keep=["s"])
    token.log_out_everywhere(("b", "alice"))

    assert [False, True, True] == [token.token_revoked(text) for text in (kept, ended, other)]


@pytest.mark.parametrize("claim", ["jti", "fam"])
def test_a_provider_cannot_write_the_identity_of_another(clock, claim):
    """The key of a jti of a provider is refused as a jti."""
    sets = {name: JWKSet({"keys": [public(key, kid="k")]}) for name, key in (("a", FIRST), ("b", SECOND))}
    token = declare(JWT(issuers=sets), max_lifetime=timedelta(days=30))
    victim = token.verify(signed(FIRST, iss="a")).jti

    with pytest.raises(InvalidToken, match="reserved"):
        token.revoke(signed(SECOND, iss="b", **{claim: victim}))
