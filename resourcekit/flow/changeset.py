"""What an action is about to write, as a plain value; it knows neither its action nor its resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import attrs

from resourcekit.errors import FieldFinding
from resourcekit.flow.context import Context
from resourcekit.flow.expression import Expression, all_of, as_expression

__all__ = ["AfterAction", "AfterTransaction", "BeforeHook", "Changeset", "Hooks"]

BeforeHook = Callable[["Changeset", Context], "Changeset | Awaitable[Changeset]"]
AfterAction = Callable[["Changeset", Any, Context], Any]
"""``after_action(changeset, record, context)`` returns the record, changed or not. Any: it may be awaitable."""

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


_NO_HOOKS = Hooks()


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
    record: the record as it was read; ``None`` for creates, and for updates that need not read.
    condition: what must hold of the stored record besides its key, else StaleRecord.
    findings: what is wrong so far.

    Its ``repr`` shows the names of arguments and values, never the values themselves.
    """

    kind: Literal["create", "update", "destroy"]
    arguments: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=_names)
    values: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=_names)
    atomics: Mapping[str, Expression] = attrs.field(default=_NOTHING, repr=_names)
    record: Any = None
    condition: Expression | None = attrs.field(default=None, repr=False)
    findings: tuple[FieldFinding, ...] = ()
    hooks: Hooks = _NO_HOOKS
    metadata: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=_names)

    def set(self, **values: object) -> Changeset:
        """Write these values."""
        return attrs.evolve(self, values={**self.values, **values})

    def set_new(self, **values: object) -> Changeset:
        """Write these values where none is given yet."""
        return attrs.evolve(self, values={**values, **self.values})

    def set_atomic(self, **expressions: object) -> Changeset:
        """Let the store compute these values from the record it holds."""
        given = {name: as_expression(expression) for name, expression in expressions.items()}
        return attrs.evolve(self, atomics={**self.atomics, **given})

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
        """Return the value an attribute will have: the one to write, else that of the record as it was read."""
        if name in self.values:
            return self.values[name]
        return getattr(self.record, name, default)

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
