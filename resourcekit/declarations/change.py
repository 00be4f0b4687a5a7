"""Changes: steps of a write that set values. Has the interfaces and the built-in changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

import attrs

from resourcekit.call_context import Context
from resourcekit.changeset import Changeset
from resourcekit.clock import utc_now
from resourcekit.dsl.builder import checked_builder
from resourcekit.errors import MissingMethod
from resourcekit.expressions.context_nodes import ContextValue
from resourcekit.expressions.functions import coalesce
from resourcekit.expressions.nodes import Argument, Expression, Field, Now, Value
from resourcekit.expressions.rewriting import children, substitute

__all__ = [
    "AtomicChange",
    "BatchChange",
    "Change",
    "ChangeFunction",
    "increment",
    "is_fixed",
    "optimistic_lock",
    "set_attribute",
    "set_new_attribute",
    "touch",
]


class Change:
    """A change as an object. Every change has ``change``; ``atomic`` and ``batch`` are optional.

    A subclass that also defines ``atomic(changeset, context)`` (AtomicChange) can be part of one statement, without a read
    first. One that defines ``batch(changesets, context)`` (BatchChange) gets many inputs in one call.
    """

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """The attributes that it writes, with an expression each; ``None`` if the value is known only when it runs.

        Names and types are checked when the class is created. Empty unless a subclass overrides it.
        """
        return {}

    def change(self, changeset: Changeset, context: Context) -> Changeset | Awaitable[Changeset]:
        """Return the changeset with the values set."""
        raise MissingMethod.of(self, "change")


@runtime_checkable
class AtomicChange(Protocol):
    """A change that one statement can execute."""

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any] | Changeset:
        """Return attribute to expression (or value), computed by the store from the record it holds.

        Or return the changeset, with expressions (``set_atomic``), a condition (``where``) and hooks (``after_action``). If
        there are hooks inside the transaction, the record is read and locked first, so they find its old state in
        ``changeset.record``. In ``atomic`` itself, ``changeset.record`` is the record that the caller gave, if any, which may be
        outdated.
        """
        ...


@runtime_checkable
class BatchChange(Protocol):
    """A change that handles many changesets in one call."""

    def batch(self, changesets: Sequence[Changeset], context: Context) -> Any:
        """Return the changed changesets in the same order; may be awaitable."""
        ...


ChangeFunction = Callable[[Changeset, Context], Any]
"""A change as a function: ``(changeset, context) -> changeset``, sync or async. Any: the result may be awaitable."""


def _value_of(value: Any, changeset: Changeset) -> Any:
    """Return the value of a declared value: of an argument, the current time, a function's result, or the value itself."""
    if isinstance(value, Now):
        return value.at(changeset.moment or utc_now())
    if isinstance(value, Argument):
        return changeset.arguments.get(value.name)
    return value() if callable(value) and not isinstance(value, Expression) else value


@attrs.frozen
class _SetAttribute(Change):
    """Writes a value, a function's result, ``now()`` or an argument to an attribute.

    name: the attribute.
    value: the value to write.
    new: write only if the caller gave no value.
    """

    name: str
    value: Any
    new: bool = False

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """The attribute."""
        if isinstance(self.value, Expression):
            return {self.name: self.value}
        return {self.name: None if callable(self.value) else Value(self.value)}

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the value; an expression over fields is left to the store."""
        if self.new and self.name in changeset.values:
            return changeset
        value = _value_of(self.value, changeset)
        if isinstance(value, Expression):
            return changeset.set_atomic(**{self.name: substitute(value, changeset.arguments)})
        return changeset.set(**{self.name: value})

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Set the value in the statement. The stored record is used only by an expression over it."""
        if self.new and self.name in changeset.values:
            return {}
        value = _value_of(self.value, changeset)
        return {self.name: substitute(value, changeset.arguments) if isinstance(value, Expression) else value}


@attrs.frozen
class _Increment(Change):
    """Adds to a number; ``None`` counts as zero. A new record starts from the attribute's value or default."""

    name: str
    by: Any = 1

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """The attribute."""
        return {self.name: Field(self.name) + self.by}

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add to the value of the record, or to the default of a new one."""
        return changeset.set_atomic(**self.atomic(changeset, context))

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Add to the stored value, so that no addition is lost."""
        by = _value_of(self.by, changeset)
        return {self.name: coalesce(Field(self.name), by - by) + by}


@attrs.frozen
class _OptimisticLock(Change):
    """Counts versions, and refuses a write over a version that the caller has not read."""

    name: str

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """The attribute, a whole number."""
        return {self.name: Field(self.name) + 1}

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Require the version that was read, and write the next one."""
        if changeset.kind == "create":
            return changeset.set_new(**{self.name: 1})
        seen = getattr(changeset.record, self.name)
        return changeset.where(Field(self.name) == seen).set(**{self.name: seen + 1})


def is_fixed(change: object) -> bool:
    """Return whether a change is a built-in one whose atomic form is the same in each call, but for the time of the call."""
    if type(change) is _Touch:
        return True
    if type(change) is _SetAttribute:
        value = change.value
        if isinstance(value, Expression):
            return not _depends_on_call(value) and (not isinstance(value, Now) or type(value) is Now)
        return not callable(value)
    return type(change) is _Increment and isinstance(change.by, (int, float, Decimal))


def _depends_on_call(node: Expression) -> bool:
    return isinstance(node, (Argument, ContextValue)) or any(map(_depends_on_call, children(node)))


@checked_builder("set_attribute")
def set_attribute(name: str, value: Any) -> Change:
    """Write a value to an attribute: a constant, a function without arguments, ``now()``, or an expression."""
    return _SetAttribute(name, value)


@checked_builder("set_new_attribute")
def set_new_attribute(name: str, value: Any) -> Change:
    """Write a value to an attribute if the caller gave none."""
    return _SetAttribute(name, value, new=True)


@checked_builder("increment")
def increment(name: str, by: Any = 1) -> Change:
    """Add a value or an argument (``arg("by")``) to a number. Concurrent additions are not lost."""
    return _Increment(name, by)


@checked_builder("touch")
def touch(*names: str) -> Change:
    """Write the current time to one or more datetime attributes."""
    return _Touch(names)


@attrs.frozen
class _Touch(Change):
    """Writes the current time."""

    names: tuple[str, ...]

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """The attributes."""
        return dict.fromkeys(self.names, Now())

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set all of them to the same time."""
        return changeset.set(**dict.fromkeys(self.names, changeset.moment or context.now()))

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Set all of them to the same time."""
        return dict.fromkeys(self.names, changeset.moment or context.now())


@checked_builder("optimistic_lock")
def optimistic_lock(name: str = "version") -> Change:
    """Guard a record by a version number: a write over a version that was not read raises StaleRecord."""
    return _OptimisticLock(name)
