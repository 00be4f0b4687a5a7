"""The function that logs a subject out everywhere, by one record for any number of tokens, and the subject's generation.

Each log-out everywhere replaces the generation, a random value that tokens carry. A token of an earlier generation is revoked,
whatever the clocks of the hosts show. Open it to change cut-offs, or how a generation is read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, SerializationFailure
from resourcekit.extending import KnownNames, Row, function, notify_rows
from resourcekit_tokens.claims import GENERATION_CLAIM
from resourcekit_tokens.revocation_rules import (
    CUTOFF,
    GENERATION,
    INITIAL_GENERATION,
    NEVER_ENDED,
    cutoff_key,
    generation_key,
    is_moment,
    later,
    newest_generation,
    refused_subject,
    refused_text,
)
from resourcekit_tokens.tokens import Tokens, tokens_of
from resourcekit_tokens.verification import owner_of, scope_of

__all__ = [
    "CutOff",
    "generation",
    "generation_claims",
    "generation_for",
    "log_out_everywhere",
]


@attrs.frozen
class CutOff(KnownNames):
    """The result of ``log_out_everywhere``.

    subject: whose tokens are revoked. issued_before: tokens issued earlier are revoked; of several cut-offs, the
    latest. kept: number of jtis and families that the call kept.
    """

    subject: str = attrs.field(repr=False)
    issued_before: datetime
    kept: int = 0


_LONGEST = 64
"""Maximum length of a generation in code points."""


@function
async def generation(resource: Any, subject: str) -> str:
    """Return the current generation of a subject. Each ``log_out_everywhere`` replaces it.

    Read it before you check a password, and give it to ``issue`` or ``issue_pair``: a sign-in that began before the password was
    changed then does not survive the change.
    A text that cannot be a subject (empty, over 1,024 characters, with a NUL or a lone surrogate) has the generation of a subject that
    was never logged out: people type it into forms. ``issue_pair`` refuses it.
    Raises InvalidArgument if the subject is no text, and a DataLayerError if the store fails.
    """
    if _is_text_of_no_subject(subject):
        return INITIAL_GENERATION
    return await _current(tokens_of(resource), subject, "generation")


@function
async def generation_claims(resource: Any, subject: str) -> dict[str, str]:
    """Return the claim that another library must write into the tokens of a subject, so that ``log_out_everywhere`` ends them.

    Tokens with this claim count by it only if a signing key of this resource signs them; others count by their ``iat``.
    """
    return {GENERATION_CLAIM: await _current(tokens_of(resource), subject, "generation_claims")}


async def generation_for(tokens: Tokens, subject: object, given: object, action: str) -> str | None:
    """Return the generation of a new token: the given one, or the subject's current one. A token without a subject has none."""
    if given is not None and (problem := refused_text(given, _LONGEST)):
        raise InvalidArgument(FieldFinding("generation", problem), resource=tokens.runtime.info.name, action=action)
    if subject is None:
        return None
    return given if isinstance(given, str) else await _current(tokens, subject, action)


def _is_text_of_no_subject(given: object) -> bool:
    """Return whether a text cannot be a subject. A value of another type is a mistake of the caller, and has its own error."""
    return isinstance(given, str) and refused_subject(given) is not None


async def _current(tokens: Tokens, subject: object, action: str) -> str:
    if problem := refused_subject(subject):
        raise InvalidArgument(FieldFinding("subject", problem), resource=tokens.runtime.info.name, action=action)
    name = str(subject)
    row = newest_generation(await tokens.views((generation_key(name),), tokens.store.outside()), name)
    return INITIAL_GENERATION if row is None else str(row["extra_data"]["generation"])


_TRIES = 20
"""Number of attempts to write a cut-off while other calls write the same one."""

_GENERATION_BYTES = 16
"""128 random bits, so that none can be guessed and no two are equal."""

_FORMER = 8
"""Former generations that a record names, so that two views of it can be put in order."""

_ENTRY = 255
"""Maximum length of a jti, a family or a reason in code points, as in tokens."""


@function
async def log_out_everywhere(
    resource: Any,
    subject: str | tuple[str, str],
    *,
    issued_before: datetime | None = None,
    keep: Iterable[str] = (),
    reason: str | None = None,
) -> CutOff:
    """End all tokens of a subject that were issued until now, including those that were never stored.

    Tokens of this resource end by their generation, independent of all clocks. A token of another issuer ends if its ``iat`` is
    missing, or is not later than now by ``foreign_iat_tolerance``.
    issued_before: ends by ``iat``, for every token: each that was issued before this moment, rounded up to a whole second. Of two
    such cut-offs the later one applies.
    subject: ``(issuer, subject)`` for the tokens of one of several providers. keep: jtis and families that stay valid. A session that an earlier log-out ended stays ended, even if it is in ``keep``: promise P1
    (a revoked token stays revoked).
    """
    tokens = tokens_of(resource)
    owner: Any = owner_of(tokens.options, subject)
    entries: list[Any] = [
        scope_of((subject[0], each)) if isinstance(subject, tuple) and subject else each for each in _listed(keep)
    ]
    moment = utc_now() if issued_before is None else _in_utc(issued_before)
    _check(resource, owner, moment, entries, reason)
    write = _write_generation if issued_before is None else _write_cutoff
    for _ in range(_TRIES):
        latest = await write(tokens, owner, moment, frozenset(entries), reason or "logged out")
        if latest is not None:
            return CutOff(owner, latest, len(frozenset(entries)))
    raise SerializationFailure("others kept writing the cut-off of this subject; try again")


def _listed(keep: object) -> list[Any]:
    return list(keep) if isinstance(keep, Iterable) and not isinstance(keep, str) else [keep]


def _in_utc(moment: object) -> Any:
    """Return a moment in UTC. Any other value is returned unchanged."""
    try:
        return moment.astimezone(UTC) if isinstance(moment, datetime) and moment.utcoffset() is not None else moment
    except OverflowError:  # the first or the last day of the datetime range
        return None


def _check(resource: Any, subject: object, moment: object, keep: list[object], reason: object) -> None:
    """Raise InvalidArgument with a finding for each wrong argument."""
    findings: list[FieldFinding] = []
    if problem := refused_subject(subject):
        findings.append(FieldFinding("subject", problem))
    if not is_moment(moment):
        findings.append(FieldFinding("issued_before", "must be a date and time with a time zone"))
    if problem := next(filter(None, (refused_text(entry, _ENTRY) for entry in keep)), None):
        findings.append(FieldFinding("keep", f"holds jtis and families, and each {problem}"))
    if reason and (problem := refused_text(reason, _ENTRY)):
        findings.append(FieldFinding("reason", problem))
    if findings:
        raise InvalidArgument(findings, resource=resource.__name__, action="log_out_everywhere")


async def _latest(tokens: Tokens, subject: str) -> tuple[Row | None, Row | None]:
    """Return the records of a subject's generation and cut-off."""
    key = cutoff_key(subject)
    views = await tokens.views((generation_key(subject), key), tokens.store.outside())
    cutoffs = [rows[key] for rows in views if key in rows]
    return newest_generation(views, subject), max(cutoffs, key=lambda row: row["revoked_at"], default=None)


async def _write_generation(tokens: Tokens, subject: str, moment: datetime, kept: frozenset[str], reason: str) -> datetime | None:
    """Compare and set the generation, and return the latest cut-off; ``None`` if another call has written it in the meantime."""
    there, cutoff = await _latest(tokens, subject)
    at, now = moment if there is None else max(moment, there["revoked_at"]), utc_now()
    former = [] if there is None else [*there["extra_data"]["before"], there["extra_data"]["generation"]]
    state = {
        "generation": secrets.token_urlsafe(_GENERATION_BYTES),
        "before": former[-_FORMER:],
        "keep": _kept_generations(there, kept),
    }
    new = tokens.row(
        now,
        jti=generation_key(subject),
        purpose=GENERATION,
        expires_at=later(tokens.options.kept_until(max(at, now)), _beyond_skew(tokens)),
        revoked_at=at,
        revocation_reason=reason,
        extra_data=state,
    )
    if not await _written(tokens, new, there, subject):
        return None
    return at if cutoff is None else max(at, cutoff["revoked_at"])


def _beyond_skew(tokens: Tokens) -> timedelta:
    """Return how much longer a log-out is kept because it also ends tokens that others issued after it."""
    return max(timedelta(0), tokens.options.iat_tolerance - tokens.options.clock_skew)


def _kept_generations(there: Row | None, kept: frozenset[str]) -> dict[str, Any]:
    """Return, for each kept jti and family, the generations in which it is kept, and the ``iat`` since which, for tokens of others.

    Without an earlier log-out each generation is: ``None``. Tokens of a session that an earlier one ended are of a former generation.
    """
    merged: dict[str, Any] = {}
    for entry in kept:
        if there is None:
            merged[entry] = {"generations": None, "since": NEVER_ENDED.isoformat()}
            continue
        before = there["extra_data"]["keep"].get(entry)
        current = there["extra_data"]["generation"]
        if before is None:
            merged[entry] = {"generations": [current], "since": there["revoked_at"].isoformat()}
        else:
            former = before["generations"]
            merged[entry] = {**before, "generations": None if former is None else [*former, current]}
    return merged


async def _write_cutoff(tokens: Tokens, subject: str, moment: datetime, kept: frozenset[str], reason: str) -> datetime | None:
    """Compare and set the cut-off by ``iat``, and return the latest one; ``None`` if another call has written it in the meantime."""
    generation, there = await _latest(tokens, subject)
    new = tokens.row(
        utc_now(),
        jti=cutoff_key(subject),
        purpose=CUTOFF,
        expires_at=tokens.options.kept_until(max(moment, utc_now())),
        revoked_at=moment if there is None else max(moment, there["revoked_at"]),
        revocation_reason=reason if there is None or moment >= there["revoked_at"] else there["revocation_reason"],
        extra_data=_merged(there, moment, kept),
    )
    if not await _written(tokens, new, there, subject):
        return None
    at: datetime = new["revoked_at"]
    return at if generation is None else max(at, generation["revoked_at"])


async def _written(tokens: Tokens, new: Row, there: Row | None, subject: str) -> bool:
    written = await tokens.replace_ending(new, there)
    if written is not None:
        # Notifiers also get the subject, because the key of the record contains only its hash.
        kind = "create" if there is None else "update"
        await notify_rows(tokens.runtime, "log_out_everywhere", kind, [{**written, "subject": subject}])
    return written is not None


def _merged(there: Row | None, moment: datetime, kept: frozenset[str]) -> dict[str, Any] | None:
    """Return the kept sessions, each with the moment since which it is kept. A session that an earlier cut-off ended stays ended."""
    before: dict[str, str] = {} if there is None else dict((there["extra_data"] or {}).get("keep", {}))
    earliest = None if there is None else there["revoked_at"]
    merged: dict[str, datetime] = {}
    if earliest is None or moment >= earliest:
        # Kept by both: as before. Kept by the new one only: tokens that the earlier cut-off ended stay ended.
        for entry in kept:
            merged[entry] = datetime.fromisoformat(before[entry]) if entry in before else earliest or NEVER_ENDED
    else:
        # Earlier than the stored cut-off: it can end more only among the sessions that the stored one keeps.
        for entry, since in before.items():
            old = datetime.fromisoformat(since)
            merged[entry] = old if entry in kept else max(old, moment)
    return {"keep": {entry: since.isoformat() for entry, since in merged.items()}} if merged else None
