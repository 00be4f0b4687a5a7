"""Turns what a user gave as a key into what signs and verifies; it must never know a token, and never shows a secret.

cryptography is imported on first need, so that secrets (HS256) cost nothing.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from resourcekit.errors import DeclarationError
from resourcekit.extending import EnvironmentVariable
from resourcekit_tokens.jwk import CURVES, UnfitJWK, as_jwk, public_jwk, read_jwk

if TYPE_CHECKING:
    from typing import TypeAlias

    from resourcekit_tokens.jwk import PrivateKey, PublicKey

    KeyValue: TypeAlias = str | bytes | Mapping[str, object] | PrivateKey | PublicKey
    KeySource: TypeAlias = KeyValue | EnvironmentVariable | Callable[[], KeyValue]

__all__ = ["ALGORITHMS", "Material", "is_guessable", "public_form", "read_material"]

_HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"ES256": "P-256", "ES256K": "secp256k1", "ES384": "P-384", "ES512": "P-521"}
_RSA_BITS: Final = 2048  # RFC 7518, 3.3 and 3.5

ALGORITHMS: Final = (*_HMAC_BYTES, *sorted(_RSA), *_CURVES, "EdDSA")
"""The algorithms that a key may be for (RFC 7518, 3.1; RFC 8037; RFC 8812). ``none`` is not one of them."""

_FEW_BYTES = 8  # distinct ones; 32 random bytes in hex have 13 or more practically always
_OVERUSED_WORDS = (b"secret", b"password", b"changeme", b"change-me", b"change_me", b"example", b"insecure")


class Material(NamedTuple):
    """A key that is ready for use; ``fingerprint`` is equal for equal keys and tells nothing else."""

    verifying: bytes | PublicKey
    signing: bytes | PrivateKey | None
    fingerprint: bytes

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "<Material: hidden>"


def read_material(algorithm: str, source: object, *, kid: str | None) -> Material:
    """Read the key, checking that it is one for ``algorithm`` and strong enough.

    source: the key (a secret, PEM text, a JWK as a mapping or as JSON text, a key object), an EnvironmentVariable that
        holds it, or a callable that returns it.
    Raises DeclarationError RK203 (not a key at all), RK209 (secret too short), RK210 (not a key for this algorithm).
    """
    given = source.read() if isinstance(source, EnvironmentVariable) else source() if callable(source) else source
    jwk = as_jwk(given)
    if jwk is not None:
        given = _from_jwk(algorithm, jwk, kid)
    if algorithm in _HMAC_BYTES:
        return _read_secret(algorithm, given, kid)
    key = _load_pem(algorithm, given, kid) if isinstance(given, str | bytes) else given
    return _asymmetric(algorithm, key, kid)


def is_guessable(material: Material) -> bool:
    """Whether a secret looks typed: few different characters, a repetition, a run like ``abcdef``, an overused word."""
    secret = material.verifying
    if not isinstance(secret, bytes):
        return False
    repeats = any(secret[period:] == secret[:-period] for period in range(1, len(secret) // 2 + 1))
    neighbours = sum(abs(one - other) <= 1 for one, other in itertools.pairwise(secret))
    return (
        len(set(secret)) < _FEW_BYTES
        or repeats
        or neighbours > len(secret) // 2  # of random characters, one pair in twenty
        or any(word in secret.lower() for word in _OVERUSED_WORDS)
    )


def public_form(material: Material) -> dict[str, str] | None:
    """The public key as a JSON Web Key; ``None`` for a secret, which has none."""
    return None if isinstance(material.verifying, bytes) else public_jwk(material.verifying)


def _wrong(code: str, kid: str | None, message: str, hint: str) -> DeclarationError:
    return DeclarationError(code, message, path=("jwt", "key", *([kid] if kid else [])), hint=hint)


def _from_jwk(algorithm: str, jwk: Mapping[str, object], kid: str | None) -> bytes | PrivateKey | PublicKey:
    try:
        return read_jwk(algorithm, jwk)
    except UnfitJWK as unfit:
        problem = str(unfit)
    message = f"the JWK given as the key of {algorithm} is none for it: {problem}"
    raise _wrong("RK210", kid, message, "Give the JWK as its owner publishes it, and name the algorithm that it is for.")


def _read_secret(algorithm: str, given: object, kid: str | None) -> Material:
    if not isinstance(given, str | bytes):
        message = f"an {algorithm} key must be a secret (str or bytes), is {type(given).__name__}"
        raise _wrong("RK203", kid, message, 'Give a secret, env("NAME"), or a callable that returns a secret.')
    secret = given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given
    if _is_public_format(secret):
        # Whoever knows the public key could sign with it.
        message = f"an asymmetric key is given as the secret of {algorithm}"
        raise _wrong("RK210", kid, message, 'Wrap it: SigningKey(kid=..., algorithm="RS256", key=...).')
    least = _HMAC_BYTES[algorithm]
    if len(secret) < least:
        message = f"the secret has {len(secret)} bytes; {algorithm} needs at least {least} (RFC 7518, 3.2)"
        hint = f'Make one: python -c "import secrets; print(secrets.token_urlsafe({least}))".'
        raise _wrong("RK209", kid, message, hint)
    return Material(secret, secret, hashlib.sha256(b"secret:" + secret).digest())


def _is_public_format(secret: bytes) -> bool:
    """Whether the "secret" is a key in a format meant for asymmetric keys: PEM, OpenSSH or DER."""
    if b"-----BEGIN " in secret or secret.startswith((b"ssh-", b"ecdsa-sha2-")):
        return True
    if secret[:1] != b"\x30":  # the SEQUENCE that every key and certificate in DER begins with
        return False
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        load_der_public_key(secret)
    except ValueError:
        return False
    return True


def _load_pem(algorithm: str, text: str | bytes, kid: str | None) -> object:
    """The key in a PEM text; errors of the parser are not chained, for they may quote the text."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ImportError as missing:
        message = f"{algorithm} needs the package cryptography, which is not installed"
        raise _wrong("RK210", kid, message, 'pip install "pyjwt[crypto]".') from missing
    pem = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        if b" PRIVATE KEY-----" in pem:
            return load_pem_private_key(pem, password=None)
        return load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        message = f"the text given as the key of {algorithm} is not an unencrypted PEM key"
    raise _wrong("RK210", kid, message, "Give the whole PEM text with its BEGIN and END lines, or a cryptography key object.")


def _asymmetric(algorithm: str, key: object, kid: str | None) -> Material:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    signers = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
    checkers = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
    private = key if isinstance(key, signers) else None
    public = private.public_key() if private is not None else key
    if not isinstance(public, checkers):
        message = f"an {algorithm} key must be a PEM text, a JWK or a cryptography key, is {type(key).__name__}"
        raise _wrong("RK203", kid, message, "Give the PEM text, the JWK, or load the key with cryptography.")
    problem = _misfit(algorithm, public)
    if problem:
        raise _wrong("RK210", kid, problem, f"Make a key for {algorithm}, or name the algorithm of this key.")
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Material(public, private, hashlib.sha256(b"public:" + der).digest())


def _misfit(algorithm: str, key: PublicKey) -> str:
    """Why this is no key for the algorithm, ``""`` if it is one."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        if algorithm not in _RSA:
            return f"an RSA key is given for {algorithm}"
        weak = key.key_size < _RSA_BITS
        return f"the RSA key has {key.key_size} bits; {_RSA_BITS} are the least (RFC 7518, 3.3)" if weak else ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        fits = algorithm in _CURVES and key.curve.name == CURVES[_CURVES[algorithm]]
        return "" if fits else f"a key on the curve {key.curve.name} is given for {algorithm}"
    return "" if algorithm == "EdDSA" else f"an EdDSA key is given for {algorithm}"
