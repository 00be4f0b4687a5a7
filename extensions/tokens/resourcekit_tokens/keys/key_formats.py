"""Formats of keys: JSON Web Keys (RFC 7517), in and out, and keys of key pairs that are given as an HMAC secret by mistake.

Open it to change which texts are refused as secrets (RFC 8725, 2.1 and 3.1), or how a key becomes a JSON Web Key. A secret is
never shown. cryptography is imported on first need, so that secrets work without loading it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TypeAlias

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

__all__ = ["CURVES", "MOST_RSA_BITS", "UnfitJWK", "as_jwk", "certificate_key", "format_of", "public_jwk", "read_jwk"]


_MARKS: Final = (
    (re.compile(rb"-{4,}\s*BEGIN\b", re.IGNORECASE), "PEM"),
    (re.compile(rb"PuTTY-User-Key-File-\d", re.IGNORECASE), "a PuTTY key"),
    (re.compile(rb"<\s*(?:RSA|DSA|EC|Ed)?KeyValue\b|<\s*Modulus\s*>", re.IGNORECASE), "an XML key"),
    (re.compile(rb"(?:^|[\s,\"'])(?:sk-)?(?:ssh-(?:rsa|dss|ed25519|ed448)|ecdsa-sha2-)"), "an SSH key"),
    (re.compile(rb"^(?:ssh-|ecdsa-)"), "an SSH key"),
)
"""The content of a text of each format."""

_SSH_BLOB: Final = re.compile(rb"\0\0\0.(?:sk-)?(?:ssh-|ecdsa-sha2-|rsa-sha2-)", re.DOTALL)
_OIDS: Final = tuple(
    bytes.fromhex(text)
    for text in (
        "2a864886f70d0101",  # RSA, RSASSA-PSS
        "2a8648ce3d0201",  # keys on curves
        "2a8648ce3d0301",  # the curve P-256 and its like
        "2b810400",  # the curves P-384, P-521, secp256k1
        "2b656e",  # X25519
        "2b656f",  # X448
        "2b6570",  # Ed25519
        "2b6571",  # Ed448
        "2a8648ce380401",  # DSA
        "2a864886f70d0103",  # Diffie-Hellman
        "2a864886f70d0107",  # PKCS #7
        "608648016503040311",  # ML-DSA-44
        "608648016503040312",  # ML-DSA-65
        "608648016503040313",  # ML-DSA-87
    )
)
"""Object identifiers of kinds of keys, as a key or a certificate in DER holds them."""

_MEMBERS: Final = (b'"kty"', b'"keys"', b'"x5c"', b'"crv"')
"""Members of JSON Web Keys and of sets of them (RFC 7517)."""

_SEQUENCE, _INTEGER, _LONG_FORM = 0x30, 0x02, 0x80
_CURVES: Final = (
    # Bytes of a coordinate, p, a, b of y^2 = x^3 + a x + b (SEC 2).
    (32, 2**256 - 2**224 + 2**192 + 2**96 - 1, -3, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B),
    (32, 2**256 - 2**32 - 977, 0, 7),
    (
        48,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        -3,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    (
        66,
        2**521 - 1,
        -3,
        0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    ),
)


def format_of(secret: bytes) -> str:
    """Return the format of the key that a "secret" is; ``""`` if it is none.

    Seen are PEM, OpenSSH, RFC 4716, PuTTY, XML, JSON (a JWK, a JWK Set), DER and points of curves; also behind a byte order mark,
    in UTF-16, in base64 or hex.
    """
    for text in _readings(secret):
        found = _plain_format(text)
        if found:
            return found
    return ""


def _readings(secret: bytes) -> Iterator[bytes]:
    """Yield the secret, and what it may be the encoding of, up to two layers deep."""
    yield secret
    layers = [secret]
    for _ in range(2):
        layers = [inner for outer in layers for inner in _decoded(outer)]
        yield from layers


def _decoded(given: bytes) -> Iterator[bytes]:
    bare = given.replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    bare = bare.strip(b" \t\r\n\v\f\"'")
    if bare != given:
        yield bare
    packed = b"".join(bare.replace(b"\\r", b"").replace(b"\\n", b"").rpartition(b"base64,")[2].split())
    if re.fullmatch(rb"(?:[0-9A-Fa-f]{2}:?)+", packed):
        yield bytes.fromhex(packed.replace(b":", b"").decode())
    if re.fullmatch(rb"[A-Za-z0-9+/_-]+={0,2}", packed):
        data = packed.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        try:
            yield base64.b64decode(data + b"=" * (-len(data) % 4))
        except binascii.Error:
            return


def _plain_format(text: bytes) -> str:
    for mark, name in _MARKS:
        if mark.search(text):
            return name
    if _SSH_BLOB.match(text):
        return "an SSH key"
    if _is_json(text):
        return "a JWK or a JWK Set in JSON"
    if _is_der_key(text):
        return "DER"
    return "a point of a curve" if _is_point(text) else ""


def _is_json(text: bytes) -> bool:
    """Return whether a text is JSON with members of keys."""
    if text.lstrip()[:1] not in (b"{", b"[") or not any(member in text for member in _MEMBERS):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_der_key(data: bytes) -> bool:
    """Return whether these bytes are one SEQUENCE in DER that names a kind of key, or holds the numbers of an RSA key."""
    whole = _elements(data, trailing=True)
    if whole is None or len(whole) != 1 or whole[0][0] != _SEQUENCE:
        return False
    inner = _elements(whole[0][1])
    if inner is None or len(inner) < 2:
        return False
    if all(tag == _INTEGER for tag, _ in inner):
        return True  # RFC 8017, A.1
    return any(bytes([0x06, length]) + oid in data for oid in _OIDS for length in range(len(oid), len(oid) + 4))


def _elements(data: bytes, *, trailing: bool = False) -> list[tuple[int, bytes]] | None:
    """Return tag and content of each element in DER; ``None`` if the bytes are no such elements.

    trailing: one element, which white space and NULs may follow.
    """
    found: list[tuple[int, bytes]] = []
    while data:
        if len(data) < 2:
            return None
        tag, length, start = data[0], data[1], 2
        if length >= _LONG_FORM:
            start += length - _LONG_FORM
            length = int.from_bytes(data[2:start], "big")
        if not 2 <= start <= len(data) or start + length > len(data):
            return None
        found.append((tag, data[start : start + length]))
        data = data[start + length :]
        if trailing:
            return found if not data.strip(b" \t\r\n\0") else None
    return found


def _is_point(data: bytes) -> bool:
    """Return whether these bytes are an uncompressed point of a curve that JWS uses (SEC 1, 2.3.3)."""
    if data[:1] != b"\x04":
        return False
    for size, p, a, b in _CURVES:
        if len(data) == 1 + 2 * size:
            x, y = int.from_bytes(data[1 : 1 + size], "big"), int.from_bytes(data[1 + size :], "big")
            if (y * y - (x * x * x + a * x + b)) % p == 0:
                return True
    return False


CURVES: Final = {"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1", "secp256k1": "secp256k1"}
"""Names of curves: in a JWK (RFC 7518, 6.2.1.1; RFC 8812, 3.1), and in SEC 2."""

MOST_RSA_BITS: Final = 8192
"""Bits of an RSA key at most. The time of a check grows with the square of the length, that of a signature with its cube."""

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


def certificate_key(chain: object) -> PublicKey | None:
    """Return the key of the first certificate of an ``x5c`` (RFC 7517, 4.7); ``None`` if there is none. Its issuer is not checked."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import InvalidVersion, load_der_x509_certificate

    first = chain[0] if isinstance(chain, list) and chain else None
    if not isinstance(first, str):
        return None
    try:
        return load_der_x509_certificate(base64.b64decode(first)).public_key()  # type: ignore[return-value]  # checked by its user
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):  # the last one is no ValueError
        return None


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
    if public.n.bit_length() > MOST_RSA_BITS:  # before any arithmetic with it
        raise UnfitJWK(f"it has more than {MOST_RSA_BITS} bits")
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
