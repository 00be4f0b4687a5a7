"""Runs read actions and ad-hoc queries: preparations, one compiled statement, records."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal

import attrs

from resourcekit.actions.computing import Computing, with_computed
from resourcekit.actions.loading import attach, check_loads
from resourcekit.actions.plan_cache import Read, cached_read
from resourcekit.actions.relating import resolved
from resourcekit.actions.runtime import Inputs, Runtime
from resourcekit.actions.selects import plan_of, select_plan
from resourcekit.actions.steps import settled, wrong_result
from resourcekit.actions.watched import Watched
from resourcekit.call_context import Context, ambient_context
from resourcekit.data_layers.base import Aggregate
from resourcekit.data_layers.owned_streams import OwnedStream
from resourcekit.declarations.action import ReadAction
from resourcekit.errors import Invalid, NotFound
from resourcekit.expressions.query import Query
from resourcekit.expressions.rewriting import substitute
from resourcekit.expressions.shape import Shaper

__all__ = [
    "ReadRunner",
    "aggregate",
    "fetch_all",
    "fetch_one",
    "primary_read",
    "read_named",
    "shown_query",
    "stream",
]


_BATCH = 100
"""Streamed records whose relationships are loaded together."""


class ReadRunner:
    """A read action of one resource, compiled once."""

    def __init__(self, runtime: Runtime, action: ReadAction) -> None:
        self.runtime, self.action = runtime, action
        self._inputs = Inputs(action.arguments.values())
        self._preparations = [getattr(step, "prepare", step) for step in action.preparations]
        self.is_plain = not self._preparations and action.function is None

    async def run(self, given: Mapping[str, Any], context: Context) -> Any:
        """Return the list of records; for a ``get`` action the one record or ``None``."""
        query = await self.prepare(Query(), given, context)
        if self.action.get:
            records = await fetch_all(self.runtime, query.limit(2))
            if len(records) > 1:
                raise Invalid("more than one record answers", resource=self.runtime.info.name, action=self.action.name)
            return records[0] if records else None
        return await fetch_all(self.runtime, query, partial=True)

    async def prepare(self, query: Query[Any], given: Mapping[str, Any], context: Context) -> Query[Any]:
        """Return a query with the preparations of this action applied. Raise Invalid for wrong arguments."""
        if self.is_plain and not given:
            return query
        arguments, _, findings = self._inputs.bind(given)
        if findings:
            raise Invalid(findings, resource=self.runtime.info.name, action=self.action.name)
        for prepare in self._preparations:
            query = self._checked(await settled(prepare(query, context)))
        if self.action.function is not None:
            query = self._checked(await settled(self._decorated(query, arguments, context)))
        return await resolved(self.runtime, _with_arguments(query, arguments), shown_query)

    def _checked(self, query: Any) -> Query[Any]:
        if isinstance(query, Query):
            return query
        what = f"{self.runtime.info.name}.{self.action.name} must return the query, not {type(query).__name__}"
        raise wrong_result(self.runtime.resource, self.action.name, what, "End the function with: return query.")

    def _decorated(self, query: Query[Any], arguments: Mapping[str, Any], context: Context) -> Any:
        named = {name: arguments[name] for name in self.action.parameters}
        if self.action.context_parameter is not None:
            named[self.action.context_parameter] = context
        leading = (self.runtime.resource, query) if self.action.takes_class else (query,)
        return self.action.function(*leading, **named) if self.action.function is not None else query


def _with_arguments(query: Query[Any], arguments: Mapping[str, Any]) -> Query[Any]:
    if not arguments:
        return query
    condition = None if query.condition is None else substitute(query.condition, arguments)
    order = tuple(attrs.evolve(key, by=substitute(key.by, arguments)) for key in query.order)
    loads = tuple(
        attrs.evolve(load, relation=load.relation.asking(_with_arguments(load.relation.asked, arguments))) for load in query.loads
    )
    computed = tuple(attrs.evolve(each, node=substitute(each.node, arguments)) for each in query.computed)
    return attrs.evolve(query, condition=condition, order=order, loads=loads, computed=computed)


def primary_read(runtime: Runtime) -> ReadRunner:
    """Return the runner of the primary read action."""

    def make() -> ReadRunner:
        reads = [action for action in runtime.info.actions.values() if isinstance(action, ReadAction)]
        return ReadRunner(runtime, next(action for action in reads if action.primary))

    return runtime.keep("primary read", make)


def read_named(runtime: Runtime, name: str | None) -> ReadRunner:
    """Return the runner of a read action; of the primary one if ``name`` is ``None``."""
    if name is None:
        return primary_read(runtime)
    reads = runtime.info.all_of(ReadAction)
    return runtime.keep(("read", name), lambda: ReadRunner(runtime, reads[name]))


async def fetch_all(runtime: Runtime, query: Query[Any], *, partial: bool = False) -> list[Any]:
    """Return all records of a query, whose expressions may be resolved or not. partial: one with an unreadable value lacks it."""

    async def make(query: Query[Any], shown: Watched, shaper: Shaper) -> Read:
        query, computing = await with_computed(runtime, await resolved(runtime, query, shown), shown, attach)
        plan, params = select_plan(runtime, query, computed=computing.columns, partial=partial, shaper=shaper)
        return Read(plan, params, computing)

    check_loads(runtime, query.loads)
    read = await cached_read(runtime, query, partial, shown_query, make)
    computing: Computing = read.context
    records = computing.records(await runtime.store.select(read.plan, read.params))
    if query.loads:
        await attach(runtime, records, query.loads, shown_query)
    await computing.finish(records)
    return records


async def shown_query(runtime: Runtime) -> Query[Any]:
    """Return the query of what the primary read of a resource shows."""
    return await primary_read(runtime).prepare(Query(), {}, ambient_context())


async def fetch_one(runtime: Runtime, query: Query[Any]) -> Any:
    """Return the only record of a query. Raise NotFound for none, Invalid for several."""
    records = await fetch_all(runtime, query.limit(2))
    if not records:
        raise NotFound("no record answers the query", resource=runtime.info.name)
    if len(records) > 1:
        raise Invalid("more than one record answers the query", resource=runtime.info.name)
    return records[0]


async def stream(runtime: Runtime, query: Query[Any]) -> AsyncGenerator[Any, None]:
    """Yield the records of a query as they are requested. Memory does not grow with the number of records."""
    check_loads(runtime, query.loads)
    query, computing = await with_computed(runtime, query, shown_query, attach)
    plan, params = select_plan(runtime, query, computed=computing.columns, partial=True)
    rows = OwnedStream(runtime.store.stream(plan, params))
    batch: list[Any] = []
    try:
        async for row in rows:
            if not query.loads and not query.computed:
                yield runtime.record(row)
                continue
            batch += computing.records([row])
            if len(batch) == _BATCH:
                await attach(runtime, batch, query.loads, shown_query)
                await computing.finish(batch)
                for record in batch:
                    yield record
                batch = []
        await attach(runtime, batch, query.loads, shown_query)
        await computing.finish(batch)
        for record in batch:
            yield record
    finally:
        # A caller that stops early must not keep a connection busy until the next garbage collection.
        await rows.aclose()


async def aggregate(runtime: Runtime, query: Query[Any], kind: Literal["exists", "count"]) -> Any:
    """Return the count of a query, or whether it has any record. The store counts; no record is loaded.

    The effect of a limit and an offset is computed from the count of all records.
    """
    if kind == "count" and query.distinct_on:
        plan, params = select_plan(runtime, query.select())
        return len(await runtime.store.select(plan, params))
    if kind == "exists":
        if query.row_limit == 0:
            return False
        if query.row_offset:
            return await aggregate(runtime, query, "count") > 0
    shaper = Shaper()
    condition, shape = runtime.shape(shaper, query.condition)
    runtime.conditions.order(query.order)  # an invalid order is refused, although it does not change the count
    plan = plan_of(runtime, (kind, shape), lambda: Aggregate(kind, condition))
    found = await runtime.store.aggregate(plan, shaper.params)
    if kind == "exists":
        return found
    left = max(found - query.row_offset, 0)
    return left if query.row_limit is None else min(left, query.row_limit)
