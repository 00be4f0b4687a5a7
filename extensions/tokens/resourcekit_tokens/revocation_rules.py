"""The keys and guards of records, and the rules that decide, from the records that a check reads, whether a token is revoked.

Open it to add a kind of record, to change an upsert, or to change what a cut-off, a generation or the end of a family does to a
token. Every upsert of the extension uses one of the guards, so that the statement itself keeps promises P1 (a revoked token stays
revoked) and P6 (facts only grow), even with concurrent writes. The rules read no store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from resourcekit import case, coalesce, existing, greatest, incoming
from resourcekit.extending import Expression, Field, Row

__all__ = [
    "CUTOFF",
    "FAMILY",
    "GENERATION",
    "INITIAL_GENERATION",
    "NEVER_ENDED",
    "NEVER_EXPIRES",
    "RESERVED_PURPOSES",
    "REVOCATION",
    "SESSION",
    "SUBJECT_LENGTH",
    "RevocationStatus",
    "TokenFacts",
    "cutoff_key",
    "family_key",
    "generation_key",
    "is_live",
    "is_moment",
    "is_of_same_subject",
    "is_reserved",
    "is_session",
    "kept_entries",
    "keys_around",
    "later",
    "newest_generation",
    "not_reserved",
    "own_status",
    "refused_jti",
    "refused_subject",
    "refused_text",
    "revoking",
    "status_around",
    "status_in",
    "storing",
    "using_up",
]


PREFIX: Final = "rk:"

_FAMILY_PREFIX: Final = "rk:family:"

CUTOFF: Final = "cutoff"

FAMILY: Final = "family"

GENERATION: Final = "generation"

SESSION: Final = "session"
"""Purpose of the record of a sign-in. It has the key of its family, and ends the family once it is revoked."""

INITIAL_GENERATION: Final = "0"
"""Generation of the tokens of a subject for whom no log-out is recorded."""

REVOCATION: Final = "revocation"
"""Purpose of the record of a token that was revoked without ever being stored."""

RESERVED_PURPOSES: Final = frozenset({CUTOFF, FAMILY, REVOCATION})

NEVER_EXPIRES: Final = datetime.max.replace(tzinfo=UTC)

NEVER_ENDED: Final = datetime.min.replace(tzinfo=UTC)
"""The moment stored for a kept session that no earlier cut-off had ended."""

SUBJECT_LENGTH: Final = 1024
"""Maximum length of a subject in code points, as in tokens."""

_JTI_LENGTH: Final = 255


def cutoff_key(subject: str) -> str:
    """Return the key of a subject's cut-off. It is a hash, because a subject may be longer than a key."""
    return f"rk:cutoff:{hashlib.sha256(subject.encode()).hexdigest()}"


def family_key(family: str) -> str:
    """Return the key of the record of a family: of its session, and of its end."""
    return f"{_FAMILY_PREFIX}{hashlib.sha256(family.encode()).hexdigest()}"


def generation_key(subject: str) -> str:
    """Return the key of the record of a subject's generation."""
    return f"rk:generation:{hashlib.sha256(subject.encode()).hexdigest()}"


def is_reserved(jti: str) -> bool:
    """Return whether a key belongs to the extension. No token may have such a key."""
    return jti.startswith(PREFIX)


def not_reserved() -> Expression:
    """Return the condition that a record represents a token."""
    return ~Field("jti").like(f"{PREFIX}%")


def is_session() -> Expression:
    """Return the condition that a record is that of a session that was not ended."""
    return Field("jti").like(f"{_FAMILY_PREFIX}%") & Field("revoked_at").is_none()


def refused_subject(subject: object) -> str | None:
    """Return why a value cannot be a subject, or ``None``. A subject has 1 to 1024 code points, no NUL and no lone surrogate."""
    if not isinstance(subject, str):
        return "must be text; write str(user.id)"
    return refused_text(subject, SUBJECT_LENGTH)


def refused_jti(jti: object) -> str | None:
    """Return why a value cannot be a jti, or ``None``. A jti has 1 to 255 code points, no NUL and no lone surrogate."""
    if isinstance(jti, str) and jti.startswith(PREFIX):
        return "must not begin with 'rk:', which is reserved"
    if type(jti) is str and jti.isascii() and 0 < len(jti) <= _JTI_LENGTH and "\0" not in jti:
        return None  # what nearly every caller gives
    return refused_text(jti, _JTI_LENGTH)


def refused_text(value: object, longest: int) -> str | None:
    """Return why a value is not a text of 1 to ``longest`` code points that a store can keep, or ``None``."""
    if not isinstance(value, str):
        return "must be text"
    if not 0 < len(value) <= longest:
        return f"must have 1 to {longest} characters"
    if "\0" in value or not (value.isascii() or _is_unicode(value)):
        return "must hold no NUL and no lone surrogate"
    return None


def is_moment(value: object) -> bool:
    """Return whether a value is a date and time with a time zone."""
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def later(moment: datetime, by: timedelta | None) -> datetime:
    """Return a moment plus a duration; ``NEVER_EXPIRES`` if the duration is None or the sum is out of range."""
    if by is None:
        return NEVER_EXPIRES
    try:
        return moment + by
    except OverflowError:
        return NEVER_EXPIRES


def is_live() -> Expression:
    """Return the condition that a stored record is not revoked."""
    return existing("revoked_at").is_none()


def is_of_same_subject() -> Expression:
    """Return the condition that a stored record does not contradict the subject of the token to be stored.

    A record, or a token, without a subject contradicts none.
    """
    there, new = existing("subject"), incoming("subject")
    return there.is_none() | new.is_none() | (there == new)


def revoking() -> dict[str, Expression]:
    """Return the assignments of a revocation: the first moment and reason stay, the expiry only grows.

    A stored expiry never replaces a later one: it may be of a token that its issuer has prolonged since, or of a forged one.
    """
    return {
        "revoked_at": coalesce(existing("revoked_at"), incoming("revoked_at")),
        "revocation_reason": case(is_live(), incoming("revocation_reason"), existing("revocation_reason")),
        "expires_at": greatest(existing("expires_at"), incoming("expires_at")),
        "subject": coalesce(existing("subject"), incoming("subject")),
        "family": coalesce(existing("family"), incoming("family")),
        "updated_at": incoming("updated_at"),
    }


def storing(*, replace_extra: bool) -> dict[str, Expression]:
    """Return the assignments of a store: a revocation stays, known facts of the token stay, missing ones are filled.

    replace_extra: later pending changes replace earlier ones.
    """
    extra = (incoming("extra_data"), existing("extra_data"))
    return {
        "purpose": case(existing("purpose") == REVOCATION, incoming("purpose"), existing("purpose")),
        "subject": coalesce(existing("subject"), incoming("subject")),
        "family": coalesce(existing("family"), incoming("family")),
        "expires_at": greatest(existing("expires_at"), incoming("expires_at")),
        "extra_data": coalesce(*extra) if replace_extra else coalesce(*reversed(extra)),
        "updated_at": incoming("updated_at"),
    }


def using_up(*, replace_extra: bool = False) -> dict[str, Expression]:
    """Return the assignments of a use. They apply only to a record that is not revoked, so one caller succeeds.

    replace_extra: the extra data are replaced, by those that were read with what the use adds to them.
    """
    return {
        **({"extra_data": incoming("extra_data")} if replace_extra else {}),
        "revoked_at": incoming("revoked_at"),
        "revocation_reason": incoming("revocation_reason"),
        "expires_at": greatest(existing("expires_at"), incoming("expires_at")),
        "subject": coalesce(existing("subject"), incoming("subject")),
        "family": coalesce(existing("family"), incoming("family")),
        "updated_at": incoming("updated_at"),
    }


_ZERO, _SECOND = timedelta(0), timedelta(seconds=1)

Views = Sequence[Mapping[str, Row]]
"""The records that a check read, by key: as the open transaction sees them, and as others have committed them."""


@attrs.frozen
class TokenFacts:
    """The facts about a token that the rules read.

    generation: the value of ``rk_gen`` if our signing key made the token; ``None`` for a token of another issuer.
    tolerance: how much later than a log-out the ``iat`` of a token without a generation must be. number: of a refresh token in its
    family; a recorded session that has gone on to a later one has used it. ``None``: for no refresh token, or not asked.
    """

    jti: str = attrs.field(repr=False)
    subject: str | None = attrs.field(default=None, repr=False)
    issued_at: datetime | None = None
    family: str | None = attrs.field(default=None, repr=False)
    generation: str | None = attrs.field(default=None, repr=False)
    tolerance: timedelta = _ZERO
    number: int | None = None

    @property
    def entries(self) -> tuple[str, str]:
        """The names under which a log-out may keep the token: its jti, and its family."""
        return self.jti, self.family or self.jti


@attrs.frozen
class RevocationStatus:
    """The reason why a token is revoked.

    rule: ``"token"``, ``"cut-off"`` or ``"family"``. since, reason: of the record that revokes the token, which is ``record``.
    """

    rule: str
    since: datetime
    reason: str | None
    record: Row = attrs.field(repr=False, eq=False)

    @property
    def is_use(self) -> bool:
        """Whether the token is a single-use token that was already used."""
        return self.reason in ("consumed", "rotated")


def own_status(record: Row) -> RevocationStatus:
    """Return the status of a token that its own record revokes."""
    return _status("token", record)


def _status(rule: str, record: Row) -> RevocationStatus:
    return RevocationStatus(rule, record["revoked_at"], record["revocation_reason"], record)


def keys_around(subject: str | None, families: Iterable[str | None]) -> list[str]:
    """Return the keys of the records, other than its own, that may revoke a token."""
    keys = [] if subject is None else [cutoff_key(subject), generation_key(subject)]
    return [*keys, *(family_key(family) for family in families if family is not None)]


def status_in(views: Views, token: TokenFacts) -> RevocationStatus | None:
    """Return why a token is revoked, or ``None``: by its own record, or by one of the others."""
    for rows in views:
        own = rows.get(token.jti)
        if own is not None and own["revoked_at"] is not None:
            return own_status(own)
    return status_around(views, token)


def status_around(views: Views, token: TokenFacts) -> RevocationStatus | None:
    """Return why a token is revoked by a record other than its own, or ``None``."""
    for rows in views:
        status = _by_cutoff(rows, token) or _by_family(rows, token)
        if status is not None:
            return status
    return None if token.subject is None else _by_generation(newest_generation(views, token.subject), token)


def newest_generation(views: Views, subject: str) -> Row | None:
    """Return the record of a subject's current generation. Of two views of it, the one that came after the other.

    Each record names the generations before it, so that no clock is asked.
    """
    key = generation_key(subject)
    found = [rows[key] for rows in views if key in rows]
    newest = found[0] if found else None
    for row in found[1:]:
        if newest is not None and newest["extra_data"]["generation"] in row["extra_data"]["before"]:
            newest = row
    return newest


def _by_generation(row: Row | None, token: TokenFacts) -> RevocationStatus | None:
    """Our token is of the current generation, or kept. Another one was issued late enough, or is kept."""
    if row is None:
        return None
    kept = list(kept_entries(row["extra_data"], token.entries))
    if token.generation is None:
        live = _is_after(token.issued_at, row["revoked_at"], token.tolerance) or any(
            _is_kept(entry["since"], token) for entry in kept
        )
    else:
        live = token.generation == row["extra_data"]["generation"] or any(
            entry["generations"] is None or token.generation in entry["generations"] for entry in kept
        )
    return None if live else _status("cut-off", row)


def kept_entries(extra: Mapping[str, Any] | None, names: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield what a log-out has written about those of the jtis and families that it keeps."""
    kept = (extra or {}).get("keep")
    for name in names:
        if isinstance(kept, Mapping) and name in kept:
            yield kept[name]


def _is_kept(since: object, token: TokenFacts) -> bool:
    """A kept session stays valid unless an earlier log-out, which did not keep it, has already ended it."""
    moment = datetime.fromisoformat(str(since))
    return moment == NEVER_ENDED or (token.issued_at is not None and _is_after(token.issued_at, moment, token.tolerance))


def _is_after(issued_at: datetime | None, moment: datetime, tolerance: timedelta = _ZERO) -> bool:
    """Return whether a token was issued after a moment. ``iat`` counts whole seconds, so the moment is rounded up to one."""
    if issued_at is None:
        return False
    try:
        return issued_at >= _ceil(moment) + tolerance
    except OverflowError:  # at the end of the range of datetime
        return False


def _ceil(moment: datetime) -> datetime:
    return moment.replace(microsecond=0) + _SECOND if moment.microsecond else moment


def _by_cutoff(rows: Mapping[str, Row], token: TokenFacts) -> RevocationStatus | None:
    row = None if token.subject is None else rows.get(cutoff_key(token.subject))
    if row is None or row["revoked_at"] is None:
        return None
    if _is_after(token.issued_at, row["revoked_at"]):
        return None
    kept = (row["extra_data"] or {}).get("keep", {})
    by_iat = attrs.evolve(token, tolerance=_ZERO)
    if any(entry in kept and _is_kept(kept[entry], by_iat) for entry in token.entries):
        return None
    return _status("cut-off", row)


def _by_family(rows: Mapping[str, Row], token: TokenFacts) -> RevocationStatus | None:
    row = None if token.family is None else rows.get(family_key(token.family))
    if row is None:
        return None
    if row["revoked_at"] is not None:
        return _status("family", row)
    state = row["extra_data"] or {}
    if token.number is None or "number" not in state or token.jti == state["refresh"] or token.number > state["number"]:
        return None
    return RevocationStatus("token", datetime.fromisoformat(state["last_used_at"]), "rotated", row)
