"""How a text is written: blanks at its ends, its case, and what replaces an empty one. Edit this module to add such a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resourcekit.actions.cast_error import CastError
from resourcekit.declarations.limits import Limits
from resourcekit.declarations.value_type import ValueType
from resourcekit.dsl.option import MISSING

__all__ = ["Check", "all_limits", "spelled", "spelling_of"]

Cast = Callable[[Any], Any]
Check = tuple[Callable[[Any], bool], str]
"""A test of a value, and the message if it fails."""


def all_limits(kind: ValueType, constraints: Limits) -> list[Limits]:
    """Return the limits of a type that value_type declares, of an item or a field, and of the attribute."""
    own = [] if kind.own is None else [kind.own.limits]
    return [*own, *([] if kind.limits is None else [kind.limits]), constraints]


def spelling_of(limits: Limits) -> Callable[[Any], Any] | None:
    """Return the function that changes how a text is written; ``None`` if it is kept."""
    change = {"lower": str.lower, "upper": str.upper}.get(limits.case or "")
    if not limits.trim and change is None and limits.empty is MISSING:
        return None

    def spell(text: str) -> Any:
        text = text.strip() if limits.trim else text
        text = text if change is None else change(text)
        return limits.empty if text == "" and limits.empty is not MISSING else text

    return spell


def spelled(kind: ValueType, cast: Cast, spellings: list[Cast], checks: list[Check]) -> Cast:
    """Return a cast that changes how a text is written before it is checked."""

    def cast_and_spell(value: Any) -> Any:
        if value is not None:
            value = cast(value)
            for spell in spellings:
                value = value if value is None else spell(value)
        if value is None:
            if kind.allow_none:
                return None
            msg = "must not be None"
            raise CastError(msg)
        for holds, message in checks:
            if not holds(value):
                raise CastError(message)
        return value

    return cast_and_spell
