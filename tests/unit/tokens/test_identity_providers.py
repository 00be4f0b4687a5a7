"""Tokens in the shapes that identity providers document: each is verified, revoked, and ended with its sign-in where it names one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, TOKEN_HASH, JWKSet, TokenRecord, TokenResource
from resourcekit_tokens.errors import InvalidToken, TokenRevoked

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NOW = int(NOON.timestamp())
KEY = rsa.generate_private_key(65537, 2048)
SET = JWKSet({"keys": [{**RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k", "use": "sig"}]})
SECRET = "a-secret-for-providers-that-is-long-enough-0123456789"

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "Keycloak": (
        {"family_claim": "sid", "issuer": "https://kc.example/realms/shop", "audience": "account"},
        {"jti": "onrtac:7f1c", "iss": "https://kc.example/realms/shop", "aud": "account", "sub": "f:1:alice", "typ": "Bearer",
         "azp": "shop", "sid": "6b3f", "acr": "1", "realm_access": {"roles": ["user"]}, "scope": "openid"},
        "f:1:alice",
    ),
    "Auth0": (
        {"jti_claim": TOKEN_HASH, "issuer": "https://t.auth0.example/", "audience": ["https://api.example"]},
        {"iss": "https://t.auth0.example/", "sub": "auth0|1", "aud": ["https://api.example", "https://t.auth0.example/userinfo"],
         "azp": "c", "scope": "openid profile"},
        "auth0|1",
    ),
    "Entra ID": (
        {"jti_claim": "uti", "family_claim": "sid", "audience": "6e74172b"},
        {"aud": "6e74172b", "iss": "https://login.example/t/v2.0", "nbf": NOW, "oid": "0001", "sub": "HKZ", "uti": "fqiBqXLPj0eQa82S",
         "sid": "s1", "ver": "2.0"},
        "HKZ",
    ),
    "Cognito": (
        {"family_claim": "origin_jti"},
        {"sub": "aaaa-bbbb", "iss": "https://cognito.example/pool", "client_id": "c", "origin_jti": "o1", "event_id": "e",
         "token_use": "access", "scope": "aws.cognito.signin.user.admin", "auth_time": NOW, "jti": "j1", "username": "alice"},
        "aaaa-bbbb",
    ),
    "Firebase": (
        {"jti_claim": TOKEN_HASH, "subject_claim": "user_id", "audience": "shop"},
        {"iss": "https://securetoken.example/shop", "aud": "shop", "auth_time": NOW, "user_id": "uid1", "sub": "uid1",
         "firebase": {"sign_in_provider": "password"}},
        "uid1",
    ),
    "Google": (
        {"jti_claim": TOKEN_HASH, "issuer": ["https://accounts.example", "accounts.example"], "audience": "client"},
        {"iss": "accounts.example", "azp": "client", "aud": "client", "sub": "110169484474386276334", "at_hash": "x"},
        "110169484474386276334",
    ),
    "Okta": (
        {"subject_claim": "uid"},
        {"ver": 1, "jti": "AT.0mP4", "iss": "https://okta.example", "aud": None, "cid": "c", "uid": "00uid", "scp": ["openid"],
         "sub": "alice@example.com", "auth_time": NOW},
        "00uid",
    ),
    "Supabase": (
        {"jti_claim": TOKEN_HASH, "family_claim": "session_id", "audience": "authenticated"},
        {"aud": "authenticated", "iss": "https://p.supabase.example/auth/v1", "sub": "5b1e", "session_id": "s2", "role": "authenticated",
         "aal": "aal1", "amr": [{"method": "password", "timestamp": NOW}], "is_anonymous": False},
        "5b1e",
    ),
    "a peer that counts its users": ({"subject_claim": "user_id", "keys": None, "key": SECRET}, {"jti": "j", "user_id": 42}, "42"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def clock() -> Iterator[ManualClock]:
    """A clock that the test moves by hand."""
    with ManualClock(NOON) as moved:
        yield moved


def declare(jwt: JWT, **options: Any) -> Any:
    """Declare a token resource in memory."""
    domain = Domain("providers")

    class Token(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource(jwt=jwt, **options)]):
        """Tokens of a provider."""

    Token.__kept__ = domain  # type: ignore[attr-defined]  # the registry holds it weakly
    return Token


def signed(claims: dict[str, Any], key: Any = KEY) -> str:
    """Return a token as the provider signs it."""
    facts = {"iat": NOW, "exp": NOW + 3600, **claims}
    if isinstance(key, str):
        return pyjwt.encode(facts, key, algorithm="HS256")
    return pyjwt.encode(facts, key, algorithm="RS256", headers={"kid": "k", "x5t": "k"})


@pytest.mark.parametrize("shape", list(SHAPES))
def test_a_token_of_a_provider_lives_and_dies(shape, clock):
    """Verified, revoked with its sign-in, and logged out with its subject; other tokens live on."""
    options, claims, subject = SHAPES[shape]
    given = {"keys": SET, **options}
    key = given.get("key")
    token = declare(JWT(**given))
    make = lambda **more: signed({**claims, **more}, key or KEY)  # noqa: E731  # short
    one, other = make(), make(**{options.get("jti_claim", "jti") if options.get("jti_claim") != TOKEN_HASH else "n": "other"})
    read = token.verify(one)
    token.revoke(one)

    assert subject == read.subject
    assert token.token_revoked(one) is True
    assert token.token_revoked(other) is ("family_claim" in options)
    with pytest.raises(TokenRevoked):
        token.verify(one)
    apart = make(**{options.get("family_claim", "n"): "else", options.get("jti_claim", "jti"): "third"})
    assert token.verify(apart).subject == subject
    token.log_out_everywhere(subject)
    assert token.token_revoked(apart) is True


class TestHashes:
    def test_the_hash_is_of_what_is_signed(self):
        """Header and payload; the signature could be written in another way."""
        token = declare(JWT(keys=SET, jti_claim=TOKEN_HASH))
        one, other = signed({"sub": "a"}), signed({"sub": "a", "n": 1})
        identity = token.verify(one).jti

        assert identity.startswith("th_")
        assert 67 == len(identity)
        assert identity != token.verify(other).jti
        assert identity == token.revoke(one).jti
        assert token.jti_revoked(identity) is True

    def test_such_tokens_are_never_issued(self):
        """Our own tokens have an identity."""
        token = declare(JWT(SECRET, jti_claim=TOKEN_HASH))
        with pytest.raises(InvalidArgument, match="TOKEN_HASH"):
            token.issue("alice")


class TestClaimNames:
    @pytest.mark.parametrize("given", [{}, {"issuer": "us"}, {"jti_claim": "uti", "audience": "us"}, {"sid": 1}])
    def test_a_forgotten_secret_does_not_mean_without_keys(self, given):
        """Only the names of claims can be said without keys."""
        with pytest.raises((DeclarationError, TypeError)):
            JWT(**given)

    @pytest.mark.parametrize("user", [True, 1.5, None, [], 10**120])
    def test_no_other_value_becomes_a_subject(self, user):
        """Only whole numbers, and text."""
        token = declare(JWT(SECRET, subject_claim="user_id"))
        with pytest.raises(InvalidToken, match="user_id"):
            token.verify(signed({"jti": "j", "user_id": user}, SECRET))

    def test_a_number_under_sub_is_refused(self):
        """RFC 7519, 4.1.2 wants text."""
        with pytest.raises(InvalidToken, match="sub"):
            declare(JWT(SECRET)).verify(signed({"jti": "j", "sub": 42}, SECRET))

    def test_tokens_are_issued_under_the_same_names(self):
        """Rotations too; the caller cannot give a claim that the framework sets."""
        token = declare(JWT(SECRET, jti_claim="uti", family_claim="sid"), rotation_grace=timedelta(seconds=10))
        pair = token.issue_pair("alice")
        newer = token.rotate(pair.refresh.token)

        assert pair.access.claims["sid"] == newer.access.claims.family == pair.access.claims.family
        assert newer.refresh.claims["uti"] == newer.refresh.claims.jti
        assert newer.refresh.token == token.rotate(pair.refresh.token).refresh.token
        assert "jti" not in newer.access.claims
        with pytest.raises(InvalidArgument, match="uti"):
            token.issue("alice", claims={"uti": "mine"})

    def test_without_keys_the_names_count_too(self):
        """The caller vouches; nothing verifies."""
        token = declare(JWT(jti_claim="uti", family_claim="sid"))
        record = token.revoke(signed({"uti": "one", "sub": "alice", "sid": "s"}))

        assert ("one", "s") == (record.jti, record.family)
        assert token.token_revoked(signed({"uti": "two", "sid": "s"})) is True
        with pytest.raises(InvalidToken, match="no keys"):
            token.verify(signed({"uti": "two", "sub": "alice"}))

    @pytest.mark.parametrize(
        "names", [{"jti_claim": "sub"}, {"family_claim": "exp"}, {"jti_claim": ""}, {"family_claim": "purpose"}]
    )
    def test_two_meanings_for_one_claim_are_refused(self, names):
        """When it is declared."""
        with pytest.raises(DeclarationError, match="RK208"):
            JWT(SECRET, **names)

    @pytest.mark.parametrize(
        "issuers", [{"issuer": []}, {"issuer": [7]}, {"issuers": {}}, {"issuers": {"a": "b"}}, {"issuers": {"": SET}}]
    )
    def test_issuers_that_cannot_be_are_refused(self, issuers):
        """When it is declared."""
        with pytest.raises(DeclarationError, match="RK207"):
            JWT(SECRET, **issuers)
