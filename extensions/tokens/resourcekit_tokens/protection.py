"""Keeps what only the extension writes out of the hands of ordinary actions (P1, P6). It knows no store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar

import attrs

from resourcekit import Changeset, Context, increment, optimistic_lock, set_attribute, touch
from resourcekit.errors import FieldFinding
from resourcekit.extending import (
    Action,
    CreateAction,
    DestroyAction,
    Expression,
    Facts,
    Field,
    Finding,
    ResourceInfo,
    State,
    Transformer,
    UpdateAction,
    Validation,
    Value,
    Verifier,
)
from resourcekit_tokens.actions import default_actions
from resourcekit_tokens.options import TokenOptions

__all__ = [
    "GuardSweep",
    "OnlySafeActions",
    "OnlyWhenDue",
    "ProtectFacts",
    "needs_records",
    "own_attributes",
    "protected_attributes",
]

_OURS = frozenset(
    {"jti", "subject", "purpose", "family", "expires_at", "revoked_at", "revocation_reason", "updated_at", "extra_data"}
)


def own_attributes(facts: Facts, options: TokenOptions) -> tuple[str, ...]:
    """Return the attributes that the user added to the template's."""
    ours = _OURS | {options.created_at_attribute_name}
    return tuple(name for name in facts.attributes if name not in ours)


def protected_attributes(options: TokenOptions) -> frozenset[str]:
    """Return the attributes that only the extension writes."""
    return (_OURS | {options.created_at_attribute_name}) - {"extra_data"}


def _users_writes(facts: Facts, options: TokenOptions) -> list[Action]:
    """Return the writing actions that are neither ours nor allowed by name."""
    ours = {action.name for action in default_actions(options)}
    return [
        action
        for action in facts.actions.values()
        if action.kind in ("create", "update", "destroy") and action.name not in ours | options.allow_unsafe_actions
    ]


@attrs.frozen
class _LeavesFactsAlone(Validation):
    """Refuses a changeset that writes what only the extension writes, whichever step put it there."""

    protected: frozenset[str]

    def validate(self, changeset: Changeset, context: Context) -> list[FieldFinding]:
        """Find each protected attribute that would be written."""
        written = sorted(self.protected & {*changeset.values, *changeset.atomics})
        return [FieldFinding(name, "is written by the token extension only; see allow_unsafe_actions") for name in written]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Decide here: nothing of the stored record matters."""
        return Value(not self.validate(changeset, context))


_OPEN: tuple[type, ...] = tuple(
    type(change)
    for change in (
        set_attribute("name", None),
        increment("name"),
        touch("name"),
        optimistic_lock("name"),
    )
)
"""Changes that write what they name, and nothing else."""


class ProtectFacts(Transformer):
    """Gives updates of the user's own a last check that they leave the extension's attributes alone."""

    def transform(self, state: State, options: TokenOptions) -> State:
        """Add the validation where only running tells; what a declaration tells is refused by OnlySafeActions."""
        guard = _LeavesFactsAlone(protected_attributes(options))
        for action in _users_writes(state, options):
            hidden = action.function is not None or not all(isinstance(step, _OPEN) for step in getattr(action, "changes", ()))
            if isinstance(action, UpdateAction) and hidden:
                state = state.replace(attrs.evolve(action, validations=(*action.validations, guard)))
        return state


@attrs.frozen
class OnlyWhenDue(Validation):
    """Lets a record be destroyed once nobody can accept its token any more (P7); part of the DELETE itself."""

    margin: timedelta

    def validate(self, changeset: Changeset, context: Context) -> list[FieldFinding]:
        """Find that the record has not expired, or not for long enough."""
        is_due = changeset.record is not None and changeset.record.expires_at < context.now() - self.margin
        return [] if is_due else [FieldFinding("expires_at", "has not passed by more than leeway and clock_skew")]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Require it of the stored record."""
        return Field("expires_at") < context.now() - self.margin


class GuardSweep(Transformer):
    """Gives the action that removes records, whoever declared it, the condition that they are due."""

    def transform(self, state: State, options: TokenOptions) -> State:
        """Add the validation; one that was inherited, with other options, goes."""
        action = state.actions.get(options.expunge_expired_action_name)
        if not isinstance(action, DestroyAction):
            return state
        own = tuple(validation for validation in action.validations if not isinstance(validation, OnlyWhenDue))
        return state.replace(attrs.evolve(action, validations=(*own, OnlyWhenDue(options.margin))))


def needs_records(info: ResourceInfo, options: TokenOptions) -> bool:
    """Tell whether somebody wants to see each record that a sweep removes, or has a say in it."""
    action = info.actions[options.expunge_expired_action_name]
    assert isinstance(action, DestroyAction)
    rules = [validation for validation in action.validations if not isinstance(validation, OnlyWhenDue)]
    listeners = action.notifiers or info.options.get("notifiers")
    return bool(listeners or action.changes or action.function or rules or action.transaction)


class OnlySafeActions(Verifier):
    """Refuses actions of the user's own that could revive or lose a revocation."""

    across: ClassVar[bool] = False

    def verify(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find creates, destroys, and updates that write a protected attribute."""
        for name in sorted(options.allow_unsafe_actions - set(info.actions)):
            yield Finding(
                id="RK225",
                what=f"allow_unsafe_actions names {name!r}, which is no action",
                cure="Take it out, or mend the name.",
                path=("TokenResource", "allow_unsafe_actions"),
                origin=options.origin,
            )
        for action in _users_writes(info, options):
            if isinstance(action, CreateAction):
                yield _unsafe(action, "creates records past the extension", "Use store_token(values=...), or")
            elif isinstance(action, DestroyAction):
                yield _unsafe(action, "destroys records that may not have expired", "Use expunge_expired, or")
            else:
                written = sorted(protected_attributes(options) & _written_by(action))
                if written:
                    yield _unsafe(action, f"writes {', '.join(written)}, which only the extension writes", "Leave that out, or")


def _written_by(action: Action) -> set[str]:
    """Return the attributes that an action says it writes; what a function does is checked when it runs."""
    named: set[str] = set(getattr(action, "accept", ()))
    for change in getattr(action, "changes", ()):
        named.update(getattr(change, "names", ()) or ())
        named.add(getattr(change, "name", ""))
    return named


def _unsafe(action: Any, what: str, cure: str) -> Finding:
    return Finding(
        id="RK224",
        what=what,
        why="A revoked token could come back to life.",
        cure=f"{cure} name it in TokenResource(allow_unsafe_actions={{{action.name!r}}}).",
        path=("actions", action.name),
        origin=action.origin,
    )
