"""The functions that revoke: one token, one jti, many jtis, all stored tokens of a subject. Open it to change a revocation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, NotFound
from resourcekit.extending import (
    Expression,
    Field,
    Greatest,
    Param,
    Row,
    Update,
    function,
    notifiers_of,
    notify_rows,
    record_function,
    run_action,
)
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.revocation_rules import (
    REVOCATION,
    is_moment,
    is_session,
    not_reserved,
    refused_jti,
    refused_subject,
    refused_text,
)
from resourcekit_tokens.signature import as_token, keys_ready, trusted_claims
from resourcekit_tokens.tokens import Tokens, again, tokens_of
from resourcekit_tokens.verification import longest_expiry, owner_of, scope_of

__all__ = [
    "RevokedJti",
    "facts_of_claims",
    "given",
    "revocation_of",
    "revoke",
    "revoke_all_stored_for_subject",
    "revoke_jti",
    "revoke_jtis",
    "revoke_stored",
]


@attrs.frozen
class RevokedJti:
    """One row of an import: a jti that was revoked elsewhere, and the known facts of its token.

    jti: of the token. expires_at: aware; without it the record is kept for the longest lifetime of a token.
    subject: the token's subject, for ``tokens_for_subject`` and similar functions.
    """

    jti: str = attrs.field(repr=False)
    expires_at: datetime | None = None
    subject: str | None = None


_ENTRY = 255
"""Maximum length of a family in code points, as in tokens."""

_BATCH = 1000
"""Rows of an import that are written in one transaction."""


def given(**facts: Any) -> dict[str, Any]:
    """Return the arguments that are not None. An action of the user's own then needs no parameters that the caller does not use."""
    return {name: value for name, value in facts.items() if value is not None}


def facts_of_claims(options: TokenOptions, claims: Claims, moment: datetime) -> dict[str, Any]:
    """Return the claims of a token as attributes of its record."""
    return {
        "jti": claims.jti,
        "subject": claims.owner,
        "family": claims.family,
        "expires_at": claims.expires_at or longest_expiry(options, moment, claims.issued_at),
    }


def revocation_of(options: TokenOptions, claims: Claims, moment: datetime, reason: str) -> dict[str, Any]:
    """Return the attributes of the record that revokes a token."""
    values = facts_of_claims(options, claims, moment)
    if values["expires_at"] <= moment:
        # The record of an expired token would go with the next sweep, and a token that lives longer under its jti would live.
        values["expires_at"] = options.kept_until(moment)
    return {**values, "purpose": REVOCATION, "revoked_at": moment, "revocation_reason": reason}


@record_function
async def revoke(resource: Any, token: str, *, family: bool | None = None, reason: str | None = None) -> Any:
    """Revoke a token and return its record. The token may be revoked already, never stored, or expired.

    If the resource has keys, the signature is verified first, for promise P5 (only verified tokens write). Without keys, the caller must
    have verified the token. The token's family ends too unless ``family=False``. reason: ``"revoked"`` unless given; the first one stays,
    by promise P6 (facts only grow).
    Returns when the record is durable. Raises InvalidToken for a malformed or forged token, and a DataLayerError if the store fails, by
    promise P4 (writes fail loud).
    """
    tokens, text = tokens_of(resource), as_token(token)
    await keys_ready(tokens.options, text)
    if tokens.revoke_is_own and reason is None and (family is None or type(family) is bool):
        return await again(tokens, lambda: _revoke(tokens, text, ends_family=family is not False))
    name, facts = tokens.options.revocation.revoke_token_action_name, given(family=family, reason=reason)
    return await again(tokens, lambda: run_action(resource, name, {"token": text, **facts}))


async def _revoke(tokens: Tokens, token: str, *, ends_family: bool) -> Any:
    """Do what the extension's own action does, with one statement that is already compiled."""
    moment = utc_now()
    claims = trusted_claims(tokens.options, token)
    row = tokens.row(moment, **revocation_of(tokens.options, claims, moment, "revoked"))
    family = claims.sign_in if ends_family else None
    if family is None:
        return tokens.runtime.record(*await tokens.write("revoke", [row]))
    async with tokens.store.transaction():
        record = tokens.runtime.record(*await tokens.write("revoke", [row]))
        await tokens.end_family(family, "revoked", moment, row["expires_at"])
        return record


@record_function
async def revoke_jti(
    resource: Any,
    jti: str | tuple[str, str],
    *,
    subject: str | tuple[str, str] | None = None,
    expires_at: datetime | None = None,
    reason: str | None = None,
    family: bool | str | tuple[str, str] = False,
) -> Any:
    """Revoke the token with this jti and return its record.

    jti: ``(issuer, jti)`` for a token of one of several providers; family and subject likewise.
    expires_at: aware; the expiry of the token, if it is known. Otherwise the record is kept for the longest lifetime of a token
    (``max_lifetime``), or without limit. A later stored expiry is kept. subject: a stored one is kept.
    family: the name of the token's family, which ends too; true: the name that its record has.
    Raises Invalid if the value cannot be a jti, NotFound if ``family`` is true and no record has its name; nothing is written then.
    """
    tokens = tokens_of(resource)
    name = tokens.options.revocation.revoke_jti_action_name
    jti, family = scope_of(jti), scope_of(family)  # type: ignore[assignment]  # what is no pair stays, and is checked below
    if isinstance(subject, tuple):
        jti = scope_of((subject[0], jti))  # type: ignore[assignment]  # as above
        family = scope_of((subject[0], family)) if isinstance(family, str) else family  # type: ignore[assignment]  # as above
        subject = owner_of(tokens.options, subject)  # type: ignore[assignment]  # as above
    facts = {"jti": jti, **given(subject=subject, expires_at=expires_at, reason=reason)}
    ended = await _family_to_end(tokens, jti, family)
    if ended is None:
        return await run_action(resource, name, facts)

    async def revoke_both() -> Any:
        async with tokens.store.transaction():
            record = await run_action(resource, name, facts)
            await tokens.end_family(ended, reason or "revoked", utc_now(), record.expires_at)
            return record

    return await again(tokens, revoke_both)


async def _family_to_end(tokens: Tokens, jti: object, family: object) -> str | None:
    if family is None or family is False:
        return None
    name = tokens.runtime.info.name
    if family is not True:
        if problem := refused_text(family, _ENTRY):
            raise InvalidArgument(FieldFinding("family", f"{problem}, or true"), resource=name, action="revoke_jti")
        return str(family)
    rows = [] if refused_jti(jti) else list(await tokens.whole(str(jti)))
    found: str | None = next((row["family"] for row in rows if row["family"] is not None), None)
    if found is None and not refused_jti(jti):
        message = "is not known for this jti; give its name, the claim fam of the token"
        raise NotFound(FieldFinding("family", message), resource=name, action="revoke_jti")
    return found


@function
async def revoke_jtis(resource: Any, rows: Iterable[RevokedJti]) -> int:
    """Revoke many jtis, as an import does, and return the number of written records.

    All rows are checked before the first is written: Invalid has a finding for each wrong row. A thousand rows are written in each
    transaction. If the store fails in between, the whole call may be repeated.
    """
    tokens = tokens_of(resource)
    given_rows = _listed(rows)
    findings = [finding for index, row in enumerate(given_rows) for finding in _wrong(f"rows.{index}", row)]
    if findings:
        raise InvalidArgument(findings, resource=resource.__name__, action="revoke_jtis")
    moment, written = utc_now(), 0
    for start in range(0, len(given_rows), _BATCH):
        batch = [_imported(tokens, row, moment) for row in given_rows[start : start + _BATCH]]
        stored = await tokens.write("revoke", batch)
        await notify_rows(tokens.runtime, tokens.options.revocation.revoke_jti_action_name, "create", stored)
        written += len(stored)
    return written


def _listed(rows: object) -> list[Any]:
    if isinstance(rows, Iterable) and not isinstance(rows, (str, bytes, Mapping)):
        return list(rows)
    raise InvalidArgument(FieldFinding("rows", "must be a collection of RevokedJti"), action="revoke_jtis")


def _wrong(path: str, row: object) -> Iterator[FieldFinding]:
    """Yield a finding for each problem of one row of an import."""
    if not isinstance(row, RevokedJti):
        yield FieldFinding(path, "must be a RevokedJti")
        return
    if problem := refused_jti(row.jti):
        yield FieldFinding(f"{path}.jti", problem)
    if row.expires_at is not None and not is_moment(row.expires_at):
        yield FieldFinding(f"{path}.expires_at", "must be a date and time with a time zone")
    if row.subject is not None and (problem := refused_subject(row.subject)):
        yield FieldFinding(f"{path}.subject", problem)


def _imported(tokens: Any, row: RevokedJti, moment: datetime) -> Row:
    made: Row = tokens.row(
        moment,
        jti=row.jti,
        subject=row.subject,
        purpose=REVOCATION,
        expires_at=row.expires_at or tokens.options.kept_until(moment),
        revoked_at=moment,
        revocation_reason="revoked",
    )
    return made


async def revoke_stored(cls: Any, subject: str, purposes: list[str] | None = None) -> int:
    """Revoke all stored tokens of a subject that are not revoked yet, and end its recorded sessions: the extension's own action.

    subject: of the tokens. purposes: only tokens of these; of all purposes unless given.
    Notifiers, if there are any, get each record.
    """
    tokens = tokens_of(cls)
    name = tokens.options.revocation.revoke_all_stored_for_subject_action_name
    returning = bool(notifiers_of(tokens.runtime, name))
    wanted = () if purposes is None else tuple(f"purpose{position}" for position in range(len(purposes)))
    live = (Field("subject") == Param("subject")) & Field("revoked_at").is_none()
    if purposes is None:
        live = live & (not_reserved() | is_session())
    elif "refresh" in purposes:
        live = live & (not_reserved() & Field("purpose").in_(tuple(map(Param, wanted))) | is_session())
    else:
        live = live & not_reserved() & Field("purpose").in_(tuple(map(Param, wanted)))
    written: dict[str, Expression] = {
        "revoked_at": Param("now"),
        "updated_at": Param("now"),
        "revocation_reason": Param("reason"),
        "expires_at": Greatest(
            (Field("expires_at"), Param("until"))
        ),  # the stored expiry may be that of another token with this jti, which expires earlier
    }
    plan = tokens.runtime.plan(
        ("tokens", "revoke stored", None if purposes is None else (len(wanted), "refresh" in purposes), returning),
        lambda: Update(live, written, returning=returning),
    )
    now = utc_now()
    params = {"subject": subject, "now": now, "until": tokens.options.kept_until(now), "reason": "revoked"}
    params |= dict(zip(wanted, purposes or (), strict=True))
    result = await tokens.store.update(plan, params)
    await notify_rows(tokens.runtime, name, "update", result.rows)
    return result.count


@function
async def revoke_all_stored_for_subject(
    resource: Any, subject: str | tuple[str, str], *, purposes: Iterable[str] | None = None
) -> int:
    """Revoke all stored tokens of a subject that are not revoked yet, in one statement, and return their number.

    Recorded sessions end too, and count. purposes: only these; sessions end with ``"refresh"``. Tokens of no recorded session that were never stored stay valid; ``log_out_everywhere`` ends those too.
    """
    name = tokens_of(resource).options.revocation.revoke_all_stored_for_subject_action_name
    wanted: object = [purposes] if isinstance(purposes, str) else list(purposes) if isinstance(purposes, Iterable) else purposes
    owner = owner_of(tokens_of(resource).options, subject)
    count: int = await run_action(resource, name, {"subject": owner, **given(purposes=wanted)})
    return count
