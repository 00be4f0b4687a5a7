"""Variants of an operation for parameters that are ``None`` or collections.

``None`` changes the text of a statement (``x = NULL`` is never true), and so does the size of a collection. A plan is compiled
for values. If a call passes ``None``, the operation is compiled once more with ``None`` in place of the parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import attrs

from resourcekit.data_layers.base import Aggregate, Insert, Operation, Select, Update
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.nodes import Expression
from resourcekit.expressions.rewriting import children, rebuild

__all__ = ["Item", "Whole", "collections_in", "held_by", "shape_of", "shaped"]


@attrs.frozen(eq=False)
class Item(ex.Expression):
    """One item of a parameter that holds a collection."""

    name: str
    index: int


@attrs.frozen(eq=False)
class Whole(ex.Expression):
    """A parameter that holds a collection, which is sent as one value, so that one statement serves any number of items."""

    name: str


def held_by(operation: Operation) -> dict[str, str]:
    """Return the attributes that collections are compared with in the condition of an operation, by the names of parameters."""
    condition = None if isinstance(operation, Insert) else operation.condition
    found: dict[str, str] = {}
    for part in condition.parts if isinstance(condition, ex.And) else (condition,):
        match part:
            case ex.In(ex.Field(field), ex.Param(name)):
                found[name] = field
            case _:
                pass
    return found


def _expressions(operation: Operation) -> list[Expression | None]:
    match operation:
        case Select() | Aggregate():
            computed = operation.computed.values() if isinstance(operation, Select) else ()
            return [operation.condition, operation.limit, operation.offset, *(key.by for key in operation.order), *computed]
        case Insert():
            conflict = operation.on_conflict
            return [] if conflict is None else [conflict.where, *conflict.set.values()]
        case Update():
            return [operation.condition, *operation.assignments.values()]
        case _:
            return [operation.condition]


def _walk(node: Expression | None, scalars: set[str], collections: set[str]) -> None:
    match node:
        case None:
            return
        case ex.Param(name) | ex.Argument(name):
            scalars.add(name)
        case ex.In(operand, ex.Param(name) | ex.Argument(name)):
            _walk(operand, scalars, collections)
            collections.add(name)
        case ex.In(operand, ex.Value(tuple() | list() as options)):
            for part in (operand, *options):
                _walk(part if isinstance(part, Expression) else None, scalars, collections)
        case _:
            for part in children(node):
                _walk(part, scalars, collections)


def collections_in(operation: Operation) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of parameters with one value, and of parameters with a collection."""
    scalars: set[str] = set()
    collections: set[str] = set()
    for node in _expressions(operation):
        _walk(node, scalars, collections)
    return frozenset(scalars), frozenset(collections)


def shape_of(
    scalars: frozenset[str], collections: frozenset[str], params: Mapping[str, Any], whole: frozenset[str] = frozenset()
) -> Hashable:
    """Return the facts about the values that determine the text of the statement. whole: collections that may be sent as one."""
    nones = frozenset(name for name in scalars if params.get(name) is None)
    sizes = tuple(
        (name, None if name in whole and None not in params[name] else tuple(value is None for value in params[name]))
        for name in sorted(collections)
    )
    return nones, sizes


def shaped(operation: Operation, params: Mapping[str, Any], whole: frozenset[str] = frozenset()) -> Operation:
    """Return the operation with ``None`` in place of parameters that are ``None``, and with the items of each collection.

    whole: the names of collections that are sent as one value, unless an item is ``None``.
    """

    def change(node: Expression) -> Expression:
        match node:
            case ex.Param(name) | ex.Argument(name):
                return ex.Value(None) if params.get(name) is None else node
            case ex.In(operand, ex.Param(name)) if name in whole and None not in params[name]:
                return ex.In(operand, Whole(name))
            case ex.In(operand, ex.Param(name) | ex.Argument(name)):
                items = (ex.Value(None) if value is None else Item(name, index) for index, value in enumerate(params[name]))
                return ex.In(change(operand), ex.Value(tuple(items)))
            case ex.In(operand, ex.Value(tuple() | list() as options)):
                changed = (change(option) if isinstance(option, Expression) else option for option in options)
                return ex.In(change(operand), ex.Value(tuple(changed)))
            case _:
                parts = children(node)
                return rebuild(node, tuple(change(part) for part in parts)) if parts else node

    return _changed(operation, change)


def _changed(operation: Operation, change: Callable[[Expression], Expression]) -> Operation:
    def maybe(node: Expression | None) -> Expression | None:
        return None if node is None else change(node)

    match operation:
        case Select() | Aggregate():
            order = tuple(ex.Sort(change(key.by), key.descending) for key in operation.order)
            limit, offset = (
                None if isinstance(node := maybe(each), ex.Value) else node for each in (operation.limit, operation.offset)
            )
            changed = attrs.evolve(operation, condition=maybe(operation.condition), order=order, limit=limit, offset=offset)
            if not isinstance(changed, Select):
                return changed
            return attrs.evolve(changed, computed={name: change(node) for name, node in changed.computed.items()})
        case Insert():
            conflict = operation.on_conflict
            if conflict is None:
                return operation
            changes = {name: change(node) for name, node in conflict.set.items()}
            return attrs.evolve(operation, on_conflict=attrs.evolve(conflict, set=changes, where=maybe(conflict.where)))
        case Update():
            changes = {name: change(node) for name, node in operation.assignments.items()}
            return attrs.evolve(operation, condition=maybe(operation.condition), assignments=changes)
        case _:
            return attrs.evolve(operation, condition=maybe(operation.condition))
