"""The other shapes of an operation: what a None or a collection among the parameters makes of it. Knows expressions only.

``None`` belongs to the shape of a statement (``x = NULL`` holds nowhere), and so does the size of a collection. A plan
is compiled for values; when a call brings a ``None``, the operation is compiled once more with it in place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import attrs

from resourcekit.data_layers.base import Insert, Operation, Select, Update
from resourcekit.flow import expression as ex
from resourcekit.flow.expression import Expression
from resourcekit.flow.rewriting import children, rebuild

__all__ = ["Item", "collections_in", "shape_of", "shaped"]


@attrs.frozen(eq=False)
class Item(ex.Expression):
    """One of the values of a parameter that holds a collection."""

    name: str
    index: int


def _expressions(operation: Operation) -> list[Expression | None]:
    match operation:
        case Select():
            return [operation.condition, operation.limit, operation.offset, *(key.by for key in operation.order)]
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
    """Return the names of parameters that hold one value, and of those that hold a collection."""
    scalars: set[str] = set()
    collections: set[str] = set()
    for node in _expressions(operation):
        _walk(node, scalars, collections)
    return frozenset(scalars), frozenset(collections)


def shape_of(scalars: frozenset[str], collections: frozenset[str], params: Mapping[str, Any]) -> Hashable:
    """Return what of the values decides the shape."""
    nones = frozenset(name for name in scalars if params.get(name) is None)
    sizes = tuple((name, tuple(value is None for value in params[name])) for name in sorted(collections))
    return nones, sizes


def shaped(operation: Operation, params: Mapping[str, Any]) -> Operation:
    """Return the operation with each None in its place, and each collection as its items."""

    def change(node: Expression) -> Expression:
        match node:
            case ex.Param(name) | ex.Argument(name):
                return ex.Value(None) if params.get(name) is None else node
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
        case Select():
            order = tuple(ex.Sort(change(key.by), key.descending) for key in operation.order)
            limit, offset = (
                None if isinstance(node := maybe(each), ex.Value) else node for each in (operation.limit, operation.offset)
            )
            return attrs.evolve(operation, condition=maybe(operation.condition), order=order, limit=limit, offset=offset)
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
