"""Transactions over drafts: nested blocks, savepoints, and their ends.

A transaction works on drafts and holds no lock while the user's code runs. Subclasses of OpenTransaction commit the drafts.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

from resourcekit.data_layers.callbacks import run_callbacks
from resourcekit.data_layers.rows.table import Journal, undo
from resourcekit.data_layers.transactions import TransactionBlock, TransactionScope, ambient, open_block, rolled_back
from resourcekit.errors import DataLayerError, ResourcekitError

__all__ = ["NestedTransaction", "OpenTransaction", "Savepoint"]

_INTERRUPTED = "a block of this transaction was interrupted from outside (a signal, a time limit); run it again as a whole"
_UNFINISHED = (
    "a thread that took part in this transaction has not left a block of its own, so everything was rolled back; "
    "wait for threads before the block ends"
)


class OpenTransaction(TransactionScope, ABC):
    """The state that all blocks of one transaction share, and its commit."""

    __slots__ = ("is_interrupted", "journal")

    def __init__(self) -> None:
        super().__init__()
        self.journal: Journal = []
        self.is_interrupted = False

    def interrupt(self, block: TransactionBlock) -> None:
        """Roll the whole transaction back, because an exception from outside ended one of its blocks."""
        self.is_interrupted = True
        self.abandon(block)
        if block.outer is None:
            self.release()

    @abstractmethod
    async def commit(self) -> None:
        """Commit the writes of the drafts, all at once.

        Raise SerializationFailure if another transaction was first. Nothing is written then.
        """

    @abstractmethod
    def release(self) -> None:
        """Release all resources of the transaction. Called once, at its end, after a commit or a rollback."""


G = TypeVar("G", bound=OpenTransaction)


class Savepoint(TransactionBlock, Generic[G]):
    """One block: the whole transaction, or a savepoint inside it."""

    __slots__ = ("mark", "open_transaction")

    def __init__(self, open_transaction: G, outer: Savepoint[G] | None) -> None:
        super().__init__(open_transaction, outer)
        self.open_transaction = open_transaction
        self.mark = len(open_transaction.journal)


class NestedTransaction(AbstractAsyncContextManager[Savepoint[G]]):
    """``async with``: a transaction, or a savepoint if a transaction is open.

    It is a class and not a generator, so that no ContextVar is set across a yield.
    """

    __slots__ = ("_before", "_group", "_open_transaction", "_savepoint")

    def __init__(self, group: Hashable, open_transaction: Callable[[], G]) -> None:
        self._group, self._open_transaction = group, open_transaction
        self._before: Mapping[Hashable, Any] = {}
        self._savepoint: Savepoint[G] | None = None

    async def __aenter__(self) -> Savepoint[G]:
        """Begin the transaction or savepoint."""
        try:
            self._before = ambient.get()
            outer: Savepoint[G] | None = open_block(self._group)
            if outer is None:
                self._savepoint = Savepoint(self._open_transaction(), None)
            else:
                with outer.turn():
                    self._savepoint = Savepoint(outer.open_transaction, outer)
            ambient.set({**self._before, self._group: self._savepoint})
            return self._savepoint  # noqa: TRY300  # an exception at this very line is one of those that are caught here
        except BaseException:
            self.abandon()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Commit, or roll back after an error. Then call the functions that wait for the end."""
        savepoint = self._savepoint
        assert savepoint is not None
        try:
            ambient.set(self._before)
            ended = error or (rolled_back() if savepoint.is_doomed else None)
            unfinished = None if savepoint.scope.close(savepoint) or ended is not None else DataLayerError(_UNFINISHED)
            ended = ended or unfinished
            if savepoint.outer is None:
                await _end(savepoint.open_transaction, ended)
            elif ended is not None:
                undo(savepoint.open_transaction.journal, savepoint.mark)
            savepoint.scope.give()
            self._savepoint = None
        except BaseException as failure:
            if isinstance(failure, ResourcekitError):
                savepoint.scope.give()
                self._savepoint = None
            self.abandon()
            await run_callbacks(savepoint.callbacks, failure)
            raise
        if ended is None and savepoint.outer is not None:
            savepoint.outer.callbacks.extend(savepoint.callbacks)
            return
        await run_callbacks(savepoint.callbacks, ended)
        if unfinished is not None:
            raise unfinished

    def abandon(self) -> None:
        """Take back the whole transaction of a block that was interrupted from outside; nothing of it is ambient any more."""
        savepoint, self._savepoint = self._savepoint, None
        if savepoint is not None:
            if ambient.get().get(self._group) is savepoint:
                ambient.set(self._before)
            savepoint.open_transaction.interrupt(savepoint)

    def __del__(self) -> None:
        """End a block that was dropped: an exception from outside came just before its end could begin."""
        with contextlib.suppress(AttributeError):  # it came before the block was made
            self.abandon()


async def _end(open_transaction: OpenTransaction, ended: BaseException | None) -> None:
    """Commit, unless an error ended the transaction. Raise the error of a failed commit."""
    try:
        if ended is None:
            if open_transaction.is_interrupted:
                raise DataLayerError(_INTERRUPTED)
            await open_transaction.commit()
    finally:
        open_transaction.release()
