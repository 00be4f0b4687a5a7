"""Detects conditions that select rows by their primary key.

A maintainer opens it to change which reads use the fast path for lookups by key.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from resourcekit.expressions.nodes import And, Compare, Expression, Field, In, Now, Param, Value, all_of
from resourcekit.expressions.related import Related
from resourcekit.expressions.rewriting import children, rebuild

__all__ = ["ByKey", "among", "by_key", "is_fixed", "scalars_of", "with_values"]


@attrs.frozen
class ByKey:
    """A condition that only rows with certain keys can match.

    params: the names of the parameters that hold these keys.
    rest: the remaining condition; ``None`` if there is none.
    """

    params: tuple[str, ...]
    rest: Expression | None

    @property
    def is_fixed(self) -> bool:
        """True if the remaining condition does not depend on parameters or on the time."""
        return self.rest is None or is_fixed(self.rest)


def by_key(condition: Expression | None, key: tuple[str, ...]) -> ByKey | None:
    """Return the keys that a condition selects; ``None`` if it does not select by key, or the key has several attributes."""
    if condition is None or len(key) != 1:
        return None
    parts = condition.parts if isinstance(condition, And) else (condition,)
    for number, part in enumerate(parts):
        if params := _asked(part, key[0]):
            rest = parts[:number] + parts[number + 1 :]
            return ByKey(params, all_of(*rest) if rest else None)
    return None


def among(condition: Expression | None) -> tuple[str, ByKey] | None:
    """Return the attribute of which a condition selects a collection of values, as a load does; ``None`` if there is none."""
    parts = condition.parts if isinstance(condition, And) else (condition,)
    for number, part in enumerate(parts):
        match part:
            case In(Field(name), Param(param)):
                rest = [each for each in parts[:number] + parts[number + 1 :] if each is not None]
                return name, ByKey((param,), all_of(*rest) if rest else None)
            case _:
                continue
    return None


def scalars_of(node: Expression | None) -> tuple[str, ...] | None:
    """Return the names of the parameters of an expression; ``None`` if it depends on more than stored rows and single values."""
    if node is None:
        return ()
    if isinstance(node, Param):
        return (node.name,)
    if isinstance(node, (In, Now)):
        return None
    found = [scalars_of(part) for part in children(node)]
    return None if None in found else tuple(dict.fromkeys(name for part in found for name in part or ()))


def with_values(node: Expression, values: Mapping[str, object]) -> Expression:
    """Return an expression with the values of its parameters."""
    if isinstance(node, Param):
        return Value(values[node.name])
    parts = children(node)
    return rebuild(node, tuple(with_values(part, values) for part in parts)) if parts else node


def _asked(part: Expression, key: str) -> tuple[str, ...]:
    match part:
        case Compare("==", Field(name), Param(param)) | Compare("==", Param(param), Field(name)) if name == key:
            return (param,)
        case In(Field(name), Value(tuple() as options)) if name == key and all(isinstance(option, Param) for option in options):
            return tuple(option.name for option in options)
        case _:
            return ()


def is_fixed(node: Expression) -> bool:
    """Return whether an expression depends on the row alone: not on parameters, on the time, or on other rows."""
    if isinstance(node, In):  # its options may contain parameters
        return False
    return not isinstance(node, (Param, Now, Related)) and all(map(is_fixed, children(node)))
