"""Expressions over the fields of one record, with the same, two-valued meaning on every data layer.

``==`` compares as Python does (``None`` equals ``None``), an order comparison with ``None`` is false, ``~`` turns true into false
and false into true. Text compares by code point.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NoReturn

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument, Misuse
from resourcekit.expressions.calls import checked_call, checked_methods
from resourcekit.expressions.computable import Computable
from resourcekit.known_names import shown

__all__ = [
    "And",
    "Argument",
    "Arithmetic",
    "Calculated",
    "Call",
    "Case",
    "Coalesce",
    "Compare",
    "Existing",
    "Expression",
    "Field",
    "Fragment",
    "Greatest",
    "In",
    "Incoming",
    "IsNone",
    "Least",
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
    "as_condition",
    "as_expression",
    "literally",
]

Comparison = Literal["==", "!=", "<", "<=", ">", ">="]
Nulls = Literal["first", "last"]


@checked_methods(without=("as_node", "call"))
class Operand(Computable["Expression"]):
    """Base of all parts of expressions: implements Python's operators."""

    __slots__ = ()

    def as_node(self) -> Expression:
        """Return the node of an operand that is no expression: of an attribute."""
        return Field(self.name)  # type: ignore[attr-defined]  # attributes have a name

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]  # builds, as SQLAlchemy's columns do
        """Build the condition "equals"; ``None`` equals ``None``."""
        return Compare("==", as_expression(self), as_expression(other))

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]  # builds
        """Build the condition "differs from", the exact opposite of ``==``."""
        return Compare("!=", as_expression(self), as_expression(other))

    __hash__ = object.__hash__

    def __lt__(self, other: object) -> Expression:
        """Build the condition "is less than"; false if one side is ``None``."""
        return Compare("<", as_expression(self), as_expression(other))

    def __le__(self, other: object) -> Expression:
        """Build the condition "is at most"; false if one side is ``None``."""
        return Compare("<=", as_expression(self), as_expression(other))

    def __gt__(self, other: object) -> Expression:
        """Build the condition "is greater than"; false if one side is ``None``."""
        return Compare(">", as_expression(self), as_expression(other))

    def __ge__(self, other: object) -> Expression:
        """Build the condition "is at least"; false if one side is ``None``."""
        return Compare(">=", as_expression(self), as_expression(other))

    def __add__(self, other: object) -> Expression:
        """Build a sum; ``None`` if one side is ``None``."""
        return Arithmetic("+", as_expression(self), as_expression(other))

    def __sub__(self, other: object) -> Expression:
        """Build a difference."""
        return Arithmetic("-", as_expression(self), as_expression(other))

    def __mul__(self, other: object) -> Expression:
        """Build a product."""
        return Arithmetic("*", as_expression(self), as_expression(other))

    def __radd__(self, other: object) -> Expression:
        """Build a sum whose left side is a value."""
        return Arithmetic("+", as_expression(other), as_expression(self))

    def __rsub__(self, other: object) -> Expression:
        """Build a difference whose left side is a value."""
        return Arithmetic("-", as_expression(other), as_expression(self))

    def __rmul__(self, other: object) -> Expression:
        """Build a product whose left side is a value."""
        return Arithmetic("*", as_expression(other), as_expression(self))

    def __neg__(self) -> Expression:
        """Build the opposite of a number or a duration."""
        return Arithmetic("*", as_expression(self), Value(-1))

    def abs(self) -> Expression:
        """Build the value without its sign."""
        return Case(self < 0, -self, as_expression(self))

    def call(self, function: str, *others: object, facts: tuple[Any, ...] = (), is_right: bool = False) -> Expression:
        parts = tuple(map(as_expression, (*others, self) if is_right else (self, *others)))
        return Call(function, parts, facts)

    @checked_call("in_", "it takes one collection: in_([1, 2])")
    def in_(self, options: Iterable[object] | Operand) -> Expression:
        """Build the condition "is one of".

        options: a collection of values and attributes, or an argument that holds a collection. A text raises InvalidArgument.
        """
        if isinstance(options, (str, bytes)) or not isinstance(options, (Iterable, Operand)):
            raise InvalidArgument(FieldFinding("", f"in_ takes a collection of values, not {type(options).__name__}"))
        if isinstance(options, Operand):
            return In(as_expression(self), as_expression(options))
        return In(as_expression(self), Value(tuple(as_expression(one) if isinstance(one, Operand) else one for one in options)))

    def is_none(self) -> Expression:
        """Build the condition "has no value"."""
        return IsNone(as_expression(self))

    def like(self, pattern: object) -> Expression:
        r"""Build a text match: ``%`` matches any run, ``_`` any one character, ``\`` takes the next one literally.

        The match is case-sensitive on every store; ``None`` matches nothing.
        """
        return Like(as_expression(self), as_expression(pattern))

    def contains(self, text: str, /) -> Expression:
        """Build the condition that a text has this part. The text is taken literally, and case counts."""
        return self._matching("%", text, "%")

    def starts_with(self, text: str) -> Expression:
        """Build the condition that a text begins with this one, taken literally."""
        return self._matching("", text, "%")

    def ends_with(self, text: str) -> Expression:
        """Build the condition that a text ends with this one, taken literally."""
        return self._matching("%", text, "")

    def _matching(self, before: str, text: str, after: str) -> Expression:
        if not isinstance(text, str):
            raise InvalidArgument(FieldFinding("", f"takes a text, not {type(text).__name__}"))
        return Like(as_expression(self), Value(before + literally(text) + after))

    def __and__(self, other: Operand) -> Expression:
        """Build the condition that both hold. A bool attribute is a condition by itself."""
        return all_of(self, other)

    def __or__(self, other: Operand) -> Expression:
        """Build the condition that at least one holds."""
        return any_of(self, other)

    def __invert__(self) -> Expression:
        """Build the condition that this one does not hold."""
        return Not(as_expression(self))

    def __bool__(self) -> NoReturn:
        """Raise Misuse: with ``and``, ``or``, ``not`` and chains, Python would drop half of the expression."""
        raise Misuse("an expression has no truth value; combine with & | ~ and write (a < b) & (b < c)")

    def asc(self, *, nulls: Nulls | None = None) -> Sort:
        """Sort by this, smallest first. nulls: the place of ``None``; first by default."""
        return _sort(self, nulls, descending=False)

    def desc(self, *, nulls: Nulls | None = None) -> Sort:
        """Sort by this, largest first. nulls: the place of ``None``; last by default."""
        return _sort(self, nulls, descending=True)


class Expression(Operand):
    """A node of an expression."""

    __slots__ = ()


@attrs.frozen(eq=False)
class Field(Expression):
    """The value of an attribute of the record. owner: the resource on which it was named; ``None`` if it is given by name alone."""

    name: str
    owner: Any = attrs.field(default=None, repr=False)


@attrs.frozen(eq=False)
class Value(Expression):
    """A constant. Its ``repr`` shows only the type: a condition may contain a secret."""

    value: object = attrs.field(repr=lambda value: f"<{type(value).__name__}>")


@attrs.frozen(eq=False)
class Argument(Expression):
    """The value of an argument of the action, known when it runs."""

    name: str


@attrs.frozen(eq=False)
class Param(Expression):
    """A placeholder for a value that is given when a plan runs. kind: a datetime or a timedelta, if a sum depends on it."""

    name: str
    kind: type | None = None


@attrs.frozen(eq=False)
class Now(Expression):
    """The moment at which the statement runs, by the clock of the call."""

    def at(self, moment: datetime) -> Any:
        """Return the value at a moment."""
        return moment


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
    """A test for membership. ``options`` is an Argument or a Param that holds a collection, or a Value whose collection may contain
    expressions.
    """

    operand: Expression
    options: Expression


@attrs.frozen(eq=False)
class IsNone(Expression):
    """True if the operand has no value."""

    operand: Expression


@attrs.frozen(eq=False)
class Like(Expression):
    """A text match with wildcards."""

    operand: Expression
    pattern: Expression


@attrs.frozen(eq=False)
class And(Expression):
    """True if all parts are true."""

    parts: tuple[Expression, ...]


@attrs.frozen(eq=False)
class Or(Expression):
    """True if any part is true."""

    parts: tuple[Expression, ...]


@attrs.frozen(eq=False)
class Not(Expression):
    """True if the part is false."""

    part: Expression


@attrs.frozen(eq=False)
class Arithmetic(Expression):
    """A sum, a difference or a product; ``None`` if an operand is ``None``."""

    op: Literal["+", "-", "*"]
    left: Expression
    right: Expression


@attrs.frozen(eq=False)
class Call(Expression):
    """A function of ``computable.FUNCTIONS`` of values; ``None`` if one is ``None``. facts: what is fixed, as the digits to round to."""

    function: str
    parts: tuple[Expression, ...]
    facts: tuple[Any, ...] = ()


@attrs.frozen(eq=False)
class Fragment(Expression):
    """A value that a text of SQL computes, which the application writes for one database.

    texts: the text around the values, which is one more than these. parts: the values. type: the ValueType of the whole.
    """

    texts: tuple[str, ...]
    parts: tuple[Expression, ...]
    type: Any

    @property
    def facts(self) -> object:
        """The parts of a statement that do not depend on values."""
        return self.texts, str(self.type)


@attrs.frozen(eq=False)
class Coalesce(Expression):
    """The first part that is not ``None``."""

    parts: tuple[Expression, ...]


@attrs.frozen(eq=False)
class Greatest(Expression):
    """The largest of the parts that are not ``None``; ``None`` if there is none."""

    parts: tuple[Expression, ...]


class Least(Greatest):
    """The smallest of the parts that are not ``None``; ``None`` if there is none."""

    __slots__ = ()


@attrs.frozen(eq=False)
class Case(Expression):
    """One value if a condition holds, another if it does not."""

    when: Expression
    then: Expression
    otherwise: Expression


@attrs.frozen
class Sort:
    """One key of an order. ``None`` counts as smaller than every value.

    nulls: another place for ``None``. Data layers never receive it: the engine replaces it by a sort key of its own.
    """

    by: Expression
    descending: bool = False
    nulls: Nulls | None = None


def _sort(operand: Operand, nulls: Nulls | None, *, descending: bool) -> Sort:
    if nulls not in ("first", "last", None):
        raise InvalidArgument(FieldFinding("nulls", f"is 'first' or 'last', not {nulls!r}"))
    return Sort(as_expression(operand), descending, nulls)


def literally(text: str) -> str:
    """Return the pattern of ``like`` that matches just this text."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def as_expression(value: object) -> Expression:
    """Return an expression for a value, an attribute or an expression."""
    if isinstance(value, Expression):
        return value
    return value.as_node() if isinstance(value, Operand) else Value(value)


def as_condition(value: object) -> Expression:
    """Return a condition. Raise InvalidArgument for a result that Python has computed (``Ticket.owner is None``)."""
    if isinstance(value, Operand):
        return as_expression(value)
    raise InvalidArgument(f"a condition is an expression, not {shown(value)}; build it with ==, <, in_(...), is_none(), & | ~")


def all_of(*parts: Operand | None) -> Expression:
    """Build the condition that all parts hold. ``None`` parts are ignored; without parts it is true."""
    flat = [as_condition(part) for part in parts if part is not None]
    inner = tuple(each for part in flat for each in (part.parts if isinstance(part, And) else (part,)))
    return flat[0] if len(flat) == 1 else And(inner)


def any_of(*parts: Operand) -> Expression:
    """Build the condition that at least one part holds; without parts it is false."""
    flat = [as_condition(part) for part in parts]
    inner = tuple(each for part in flat for each in (part.parts if isinstance(part, Or) else (part,)))
    return flat[0] if len(flat) == 1 else Or(inner)


@attrs.frozen(eq=False)
class Calculated(Expression):
    """A calculation of a resource, by name. arguments: the values of its arguments; they may be expressions."""

    owner: Any
    name: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    def __str__(self) -> str:
        """Return resource and name."""
        return f"{getattr(self.owner, '__name__', self.owner)}.{self.name}"
