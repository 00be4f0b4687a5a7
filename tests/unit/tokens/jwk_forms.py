"""Keys as JSON Web Keys for tests, made by hand after RFC 7518, 6, and RFC 8037, 2."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from forge import CURVES, b64, private_key

NAMES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "ES256K": "secp256k1", "EdDSA": "Ed25519", "Ed448": "Ed448"}


def number(value: int, length: int | None = None) -> str:
    """A number as JWKs write it."""
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def public_jwk(name: str, which: int = 0) -> dict[str, str]:
    """The public half of a key of ``forge``."""
    public = private_key(name, which).public_key()
    if name.startswith(("RS", "PS")):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if name in CURVES:
        numbers, length = public.public_numbers(), (CURVES[name].key_size + 7) // 8
        return {"kty": "EC", "crv": NAMES[name], "x": number(numbers.x, length), "y": number(numbers.y, length)}
    return {"kty": "OKP", "crv": NAMES[name], "x": b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def private_jwk(name: str, which: int = 0) -> dict[str, str]:
    """The whole key."""
    key = private_key(name, which)
    if name.startswith("HS"):
        return {"kty": "oct", "k": b64(key)}
    if name.startswith(("RS", "PS")):
        numbers = key.private_numbers()
        parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
        return {**public_jwk(name, which), **{part: number(value) for part, value in parts.items()}}
    if name in CURVES:
        length = (CURVES[name].key_size + 7) // 8
        return {**public_jwk(name, which), "d": number(key.private_numbers().private_value, length)}
    return {**public_jwk(name, which), "d": b64(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))}
