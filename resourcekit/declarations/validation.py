"""Validations: checks before a write. Has the interfaces and the built-in validations, each also as an expression if a store
can check it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, get_args, runtime_checkable

import attrs

from resourcekit.call_context import Context
from resourcekit.changeset import Changeset
from resourcekit.declarations.limits import compiled_pattern
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.errors import DeclarationError, FieldFinding, MissingMethod
from resourcekit.expressions.context_values import lacks_late, with_facts
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Compare, Comparison, Expression, Field, Value, all_of, any_of, as_expression
from resourcekit.expressions.rewriting import fields_of, substitute, with_fields

__all__ = [
    "AtomicValidation",
    "Validation",
    "ValidationFunction",
    "absent",
    "compare",
    "declared_condition",
    "is_comparison",
    "match",
    "one_of",
    "present",
    "string_length",
    "text_field",
]

ValidationFunction = Callable[[Changeset, Context], Any]
"""A validation as a function. It returns a message, findings, the changeset that it rejected, or ``None``.
Any: the result may be awaitable.
"""


class Validation:
    """A validation as an object; with ``atomic`` (AtomicValidation) it needs no record that was read first."""

    @property
    def reads(self) -> tuple[Expression, ...]:
        """The attributes and arguments that it reads, each as a Field.

        Their existence is checked when the class is created. Empty unless a subclass overrides it.
        """
        return ()

    def validate(self, changeset: Changeset, context: Context) -> Any:
        """Return the problems: nothing, or an iterable of FieldFinding. Any: it may be awaitable."""
        raise MissingMethod.of(self, "validate")


@runtime_checkable
class AtomicValidation(Protocol):
    """A validation that a store can check within the write."""

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Return the condition that the record must meet after the write, over its fields."""
        ...


@attrs.frozen
class _OnFields(Validation):
    """Requires that a rule holds for each of some fields; a field may be an argument.

    rule: from an operand to an expression. message: for each field that fails. none_passes: ``None`` is not tested.
    """

    fields: tuple[str, ...]
    rule: Callable[[Expression], Expression]
    message: str
    none_passes: bool = True

    @property
    def reads(self) -> tuple[Expression, ...]:
        """The fields."""
        return tuple(map(Field, self.fields))

    def validate(self, changeset: Changeset, context: Context) -> Iterable[FieldFinding]:
        """Test the values that the record will have."""
        return [FieldFinding(name, self.message) for name in self.fields if not self._holds(_given(changeset, name))]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Return the rule over the fields of the stored record. The engine replaces the fields that the caller gave."""
        return all_of(*(self._tested(changeset, name) for name in self.fields))

    def _tested(self, changeset: Changeset, name: str) -> Expression:
        operand = _operand(changeset, name)
        return self.rule(operand) | operand.is_none() if self.none_passes else self.rule(operand)

    def _holds(self, value: Any) -> bool:
        if value is None and self.none_passes:
            return True
        return bool(compile_expression(self.rule(Value(value)))({}, {}, {}))


@attrs.frozen
class _Present(_OnFields):
    """Requires a value that is neither ``None`` nor the empty text."""

    def _tested(self, changeset: Changeset, name: str) -> Expression:
        operand = _operand(changeset, name)
        if not isinstance(operand, Field) or _may_be_empty(changeset, name):
            return self.rule(operand)
        return ~operand.is_none()  # no store compares a number or a moment with a text


def _may_be_empty(changeset: Changeset, name: str) -> bool:
    """Return whether an attribute may hold an empty text; true if it is not known."""
    info = getattr(changeset.resource, "__info__", None)
    attribute = None if info is None else info.attributes.get(name)
    return attribute is None or attribute.type.basic.kind in (Kind.STRING, Kind.ANY)


def _operand(changeset: Changeset, name: str) -> Expression:
    return Value(changeset.arguments[name]) if name in changeset.arguments else Field(name)


def _given(changeset: Changeset, name: str) -> Any:
    return changeset.arguments[name] if name in changeset.arguments else changeset.get(name)


@attrs.frozen
class _OnText(Validation):
    """Requires that a Python function accepts a text. No store can run it, so an update must read first."""

    field: str
    test: Callable[[str], bool]
    message: str

    @property
    def reads(self) -> tuple[Expression, ...]:
        """The field."""
        return (Field(self.field),)

    def validate(self, changeset: Changeset, context: Context) -> Iterable[FieldFinding]:
        """Test the text that the record will have; ``None`` passes."""
        value = _given(changeset, self.field)
        return [] if value is None or self.test(value) else [FieldFinding(self.field, self.message)]


@attrs.frozen
class _CompareWith(Validation):
    """Requires a comparison of two fields, or of a field and a value; ``None`` on either side passes."""

    field: str
    op: Comparison
    other: Any

    @property
    def reads(self) -> tuple[Expression, ...]:
        """Both sides."""
        return (Field(self.field), as_expression(self.other))

    def validate(self, changeset: Changeset, context: Context) -> Iterable[FieldFinding]:
        """Compare the values that the record will have."""
        other = substitute(as_expression(self.other), changeset.arguments)
        given = {name: Value(_given(changeset, name)) for name in fields_of(other)}
        known = with_facts(with_fields(other, given), context)
        left, right = _given(changeset, self.field), compile_expression(known)({}, {}, {})
        if right is None and lacks_late(other, context):
            return [FieldFinding(self.field, "is compared with a value that the context of the call does not have")]
        if left is None or right is None:
            return []
        if compile_expression(Compare(self.op, Value(left), Value(right)))({}, {}, {}):
            return []
        named = other.name if isinstance(other, Field) else getattr(known, "value", "the value")
        return [FieldFinding(self.field, f"must be {self.op} {named}")]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Return the comparison over the fields of the stored record."""
        other = substitute(as_expression(self.other), changeset.arguments)
        if lacks_late(other, context):  # what the call does not have passes nothing
            left = _operand(changeset, self.field)
            return any_of(left.is_none() & ~other.is_none(), Compare(self.op, left, other))
        other = with_facts(other, context)
        left, right = _operand(changeset, self.field), _operand(changeset, other.name) if isinstance(other, Field) else other
        return any_of(Compare(self.op, left, right), left.is_none(), right.is_none())


def declared_condition(validation: Validation) -> Expression | None:
    """Return the condition of a built-in comparison with values, as it is known without a call; ``None`` for others."""
    if not (isinstance(validation, _CompareWith) or (isinstance(validation, _OnFields) and validation.none_passes)):
        return None
    return validation.atomic(Changeset(kind="update"), Context())


def is_comparison(validation: object) -> bool:
    """Return whether a validation is a built-in one whose condition is the same in each call without arguments."""
    return type(validation) in (_OnFields, _Present, _CompareWith)


def text_field(validation: Validation) -> str | None:
    """Return the field that a built-in validation of texts tests; ``None`` for other validations."""
    return validation.field if isinstance(validation, _OnText) else None


def _refused(called: str, what: str, hint: str) -> DeclarationError:
    return DeclarationError("RK003", what, path=(called,), origin=Origin.here(), hint=hint)


def _require_fields(called: str, fields: Sequence[object]) -> None:
    if not fields or not all(isinstance(each, str) for each in fields):
        what = f"takes names of attributes, not {fields!r}" if fields else "names no attribute"
        raise _refused(called, what, f'Name them: {called}("subject").')


@checked_builder("one_of")
def one_of(field: str, options: Sequence[object]) -> Validation:
    """Require one of these values."""
    if isinstance(options, (str, bytes)) or not isinstance(options, (Sequence, AbstractSet)) or not options:  # type: ignore[redundant-expr]
        raise _refused(
            "one_of", f"the options must be several values, not {options!r}", 'Write one_of("status", ["open", "closed"]).'
        )
    shown = ", ".join(map(repr, options))
    return _OnFields((field,), lambda operand: operand.in_(tuple(options)), f"must be one of {shown}")


@checked_builder("string_length")
def string_length(field: str, *, min: int | None = None, max: int | None = None) -> Validation:  # noqa: A002  # Ash's words
    """Require a length in code points, both bounds inclusive."""
    wrong = [bound for bound in (min, max) if bound is not None and (type(bound) is not int or bound < 0)]
    if wrong or (min is None and max is None) or (min is not None and max is not None and min > max):
        raise _refused(
            "string_length", f"no text can meet min={min!r} and max={max!r}", "Give whole numbers from 0 on, min below max."
        )
    low, high = min or 0, max
    bounds = f"at least {low}" if high is None else f"{low} to {high}"
    return _OnText(field, lambda text: low <= len(text) and (high is None or len(text) <= high), f"must have {bounds} characters")


@checked_builder("match")
def match(field: str, pattern: str) -> Validation:
    """Require that the regular expression matches somewhere in the text (use ``^`` and ``$`` for the whole text)."""
    compiled = compiled_pattern(pattern)
    assert compiled is not None
    return _OnText(field, lambda text: compiled.search(text) is not None, f"must match {pattern}")


@checked_builder("compare")
def compare(field: str, op: Comparison, other: object) -> Validation:
    """Require ``field op other``; ``other`` is a value or an attribute (``Ticket.opened_at``)."""
    if op not in get_args(Comparison):
        known = ", ".join(get_args(Comparison))
        raise _refused("compare", f"{op!r} is no comparison", f"Known: {known}.")
    return _CompareWith(field, op, other)


@checked_builder("present")
def present(*fields: str) -> Validation:
    """Require a value other than ``None`` and the empty text in each of these attributes."""
    _require_fields("present", fields)
    return _Present(fields, lambda operand: ~operand.is_none() & (operand != ""), "must be present", none_passes=False)


@checked_builder("absent")
def absent(*fields: str) -> Validation:
    """Require ``None`` in each of these attributes."""
    _require_fields("absent", fields)
    return _OnFields(fields, lambda operand: operand.is_none(), "must be absent", none_passes=False)
