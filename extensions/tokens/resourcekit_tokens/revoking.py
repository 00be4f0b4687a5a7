"""The functions that revoke: one token, one jti, many, all stored ones of a subject."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.extending import Field, Param, Row, Update, function, record_function, run_action
from resourcekit_tokens.compact import as_token
from resourcekit_tokens.keyspace import REVOCATION, SUBJECT_LENGTH, is_moment, later, not_reserved, refused_jti, refused_text
from resourcekit_tokens.results import RevokedJti
from resourcekit_tokens.tokens import again, tokens_of

__all__ = ["revoke", "revoke_all_stored_for_subject", "revoke_jti", "revoke_jtis", "revoke_stored"]

_BATCH = 1000
"""Rows of an import that are written in one transaction."""


def given(**facts: Any) -> dict[str, Any]:
    """Return the arguments that the caller named, so that an action of the user's own needs no others."""
    return {name: value for name, value in facts.items() if value is not None}


@record_function
async def revoke(resource: Any, token: str, *, family: bool | None = None, reason: str | None = None) -> Any:
    """Revoke a token and return its record; again and again, stored or never stored, expired or not.

    Where keys are known the signature is verified first (P5); without, the caller vouches. The token's family ends too
    unless ``family=False``. reason: ``"revoked"`` unless said; the first one stays (P6).
    Returns when the record is durable; raises InvalidToken for garbage, and a DataLayerError otherwise (P4).
    """
    tokens, text = tokens_of(resource), as_token(token)
    name, facts = tokens.options.revocation.revoke_token_action_name, given(family=family, reason=reason)
    return await again(tokens, lambda: run_action(resource, name, {"token": text, **facts}))


@record_function
async def revoke_jti(
    resource: Any, jti: str, *, subject: str | None = None, expires_at: datetime | None = None, reason: str | None = None
) -> Any:
    """Revoke the token with this jti and return its record.

    expires_at: aware; where it is not given a stored expiry is kept, else the record stays for ``max_lifetime``, else for
    ever. subject: a stored one stays. Raises Invalid for what cannot be a jti.
    """
    options = tokens_of(resource).options
    if expires_at is not None:  # the statement that lets a known expiry grow is another than the one that keeps the stored
        return await _revoke_until(resource, jti, subject, expires_at, reason)
    return await run_action(
        resource, options.revocation.revoke_jti_action_name, {"jti": jti, **given(subject=subject, reason=reason)}
    )


async def _revoke_until(resource: Any, jti: str, subject: str | None, expires_at: datetime, reason: str | None) -> Any:
    name = tokens_of(resource).options.revocation.revoke_jti_action_name
    record = await run_action(resource, name, {"jti": jti, **given(subject=subject, reason=reason, expires_at=expires_at)})
    if record.expires_at >= expires_at:
        return record
    tokens = tokens_of(resource)
    row = dict(record.__dict__)
    (row,) = await tokens.write("revoke", [{**row, "expires_at": expires_at, "updated_at": utc_now()}])
    return tokens.runtime.record(row)


@function
async def revoke_jtis(resource: Any, rows: Iterable[RevokedJti]) -> int:
    """Revoke many jtis, as an import does, and return how many records were written.

    The rows are checked before the first is written: Invalid has a finding for each that is wrong. They are written a
    thousand at a time, each thousand in one transaction; what fails then may be repeated as a whole.
    """
    tokens = tokens_of(resource)
    given_rows = _listed(rows)
    findings = [finding for index, row in enumerate(given_rows) for finding in _wrong(f"rows.{index}", row)]
    if findings:
        raise InvalidArgument(findings, resource=resource.__name__, action="revoke_jtis")
    moment, written = utc_now(), 0
    for guard, known in (("revoke", True), ("revoke by jti", False)):
        part = [row for row in given_rows if (row.expires_at is not None) == known]
        for start in range(0, len(part), _BATCH):
            batch = [_imported(tokens, row, moment) for row in part[start : start + _BATCH]]
            written += len(await tokens.write(guard, batch))
    return written


def _listed(rows: object) -> list[Any]:
    if isinstance(rows, Iterable) and not isinstance(rows, (str, bytes, Mapping)):
        return list(rows)
    raise InvalidArgument(FieldFinding("rows", "must be a collection of RevokedJti"), action="revoke_jtis")


def _wrong(path: str, row: object) -> Iterator[FieldFinding]:
    """Find what is wrong with one row of an import."""
    if not isinstance(row, RevokedJti):
        yield FieldFinding(path, "must be a RevokedJti")
        return
    if problem := refused_jti(row.jti):
        yield FieldFinding(f"{path}.jti", problem)
    if row.expires_at is not None and not is_moment(row.expires_at):
        yield FieldFinding(f"{path}.expires_at", "must be a date and time with a time zone")
    if row.subject is not None and (problem := refused_text(row.subject, SUBJECT_LENGTH)):
        yield FieldFinding(f"{path}.subject", problem)


def _imported(tokens: Any, row: RevokedJti, moment: datetime) -> Row:
    made: Row = tokens.row(
        moment,
        jti=row.jti,
        subject=row.subject,
        purpose=REVOCATION,
        expires_at=row.expires_at or later(moment, tokens.options.longest_life),
        revoked_at=moment,
        revocation_reason="revoked",
    )
    return made


async def revoke_stored(cls: Any, subject: str, purposes: list[str] | None = None) -> int:
    """Revoke all stored tokens of a subject that nobody revoked yet: the extension's own action of that name.

    subject: whose tokens. purposes: only tokens of these; of all purposes unless given.
    """
    tokens = tokens_of(cls)
    wanted = () if purposes is None else tuple(f"purpose{position}" for position in range(len(purposes)))
    live = (Field("subject") == Param("subject")) & Field("revoked_at").is_none() & not_reserved()
    if purposes is not None:
        live = live & Field("purpose").in_(tuple(map(Param, wanted)))
    written = {"revoked_at": Param("now"), "updated_at": Param("now"), "revocation_reason": Param("reason")}
    plan = tokens.runtime.plan(
        ("tokens", "revoke stored", None if purposes is None else len(wanted)), lambda: Update(live, written)
    )
    params = {"subject": subject, "now": utc_now(), "reason": "revoked", **dict(zip(wanted, purposes or (), strict=True))}
    return (await tokens.store.update(plan, params)).count


@function
async def revoke_all_stored_for_subject(resource: Any, subject: str, *, purposes: Iterable[str] | None = None) -> int:
    """Revoke all stored tokens of a subject that nobody revoked yet, in one statement; return how many they were.

    purposes: only these. Tokens that were never stored live on; ``log_out_everywhere`` ends those too.
    """
    name = tokens_of(resource).options.revocation.revoke_all_stored_for_subject_action_name
    wanted: object = [purposes] if isinstance(purposes, str) else list(purposes) if isinstance(purposes, Iterable) else purposes
    count: int = await run_action(resource, name, {"subject": subject, **given(purposes=wanted)})
    return count
