"""The plans of queries: checks of their parts, and the Select that a store compiles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from resourcekit.actions.joins import join_of
from resourcekit.actions.runtime import Runtime
from resourcekit.data_layers.base import Capability, Operation, Plan, Select, UnsupportedExpression
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import FieldFinding, InvalidArgument, did_you_mean
from resourcekit.expressions.nodes import Expression, Field, Param, Sort
from resourcekit.expressions.query import Query
from resourcekit.expressions.shape import Shaper

__all__ = ["own_fields", "plan_of", "refuse_distinct", "select_plan", "with_key"]

_NO_COLUMNS: Mapping[str, Expression] = {}


def plan_of(runtime: Runtime, key: Hashable, operation: Callable[[], Operation]) -> Plan:
    """Return the plan of an operation. Raise InvalidArgument if the store cannot compute it."""
    try:
        return runtime.plan(key, operation)
    except UnsupportedExpression as error:
        raise InvalidArgument(f"the data layer cannot answer this: {error}", resource=runtime.info.name) from None


def select_plan(
    runtime: Runtime,
    query: Query[Any],
    each: tuple[str, ...] = (),
    *,
    computed: Mapping[str, Expression] = _NO_COLUMNS,
    partial: bool = False,
    shaper: Shaper | None = None,
) -> tuple[Plan, dict[str, Any]]:
    """Return the plan of a query with its parameters.

    each: limit and offset count the records of each combination of these. computed: expressions whose values each row has, too.
    partial: a row with an unreadable value lacks it, and raises no error. shaper: collects the parameters.
    """
    shaper = Shaper() if shaper is None else shaper
    condition, shape = runtime.shape(shaper, query.condition)
    checked = runtime.conditions.order(query.order)
    distinct = _distinct(runtime, query)
    order, order_shape = shaper.shape_order(with_key(runtime, checked) if distinct or each else checked)
    limit = None if query.row_limit is None else Param("limit")
    offset = Param("offset") if query.row_offset else None
    fields = None if query.selected is None else _fields(runtime, (*query.selected, *own_fields(runtime, query), *each))
    shaped = {name: shaper.shape(node) for name, node in computed.items()}
    columns = {name: node for name, (node, _) in shaped.items()}
    column_shapes = tuple(shape for _, shape in shaped.values())
    key = ("select", shape, order_shape, limit is None, offset is None, fields, distinct, each, column_shapes, partial)
    plan = plan_of(
        runtime,
        key,
        lambda: Select(condition, order, limit, offset, fields, distinct=distinct, each=each, computed=columns, partial=partial),
    )
    return plan, {**shaper.params, "limit": query.row_limit, "offset": query.row_offset}


def _fields(runtime: Runtime, selected: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the attributes to load: the key, and the selected ones, in the order of declaration; ``None`` for all."""
    known = runtime.info.attributes
    findings = [
        FieldFinding(name, f"is no attribute. {did_you_mean(name, known)}".rstrip()) for name in selected if name not in known
    ]
    if findings:
        raise InvalidArgument(findings, resource=runtime.info.name)
    fields = tuple(name for name in runtime.fields if name in selected or name in runtime.key)
    return None if fields == runtime.fields else fields


def own_fields(runtime: Runtime, query: Query[Any]) -> list[str]:
    """Return the attributes that the relationships of a query compare, which are read even if they are not selected."""
    return [name for load in query.loads for name in join_of(runtime, load.relation.name, load.relation.owner).own]


def with_key(runtime: Runtime, order: tuple[Sort, ...]) -> tuple[Sort, ...]:
    """Return an order with the primary key added, so that no two records have one position."""
    named = {key.by.name for key in order if isinstance(key.by, Field)}
    return (*order, *(Sort(Field(name)) for name in runtime.key if name not in named))


def _distinct(runtime: Runtime, query: Query[Any]) -> tuple[str, ...]:
    """Return the attributes of ``distinct``. Raise InvalidArgument for unknown ones, and for lists, maps and JSON."""
    attributes = runtime.info.attributes
    findings = []
    for name in query.distinct_on:
        if name not in attributes:
            findings.append(FieldFinding(name, f"is no attribute. {did_you_mean(name, attributes)}".rstrip()))
        elif attributes[name].type.basic.kind in (Kind.ANY, Kind.LIST, Kind.MAP):
            findings.append(FieldFinding(name, f"cannot be made distinct: it is {attributes[name].type}"))
    if query.distinct_on and Capability.DISTINCT not in runtime.store.capabilities:
        findings.append(FieldFinding("distinct", "is not supported by the data layer; use group_by(...).values(...)"))
    if findings:
        raise InvalidArgument(findings, resource=runtime.info.name)
    return query.distinct_on


def refuse_distinct(runtime: Runtime, query: Query[Any], what: str) -> None:
    """Raise InvalidArgument for a query with ``distinct``, of which something cannot be computed."""
    if query.distinct_on:
        raise InvalidArgument(f"{what} a query with distinct(...)", resource=runtime.info.name)
