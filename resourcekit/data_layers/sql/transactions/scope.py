"""The context manager of ``transaction()``, for sync and async calls.

A maintainer opens it to change how transactions and savepoints begin and end. It is a class and not a generator, so that no
ContextVar is set across a yield.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from resourcekit.call_context import CallMode, Deadline, call_deadline, call_mode
from resourcekit.data_layers.callbacks import run_callbacks
from resourcekit.data_layers.sql.execution.async_pool import AsyncConnection, Checkout
from resourcekit.data_layers.sql.execution.connection import Connection, begin, commit, rollback
from resourcekit.data_layers.sql.execution.engines import Engines
from resourcekit.data_layers.sql.execution.execute import (
    ABORTED,
    BUSY,
    INTERRUPTED,
    OpenTransaction,
    Savepoint,
    ended_in,
    ending_deadline,
    savepoint_of,
    with_timeout,
)
from resourcekit.data_layers.sql.execution.failures import LATE, as_ours, unknown_outcome
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.data_layers.transactions import ambient, rolled_back
from resourcekit.errors import DataLayerError, ResourcekitError

__all__ = ["NestedTransaction"]

_UNFINISHED = (
    "a thread that took part in this transaction has not left a block of its own, so everything was rolled back; "
    "wait for threads before the block ends"
)


class NestedTransaction(AbstractAsyncContextManager[Savepoint]):
    """``async with``: a transaction, or a savepoint where one is open.

    An exception from outside may come between any two lines, also before the block has begun or while it ends. Whatever
    happens, nothing stays ambient, and the connection is given back clean or closed; a block that is dropped sees to it, too.
    """

    __slots__ = ("_before", "_checkout", "_connection", "_repo", "_savepoint", "_thread")

    def __init__(self, repo: Engines) -> None:
        self._repo = repo
        self._before: Mapping[Hashable, Any] = {}
        self._thread = 0
        self._savepoint: Savepoint | None = None
        self._connection: Connection | None = None
        self._checkout: Checkout | None = None

    async def __aenter__(self) -> Savepoint:
        """Begin. Raises Timeout where others write until the deadline."""
        try:
            self._before = ambient.get()
            self._thread = threading.get_ident()
            outer = savepoint_of(self._repo)
            if outer is not None:
                open_transaction = outer.open_transaction
                with outer.turn():
                    open_transaction.savepoints += 1
                    name = f"resourcekit_{open_transaction.savepoints}"
                    await _send(open_transaction, f"SAVEPOINT {name}", self._deadline())
                    self._savepoint = savepoint = Savepoint(open_transaction, outer, name)
            elif call_mode.get() is CallMode.SYNC:
                self._savepoint = savepoint = self._outermost(self._begin())
            else:
                self._savepoint = savepoint = self._outermost(await self._begin_async())
            ambient.set({**self._before, self._repo: savepoint})
            return savepoint  # noqa: TRY300  # an exception at this very line is one of those that are caught here
        except BaseException:
            self.abandon()
            raise

    def _outermost(self, connection: Connection) -> Savepoint:
        return Savepoint(
            OpenTransaction(self._repo.process_state, connection, uses_snapshot=connection.dialect.lags_inside(connection)), None
        )

    def _deadline(self) -> Deadline:
        return call_deadline(self._repo, self._repo.seconds)

    def _begin(self) -> Connection:
        pool, deadline = self._repo.sync_pool, self._deadline()
        try:
            while True:
                deadline.require(LATE)
                self._connection = None
                try:
                    self._connection = connection = pool.take(deadline, Use.TRANSACTION)
                    _begin_within(connection, deadline)
                except BaseException as error:
                    if self._connection is None:
                        raise
                    lost = _is_lost(self._connection, error)
                    pool.put_back(self._connection, error)
                    if not lost:  # else it died unnoticed, and nothing was sent that could be committed
                        raise
                else:
                    return connection
        except Exception as error:
            raise as_ours(error, self._repo.dialect) from None

    async def _begin_async(self) -> AsyncConnection:
        deadline = self._deadline()
        pool = self._repo.async_pools.here()

        async def start() -> AsyncConnection:
            while True:
                self._checkout = checkout = pool.checkout(Use.TRANSACTION)
                try:
                    self._connection = connection = await checkout.take(deadline)
                    await connection.work(_begin_within, deadline)
                except BaseException as error:
                    lost = checkout.connection is not None and _is_lost(checkout.connection, error)
                    await checkout.put_back(error)
                    if not lost:
                        raise
                else:
                    return connection

        try:
            return await with_timeout(deadline, start)
        except Exception as error:
            raise as_ours(error, self._repo.dialect) from None

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Commit, or roll back after an error; then run what waited for that."""
        savepoint = self._savepoint
        assert savepoint is not None
        try:
            ambient.set(self._before)
            if savepoint.open_transaction.process_state is not self._repo.process_state:
                self._savepoint = self._connection = self._checkout = None
                return  # The child of a fork: the connection is its parent's.
            ended = error or (rolled_back() if savepoint.is_doomed else None)
            unfinished = None if savepoint.scope.close(savepoint) or ended is not None else DataLayerError(_UNFINISHED)
            ended = ended or unfinished
            await self._finish(savepoint, keep=ended is None)
            savepoint.scope.give()
            self._savepoint = None
        except BaseException as failure:
            unknown = error or _as_unknown(savepoint.open_transaction, failure)
            if isinstance(failure, ResourcekitError):
                savepoint.scope.give()
                self._savepoint = self._savepoint if savepoint.outer is None else None
            self.abandon()
            await run_callbacks(savepoint.callbacks, unknown)
            raise
        if ended is None and savepoint.outer is not None:
            savepoint.outer.callbacks.extend(savepoint.callbacks)
            return
        if savepoint.callbacks:
            await run_callbacks(savepoint.callbacks, ended)
        if unfinished is not None:
            raise unfinished

    async def _finish(self, savepoint: Savepoint, *, keep: bool) -> None:
        if savepoint.outer is not None:
            await self._end_savepoint(savepoint, keep=keep)
        elif self._checkout is not None:
            await self._end_async(savepoint.open_transaction, self._checkout, keep=keep)
        else:
            self._end(savepoint.open_transaction, keep=keep)

    def abandon(self) -> None:
        """End a block that was interrupted from outside: its connection is closed without another statement."""
        savepoint, self._savepoint = self._savepoint, None
        if savepoint is not None:
            if ambient.get().get(self._repo) is savepoint:
                ambient.set(self._before)
            savepoint.open_transaction.lose(INTERRUPTED)
            savepoint.open_transaction.abandon(savepoint)
        checkout, self._checkout = self._checkout, None
        connection, self._connection = self._connection, None
        if checkout is not None:
            checkout.abandon()
        elif connection is not None and connection.user == self._thread:
            self._repo.sync_pool.discard(connection)

    def __del__(self) -> None:
        """End a block that was dropped: an exception from outside came just before its end could begin."""
        with contextlib.suppress(AttributeError):  # it came before the block was made
            if self._savepoint is not None and self._savepoint.open_transaction.process_state is self._repo.process_state:
                self.abandon()

    async def _end_savepoint(self, savepoint: Savepoint, *, keep: bool) -> None:
        open_transaction = savepoint.open_transaction
        if open_transaction.reason or (keep and open_transaction.is_aborted):
            if keep:
                raise DataLayerError(open_transaction.reason or ABORTED)
            return
        deadline = ending_deadline(self._repo)
        if keep:
            await _send(open_transaction, f"RELEASE SAVEPOINT {savepoint.savepoint_name}", deadline)
            return
        with contextlib.suppress(DataLayerError):  # the original error is more useful; the transaction is marked as lost then
            await _send(open_transaction, f"ROLLBACK TO SAVEPOINT {savepoint.savepoint_name}", deadline)
            open_transaction.is_aborted = False
            await _send(open_transaction, f"RELEASE SAVEPOINT {savepoint.savepoint_name}", deadline)

    def _end(self, open_transaction: OpenTransaction, *, keep: bool) -> None:
        connection, pool = open_transaction.connection, self._repo.sync_pool
        try:
            _finish(connection, open_transaction, keep, ending_deadline(self._repo))
            (pool.put if connection.is_clean() else pool.discard)(connection)
        except BaseException as error:
            pool.put_back(connection, error)
            if isinstance(error, Exception):
                raise as_ours(error, connection.dialect) from None
            raise

    async def _end_async(self, open_transaction: OpenTransaction, checkout: Checkout, *, keep: bool) -> None:
        deadline = ending_deadline(self._repo)
        connection = open_transaction.connection
        assert isinstance(connection, AsyncConnection)
        try:
            if not (open_transaction.reason and not keep):
                await with_timeout(deadline, connection.work, _finish, open_transaction, keep, deadline, holder=open_transaction)
            if open_transaction.reason or not connection.is_clean():
                await checkout.discard()
            else:
                checkout.put()
        except BaseException as error:
            await checkout.put_back(error)
            if isinstance(error, Exception):
                raise as_ours(error, connection.dialect) from None
            raise


def _as_unknown(open_transaction: OpenTransaction, failure: BaseException) -> BaseException:
    """Return why a commit failed: OutcomeUnknown if a signal or a cancellation came while its reply was outstanding."""
    if isinstance(failure, Exception) or not (
        open_transaction.connection.autocommit_write and open_transaction.connection.awaiting_reply
    ):
        return failure
    return unknown_outcome()


def _is_lost(connection: Connection, error: BaseException) -> bool:
    return isinstance(error, Exception) and connection.dialect.is_broken(connection)


def _run_within(connection: Connection, sql: str, deadline: Deadline) -> int:
    connection.allow(deadline)
    return connection.run(sql)


def _begin_within(connection: Connection, deadline: Deadline) -> None:
    connection.allow(deadline)
    begin(connection)


def _finish(
    connection: Connection, open_transaction: OpenTransaction, keep: bool, deadline: Deadline
) -> None:  # passed through run_sync
    connection.callback_state.deadline = deadline
    if keep and not open_transaction.reason and not open_transaction.is_aborted:
        commit(connection)
        return
    rollback(connection)
    if keep:
        raise DataLayerError(open_transaction.reason or ABORTED)


async def _send(open_transaction: OpenTransaction, sql: str, deadline: Deadline) -> None:
    connection = open_transaction.connection
    if connection.is_busy:
        raise DataLayerError(BUSY)
    try:
        if isinstance(connection, AsyncConnection):
            await with_timeout(deadline, connection.work, _run_within, sql, deadline)
        else:
            connection.is_busy = True
            _run_within(connection, sql, deadline)
            connection.is_busy = False
        connection.let_go()
    except BaseException as error:
        connection.let_go()
        ended_in(open_transaction, error)
        if isinstance(error, Exception):
            raise as_ours(error, connection.dialect) from None
        raise
