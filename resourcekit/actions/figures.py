"""Figures of a query: sum, average, smallest and largest value. The store computes them; no record is loaded."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from resourcekit.actions.runtime import Runtime
from resourcekit.actions.selects import plan_of, refuse_distinct
from resourcekit.data_layers.base import Aggregate
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import FieldFinding, InvalidArgument, did_you_mean
from resourcekit.expressions.nodes import Field, Operand, Param, as_expression
from resourcekit.expressions.query import Query
from resourcekit.expressions.shape import Shaper

__all__ = ["FigureKind", "figure", "figure_field", "group_key"]

FigureKind = Literal["sum", "avg", "min", "max"]

_SUMMED = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.DURATION})
_UNORDERED = frozenset({Kind.ANY, Kind.LIST, Kind.MAP})


def _can_sum(each: ValueType) -> bool:
    return each.kind in _SUMMED or (each.kind is Kind.LITERAL and each.python is int)


def _attribute(runtime: Runtime, what: str, field: object) -> str:
    info = runtime.info
    node = as_expression(field) if isinstance(field, Operand) else field
    name = node.name if isinstance(node, Field) else node
    if not isinstance(name, str):
        raise InvalidArgument(f"{what} takes an attribute, or its name, not {type(field).__name__}", resource=info.name)
    runtime.conditions.require_own(node)
    if name not in info.attributes:
        hint = did_you_mean(name, info.attributes)
        raise InvalidArgument(FieldFinding(name, f"is no attribute. {hint}".rstrip()), resource=info.name)
    return name


def group_key(runtime: Runtime, field: object) -> str:
    """Return the name of an attribute to group by. Raise InvalidArgument for something else, and for lists, maps and JSON."""
    name = _attribute(runtime, "group_by", field)
    each = runtime.info.attributes[name].type.basic
    if each.kind in _UNORDERED:
        raise InvalidArgument(FieldFinding(name, f"cannot be grouped by: it is {each}"), resource=runtime.info.name)
    return name


def figure_field(runtime: Runtime, kind: FigureKind, field: object) -> str:
    """Return the name of the attribute. Raise InvalidArgument for something else, and for a type without such a figure."""
    info = runtime.info
    name = _attribute(runtime, kind, field)
    each = info.attributes[name].type.basic
    if not (each.kind not in _UNORDERED if kind in ("min", "max") else _can_sum(each)):
        reason = "has no order, so there is no smallest or largest value" if kind in ("min", "max") else "cannot be summed"
        raise InvalidArgument(FieldFinding(name, f"{reason}: it is {each}"), resource=info.name)
    return name


async def figure(runtime: Runtime, query: Query[Any], kind: FigureKind, field: object) -> Any:
    """Return a figure of an attribute over the records of a query; ``None`` if there is no value.

    Values that are ``None`` are passed over. With a limit or an offset, only the records that the query returns count.
    """
    name = figure_field(runtime, kind, field)
    refuse_distinct(runtime, query, f"{kind} cannot be computed of")
    shaper = Shaper()
    condition, shape = runtime.shape(shaper, query.condition)
    order = runtime.conditions.order(query.order)
    is_cut = query.row_limit is not None or query.row_offset > 0
    order, order_shape = shaper.shape_order(order if is_cut else ())
    limit = None if query.row_limit is None else Param("limit")
    offset = Param("offset") if query.row_offset else None
    plan = plan_of(
        runtime,
        ("figure", kind, name, shape, order_shape, limit is None, offset is None),
        lambda: attrs.evolve(Aggregate(kind, condition, name), order=order, limit=limit, offset=offset),
    )
    params = {**shaper.params, "limit": query.row_limit, "offset": query.row_offset}
    return await runtime.store.aggregate(plan, params)
