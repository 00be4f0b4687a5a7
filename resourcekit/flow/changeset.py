"""What an action is about to write, as a plain value; it knows neither its action nor its resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import attrs

from resourcekit.errors import FieldFinding
from resourcekit.flow.context import Context
from resourcekit.flow.evaluation import compile_expression
from resourcekit.flow.expression import Expression, Value, all_of, as_expression
from resourcekit.flow.rewriting import with_fields

__all__ = ["NO_HOOKS", "AfterAction", "AfterTransaction", "BeforeHook", "Changeset", "Hooks"]

BeforeHook = Callable[["Changeset", Context], "Changeset | Awaitable[Changeset | None] | None"]
"""``before_...(changeset, context)`` returns the changeset, changed or not; nothing means unchanged."""

AfterAction = Callable[["Changeset", Any, Context], Any]
"""``after_action(changeset, record, context)`` returns the record, changed or not. Any: nothing means unchanged, and it may
be awaitable."""

AfterTransaction = Callable[["Changeset", Any, Context], Any]
"""``after_transaction(changeset, outcome, context)``: the outcome is the record, or the exception."""

_NOTHING: Mapping[str, Any] = {}


@attrs.frozen
class Hooks:
    """Functions that run around the write, each list in the order of adding."""

    before_transaction: tuple[BeforeHook, ...] = ()
    before_action: tuple[BeforeHook, ...] = ()
    after_action: tuple[AfterAction, ...] = ()
    after_transaction: tuple[AfterTransaction, ...] = ()


NO_HOOKS = Hooks()
"""The hooks of a changeset to which nobody added one."""


def _names(values: Mapping[str, Any]) -> str:
    # A changeset knows no attribute, so it cannot tell which values are sensitive: it shows none.
    return f"<{', '.join(values)}>"


@attrs.frozen(eq=False)
class Changeset:
    """The values to write and where they come from. Every method returns a new changeset.

    kind: ``"create"``, ``"update"`` or ``"destroy"``.
    arguments: the action's arguments, cast and validated.
    values: attribute name to value.
    atomics: attribute name to an expression that the store computes.
    defaults: of a create, what attributes will hold where nothing else is said.
    record: the record as it was read; ``None`` for creates, and for updates that need not read.
    condition: what must hold of the stored record besides its key, else StaleRecord.
    findings: what is wrong so far.

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

    def set(self, **values: object) -> Changeset:
        """Write these values."""
        atomics = {name: expression for name, expression in self.atomics.items() if name not in values}
        return attrs.evolve(self, values={**self.values, **values}, atomics=atomics)

    def set_new(self, **values: object) -> Changeset:
        """Write these values where none is given yet."""
        return self.set(**{name: value for name, value in values.items() if name not in self.values and name not in self.atomics})

    def set_atomic(self, **expressions: object) -> Changeset:
        """Let the store compute these values from the record it holds.

        A field in an expression stands for what the changeset has made of it so far, so that changes add up.
        """
        so_far = {**{name: Value(value) for name, value in self.values.items()}, **self.atomics}
        given = {name: as_expression(expression) for name, expression in expressions.items()}
        if so_far:
            given = {name: with_fields(expression, so_far) for name, expression in given.items()}
        values = {name: value for name, value in self.values.items() if name not in given}
        return attrs.evolve(self, values=values, atomics={**self.atomics, **given})

    def where(self, condition: Expression) -> Changeset:
        """Write only if this holds of the stored record; else the action raises StaleRecord."""
        return attrs.evolve(self, condition=all_of(self.condition, condition))

    def reject(self, path: str, message: str) -> Changeset:
        """Say that a field is wrong; the action then raises Invalid with all that was said."""
        return attrs.evolve(self, findings=(*self.findings, FieldFinding(path, message)))

    def note(self, **facts: object) -> Changeset:
        """Keep facts for later changes and hooks; they are not stored."""
        return attrs.evolve(self, metadata={**self.metadata, **facts})

    def get(self, name: str, default: object = None) -> Any:
        """Return the value an attribute will have: the one to write, else that of the record, else a create's default.

        What the store is to compute is computed here from the record, or for a create from the defaults.
        """
        if name in self.values:
            return self.values[name]
        if name in self.atomics and (self.record is not None or self.kind == "create"):
            return compile_expression(self.atomics[name])(_Held(self), self.arguments, _NOTHING)
        return self._held(name, default)

    def computed(self) -> Changeset:
        """Return this changeset with values in place of expressions, computed from the record as it was read."""
        return self.set(**{name: self.get(name) for name in self.atomics}) if self.atomics else self

    def _held(self, name: str, default: object = None) -> Any:
        return self.defaults.get(name, default) if self.record is None else getattr(self.record, name, default)

    def before_transaction(self, hook: BeforeHook) -> Changeset:
        """Run ``hook(changeset, context)`` before the transaction begins."""
        return self._hook(before_transaction=(*self.hooks.before_transaction, hook))

    def before_action(self, hook: BeforeHook) -> Changeset:
        """Run ``hook(changeset, context)`` inside the transaction, before the write."""
        return self._hook(before_action=(*self.hooks.before_action, hook))

    def after_action(self, hook: AfterAction) -> Changeset:
        """Run ``hook(changeset, record, context)`` inside the transaction, after the write."""
        return self._hook(after_action=(*self.hooks.after_action, hook))

    def after_transaction(self, hook: AfterTransaction) -> Changeset:
        """Run ``hook(changeset, outcome, context)`` after the commit or the failure; the outcome may be an exception."""
        return self._hook(after_transaction=(*self.hooks.after_transaction, hook))

    def _hook(self, **more: Any) -> Changeset:
        return attrs.evolve(self, hooks=attrs.evolve(self.hooks, **more))


class _Held(dict[str, Any]):
    """The fields of a changeset's record as an expression reads them; those of a record to be are its defaults."""

    def __init__(self, changeset: Changeset) -> None:
        super().__init__()
        self._changeset = changeset

    def __missing__(self, name: str) -> Any:
        """Look the field up."""
        return self._changeset._held(name)  # noqa: SLF001  # its own kind
