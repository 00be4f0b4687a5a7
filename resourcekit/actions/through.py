"""The two sides of a many_to_many in one statement: the rows between them, each with the record of the far side.

A maintainer opens it to change when a many_to_many needs two statements, or what the one statement is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from resourcekit.actions.joins import Join
from resourcekit.actions.relating import related_of
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.data_layers.base import Capability, Row
from resourcekit.expressions.nodes import Compare, Expression, Field, IsNone, Not, Sort, all_of
from resourcekit.expressions.query import Query
from resourcekit.expressions.related import Parent, Related, SameKey

__all__ = ["Through"]

_FAR = "far "
"""Begins the names of the columns of the far side. No attribute has such a name."""


@attrs.frozen(eq=False)
class Through:
    """The statement over the rows between two sides.

    query: of the rows between. columns: of the far side, by name; computed: those of its computed values.
    """

    join: Join
    query: Query[Any]
    columns: Mapping[str, Expression]
    fields: tuple[str, ...]

    @classmethod
    def of(
        cls, join: Join, shown: Query[Any], query: Query[Any], computed: Mapping[str, Expression], fields: tuple[str, ...]
    ) -> Through | None:
        """Return the statement; ``None`` if both sides must be read one after the other.

        shown: what the primary read of the resource between shows. query: of the far side, resolved. fields: those to read of it.
        """
        between, destination = runtime_of(join.through), runtime_of(join.destination)
        is_cut = query.row_limit is not None or query.row_offset > 0
        once = _once(between, join, shown) if is_cut else None
        if not _is_one_store(between, destination, join, fields) or _counts(shown) or once is False:
            return None
        checked = None if query.condition is None else destination.conditions.condition(query.condition)
        keys = [SameKey(Field(far), _out(between, onward)) for onward, far in zip(join.onward, join.far, strict=True)]
        far = _Far(destination, all_of(*keys, checked))
        asked = attrs.evolve(
            query,
            condition=all_of(Not(IsNone(far.of(Field(join.far[0])))), shown.condition, once),
            order=tuple(Sort(far.of(key.by), key.descending, key.nulls) for key in query.order),
            loads=(),
            computed=(),
            selected=join.other,
        )
        columns = {_FAR + name: far.of(Field(name)) for name in fields} | {name: far.of(node) for name, node in computed.items()}
        return cls(join, asked, columns, fields)

    def rows(self, found: Sequence[Row]) -> tuple[list[Any], list[Row]]:
        """Return the keys of the near side, and the rows of the far side, each with its computed values."""
        if len(self.join.other) == 1:
            name = self.join.other[0]
            near: list[Any] = [(row[name],) for row in found]
        else:
            near = [tuple([row[name] for name in self.join.other]) for row in found]
        names = [(name, _FAR + name) for name in self.fields]
        names += [(name, name) for name in self.columns if not name.startswith(_FAR)]
        return near, [{name: row[column] for name, column in names} for row in found]


@attrs.frozen
class _Far:
    """The record of the far side, as seen from a row between. on: the condition that joins the two."""

    destination: Runtime
    on: Expression

    def of(self, node: Expression) -> Related:
        """Return an expression over the record of the far side."""
        return related_of(self.destination, self.on, node, name="through row")


def _out(runtime: Runtime, name: str) -> Parent:
    kind = runtime.info.attributes[name].type
    return Parent(Field(name), kind, runtime.conditions.value(Field(name)).family)


def _is_one_store(between: Runtime, destination: Runtime, join: Join, fields: tuple[str, ...]) -> bool:
    one, other = between.store, destination.store
    if one.plain.in_process or one.group != other.group or Capability.RELATED not in one.capabilities & other.capabilities:
        return False
    held = any(name in other.converted for name in fields)
    return not held and not any(name in one.converted for name in (*join.other, *join.onward, *between.key))


def _counts(shown: Query[Any]) -> bool:
    return shown.row_limit is not None or shown.row_offset > 0 or bool(shown.distinct_on)


def _once(between: Runtime, join: Join, shown: Query[Any]) -> Expression | Literal[False] | None:
    """Return the condition that a row between is the first one of its pair, so that a limit counts each record once.

    ``None``: no two rows have one pair. ``False``: no condition says it.
    """
    pair = {*join.other, *join.onward}
    if any(set(group) <= pair for group in (between.key, *(one.fields for one in between.info.identities.values()))):
        return None
    key, *more = between.key
    if more:
        return False
    hidden = None if shown.condition is None else between.conditions.condition(shown.condition)
    same = [SameKey(Field(name), _out(between, name)) for name in sorted(pair)]
    return Not(related_of(between, all_of(*same, Compare("<", Field(key), _out(between, key)), hidden), None, kind="exists"))
