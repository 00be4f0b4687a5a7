"""The keys of records that stand for no single token, and what may be a key; knows nobody."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from resourcekit.extending import Expression, Field

__all__ = [
    "CUTOFF",
    "FAMILY",
    "FOR_EVER",
    "GRACE",
    "NEVER_ENDED",
    "RESERVED_PURPOSES",
    "REVOCATION",
    "SUBJECT_LENGTH",
    "cutoff_key",
    "family_key",
    "family_of",
    "grace_key",
    "is_moment",
    "is_reserved",
    "later",
    "not_reserved",
    "refused_jti",
    "refused_text",
]

PREFIX: Final = "rk:"
CUTOFF: Final = "cutoff"
FAMILY: Final = "family"
GRACE: Final = "grace"
"""Purpose of the record that the one repetition of a rotation was taken."""

REVOCATION: Final = "revocation"
"""Purpose of the record of a token that was revoked and never stored."""

RESERVED_PURPOSES: Final = frozenset({CUTOFF, FAMILY, GRACE, REVOCATION})
FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
NEVER_ENDED: Final = datetime.min.replace(tzinfo=UTC)
"""Since when a cut-off keeps a session that no earlier one had ended."""

SUBJECT_LENGTH: Final = 1024
"""Code points of a subject, as tokens may have them."""

_JTI_LENGTH: Final = 255


def cutoff_key(subject: str) -> str:
    """Return the key of a subject's cut-off: a hash, because a subject may be longer than a key."""
    return f"rk:cutoff:{hashlib.sha256(subject.encode()).hexdigest()}"


def family_key(family: str) -> str:
    """Return the key of an ended family."""
    return f"rk:family:{hashlib.sha256(family.encode()).hexdigest()}"


def family_of(jti: str) -> str:
    """Return the family that rotations of a token without one begin: always the same, so that a reuse can end it."""
    return hashlib.sha256(b"rk:family of " + jti.encode()).hexdigest()


def grace_key(jti: str) -> str:
    """Return the key under which the one repetition of a rotation is taken."""
    return f"rk:grace:{hashlib.sha256(jti.encode()).hexdigest()}"


def is_reserved(jti: str) -> bool:
    """Tell whether a key is one of ours, which no token may have."""
    return jti.startswith(PREFIX)


def not_reserved() -> Expression:
    """Return the condition that a record stands for a token."""
    return ~Field("jti").like(f"{PREFIX}%")


def refused_jti(jti: object) -> str | None:
    """Say why a value cannot be a jti; ``None`` where it can: 1 to 255 code points, no NUL, no lone surrogate."""
    if isinstance(jti, str) and jti.startswith(PREFIX):
        return "must not begin with 'rk:', which is reserved"
    return refused_text(jti, _JTI_LENGTH)


def refused_text(value: object, longest: int) -> str | None:
    """Say why a value is no text that a store keeps, of 1 to ``longest`` code points; ``None`` where it is."""
    if not isinstance(value, str):
        return "must be text"
    if not 0 < len(value) <= longest:
        return f"must have 1 to {longest} characters"
    if "\0" in value or not (value.isascii() or _is_unicode(value)):
        return "must hold no NUL and no lone surrogate"
    return None


def is_moment(value: object) -> bool:
    """Tell whether a value is a date and time with a time zone."""
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def later(moment: datetime, by: timedelta | None) -> datetime:
    """Return a moment that lies later by so much; the end of time where that is unknown or beyond it."""
    if by is None:
        return FOR_EVER
    try:
        return moment + by
    except OverflowError:
        return FOR_EVER
