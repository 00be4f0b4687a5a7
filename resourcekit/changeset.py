"""Changesets: the planned write of an action as a plain value, with its hooks."""

from __future__ import annotations

import bisect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Never

import attrs

from resourcekit.call_context import Context
from resourcekit.errors import FieldFinding, InvalidArgument, UnknownName, did_you_mean
from resourcekit.expressions.calls import checked_methods
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Expression, Value, all_of, as_expression
from resourcekit.expressions.rewriting import with_fields
from resourcekit.known_names import unchangeable

__all__ = ["NO_HOOKS", "PHASES", "AfterAction", "AfterTransaction", "BeforeHook", "Changeset", "Hooks"]

BeforeHook = Callable[["Changeset", Context], "Changeset | Awaitable[Changeset | None] | None"]
"""``before_...(changeset, context)`` returns the changeset, changed or not; ``None`` means unchanged."""

AfterAction = Callable[["Changeset", Any, Context], Any]
"""``after_action(changeset, record, context)`` returns the record, changed or not. Any: the result may be ``None``, which means
unchanged, and it may be awaitable.
"""

AfterTransaction = Callable[["Changeset", Any, Context], Any]
"""``after_transaction(changeset, outcome, context)``; the outcome is the record, or the exception."""

_NOTHING: Mapping[str, Any] = {}

Phase = Literal["early", "normal", "last"]
PHASES: tuple[Phase, ...] = ("early", "normal", "last")
"""The phases of hooks and notifiers, in their order."""


@attrs.frozen
class Hooks:
    """Functions that run around a write, each tuple in the order in which they run.

    phases: the phase of each function, by the name of its tuple.
    """

    before_transaction: tuple[BeforeHook, ...] = ()
    before_action: tuple[BeforeHook, ...] = ()
    after_action: tuple[AfterAction, ...] = ()
    after_transaction: tuple[AfterTransaction, ...] = ()
    phases: Mapping[str, tuple[int, ...]] = attrs.field(default=_NOTHING, repr=False)

    def adding(self, kind: str, hook: Callable[..., Any], phase: Phase) -> Hooks:
        """Return these hooks with one more, after all of its own and of earlier phases."""
        held: tuple[Callable[..., Any], ...] = getattr(self, kind)
        number, phases = PHASES.index(phase), self.phases.get(kind, ())
        place = bisect.bisect_right(phases, number)
        more: dict[str, Any] = {kind: (*held[:place], hook, *held[place:])}
        return attrs.evolve(self, **more, phases={**self.phases, kind: (*phases[:place], number, *phases[place:])})


NO_HOOKS = Hooks()
"""The hooks of a changeset without hooks."""


def _names(values: Mapping[str, Any]) -> str:
    # A changeset has no information on which attributes are sensitive, so it shows no values.
    return f"<{', '.join(values)}>"


@checked_methods(without=("computed", "get", "note", "set", "set_atomic", "set_new", "where"))
@unchangeable("a changeset", "return another one: return changeset.set(status='open')")
@attrs.frozen(eq=False)
class Changeset:
    """A planned write: values, conditions and hooks. Every method returns a new changeset.

    kind: ``"create"``, ``"update"`` or ``"destroy"``.
    arguments: the action's arguments, cast and validated.
    values: attribute name to value.
    atomics: attribute name to an expression that the store computes.
    defaults: of a create: the values of attributes that are not set otherwise.
    record: the record as it was read; ``None`` for creates, and for updates that need not read.
    condition: a condition that the stored record must meet besides its key, else StaleRecord.
    findings: the problems found so far.
    moment: the time of the action, the same for all its writes; ``None`` for a changeset made by hand.
    resource: the resource class; ``None`` for a changeset made by hand.
    action: the name of the action; ``""`` for a changeset made by hand.

    Its ``repr`` shows the names of arguments and values, never the values themselves.
    """

    kind: Literal["create", "update", "destroy"]
    arguments: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=_names)
    values: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=_names)
    atomics: Mapping[str, Expression] = attrs.field(default=_NOTHING, repr=_names)
    defaults: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=_names)
    record: Any = None
    condition: Expression | None = attrs.field(default=None, repr=False)
    findings: tuple[FieldFinding, ...] = ()
    hooks: Hooks = NO_HOOKS
    metadata: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=_names)
    moment: datetime | None = None
    resource: Any = None
    action: str = ""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise UnknownName, an AttributeError, with a similar name as suggestion."""
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            raise UnknownName(f"a changeset has no {name!r}. {did_you_mean(name, known)}", name=name, obj=self)

    def set(self, *unnamed: Never, **values: object) -> Changeset:
        """Write these values. Raise InvalidArgument for values without names."""
        if unnamed:
            raise self._unnamed("set")
        atomics = {name: expression for name, expression in self.atomics.items() if name not in values}
        return attrs.evolve(self, values={**self.values, **values}, atomics=atomics)

    def set_new(self, *unnamed: Never, **values: object) -> Changeset:
        """Write these values if the attributes have no value yet."""
        if unnamed:
            raise self._unnamed("set_new")
        return self.set(**{name: value for name, value in values.items() if name not in self.values and name not in self.atomics})

    def set_atomic(self, *unnamed: Never, **expressions: object) -> Changeset:
        """Let the store compute these values from the stored record.

        A field in an expression means its value after the earlier steps of this changeset, so that changes add up.
        """
        if unnamed:
            raise self._unnamed("set_atomic")
        so_far = {**{name: Value(value) for name, value in self.values.items()}, **self.atomics}
        given = {name: as_expression(expression) for name, expression in expressions.items()}
        if so_far:
            given = {name: with_fields(expression, so_far) for name, expression in given.items()}
        values = {name: value for name, value in self.values.items() if name not in given}
        return attrs.evolve(self, values=values, atomics={**self.atomics, **given})

    def where(self, condition: Expression) -> Changeset:
        """Write only if this condition holds for the stored record; else the action raises StaleRecord."""
        return attrs.evolve(self, condition=all_of(self.condition, condition))

    def reject(self, path: str, message: str) -> Changeset:
        """Reject the input: add a finding on a field. The action then raises Invalid with all findings."""
        return attrs.evolve(self, findings=(*self.findings, FieldFinding(path, message)))

    def note(self, *unnamed: Never, **facts: object) -> Changeset:
        """Keep facts for later changes and hooks. They are not stored."""
        if unnamed:
            raise self._unnamed("note")
        return attrs.evolve(self, metadata={**self.metadata, **facts})

    def get(self, name: str, default: object = None) -> Any:
        """Return the value an attribute will have: the value to write, else that of the record, else a create's default.

        An expression is computed here from the record, or for a create from the defaults.
        """
        if name in self.values:
            return self.values[name]
        if name in self.atomics and (self.record is not None or self.kind == "create"):
            return compile_expression(self.atomics[name])(_Held(self), self.arguments, _NOTHING)
        return self._held(name, default)

    def computed(self) -> Changeset:
        """Return this changeset with values instead of expressions, computed from the record as it was read."""
        return self.set(**{name: self.get(name) for name in self.atomics}) if self.atomics else self

    def _unnamed(self, method: str) -> InvalidArgument:
        return InvalidArgument(f"{method} takes values by name: changeset.{method}(status='open')", action=self.action)

    def _held(self, name: str, default: object = None) -> Any:
        return self.defaults.get(name, default) if self.record is None else getattr(self.record, name, default)

    def before_transaction(self, hook: BeforeHook, *, phase: Phase = "normal") -> Changeset:
        """Run ``hook(changeset, context)`` before the transaction begins. phase: see ``after_action``."""
        return self._hook("before_transaction", hook, phase)

    def before_action(self, hook: BeforeHook, *, phase: Phase = "normal") -> Changeset:
        """Run ``hook(changeset, context)`` inside the transaction, before the write. phase: see ``after_action``."""
        return self._hook("before_action", hook, phase)

    def after_action(self, hook: AfterAction, *, phase: Phase = "normal") -> Changeset:
        """Run ``hook(changeset, record, context)`` inside the transaction, after the write.

        phase: ``"early"`` runs before all normal hooks of this kind, ``"last"`` after them, whichever step adds them. Within a
            phase, hooks run in the order in which they were added.
        """
        return self._hook("after_action", hook, phase)

    def after_transaction(self, hook: AfterTransaction, *, phase: Phase = "normal") -> Changeset:
        """Run ``hook(changeset, outcome, context)`` after the commit or the failure; the outcome may be an exception.

        phase: see ``after_action``.
        """
        return self._hook("after_transaction", hook, phase)

    def _hook(self, kind: str, hook: Callable[..., Any], phase: Phase) -> Changeset:
        if not callable(hook):
            raise InvalidArgument(f"{kind} takes a function, not {type(hook).__name__}", action=self.action)
        if phase not in PHASES:
            raise InvalidArgument(f"phase is one of {', '.join(map(repr, PHASES))}, not {phase!r}", action=self.action)
        return attrs.evolve(self, hooks=self.hooks.adding(kind, hook, phase))


class _Held(dict[str, Any]):
    """The fields that expressions of a changeset read: those of its record; for a create, the defaults."""

    def __init__(self, changeset: Changeset) -> None:
        super().__init__()
        self._changeset = changeset

    def __missing__(self, name: str) -> Any:
        """Return the value of a field."""
        return self._changeset._held(name)  # noqa: SLF001  # its own kind
