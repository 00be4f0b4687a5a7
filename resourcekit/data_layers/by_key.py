"""Finds out whether a condition asks for rows by their primary key. Knows expressions only."""

from __future__ import annotations

import attrs

from resourcekit.flow.expression import And, Compare, Expression, Field, In, Now, Param, Value, all_of
from resourcekit.flow.rewriting import children

__all__ = ["ByKey", "by_key"]


@attrs.frozen
class ByKey:
    """A condition that no row meets but those with certain keys.

    params: the parameters that hold these keys. rest: what the condition asks besides; ``None`` for nothing.
    """

    params: tuple[str, ...]
    rest: Expression | None

    @property
    def is_fixed(self) -> bool:
        """The rest means the same in every call, at any time."""
        return self.rest is None or _is_fixed(self.rest)


def by_key(condition: Expression | None, key: tuple[str, ...]) -> ByKey | None:
    """Return which keys a condition asks for; ``None`` where it does not say, or the key has several parts."""
    if condition is None or len(key) != 1:
        return None
    parts = condition.parts if isinstance(condition, And) else (condition,)
    for number, part in enumerate(parts):
        if params := _asked(part, key[0]):
            rest = parts[:number] + parts[number + 1 :]
            return ByKey(params, all_of(*rest) if rest else None)
    return None


def _asked(part: Expression, key: str) -> tuple[str, ...]:
    match part:
        case Compare("==", Field(name), Param(param)) | Compare("==", Param(param), Field(name)) if name == key:
            return (param,)
        case In(Field(name), Value(tuple() as options)) if name == key and all(isinstance(option, Param) for option in options):
            return tuple(option.name for option in options)
        case _:
            return ()


def _is_fixed(node: Expression) -> bool:
    if isinstance(node, In):  # its options may hide parameters
        return False
    return not isinstance(node, (Param, Now)) and all(map(_is_fixed, children(node)))
