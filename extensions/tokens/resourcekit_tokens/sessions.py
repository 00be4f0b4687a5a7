"""Sessions: the record of each sign-in, under the key of its family, and the functions that list and end sessions.

Open it to change what a record keeps, what a session shows, or how it ends. Number, last use, expiry and values of a live record
only move forward; a compare and set on it decides which rotation wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, NotFound
from resourcekit.extending import (
    CastError,
    Field,
    Greatest,
    KnownNames,
    Param,
    Row,
    Select,
    Update,
    compile_cast,
    did_you_mean,
    function,
    notifiers_of,
    notify_rows,
)
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.options import own_attributes
from resourcekit_tokens.pairs import TokenPair
from resourcekit_tokens.revocation_rules import SESSION, TokenFacts, family_key, is_session, refused_subject, refused_text
from resourcekit_tokens.tokens import Tokens, tokens_of
from resourcekit_tokens.verification import owner_of, scope_of

__all__ = [
    "TokenSession",
    "advance_session",
    "begin_session",
    "checked_values",
    "end_session",
    "newest_session",
    "sessions",
    "signed_in_at",
]


@attrs.frozen
class TokenSession(KnownNames):
    """One sign-in with all its rotations, as ``sessions`` returns it.

    family: its name, for ``end_session``. subject: whose it is. signed_in_at: time of the sign-in. last_used_at: time of the last
    refresh. expires_at: when the last of its tokens expires. values: your own attributes of its record.
    """

    family: str = attrs.field(repr=False)
    subject: str = attrs.field(repr=False)
    signed_in_at: datetime
    last_used_at: datetime
    expires_at: datetime
    values: Mapping[str, Any] = attrs.field(repr=False)


_STEPS = 2
"""Rotations that a record keeps: that of the current refresh token, and the one before."""


def checked_values(tokens: Tokens, given: object, *, action: str, is_recorded: bool = True) -> dict[str, Any]:
    """Return ``session_values`` cast to the types of the user's attributes. Raises InvalidArgument, a finding for each wrong one.

    is_recorded: whether there is a record that can hold them.
    """
    name, info = tokens.runtime.info.name, tokens.runtime.info
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidArgument(
            FieldFinding("session_values", "must map names of attributes to values"), resource=name, action=action
        )
    if given and not (is_recorded and tokens.options.sessions):
        what = "needs a subject" if tokens.options.sessions else "is for recorded sessions; set TokenResource(sessions=True)"
        raise InvalidArgument(FieldFinding("session_values", what), resource=name, action=action)
    known, values, findings = own_attributes(info, tokens.options), dict[str, Any](), list[FieldFinding]()
    for attribute, value in given.items():
        if attribute not in known:
            hint = did_you_mean(str(attribute), known)
            findings.append(FieldFinding(f"session_values.{attribute}", f"is no attribute of your own. {hint}".rstrip()))
            continue
        try:
            values[attribute] = compile_cast(info.attributes[attribute].type, info.attributes[attribute].constraints)(value)
        except CastError as error:
            findings += error.findings(f"session_values.{attribute}")
    if findings:
        raise InvalidArgument(findings, resource=name, action=action)
    return values


def newest_session(views: Sequence[Mapping[str, Row]], family: str) -> Row | None:
    """Return the record of a session, live or ended; of two views of it, the one with the higher number."""
    key = family_key(family)
    found = [rows[key] for rows in views if key in rows and "number" in (rows[key]["extra_data"] or {})]
    return max(found, key=lambda row: int(row["extra_data"]["number"]), default=None)


def signed_in_at(session: Row | None, old: Claims, moment: datetime) -> datetime:
    """Return when a sign-in was. Without a record of it, the time comes from the refresh token."""
    if session is not None:
        return datetime.fromisoformat(session["extra_data"]["signed_in_at"])
    return old.auth_time or old.issued_at or moment


async def begin_session(
    tokens: Tokens,
    pair: TokenPair,
    moment: datetime,
    values: Mapping[str, Any],
    *,
    signed_in: datetime | None = None,
    step: Mapping[str, Any] | None = None,
    action: str = "issue_pair",
) -> bool:
    """Write the record of a session. Return false if there is one already.

    signed_in, step: if the sign-in was before its session was recorded, and this is its rotation.
    """
    refresh = pair.refresh.claims
    row = tokens.row(
        moment,
        jti=family_key(str(refresh.family)),
        subject=refresh.subject,
        purpose=SESSION,
        family=refresh.family,
        expires_at=_expiry(tokens, pair, moment),
        extra_data=_state(pair, signed_in or moment, moment, [] if step is None else [step]),
        **values,
    )
    written = await tokens.insert_first(row)
    if written is not None:
        await notify_rows(tokens.runtime, action, "create", [{**written, "family": refresh.family}])
    return written is not None


async def advance_session(
    tokens: Tokens, session: Row, pair: TokenPair, step: Mapping[str, Any], moment: datetime, values: Mapping[str, Any]
) -> bool:
    """Record a rotation, if the record has not changed since it was read. Return false if it has."""
    there = session["extra_data"]
    steps = [*there["steps"], step][-_STEPS:]
    last_used = max(moment, datetime.fromisoformat(there["last_used_at"]))
    state = _state(pair, datetime.fromisoformat(there["signed_in_at"]), last_used, steps)
    names, notified = sorted(values), bool(notifiers_of(tokens.runtime, "rotate"))
    unchanged = (Field("jti") == Param("jti")) & Field("revoked_at").is_none() & (Field("extra_data") == Param("was"))
    written = {name: Param(f"own_{name}") for name in names} | {"extra_data": Param("state"), "updated_at": Param("now")}
    assignments = written | {"expires_at": Greatest((Field("expires_at"), Param("until")))}
    plan = tokens.runtime.plan(
        ("tokens", "advance session", tuple(names), notified), lambda: Update(unchanged, assignments, returning=notified)
    )
    params = {"jti": session["jti"], "was": there, "state": state, "now": moment, "until": _expiry(tokens, pair, moment)}
    result = await tokens.store.update(plan, params | {f"own_{name}": values[name] for name in names})
    await notify_rows(tokens.runtime, "rotate", "update", result.rows)
    return bool(result.count)


def _state(pair: TokenPair, signed_in: datetime, last_used: datetime, steps: list[Mapping[str, Any]]) -> dict[str, Any]:
    refresh = pair.refresh.claims
    return {
        "signed_in_at": signed_in.astimezone(UTC).isoformat(),
        "last_used_at": last_used.astimezone(UTC).isoformat(),
        "number": refresh.number,
        "refresh": refresh.jti,
        "iat": refresh["iat"],
        "generation": refresh.generation,
        "steps": [dict(step) for step in steps],
    }


def _expiry(tokens: Tokens, pair: TokenPair, moment: datetime) -> datetime:
    """Return when the last of both tokens expires."""
    return max(each.claims.expires_at or tokens.options.kept_until(moment) for each in (pair.access, pair.refresh))


_ENTRY = 255
"""Maximum length of a family or a reason in code points, as in tokens."""


@function
async def sessions(resource: Any, subject: str) -> list[TokenSession]:
    """Return the live sessions of a subject, newest first.

    A session is live until it expires, is ended, or its tokens are ended by ``log_out_everywhere``.
    Raises InvalidArgument if the resource does not record sessions.
    """
    tokens = tokens_of(resource)
    if problem := refused_subject(subject):
        raise InvalidArgument(FieldFinding("subject", problem), resource=resource.__name__, action="sessions")
    _require_sessions(tokens, "sessions")
    live = (Field("subject") == Param("subject")) & (Field("expires_at") > Param("now")) & is_session()
    plan = tokens.runtime.plan(("tokens", "sessions"), lambda: Select(live))
    rows = await tokens.store.select(plan, {"subject": subject, "now": utc_now()})
    facts = [_facts(tokens, subject, row) for row in rows]
    ended = await tokens.ended(subject, facts)
    found = [_session(tokens, row) for row, of_row in zip(rows, facts, strict=True) if of_row.jti not in ended]
    return sorted(found, key=lambda session: (session.signed_in_at, session.family), reverse=True)


def _require_sessions(tokens: Tokens, action: str) -> None:
    if not tokens.options.sessions:
        finding = FieldFinding("sessions", "are not recorded here; set TokenResource(sessions=True)")
        raise InvalidArgument(finding, resource=tokens.runtime.info.name, action=action)


def _facts(tokens: Tokens, subject: str, row: Row) -> TokenFacts:
    """Return the facts by which a session ends: those of its present tokens. Its record has the key of its family."""
    state = row["extra_data"]
    issued_at = datetime.fromtimestamp(state["iat"], UTC)
    return TokenFacts(row["jti"], subject, issued_at, row["family"], state["generation"], tokens.options.iat_tolerance)


def _session(tokens: Tokens, row: Row) -> TokenSession:
    own, state = own_attributes(tokens.runtime.info, tokens.options), row["extra_data"]
    return TokenSession(
        family=row["family"],
        subject=row["subject"],
        signed_in_at=datetime.fromisoformat(state["signed_in_at"]),
        last_used_at=datetime.fromisoformat(state["last_used_at"]),
        expires_at=row["expires_at"],
        values={name: row[name] for name in own},
    )


@function
async def end_session(
    resource: Any,
    family: str | tuple[str, str],
    *,
    subject: str | tuple[str, str] | None = None,
    reason: str | None = None,
) -> None:
    """End one session: its access and refresh tokens are revoked at once. A session that has ended already stays as it is.

    family: of the session; ``(issuer, family)`` for one of several providers, for example the `iss` and `sid` of a log-out token
    (OpenID Connect Back-Channel Logout). subject: likewise; whose session it must be. Without it, also an unknown family is recorded as ended, and the caller
    must have checked whose it is. reason: ``"ended"`` unless given.
    Raises NotFound if no session of that subject is recorded. Returns when the record is durable.
    """
    tokens = tokens_of(resource)
    family = cast("str", scope_of(family))
    subject = cast("str | None", subject if subject is None else owner_of(tokens.options, subject))
    findings = [FieldFinding("family", problem)] if (problem := refused_text(family, _ENTRY)) else []
    if subject is not None and (problem := refused_subject(subject)):
        findings.append(FieldFinding("subject", problem))
    if reason and (problem := refused_text(reason, _ENTRY)):
        findings.append(FieldFinding("reason", problem))
    if findings:
        raise InvalidArgument(findings, resource=resource.__name__, action="end_session")
    if subject is not None and not await _is_of(tokens, family, subject):
        message = "is no session of this subject; list them with sessions(subject)"
        raise NotFound(FieldFinding("family", message), resource=resource.__name__, action="end_session")
    row = await tokens.end_family(family, reason or "ended", utc_now())
    shown = {**row, "family": family, "subject": row["subject"] or subject}
    await notify_rows(tokens.runtime, "end_session", "update", [shown])


async def _is_of(tokens: Tokens, family: str, subject: str) -> bool:
    """Return whether a record shows that a family is a subject's, in this transaction or in the latest committed state."""
    key, outside = family_key(family), tokens.store.outside()
    rows = [*await tokens.whole(key)]
    if outside is not None:
        with outside:
            rows += await tokens.whole(key)
    return any(row["subject"] == subject for row in rows)
