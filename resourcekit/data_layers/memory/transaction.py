"""Transactions over tables in memory: optimistic, with savepoints. It knows tables, and no plan.

A transaction works on drafts, and holds no lock while a user's code runs. When it commits, it is given up
(SerializationFailure) if another one replaced what it had read or written; so transactions that commit are as good as
run one after the other.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType

from resourcekit.data_layers.rows.table import LOCK, Draft, Journal, Table, undo
from resourcekit.errors import SerializationFailure, WrongColour
from resourcekit.flow.context import Colour, colour

__all__ = ["Block", "Handle", "ambient", "commit", "commits", "current"]


class _Commits:
    """Whether a commit of several rows is under way; whoever reads one row without LOCK looks here afterwards."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running = False


commits = _Commits()
_open: set[_Transaction] = set()

if hasattr(os, "register_at_fork"):
    # Transactions of the parent's other threads do not go on in the child.
    os.register_at_fork(
        after_in_child=lambda: _open.intersection_update({handle.transaction} if (handle := ambient.get()) else ())
    )


class _Transaction:
    """What all blocks of one transaction share. It belongs to one thread or task, in one colour."""

    __slots__ = ("colour", "drafts", "is_over", "journal", "owner")

    def __init__(self) -> None:
        self.drafts: dict[Table, Draft] = {}
        self.journal: Journal = []
        self.owner = _running()
        self.colour = colour.get()
        self.is_over = False

    def draft(self, table: Table) -> Draft:
        """Return the draft over a table."""
        draft = self.drafts.get(table)
        if draft is None:
            with LOCK:
                draft = self.drafts.setdefault(table, Draft(table, tracked=True, journal=self.journal))
        return draft


class Handle:
    """One block: the whole transaction, or a savepoint inside it."""

    __slots__ = ("_functions", "_is_doomed", "_mark", "outer", "transaction")

    def __init__(self, outer: Handle | None) -> None:
        self.outer = outer
        self.transaction: _Transaction = _Transaction() if outer is None else outer.transaction
        self._mark = len(self.transaction.journal)
        self._functions: list[Callable[[], object]] = []
        self._is_doomed = False

    def after_commit(self, function: Callable[[], object]) -> None:
        """Run a function once the outermost block is committed; never if it, or this block, rolls back.

        All functions run, in order; what they raise is raised by the outermost block, whose commit stands.
        """
        self._functions.append(function)

    def doom(self) -> None:
        """Let this block end in a rollback, whatever happens next; without an error, nothing is raised."""
        self._is_doomed = True

    def draft(self, table: Table) -> Draft:
        """Return the draft of this transaction over a table."""
        return self.transaction.draft(table)

    def end(self, *, failed: bool) -> list[Callable[[], object]]:
        """Commit or roll back this block; return what is to be run now.

        Raises SerializationFailure, rolled back, where another transaction came first.
        """
        if self.outer is None:
            self.transaction.is_over = True
            try:
                if not failed and not self._is_doomed:
                    _commit_transaction(self.transaction)
                    return self._functions
            finally:
                with LOCK:
                    _open.discard(self.transaction)
        elif failed or self._is_doomed:
            undo(self.transaction.journal, self._mark)
        else:
            self.outer._functions.extend(self._functions)  # noqa: SLF001  # its own kind
        return []


ambient: ContextVar[Handle | None] = ContextVar("resourcekit_memory_transaction", default=None)
"""The innermost open block of this context. A copied context brings it along, so ask ``current()``."""


def _running() -> tuple[int, object]:
    """Return what a transaction belongs to: the thread, and the task if one runs."""
    asyncio = sys.modules.get("asyncio")  # not imported here: without it there is no task
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def current() -> Handle | None:
    """Return the open block of this thread or task.

    Another thread or task that took over the context has none: it works outside of the transaction. Raises WrongColour
    for a sync call in an async transaction, and the other way round.
    """
    handle = ambient.get()
    if handle is None or handle.transaction.is_over or handle.transaction.owner != _running():
        return None
    if (colour.get() is Colour.SYNC) is not (handle.transaction.colour is Colour.SYNC):
        msg = "a transaction is sync or async as a whole: inside an async one call .aio and await it, inside a sync one do not"
        raise WrongColour(msg)
    return handle


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


def _commit_transaction(transaction: _Transaction) -> None:
    with LOCK:
        _open.discard(transaction)
        drafts = transaction.drafts.values()
        if not transaction.journal:
            return  # It read one moment's rows, whatever came later.
        if any(draft.is_outdated() for draft in drafts):
            msg = "another transaction changed what this one had read or written; run it again as a whole"
            raise SerializationFailure(msg)
        commit(drafts)


class Block(AbstractAsyncContextManager[Handle]):
    """``async with``: a transaction, or a savepoint where one is open. A class, so that no ContextVar is set across a
    yield. It never suspends."""

    __slots__ = ("_before", "_handle")

    async def __aenter__(self) -> Handle:
        """Begin."""
        self._before = ambient.get()
        self._handle = Handle(current())
        if self._handle.outer is None:
            with LOCK:
                _open.add(self._handle.transaction)
        ambient.set(self._handle)
        return self._handle

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Commit, or roll back after an error."""
        ambient.set(self._before)
        functions = self._handle.end(failed=kind is not None)
        failures: list[Exception] = []
        for function in functions:
            try:
                function()
            except Exception as failure:  # one function's failure must not keep the others from running
                failures.append(failure)
        if len(failures) > 1:
            raise ExceptionGroup("the transaction is committed; functions after it failed", failures)
        if failures:
            raise failures[0]
