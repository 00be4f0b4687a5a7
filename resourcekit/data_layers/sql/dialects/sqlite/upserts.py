"""Upserts in SQLite. A function that the conflict clause calls with each key notes which rows were updated.

Nothing else that SQLite returns distinguishes an insert from an update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.base import Conflict
from resourcekit.data_layers.sql.dialects.driver import ConnectionLike
from resourcekit.data_layers.sql.dialects.many_rows import KeysAmbiguous, ManyRows, in_parts, returned_by_key

__all__ = ["UPDATED", "noted", "open_for", "send_many"]

_NOTE = "resourcekit_updates"
UPDATED = 2
"""The row count of an updated row among many."""

_MOST, _MOST_VALUES = 250, 30_000
"""Rows and values in one statement. More rows are not faster, and SQLite takes 32,766 values."""


def open_for(connection: ConnectionLike) -> None:
    """Register the function. It is written in C, so no signal handler runs in it, and it returns ``None``."""
    connection.dbapi.create_function(_NOTE, 1, connection.callback_state.updates.append)


def noted(insert: Any, conflict: Conflict) -> Any:
    """Return the condition of an update: the declared one, and a call that notes the key."""
    key: Any = insert.excluded[conflict.target[0]]
    called = getattr(sa.func, _NOTE)(key).is_(None)
    return called if conflict.where is None else sa.and_(conflict.where, called)


def send_many(connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
    """Send many rows in one statement. Raise KeysAmbiguous if their keys are not unique."""
    keys, updates = many.keys(rows), connection.callback_state.updates
    if keys is None:
        raise KeysAmbiguous
    try:
        found = _run(connection, many, rows)
        updated = set(updates)
    finally:
        updates.clear()
    counts = [UPDATED if key in updated else 1 for key in keys]
    if not many.returns:  # there is no condition, so none was skipped
        return [(count, []) for count in counts]
    by_key = returned_by_key(many, keys, found)
    return [(count, [by_key[key]]) if key in by_key else (0, []) for key, count in zip(keys, counts, strict=True)]


def _run(connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Run the statements, and return all their rows."""
    parts = in_parts(many, "?", rows, max(2, min(len(rows), _MOST, _MOST_VALUES // many.width)))
    if parts is None:
        raise KeysAmbiguous
    found: list[Any] = []
    for sql, values in (*((parts.sql, each) for each in parts.values), *((many.sql, row) for row in parts.rest)):
        if many.returns:
            found += connection.fetch(sql, values)
        else:
            connection.run(sql, values)
    return found
