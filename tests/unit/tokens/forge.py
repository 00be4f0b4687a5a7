"""Makes keys and tokens for tests with hmac and cryptography alone, so that no code under test vouches for itself."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

START = datetime(2030, 1, 1, tzinfo=UTC)
"""When the tests of tokens take place."""

NOW = int(START.timestamp())
SECRET = b"8rT2-vJq0Zp4_xWk6NfYb1HdLs9GmUc3-qAe7RiOt5BnVwXy2KjPzE4hQ6M0gDfS8"  # 64 bytes and more: enough for HS512
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1(), "ES256K": ec.SECP256K1()}
ALGORITHMS = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed448"),
)
"""One name for each kind of key; Ed448 is EdDSA on the other curve."""


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """An RSA key of 2048 bits; another number is another key."""
    return _made("RSA", number)  # type: ignore[no-any-return]


def private_key(name: str, number: int = 0) -> Any:
    """The key of one of ALGORITHMS; another number is another key."""
    if name.startswith("HS"):
        return SECRET if number == 0 else bytes(byte ^ number for byte in SECRET)
    return rsa_key(number) if name.startswith(("RS", "PS")) else _made(name, number)


@functools.cache
def _made(name: str, number: int) -> Any:
    if name == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if name in CURVES:
        return ec.generate_private_key(CURVES[name])
    return (ed448.Ed448PrivateKey if name == "Ed448" else ed25519.Ed25519PrivateKey).generate()


def algorithm_of(name: str) -> str:
    """What a token says as `alg`."""
    return "EdDSA" if name == "Ed448" else name


def sha(name: str) -> hashes.HashAlgorithm:
    """The hash of an algorithm, from its number."""
    return {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[name[2:5]]


def seal(name: str, message: bytes, number: int = 0) -> bytes:
    """The signature of a message, as RFC 7518 and RFC 8037 write it."""
    key = private_key(name, number)
    if name.startswith("HS"):
        return hmac.digest(key, message, f"sha{name[2:]}")
    if name.startswith("RS"):
        return key.sign(message, padding.PKCS1v15(), sha(name))
    if name.startswith("PS"):
        return key.sign(message, padding.PSS(padding.MGF1(sha(name)), sha(name).digest_size), sha(name))
    if name in CURVES:
        return raw_signature(name, *decode_dss_signature(key.sign(message, ec.ECDSA(sha(name)))))
    return key.sign(message)


def raw_signature(name: str, r: int, s: int) -> bytes:
    """An ECDSA signature as two numbers of fixed length (RFC 7518, 3.4)."""
    length = (CURVES[name].key_size + 7) // 8
    return r.to_bytes(length, "big") + s.to_bytes(length, "big")


def b64(raw: bytes | str) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw.encode() if isinstance(raw, str) else raw).rstrip(b"=").decode()


def as_json(value: object) -> bytes:
    """Bytes as they are, text in UTF-8, and anything else as JSON without white space."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))).encode()


def header(name: str = "HS256", **more: object) -> dict[str, object]:
    """A usual header."""
    return {"alg": algorithm_of(name), "typ": "JWT", **more}


def claims(**changes: object) -> dict[str, object]:
    """What a usual token says, at START for one hour; ``None`` takes a claim away."""
    usual = {"jti": "jti-1", "sub": "alice", "iat": NOW, "exp": NOW + 3600}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def signed(payload: object, name: str = "HS256", *, head: object = None, number: int = 0) -> str:
    """A token whose signature is right; head and payload: a mapping, or the text or bytes to encode."""
    message = f"{b64(as_json(header(name) if head is None else head))}.{b64(as_json(payload))}"
    return sealed(message, name, number)


def sealed(message: str, name: str = "HS256", number: int = 0) -> str:
    """A message (two parts joined by a dot, as they are) with its right signature."""
    return f"{message}.{b64(seal(name, message.encode(), number))}"


def with_signature(token: str, signature: bytes | str) -> str:
    """The same token with another signature: bytes to encode, or the text itself."""
    message = token.rpartition(".")[0]
    return f"{message}.{signature if isinstance(signature, str) else b64(signature)}"


def public_pem(name: str, number: int = 0) -> bytes:
    """The public half in PEM, as anyone may know it."""
    return private_key(name, number).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(name: str, number: int = 0) -> bytes:
    """The whole key in PEM."""
    return private_key(name, number).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def hs256(secret: bytes, head: Mapping[str, object], payload: object) -> str:
    """A token under HS256 with any secret, weak ones too."""
    message = f"{b64(as_json(head))}.{b64(as_json(payload))}"
    return f"{message}.{b64(hmac.new(secret, message.encode(), hashlib.sha256).digest())}"
