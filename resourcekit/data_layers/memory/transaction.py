"""Transactions over tables in memory, with optimistic concurrency control.

The commit of a transaction fails with SerializationFailure if another transaction replaced a row that it had read or written.
So committed transactions have the same effect as if they had run one after the other.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterable

from resourcekit.data_layers.rows import transaction as blocks
from resourcekit.data_layers.rows.table import IN_TIME, LOCK, Draft, Table, releases_lock, require_free
from resourcekit.data_layers.transactions import ambient, open_block
from resourcekit.errors import SerializationFailure

__all__ = ["GROUP", "MemoryTransaction", "Savepoint", "block", "commit", "commits", "current"]

GROUP = "memory"
"""Transaction group of all stores in memory."""


class _Commits:
    """The commit of several rows that is under way; a reader of one row without LOCK looks here afterwards.

    running: there is one. drafts: what it writes. Once it is set, the commit is carried to its end: an exception
    from outside that comes in between is raised once all rows are written.
    """

    __slots__ = ("drafts", "running")

    def __init__(self) -> None:
        self.running = False
        self.drafts: list[Draft] = []

    def finish(self) -> None:
        """Write what an interrupted commit has left; the caller holds LOCK."""
        for draft in self.drafts:
            draft.apply()
        self.drafts = []
        self.running = False


commits = _Commits()
_open: set[weakref.ref[MemoryTransaction]] = set()
_ended: deque[weakref.ref[MemoryTransaction]] = deque()


def _of_this_thread() -> set[weakref.ref[MemoryTransaction]]:
    savepoint = ambient.get().get(GROUP)
    return set() if savepoint is None else {savepoint.open_transaction.reference}


if hasattr(os, "register_at_fork"):
    # Transactions of the parent's other threads do not exist in the child.
    os.register_at_fork(after_in_child=lambda: _open.intersection_update(_of_this_thread()))


def _reference(open_transaction: MemoryTransaction) -> weakref.ref[MemoryTransaction]:
    """Return the key of a transaction among the open ones. It is hashed at once, which it cannot be once its object is gone."""
    hash(reference := weakref.ref(open_transaction, _open.discard))
    return reference


class MemoryTransaction(blocks.OpenTransaction):
    """The drafts of one transaction, one for each table."""

    __slots__ = ("drafts", "reference")

    def __init__(self) -> None:
        super().__init__()
        self.drafts: dict[Table, Draft] = {}
        self.reference = _reference(self)
        self._begin()

    @releases_lock
    def _begin(self) -> None:
        with IN_TIME:
            _open.add(self.reference)

    @releases_lock
    def draft(self, table: Table) -> Draft:
        """Return the transaction's draft of a table."""
        draft = self.drafts.get(table)
        if draft is None:
            with IN_TIME:
                draft = self.drafts.setdefault(table, Draft(table, tracked=True, journal=self.journal))
        return draft

    async def commit(self) -> None:
        """It never suspends."""
        self._commit()

    @releases_lock
    def _commit(self) -> None:
        require_free()
        with IN_TIME:
            _open.discard(self.reference)
            drafts = self.drafts.values()
            if not self.journal:
                return  # A transaction without writes read from one snapshot, so later commits do not matter.
            if any(draft.is_outdated() for draft in drafts):
                msg = "another transaction changed what this one had read or written; run it again as a whole"
                raise SerializationFailure(msg)
            commit(drafts)

    @releases_lock
    def release(self) -> None:
        """Remove the transaction from the open ones. It waits for no lock, because a late call must end, too."""
        _ended.append(self.reference)
        if LOCK.acquire(blocking=False):
            try:
                _forget_ended()
            finally:
                LOCK.release()


def _forget_ended() -> None:
    """Remove ended transactions from the open ones. The caller holds LOCK."""
    while _ended:
        _open.discard(_ended.pop())


Savepoint = blocks.Savepoint[MemoryTransaction]


def current() -> Savepoint | None:
    """Return the open block of this call; ``None`` if there is none (``transactions.open_block``)."""
    return open_block(GROUP) if ambient.get() else None


def block() -> blocks.NestedTransaction[MemoryTransaction]:
    """Return a context manager: a transaction, or a savepoint if a transaction is open."""
    return blocks.NestedTransaction(GROUP, MemoryTransaction)


def commit(drafts: Iterable[Draft]) -> None:
    """Replace the committed rows by those of the drafts, all at once. The caller holds LOCK."""
    commits.finish()
    _forget_ended()
    drafts = [draft for draft in drafts if draft.rows]
    for reference in tuple(_open):
        if (transaction := reference()) is not None:
            for draft in drafts:
                transaction.draft(draft.table).see_replaced(draft.rows)
    try:
        commits.running = sum(len(draft.rows) for draft in drafts) > 1
        commits.drafts = drafts  # from here on it is committed
        commits.finish()
    except BaseException:
        commits.finish()
        raise
