"""Expression nodes that look into a value: its length, a text match, a part of JSON, an item of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.expressions.nodes import Expression, IsNone, Not, Operand, any_of, as_expression

__all__ = ["At", "Contains", "Length", "Matches", "Whole"]

_NOT_IN_PATHS = ('"', "'", "\\", "%", *map(chr, range(32)))
"""Characters of a key that databases escape in different ways inside a path."""


@attrs.frozen(eq=False)
class Length(Expression):
    """The number of code points, bytes or items; ``None`` if the operand is ``None``."""

    operand: Expression


@attrs.frozen(eq=False)
class Matches(Expression):
    """True if a regular expression matches the whole text."""

    operand: Expression
    regex: re.Pattern[str]


class Whole(Operand):
    """Base of operands that have parts: attributes, and parts of them."""

    __slots__ = ()

    def length(self) -> Expression:
        """Build the length of a text (in code points), of bytes, or of a list; ``None`` if there is no value."""
        return Length(as_expression(self))

    def contains(self, item: object, /) -> Expression:
        """Build the condition that a list has an item that equals this one, or that a text has this part, taken literally."""
        return Contains(as_expression(self), as_expression(item))

    def overlaps(self, items: Iterable[object]) -> Expression:
        """Build the condition that a list has at least one of these items."""
        if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
            raise InvalidArgument(FieldFinding("", f"overlaps takes a collection of items, not {type(items).__name__}"))
        return any_of(*(self.contains(item) for item in items))

    def __getitem__(self, step: str | int) -> At:
        """Build the part of a dict, a list or an embedded value: ``Ticket.address["zip"]``; ``None`` if it is missing.

        Raises:
            InvalidArgument: The key cannot be part of a path in every database, or the position is negative.
        """
        is_key = isinstance(step, str) and bool(step) and not any(sign in step for sign in _NOT_IN_PATHS)
        is_place = isinstance(step, int) and not isinstance(step, bool) and step >= 0
        if not (is_key or is_place):
            what = (
                f"{step!r} is no part to compare; write a key without quotes, backslashes, % or control characters, or a position"
            )
            raise InvalidArgument(FieldFinding("", what))
        if isinstance(self, At):
            return attrs.evolve(self, steps=(*self.steps, step))
        return At(as_expression(self), (step,))

    def has(self, *steps: str | int) -> Expression:
        """Build the condition that a part exists and is not null: ``Ticket.data.has("address", "zip")``."""
        part: Whole = self
        for step in steps:
            part = part[step]
        return Not(IsNone(as_expression(part)))

    if TYPE_CHECKING:  # else Computable refuses both, because Python would iterate by __getitem__ without an end
        __iter__ = None
        __contains__ = None


@attrs.frozen(eq=False)
class At(Whole, Expression):
    """A part of a dict, a list or an embedded value; ``None`` if it is missing, or has another form.

    steps: the keys, and the positions in lists, from outside to inside.
    form: the JSON form of the part: text, number or bool; ``"any"`` if only its presence counts.
    type: the ValueType of the part, which the engine sets.
    """

    operand: Expression
    steps: tuple[str | int, ...]
    form: Literal["text", "number", "bool", "any"] = "any"
    type: Any = attrs.field(default=None, repr=False)


@attrs.frozen(eq=False)
class Contains(Expression):
    """True if a list has an item that equals the given one.

    type: the ValueType of the items, which the engine sets; ``None`` for any JSON value.
    """

    operand: Expression
    item: Expression
    type: Any = attrs.field(default=None, repr=False)
