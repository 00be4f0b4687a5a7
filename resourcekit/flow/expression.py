"""Expressions over the fields of one record, as plain values; they know neither a store nor a resource.

Their meaning is the same in every data layer, and it is two-valued: ``==`` compares as Python does (``None`` equals
``None``), an order comparison with ``None`` is false, ``~`` turns true into false and false into true. Text compares
by code point.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NoReturn

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument

__all__ = [
    "And",
    "Argument",
    "Arithmetic",
    "Case",
    "Coalesce",
    "Compare",
    "Existing",
    "Expression",
    "Field",
    "Greatest",
    "In",
    "Incoming",
    "IsNone",
    "Like",
    "Not",
    "Now",
    "Operand",
    "Or",
    "Param",
    "Sort",
    "Value",
    "all_of",
    "any_of",
    "arg",
    "as_condition",
    "as_expression",
    "as_sort",
    "case",
    "coalesce",
    "existing",
    "greatest",
    "incoming",
    "now",
]

Comparison = Literal["==", "!=", "<", "<=", ">", ">="]


class Operand:
    """Whatever can stand in an expression: gives it Python's operators."""

    __slots__ = ()

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]  # builds, as SQLAlchemy's columns do
        """Build "equals"; ``None`` equals ``None``."""
        return _compare("==", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]  # builds
        """Build "differs from", the exact opposite of ``==``."""
        return _compare("!=", self, other)

    __hash__ = object.__hash__

    def __lt__(self, other: object) -> Expression:
        """Build "is less than"; false where one side is ``None``."""
        return _compare("<", self, other)

    def __le__(self, other: object) -> Expression:
        """Build "is at most"."""
        return _compare("<=", self, other)

    def __gt__(self, other: object) -> Expression:
        """Build "is greater than"."""
        return _compare(">", self, other)

    def __ge__(self, other: object) -> Expression:
        """Build "is at least"."""
        return _compare(">=", self, other)

    def __add__(self, other: object) -> Expression:
        """Build a sum; ``None`` where one side is ``None``."""
        return Arithmetic("+", as_expression(self), as_expression(other))

    def __sub__(self, other: object) -> Expression:
        """Build a difference."""
        return Arithmetic("-", as_expression(self), as_expression(other))

    def __mul__(self, other: object) -> Expression:
        """Build a product."""
        return Arithmetic("*", as_expression(self), as_expression(other))

    def in_(self, options: Iterable[object] | Operand) -> Expression:
        """Build "is one of": a collection of values, or an argument that holds one. Raises InvalidArgument for a text."""
        if isinstance(options, (str, bytes)) or not isinstance(options, (Iterable, Operand)):
            what = f"in_ takes a collection of values, not {type(options).__name__}"
            raise InvalidArgument(FieldFinding("", what))
        right = as_expression(options) if isinstance(options, Operand) else Value(tuple(options))
        return In(as_expression(self), right)

    def is_none(self) -> Expression:
        """Build "has no value"."""
        return IsNone(as_expression(self))

    def like(self, pattern: object) -> Expression:
        r"""Build a text match: ``%`` any run, ``_`` any one character, ``\`` takes the next one literally.

        Case counts, in every store; ``None`` matches nothing.
        """
        return Like(as_expression(self), as_expression(pattern))

    def __and__(self, other: Operand) -> Expression:
        """Both hold; an attribute stands for a condition where it is a bool."""
        return all_of(self, other)

    def __or__(self, other: Operand) -> Expression:
        """At least one holds."""
        return any_of(self, other)

    def __invert__(self) -> Expression:
        """It does not hold."""
        return Not(as_expression(self))

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: ``and``, ``or``, ``not`` and chains would drop half of the expression."""
        msg = "an expression has no truth value; combine with & | ~ and write (a < b) & (b < c)"
        raise TypeError(msg)

    def asc(self) -> Sort:
        """Sort by this, smallest first, ``None`` before all."""
        return Sort(as_expression(self), descending=False)

    def desc(self) -> Sort:
        """Sort by this, largest first, ``None`` after all."""
        return Sort(as_expression(self), descending=True)


class Expression(Operand):
    """A node."""

    __slots__ = ()


@attrs.frozen(eq=False)
class Field(Expression):
    """The value of an attribute of the record."""

    name: str


@attrs.frozen(eq=False)
class Value(Expression):
    """A constant. Its repr tells the type only: a condition may hold what nobody should read."""

    value: object = attrs.field(repr=lambda value: f"<{type(value).__name__}>")


@attrs.frozen(eq=False)
class Argument(Expression):
    """The value of an argument of the action, known when it runs."""

    name: str


@attrs.frozen(eq=False)
class Param(Expression):
    """A place for a value that is given each time a plan runs; data layers meet these instead of values."""

    name: str


@attrs.frozen(eq=False)
class Now(Expression):
    """The moment at which the statement runs, by the clock of the call."""


@attrs.frozen(eq=False)
class Existing(Expression):
    """In a conflict: the attribute of the stored record."""

    name: str


@attrs.frozen(eq=False)
class Incoming(Expression):
    """In a conflict: the attribute of the record that was to be inserted."""

    name: str


@attrs.frozen(eq=False)
class Compare(Expression):
    """A comparison of two operands."""

    op: Comparison
    left: Expression
    right: Expression


@attrs.frozen(eq=False)
class In(Expression):
    """Membership; ``options`` is a Value, an Argument or a Param that holds a collection."""

    operand: Expression
    options: Expression


@attrs.frozen(eq=False)
class IsNone(Expression):
    """True where the operand has no value."""

    operand: Expression


@attrs.frozen(eq=False)
class Like(Expression):
    """A text match with wildcards."""

    operand: Expression
    pattern: Expression


@attrs.frozen(eq=False)
class And(Expression):
    """True where all parts are."""

    parts: tuple[Expression, ...]


@attrs.frozen(eq=False)
class Or(Expression):
    """True where any part is."""

    parts: tuple[Expression, ...]


@attrs.frozen(eq=False)
class Not(Expression):
    """True where the part is false."""

    part: Expression


@attrs.frozen(eq=False)
class Arithmetic(Expression):
    """A sum, a difference or a product; ``None`` where an operand is ``None``."""

    op: Literal["+", "-", "*"]
    left: Expression
    right: Expression


@attrs.frozen(eq=False)
class Coalesce(Expression):
    """The first part that is not ``None``."""

    parts: tuple[Expression, ...]


@attrs.frozen(eq=False)
class Greatest(Expression):
    """The largest of the parts that are not ``None``; ``None`` if there is none."""

    parts: tuple[Expression, ...]


@attrs.frozen(eq=False)
class Case(Expression):
    """One value where a condition holds, another where it does not."""

    when: Expression
    then: Expression
    otherwise: Expression


@attrs.frozen
class Sort:
    """One key of an order. ``None`` counts as smaller than every value."""

    by: Expression
    descending: bool = False


def as_expression(value: object) -> Expression:
    """Turn a value, an attribute or an expression into an expression."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, Operand):
        return Field(value.name)  # type: ignore[attr-defined]  # the only operand that is no expression is an attribute
    return Value(value)


def as_condition(value: object) -> Expression:
    """Return what is to hold. Raises InvalidArgument for what Python has answered already (``Ticket.owner is None``)."""
    if isinstance(value, Operand):
        return as_expression(value)
    hint = "build it with ==, <, in_(...), is_none(), & | ~"
    raise InvalidArgument(FieldFinding("", f"a condition is an expression over attributes, not {value!r}; {hint}"))


def as_sort(key: object) -> Sort:
    """Return a key of an order, given as itself, as an attribute or by its name (``"-name"`` for downwards)."""
    if isinstance(key, str):
        return Field(key[1:]).desc() if key.startswith("-") else Field(key).asc()
    if isinstance(key, Operand):
        return Sort(as_expression(key))
    if isinstance(key, Sort):
        return key
    raise InvalidArgument(FieldFinding("", f"a sort key is an attribute, its .desc(), or its name, not {key!r}"))


def _compare(op: Comparison, left: object, right: object) -> Expression:
    return Compare(op, as_expression(left), as_expression(right))


def all_of(*parts: Operand | None) -> Expression:
    """All of them hold; ``None`` parts are passed over; of nothing at all, true."""
    flat = [as_condition(part) for part in parts if part is not None]
    if len(flat) == 1:
        return flat[0]
    return And(tuple(inner for part in flat for inner in (part.parts if isinstance(part, And) else (part,))))


def any_of(*parts: Operand) -> Expression:
    """At least one holds; of nothing at all, false."""
    flat = [as_condition(part) for part in parts]
    if len(flat) == 1:
        return flat[0]
    return Or(tuple(inner for part in flat for inner in (part.parts if isinstance(part, Or) else (part,))))


def now() -> Expression:
    """The moment at which the query or the write runs (not the moment at which this line runs)."""
    return Now()


def existing(name: str) -> Expression:
    """In an upsert: the stored record's attribute."""
    return Existing(name)


def incoming(name: str) -> Expression:
    """In an upsert: the attribute of the record that came."""
    return Incoming(name)


def coalesce(*parts: object) -> Expression:
    """The first that is not ``None``."""
    return Coalesce(tuple(as_expression(part) for part in parts))


def greatest(*parts: object) -> Expression:
    """The largest that is not ``None``."""
    return Greatest(tuple(as_expression(part) for part in parts))


def case(when: Expression, then: object, otherwise: object) -> Expression:
    """``then`` where ``when`` holds, else ``otherwise``."""
    return Case(when, as_expression(then), as_expression(otherwise))


def arg(name: str) -> Expression:
    """The value of an argument of the action, in an expression that is written before the action runs."""
    return Argument(name)
