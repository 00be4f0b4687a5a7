"""The keys of a token resource, and the defaults of the tokens that it issues. Open it to change how keys are declared."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from resourcekit.errors import DeclarationError, DeclarationErrors
from resourcekit.extending import EnvironmentVariable
from resourcekit_tokens.claims import REGISTERED_CLAIMS, ClaimRules
from resourcekit_tokens.keys.key_sets import JWKSet, RemoteKeys
from resourcekit_tokens.keys.signing_key import CheckedOptions, SigningKey, is_guessable, is_name, public_form, wrong

if TYPE_CHECKING:
    from resourcekit_tokens.keys.signing_key import KeySource

__all__ = ["JWT", "SigningKey"]

_USUAL_LIFETIMES: Final = {"user": timedelta(days=14), "refresh": timedelta(days=30)}
_OTHER_LIFETIME: Final = timedelta(days=1)


class _Omitted:
    def __repr__(self) -> str:
        """The same in each process, for the reference pages."""
        return "omitted"


_OMITTED: Final[Any] = _Omitted()
"""In the place of ``key``. ``None`` is an error: a secret that a program has failed to read must not mean "without keys"."""


@attrs.frozen(eq=False, repr=False)
class JWT(metaclass=CheckedOptions):
    """Keys, issuer, audience, lifetimes and claim names of the tokens of a resource.

    key: a secret (HS256), a SigningKey, or a sequence of these; the first that is not ``verify_only`` signs, all
        verify. A secret may be ``env("TOKEN_SECRET")`` or a callable. A JWK Set as a mapping is taken as ``keys``.
    keys: a JWKSet of a provider, which verifies beside ``key`` and never signs. Without both, nothing is verified, and only the
        names of claims are used.
    issuer: the `iss` that is written, and demanded of every token; ``None``: any. Several are spellings of one; the first is written.
    issuers: the key sets of several providers, by their `iss`. Subjects of these tokens are pairs: ``(issuer, subject)``.
    audience: the `aud` that is written (text or several), of which every token must name one; ``None``: only tokens
        without `aud` (RFC 7519, 4.1.3: who is not among the audience must refuse).
    lifetimes: how long a token lives, by purpose; ``user`` 14 days, ``refresh`` 30 days, any other 1 day unless set.
    purpose_claim, subject_claim, jti_claim, family_claim: the claims that hold purpose, subject, identity and family. A whole number
        under a subject claim of your own becomes text. ``jti_claim=TOKEN_HASH``: tokens have no identity, and get one from their hash;
        such tokens cannot be issued.
    purposes: names of purposes in the tokens of other software, for example ``{"access": "user"}``: a token with ``access`` has the
        purpose ``user``, and issued tokens have ``access``.
    default_purpose: the purpose of a token that names none; ``None`` refuses it.

    Equal only to itself. Raises DeclarationError RK203 (no key), RK204 (a kid twice), RK205 (no keys), RK206
    (lifetimes), RK207 (issuer, audience), RK208 (claim names, purposes); several come as DeclarationErrors.
    """

    key: KeySource | SigningKey | Sequence[KeySource | SigningKey] = _OMITTED
    issuer: str | Sequence[str] | None = attrs.field(default=None, kw_only=True)
    issuers: Mapping[str, JWKSet] | None = attrs.field(default=None, kw_only=True)
    audience: str | Sequence[str] | None = attrs.field(default=None, kw_only=True)
    lifetimes: Mapping[str, timedelta] = attrs.field(factory=dict[str, timedelta], kw_only=True)
    purpose_claim: str = attrs.field(default="purpose", kw_only=True)
    purposes: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    default_purpose: str | None = attrs.field(default="user", kw_only=True)
    subject_claim: str = attrs.field(default="sub", kw_only=True)
    jti_claim: str = attrs.field(default="jti", kw_only=True)
    family_claim: str = attrs.field(default="fam", kw_only=True)
    key_set: JWKSet | None = attrs.field(default=None, kw_only=True, alias="keys")
    keys: tuple[SigningKey, ...] = attrs.field(init=False)
    issuer_names: tuple[str, ...] = attrs.field(init=False)
    has_keys: bool = attrs.field(init=False)
    fetches: bool = attrs.field(init=False)
    audiences: tuple[str, ...] = attrs.field(init=False)
    rules: ClaimRules = attrs.field(init=False)
    _lifetimes: Mapping[str, timedelta] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Check all options; keep copies, which cannot be changed from outside."""
        _raise_all([*_check_lifetimes(self.lifetimes), *_check_peers(self), *_check_words(self)])
        is_published = isinstance(self.key, Mapping) and "keys" in self.key
        if is_published and self.key_set is None:
            object.__setattr__(self, "key_set", JWKSet(self.key))  # type: ignore[arg-type]  # a mapping
        keys = () if self.key is _OMITTED or is_published else _signing_keys(self.key)
        _raise_all([*_check_kids(keys), *_check_keyless(self)])
        names = () if self.issuer is None else (self.issuer,) if isinstance(self.issuer, str) else tuple(self.issuer)
        given = (self.audience,) if isinstance(self.audience, str) else tuple(self.audience or ())
        rules = ClaimRules(
            purpose_claim=self.purpose_claim,
            purposes=self.purposes,
            default_purpose=self.default_purpose,
            subject_claim=self.subject_claim,
            jti_claim=self.jti_claim,
            family_claim=self.family_claim,
        )
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "issuer_names", names)
        object.__setattr__(self, "has_keys", bool(keys or self.key_sets))
        object.__setattr__(self, "fetches", any(isinstance(each, RemoteKeys) for each in self.key_sets))
        object.__setattr__(self, "audiences", given)
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "_lifetimes", MappingProxyType({**_USUAL_LIFETIMES, **self.lifetimes}))

    def __repr__(self) -> str:
        """Which keys there are, by algorithm and kid; nothing of the keys themselves."""
        keys = ", ".join([*(key.label for key in self.keys), *map(repr, self.key_sets)])
        return f"JWT(<{keys}>, issuer={self.issuer!r}, audience={self.audience!r})"

    @property
    def key_sets(self) -> tuple[JWKSet, ...]:
        """The key sets of providers."""
        return (*(() if self.key_set is None else (self.key_set,)), *(self.issuers or {}).values())

    def lifetime(self, purpose: str) -> timedelta:
        """Return the lifetime of a token of this purpose, unless ``issue`` gets another one."""
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
        if not self.keys:
            raise wrong("RK211", ("key",), "there is no key that signs", "Say JWT(key, keys=...) with a private key or a secret.")
        raise wrong("RK211", ("key",), "every key is verify_only, none signs", "Add a private key or a secret to the keys.")

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
        """Read all keys, and return their problems as findings of doctor; empty if there is none."""
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
        """Whether both know one key, without revealing it. Raises DeclarationError as ``material`` does."""
        other_keys = [key.material().fingerprint for key in other.keys]
        own_keys = [key.material().fingerprint for key in self.keys]
        return any(hmac.compare_digest(mine, their) for mine in own_keys for their in other_keys)

    def shares_audience_with(self, other: JWT) -> bool:
        """Whether a token may suit both by `iss` and `aud`; where both know its key too, each accepts it."""
        mine, others = ({*each.issuer_names, *(each.issuers or {})} for each in (self, other))
        if mine and others and not mine & others:
            return False
        return bool(set(self.audiences) & set(other.audiences)) or not (self.audiences or other.audiences)


def _raise_all(findings: list[DeclarationError]) -> None:
    if len(findings) > 1:
        raise DeclarationErrors(findings)
    if findings:
        raise findings[0]


def _signing_keys(given: object) -> tuple[SigningKey, ...]:
    several = isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray)
    entries: list[object] = list(given) if several else [given]  # type: ignore[call-overload]  # narrowed by `several`
    if not entries:
        raise wrong("RK205", ("key",), "there are no keys", "Give a secret, a SigningKey, or a sequence of these.")
    return tuple(map(_signing_key, entries))


def _signing_key(given: object) -> SigningKey:
    if isinstance(given, SigningKey):
        return given
    if isinstance(given, str | bytes | EnvironmentVariable) or callable(given):
        return SigningKey(kid=None, algorithm="HS256", key=cast("KeySource", given))
    message = f"a key must be a secret or a SigningKey, is {type(given).__name__}"
    raise wrong("RK203", ("key",), message, "Wrap key objects: SigningKey(kid=..., algorithm=..., key=...).")


def _check_kids(keys: tuple[SigningKey, ...]) -> Iterator[DeclarationError]:
    """Keys that only verify may share a kid for several algorithms, as some providers publish them (RFC 7517, 4.5)."""
    seen: dict[str, list[SigningKey]] = {}
    for key in (key for key in keys if key.kid is not None):
        others = seen.setdefault(str(key.kid), [])
        if any(key.algorithm == other.algorithm or not (key.verify_only and other.verify_only) for other in others):
            yield wrong("RK204", ("key", str(key.kid)), "two keys have this kid", "Give every key a kid of its own.")
        others.append(key)


def _check_keyless(options: JWT) -> Iterator[DeclarationError]:
    """Without keys, names of claims are all that counts, so there must be one, and nothing that asks for keys."""
    if options.key is not _OMITTED or options.key_sets:
        return
    names = (options.purpose_claim, options.subject_claim, options.jti_claim, options.family_claim)
    is_plain = names == ("purpose", "sub", "jti", "fam") and not options.purposes
    if is_plain or options.issuer is not None or options.audience is not None or options.lifetimes:
        what = "there are no keys, and nothing but the names of claims counts without them"
        yield wrong("RK205", ("key",), what, "Give a secret, a SigningKey, or keys=JWKSet(...).")


def _check_lifetimes(lifetimes: object) -> Iterator[DeclarationError]:
    hint = 'For example lifetimes={"user": timedelta(days=7)}.'
    if not isinstance(lifetimes, Mapping):
        yield wrong("RK206", ("lifetimes",), "lifetimes must map purposes to timedeltas", hint)
        return
    for purpose, lifetime in lifetimes.items():
        if not is_name(purpose) or not isinstance(lifetime, timedelta) or lifetime < timedelta(seconds=1):
            yield wrong("RK206", ("lifetimes", str(purpose)), "a lifetime must be a timedelta of at least one second", hint)


def _check_peers(options: JWT) -> Iterator[DeclarationError]:
    yield from _check_issuers(options)
    audience: object = options.audience
    if audience is None or is_name(audience):
        return
    entries = list(audience) if isinstance(audience, Sequence) and not isinstance(audience, str | bytes) else []
    if not entries or not all(is_name(entry) for entry in entries):
        hint = 'For example audience="https://api.example.com", or several in a list.'
        yield wrong("RK207", ("audience",), "audience must be text of 1 to 255 characters, or a list of such", hint)


def _check_issuers(options: JWT) -> Iterator[DeclarationError]:
    issuer: object = options.issuer
    names = [issuer] if isinstance(issuer, str) else list(issuer) if isinstance(issuer, Sequence) else [issuer] if issuer else []
    if (issuer is not None and not names) or not all(is_name(name, 1024) for name in names):
        what = "issuer must be text of 1 to 1024 characters, or several spellings of one in a list"
        yield wrong("RK207", ("issuer",), what, "Write it as tokens carry it in iss.")
    by_name: object = options.issuers
    if by_name is not None and (
        not isinstance(by_name, Mapping)
        or not by_name
        or not all(is_name(name, 1024) and isinstance(each, JWKSet) for name, each in by_name.items())
    ):
        what = "issuers must map the iss of each provider to its JWKSet"
        yield wrong("RK207", ("issuers",), what, 'For example issuers={"https://idp.example": JWKSet.from_url(...)}.')
    if options.key_set is not None and not isinstance(options.key_set, JWKSet):
        what = f"keys must be a JWKSet, is {type(options.key_set).__name__}"
        yield wrong("RK203", ("keys",), what, "Write keys=JWKSet(...), or keys=JWKSet.from_url(...).")


def _check_words(options: JWT) -> Iterator[DeclarationError]:
    words_of_claims = (
        ("purpose_claim", options.purpose_claim, "purpose"),
        ("subject_claim", options.subject_claim, "sub"),
        ("jti_claim", options.jti_claim, "jti"),
        ("family_claim", options.family_claim, "fam"),
    )
    taken: dict[str, str] = {}
    for option, value, own in words_of_claims:
        if not is_name(value) or (value in REGISTERED_CLAIMS and value != own):
            yield wrong("RK208", (option,), "must name a claim that has no other meaning", f"{own!r} unless peers differ.")
        elif value in taken:
            yield wrong("RK208", (option,), f"{option} and {taken[value]} cannot share a claim", "Name two claims.")
        else:
            taken[value] = option
    if options.default_purpose is not None and not is_name(options.default_purpose):
        yield wrong("RK208", ("default_purpose",), "must be text of 1 to 255 characters, or None", "For example 'user'.")
    words: object = options.purposes
    if not isinstance(words, Mapping) or not all(is_name(word) for pair in words.items() for word in pair):
        hint = 'For example purposes={"access": "user"}.'
        yield wrong("RK208", ("purposes",), "purposes must map names in tokens to purposes, all text", hint)
