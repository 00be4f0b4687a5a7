"""Logs a subject out everywhere: one record, however many tokens there are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, SerializationFailure
from resourcekit.extending import Row, function
from resourcekit_tokens.keyspace import CUTOFF, NEVER_ENDED, SUBJECT_LENGTH, cutoff_key, is_moment, later, refused_text
from resourcekit_tokens.results import CutOff
from resourcekit_tokens.tokens import Tokens, tokens_of

__all__ = ["log_out_everywhere"]

_TRIES = 20
"""How often a cut-off is tried again while others write the same one."""

_ENTRY = 255
"""Code points of a jti, a family or a reason, as tokens may have them."""


@function
async def log_out_everywhere(
    resource: Any, subject: str, *, issued_before: datetime | None = None, keep: Iterable[str] = (), reason: str | None = None
) -> CutOff:
    """End all tokens of a subject that were issued before a moment (now, unless given), the never stored ones too.

    A token dies if its ``iat`` is missing or earlier, unless its jti or its family is in ``keep``. Of two cut-offs the
    later one wins, and what an earlier one ended stays ended, kept or not (P1).
    """
    tokens = tokens_of(resource)
    entries = _listed(keep)
    moment = utc_now() if issued_before is None else _in_utc(issued_before)
    _check(resource, subject, moment, entries, reason)
    kept = frozenset(entries)
    for _ in range(_TRIES):
        row = await _write(tokens, subject, moment, kept, reason or "logged out")
        if row is not None:
            return CutOff(subject, row["revoked_at"], len(kept))
    raise SerializationFailure("others kept writing the cut-off of this subject; try again")


def _listed(keep: object) -> list[Any]:
    return list(keep) if isinstance(keep, Iterable) and not isinstance(keep, str) else [keep]


def _in_utc(moment: object) -> Any:
    """Return a moment in UTC; what is none comes back as it is."""
    try:
        return moment.astimezone(UTC) if isinstance(moment, datetime) and moment.utcoffset() is not None else moment
    except OverflowError:  # the first or the last day that there is
        return None


def _check(resource: Any, subject: object, moment: object, keep: list[object], reason: object) -> None:
    """Raise InvalidArgument with a finding for each argument that is wrong."""
    findings: list[FieldFinding] = []
    if problem := refused_text(subject, SUBJECT_LENGTH):
        findings.append(FieldFinding("subject", problem))
    if not is_moment(moment):
        findings.append(FieldFinding("issued_before", "must be a date and time with a time zone"))
    if problem := next(filter(None, (refused_text(entry, _ENTRY) for entry in keep)), None):
        findings.append(FieldFinding("keep", f"holds jtis and families, and each {problem}"))
    if reason and (problem := refused_text(reason, _ENTRY)):
        findings.append(FieldFinding("reason", problem))
    if findings:
        raise InvalidArgument(findings, resource=resource.__name__, action="log_out_everywhere")


async def _write(tokens: Tokens, subject: str, moment: datetime, kept: frozenset[str], reason: str) -> Row | None:
    """Compare and set the cut-off; ``None`` where somebody else wrote it meanwhile."""
    key = cutoff_key(subject)
    found = [rows[key] for rows in await tokens.views((key,), tokens.store.outside()) if key in rows]
    there = max(found, key=lambda row: row["revoked_at"], default=None)
    new = tokens.row(
        utc_now(),
        jti=key,
        purpose=CUTOFF,
        expires_at=later(max(moment, utc_now()), tokens.options.longest_life),
        revoked_at=moment if there is None else max(moment, there["revoked_at"]),
        revocation_reason=reason if there is None or moment >= there["revoked_at"] else there["revocation_reason"],
        extra_data=_merged(there, moment, kept),
    )
    return await tokens.replace_cutoff(new, there)


def _merged(there: Row | None, moment: datetime, kept: frozenset[str]) -> dict[str, Any] | None:
    """Return who is kept, each with the moment from which on: whoever an earlier cut-off had ended stays ended."""
    before: dict[str, str] = {} if there is None else dict((there["extra_data"] or {}).get("keep", {}))
    floor = None if there is None else there["revoked_at"]
    merged: dict[str, datetime] = {}
    if floor is None or moment >= floor:
        # Kept by both: as before. Kept by the new one only: not what the earlier cut-off ended.
        for entry in kept:
            merged[entry] = datetime.fromisoformat(before[entry]) if entry in before else floor or NEVER_ENDED
    else:
        # An earlier moment than the one that stands: it ends more only of those whom that one kept.
        for entry, since in before.items():
            old = datetime.fromisoformat(since)
            merged[entry] = old if entry in kept else max(old, moment)
    return {"keep": {entry: since.isoformat() for entry, since in merged.items()}} if merged else None
