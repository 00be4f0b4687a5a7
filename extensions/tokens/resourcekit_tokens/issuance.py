"""The functions that issue tokens, and that store and find their records. Open it to change one of them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from resourcekit import query, utc_now
from resourcekit.errors import FieldFinding, InvalidArgument, StaleRecord
from resourcekit.extending import Field, function, maybe_record_function, record_function, records_function, run_action
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.log_out import generation_for
from resourcekit_tokens.pairs import ACCESS_LIFETIME, IssuedToken, PairTerms, TokenPair, keys_of, make_pair, make_token
from resourcekit_tokens.revocation import given
from resourcekit_tokens.revocation_rules import TokenFacts
from resourcekit_tokens.sessions import begin_session, checked_values
from resourcekit_tokens.signature import as_token, keys_ready
from resourcekit_tokens.tokens import Tokens, tokens_of
from resourcekit_tokens.verification import owner_of, scope_of

__all__ = [
    "get_confirmation_changes",
    "get_token",
    "issue",
    "issue_pair",
    "refuse_unstored",
    "store_confirmation_changes",
    "store_issued",
    "store_token",
    "tokens_for_subject",
]


@function
async def issue(
    resource: Any,
    subject: str | None,
    *,
    purpose: str = "user",
    lifetime: timedelta | None = None,
    claims: Mapping[str, Any] | None = None,
    extra_data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
    generation: str | None = None,
) -> IssuedToken:
    """Return a new signed token for a subject. With ``store_all_tokens``, its record is stored before the function returns.

    lifetime: that of the purpose unless given, or ``max_lifetime`` if that is shorter. claims: further claims, not those of RFC 7519.
    extra_data, values: for the stored record. generation: as ``generation`` has returned it before the credential was checked; the
    subject's current one unless given.
    Raises InvalidArgument if the token could not be verified afterwards, or if values are given for a record and none is stored;
    a DataLayerError if the generation of the subject cannot be read.
    """
    tokens = tokens_of(resource)
    keys_of(tokens)
    refuse_unstored(tokens, extra_data, values)
    current = await generation_for(tokens, subject, generation, "issue")
    issued = make_token(tokens, subject, purpose, lifetime, claims, utc_now(), generation=current)
    await store_issued(tokens, issued, extra_data, values)
    return issued


@function
async def issue_pair(
    resource: Any,
    subject: str | None,
    *,
    access_lifetime: timedelta = ACCESS_LIFETIME,
    claims: Mapping[str, Any] | None = None,
    extra_data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
    session_values: Mapping[str, Any] | None = None,
    generation: str | None = None,
) -> TokenPair:
    """Return an access token (purpose ``user``) and a refresh token of a new family. A family represents one sign-in.

    With ``sessions``, the sign-in is recorded. claims: further claims of the access token, and of the access tokens of later rotations.
    access_lifetime: of the access token. extra_data, values: for the stored records. session_values: your own attributes on the
    record of the session. generation: as ``generation`` has returned it before the credential was checked; the subject's current one
    unless given. The tokens have the claim `auth_time`, which later rotations keep.
    """
    tokens = tokens_of(resource)
    keys_of(tokens)
    refuse_unstored(tokens, extra_data, values)
    own = checked_values(tokens, session_values, action="issue_pair", is_recorded=subject is not None)
    current = await generation_for(tokens, subject, generation, "issue_pair")
    moment, longest = utc_now(), tokens.options.max_session
    terms = PairTerms(
        subject=subject,
        family=secrets.token_urlsafe(16),
        generation=current,
        number=0,
        auth_time=int(moment.timestamp()),
        life=access_lifetime,
        claims=claims,
        ends=None if longest is None else moment + longest,
    )
    pair = make_pair(tokens, terms, moment)
    is_recorded = tokens.options.sessions and subject is not None
    if tokens.options.store_all_tokens:
        async with tokens.store.transaction():  # all or none
            await store_issued(tokens, pair.access, extra_data, values)
            await store_issued(tokens, pair.refresh, extra_data, values)
            if is_recorded:
                await begin_session(tokens, pair, moment, own)
    elif is_recorded:
        await begin_session(tokens, pair, moment, own)
    return pair


async def store_issued(
    tokens: Tokens, issued: IssuedToken, extra_data: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None
) -> None:
    """Store the record of a new token, with ``store_all_tokens``."""
    if tokens.options.store_all_tokens:
        await store_token.function(tokens.resource, issued.token, extra_data=extra_data, values=values)


def refuse_unstored(tokens: Tokens, extra_data: Mapping[str, Any] | None, values: Mapping[str, Any] | None) -> None:
    """Raise InvalidArgument if values are given although no record is stored that could hold them."""
    if (extra_data or values) and not tokens.options.store_all_tokens:
        message = "is for stored tokens, and this one is not stored; set store_all_tokens=True, or call store_token with it"
        raise InvalidArgument(FieldFinding("values" if values else "extra_data", message), resource=tokens.runtime.info.name)


_INSTANT = timedelta(microseconds=1)


@record_function
async def store_token(
    resource: Any,
    token: str,
    *,
    purpose: str | None = None,
    extra_data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Any:
    """Store the claims of a token (never the token) and return the record. A revoked record stays revoked: promise P1 (monotone).

    purpose: used if the token has none; ``"user"`` unless given. extra_data: further facts, a JSON object.
    values: attributes of your own. Raises InvalidToken, also if a token of another subject is stored under the jti, and
    WrongPurpose if the purposes of token and caller differ.
    """
    options = tokens_of(resource).options
    await keys_ready(options, token)
    facts = {"token": as_token(token), **given(purpose=purpose, extra_data=_plain(extra_data))}
    return await _stored(resource, options.store_token_action_name, {**facts, **_own(resource, values)})


async def _stored(resource: Any, action: str, facts: dict[str, Any]) -> Any:
    """Run an action that stores a token. Raise InvalidToken if the statement found a record of another subject under its jti."""
    try:
        return await run_action(resource, action, facts)
    except StaleRecord:
        raise InvalidToken(
            "A token of another subject is stored under this jti. Let the issuer give each token a jti of its own.", claim="sub"
        ) from None


def _plain(facts: object) -> object:
    """Return a mapping as a dict, which is what actions take; anything else as it is, for the action to refuse."""
    return dict(facts) if isinstance(facts, Mapping) else facts


def _own(resource: Any, values: Any) -> dict[str, Any]:
    """Return the values of the user's own attributes. Raises InvalidArgument for what the extension itself writes."""
    findings: list[FieldFinding] = []
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        findings = [FieldFinding("values", "must map names of attributes to values")]
    else:
        taken = sorted(values.keys() & {"token", "purpose", "extra_data"})
        findings = [FieldFinding(name, "is no attribute of your own; values holds those") for name in taken]
    if findings:
        raise InvalidArgument(findings, resource=resource.__name__, action="store_token")
    return dict(values)


@maybe_record_function
async def get_token(
    resource: Any, *, token: str | None = None, jti: str | tuple[str, str] | None = None, purpose: str | None = None
) -> Any:
    """Return the record of a token, or of a jti; ``None`` if there is none or it has expired. Revoked records are returned too.

    jti: ``(issuer, jti)`` for a token of one of several providers.
    Raises InvalidArgument if neither is given, InvalidToken for a malformed or forged token.
    """
    if token is None and jti is None:
        finding = FieldFinding("token", "is required, or jti is")
        raise InvalidArgument(finding, resource=resource.__name__, action="get_token")
    options, text = tokens_of(resource).options, None if token is None else as_token(token)
    name = options.get_token_action_name
    await keys_ready(options, text)
    return await run_action(resource, name, given(token=text, jti=scope_of(jti), purpose=purpose))


@record_function
async def store_confirmation_changes(resource: Any, token: str, changes: Mapping[str, Any], *, purpose: str = "confirm") -> Any:
    """Store changes, a JSON object, until their confirmation token is used. Later changes replace earlier ones.

    Raises InvalidToken, also if a token of another subject is stored under the jti.
    """
    name = tokens_of(resource).options.confirmation.store_changes_action_name
    await keys_ready(tokens_of(resource).options, token)
    return await _stored(resource, name, {"token": as_token(token), "changes": _plain(changes), "purpose": purpose})


@function
async def get_confirmation_changes(resource: Any, *, jti: str, purpose: str = "confirm") -> dict[str, Any] | None:
    """Return the changes that wait under a jti; ``None`` once their token is used, has expired, or was ended in any way."""
    tokens = tokens_of(resource)
    record = await run_action(resource, tokens.options.confirmation.get_changes_action_name, {"jti": jti, "purpose": purpose})
    if record is None or await _has_ended(tokens, record):
        return None
    changes: dict[str, Any] | None = record.extra_data
    return changes


async def _has_ended(tokens: Tokens, record: Any) -> bool:
    """Return whether a record's token was ended: by a record that others committed, by a cut-off, or with its family.

    The record does not hold its token's ``iat``. The token was issued before it was stored, so a cut-off of the very moment of
    storing counts as well.
    """
    stored_at = getattr(record, tokens.options.created_at_attribute_name) - _INSTANT
    return await tokens.status(TokenFacts(record.jti, record.subject, stored_at, record.family)) is not None


@records_function
async def tokens_for_subject(resource: Any, subject: str | tuple[str, str]) -> list[Any]:
    """Return the stored tokens of a subject that are still valid, newest first: not revoked, not ended by a cut-off or with their family.

    A record does not hold its token's ``iat``: a log-out ends those that were stored before it.
    """
    tokens = tokens_of(resource)
    owner: Any = owner_of(tokens.options, subject)
    live = query(resource).filter(Field("subject") == owner, Field("revoked_at").is_none(), Field("expires_at") > utc_now())
    created = Field(tokens.options.created_at_attribute_name)
    return await tokens.without_ended(owner, await live.sort(created.desc(), Field("jti").desc()).all.aio())
