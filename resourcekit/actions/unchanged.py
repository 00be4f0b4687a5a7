"""Detects updates that change nothing. Such an update touches no timestamp and sends no notification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resourcekit.actions.casting import CastError
from resourcekit.actions.runtime import Runtime
from resourcekit.changeset import Changeset
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Compare, Existing, Expression, Field, any_of
from resourcekit.expressions.rewriting import has_fragment

__all__ = ["can_compare", "changes", "holds_already"]

_SPELLED = frozenset({Kind.DECIMAL, Kind.FLOAT, Kind.ANY})
"""Kinds with equal values that are spelled differently and must still be written: 99.5 and 99.50, 1 and 1.0 in JSON."""


def can_compare(runtime: Runtime, names: Iterable[str]) -> bool:
    """Return whether a comparison in the store finds every change of these attributes."""
    attributes = runtime.info.attributes
    return all(name in attributes and not _is_spelled(attributes[name].type) for name in names)


def _is_spelled(kind: ValueType | None) -> bool:
    if kind is None:
        return True
    kind = kind.basic
    return _is_spelled(kind.item) if kind.kind in (Kind.LIST, Kind.MAP) else kind.kind in _SPELLED


def changes(written: Mapping[str, Expression], stored: type[Field | Existing] = Field) -> Expression:
    """Return the condition that the stored record differs from the values to write. stored: the node of a stored value."""
    return any_of(*(Compare("!=", stored(name), value) for name, value in written.items()))


def holds_already(runtime: Runtime, record: Any, changeset: Changeset) -> bool:
    """Return whether a record already has all values that a changeset writes, in the same spelling.

    Values of fragments are left out: only the statement can compare them.
    """
    held = vars(record)
    nodes = {name: node for name, node in changeset.atomics.items() if not has_fragment(node)}
    values = {**changeset.values, **{name: compile_expression(node)(held, {}, {}) for name, node in nodes.items()}}
    try:
        return all(name in held and repr(runtime.casts[name](value)) == repr(held[name]) for name, value in values.items())
    except CastError:
        return False
