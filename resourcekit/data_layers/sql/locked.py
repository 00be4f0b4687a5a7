"""An update that returns its rows, for a database without UPDATE ... RETURNING: lock, write, read, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from resourcekit.data_layers.base import Params, Plan, Row, Select, Update
from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.plans import Compiler, SQLPlan
from resourcekit.flow.expression import Compare, Expression, Field, In, Param, all_of

__all__ = ["LockedUpdate"]

_MOST = 256
"""Rows that are written by one statement."""

_KEYS = "resourcekit keys"
"""Name of the parameter that holds keys; no parameter of the engine's has such a name."""


class LockedUpdate(Plan):
    """Finds the keys of what matches and locks it, writes by these keys, and reads by them."""

    __slots__ = ("_find", "_first", "_key", "_read", "_write")

    def __init__(self, operation: Update, compiler: Compiler, key: tuple[str, ...]) -> None:
        super().__init__(operation)
        self._key, self._first = key, key[0]
        chosen: Expression = In(Field(key[0]), Param(_KEYS))
        if len(key) > 1:
            chosen = all_of(*(Compare("==", Field(name), Param(f"{_KEYS} {name}")) for name in key))
        order = tuple(Field(name).asc() for name in key)  # all who lock several rows do so in one order
        self._find = SQLPlan(Select(operation.condition, order, fields=key), compiler)
        self._write = SQLPlan(attrs.evolve(operation, condition=chosen, returning=False), compiler)
        self._read = SQLPlan(Select(chosen), compiler)

    def run(self, link: Link, params: Params, nested: bool) -> list[Row]:  # passed through run_sync
        """Do it, and return the rows as they stand afterwards."""
        return work.atomically(link, lambda: self._run(link, params), nested=nested)

    def _run(self, link: Link, params: Params) -> list[Row]:
        statement, values = self._find.prepared(params)
        keys = statement.rows(link.fetch(f"{statement.sql} FOR UPDATE", values))
        rows: list[Row] = []
        for chosen in self._chosen(keys):
            write, values = self._write.prepared({**params, **chosen})
            link.run(write.sql, values)
            read, values = self._read.prepared(chosen)
            rows += read.rows(link.fetch(read.sql, values))
        return rows

    def _chosen(self, keys: list[Row]) -> Iterator[Mapping[str, Any]]:
        if len(self._key) > 1:
            for key in keys:
                yield {f"{_KEYS} {name}": key[name] for name in self._key}
            return
        for start in range(0, len(keys), _MOST):
            part = [key[self._first] for key in keys[start : start + _MOST]]
            # The last key again and again, up to a power of two: a statement for each size would be compiled else.
            size = 1 << (len(part) - 1).bit_length()
            yield {_KEYS: part + part[-1:] * (size - len(part))}
