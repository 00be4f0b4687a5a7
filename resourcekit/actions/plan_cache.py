"""Plans of reads that differ in their values only: the second query of a shape is not checked, resolved and compiled again.

A maintainer opens it to change which queries share a plan. The key of a query is its structure with the types of its values. When
a key is met first, each value is replaced by a Slot, which remembers its cast. If all slots reach the parameters of the
plan, the plan is kept, and later values are only cast. A value that was folded into the statement leaves no slot, so
that such a query is compiled at each call.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from typing import Any, cast

import attrs

from resourcekit.actions.casting import CastError
from resourcekit.actions.runtime import Runtime
from resourcekit.actions.watched import Shown, Watched
from resourcekit.data_layers.base import Plan
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.context_nodes import Slot
from resourcekit.expressions.measures import Length
from resourcekit.expressions.nodes import Calculated, Expression, Field, In, Param, Sort, Value
from resourcekit.expressions.query import Computed, Query
from resourcekit.expressions.related import ManyOf, OneOf, Parent
from resourcekit.expressions.rewriting import children, rebuild
from resourcekit.expressions.shape import Shaper

__all__ = ["CompileRead", "Read", "cached_read"]


@attrs.frozen
class Read:
    """A read that can run. context: what its maker needs with its rows."""

    plan: Plan
    params: Mapping[str, Any]
    context: Any = None


CompileRead = Callable[[Query[Any], Watched, Shaper], Awaitable[Read]]
"""Compiles a query; the parameters come from the Shaper."""


class _NoKey(Exception):  # not an error: the query is compiled at each call
    """A query has a part whose meaning may change between two calls."""


_COLLECTIONS = (tuple, list, set, frozenset)


def _many_facts(node: ManyOf) -> Hashable:
    shape = (node.part is None, node.where is None, node.only is None, len(node.order))
    keys = tuple((key.descending, key.nulls) for key in (*node.order, *node.sort))
    return (node.relation.name, node.relation.owner, node.kind, node.limit, node.distinct, shape, keys)


def _calculated_facts(node: Calculated) -> Hashable:
    if node.arguments:
        raise _NoKey
    return node.owner, node.name


def _nothing(node: Any) -> Hashable:
    del node
    return None


_FACTS: Mapping[type, Callable[[Any], Hashable]] = {
    Field: lambda node: (node.name, node.owner),
    Param: lambda node: (node.name, node.kind),
    ex.Compare: lambda node: node.op,
    ex.Arithmetic: lambda node: node.op,
    ex.Call: lambda node: (node.function, node.facts),
    OneOf: lambda node: (node.relation.name, node.relation.owner),
    ManyOf: _many_facts,
    Calculated: _calculated_facts,
    **dict.fromkeys(
        (ex.And, ex.Or, ex.Not, ex.IsNone, ex.Like, ex.Coalesce, ex.Greatest, ex.Least, ex.Case, Length, Parent), _nothing
    ),
}
"""The properties of each kind of node besides its parts. A node that is missing here has no key."""


def _key(node: Expression | None, values: list[Any]) -> Hashable:
    """Return the structure of an expression, and collect its values in the order of ``children``. Raise _NoKey if it has none."""
    kind = type(node)
    if node is None:
        return None
    if kind is Value:
        value: Any = node.value  # type: ignore[attr-defined]  # see above
        if value is not None:
            values.append(value)
        return cast("Hashable", type(value))
    if kind is In:
        return (In, *_in_key(node, values))
    facts = _FACTS.get(kind)
    if facts is None:
        raise _NoKey
    return (kind, facts(node), *[_key(part, values) for part in children(node)])


def _in_key(node: Any, values: list[Any]) -> Iterator[Hashable]:
    yield _key(node.operand, values)
    if not isinstance(node.options, Value) or not isinstance(node.options.value, _COLLECTIONS):
        yield _key(node.options, values)
        return
    for option in node.options.value:
        yield _key(option if isinstance(option, Expression) else Value(option), values)


def _key_of(query: Query[Any], values: list[Any]) -> Hashable:
    selected = query.selected
    return (
        _key(query.condition, values),
        tuple([(_key(key.by, values), key.descending, key.nulls) for key in query.order]),
        query.row_limit is None,
        query.row_offset > 0,
        selected if selected is None else (selected, tuple(load.relation.name for load in query.loads)),
        query.distinct_on,
        tuple([(each.name, each.is_extra, _key(each.node, values)) for each in query.computed]),
    )


class _SlotMaker:
    """Replaces the values of a query by slots, in the order in which ``_key`` collects them."""

    def __init__(self) -> None:
        self._count = 0

    def query(self, query: Query[Any]) -> Query[Any]:
        """Return the query with slots."""
        condition = None if query.condition is None else self._marked(query.condition)
        order = tuple([Sort(self._marked(key.by), key.descending, key.nulls) for key in query.order])
        computed = tuple([Computed(self._marked(each.node), each.name, each.is_extra) for each in query.computed])
        return attrs.evolve(query, condition=condition, order=order, computed=computed)

    def _marked(self, node: Expression) -> Expression:
        if isinstance(node, Value):
            return node if node.value is None else self._slot(node.value)
        if isinstance(node, In) and isinstance(node.options, Value) and isinstance(node.options.value, _COLLECTIONS):
            operand = self._marked(node.operand)
            given = (option if isinstance(option, Expression) else Value(option) for option in node.options.value)
            return In(operand, Value(tuple([self._marked(option) for option in given])))
        parts = children(node)
        return rebuild(node, tuple([self._marked(part) for part in parts])) if parts else node

    def _slot(self, value: object) -> Slot:
        self._count += 1
        return Slot(value, self._count - 1)


@attrs.frozen
class _CachedPlan:
    """A kept plan.

    fixed: parameters that no value of the query decides. slots: parameter, place of its value, and cast (``None``: as it is).
    seen: the resources that it reads, with their stores and relationships when it was compiled.
    """

    plan: Plan
    context: Any
    fixed: Mapping[str, Any]
    slots: tuple[tuple[str, int, Callable[[Any], Any] | None], ...]
    seen: tuple[tuple[Runtime, Any, Any], ...]

    def read(self, values: list[Any], cut: Mapping[str, Any]) -> Read | None:
        """Return the read with other values, and with limit and offset; ``None`` if it must be compiled again, which also raises errors of values."""
        for runtime, store, joins in self.seen:
            if runtime.store is not store or runtime.joins is not joins:
                return None
        params = {**self.fixed, **cut}
        try:
            for name, place, convert in self.slots:
                params[name] = values[place] if convert is None else convert(values[place])
        except CastError:
            return None
        return Read(self.plan, params, self.context)


async def cached_read(runtime: Runtime, query: Query[Any], tag: Hashable, shown: Shown, compile_read: CompileRead) -> Read:
    """Return a read of a query with its values.

    tag: what the plan depends on besides the query. compile_read: compiles the query the first time.
    """
    values: list[Any] = []
    try:
        key: Hashable = ("known", tag, _key_of(query, values))
        known = runtime.kept.get(key)
    except (_NoKey, TypeError):  # a part of the key may not be hashable
        return await compile_read(query, Watched(shown), Shaper())
    cut = {"limit": query.row_limit, "offset": query.row_offset}
    if known is None:
        shaper, watched = Shaper(), Watched(shown)
        made = await compile_read(_SlotMaker().query(query), watched, shaper)
        runtime.keep(key, lambda: _plan_to_keep(runtime, made, watched, shaper, values) or False)
        return attrs.evolve(made, params={**made.params, **cut})
    found: Read | None = known.read(values, cut) if known else None
    if found is not None:
        return found
    if known:
        runtime.kept.pop(key, None)
    return await compile_read(query, Watched(shown), Shaper())


def _plan_to_keep(runtime: Runtime, made: Read, watched: Watched, shaper: Shaper, values: list[Any]) -> _CachedPlan | None:
    """Return the plan to keep; ``None`` if the plan depends on a value, or on the context of the call."""
    slots = tuple((name, slot.place, slot.cast) for name, slot in shaper.slots.items())
    is_whole = {place for _, place, _ in slots} == set(range(len(values)))
    # A moment that is not cast is checked for its time zone each time.
    is_checked = not any(convert is None and isinstance(values[place], (dt.datetime, dt.time)) for _, place, convert in slots)
    if not (watched.is_fixed and is_whole and is_checked):
        return None
    fixed = {name: value for name, value in made.params.items() if name not in shaper.slots}
    seen = tuple((each, each.store, each.joins) for each in dict.fromkeys((runtime, *watched.seen)))
    return _CachedPlan(made.plan, made.context, fixed, slots, seen)
