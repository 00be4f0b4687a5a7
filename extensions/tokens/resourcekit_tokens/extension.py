"""TokenResource: what the extension brings to a resource, step by step. It knows no store."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import attrs

from resourcekit import filter  # noqa: A004  # the field's word
from resourcekit.errors import UnsafeStoreWarning
from resourcekit.extending import (
    Action,
    Check,
    CreateAction,
    Function,
    ReadAction,
    Service,
    State,
    Template,
    TimeToLive,
    Transformer,
    Verifier,
)
from resourcekit_tokens.actions import default_actions
from resourcekit_tokens.checks import CHECKS
from resourcekit_tokens.keyspace import not_reserved
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.protection import GuardSweep, OnlySafeActions, ProtectFacts, own_attributes
from resourcekit_tokens.record import TokenRecord
from resourcekit_tokens.shape import TokenShape
from resourcekit_tokens.steps import TokenStep
from resourcekit_tokens.sweeping import Expunger

__all__ = ["TokenResource"]


class NameCreatedAt(Transformer):
    """Gives ``created_at`` the name that the options say."""

    def transform(self, state: State, options: TokenOptions) -> State:
        """Rename the template's attribute, unless the user declared one of the new name.

        One that was inherited from TokenRecord stays, because type checkers see it there; TokenShape refuses that.
        """
        name, usual = options.created_at_attribute_name, "created_at"
        if name == usual:
            return state
        there = state.attributes.get(usual)
        if there is not None and there.origin.declared_by != "you":
            if ("attributes", usual) not in state.history:
                return state
            state = state.remove(usual)
        ours = TokenRecord.__info__.attributes[usual]
        return state if name in state.attributes else state.add(attrs.evolve(ours, name=name))


class AddActions(Transformer):
    """Adds the extension's actions under their configured names; an action of the user's own of that name wins."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({NameCreatedAt})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Add what is missing, let creates take the user's own attributes, and give every step its options."""
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
    """Let a create of ours take the user's own attributes; a value that is not given leaves a stored one alone."""
    if not isinstance(action, CreateAction) or action.upsert is None or not own:
        return action
    return attrs.evolve(action, accept=(*action.accept, *own), upsert=attrs.evolve(action.upsert, given=own))


def _bound(step: Any, options: TokenOptions) -> Any:
    return step.bound(options) if isinstance(step, TokenStep) else step


class HideOwnRecords(Transformer):
    """Keeps cut-offs and ended families out of every read."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddActions})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Give every read the condition that a record stands for a token."""
        for action in state.actions.values():
            if isinstance(action, ReadAction):
                state = state.replace(attrs.evolve(action, preparations=(*action.preparations, filter(not_reserved()))))
        return state


class LetExpire(Transformer):
    """Tells stores that can when they may free a record by themselves: when the sweep may remove it, never earlier (P7)."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddActions})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Say so, unless somebody wants to see each record go."""
        action = state.actions[options.expunge_expired_action_name]
        if action.notifiers or getattr(action, "changes", ()) or state.options.get("notifiers"):
            return state
        return state.persist(TimeToLive.KEY, TimeToLive("expires_at", options.margin))


class DefineFunctions(Transformer):
    """Puts the functions on the class."""

    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddActions})

    def transform(self, state: State, options: TokenOptions) -> State:
        """Define each function of the template, and tell once who keeps tokens in a store that forgets."""
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
    """Keeps what must be known about JSON Web Tokens and must not be shared with their holder; never a token."""

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
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (TokenShape, OnlySafeActions)
    services: ClassVar[tuple[type[Service], ...]] = (Expunger,)
    checks: ClassVar[tuple[type[Check], ...]] = CHECKS
