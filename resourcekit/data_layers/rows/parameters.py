"""The parameters of a condition over rows: their names, the time of a run, and the values that no store can compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resourcekit.clock import utc_now
from resourcekit.data_layers.rows.values import Refused, check_parameter
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.expressions.dates import Today
from resourcekit.expressions.measures import Contains
from resourcekit.expressions.nodes import Compare, Expression, In, Like, Now, Param, Value
from resourcekit.expressions.rewriting import children, fields_of, rebuild
from resourcekit.resource_info import ResourceInfo

__all__ = [
    "beside_json",
    "check",
    "compared_with",
    "moment",
    "parameters",
    "pinned",
]


def parameters(*nodes: Expression | None) -> frozenset[str]:
    """Return the names of all parameters in some expressions."""
    own = frozenset(node.name for node in nodes if isinstance(node, Param))
    return own.union(*(parameters(*children(node)) for node in nodes if node is not None), *map(_option_names, nodes))


def _option_names(node: Expression | None) -> frozenset[str]:
    if isinstance(node, In) and isinstance(node.options, Value) and isinstance(node.options.value, tuple):
        return parameters(*(option for option in node.options.value if isinstance(option, Expression)))
    return frozenset()


def beside_json(node: Expression | None, info: ResourceInfo) -> frozenset[str]:
    """Return the names of parameters that are compared with lists, dicts or other JSON."""
    if node is None:
        return frozenset()
    if isinstance(node, (Compare, In)):
        fields = [info.attributes[name] for name in fields_of(node) if name in info.attributes]
        if any(field.type.kind in (Kind.LIST, Kind.MAP, Kind.ANY) for field in fields):
            return parameters(node)
    return frozenset().union(*(beside_json(part, info) for part in children(node)))


def compared_with(node: Expression | None, info: ResourceInfo) -> dict[str, str]:
    """Return the attribute that each parameter of a condition is compared with, if it is one."""
    if node is None:
        return {}
    found = dict[str, str]()
    if isinstance(node, (Compare, In, Like, Contains)):
        fields = [name for name in fields_of(node) if name in info.attributes]
        found = dict.fromkeys(parameters(node), fields[0]) if len(fields) == 1 else {}
    for part in children(node):
        found |= compared_with(part, info)
    return found


def check(value: object, field: str = "", resource: str = "", *, is_json: bool = False) -> None:
    """Raise Invalid for a value that no store can compare with: NUL, a lone surrogate, a naive datetime, NaN, more than 64 bits.

    field: the attribute that it is compared with. is_json: it is compared with JSON, whose numbers may be of any size.
    """
    try:
        check_parameter(value, is_json=is_json)
    except Refused as refused:
        what = f"a value to compare with {refused}"
        raise Invalid(FieldFinding(field, what) if field else what, resource=resource) from None


Params = Mapping[str, Any]
_NOW, _TODAY = "now()", "today()"  # no parameter of an action has such a name
_DATE = Today()


def pinned(node: Expression) -> Expression:
    """Return an expression whose ``now()`` and ``today()`` are parameters, which ``moment`` adds."""
    if isinstance(node, Now):
        return Param(_TODAY if isinstance(node, Today) else _NOW)
    if isinstance(node, In) and isinstance(node.options, Value) and isinstance(node.options.value, tuple):
        options = tuple(pinned(option) if isinstance(option, Expression) else option for option in node.options.value)
        return In(pinned(node.operand), Value(options))
    parts = children(node)
    return rebuild(node, tuple(pinned(part) for part in parts)) if parts else node


def moment(params: Params) -> dict[str, Any]:
    """Return the parameters of one run, with the time at which it runs."""
    now = utc_now()
    return {**params, _NOW: now, _TODAY: _DATE.at(now)}
