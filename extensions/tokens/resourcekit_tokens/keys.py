"""The keys of a token resource and what its tokens say by default; it must never know a token or a store.

Key material is read once, at first use where it comes from outside (``env``, a callable), and never shown.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

import attrs

from resourcekit.errors import DeclarationError, DeclarationErrors, did_you_mean
from resourcekit.extending import EnvironmentVariable
from resourcekit_tokens.claims import REGISTERED_CLAIMS, ClaimRules
from resourcekit_tokens.key_material import ALGORITHMS, Material, is_guessable, public_form, read_material

if TYPE_CHECKING:
    from resourcekit_tokens.key_material import KeySource

__all__ = ["JWT", "SigningKey"]

_USUAL_LIFETIMES: Final = {"user": timedelta(days=14), "refresh": timedelta(days=30)}
_OTHER_LIFETIME: Final = timedelta(days=1)
_ALGORITHM_LENGTH: Final = 16  # characters; the longest registered name has 14
_NAME_LENGTH: Final = 255  # code points; what the reader accepts for kid and purposes


class _Once:
    """The material of one key, read by the first thread that needs it; a failed reading is repeated next time."""

    __slots__ = ("_lock", "_material")

    def __init__(self) -> None:
        # Reentrant: a callable that asks for its own key shall see a RecursionError, not hang.
        self._lock, self._material = threading.RLock(), None

    _material: Material | None

    def get(self, read: Callable[[], Material]) -> Material:
        if self._material is None:
            with self._lock:
                if self._material is None:
                    self._material = read()
        return self._material


@attrs.frozen(kw_only=True, eq=False)
class SigningKey:
    """One key, the one algorithm that it is for, and the name by which tokens refer to it.

    kid: the key's name, in the header of every token that it signs (RFC 7515, 4.1.4), 1 to 255 characters; ``None``
        for a key that has none.
    algorithm: HS256, HS384, HS512, RS256 to RS512, PS256 to PS512, ES256, ES384, ES512, ES256K or EdDSA. A token that
        names another one does not verify with this key.
    key: a secret for HS (at least as long as the hash: 32, 48, 64 bytes; RFC 7518, 3.2), else PEM text or a key object
        of cryptography (RSA from 2048 bits). For each a JWK as well (RFC 7517), as a mapping or as JSON text, if it is
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
        if self.kid is not None and not _is_name(self.kid):
            hint = 'Give it a short name, such as "2026-11".'
            raise _wrong("RK201", ("key", "kid"), f"kid must be text of 1 to {_NAME_LENGTH} characters", hint)
        if self.algorithm not in ALGORITHMS:
            # What is too long for a name may be a secret in the wrong place.
            name = str(self.algorithm) if len(str(self.algorithm)) <= _ALGORITHM_LENGTH else ""
            raise _wrong("RK202", ("key", "algorithm"), f"unknown algorithm {name!r}", did_you_mean(name, ALGORITHMS))
        if not isinstance(self.key, EnvironmentVariable) and not callable(self.key):
            self.material()

    def material(self) -> Material:
        """The key, ready for use. Raises DeclarationError RK020, RK203, RK209, RK210 or RK211; a callable's own errors pass."""
        return self._once.get(self._read)

    def _read(self) -> Material:
        material = read_material(self.algorithm, self.key, kid=self.kid)
        if material.signing is None and not self.verify_only:
            hint = "Give the private key, or say verify_only=True."
            raise _wrong("RK211", ("key", self.kid or ""), "a public key cannot sign", hint)
        return material

    @property
    def label(self) -> str:
        """How messages call the key: its algorithm and kid."""
        return f"{self.algorithm} {self.kid!r}" if self.kid else self.algorithm


@attrs.frozen(eq=False, repr=False)
class JWT:
    """Keys, and what the tokens of a resource say: who issues them, for whom, for how long, in which words.

    key: a secret (HS256), a SigningKey, or a sequence of these; the first that is not ``verify_only`` signs, all
        verify. A secret may be ``env("TOKEN_SECRET")`` or a callable.
    issuer: the `iss` that is written, and demanded of every token; ``None``: any.
    audience: the `aud` that is written (text or several), of which every token must name one; ``None``: only tokens
        without `aud` (RFC 7519, 4.1.3: who is not among the audience must refuse).
    lifetimes: how long a token lives, by purpose; ``user`` 14 days, ``refresh`` 30 days, any other 1 day unless set.
    purpose_claim: the claim that holds the purpose. subject_claim: the claim that holds the subject.
    purposes: a peer's words to ours, for example ``{"access": "user"}``; tokens are written with the peer's word.
    default_purpose: the purpose of a token that names none; ``None`` refuses it.

    Equal only to itself. Raises DeclarationError RK203 (no key), RK204 (a kid twice), RK205 (no keys), RK206
    (lifetimes), RK207 (issuer, audience), RK208 (the words); several come as DeclarationErrors.
    """

    key: KeySource | SigningKey | Sequence[KeySource | SigningKey]
    issuer: str | None = attrs.field(default=None, kw_only=True)
    audience: str | Sequence[str] | None = attrs.field(default=None, kw_only=True)
    lifetimes: Mapping[str, timedelta] = attrs.field(factory=dict[str, timedelta], kw_only=True)
    purpose_claim: str = attrs.field(default="purpose", kw_only=True)
    purposes: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    default_purpose: str | None = attrs.field(default="user", kw_only=True)
    subject_claim: str = attrs.field(default="sub", kw_only=True)
    keys: tuple[SigningKey, ...] = attrs.field(init=False)
    audiences: tuple[str, ...] = attrs.field(init=False)
    rules: ClaimRules = attrs.field(init=False)
    _lifetimes: Mapping[str, timedelta] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Check all options; keep copies, which nobody can change any more."""
        _raise_all([*_check_lifetimes(self.lifetimes), *_check_peers(self), *_check_words(self)])
        keys = _signing_keys(self.key)
        _raise_all(list(_check_kids(keys)))
        given = (self.audience,) if isinstance(self.audience, str) else tuple(self.audience or ())
        rules = ClaimRules(
            purpose_claim=self.purpose_claim,
            purposes=self.purposes,
            default_purpose=self.default_purpose,
            subject_claim=self.subject_claim,
        )
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "audiences", given)
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "_lifetimes", MappingProxyType({**_USUAL_LIFETIMES, **self.lifetimes}))

    def __repr__(self) -> str:
        """Which keys there are, by algorithm and kid; nothing of the keys themselves."""
        keys = ", ".join(key.label for key in self.keys)
        return f"JWT(<{keys}>, issuer={self.issuer!r}, audience={self.audience!r})"

    def lifetime(self, purpose: str) -> timedelta:
        """How long a token of this purpose lives unless ``issue`` is told otherwise."""
        return self._lifetimes.get(purpose, _OTHER_LIFETIME)

    @property
    def longest_lifetime(self) -> timedelta:
        """The longest of all lifetimes, the defaults among them."""
        return max(_OTHER_LIFETIME, *self._lifetimes.values())

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs: the first that is not ``verify_only``. Raises DeclarationError RK211 if all are."""
        for key in self.keys:
            if not key.verify_only:
                return key
        raise _wrong("RK211", ("key",), "every key is verify_only, none signs", "Add a private key or a secret to the keys.")

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK Set (RFC 7517, 5), to be served to those who verify our tokens.

        Keys on their way out (``verify_only``) are in it, secrets never. Raises DeclarationError as ``material`` does.
        """
        found: list[dict[str, str]] = []
        for key in self.keys:
            jwk = public_form(key.material())
            if jwk is not None:
                found.append({**jwk, "use": "sig", "alg": key.algorithm, **({"kid": key.kid} if key.kid else {})})
        return {"keys": found}

    def check_keys(self) -> list[DeclarationError]:
        """What is wrong with the keys, after reading all of them: the findings of doctor; empty if all is well."""
        findings: list[DeclarationError] = []
        for key in self.keys:
            try:
                key.material()
            except DeclarationError as error:
                findings.append(error)
        return findings

    def guessable_keys(self) -> list[str]:
        """Labels of the secrets that look typed rather than drawn. Raises DeclarationError as ``material`` does."""
        return [key.label for key in self.keys if is_guessable(key.material())]

    def shares_key_with(self, other: JWT) -> bool:
        """Whether both know one key, without telling which. Raises DeclarationError as ``material`` does."""
        theirs = [key.material().fingerprint for key in other.keys]
        ours = [key.material().fingerprint for key in self.keys]
        return any(hmac.compare_digest(mine, their) for mine in ours for their in theirs)

    def shares_audience_with(self, other: JWT) -> bool:
        """Whether a token may suit both by `iss` and `aud`; where both know its key too, each accepts it."""
        issuers_apart = self.issuer is not None and other.issuer is not None and self.issuer != other.issuer
        if issuers_apart:
            return False
        return bool(set(self.audiences) & set(other.audiences)) or not (self.audiences or other.audiences)


def _wrong(code: str, path: tuple[str, ...], message: str, hint: str) -> DeclarationError:
    return DeclarationError(code, message, path=("jwt", *path), hint=hint)


def _raise_all(findings: list[DeclarationError]) -> None:
    if len(findings) > 1:
        raise DeclarationErrors(findings)
    if findings:
        raise findings[0]


def _is_name(value: object, longest: int = _NAME_LENGTH) -> bool:
    """Whether the strict reader would take this text back."""
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\x00" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _signing_keys(given: object) -> tuple[SigningKey, ...]:
    several = isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray)
    entries: list[object] = list(given) if several else [given]  # type: ignore[call-overload]  # narrowed by `several`
    if not entries:
        raise _wrong("RK205", ("key",), "there are no keys", "Give a secret, a SigningKey, or a sequence of these.")
    return tuple(map(_signing_key, entries))


def _signing_key(given: object) -> SigningKey:
    if isinstance(given, SigningKey):
        return given
    if isinstance(given, str | bytes | EnvironmentVariable) or callable(given):
        return SigningKey(kid=None, algorithm="HS256", key=cast("KeySource", given))
    message = f"a key must be a secret or a SigningKey, is {type(given).__name__}"
    raise _wrong("RK203", ("key",), message, "Wrap key objects: SigningKey(kid=..., algorithm=..., key=...).")


def _check_kids(keys: tuple[SigningKey, ...]) -> Iterator[DeclarationError]:
    seen: set[str] = set()
    for kid in (key.kid for key in keys if key.kid is not None):
        if kid in seen:
            yield _wrong("RK204", ("key", kid), "two keys have this kid", "Give every key a kid of its own.")
        seen.add(kid)


def _check_lifetimes(lifetimes: object) -> Iterator[DeclarationError]:
    hint = 'For example lifetimes={"user": timedelta(days=7)}.'
    if not isinstance(lifetimes, Mapping):
        yield _wrong("RK206", ("lifetimes",), "lifetimes must map purposes to timedeltas", hint)
        return
    for purpose, lifetime in lifetimes.items():
        if not _is_name(purpose) or not isinstance(lifetime, timedelta) or lifetime <= timedelta(0):
            yield _wrong("RK206", ("lifetimes", str(purpose)), "a lifetime must be a timedelta above zero", hint)


def _check_peers(options: JWT) -> Iterator[DeclarationError]:
    if options.issuer is not None and not _is_name(options.issuer, 1024):
        yield _wrong("RK207", ("issuer",), "issuer must be text of 1 to 1024 characters", "Write it as tokens carry it in iss.")
    audience: object = options.audience
    if audience is None or _is_name(audience):
        return
    entries = list(audience) if isinstance(audience, Sequence) and not isinstance(audience, str | bytes) else []
    if not entries or not all(_is_name(entry) for entry in entries):
        hint = 'For example audience="https://api.example.com", or several in a list.'
        yield _wrong("RK207", ("audience",), "audience must be text of 1 to 255 characters, or a list of such", hint)


def _check_words(options: JWT) -> Iterator[DeclarationError]:
    for option, value, own in (
        ("purpose_claim", options.purpose_claim, "purpose"),
        ("subject_claim", options.subject_claim, "sub"),
    ):
        if not _is_name(value) or (value in REGISTERED_CLAIMS and value != own):
            yield _wrong("RK208", (option,), "must name a claim that has no other meaning", f"{own!r} unless peers differ.")
    if options.purpose_claim == options.subject_claim:
        yield _wrong("RK208", ("purpose_claim",), "purpose and subject cannot share a claim", "Name two claims.")
    if options.default_purpose is not None and not _is_name(options.default_purpose):
        yield _wrong("RK208", ("default_purpose",), "must be text of 1 to 255 characters, or None", "For example 'user'.")
    words: object = options.purposes
    if not isinstance(words, Mapping) or not all(_is_name(word) for pair in words.items() for word in pair):
        hint = 'For example purposes={"access": "user"}.'
        yield _wrong("RK208", ("purposes",), "purposes must map a peer's words to ours, all text", hint)
