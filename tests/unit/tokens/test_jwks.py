"""Keys as JSON Web Keys: the set that is published, and those that are taken (RFC 7517, RFC 7518, 6, RFC 8037, 2)."""

from __future__ import annotations

import base64
import json

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from forge import ALGORITHMS, CURVES, SECRET, START, algorithm_of, b64, claims, private_key, signed
from jwk_forms import number, private_jwk, public_jwk

from resourcekit.errors import DeclarationError
from resourcekit_tokens import JWT, SigningKey
from resourcekit_tokens.pairs import new_claims, sign
from resourcekit_tokens.signature import verify_signature

ASYMMETRIC = [name for name in ALGORITHMS if not name.startswith("HS")]
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
named = pytest.mark.parametrize


def key(name, material, **more):
    """A signing key of one of ALGORITHMS."""
    return SigningKey(kid=name, algorithm=algorithm_of(name), key=material, **more)


def refusal(name, jwk):
    """The error that a JWK is refused with."""
    with pytest.raises(DeclarationError) as caught:
        key(name, jwk, verify_only=True)
    return caught.value


class TestPublished:
    """``JWT.jwks()``: what those who verify our tokens need, and nothing else."""

    def test_its_shape(self):
        """A JSON object with the one member `keys`, a list of objects (RFC 7517, 5)."""
        options = JWT([key(name, private_key(name)) for name in ALGORITHMS])
        published = options.jwks()

        assert ["keys"] == list(published)
        assert published == json.loads(json.dumps(published))
        assert ASYMMETRIC == [jwk["kid"] for jwk in published["keys"]]

    @named("name", ASYMMETRIC)
    def test_each_key(self, name):
        """Public parts, `use`, `alg` and `kid`; numbers without leading zeros, coordinates in their full length."""
        (jwk,) = JWT(key(name, private_key(name))).jwks()["keys"]

        assert {**public_jwk(name), "use": "sig", "alg": algorithm_of(name), "kid": name} == jwk
        assert not PRIVATE & set(jwk)

    def test_secrets_are_never_in_it(self):
        """Nor does an empty set look like anything else."""
        assert {"keys": []} == JWT([SECRET, key("HS512", SECRET)]).jwks()

    def test_keys_on_their_way_out_are_in_it(self):
        """Their tokens are still about."""
        options = JWT([key("ES256", private_key("ES256")), key("EdDSA", private_key("EdDSA"), verify_only=True)])

        assert ["ES256", "EdDSA"] == [jwk["kid"] for jwk in options.jwks()["keys"]]

    def test_a_key_without_a_name(self):
        """No `kid` is written, not even null."""
        options = JWT(SigningKey(kid=None, algorithm="EdDSA", key=private_key("EdDSA")))

        assert ["kty", "crv", "x", "use", "alg"] == list(options.jwks()["keys"][0])

    def test_it_is_fresh(self):
        """Who changes the answer changes no key."""
        options = JWT(key("EdDSA", private_key("EdDSA")))
        options.jwks()["keys"][0]["x"] = "changed"

        assert public_jwk("EdDSA")["x"] == options.jwks()["keys"][0]["x"]

    def test_coordinates_with_leading_zeros(self):
        """They keep their length (RFC 7518, 6.2.1.2); a short one would be another point for some readers."""
        point = next(key for key in (ec.derive_private_key(n, ec.SECP256R1()) for n in range(1, 5000)) if _x(key) < 2**248)
        (jwk,) = JWT(key("ES256", point)).jwks()["keys"]

        assert 32 == len(base64.urlsafe_b64decode(jwk["x"] + "="))
        assert "alice" == round_trip(JWT(key("ES256", point)), jwk).subject

    @named("name", ASYMMETRIC)
    def test_another_library_verifies_by_it(self, name):
        """What we publish is what PyJWT reads."""
        options = JWT(key(name, private_key(name)))
        token, said = sign(options, new_claims(options, subject="alice", moment=START))
        published = pyjwt.PyJWKSet.from_dict(options.jwks())
        read = pyjwt.decode(token, published[name], algorithms=[algorithm_of(name)], options={"verify_iat": False})

        assert dict(said) == read

    @named("name", ASYMMETRIC)
    def test_we_verify_by_it_too(self, name):
        """A resource that only verifies is made from what another one publishes."""
        (jwk,) = JWT(key(name, private_key(name))).jwks()["keys"]
        options = JWT(SigningKey(kid=jwk["kid"], algorithm=jwk["alg"], key=jwk, verify_only=True))

        assert "alice" == verify_signature(options, signed(claims(), name)).subject


def _x(private):
    return private.public_key().public_numbers().x


def round_trip(options, jwk):
    """Sign with a key, verify by its published half."""
    token, _ = sign(options, new_claims(options, subject="alice", moment=START))
    return verify_signature(JWT(SigningKey(kid=jwk["kid"], algorithm=jwk["alg"], key=jwk, verify_only=True)), token)


class TestTaken:
    """A JWK is taken where it is meant for signatures by the key's algorithm, and is whole."""

    @named("name", ["RS256", "PS384"])
    def test_an_rsa_key_may_leave_out_its_primes(self, name):
        """RFC 7518, 6.3.2: they follow from the rest."""
        jwk = {part: value for part, value in private_jwk(name).items() if part in ("kty", "n", "e", "d")}
        options = JWT(key(name, jwk))
        token, _ = sign(options, new_claims(options, subject="alice", moment=START))

        assert "alice" == verify_signature(JWT(key(name, private_key(name))), token).subject

    @named("more", [{"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}, {"alg": "ES256"}, {"ext": True}])
    def test_what_a_jwk_may_say_besides(self, more):
        """A key that is for signatures, for this algorithm, and has an unknown member."""
        assert (
            "alice"
            == verify_signature(
                JWT(key("ES256", {**public_jwk("ES256"), **more}, verify_only=True)), signed(claims(), "ES256")
            ).subject
        )

    @named(
        "more",
        [
            *({"use": "enc"}, {"use": None}, {"use": ["sig"]}, {"alg": "ES384"}, {"alg": "ECDH-ES"}, {"alg": None}),
            *({"key_ops": []}, {"key_ops": ["encrypt"]}, {"key_ops": "verify"}, {"key_ops": None}, {"key_ops": [["verify"]]}),
        ],
        ids=str,
    )
    @named("name", ["ES256", "HS256"])
    def test_keys_for_something_else(self, name, more):
        """RFC 7517, 4.2 to 4.4: a key for encryption must not verify signatures."""
        jwk = private_jwk(name) if name == "HS256" else public_jwk(name)

        assert "RK210" == refusal(name, {**jwk, **more}).code

    @named("name", ALGORITHMS)
    def test_a_missing_part(self, name):
        """Each one is named by the error."""
        jwk = private_jwk(name)
        for part in sorted(set(jwk) - {"kty", "crv", "d", "p"}):
            lacking = {other: value for other, value in jwk.items() if other != part}

            assert "RK210" == refusal(name, lacking).code
            assert f'"{part}"' in str(refusal(name, lacking))

    @named("name", ALGORITHMS)
    @named("wrong", [None, 7, "", "ÄÄ", "A", "A" * 5, "AA==", "AA A", "+/+/", ["AA"]])
    def test_a_part_that_is_no_base64url(self, name, wrong):
        """Nor of a length that some number of bytes has."""
        jwk = private_jwk(name)
        for part in sorted(set(jwk) - {"kty", "crv"}):
            code = "RK209" if (part, wrong) == ("k", "") else "RK210"  # an empty secret is one, and too short

            assert code == refusal(name, {**jwk, part: wrong}).code

    @named("name", CURVES)
    def test_a_point_off_the_curve(self, name):
        """Invalid-curve attacks begin so."""
        length = (CURVES[name].key_size + 7) // 8

        assert "RK210" == refusal(name, {**public_jwk(name), "y": number(7, length)}).code
        assert "RK210" == refusal(name, {**public_jwk(name), "x": b64(bytes(length)), "y": b64(bytes(length))}).code

    @named("name", CURVES)
    def test_a_coordinate_of_another_length(self, name):
        """RFC 7518, 6.2.1.2: as long as the curve's field."""
        for part in ("x", "y"):
            value = private_jwk(name)[part]

            assert "RK210" == refusal(name, {**public_jwk(name), part: b64(b"\0" + _octets(value))}).code

    @named("name", [*CURVES, "EdDSA", "Ed448", "RS256"])
    def test_halves_that_do_not_belong_together(self, name):
        """The private half of one key with the public half of another."""
        mixed = {**private_jwk(name), **public_jwk(name, 1)}

        assert "RK210" == refusal(name, mixed).code

    @named("name", ALGORITHMS)
    @named("kty", ["oct", "RSA", "EC", "OKP", "rsa", "", None, 7, ["RSA"]])
    def test_another_type(self, name, kty):
        """`kty` must be the algorithm's, in its exact letters."""
        jwk = private_jwk(name)
        if kty != jwk["kty"]:
            assert "RK210" == refusal(name, {**jwk, "kty": kty}).code

    @named(("name", "crv"), [("ES256", "P-384"), ("ES256", "p-256"), ("ES256", None), ("EdDSA", "Ed448"), ("EdDSA", "X25519")])
    def test_another_curve(self, name, crv):
        """The curve is part of the key."""
        assert "RK210" == refusal(name, {**public_jwk(name), "crv": crv}).code

    def test_more_than_two_primes(self):
        """RFC 7518, 6.3.2.7: who does not support them must not use the key."""
        assert '"oth"' in str(refusal("RS256", {**private_jwk("RS256"), "oth": []}))

    def test_a_short_secret(self):
        """The length is that of the bytes, not of their base64."""
        assert "RK209" == refusal("HS256", {"kty": "oct", "k": b64(b"k" * 31)}).code

    def test_a_set_is_no_key(self):
        """One key of it must be named."""
        assert "RK210" == refusal("ES256", {"keys": [public_jwk("ES256")]}).code

    @named("text", ['{"kty":"EC"', '{"kty":', '{"a":' * 100_000, '{"k":"no kty"}', "[]"])
    def test_text_that_is_no_jwk(self, text):
        """It is taken for PEM, and refused as that; where a secret is due, it is one."""
        assert "RK210" == refusal("ES256", text).code
        assert (len(text) < 32) == ("RK209" == refusal_or_none("HS256", text))


def refusal_or_none(name, given):
    """The code of the error, ``None`` where there is none."""
    try:
        key(name, given)
    except DeclarationError as error:
        return error.code
    return None


def _octets(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
