"""Resolves expressions over related records: relationships and calculations become what a data layer can compute.

A maintainer opens it to change what a path or an aggregate means. The primary read of every resource on the way is part of the
condition, on each level, so that no figure counts a record that a load would not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import attrs

from resourcekit.actions.calculations import check_arguments, expression_of
from resourcekit.actions.families import family_of
from resourcekit.actions.joins import Join, join_of
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.actions.watched import Shown, Watched
from resourcekit.call_context import ambient_context
from resourcekit.data_layers.base import Capability
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import FieldFinding, InvalidArgument, did_you_mean
from resourcekit.expressions.context_nodes import ContextValue, Missing
from resourcekit.expressions.context_values import late_value, without_missing
from resourcekit.expressions.nodes import Calculated, Expression, Field, Sort, all_of
from resourcekit.expressions.query import Query
from resourcekit.expressions.related import Kind as RelatedKind
from resourcekit.expressions.related import ManyOf, OneOf, Parent, Related, SameKey, Target
from resourcekit.expressions.rewriting import children, rebuild, refers

__all__ = ["NotInOneStore", "Relating", "Shown", "figure_problem", "is_plain", "related_of", "resolved", "resolved_expression"]

Levels = tuple[Runtime, ...]
"""The resources of the row and of those around it; the row itself is the last one."""

_SUMMED = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.DURATION, Kind.BOOLEAN})
_VALUES = frozenset({"sum", "avg", "min", "max", "first"})
_UNORDERED = frozenset({Kind.ANY, Kind.LIST, Kind.MAP})

_preparing: ContextVar[tuple[Runtime, ...]] = ContextVar("primary reads that are being prepared", default=())


def is_plain(runtime: Runtime, node: Expression | None) -> bool:
    """Return whether an expression has nothing to resolve, not even the name of a calculation."""
    known = runtime.info.calculations
    return node is None or not (refers(node) or (known and _names(node, known)))


def _names(node: Expression, known: Mapping[str, Any]) -> bool:
    if isinstance(node, Field):
        return node.name in known
    return not isinstance(node, (Related, OneOf, ManyOf)) and any(_names(part, known) for part in children(node))


async def resolved(runtime: Runtime, query: Query[Any], shown: Shown) -> Query[Any]:
    """Return a query whose condition and order a data layer can compute. Raise InvalidArgument if none can."""
    nodes = (query.condition, *(key.by for key in query.order))
    if all(is_plain(runtime, node) for node in nodes):
        return query
    relating = Relating(shown)
    condition = None if query.condition is None else await relating.whole(runtime, query.condition)
    order = [Sort(await relating.whole(runtime, key.by), key.descending, key.nulls) for key in query.order]
    return attrs.evolve(query, condition=condition, order=tuple(order))


async def resolved_expression(runtime: Runtime, node: Expression, shown: Shown) -> Expression:
    """Return an expression that a data layer can compute."""
    return node if is_plain(runtime, node) else await Relating(shown).whole(runtime, node)


def _by_context(node: ContextValue) -> Expression:
    return late_value(node, ambient_context())


class NotInOneStore(InvalidArgument):
    """An expression over records that no single statement reads; an aggregate can still be computed of loaded records."""


class Relating:
    """Resolves the expressions of one query, so that each primary read is prepared once.

    late: returns the value of the actor or the tenant; those of the context of the call by default.
    """

    def __init__(self, shown: Shown, late: Callable[[ContextValue], Expression] = _by_context) -> None:
        self._prepare, self._late = shown, late
        self._shown: dict[Runtime, Query[Any]] = {}
        self._calculating: tuple[tuple[Runtime, str], ...] = ()

    async def whole(self, runtime: Runtime, node: Expression) -> Expression:
        """Return a whole condition, order or value of a resource."""
        return without_missing(await self.expression((runtime,), node))

    async def expression(self, levels: Levels, node: Expression, *, of: str = "") -> Expression:
        """Return an expression over the row of the last level. of: the calculation whose expression it is."""
        runtime = levels[-1]
        if of:
            self._calculating = ((runtime, of),)
        match node:
            case OneOf():
                return await self._one(levels, node)
            case ManyOf():
                return await self._many(levels, node)
            case Calculated():
                return await self._calculation(levels, node)
            case ContextValue():
                self._vary()
                return self._late(node)
            case Field(name) if name in runtime.info.calculations:
                return await self._calculation(levels, Calculated(runtime.resource, name))
            case Related():
                return node
            case Parent(part, None, None):
                return await self._parent(levels, part)
            case _:
                parts = children(node)
                return rebuild(node, tuple([await self.expression(levels, part) for part in parts])) if parts else node

    def _vary(self) -> None:
        if isinstance(self._prepare, Watched):
            self._prepare.vary()

    async def _parent(self, levels: Levels, part: Expression) -> Expression:
        *around, own = levels
        if not around:
            what = (
                "parent(...) belongs in a condition over related records: Author.books.exists(Book.price > parent(Author.limit))"
            )
            raise InvalidArgument(FieldFinding("parent", what), resource=own.info.name)
        outer = around[-1]
        _require_plain(outer, part)
        read = outer.conditions.value(await self.expression(tuple(around), part))
        if isinstance(read.node, Missing):
            return read.node
        return Parent(read.node, _type_of(outer, read.node), Kind.ANY if read.family is None else read.family)

    async def _calculation(self, levels: Levels, node: Calculated) -> Expression:
        runtime = levels[-1]
        calculation = runtime.info.calculations.get(node.name)
        if calculation is None or node.owner is not runtime.resource:
            what = (
                f"{node} is no calculation of {runtime.info.name}. {did_you_mean(node.name, runtime.info.calculations)}".rstrip()
            )
            raise InvalidArgument(what, resource=runtime.info.name)
        step, before = (runtime, node.name), self._calculating
        if step in before:
            way = " needs ".join(f"{one.info.name}.{name}" for one, name in (*before[before.index(step) :], step))
            raise InvalidArgument(FieldFinding(node.name, f"needs itself: {way}"), resource=runtime.info.name)
        self._calculating = (*before, step)
        if calculation.arguments:
            self._vary()
        try:
            arguments = check_arguments(runtime, calculation, node.arguments)
            found = await self.expression(levels, expression_of(runtime, calculation, arguments))
            return _published(found) if calculation.public else found
        finally:
            self._calculating = before

    async def _one(self, levels: Levels, node: OneOf) -> Expression:
        join = join_of(levels[-1], node.relation.name, node.relation.owner)
        if join.entity.is_many:
            what = f"{_called(levels[-1], join)} has many records; write {_called(levels[-1], join)}.exists(...), or .first(...)"
            raise self._refused(levels, join, what)
        destination, on, order, _ = await self._rows(levels, join, ManyOf(node.relation, "one"))
        inner = (*levels, destination)
        read = destination.conditions.value(await self.expression(inner, node.part))
        if isinstance(read.node, Missing):
            return read.node
        is_joined = join.through is None and not join.order and _is_unique(destination, join.other)
        _require_plain(destination, read.node, *(() if is_joined else (key.by for key in order)))
        return Related(
            _target(destination),
            "one",
            on,
            read.node,
            order=() if is_joined else order,
            name=join.entity.name if is_joined else "",
            type=_optional(_type_of(destination, read.node)),
            family=read.family,
            public=join.entity.public and _is_public(destination, read.node),
        )

    async def _many(self, levels: Levels, node: ManyOf) -> Expression:
        join = join_of(levels[-1], node.relation.name, node.relation.owner)
        destination, on, order, limit = await self._rows(levels, join, node)
        inner = (*levels, destination)
        if node.part is not None and node.kind in _VALUES:
            node = attrs.evolve(node, part=await self.expression(inner, node.part))
            if isinstance(node.part, Missing):
                return node.part
        where = None if node.where is None else await self._condition(inner, node.where)
        sort = destination.conditions.order(await self._keys(inner, node.sort)) if node.sort else ()
        part, kind, family = await self._part(levels, join, inner, node)
        keeps_order = limit is not None or node.kind in ("first", "collect")
        named = [part, where, *(key.by for key in (*sort, *(order if keeps_order else ())))]
        _require_plain(destination, *(each for each in named if each is not None))
        return Related(
            _target(destination),
            node.kind,
            on,
            part,
            where,
            order if keeps_order else (),
            limit,
            (*sort, *_key_of(destination)) if sort else (),
            node.distinct,
            type=kind,
            family=family,
            public=join.entity.public and (part is None or _is_public(destination, part)),
        )

    async def _part(
        self, levels: Levels, join: Join, inner: Levels, node: ManyOf
    ) -> tuple[Expression | None, ValueType | None, object]:
        """Return the value of each record, and type and family of the whole."""
        if node.kind in ("exists", "count"):
            whole = ValueType(Kind.BOOLEAN, bool) if node.kind == "exists" else ValueType(Kind.INTEGER, int)
            return None, whole, family_of(whole)
        assert node.part is not None
        if node.kind == "every":
            return await self._condition(inner, node.part), ValueType(Kind.BOOLEAN, bool), Kind.BOOLEAN
        read = inner[-1].conditions.value(await self.expression(inner, node.part))
        kind = _type_of(inner[-1], read.node)
        if problem := figure_problem(inner[-1], node.kind, read.node, read.family):
            raise self._refused(levels, join, problem)
        if node.kind == "collect":
            return read.node, None, Kind.ANY
        if node.kind == "avg" and read.family in (Kind.FLOAT, Kind.BOOLEAN):
            return read.node, ValueType(Kind.FLOAT, float, allow_none=True), Kind.FLOAT
        if node.kind == "sum" and read.family is Kind.BOOLEAN:
            return read.node, ValueType(Kind.INTEGER, int, allow_none=True), Kind.FLOAT
        return read.node, _optional(kind), read.family

    async def _rows(self, levels: Levels, join: Join, asked: ManyOf) -> tuple[Runtime, Expression, tuple[Sort, ...], int | None]:
        """Return the resource of the related records, their condition, their order, and their limit for each record."""
        if join.entity.load is not None:
            what = f"{_called(levels[-1], join)} is loaded by a function, and nothing can be computed of it; load it"
            raise self._refused(levels, join, what)
        destination = runtime_of(join.destination)
        self._require_one_store(levels, join, destination)
        shown = await self._what_is_shown(levels, join, destination)
        inner = (*levels, destination)
        if join.through is None:
            keys = [_same(destination, other, levels[-1], own) for own, other in zip(join.own, join.other, strict=True)]
        else:
            keys = [await self._through(levels, join, destination)]
        rest = [await self._condition(inner, each) for each in (shown.condition, join.condition, asked.only) if each is not None]
        _require_plain(destination, *rest)
        order = destination.conditions.order(await self._keys(inner, asked.order or join.order or shown.order))
        is_first = join.entity.kind == "has_one" and bool(join.order)
        limits = (shown.row_limit, join.entity.limit, asked.limit, 1 if is_first and asked.kind != "one" else None)
        if join.entity.limit is not None and (asked.only is not None or asked.order):
            what = f"{join.entity.name} is limited by its declaration; filter and sort a relationship without limit"
            raise self._refused(levels, join, what)
        given = [limit for limit in limits if limit is not None]
        return destination, all_of(*keys, *rest), (*order, *_key_of(destination)), min(given) if given else None

    async def _through(self, levels: Levels, join: Join, destination: Runtime) -> Expression:
        between = runtime_of(join.through)
        self._require_one_store(levels, join, between)
        shown = await self._what_is_shown(levels, join, between)
        if shown.row_limit is not None:
            raise self._refused(levels, join, f"the primary read of {between.info.name} has a limit, and is between the two")
        far = [_same(between, onward, destination, each) for onward, each in zip(join.onward, join.far, strict=True)]
        near = [_same(between, other, levels[-1], own, out=2) for own, other in zip(join.own, join.other, strict=True)]
        inner = (*levels, destination, between)
        rest = [] if shown.condition is None else [await self._condition(inner, shown.condition)]
        _require_plain(between, *rest)
        boolean = ValueType(Kind.BOOLEAN, bool)
        return Related(_target(between), "exists", all_of(*far, *near, *rest), name="through", type=boolean, family=Kind.BOOLEAN)

    async def _what_is_shown(self, levels: Levels, join: Join, destination: Runtime) -> Query[Any]:
        """Return the query of the primary read of a resource. Raise InvalidArgument for one that counts over all records."""
        found = self._shown.get(destination)
        if found is None:
            before = _preparing.get()
            if destination in before:
                what = f"the primary read of {destination.info.name} depends on itself, over {_called(levels[-1], join)}"
                raise self._refused(levels, join, what)
            token = _preparing.set((*before, destination))
            try:
                found = self._shown[destination] = await self._prepare(destination)
            finally:
                _preparing.reset(token)
        if found.distinct_on or found.row_offset:
            what = f"the primary read of {destination.info.name} is distinct or has an offset, and cannot be read for several records"
            raise self._refused(levels, join, what)
        return found

    def _require_one_store(self, levels: Levels, join: Join, destination: Runtime) -> None:
        store, other = levels[0].store, destination.store
        if store.group == other.group and Capability.RELATED in store.capabilities & other.capabilities:
            return
        name = destination.info.name
        reason = (
            "are in different stores" if store.group != other.group else "are in a store that cannot compute over two resources"
        )
        what = (
            f"{levels[0].info.name} and {name} {reason}; load {_called(levels[-1], join)} instead, or query {name} first "
            f"and filter by its keys: {levels[-1].info.name}.{(join.own or ('key',))[0]}.in_([...])"
        )
        raise NotInOneStore(FieldFinding(join.entity.name, what), resource=levels[-1].info.name)

    async def _condition(self, levels: Levels, node: Expression) -> Expression:
        return levels[-1].conditions.condition(await self.expression(levels, node))

    async def _keys(self, levels: Levels, keys: tuple[Sort, ...]) -> tuple[Sort, ...]:
        return tuple([Sort(await self.expression(levels, key.by), key.descending, key.nulls) for key in keys])

    @staticmethod
    def _refused(levels: Levels, join: Join, what: str) -> InvalidArgument:
        return InvalidArgument(FieldFinding(join.entity.name, what), resource=levels[-1].info.name)


def related_of(
    destination: Runtime, on: Expression, part: Expression | None, *, kind: RelatedKind = "one", name: str = ""
) -> Related:
    """Return a value of related rows whose condition and part were checked before. name: see ``Related``."""
    if part is None:
        return Related(_target(destination), kind, on, type=ValueType(Kind.BOOLEAN, bool), family=Kind.BOOLEAN)
    read = destination.conditions.value(part)
    return Related(
        _target(destination), kind, on, read.node, name=name, type=_optional(_type_of(destination, read.node)), family=read.family
    )


def figure_problem(runtime: Runtime, figure: str, part: Expression, family: object) -> str:
    """Return why an aggregate of the values of a checked expression cannot be computed; an empty text if it can be."""
    kind = _type_of(runtime, part)
    shape = family if kind is None else kind.kind
    shown = "values of another type" if kind is None else str(kind)
    if figure in ("sum", "avg") and not (shape in _SUMMED or (kind is not None and kind.python is int)):
        return f"{figure} takes numbers and durations, not {shown}"
    if figure in ("min", "max") and shape in _UNORDERED:
        return f"{figure} takes values with an order, not {shown}"
    return ""


def _called(runtime: Runtime, join: Join) -> str:
    return f"{runtime.info.name}.{join.entity.name}"


def _target(runtime: Runtime) -> Target:
    return Target(runtime.store.plain, runtime.info.qualified_name)


def _key_of(runtime: Runtime) -> tuple[Sort, ...]:
    return tuple(Sort(Field(name)) for name in runtime.key)


def _require_plain(runtime: Runtime, *nodes: Expression) -> None:
    """Raise InvalidArgument for an attribute of a related record whose values the data layer has in another form."""
    named = next((name for node in nodes for name in _fields(node) if name in runtime.store.converted), "")
    if named:
        what = (
            f"{runtime.info.name}.{named} has a type of its own or ignores case, and cannot be computed with over a relationship; "
            f"load the records, or query {runtime.info.name} by it first"
        )
        raise NotInOneStore(FieldFinding(named, what), resource=runtime.info.name)


def _fields(node: Expression) -> Iterator[str]:
    """Yield the attributes that an expression names of its own row."""
    if isinstance(node, Field):
        yield node.name
    elif not isinstance(node, (Related, Parent, OneOf, ManyOf)):
        for part in children(node):
            yield from _fields(part)


def _is_unique(runtime: Runtime, fields: tuple[str, ...]) -> bool:
    groups = (runtime.key, *(one.fields for one in runtime.info.identities.values()))
    return any(set(group) <= set(fields) for group in groups)


def _same(runtime: Runtime, field: str, outer: Runtime, name: str, *, out: int = 1) -> Expression:
    """Return the test that an attribute equals one of a row further out."""
    kind = outer.info.attributes[name].type
    key: Expression = Field(name)
    for _ in range(out):
        key = Parent(key, kind, family_of(kind))
    del runtime
    return SameKey(Field(field), key)


def _type_of(runtime: Runtime, node: Expression) -> ValueType | None:
    """Return the type of an attribute or of a related value; ``None`` for what is computed."""
    if isinstance(node, Field):
        return runtime.info.attributes[node.name].type
    found: ValueType | None = node.type if isinstance(node, (Related, Parent)) else None
    return found


def _is_public(runtime: Runtime, node: Expression) -> bool:
    """Return whether an expression shows public values only."""
    if isinstance(node, Field):
        attribute = runtime.info.attributes[node.name]
        return attribute.public and not attribute.sensitive
    if isinstance(node, Related):
        return node.public
    return not isinstance(node, Parent) and all(_is_public(runtime, part) for part in children(node))


def _published(node: Expression) -> Expression:
    """Return an expression whose values of related records may be shown: that of a public calculation."""
    if isinstance(node, Related):
        return attrs.evolve(node, public=True)
    parts = children(node)
    return rebuild(node, tuple(map(_published, parts))) if parts else node


def _optional(kind: ValueType | None) -> ValueType | None:
    return None if kind is None else attrs.evolve(kind, allow_none=True)
