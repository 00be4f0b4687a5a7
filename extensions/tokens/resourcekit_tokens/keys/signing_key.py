"""One key: its algorithm, its name, and its material, read once. Open it to change how a key is declared or read.

No secret is ever shown. cryptography is imported when it is first needed, so that secrets (HS256) cost nothing.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from resourcekit.errors import DeclarationError, did_you_mean
from resourcekit.extending import EnvironmentVariable, free_after_fork
from resourcekit_tokens.keys.key_formats import CURVES, MOST_RSA_BITS, UnfitJWK, as_jwk, format_of, public_jwk, read_jwk

if TYPE_CHECKING:
    from typing import TypeAlias

    from resourcekit_tokens.keys.key_formats import PrivateKey, PublicKey

    KeyValue: TypeAlias = str | bytes | Mapping[str, object] | PrivateKey | PublicKey
    KeySource: TypeAlias = KeyValue | EnvironmentVariable | Callable[[], KeyValue]

__all__ = [
    "ALGORITHMS",
    "ALGORITHMS_OF",
    "CheckedOptions",
    "Material",
    "SigningKey",
    "certificate_in_pem",
    "edwards_curve",
    "is_guessable",
    "is_name",
    "point_problem",
    "public_form",
    "read_material",
    "wrong",
]

_HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})

_CURVES: Final = {"ES256": "P-256", "ES256K": "secp256k1", "ES384": "P-384", "ES512": "P-521"}

_RSA_BITS: Final = 2048  # RFC 7518, 3.3 and 3.5

_LARGEST_EXPONENT: Final = 2**31 - 1  # as Go's crypto/rsa; one as long as the modulus makes a verification as slow as a signature

ALGORITHMS: Final = (*_HMAC_BYTES, *sorted(_RSA), *_CURVES, "EdDSA")
"""The algorithms that a key may be for (RFC 7518, 3.1; RFC 8037; RFC 8812). ``none`` is not one of them."""

ALGORITHMS_OF: Final[Mapping[str, tuple[str, ...]]] = {"RSA": tuple(sorted(_RSA)), "EC": tuple(_CURVES), "OKP": ("EdDSA",)}
"""The asymmetric algorithms of each ``kty`` (RFC 7517, 4.1)."""

_FEW_BYTES = 8  # distinct ones; 32 random bytes in hex have 13 or more practically always

_OVERUSED_WORDS = (b"secret", b"password", b"changeme", b"change-me", b"change_me", b"example", b"insecure")


class Material(NamedTuple):
    """A key that is ready for use; ``fingerprint`` is equal for equal keys and shows nothing else."""

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


def certificate_in_pem(text: object) -> bool:
    """Return whether a text is a certificate in PEM (RFC 7468, 5)."""
    if isinstance(text, bytes):
        return b"-----BEGIN CERTIFICATE-----" in text
    return isinstance(text, str) and "-----BEGIN CERTIFICATE-----" in text


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
    form = format_of(secret)
    if form:  # each reader of a public key could sign with it
        message = f"a key of a key pair, or a set of keys, is given as the secret of {algorithm}: it is {form}"
        raise _wrong("RK210", kid, message, 'Wrap it: SigningKey(kid=..., algorithm="RS256", key=...).')
    least = _HMAC_BYTES[algorithm]
    if len(secret) < least:
        message = f"the secret has {len(secret)} bytes; {algorithm} needs at least {least} (RFC 7518, 3.2)"
        hint = f'Make one: python -c "import secrets; print(secrets.token_urlsafe({least}))".'
        raise _wrong("RK209", kid, message, hint)
    return Material(secret, secret, hashlib.sha256(b"secret:" + secret).digest())


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
        if not certificate_in_pem(pem):
            return load_pem_private_key(pem, password=None) if b" PRIVATE KEY-----" in pem else load_pem_public_key(pem)
        if (key := _certificate_key(pem)) is not None:
            return key
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    message = f"the text given as the key of {algorithm} is not an unencrypted PEM key"
    raise _wrong("RK210", kid, message, "Give the whole PEM text with its BEGIN and END lines, or a cryptography key object.")


def _certificate_key(pem: bytes) -> object:
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(pem).public_key()
    except InvalidVersion:  # which is no ValueError
        return None


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
    problem = _wrong_kind(algorithm, public)
    if problem:
        raise _wrong("RK210", kid, problem, f"Make a key for {algorithm}, or name the algorithm of this key.")
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Material(public, private, hashlib.sha256(b"public:" + der).digest())


def _wrong_kind(algorithm: str, key: PublicKey) -> str:
    """Why this is no key for the algorithm, ``""`` if it is one."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        if algorithm not in _RSA:
            return f"an RSA key is given for {algorithm}"
        if key.key_size < _RSA_BITS:
            return f"the RSA key has {key.key_size} bits; {_RSA_BITS} are the least (RFC 7518, 3.3)"
        if key.key_size > MOST_RSA_BITS:
            return f"the RSA key has {key.key_size} bits; {MOST_RSA_BITS} are the most, because each check would be slow"
        is_large = key.public_numbers().e > _LARGEST_EXPONENT
        return (
            "the RSA key has a public exponent of more than 31 bits, so each check would be slow; 65537 is usual"
            if is_large
            else ""
        )
    if isinstance(key, ec.EllipticCurvePublicKey):
        fits = algorithm in _CURVES and key.curve.name == CURVES[_CURVES[algorithm]]
        return "" if fits else f"a key on the curve {key.curve.name} is given for {algorithm}"
    if algorithm != "EdDSA":
        return f"an EdDSA key is given for {algorithm}"
    return point_problem(key.public_bytes_raw())


def edwards_curve(key: object) -> str:
    """Return ``"Ed25519"`` or ``"Ed448"`` for a public key on one of these curves; ``""`` for any other key."""
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "Ed448" if isinstance(key, ed448.Ed448PublicKey) else ""


_ALGORITHM_LENGTH: Final = 16  # characters; the longest registered name has 14

_NAME_LENGTH: Final = 255  # code points; what the reader accepts for kid and purposes


class _Once:
    """The material of one key, read by the first thread that needs it; a failed reading is repeated next time."""

    __slots__ = ("_lock", "_material")

    def __init__(self) -> None:
        # Reentrant: a callable that asks for its own key shall see a RecursionError, not hang.
        self._lock, self._material = free_after_fork(threading.RLock()), None

    _material: Material | None

    def get(self, read: Callable[[], Material]) -> Material:
        if self._material is None:
            with self._lock:
                if self._material is None:
                    self._material = read()
        return self._material


class CheckedOptions(type):
    """The metaclass of JWT and SigningKey: an unknown or a missing option raises DeclarationError, not a TypeError."""

    if not TYPE_CHECKING:

        def __call__(cls, *args: Any, **given: Any) -> Any:
            """Raise RK002 for an unknown option and RK003 for a missing one, or for too many by position."""
            known = [field.alias for field in attrs.fields(cls) if field.init]
            for name in given:
                if name not in known:
                    raise DeclarationError(
                        "RK002",
                        f"{cls.__name__} has no option {name!r}",
                        path=(cls.__name__, name),
                        hint=did_you_mean(name, known),
                    )
            try:
                inspect.signature(cls.__init__).bind(None, *args, **given)
            except TypeError as error:
                hint = f"Its options are: {', '.join(known)}."
                raise DeclarationError("RK003", f"{cls.__name__}: {error}", path=(cls.__name__,), hint=hint) from None
            return super().__call__(*args, **given)


@attrs.frozen(kw_only=True, eq=False)
class SigningKey(metaclass=CheckedOptions):
    """One key, the one algorithm that it is for, and the name by which tokens refer to it.

    kid: the key's name, in the header of every token that it signs (RFC 7515, 4.1.4), 1 to 255 characters; ``None``
        for a key that has none.
    algorithm: HS256, HS384, HS512, RS256 to RS512, PS256 to PS512, ES256, ES384, ES512, ES256K or EdDSA. A token that
        names another one does not verify with this key.
    key: a secret for HS (at least as long as the hash: 32, 48, 64 bytes; RFC 7518, 3.2), else PEM text or a key object
        of cryptography (RSA of 2048 to 8192 bits). For each a JWK as well (RFC 7517), as a mapping or as JSON text, if it is
        meant for signatures by this algorithm. Or ``env("NAME")`` or a callable that returns one, read at first use.
    verify_only: the key is on its way out, or only its public half is known: it never signs.

    Equal only to itself. Raises DeclarationError RK201 (kid), RK202 (algorithm), RK203 (not a key), RK209 (secret too
    short), RK210 (not a key for this algorithm), RK211 (a public key that would have to sign); the last four at first
    use where the key comes from outside.
    """

    kid: str | None
    algorithm: str
    key: KeySource = attrs.field(repr=False)
    verify_only: bool = False
    _once: _Once = attrs.field(init=False, repr=False, factory=_Once)

    def __attrs_post_init__(self) -> None:
        """Check the options, and the key too if it is at hand."""
        if self.kid is not None and not is_name(self.kid):
            hint = 'Give it a short name, such as "2026-11".'
            raise wrong("RK201", ("key", "kid"), f"kid must be text of 1 to {_NAME_LENGTH} characters", hint)
        if self.algorithm not in ALGORITHMS:
            # What is too long for a name may be a secret in the wrong place.
            name = str(self.algorithm) if len(str(self.algorithm)) <= _ALGORITHM_LENGTH else ""
            raise wrong("RK202", ("key", "algorithm"), f"unknown algorithm {name!r}", did_you_mean(name, ALGORITHMS))
        if not isinstance(self.key, EnvironmentVariable) and not callable(self.key):
            self.material()

    def material(self) -> Material:
        """The key, ready for use. Raises DeclarationError RK020, RK203, RK209, RK210 or RK211; a callable's own errors pass."""
        return self.ready

    @cached_property
    def ready(self) -> Material:
        """The material. It is read once; a reading that fails is repeated at the next use. Raises what ``material`` raises."""
        return self._once.get(self._read)

    def _read(self) -> Material:
        material = read_material(self.algorithm, self.key, kid=self.kid)
        if material.signing is None and not self.verify_only:
            hint = "Give the private key, or set verify_only=True."
            raise wrong("RK211", ("key", self.kid or ""), "a public key cannot sign", hint)
        return material

    @property
    def label(self) -> str:
        """How messages call the key: its algorithm and kid."""
        return f"{self.algorithm} {self.kid!r}" if self.kid else self.algorithm


def wrong(code: str, path: tuple[str, ...], message: str, hint: str) -> DeclarationError:
    """Return the error for an option of ``JWT`` or of a key."""
    return DeclarationError(code, message, path=("jwt", *path), hint=hint)


def is_name(value: object, longest: int = _NAME_LENGTH) -> bool:
    """Whether the strict reader would take this text back."""
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\x00" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


@attrs.frozen
class _Curve:
    """The curve a x^2 + y^2 = 1 + d x^2 y^2 over the integers modulo p (RFC 8032, 5.1 and 5.2). doublings: log2 of the cofactor."""

    p: int
    a: int
    d: int
    doublings: int


_P25519: Final = 2**255 - 19
_EDWARDS_CURVES: Final[Mapping[int, _Curve]] = {
    32: _Curve(_P25519, -1, -121665 * pow(121666, -1, _P25519) % _P25519, 3),  # Ed25519
    57: _Curve(2**448 - 2**224 - 1, 1, -39081, 2),  # Ed448
}
"""By the number of bytes of an encoded point."""


def point_problem(encoded: bytes) -> str:
    """Return the reason why an encoded public key of an Edwards curve must not be used; ``""`` if there is none.

    Under a key of small order, one signature fits many messages: such a key in a published set would let anyone make valid tokens.
    OpenSSL loads these keys without an error.
    """
    curve = _EDWARDS_CURVES[len(encoded)]
    y = int.from_bytes(encoded, "little") & ~(1 << (8 * len(encoded) - 1))  # the last bit is the sign of x
    if y >= curve.p:
        return "the EdDSA key is not encoded as RFC 8032 demands"
    if pow(_x_squared(curve, y), (curve.p - 1) // 2, curve.p) not in {0, 1}:
        return "the EdDSA key is no point of its curve"
    for _ in range(curve.doublings):
        y = _doubled(curve, y)
    return "the EdDSA key has a small order, so that anyone can sign for it" if y == 1 else ""


def _x_squared(curve: _Curve, y: int) -> int:
    return (1 - y * y) * pow(curve.a - curve.d * y * y, -1, curve.p) % curve.p


def _doubled(curve: _Curve, y: int) -> int:
    """Return the y of twice a point. Of all points, only the neutral one has y = 1."""
    ax2 = curve.a * _x_squared(curve, y)
    return (y * y - ax2) * pow(2 - ax2 - y * y, -1, curve.p) % curve.p
