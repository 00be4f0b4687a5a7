"""Transactions over tables in memory: optimistic. It knows tables, and no plan.

When a transaction commits, it is given up (SerializationFailure) if another one replaced what it had read or written; so
transactions that commit are as good as run one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextvars import ContextVar

from resourcekit.data_layers.rows import transaction as blocks
from resourcekit.data_layers.rows.table import LOCK, Draft, Table
from resourcekit.errors import SerializationFailure

__all__ = ["Handle", "MemoryGround", "ambient", "block", "commit", "commits", "current"]


class _Commits:
    """Whether a commit of several rows is under way; whoever reads one row without LOCK looks here afterwards."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running = False


commits = _Commits()
_open: set[MemoryGround] = set()

if hasattr(os, "register_at_fork"):
    # Transactions of the parent's other threads do not go on in the child.
    os.register_at_fork(after_in_child=lambda: _open.intersection_update({handle.ground} if (handle := ambient.get()) else ()))


class MemoryGround(blocks.Ground):
    """The drafts of one transaction, one for each table."""

    __slots__ = ("drafts",)

    def __init__(self) -> None:
        super().__init__()
        self.drafts: dict[Table, Draft] = {}
        with LOCK:
            _open.add(self)

    def draft(self, table: Table) -> Draft:
        """Return the draft over a table."""
        draft = self.drafts.get(table)
        if draft is None:
            with LOCK:
                draft = self.drafts.setdefault(table, Draft(table, tracked=True, journal=self.journal))
        return draft

    async def commit(self) -> None:
        """See Ground. It never suspends."""
        with LOCK:
            _open.discard(self)
            drafts = self.drafts.values()
            if not self.journal:
                return  # It read one moment's rows, whatever came later.
            if any(draft.is_outdated() for draft in drafts):
                msg = "another transaction changed what this one had read or written; run it again as a whole"
                raise SerializationFailure(msg)
            commit(drafts)

    def close(self) -> None:
        """See Ground."""
        with LOCK:
            _open.discard(self)


Handle = blocks.Handle[MemoryGround]
ambient: ContextVar[Handle | None] = ContextVar("resourcekit_memory_transaction", default=None)
"""The innermost open block of this context. A copied context brings it along, so ask ``current()``."""


def current() -> Handle | None:
    """Return the open block of this thread or task; see ``rows.transaction.current``."""
    return blocks.current(ambient)


def block() -> blocks.Block[MemoryGround]:
    """Return a block: a transaction, or a savepoint where one is open."""
    return blocks.Block(ambient, MemoryGround)


def commit(drafts: Iterable[Draft]) -> None:
    """Make the drafts' writes the committed rows, all at once; the caller holds LOCK."""
    drafts = [draft for draft in drafts if draft.rows]
    several = sum(len(draft.rows) for draft in drafts) > 1
    commits.running = several
    try:
        for transaction in _open:
            for draft in drafts:
                transaction.draft(draft.table).see_replaced(draft.rows)
        for draft in drafts:
            draft.apply()
    finally:
        commits.running = False
