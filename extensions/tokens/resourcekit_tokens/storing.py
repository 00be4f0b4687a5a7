"""The functions that keep and find the facts of tokens: store, get, pending changes, all of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resourcekit import query, utc_now
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.extending import Field, function, maybe_record_function, record_function, records_function, run_action
from resourcekit_tokens.compact import as_token
from resourcekit_tokens.revoking import given
from resourcekit_tokens.tokens import tokens_of

__all__ = ["get_confirmation_changes", "get_token", "store_confirmation_changes", "store_token", "tokens_for_subject"]


@record_function
async def store_token(
    resource: Any,
    token: str,
    *,
    purpose: str | None = None,
    extra_data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Any:
    """Store what a token says of itself (never the token) and return the record; a revoked one stays revoked (P1).

    purpose: the token's own wins, else this, else ``"user"``. extra_data: further facts, a JSON object.
    values: attributes of your own. Raises InvalidToken, and WrongPurpose where token and caller contradict each other.
    """
    options = tokens_of(resource).options
    facts = {"token": as_token(token), **given(purpose=purpose, extra_data=_plain(extra_data))}
    return await run_action(resource, options.store_token_action_name, {**facts, **_own(resource, values)})


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
async def get_token(resource: Any, *, token: str | None = None, jti: str | None = None, purpose: str | None = None) -> Any:
    """Return the record of a token, or of a jti, ``None`` where there is none or it has expired; revoked ones count.

    Raises InvalidArgument where neither is given, InvalidToken for garbage.
    """
    if token is None and jti is None:
        finding = FieldFinding("token", "is required, or jti is")
        raise InvalidArgument(finding, resource=resource.__name__, action="get_token")
    name, text = tokens_of(resource).options.get_token_action_name, None if token is None else as_token(token)
    return await run_action(resource, name, given(token=text, jti=jti, purpose=purpose))


@record_function
async def store_confirmation_changes(resource: Any, token: str, changes: Mapping[str, Any], *, purpose: str = "confirm") -> Any:
    """Keep changes, a JSON object, until their confirmation token is used; later ones take the place of earlier ones."""
    name = tokens_of(resource).options.confirmation.store_changes_action_name
    return await run_action(resource, name, {"token": as_token(token), "changes": _plain(changes), "purpose": purpose})


@function
async def get_confirmation_changes(resource: Any, *, jti: str, purpose: str = "confirm") -> dict[str, Any] | None:
    """Return the changes that wait under a jti; ``None`` once they are used, revoked or expired."""
    tokens = tokens_of(resource)
    record = await run_action(resource, tokens.options.confirmation.get_changes_action_name, {"jti": jti, "purpose": purpose})
    if record is None or (tokens.store.outside() is not None and await tokens.is_recorded(jti)):
        return None
    changes: dict[str, Any] | None = record.extra_data
    return changes


@records_function
async def tokens_for_subject(resource: Any, subject: str) -> list[Any]:
    """Return the live stored tokens of a subject, newest first: not revoked, not ended by a cut-off or with their family.

    A record does not hold its token's ``iat``: a cut-off ends those that were stored before it.
    """
    tokens = tokens_of(resource)
    live = query(resource).filter(Field("subject") == subject, Field("revoked_at").is_none(), Field("expires_at") > utc_now())
    created = Field(tokens.options.created_at_attribute_name)
    return await tokens.without_ended(subject, await live.sort(created.desc(), Field("jti").desc()).all.aio())
