"""The claims of a token as values, checked strictly. Open it to change which claims are accepted.

Anything that RFC 7515 and RFC 7519 do not allow is refused here, before a library may accept it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from resourcekit.extending import KnownNames
from resourcekit_tokens.errors import InvalidToken, WrongPurpose

__all__ = [
    "GENERATION_CLAIM",
    "NUMBER_CLAIM",
    "REGISTERED_CLAIMS",
    "RESERVED_CLAIMS",
    "SCOPE",
    "TOKEN_HASH",
    "USUAL_RULES",
    "ClaimRules",
    "Claims",
    "check_text",
    "extra_claims",
    "family_of",
    "owner_text",
    "scoped_text",
    "token_hash",
]

REGISTERED_CLAIMS: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "fam"})
"""RFC 7519, 4.1, and ``fam``, the family: one sign-in and all its rotations."""

GENERATION_CLAIM: Final = "rk_gen"  # the generation of a token's subject

NUMBER_CLAIM: Final = "rk_n"
"""The claim of a refresh token that holds its number in the family: 0 for the first, 1 after a rotation, and so on."""

RESERVED_CLAIMS: Final = REGISTERED_CLAIMS | {GENERATION_CLAIM, NUMBER_CLAIM}
"""The claims that only resourcekit writes."""

_LONG, _SHORT = 1024, 255  # code points; OpenID Connect asks for 255 in sub, URIs of other peers are longer

SCOPE: Final = "iss:"  # begins identities and families of tokens of several providers; no token may carry it

_RESERVED_JTI: Final = "rk:"  # cut-offs and ended families are rows under such keys

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_LATEST: Final = datetime.max.replace(tzinfo=UTC)

_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01T00:00:00Z, counted from the epoch

_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_LAST_FLOAT: Final = float(_LAST_SECOND)

_MILLION: Final = 1_000_000
_COUNTED: Final = 10**100  # a number of a user has fewer digits

TOKEN_HASH: Final = "rk:token-hash"  # noqa: S105  # a name, no secret
"""``jti_claim`` of tokens without an identity of their own: it is the hash of header and payload."""


class ClaimRules:
    """The names and values by which a peer writes purpose and subject; ``JWT`` holds those of a resource.

    purpose_claim, subject_claim, jti_claim, family_claim: the claims that hold purpose, subject, identity and family. purposes: maps a peer's purposes to this program's;
    values that are not in it stay unchanged. default_purpose: purpose of a token that names none; ``None`` refuses such tokens.
    Immutable.
    """

    __slots__ = ("default_purpose", "family_claim", "jti_claim", "purpose_claim", "purposes", "subject_claim", "texts")

    def __init__(
        self,
        *,
        purpose_claim: str = "purpose",
        purposes: Mapping[str, str] = MappingProxyType({}),
        default_purpose: str | None = "user",
        subject_claim: str = "sub",
        jti_claim: str = "jti",
        family_claim: str = "fam",
    ) -> None:
        self.purpose_claim, self.subject_claim, self.default_purpose = purpose_claim, subject_claim, default_purpose
        self.jti_claim, self.family_claim = jti_claim, family_claim
        self.purposes: Mapping[str, str] = MappingProxyType(dict(purposes))
        self.texts: Final = {jti_claim: _SHORT, family_claim: _SHORT, "iss": _LONG, purpose_claim: _SHORT, subject_claim: _LONG}

    def word_for(self, purpose: str) -> str | None:
        """The word that a token must carry to be read as ``purpose``; ``None`` where no word would be."""
        for written, meant in self.purposes.items():
            if meant == purpose:
                return written
        return None if purpose in self.purposes else purpose

    def __reduce__(self) -> tuple[object, ...]:
        """Let claims be copied and pickled: by the options, because a mapping proxy cannot be."""
        words = (self.subject_claim, self.jti_claim, self.family_claim)
        return _rules, (self.purpose_claim, dict(self.purposes), self.default_purpose, *words)

    @property
    def reserved(self) -> frozenset[str]:
        """The claims that only resourcekit writes."""
        return RESERVED_CLAIMS | {self.purpose_claim, self.subject_claim, self.jti_claim, self.family_claim}


def _rules(
    purpose_claim: str,
    purposes: Mapping[str, str],
    default_purpose: str | None,
    subject_claim: str,
    jti_claim: str = "jti",
    family_claim: str = "fam",
) -> ClaimRules:
    return ClaimRules(
        purpose_claim=purpose_claim,
        purposes=purposes,
        default_purpose=default_purpose,
        subject_claim=subject_claim,
        jti_claim=jti_claim,
        family_claim=family_claim,
    )


USUAL_RULES: Final = ClaimRules()


class Claims(KnownNames, Mapping[str, object]):
    """The claims of one token as a read-only mapping (JSON values), with properties for the known ones.

    The constructor takes a decoded payload and raises InvalidToken for a malformed one: `jti` (required, not
    starting with ``rk:``), `fam` and the purpose must be text of 1 to 255 code points, `iss` and the subject of 1 to
    1024, without NUL and lone surrogates; `aud` text or an array of text; `exp`, `nbf` and `iat` finite JSON numbers
    of seconds, not before year 1.
    """

    __slots__ = ("_expires_at", "_is_ours", "_issued_at", "_issuer", "_jti", "_not_before", "_payload", "_rules")

    __instead__: ClassVar[Mapping[str, str]] = {
        "aud": 'Write claims["aud"].',
        "exp": "Write expires_at.",
        "expires": "Write expires_at.",
        "fam": "Write family.",
        "iat": "Write issued_at.",
        "id": "Write jti.",
        "iss": 'Write claims["iss"].',
        "nbf": "Write not_before.",
        "sub": "Write subject.",
        "user_id": "Write subject.",
    }

    # False: not read yet.
    _expires_at: datetime | Literal[False] | None
    _issued_at: datetime | Literal[False] | None
    _not_before: datetime | Literal[False] | None

    def __init__(
        self,
        payload: Mapping[str, object],
        rules: ClaimRules = USUAL_RULES,
        *,
        is_ours: bool = False,
        jti: str | None = None,
        issuer: str | None = None,
    ) -> None:
        """Check and keep.

        is_ours: a signing key of the resource made the token. jti: identity of a token that has none of its own. issuer: one of
        several providers, whose subjects are kept apart.
        """
        if not _has_common_form(payload, rules, jti):
            _check(payload, rules, jti)
        jti = jti if jti is not None or issuer is None else scoped_text(issuer, str(payload[rules.jti_claim]))
        self._payload, self._rules, self._is_ours, self._jti, self._issuer = payload, rules, is_ours, jti, issuer
        self._expires_at = self._issued_at = self._not_before = False

    @property
    def jti(self) -> str:
        """The token's own identity (RFC 7519, 4.1.7), 1 to 255 code points; with several ``issuers``, made of issuer and `jti`."""
        jti = self._jti or self._payload.get(self._rules.jti_claim)
        return jti if isinstance(jti, str) else ""

    @property
    def subject(self) -> str | None:
        """Whom the token is about: `sub`, or the claim that ``subject_claim`` names."""
        value = self._payload.get(self._rules.subject_claim)
        return str(value) if type(value) is int else value if isinstance(value, str) else None

    @property
    def owner(self) -> str | None:
        """The subject as records have it: with its issuer, if several providers issue tokens here."""
        subject = self.subject
        return subject if subject is None or self._issuer is None else owner_text(self._issuer, subject)

    @property
    def is_foreign(self) -> bool:
        """Whether one of several providers (``issuers``) issued the token."""
        return self._issuer is not None

    @property
    def purpose(self) -> str:
        """The purpose of the token: translated by ``JWT(purposes=...)``, or the default if the token names none."""
        word = self._text(self._rules.purpose_claim)
        return (self._rules.default_purpose or "") if word is None else self._rules.purposes.get(word, word)

    @property
    def states_purpose(self) -> bool:
        """Whether the token itself has a purpose (else ``purpose`` is the default)."""
        return self._rules.purpose_claim in self._payload

    @property
    def family(self) -> str | None:
        """`fam`: the sign-in that this token and all its rotations come from; with several ``issuers``, made of issuer and family."""
        found = self._payload.get(self._rules.family_claim)
        family = found if isinstance(found, str) else None
        return family if family is None or self._issuer is None else scoped_text(self._issuer, family)

    @property
    def sign_in(self) -> str | None:
        """The family of the token. For a refresh token without one, the family that its rotation will begin."""
        family = self.family
        return family_of(self.jti) if family is None and self.purpose == "refresh" else family

    @property
    def generation(self) -> str | None:
        """`rk_gen` of a token that a signing key of the resource made; ``None`` for any other token."""
        return self._text(GENERATION_CLAIM) if self._is_ours else None

    @property
    def number(self) -> int:
        """`rk_n`: how many rotations lie between the sign-in and this refresh token; 0 if the token has no such claim."""
        number = self._payload.get(NUMBER_CLAIM)
        return number if type(number) is int and 0 <= number <= _LAST_SECOND else 0

    @property
    def auth_time(self) -> datetime | None:
        """`auth_time` in UTC (OpenID Connect): when the subject last proved its identity; ``None`` if the token has no such claim."""
        time = self._payload.get("auth_time")
        is_time = isinstance(time, int | float) and type(time) is not bool and 0 <= time <= _LAST_SECOND
        return _moment(time, up=False) if is_time else None

    @property
    def issued_at(self) -> datetime | None:
        """`iat` in UTC, to the nearest microsecond; ``None`` if the token has no such claim."""
        if self._issued_at is False:
            self._issued_at = _moment(self._payload.get("iat"), up=False)
        return self._issued_at

    @property
    def not_before(self) -> datetime | None:
        """`nbf` in UTC, rounded up to the microsecond; ``None`` if the token has no such claim."""
        if self._not_before is False:
            self._not_before = _moment(self._payload.get("nbf"), up=True)
        return self._not_before

    @property
    def expires_at(self) -> datetime | None:
        """`exp` in UTC, rounded up to the microsecond, at most the end of year 9999; ``None``: it never expires."""
        if self._expires_at is False:
            self._expires_at = _moment(self._payload.get("exp"), up=True)
        return self._expires_at

    def __getitem__(self, claim: str) -> object:
        """The claim's value as JSON has it; KeyError where the token has no such claim."""
        return self._payload[claim]

    def __iter__(self) -> Iterator[str]:
        """The names of all claims, in the token's order."""
        return iter(self._payload)

    def __len__(self) -> int:
        """How many claims the token has."""
        return len(self._payload)

    def __repr__(self) -> str:
        """The number of claims. Names and values are left out (promise P9: errors and logs show no part of a token)."""
        return f"<Claims: {len(self._payload)}, values hidden>"

    def _text(self, claim: str) -> str | None:
        value = self._payload.get(claim)
        return value if isinstance(value, str) else None


def owner_text(issuer: str, subject: str) -> str:
    """Return the text by which a subject of one of several providers is stored. No two pairs have the same."""
    text = json.dumps([issuer, subject], ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _LONG else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def scoped_text(issuer: str, text: str) -> str:
    """Return the key of a jti or a family of one of several providers. A key is returned unchanged."""
    pair = json.dumps([issuer, text], separators=(",", ":")).encode()
    return text if text.startswith(SCOPE) else f"{SCOPE}{hashlib.sha256(pair).hexdigest()}"


def token_hash(signed: bytes) -> str:
    """Return the identity of a token that has none: a hash of what is signed, because a signature may be written in several ways."""
    return f"th_{hashlib.sha256(signed).hexdigest()}"


def family_of(jti: str) -> str:
    """Return the family that begins with the rotation of a token without one. It is the same each time, so that a reuse can end it."""
    return hashlib.sha256(b"rk:family of " + jti.encode()).hexdigest()


def extra_claims(claims: Mapping[str, object], rules: ClaimRules) -> dict[str, object]:
    """The claims that neither RFC 7519 nor ``rules`` give a meaning: what a rotation copies to the next token."""
    return {name: value for name, value in claims.items() if name not in rules.reserved}


_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")  # a pair of surrogates has become one code point by then


def check_text(name: str, value: object, longest: int) -> None:
    """Return if the claim or parameter is text of 1 to ``longest`` code points that every store keeps, else InvalidToken."""
    if not isinstance(value, str):
        raise InvalidToken(f'"{name}" is not text; have the issuer write it as a JSON string.', claim=name)
    if not 0 < len(value) <= longest:
        raise InvalidToken(f'"{name}" must have 1 to {longest} characters.', claim=name)
    if _UNSTORABLE.search(value):
        raise InvalidToken(f'"{name}" contains NUL or half a surrogate pair, which no store keeps.', claim=name)


def _has_common_form(payload: Mapping[str, Any], rules: ClaimRules, given: str | None) -> bool:
    """Return whether a payload is certainly valid, without a call for each claim. If false, ``_check`` decides.

    A missing claim is replaced by a valid value. A null is not replaced, and is not valid.
    """
    get = payload.get
    jti, family, issuer = given or get(rules.jti_claim), get(rules.family_claim, "-"), get("iss", "-")
    subject, purpose = get(rules.subject_claim, "-"), get(rules.purpose_claim, "-")
    try:
        text = jti + family + issuer + subject + purpose
    except (TypeError, OverflowError):  # the latter from a number of 400 digits and a fraction
        return False
    # The sum of five JSON values is text only if each is; and if all are short enough together, each is.
    if type(text) is not str or len(text) > _SHORT or not text.isascii() or "\x00" in text:
        return False
    if not (jti and family and issuer and subject and purpose) or jti[:3] == _RESERVED_JTI or rules.default_purpose is None:
        return False
    for time in get("exp", 0), get("iat", 0), get("nbf", 0):
        if (type(time) is not int or not 0 <= time <= _LAST_SECOND) and (
            type(time) is not float or not 0.0 <= time <= _LAST_FLOAT
        ):
            return False
    aud = get("aud", "")
    return type(aud) is str or (type(aud) is list and set(map(type, aud)) == {str})


def _check(payload: Mapping[str, object], rules: ClaimRules, given: str | None) -> None:
    """Raise InvalidToken for the first claim that is not as the docstring of Claims says."""
    name = rules.jti_claim
    if given is None and name not in payload:
        raise InvalidToken(f'The token has no "{name}" claim, so it can be neither stored nor revoked.', claim=name)
    is_own_subject = rules.subject_claim != "sub"
    for claim, longest in rules.texts.items():
        value = payload.get(claim, "-")
        # A number is text for a peer that counts its users; a bool, which is an int for isinstance, is not.
        if not (claim == rules.subject_claim and is_own_subject and type(value) is int and abs(value) < _COUNTED):
            check_text(claim, value, longest)
    if given is None and str(payload[name]).startswith(_RESERVED_JTI):
        raise InvalidToken(f'The "{name}" claim begins with "rk:", which is reserved for our own records.', claim=name)
    for claim in ("exp", "nbf", "iat"):
        if claim in payload:
            _check_time(claim, payload[claim])
    aud = "" if payload.get("aud") is None else payload["aud"]  # null is no audience, as some issuers write it
    for entry in aud if isinstance(aud, list) else [aud]:
        if not isinstance(entry, str):
            raise InvalidToken('"aud" is neither text nor an array of text (RFC 7519, 4.1.3).', claim="aud")
    if rules.default_purpose is None and rules.purpose_claim not in payload:
        message = "The token has no purpose; have it issued with one, or set default_purpose."
        raise WrongPurpose(message, claim=rules.purpose_claim)


def _check_time(claim: str, value: object) -> None:
    """Raise InvalidToken unless this is a NumericDate (RFC 7519, 2) of year 1 or later."""
    # Exact types: a bool is an int for isinstance. An int is not asked whether it is finite: it may be too large for a float.
    if type(value) is not int and not (type(value) is float and math.isfinite(value)):
        raise InvalidToken(f'"{claim}" is not a finite JSON number of seconds since 1970 (RFC 7519, 2).', claim=claim)
    if value < _FIRST_SECOND:
        raise InvalidToken(f'"{claim}" lies before year 1; have the issuer write seconds since 1970.', claim=claim)


def _moment(value: object, *, up: bool) -> datetime | None:
    """A checked NumericDate in UTC; to the nearest microsecond, or up to the next."""
    if not isinstance(value, int | float):
        return None
    if value > _LAST_SECOND:  # its last fraction is given away
        return _LATEST
    if isinstance(value, int):
        return _EPOCH + timedelta(0, value)
    seconds, micros = divmod(_microseconds(value, up=up), _MILLION)
    return _EPOCH + timedelta(0, seconds, micros)


def _microseconds(seconds: float, *, up: bool) -> int:
    """Seconds in whole microseconds; a number that a whole microsecond was written as comes back as that one."""
    nearest = round(seconds * _MILLION)
    if not up or nearest / _MILLION == seconds:
        return nearest
    return math.ceil(Fraction(seconds) * _MILLION)
