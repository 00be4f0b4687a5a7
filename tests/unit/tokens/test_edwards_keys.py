"""EdDSA keys under which anyone could sign: they are refused where they are given, and passed over in key sets."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError
from resourcekit_tokens import JWT, JWKSet, SigningKey
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.keys.signing_key import point_problem
from tests.support.setups import declare_tokens

P25519, P448 = 2**255 - 19, 2**448 - 2**224 - 1
ORDER_8 = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
"""The encodings of the points of order eight of Ed25519, of both signs but for the last bit."""


def encoded(y, sign=0, *, size=32):
    """Return the encoding of a point."""
    return (y | sign << 8 * size - 1).to_bytes(size, "little")


SMALL = {
    "neutral": encoded(1),
    "neutral, sign": encoded(1, 1),
    "order 2": encoded(P25519 - 1),
    "order 4": encoded(0),
    "order 4, sign": encoded(0, 1),
    "order 8": bytes.fromhex(ORDER_8[0]),
    "order 8, sign": bytes.fromhex(ORDER_8[0][:-2] + "85"),
    "other order 8": bytes.fromhex(ORDER_8[1]),
    "other order 8, sign": bytes.fromhex(ORDER_8[1][:-2] + "fa"),
    "448 neutral": encoded(1, size=57),
    "448 order 2": encoded(P448 - 1, size=57),
    "448 order 4": encoded(0, size=57),
}
OTHERS = {
    "order 4 in another encoding": encoded(P25519),
    "neutral in another encoding": encoded(P25519 + 1),
    "off the curve": encoded(2),
    "448, y too large": encoded(P448 + 1, size=57),
}


def public_key(raw):
    """Return the public key of these bytes, as OpenSSL loads it."""
    return (Ed25519PublicKey if len(raw) == 32 else Ed448PublicKey).from_public_bytes(raw)


def jwk(raw, kid):
    """Return the JWK of a public key."""
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519" if len(raw) == 32 else "Ed448", "x": x, "kid": kid}


def raw_of(private):
    """Return the encoding of the public key of a private one."""
    return private.public_key().public_bytes_raw()


@pytest.mark.parametrize("raw", [*SMALL.values(), *OTHERS.values()], ids=[*SMALL, *OTHERS])
def test_a_point_that_is_no_key_is_refused(raw):
    """SigningKey refuses it as a key and as a JWK, with the reason."""
    for given in (public_key(raw), jwk(raw, "weak")):
        with pytest.raises(DeclarationError, match="RK210") as error:
            _ = SigningKey(kid="weak", algorithm="EdDSA", key=given, verify_only=True).material

        assert ("small order" in str(error.value)) == (raw in SMALL.values())


def test_keys_that_are_drawn_are_points_of_the_curve():
    """No usual key is refused."""
    drawn = [raw_of(kind.generate()) for kind in (Ed25519PrivateKey, Ed448PrivateKey) for _ in range(50)]

    assert {""} == {point_problem(raw) for raw in drawn}


@pytest.mark.parametrize("raw", SMALL.values(), ids=SMALL)
def test_a_key_set_serves_its_other_keys(raw):
    """A weak key of a provider is passed over: a token that "it signed" is invalid, and the other keys still verify."""
    good = SigningKey(kid="good", algorithm="EdDSA", key=Ed25519PrivateKey.generate())
    signs = JWT(good)
    token = declare_tokens(Memory(), jwt=JWT(keys=JWKSet({"keys": [jwk(raw, "weak"), *signs.jwks()["keys"]]})))
    issued = declare_tokens(Memory(), jwt=signs).issue("alice").token
    _, payload, _ = issued.split(".")

    assert "alice" == token.verify(issued).subject
    renamed = base64.urlsafe_b64encode(b'{"alg":"EdDSA","typ":"JWT","kid":"weak"}').rstrip(b"=").decode()
    neutral = base64.urlsafe_b64encode(encoded(1) + encoded(0)).rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        token.verify(f"{renamed}.{payload}.{neutral}")


def test_a_set_of_weak_keys_alone_is_refused():
    """A set without a usable key is an error where it is declared."""
    with pytest.raises(DeclarationError):
        JWKSet({"keys": [jwk(SMALL["neutral"], "weak")]})


def test_openssl_takes_a_signature_of_no_one_under_such_a_key():
    """The reason for the refusal: R neutral and S zero fit every message under the neutral key."""
    public_key(SMALL["neutral"]).verify(encoded(1) + encoded(0), b"any message")
