"""Validations: what must hold before a write. The built-in ones, each also as an expression where a store can check it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs

from resourcekit.errors import FieldFinding
from resourcekit.flow.changeset import Changeset
from resourcekit.flow.context import Context
from resourcekit.flow.evaluation import compile_expression
from resourcekit.flow.expression import Compare, Comparison, Expression, Field, Value, all_of, any_of, as_expression

__all__ = [
    "AtomicValidation",
    "Validation",
    "ValidationFunction",
    "absent",
    "compare",
    "match",
    "one_of",
    "present",
    "string_length",
]

ValidationFunction = Callable[[Changeset, Context], Any]
"""A validation as a function: returns a message, findings, the changeset with what it rejected, or nothing.

Any: the result may be awaitable.
"""


class Validation:
    """A validation as an object; with ``atomic`` (see AtomicValidation) it needs no record that was read first."""

    @property
    def reads(self) -> tuple[Expression, ...]:
        """The attributes and arguments that it looks at, each as a Field, as far as it tells.

        That they exist is checked when the class is made. Nothing unless a subclass says so.
        """
        return ()

    def validate(self, changeset: Changeset, context: Context) -> Any:
        """Return what is wrong: nothing, or an iterable of FieldFinding. Any: it may be awaitable."""
        raise NotImplementedError


@runtime_checkable
class AtomicValidation(Protocol):
    """A validation that a store can check within the write."""

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Return what must hold of the record as it will be, over its fields."""
        ...


@attrs.frozen
class _OnFields(Validation):
    """Holds where a test holds for each of some fields; a field may be an argument.

    rule: from an operand to an expression. message: for each field that fails. none_passes: ``None`` is not tested.
    """

    fields: tuple[str, ...]
    rule: Callable[[Expression], Expression]
    message: str
    none_passes: bool = True

    @property
    def reads(self) -> tuple[Expression, ...]:
        """Each of them."""
        return tuple(map(Field, self.fields))

    def validate(self, changeset: Changeset, context: Context) -> Iterable[FieldFinding]:
        """Test the values that the record will have."""
        return [FieldFinding(name, self.message) for name in self.fields if not self._holds(_given(changeset, name))]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Say the rule over the fields of the stored record; the engine puts in what the caller gave."""
        operands = [_operand(changeset, name) for name in self.fields]
        rules = [self.rule(operand) | operand.is_none() if self.none_passes else self.rule(operand) for operand in operands]
        return all_of(*rules)

    def _holds(self, value: Any) -> bool:
        if value is None and self.none_passes:
            return True
        return bool(compile_expression(self.rule(Value(value)))({}, {}, {}))


def _operand(changeset: Changeset, name: str) -> Expression:
    return Value(changeset.arguments[name]) if name in changeset.arguments else Field(name)


def _given(changeset: Changeset, name: str) -> Any:
    return changeset.arguments[name] if name in changeset.arguments else changeset.get(name)


@attrs.frozen
class _OnText(Validation):
    """Holds where a Python test of a text holds; no store is asked, so an update must read first."""

    field: str
    test: Callable[[str], bool]
    message: str

    @property
    def reads(self) -> tuple[Expression, ...]:
        """One text."""
        return (Field(self.field),)

    def validate(self, changeset: Changeset, context: Context) -> Iterable[FieldFinding]:
        """Test the text that the record will have; ``None`` passes."""
        value = _given(changeset, self.field)
        return [] if value is None or self.test(value) else [FieldFinding(self.field, self.message)]


@attrs.frozen
class _CompareWith(Validation):
    """Holds where two fields, or a field and a value, compare as said; ``None`` on either side passes."""

    field: str
    op: Comparison
    other: Any

    @property
    def reads(self) -> tuple[Expression, ...]:
        """Both sides."""
        return (Field(self.field), as_expression(self.other))

    def validate(self, changeset: Changeset, context: Context) -> Iterable[FieldFinding]:
        """Compare the values that the record will have."""
        other = as_expression(self.other)
        right = _given(changeset, other.name) if isinstance(other, Field) else other
        left = _given(changeset, self.field)
        if left is None or right is None:
            return []
        node = Compare(self.op, Value(left), as_expression(right))
        if compile_expression(node)({}, {}, {}):
            return []
        named = other.name if isinstance(other, Field) else getattr(other, "value", "the value")
        return [FieldFinding(self.field, f"must be {self.op} {named}")]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Say the same over the fields of the stored record."""
        other = as_expression(self.other)
        left, right = _operand(changeset, self.field), _operand(changeset, other.name) if isinstance(other, Field) else other
        return any_of(Compare(self.op, left, right), left.is_none(), right.is_none())


def one_of(field: str, options: Sequence[object]) -> Validation:
    """Require one of these values."""
    shown = ", ".join(map(repr, options))
    return _OnFields((field,), lambda operand: operand.in_(tuple(options)), f"must be one of {shown}")


def string_length(field: str, *, min: int | None = None, max: int | None = None) -> Validation:  # noqa: A002  # Ash's words
    """Require a length in code points, both bounds inclusive."""
    low, high = min or 0, max
    bounds = f"at least {low}" if high is None else f"{low} to {high}"
    return _OnText(field, lambda text: low <= len(text) and (high is None or len(text) <= high), f"must have {bounds} characters")


def match(field: str, pattern: str) -> Validation:
    """Require a text that the regular expression finds something in (use ``^`` and ``$`` for the whole text)."""
    compiled = re.compile(pattern)
    return _OnText(field, lambda text: compiled.search(text) is not None, f"must match {pattern}")


def compare(field: str, op: Comparison, other: object) -> Validation:
    """Require ``field op other``, where ``other`` is a value or an attribute (``Ticket.opened_at``)."""
    return _CompareWith(field, op, other)


def present(*fields: str) -> Validation:
    """Require a value other than ``None`` and the empty text in each of these."""
    return _OnFields(fields, lambda operand: ~operand.is_none() & (operand != ""), "must be present", none_passes=False)


def absent(*fields: str) -> Validation:
    """Require no value in each of these."""
    return _OnFields(fields, lambda operand: operand.is_none(), "must be absent", none_passes=False)
