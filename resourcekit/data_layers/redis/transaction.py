"""Optimistic transactions over snapshots, committed by one script.

A transaction reads the rows that it needs from the server, works on the copies, and locks nothing there. Its commit fails
with SerializationFailure if anything that it had read has changed in the meantime.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from resourcekit.data_layers.redis.snapshot import Snapshot
from resourcekit.data_layers.redis.writing import Changed
from resourcekit.data_layers.rows import transaction as blocks
from resourcekit.data_layers.transactions import Outside, ambient, open_block
from resourcekit.errors import SerializationFailure

__all__ = ["Savepoint", "block", "current", "outside"]


class RedisTransaction(blocks.OpenTransaction):
    """The snapshots of one transaction, one for each store."""

    __slots__ = ("_snapshots",)

    def __init__(self) -> None:
        super().__init__()
        self._snapshots: dict[Any, Snapshot] = {}

    def snapshot(self, store: Any) -> Snapshot:
        """Return the snapshot of a store."""
        snapshot = self._snapshots.get(store)
        if snapshot is None:
            snapshot = self._snapshots[store] = store.new_snapshot(self.journal)
        return snapshot

    async def commit(self) -> None:
        if not self._snapshots:
            return
        try:
            await next(iter(self._snapshots)).commit(self._snapshots, all_reads=True)
        except Changed:
            msg = "another transaction changed what this one had read or written; run it again as a whole"
            raise SerializationFailure(msg) from None

    def release(self) -> None:
        """Do nothing: the transaction holds no resources on the server."""


Savepoint = blocks.Savepoint[RedisTransaction]


def current(group: Hashable) -> Savepoint | None:
    """Return the open block of this call over a group of stores; ``None`` if there is none (``transactions.open_block``)."""
    return open_block(group) if ambient.get() else None


def outside(group: Hashable) -> Outside:
    """Return a context manager whose calls run outside of the open transaction."""
    return Outside(group)


def block(group: Hashable) -> blocks.NestedTransaction[RedisTransaction]:
    """Return a context manager: a transaction, or a savepoint if a transaction is open."""
    return blocks.NestedTransaction(group, RedisTransaction)
