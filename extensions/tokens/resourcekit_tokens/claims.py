"""Reads the claims of a token strictly and without trusting it; it must never know keys, signatures, stores or a clock.

Strictly: what RFC 7515 and RFC 7519 do not allow is refused here, before any library may interpret it generously.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from resourcekit_tokens.compact import check_text, parse_object, split_token
from resourcekit_tokens.errors import InvalidToken, TokenExpired, WrongPurpose

__all__ = ["REGISTERED_CLAIMS", "ClaimRules", "Claims", "check_times", "extra_claims", "read_claims"]

REGISTERED_CLAIMS: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "fam"})
"""RFC 7519, 4.1, and ``fam``, the family: one sign-in and all its rotations."""

_LONG, _SHORT = 1024, 255  # code points; OpenID Connect asks for 255 in sub, URIs of other peers are longer
_RESERVED_JTI: Final = "rk:"  # cut-offs and ended families are rows under such keys

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC)
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01T00:00:00Z, counted from the epoch
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_LAST_FLOAT: Final = float(_LAST_SECOND)
_MILLION: Final = 1_000_000


class ClaimRules:
    """Under which names and in which words a peer writes what we look for; ``JWT`` carries those of a resource.

    purpose_claim, subject_claim: the claims that hold purpose and subject. purposes: a peer's words to ours; words that
    are not in it stay as they are. default_purpose: purpose of a token that names none; ``None`` refuses such tokens.
    Not to be changed once made.
    """

    __slots__ = ("default_purpose", "purpose_claim", "purposes", "subject_claim", "texts")

    def __init__(
        self,
        *,
        purpose_claim: str = "purpose",
        purposes: Mapping[str, str] = MappingProxyType({}),
        default_purpose: str | None = "user",
        subject_claim: str = "sub",
    ) -> None:
        self.purpose_claim, self.subject_claim, self.default_purpose = purpose_claim, subject_claim, default_purpose
        self.purposes: Mapping[str, str] = MappingProxyType(dict(purposes))
        self.texts: Final = {"jti": _SHORT, "fam": _SHORT, "iss": _LONG, purpose_claim: _SHORT, subject_claim: _LONG}

    def word_for(self, purpose: str) -> str | None:
        """The word that a token must carry to be read as ``purpose``; ``None`` where no word would be."""
        for theirs, ours in self.purposes.items():
            if ours == purpose:
                return theirs
        return None if purpose in self.purposes else purpose

    def __reduce__(self) -> tuple[object, ...]:
        """Let claims be copied and pickled: by the options, because a mapping proxy cannot be."""
        return _rules, (self.purpose_claim, dict(self.purposes), self.default_purpose, self.subject_claim)


def _rules(purpose_claim: str, purposes: Mapping[str, str], default_purpose: str | None, subject_claim: str) -> ClaimRules:
    return ClaimRules(
        purpose_claim=purpose_claim, purposes=purposes, default_purpose=default_purpose, subject_claim=subject_claim
    )


_USUAL_RULES: Final = ClaimRules()


class Claims(Mapping[str, object]):
    """The claims of one token as a read-only mapping (values as JSON has them), and the known ones by name.

    Made from a decoded payload, it refuses with InvalidToken what tokens.md calls garbage: `jti` (must be there, not
    starting with ``rk:``), `fam` and the purpose must be text of 1 to 255 code points, `iss` and the subject of 1 to
    1024, without NUL and lone surrogates; `aud` text or an array of text; `exp`, `nbf` and `iat` finite JSON numbers
    of seconds, not before year 1.
    """

    __slots__ = ("_payload", "_rules")

    def __init__(self, payload: Mapping[str, object], rules: ClaimRules = _USUAL_RULES) -> None:
        """Check and keep."""
        if not _is_usual(payload, rules):
            _check(payload, rules)
        self._payload, self._rules = payload, rules

    @property
    def jti(self) -> str:
        """The token's own identity (RFC 7519, 4.1.7), 1 to 255 code points."""
        return self._text("jti") or ""

    @property
    def subject(self) -> str | None:
        """Whom the token is about: `sub`, or the claim that ``subject_claim`` names."""
        return self._text(self._rules.subject_claim)

    @property
    def purpose(self) -> str:
        """What the token is for, in our words: translated, and the default where it says none."""
        word = self._text(self._rules.purpose_claim)
        return (self._rules.default_purpose or "") if word is None else self._rules.purposes.get(word, word)

    @property
    def states_purpose(self) -> bool:
        """Whether the token itself says its purpose (else ``purpose`` is the default)."""
        return self._rules.purpose_claim in self._payload

    @property
    def family(self) -> str | None:
        """`fam`: the sign-in that this token and all its rotations come from."""
        return self._text("fam")

    @property
    def issued_at(self) -> datetime | None:
        """`iat` in UTC, to the nearest microsecond; ``None`` where the token does not say it."""
        return _moment(self._payload.get("iat"), up=False)

    @property
    def not_before(self) -> datetime | None:
        """`nbf` in UTC, rounded up to the microsecond; ``None`` where the token does not say it."""
        return _moment(self._payload.get("nbf"), up=True)

    @property
    def expires_at(self) -> datetime | None:
        """`exp` in UTC, rounded up to the microsecond, at most the end of year 9999; ``None``: it never expires."""
        return _moment(self._payload.get("exp"), up=True)

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
        """Only how many claims there are: neither names nor values, both are the token's (P9)."""
        return f"<Claims: {len(self._payload)}, values hidden>"

    def _text(self, claim: str) -> str | None:
        value = self._payload.get(claim)
        return value if isinstance(value, str) else None


def read_claims(token: object, *, rules: ClaimRules = _USUAL_RULES) -> Claims:
    """The claims of ``token``, read strictly, **its signature not verified**: never grant anything by them.

    token: the compact form (RFC 7515, 7.1), a ``str`` of at most 16 KiB.
    Raises InvalidToken, with the claim's name, for all that is no token in the compact form; BadSignature for an unsigned token.
    """
    _, _, payload, _ = split_token(token)
    return Claims(parse_object(payload, "payload"), rules)


def check_times(claims: Claims, moment: datetime, *, leeway: timedelta = timedelta(0)) -> None:
    """Return if the token may be used at ``moment`` as far as `exp` and `nbf` say.

    moment: aware; the caller's clock. leeway: tolerance at both ends, not negative.
    Raises TokenExpired on and after `exp` + leeway, InvalidToken before `nbf` - leeway and for a token without `exp`.
    """
    expires_at, not_before = claims.expires_at, claims.not_before
    if expires_at is None:
        raise InvalidToken('The token has no "exp" claim: it can be revoked, but it never verifies.', claim="exp")
    # Differences, not sums: the end of year 9999 plus a leeway is no datetime.
    if moment - expires_at >= leeway:
        raise TokenExpired("The token has expired; get a new one.", claim="exp")
    if not_before is not None and not_before - moment > leeway:
        raise InvalidToken("The token is not valid yet; compare the clocks of the hosts.", claim="nbf")


def extra_claims(claims: Mapping[str, object], rules: ClaimRules) -> dict[str, object]:
    """The claims that neither RFC 7519 nor ``rules`` give a meaning: what a rotation copies to the next token."""
    ours = REGISTERED_CLAIMS | {rules.purpose_claim, rules.subject_claim}
    return {name: value for name, value in claims.items() if name not in ours}


def _is_usual(payload: Mapping[str, Any], rules: ClaimRules) -> bool:
    """Whether a payload is certainly fine, without a call per claim; ``False`` leaves the verdict to ``_check``.

    What is absent is replaced by something fine; a null stays, and is not.
    """
    get = payload.get
    jti, family, issuer = get("jti"), get("fam", "-"), get("iss", "-")
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


def _check(payload: Mapping[str, object], rules: ClaimRules) -> None:
    """Raise InvalidToken for the first claim that is not as the docstring of Claims says."""
    if "jti" not in payload:
        raise InvalidToken('The token has no "jti" claim, so it can be neither stored nor revoked.', claim="jti")
    for claim, longest in rules.texts.items():
        if claim in payload:
            check_text(claim, payload[claim], longest)
    if str(payload["jti"]).startswith(_RESERVED_JTI):
        raise InvalidToken('The "jti" claim begins with "rk:", which is reserved for our own records.', claim="jti")
    for claim in ("exp", "nbf", "iat"):
        if claim in payload:
            _check_time(claim, payload[claim])
    aud = payload.get("aud", "")
    for entry in aud if isinstance(aud, list) else [aud]:
        if not isinstance(entry, str):
            raise InvalidToken('"aud" is neither text nor an array of text (RFC 7519, 4.1.3).', claim="aud")
    if rules.default_purpose is None and rules.purpose_claim not in payload:
        message = "The token does not say what it is for; have it issued with a purpose, or set default_purpose."
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
        return _LAST_MOMENT
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
