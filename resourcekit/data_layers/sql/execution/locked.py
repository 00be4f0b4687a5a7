"""An update that returns rows, for a database without UPDATE ... RETURNING: lock, write and read in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from resourcekit.data_layers.base import Params, Plan, Row, Select, Update
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.statement import SQLPlan
from resourcekit.data_layers.sql.execution.connection import Connection, atomically
from resourcekit.expressions.nodes import Compare, Expression, Field, In, Param, all_of

__all__ = ["LockedUpdate"]

_MOST = 256
"""Most rows that one statement writes."""

_KEYS = "resourcekit keys"
"""Name of the parameter that holds keys. No parameter of an action has such a name."""


class LockedUpdate(Plan):
    """Selects and locks the keys of the matching rows, then updates and reads the rows by these keys."""

    __slots__ = ("_find", "_first", "_key", "_read", "_write")

    def __init__(self, operation: Update, compiler: Compiler, key: tuple[str, ...]) -> None:
        super().__init__(operation)
        self._key, self._first = key, key[0]
        chosen: Expression = In(Field(key[0]), Param(_KEYS))
        if len(key) > 1:
            chosen = all_of(*(Compare("==", Field(name), Param(f"{_KEYS} {name}")) for name in key))
        order = tuple(Field(name).asc() for name in key)  # all callers lock several rows in one order, which avoids deadlocks
        self._find = SQLPlan(Select(operation.condition, order, fields=key), compiler.statement)
        self._write = SQLPlan(attrs.evolve(operation, condition=chosen, returning=False), compiler.statement)
        self._read = SQLPlan(Select(chosen), compiler.statement)

    def run(self, connection: Connection, params: Params, nested: bool) -> list[Row]:  # passed through run_sync
        """Run the update, and return the rows as they are afterwards."""
        return atomically(connection, lambda: self._run(connection, params), nested=nested)

    def _run(self, connection: Connection, params: Params) -> list[Row]:
        statement, values = self._find.prepared(params)
        keys = statement.rows(connection.fetch(f"{statement.sql} FOR UPDATE", values))
        rows: list[Row] = []
        for chosen in self._chosen(keys):
            write, values = self._write.prepared({**params, **chosen})
            connection.change(write, values, returning=False)
            read, values = self._read.prepared(chosen)
            rows += read.rows(connection.fetch(read.sql, values))
        return rows

    def _chosen(self, keys: list[Row]) -> Iterator[Mapping[str, Any]]:
        if len(self._key) > 1:
            for key in keys:
                yield {f"{_KEYS} {name}": key[name] for name in self._key}
            return
        for start in range(0, len(keys), _MOST):
            part = [key[self._first] for key in keys[start : start + _MOST]]
            # The last key is repeated up to a power of two; otherwise each number of keys would be compiled separately.
            size = 1 << (len(part) - 1).bit_length()
            yield {_KEYS: part + part[-1:] * (size - len(part))}
