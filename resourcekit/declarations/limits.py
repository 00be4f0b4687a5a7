"""Limits of a value besides its type: of an attribute, of an argument, of an item of a list, of a field of a class."""

from __future__ import annotations

import re
from typing import Any, Literal

import attrs

from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.option import MISSING
from resourcekit.errors import DeclarationError
from resourcekit.expressions.calls import checked_call

__all__ = ["Limits", "compiled_pattern"]


def compiled_pattern(match: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    """Return a regular expression. Raise DeclarationError RK034 for a text that is none."""
    if not isinstance(match, str):
        return match
    try:
        return re.compile(match)
    except re.error as error:
        what = f"match={match!r} is no regular expression: {error}"
        raise DeclarationError("RK034", what, origin=Origin.here(), hint="Escape special characters, for example \\(.") from None


@attrs.frozen(kw_only=True)
class Limits:
    """Limits of a value besides its type: ``Attr[list[Annotated[int, Limits(minimum=0)]]]``.

    min_length, max_length: in code points (text), bytes, or items; both inclusive.
    minimum, maximum: of the value itself; both inclusive.
    match: a regular expression that the whole text must match.
    trim: whether blanks at both ends of a text are removed first.
    empty: the value that replaces an empty text; none is replaced unless this is given.
    scale: of a Decimal, the digits after the point that each value has; one with more of them is refused.
    case: ``"lower"`` or ``"upper"`` converts a text; ``"fold"`` keeps it and compares it without regard to case.
    """

    min_length: int | None = None
    max_length: int | None = None
    minimum: Any = None
    maximum: Any = None
    match: re.Pattern[str] | None = attrs.field(default=None, converter=compiled_pattern)
    trim: bool = False
    empty: Any = MISSING
    case: Literal["lower", "upper", "fold"] | None = None
    scale: int | None = None

    @property
    def spelling(self) -> Limits:
        """The part that changes how a text is written, without the part that refuses values."""
        return Limits(trim=self.trim, empty=self.empty, case=self.case)


Limits.__init__ = checked_call(  # type: ignore[method-assign]
    "Limits", "its options are: min_length, max_length, minimum, maximum, match, trim, empty, scale, case"
)(Limits.__init__)
