"""Loads of one relationship, as it is declared, for one record: prepared once, because the tasks of a server repeat them.

A maintainer opens it if such a load is too slow. All other loads go through module ``loading``, which has the same meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from resourcekit.actions.joins import Join
from resourcekit.actions.loaded import Loaded, copied, keep_loaded, loaded_of
from resourcekit.actions.loading import KEYS, related_read, the_one
from resourcekit.actions.read import shown_query
from resourcekit.actions.runtime import Runtime, runtime_of, shows_all
from resourcekit.data_layers.base import Plan
from resourcekit.expressions.query import Loadable, Query

__all__ = ["NOT_SINGLE", "load_single"]

NOT_SINGLE: Any = object()
"""In place of a record: the load has to be prepared for this call."""


@attrs.frozen
class _Known:
    """A prepared load. store, joins: those of the destination, for which it was prepared."""

    join: Join
    destination: Runtime
    store: Any
    joins: Mapping[str, Join]
    own: str
    other: str
    plan: Plan
    params: Mapping[str, Any]


async def load_single(record: Any, relation: Loadable) -> Any:
    """Return a copy of a record with a relationship loaded; NOT_SINGLE if this is a load of another kind."""
    runtime = runtime_of(type(record))
    if relation.owner is not runtime.resource or relation.via or not _is_bare(relation.asked):
        return NOT_SINGLE
    join: Join | None = runtime.joins.get(relation.name)
    known = runtime.kept.get(("single load", join))
    if known is None or known.store is not known.destination.store or known.joins is not known.destination.joins:
        known = None if join is None else await _prepared(runtime, relation, join)
        if known is None:
            return NOT_SINGLE
        made = known
        runtime.keep(("single load", join), lambda: made)
    values = vars(record)
    if type(values) is not dict:  # a PartialRow, whose key may be unreadable
        return NOT_SINGLE
    key = values[known.own] if known.own in values else getattr(record, known.own)  # raises NotLoaded
    found: list[Any] = []
    if key is not None:
        rows = await known.destination.store.select(known.plan, {**known.params, KEYS: (key,)})
        made_of = known.destination.record
        found = [each for each in map(made_of, rows) if vars(each)[known.other] == key]
    entity = known.join.entity
    related = tuple(found) if entity.is_many else the_one(known.join, runtime, found)
    copy = copied(record)
    before = loaded_of(copy)
    named = {relation.name: related}
    keep_loaded(copy, Loaded(named) if before is None else Loaded({**before.related, **named}, before.extra))
    return copy


def _is_bare(asked: Query[Any]) -> bool:
    """Return whether a query asks for nothing besides the relationship."""
    return (
        asked.condition is None
        and not asked.order
        and asked.row_limit is None
        and not asked.row_offset
        and asked.selected is None
        and not (asked.distinct_on or asked.loads or asked.computed)
    )


async def _prepared(runtime: Runtime, relation: Loadable, join: Join) -> _Known | None:
    entity = join.entity
    if entity.load is not None or join.through is not None or join.condition is not None or entity.limit is not None:
        return None
    destination = runtime_of(join.destination)
    if len(join.own) != 1 or not shows_all(destination) or (entity.kind == "has_one" and join.order):
        return None
    read = await related_read(runtime, relation, shown_query)
    params = {name: value for name, value in read.params.items() if name != KEYS}
    return _Known(join, destination, destination.store, destination.joins, join.own[0], join.other[0], read.plan, params)
