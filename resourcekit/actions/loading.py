"""Loads related records: one statement for each relationship, however many records have it.

A maintainer opens it to change how the records of a relationship are found and given to the records that refer to them.
"""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import attrs

from resourcekit.actions.computing import Computing, with_computed
from resourcekit.actions.joins import Join, join_of
from resourcekit.actions.loaded import Loaded, check_extra, copied, keep_loaded, loaded_of
from resourcekit.actions.plan_cache import Read, cached_read
from resourcekit.actions.relating import Shown, is_plain, resolved
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.actions.selects import own_fields, select_plan, with_key
from resourcekit.actions.steps import settled
from resourcekit.actions.through import Through
from resourcekit.call_context import CallMode, call_mode
from resourcekit.data_layers.base import Capability, Row
from resourcekit.errors import FieldFinding, InvalidArgument, NotFound, WrongResult
from resourcekit.expressions.nodes import Compare, Expression, Field, In, Param, Value, all_of, any_of
from resourcekit.expressions.query import Computed, Load, Loadable, Query
from resourcekit.expressions.shape import Shaper

__all__ = ["KEYS", "MOST_KEYS", "Shown", "among", "attach", "check_loads", "compute", "padded", "related_read", "the_one"]

Key = tuple[Any, ...]

KEYS = "keys"
"""Name of the parameter that holds the keys of a load."""
MOST_KEYS = 10_000
"""Keys of one statement: a database has an upper limit of parameters. More parents need another statement."""


def check_loads(runtime: Runtime, loads: Sequence[Load]) -> None:
    """Raise InvalidArgument for loads that cannot run, on every level, before anything is read."""
    info = runtime.info
    for load in loads:
        relation = load.relation
        if relation.via:
            what = f"is behind a path, and the records on the way have to be loaded, too; write {_nested(relation)}"
            raise InvalidArgument(FieldFinding(relation.name, what), resource=info.name)
        join = join_of(runtime, relation.name, relation.owner)
        if load.name:
            check_extra(info, load.name)
        if join.entity.limit is not None and (relation.asked.condition is not None or relation.asked.order):
            what = f"{relation.name} is limited by its declaration; filter and sort a relationship without limit"
            raise InvalidArgument(FieldFinding(relation.name, what), resource=info.name)
        destination = runtime_of(join.destination)
        asked = relation.asked
        if asked.condition is not None and is_plain(destination, asked.condition):
            destination.conditions.condition(asked.condition)
        destination.conditions.order(tuple(key for key in asked.order if is_plain(destination, key.by)))
        check_loads(destination, relation.asked.loads)


def _nested(relation: Loadable) -> str:
    """Return the load of a relationship behind a path, as it is to be written."""
    *steps, last = [f"{getattr(each.owner, '__name__', '?')}.{each.name}" for each in (*relation.via, relation)]
    return functools.reduce(lambda inner, step: f"{step}.load({inner})", reversed(steps), last)


async def attach(runtime: Runtime, records: Sequence[Any], loads: Sequence[Load], shown: Shown) -> None:
    """Load relationships of records, and keep what was found with them. The records are seen by no caller yet."""
    if not records or not loads:
        return
    related: dict[str, list[Any]] = {}
    extra: dict[str, list[Any]] = {}
    loading = [_Loading(runtime, load, shown).of(records) for load in loads]
    for load, found in zip(loads, await _all(runtime, loading), strict=True):
        (extra if load.name else related)[load.name or load.relation.name] = found
    for number, record in enumerate(records):
        before = loaded_of(record)
        of_names = {name: column[number] for name, column in related.items() if column[number] is not _UNREADABLE}
        if before is None and not extra:
            keep_loaded(record, Loaded(of_names))
            continue
        before = before or Loaded()
        others = {name: column[number] for name, column in extra.items() if column[number] is not _UNREADABLE}
        keep_loaded(record, Loaded({**before.related, **of_names}, {**before.extra, **others}))


async def _all(runtime: Runtime, loading: Sequence[Coroutine[Any, Any, list[Any]]]) -> list[list[Any]]:
    """Return what independent loads found; in an async call outside of a transaction they run at the same time."""
    at_once = len(loading) > 1 and call_mode.get() is not CallMode.SYNC and not runtime.store.plain.in_process
    if not at_once or runtime.store.current_transaction() is not None:
        done: list[list[Any]] = []
        try:
            for each in loading:
                done.append(await each)  # noqa: PERF401  # the rest is closed if one fails
        finally:
            for each in loading[len(done) :]:
                each.close()
        return done
    found = await asyncio.gather(*loading, return_exceptions=True)
    if failed := next((each for each in found if isinstance(each, BaseException)), None):
        raise failed
    return [each for each in found if not isinstance(each, BaseException)]


async def compute(runtime: Runtime, records: Sequence[Any], given: Sequence[Computed], shown: Shown) -> None:
    """Compute values of records that were read before. The records are seen by no caller yet."""
    if not records or not given:
        return
    computing = await Computing.of(runtime, given, shown, attach)
    if computing.columns:
        await _read_columns(runtime, records, computing)
    await computing.finish(records)


async def _read_columns(runtime: Runtime, records: Sequence[Any], computing: Computing) -> None:
    keys = [tuple([getattr(record, name) for name in runtime.key]) for record in records]
    wanted, found = list(dict.fromkeys(keys)), dict[tuple[Any, ...], Row]()
    for first in range(0, len(wanted), MOST_KEYS):
        part = wanted[first : first + MOST_KEYS]
        asked: Query[Any] = Query(all_of(among(runtime.key, part))).select(*runtime.key)
        plan, params = select_plan(runtime, asked, computed=computing.columns)
        for row in await runtime.store.select(plan, {**params, KEYS: padded(part)}):
            found[tuple([row[name] for name in runtime.key])] = row
    for record, key in zip(records, keys, strict=True):
        if key not in found:
            raise NotFound("the record does not exist any more, so nothing can be computed of it", resource=runtime.info.name)
        computing.take(record, found[key])


async def related_read(runtime: Runtime, relation: Loadable, shown: Shown) -> Read:
    """Return the read of the related records of any keys, which the parameter KEYS holds; for a relationship with one key."""
    return await _Loading(runtime, Load(relation), shown).read_of_all()


class _Loading:
    """One relationship that is loaded for records."""

    def __init__(self, runtime: Runtime, load: Load, shown: Shown) -> None:
        self.runtime, self.shown = runtime, shown
        self.asked = load.relation.asked
        self.join: Join = join_of(runtime, load.relation.name, load.relation.owner)
        self.destination = runtime_of(self.join.destination)

    async def of(self, records: Sequence[Any]) -> list[Any]:
        """Return what belongs to each record: a tuple, or a record or ``None``."""
        if self.join.entity.load is not None:
            return await self._computed(records, self.join.entity.load)
        lacking = [_lacks(record, self.join.own) for record in records]
        if any(lacking):
            found = iter(await self.of([record for record, lacks in zip(records, lacking, strict=True) if not lacks]))
            return [_UNREADABLE if lacks else next(found) for lacks in lacking]
        keys = [_values(record, self.join.own) for record in records]
        wanted = list(dict.fromkeys(key for key in keys if None not in key))
        groups = await (self._joined(wanted) if self.join.through is not None else self._direct(wanted)) if wanted else {}
        if self.join.entity.is_many:
            return [tuple(groups.get(key, ())) for key in keys]
        return [self._one(groups.get(key)) for key in keys]

    def _one(self, found: Sequence[Any] | None) -> Any:
        return None if not found and self.asked.condition is not None else the_one(self.join, self.runtime, found)

    async def read_of_all(self) -> Read:
        """Return the read of the related records of any keys, which the parameter KEYS holds."""
        fields = self.join.other
        return await self._read(self.destination, (await self._query()).filter(among(fields, ())), fields, ())

    async def _query(self) -> Query[Any]:
        """Return the query of related records: what the primary read shows, what the relationship and the caller ask for."""
        query, join, asked = await self.shown(self.destination), self.join, self.asked
        if query.distinct_on:
            what = f"the primary read of {self.destination.info.name} is distinct, and cannot be read for several records at once"
            raise InvalidArgument(FieldFinding(join.entity.name, what), resource=self.runtime.info.name)
        query = query.filter(*(each for each in (join.condition, asked.condition) if each is not None))
        for limit in (join.entity.limit, asked.row_limit):
            query = query if limit is None else query.limit(limit)
        order = asked.order or join.order or query.order
        if order or join.entity.is_many:
            order = with_key(self.destination, order)
        return attrs.evolve(query, order=order).with_loads(asked.loads).with_computed(asked.computed)

    async def _direct(self, wanted: Sequence[Key]) -> Mapping[Key, Sequence[Any]]:
        """Return the related records by the values that both sides have."""
        query = await self._query()
        if self.join.entity.kind == "has_one" and self.join.order:
            query = query.limit(1)
        found = await self._fetch(self.destination, query, self.join.other, wanted)
        await attach(self.destination, found, query.loads, self.shown)
        return _grouped(found, self.join.other)

    async def _joined(self, wanted: Sequence[Key]) -> Mapping[Key, Sequence[Any]]:
        """Return the related records by the keys of the records, over the resource between the two."""
        shown = attrs.evolve(await self.shown(runtime_of(self.join.through)), loads=(), computed=())
        asked = await resolved(self.destination, await self._query(), self.shown)
        query, computing = await with_computed(self.destination, asked, self.shown, attach)
        named = {*(query.selected or ()), *self.destination.key, *own_fields(self.destination, query)}
        fields = tuple(name for name in self.destination.fields if query.selected is None or name in named)
        through = Through.of(self.join, shown, query, computing.columns, fields)
        if through is None:
            groups = await self._one_side_after_the_other(wanted, shown, asked)
        else:
            groups = await self._both_sides(wanted, through, computing)
        kept = {id(record): record for found in groups.values() for record in found}
        await attach(self.destination, list(kept.values()), query.loads, self.shown)
        return groups

    async def _both_sides(self, wanted: Sequence[Key], through: Through, computing: Computing) -> Mapping[Key, Sequence[Any]]:
        """Return the related records of each key, from one statement."""
        between, query, key = runtime_of(self.join.through), through.query, self.destination.key
        is_cut = query.row_limit is not None or query.row_offset > 0
        each = self.join.other if is_cut and Capability.DISTINCT in between.store.capabilities else ()
        whole = query if each else attrs.evolve(query, row_limit=None, row_offset=0)
        records: dict[Key, Any] = {}
        groups: dict[Key, dict[Key, Any]] = defaultdict(dict)
        for first in range(0, len(wanted), MOST_KEYS):
            part = wanted[first : first + MOST_KEYS]
            plan, params = select_plan(between, whole.filter(among(self.join.other, part)), each, computed=through.columns)
            near, rows = through.rows(await between.store.select(plan, {**params, KEYS: padded(part)}))
            far = [tuple([row[name] for name in key]) for row in rows]
            fresh = {one: row for one, row in zip(far, rows, strict=True) if one not in records}
            records.update(zip(fresh, computing.records(list(fresh.values())), strict=True))
            for source, one in zip(near, far, strict=True):
                groups[source][one] = records[one]
        await computing.finish(list(records.values()))
        found = {source: list(group.values()) for source, group in groups.items()}
        return found if each or not is_cut else {source: _cut(group, query) for source, group in found.items()}

    async def _one_side_after_the_other(
        self, wanted: Sequence[Key], shown: Query[Any], query: Query[Any]
    ) -> Mapping[Key, Sequence[Any]]:
        """Return the related records of each key, from two statements: over two data layers, or values in another form."""
        join, between = self.join, runtime_of(self.join.through)
        sources: dict[Key, dict[Key, None]] = defaultdict(dict)
        for row in await self._fetch(between, shown.select(*join.other, *join.onward), join.other, wanted):
            if None not in (onward := _values(row, join.onward)):
                sources[onward][_values(row, join.other)] = None
        if not sources:
            return {}
        whole = attrs.evolve(query, row_limit=None, row_offset=0)
        groups: dict[Key, list[Any]] = defaultdict(list)
        for record in await self._fetch(self.destination, whole, join.far, list(sources)):
            for source in sources[_values(record, join.far)]:
                groups[source].append(record)
        return {source: _cut(found, query) for source, found in groups.items()}

    async def _fetch(self, runtime: Runtime, query: Query[Any], fields: tuple[str, ...], wanted: Sequence[Key]) -> list[Any]:
        """Return the records whose fields have one of the wanted values; limit and offset count for each of these."""
        is_cut = query.row_limit is not None or query.row_offset > 0
        each = fields if is_cut and Capability.DISTINCT in runtime.store.capabilities else ()
        found: list[Any] = []
        computing: Computing | None = None
        for first in range(0, len(wanted), MOST_KEYS):
            part = wanted[first : first + MOST_KEYS]
            read = await self._read(runtime, query.filter(among(fields, part)), fields, each)
            computing = read.context
            assert computing is not None
            found += computing.records(await runtime.store.select(read.plan, {**read.params, KEYS: padded(part)}))
        if is_cut and not each:
            found = [record for group in _grouped(found, fields).values() for record in _cut(group, query)]
        if computing is not None:
            await computing.finish(found)
        return found

    async def _read(self, runtime: Runtime, asked: Query[Any], fields: tuple[str, ...], each: tuple[str, ...]) -> Read:
        """Return the read of a query of the records whose fields have the values of its condition."""

        async def make(query: Query[Any], shown: Shown, shaper: Shaper) -> Read:
            query, computing = await with_computed(runtime, await resolved(runtime, query, shown), shown, attach)
            if query.selected is not None:  # a read action may select; the key is needed to know whose records they are
                query = query.select(*query.selected, *fields)
            asked = query if each else attrs.evolve(query, row_limit=None, row_offset=0)
            plan, params = select_plan(runtime, asked, each, computed=computing.columns, partial=True, shaper=shaper)
            return Read(plan, params, computing)

        if len(fields) == 1:
            return await cached_read(runtime, asked, ("load", fields, each), self.shown, make)
        return await make(asked, self.shown, Shaper())

    async def _computed(self, records: Sequence[Any], function: Callable[..., Any]) -> list[Any]:
        """Return what a function of the user returns for each record."""
        entity = self.join.entity
        answer = await settled(function(list(records)))
        if not isinstance(answer, Mapping):
            raise self._wrong(f"must return a mapping by primary key, not {type(answer).__name__}")
        keys = [_values(record, self.runtime.key) for record in records]
        given = [answer.get(key[0] if len(key) == 1 else key) for key in keys]
        if entity.is_many and not all(isinstance(each, (list, tuple, type(None))) for each in given):
            raise self._wrong("must return a list or a tuple of records for each key")
        groups = [list(each or ()) if entity.is_many else [] if each is None else [each] for each in given]
        if strange := [each for group in groups for each in group if not isinstance(each, self.join.destination)]:
            raise self._wrong(f"must return records of {self.destination.info.name}, not {type(strange[0]).__name__}")
        if self.asked.loads or self.asked.computed:
            fresh = {id(each): copied(each) for group in groups for each in group}
            await attach(self.destination, list(fresh.values()), self.asked.loads, self.shown)
            await compute(self.destination, list(fresh.values()), self.asked.computed, self.shown)
            groups = [[fresh[id(each)] for each in group] for group in groups]
        return [tuple(group) if entity.is_many else self._one(group) for group in groups]

    def _wrong(self, what: str) -> WrongResult:
        entity = self.join.entity
        place: Any = {"resource": self.runtime.info.name, "origin": entity.origin, "path": (entity.section, entity.name)}
        return WrongResult("RK056", f"the load function {what}", hint="Return {record.id: ..., ...}.", **place)


def the_one(join: Join, runtime: Runtime, found: Sequence[Any] | None) -> Any:
    """Return the record of a to-one relationship, or ``None``. Raise NotFound if the relationship needs one and none was found."""
    if found:
        return found[0]
    if join.entity.allow_none:
        return None
    name = join.destination.__info__.name
    what = f"the {name} of a record does not exist, or the primary read of {name} does not show it"
    raise NotFound(FieldFinding(join.entity.name, what), resource=runtime.info.name)


_UNREADABLE: Any = object()
"""In place of what belongs to a record whose key for it cannot be read; reading the relationship raises the error of the key."""


def _lacks(record: Any, fields: tuple[str, ...]) -> bool:
    """Return whether one of the attributes of a record cannot be read."""
    unreadable = getattr(vars(record), "unreadable", None)
    return unreadable is not None and not unreadable.keys().isdisjoint(fields)


def _values(record: Any, fields: tuple[str, ...]) -> Key:
    return tuple([getattr(record, name) for name in fields])


def _grouped(records: Iterable[Any], fields: tuple[str, ...]) -> dict[Key, list[Any]]:
    groups: dict[Key, list[Any]] = defaultdict(list)
    if len(fields) == 1:  # the usual case, without a call for each record
        name = fields[0]
        for record in records:
            groups[(vars(record)[name],)].append(record)
        return groups
    for record in records:
        groups[_values(record, fields)].append(record)
    return groups


def _cut(records: Sequence[Any], query: Query[Any]) -> Sequence[Any]:
    return records[query.row_offset :][: query.row_limit]


def among(fields: tuple[str, ...], wanted: Sequence[Key]) -> Expression:
    """Return the condition that some attributes have one of the wanted values; a single one takes the parameter KEYS."""
    if len(fields) == 1:
        return In(Field(fields[0]), Param(KEYS))
    return any_of(
        *(all_of(*(Compare("==", Field(name), Value(each)) for name, each in zip(fields, key, strict=True))) for key in wanted)
    )


def padded(wanted: Sequence[Key]) -> tuple[Any, ...]:
    """Return single keys, the last one repeated up to a power of two: a statement is compiled for each number of keys."""
    keys = [key[0] for key in wanted]
    return (*keys, *[keys[-1]] * ((1 << (len(keys) - 1).bit_length()) - len(keys)))
