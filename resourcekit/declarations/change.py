"""Changes: steps of a write that set values. The built-in ones, and how a function becomes one. They know no store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs

from resourcekit.flow.changeset import Changeset
from resourcekit.flow.clock import utc_now
from resourcekit.flow.context import Context
from resourcekit.flow.expression import Argument, Expression, Field, Now, Value, coalesce
from resourcekit.flow.rewriting import substitute

__all__ = [
    "AtomicChange",
    "BatchChange",
    "Change",
    "ChangeFunction",
    "increment",
    "optimistic_lock",
    "set_attribute",
    "set_new_attribute",
    "touch",
]


class Change:
    """A change as an object. ``change`` is what every one has; ``atomic`` and ``batch`` are for those that can.

    A subclass that also defines ``atomic(changeset, context)`` (see AtomicChange) may be part of one statement, without
    reading first; one that defines ``batch(changesets, context)`` (see BatchChange) serves many inputs at once.
    """

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """What it writes, as far as it tells: attribute to expression, ``None`` for what only running it tells.

        Names and types are checked when the class is made. Nothing unless a subclass says so.
        """
        return {}

    def change(self, changeset: Changeset, context: Context) -> Changeset | Awaitable[Changeset]:
        """Return the changeset with the values set."""
        raise NotImplementedError


@runtime_checkable
class AtomicChange(Protocol):
    """A change that one statement can carry out."""

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Return attribute to expression (or value), computed by the store from the record it holds."""
        ...


@runtime_checkable
class BatchChange(Protocol):
    """A change that handles many changesets in one go."""

    def batch(self, changesets: Sequence[Changeset], context: Context) -> Any:
        """Return the changesets, changed, in the same order; may be awaitable."""
        ...


ChangeFunction = Callable[[Changeset, Context], Any]
"""A change as a function: ``(changeset, context) -> changeset``, sync or async. Any: the result may be awaitable."""


def _value_of(value: Any, changeset: Changeset) -> Any:
    """Compute a declared value: an argument, the moment, the result of a function, or the value itself."""
    if isinstance(value, Now):
        return utc_now()
    if isinstance(value, Argument):
        return changeset.arguments.get(value.name)
    return value() if callable(value) and not isinstance(value, Expression) else value


@attrs.frozen
class _SetAttribute(Change):
    """Writes a value, a function's result, ``now()`` or an argument to an attribute.

    name: the attribute. value: what to write. new: only where the caller gave none.
    """

    name: str
    value: Any
    new: bool = False

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """One attribute."""
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
        """Set it in the statement; nothing of the stored record is needed unless the value is an expression over it."""
        if self.new and self.name in changeset.values:
            return {}
        value = _value_of(self.value, changeset)
        return {self.name: substitute(value, changeset.arguments) if isinstance(value, Expression) else value}


@attrs.frozen
class _Increment(Change):
    """Adds to a number; ``None`` counts as nothing. A new record starts from the attribute's value or default."""

    name: str
    by: Any = 1

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """One attribute."""
        return {self.name: Field(self.name) + self.by}

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add to what the record holds, or a new one's default."""
        return changeset.set_atomic(**self.atomic(changeset, context))

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Add to what the store holds; no addition is lost."""
        by = _value_of(self.by, changeset)
        return {self.name: coalesce(Field(self.name), by - by) + by}


@attrs.frozen
class _OptimisticLock(Change):
    """Counts versions, and refuses to write over one that the caller has not seen."""

    name: str

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """One attribute, a whole number."""
        return {self.name: Field(self.name) + 1}

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Require the version that was read, and write the next one."""
        if changeset.kind == "create":
            return changeset.set_new(**{self.name: 1})
        seen = getattr(changeset.record, self.name)
        return changeset.where(Field(self.name) == seen).set(**{self.name: seen + 1})


def set_attribute(name: str, value: Any) -> Change:
    """Write a value to an attribute: a constant, a function without arguments, ``now()``, or an expression."""
    return _SetAttribute(name, value)


def set_new_attribute(name: str, value: Any) -> Change:
    """Write a value to an attribute where the caller gave none."""
    return _SetAttribute(name, value, new=True)


def increment(name: str, by: Any = 1) -> Change:
    """Add a value or an argument (``arg("by")``) to a number; many callers at once lose nothing."""
    return _Increment(name, by)


def touch(*names: str) -> Change:
    """Write the present moment to one or more datetime attributes."""
    return _Touch(names)


@attrs.frozen
class _Touch(Change):
    """Writes the present moment."""

    names: tuple[str, ...]

    @property
    def writes(self) -> Mapping[str, Expression | None]:
        """Each of them."""
        return dict.fromkeys(self.names, Now())

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set all of them to one moment."""
        return changeset.set(**dict.fromkeys(self.names, context.now()))

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Set all of them to one moment."""
        return dict.fromkeys(self.names, context.now())


def optimistic_lock(name: str = "version") -> Change:
    """Guard a record by a version number: a write over an unseen version raises StaleRecord."""
    return _OptimisticLock(name)
