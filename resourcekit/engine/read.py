"""Runs a read action and ad-hoc queries: preparations, one compiled statement, records."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from typing import Any, Literal

import attrs

from resourcekit.data_layers.base import Aggregate, Operation, Plan, Select, UnsupportedExpression
from resourcekit.declarations.action import ReadAction
from resourcekit.engine.inputs import Inputs
from resourcekit.engine.runtime import Runtime
from resourcekit.engine.steps import settled
from resourcekit.errors import Invalid, InvalidArgument, NotFound
from resourcekit.flow.context import Context
from resourcekit.flow.expression import Param, Sort
from resourcekit.flow.query import Query
from resourcekit.flow.rewriting import substitute
from resourcekit.flow.shape import Shaper

__all__ = ["ReadRunner", "aggregate", "fetch_all", "fetch_one", "primary_read", "read_named", "stream"]


class ReadRunner:
    """A read action of one resource, compiled once."""

    def __init__(self, runtime: Runtime, action: ReadAction) -> None:
        self.runtime, self.action = runtime, action
        self._inputs = Inputs(action.arguments.values())
        self._preparations = [getattr(step, "prepare", step) for step in action.preparations]
        self.is_plain = not self._preparations and action.function is None

    async def run(self, given: Mapping[str, Any], context: Context) -> Any:
        """Return the records, or for a ``get`` action the one or ``None``."""
        query = await self.prepare(Query(), given, context)
        if self.action.get:
            records = await fetch_all(self.runtime, query.limit(2))
            if len(records) > 1:
                raise Invalid("more than one record answers", resource=self.runtime.info.name, action=self.action.name)
            return records[0] if records else None
        return await fetch_all(self.runtime, query)

    async def prepare(self, query: Query[Any], given: Mapping[str, Any], context: Context) -> Query[Any]:
        """Return the query that this action makes of another one. Raises Invalid for wrong arguments."""
        if self.is_plain and not given:
            return query
        arguments, _, findings = self._inputs.bind(given)
        if findings:
            raise Invalid(findings, resource=self.runtime.info.name, action=self.action.name)
        for prepare in self._preparations:
            query = self._checked(await settled(prepare(query, context)))
        if self.action.function is not None:
            query = self._checked(await settled(self._decorated(query, arguments, context)))
        return _with_arguments(query, arguments)

    def _checked(self, query: Any) -> Query[Any]:
        if isinstance(query, Query):
            return query
        msg = f"{self.runtime.info.name}.{self.action.name} must return the query, not {type(query).__name__}"
        raise TypeError(msg)

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
    order = tuple(Sort(substitute(key.by, arguments), key.descending) for key in query.order)
    return attrs.evolve(query, condition=condition, order=order)


def primary_read(runtime: Runtime) -> ReadRunner:
    """Return the runner of the read action that is used where none is named."""

    def make() -> ReadRunner:
        reads = [action for action in runtime.info.actions.values() if isinstance(action, ReadAction)]
        return ReadRunner(runtime, next(action for action in reads if action.primary))

    return runtime.keep("primary read", make)


def read_named(runtime: Runtime, name: str | None) -> ReadRunner:
    """Return the runner of a read action, of the primary one where none is named."""
    if name is None:
        return primary_read(runtime)
    reads = runtime.info.all_of(ReadAction)
    return runtime.keep(("read", name), lambda: ReadRunner(runtime, reads[name]))


def _plan(runtime: Runtime, key: Hashable, operation: Callable[[], Operation]) -> Plan:
    try:
        return runtime.plan(key, operation)
    except UnsupportedExpression as error:
        raise InvalidArgument(f"the data layer cannot answer this: {error}", resource=runtime.info.name) from None


def _select(runtime: Runtime, query: Query[Any]) -> tuple[Plan, dict[str, Any]]:
    shaper = Shaper()
    condition, shape = runtime.shape(shaper, query.condition)
    order, order_shape = shaper.shape_order(runtime.conditions.order(query.order))
    limit = None if query.row_limit is None else Param("limit")
    offset = Param("offset") if query.row_offset else None
    key = ("select", shape, order_shape, limit is None, offset is None)
    plan = _plan(runtime, key, lambda: Select(condition, order, limit, offset))
    return plan, {**shaper.params, "limit": query.row_limit, "offset": query.row_offset}


async def fetch_all(runtime: Runtime, query: Query[Any]) -> list[Any]:
    """Return all records of a query."""
    plan, params = _select(runtime, query)
    return [runtime.record(row) for row in await runtime.store.select(plan, params)]


async def fetch_one(runtime: Runtime, query: Query[Any]) -> Any:
    """Return the only record of a query. Raises NotFound for none, Invalid for several."""
    records = await fetch_all(runtime, query.limit(2))
    if not records:
        raise NotFound("no record answers the query", resource=runtime.info.name)
    if len(records) > 1:
        raise Invalid("more than one record answers the query", resource=runtime.info.name)
    return records[0]


async def stream(runtime: Runtime, query: Query[Any]) -> AsyncGenerator[Any, None]:
    """Yield the records of a query as they are asked for, in flat memory."""
    plan, params = _select(runtime, query)
    rows = runtime.store.stream(plan, params)
    try:
        async for row in rows:
            yield runtime.record(row)
    finally:
        # A caller who stops early must not leave a connection behind until the next collection of garbage.
        if (close := getattr(rows, "aclose", None)) is not None:
            await close()


async def aggregate(runtime: Runtime, query: Query[Any], kind: Literal["exists", "count"]) -> Any:
    """Return how many records a query has, or whether it has any; limit and offset count."""
    if query.row_limit is not None or query.row_offset:
        found = len(await fetch_all(runtime, query))
        return found if kind == "count" else found > 0
    shaper = Shaper()
    condition, shape = runtime.shape(shaper, query.condition)
    plan = _plan(runtime, (kind, shape), lambda: Aggregate(kind, condition))
    return await runtime.store.aggregate(plan, shaper.params)
