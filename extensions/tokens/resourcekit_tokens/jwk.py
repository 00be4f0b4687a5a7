"""Keys as JSON Web Keys (RFC 7517), in and out; it must never know a token or a store, and never shows a secret.

cryptography is imported on first need, so that secrets cost nothing.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TypeAlias

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

__all__ = ["CURVES", "UnfitJWK", "as_jwk", "public_jwk", "read_jwk"]

CURVES: Final = {"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1", "secp256k1": "secp256k1"}
"""Names of curves: in a JWK (RFC 7518, 6.2.1.1; RFC 8812, 3.1), and as everybody else calls them."""

_TYPES: Final = {"HS": "oct", "RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}  # by the first letters of the algorithm
_BASE64URL: Final = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?")


class UnfitJWK(ValueError):
    """The JWK is none for this algorithm, or makes no key; the text names its parameters, never a value."""


def as_jwk(given: object) -> Mapping[str, object] | None:
    """The JWK, if one is given: as a mapping, or as JSON text, which is how the environment holds one; else ``None``."""
    if isinstance(given, Mapping):
        return given
    if not isinstance(given, str | bytes) or given.lstrip()[:1] not in ("{", b"{"):
        return None
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "kty" in value else None


def read_jwk(algorithm: str, jwk: Mapping[str, object]) -> bytes | PrivateKey | PublicKey:
    """The secret or the key that the JWK holds, if it may sign or verify by this algorithm. Raises UnfitJWK."""
    from cryptography.exceptions import UnsupportedAlgorithm

    expected = _TYPES[algorithm[:2]]
    if jwk.get("kty") != expected:
        raise UnfitJWK(f'its "kty" is not "{expected}"')
    if jwk.get("use", "sig") != "sig":
        raise UnfitJWK('its "use" is not "sig"')
    if jwk.get("alg", algorithm) != algorithm:
        raise UnfitJWK(f'its "alg" is not "{algorithm}"')
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or not {"sign", "verify"} & {entry for entry in operations if isinstance(entry, str)}:
        raise UnfitJWK('its "key_ops" allow neither "sign" nor "verify"')
    if expected == "oct":
        return _octets(jwk, "k")
    read = {"RSA": _read_rsa, "EC": _read_curve, "OKP": _read_edwards}[expected]
    try:
        return read(jwk)
    except UnfitJWK:
        raise
    except (ValueError, UnsupportedAlgorithm):  # may quote a number of the key
        pass
    raise UnfitJWK("its numbers make no key")


def public_jwk(key: PublicKey) -> dict[str, str]:
    """The public key as a JWK (RFC 7518, 6; RFC 8037, 2; RFC 8812, 3.1)."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _unsigned(numbers.n), "e": _unsigned(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, length = key.public_numbers(), (key.curve.key_size + 7) // 8
        name = next(name for name, curve in CURVES.items() if curve == key.curve.name)
        return {"kty": "EC", "crv": name, "x": _unsigned(point.x, length), "y": _unsigned(point.y, length)}
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519" if len(raw) == 32 else "Ed448", "x": _base64url(raw)}


def _read_rsa(jwk: Mapping[str, object]) -> RSAPrivateKey | RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    if "oth" in jwk:
        raise UnfitJWK('it has more than two primes ("oth"), which is not supported')
    public = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    if "d" not in jwk:
        return public.public_key()
    d = _number(jwk, "d")
    if "p" not in jwk:  # the primes may be left out (RFC 7518, 6.3.2), and follow from the rest
        p, q = rsa.rsa_recover_prime_factors(public.n, public.e, d)
        parts = (p, q, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    else:
        parts = (_number(jwk, "p"), _number(jwk, "q"), _number(jwk, "dp"), _number(jwk, "dq"), _number(jwk, "qi"))
    p, q, dp, dq, qi = parts
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


def _read_curve(jwk: Mapping[str, object]) -> EllipticCurvePrivateKey | EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    known = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "secp256k1": ec.SECP256K1()}
    curve = known.get(str(jwk.get("crv")))
    if curve is None:
        raise UnfitJWK(f'its "crv" is none of {", ".join(known)}')
    length = (curve.key_size + 7) // 8
    public = ec.EllipticCurvePublicNumbers(_number(jwk, "x", length), _number(jwk, "y", length), curve)
    if "d" not in jwk:
        return public.public_key()
    return ec.EllipticCurvePrivateNumbers(_number(jwk, "d", length), public).private_key()


def _read_edwards(jwk: Mapping[str, object]) -> Ed25519PrivateKey | Ed25519PublicKey | Ed448PrivateKey | Ed448PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

    curve, x = jwk.get("crv"), _octets(jwk, "x")
    if curve not in ("Ed25519", "Ed448"):
        raise UnfitJWK('its "crv" is neither Ed25519 nor Ed448')
    is_small = curve == "Ed25519"
    public = ed25519.Ed25519PublicKey.from_public_bytes(x) if is_small else ed448.Ed448PublicKey.from_public_bytes(x)
    if "d" not in jwk:
        return public
    d = _octets(jwk, "d")
    private = ed25519.Ed25519PrivateKey.from_private_bytes(d) if is_small else ed448.Ed448PrivateKey.from_private_bytes(d)
    if private.public_key() != public:
        raise UnfitJWK('its "x" does not belong to its "d"')
    return private


def _octets(jwk: Mapping[str, object], name: str) -> bytes:
    value = jwk.get(name)
    if isinstance(value, str) and _BASE64URL.fullmatch(value):
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    raise UnfitJWK(f'its "{name}" is missing, or is not base64url')


def _number(jwk: Mapping[str, object], name: str, length: int | None = None) -> int:
    """A big-endian number; ``length``: how many bytes it must have (RFC 7518, 6.2)."""
    octets = _octets(jwk, name)
    if length is not None and len(octets) != length:
        raise UnfitJWK(f'its "{name}" does not have {length} bytes')
    return int.from_bytes(octets, "big")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _unsigned(number: int, length: int | None = None) -> str:
    """Big-endian bytes of a number, in the least length unless one is given (RFC 7518, 2 and 6.2.1.2)."""
    return _base64url(number.to_bytes(length or (number.bit_length() + 7) // 8, "big"))
