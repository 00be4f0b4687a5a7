"""TokenResource: the parts that the extension adds to a resource, in compile steps.

Open it to add a compile step. The checks of the user's declarations are in ``verifiers``; what is known only at run time is checked
by the validation that ``ProtectFacts`` adds, for promise P6 (facts only grow).
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import attrs

from resourcekit import (
    Changeset,
    Context,
    filter,  # noqa: A004  # the field's word
    increment,
    optimistic_lock,
    set_attribute,
    touch,
)
from resourcekit.errors import FieldFinding, UnsafeStoreWarning
from resourcekit.extending import (
    Action,
    Check,
    CreateAction,
    Expression,
    Function,
    ReadAction,
    Service,
    State,
    Template,
    TimeToLive,
    Transformer,
    UpdateAction,
    Validation,
    Value,
    Verifier,
)
from resourcekit_tokens.actions import TokenStep, default_actions
from resourcekit_tokens.doctor_checks import CHECKS, KeysCanBeRead
from resourcekit_tokens.options import TokenOptions, own_attributes, protected_attributes
from resourcekit_tokens.record import TokenRecord
from resourcekit_tokens.revocation_rules import not_reserved
from resourcekit_tokens.sweep import Expunger, GuardSweep
from resourcekit_tokens.verifiers import OnlySafeActions, TokenShape, users_writes

__all__ = [
    "ProtectFacts",
    "TokenResource",
]


@attrs.frozen
class _LeavesFactsAlone(Validation):
    """Refuses a changeset that writes an attribute of the extension, whichever step set it."""

    protected: frozenset[str]

    def validate(self, changeset: Changeset, context: Context) -> list[FieldFinding]:
        """Return a finding for each protected attribute that would be written."""
        written = sorted(self.protected & {*changeset.values, *changeset.atomics})
        return [FieldFinding(name, "is written by the token extension only; see allow_unsafe_actions") for name in written]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Return a constant: the stored record does not matter."""
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
"""Changes that write only the attribute that they name."""


class ProtectFacts(Transformer):
    """Adds a final check to the user's own updates: they must not write the extension's attributes."""

    def transform(self, state: State, options: TokenOptions) -> State:
        """Add the validation if the written attributes are known only at run time. OnlySafeActions checks the declared ones."""
        guard = _LeavesFactsAlone(protected_attributes(options))
        for action in users_writes(state, options):
            hidden = action.function is not None or not all(isinstance(step, _OPEN) for step in getattr(action, "changes", ()))
            if isinstance(action, UpdateAction) and hidden:
                state = state.replace(attrs.evolve(action, validations=(*action.validations, guard)))
        return state


class NameCreatedAt(Transformer):
    """Gives ``created_at`` its configured name."""

    def transform(self, state: State, options: TokenOptions) -> State:
        """Rename the template's attribute, unless the user declared an attribute of the new name.

        If it was inherited from TokenRecord it stays, because type checkers see it there; TokenShape refuses that.
        """
        name, usual = options.created_at_attribute_name, "created_at"
        if name == usual:
            return state
        there = state.attributes.get(usual)
        if there is not None and there.origin.declared_by != "you":
            if ("attributes", usual) not in state.history:
                return state
            state = state.remove(usual)
        inherited = TokenRecord.__info__.attributes[usual]
        return state if name in state.attributes else state.add(attrs.evolve(inherited, name=name))


class AddActions(Transformer):
    """Adds the extension's actions under their configured names. An action of the user's own with that name replaces it."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({NameCreatedAt})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Add missing actions, let creates accept the user's own attributes, and give every step its options."""
        own = own_attributes(state, options)
        for action in default_actions(options):
            if action.name not in state.entities:
                state = state.add(_taking(action, own))
        for action in state.actions.values():
            steps = tuple(_bound(step, options) for step in getattr(action, "changes", ()))
            if steps:
                state = state.replace(attrs.evolve(action, changes=steps))  # type: ignore[call-arg]  # has changes
        return state


def _taking(action: Action, own: tuple[str, ...]) -> Action:
    """Let a create of the extension accept the user's own attributes. If a value is not given, the stored one is kept."""
    if not isinstance(action, CreateAction) or action.upsert is None or not own:
        return action
    return attrs.evolve(action, accept=(*action.accept, *own), upsert=attrs.evolve(action.upsert, given=own))


def _bound(step: Any, options: TokenOptions) -> Any:
    return step.bound(options) if isinstance(step, TokenStep) else step


class HideOwnRecords(Transformer):
    """Hides cut-offs and ended families from every read."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddActions})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Add the condition that a record represents a token to every read."""
        for action in state.actions.values():
            if isinstance(action, ReadAction):
                state = state.replace(attrs.evolve(action, preparations=(*action.preparations, filter(not_reserved()))))
        return state


class LetExpire(Transformer):
    """Allows stores with an expiry of their own to remove a record as soon as the sweep may, for promise P7 (records are removed late)."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddActions})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Declare the expiry, unless notifiers or changes need each removed record."""
        action = state.actions[options.expunge_expired_action_name]
        if action.notifiers or getattr(action, "changes", ()) or state.options.get("notifiers"):
            return state
        return state.persist(TimeToLive.KEY, TimeToLive("expires_at", options.margin))


class DefineFunctions(Transformer):
    """Adds the functions to the class."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddActions})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Define each function of the template. Warn if no data layer is named, because memory loses revocations."""
        for name, value in vars(TokenRecord).items():
            if isinstance(value, Function):
                state = state.define(name, value)
        if not state.options.get("data_layer_is_named"):
            warnings.warn_explicit(
                f"{state.name} names no data layer, so revocations are kept in memory and forgotten at the next restart; "
                "write data_layer=SQL(...), or data_layer=Memory() to accept that",
                UnsafeStoreWarning,
                filename=state.origin.file,
                lineno=state.origin.line,
                module=state.module,
            )
        return state


@attrs.frozen(kw_only=True)
class TokenResource(TokenOptions):
    """Adds revocation, refresh tokens and log-out to JSON Web Tokens. Stores facts about tokens, never a token."""

    template: ClassVar[type[Template] | None] = TokenRecord
    transformers: ClassVar[tuple[type[Transformer], ...]] = (
        NameCreatedAt,
        AddActions,
        HideOwnRecords,
        ProtectFacts,
        GuardSweep,
        LetExpire,
        DefineFunctions,
    )
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (TokenShape, OnlySafeActions, KeysCanBeRead)
    services: ClassVar[tuple[type[Service], ...]] = (Expunger,)
    checks: ClassVar[tuple[type[Check], ...]] = CHECKS
