"""Runs work on the right connection, in sync or async mode and within the deadline of the call; the state of an open transaction.

A maintainer opens it to change retries, timeouts or the use of connections. Errors leave it as the driver raised them. The
caller, which has the table, translates them to errors of resourcekit.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from resourcekit.call_context import Deadline, ambient_context, call_deadline
from resourcekit.data_layers.sql.dialects.error_info import AtCommit, ConnectionLost, ErrorKind
from resourcekit.data_layers.sql.execution.async_pool import AsyncConnection, LoopPool
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.execution.engines import Engines
from resourcekit.data_layers.sql.execution.failures import LATE, MOVED, too_late, unknown_outcome, written_elsewhere
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.data_layers.transactions import TransactionBlock, TransactionScope, ambient, open_block
from resourcekit.errors import DataLayerError, Unavailable
from resourcekit.signals import raised_by_signal

if TYPE_CHECKING:
    from resourcekit.data_layers.sql.execution.connection import Connection

__all__ = [
    "ABANDONED",
    "ABORTED",
    "BUSY",
    "INTERRUPTED",
    "OpenTransaction",
    "Savepoint",
    "ended_in",
    "ending_deadline",
    "execute",
    "execute_async",
    "open_savepoint",
    "savepoint_of",
    "see_whether_lost",
    "with_timeout",
]

INTERRUPTED = (
    "a call inside of this transaction was interrupted from outside (a signal, a time limit), and how much it wrote is not known; "
    "leave the block, which rolls back, and run it again as a whole"
)
ABANDONED = "the block was left because of an exception from outside (a signal, a time limit); run it again as a whole"
BUSY = (
    "another call of this transaction has not ended yet: a signal handler came in between, or that call was interrupted; "
    "let the handler note what is to be done, and do it after the block"
)
ABORTED = "an error of the database left this block nothing to do but to roll back; leave it, and run it again as a whole"


class OpenTransaction(TransactionScope):
    """The outermost transaction, with a connection of its own until the end.

    process_state: the connections of the process that opened the transaction; a different object after a fork.
    is_aborted: after an error of the database only a rollback to a savepoint is possible.
    uses_snapshot: its reads may miss what others have committed since it began.
    reason: why the transaction ended on its own; empty while it is open.
    savepoints: number of savepoints so far, for their names.
    """

    __slots__ = ("connection", "is_aborted", "process_state", "reason", "savepoints", "uses_snapshot")

    def __init__(self, process_state: object, connection: Connection, *, uses_snapshot: bool = False) -> None:
        super().__init__()
        self.process_state, self.connection, self.uses_snapshot = process_state, connection, uses_snapshot
        self.is_aborted = False
        self.reason = ""
        self.savepoints = 0

    def lose(self, reason: str) -> None:
        """Record that the transaction ended on its own, so that no later call writes outside of it by mistake."""
        self.reason = self.reason or reason


class Savepoint(TransactionBlock):
    """One block: the whole transaction, or a savepoint inside it."""

    __slots__ = ("open_transaction", "savepoint_name")

    outer: Savepoint | None

    def __init__(self, open_transaction: OpenTransaction, outer: Savepoint | None, savepoint_name: str = "") -> None:
        super().__init__(open_transaction, outer)
        self.open_transaction, self.savepoint_name = open_transaction, savepoint_name


def open_savepoint(repo: object, process_state: object, *, is_usable: bool = True) -> Savepoint | None:
    """Return the open block of this call; ``None`` if there is none.

    Args:
        repo: The Repo whose transaction is asked for.
        process_state: The connections of this process. A block of another process is ignored.
        is_usable: The block must be able to run a statement.

    Raises:
        MixedCallMode: A sync call in an async transaction, or an async call in a sync one.
        NotInTransaction: The call is not part of the transaction.
        DataLayerError: The transaction has ended on its own.
    """
    savepoint: Savepoint | None = ambient.get().get(repo)
    if savepoint is None or savepoint.open_transaction.process_state is not process_state:
        return None
    savepoint = open_block(repo)
    if savepoint is not None and is_usable and (savepoint.open_transaction.reason or savepoint.open_transaction.is_aborted):
        raise DataLayerError(savepoint.open_transaction.reason or ABORTED)
    return savepoint


T = TypeVar("T")
_LOST = "the database ended this transaction after an error; leave the block, and run it again as a whole"
_SHORTEST, _LONGEST = 0.002, 0.1
"""Bounds of the pause before work is retried, in seconds. The pause is random, so that competing calls do not collide again."""

_LEFT = frozenset({ErrorKind.LOST, ErrorKind.ENDED, ErrorKind.NOT_USABLE})
"""Kinds of errors after which nothing was done and another connection may succeed; retried once."""

_RIVALS = frozenset({ErrorKind.CONFLICT, ErrorKind.BUSY})
"""Kinds of errors after which nothing was done because a competing call was first; retried until the deadline."""


def ending_deadline(repo: Engines) -> Deadline:
    """Return the deadline for statements that end a transaction or a stream.

    They get extra time even if the call's own is over.
    """
    deadline = ambient_context().deadline
    return (Deadline.after_real(repo.seconds) if deadline is None else deadline).with_grace()


def savepoint_of(repo: Engines) -> Savepoint | None:
    """Return the open transaction block of this thread or task; ``None`` if there is none."""
    return open_savepoint(repo, repo.process_state) if ambient.get() else None


def execute(repo: Engines, work: Callable[..., T], args: tuple[Any, ...], writes: bool) -> T:
    """Run ``work(connection, *args)`` in this thread: in the open transaction, else on a connection from the pool."""
    savepoint = open_savepoint(repo, repo.process_state) if ambient.get() else None
    deadline = call_deadline(repo, repo.seconds)
    if savepoint is not None:
        return _execute_in(savepoint, deadline, work, args)
    pool, connection = repo.process_state.sync_pool or repo.sync_pool, None
    try:
        connection = pool.take(deadline, Use.WRITE if writes else Use.READ)
        connection.autocommit_write = writes
        connection.allow(deadline)
        result = work(connection, *args)
        if writes and not (repo.dialect.is_server or repo.dialect.is_fresh(connection)):
            raise written_elsewhere()
        pool.put(connection)
    except BaseException as error:
        if connection is None:
            raise
        raised = _as_seen(connection, error)
        pool.put_back(connection, error)
        if not (repo.dialect.is_server and isinstance(error, Exception)):
            raise raised from None
    else:
        return result
    return _execute_again(repo, deadline, raised, work, args, writes)


def _execute_again(
    repo: Engines, deadline: Deadline, error: BaseException, work: Callable[..., T], args: tuple[Any, ...], writes: bool
) -> T:
    """Retry work that lost against a competing call, and once work whose connection was lost, if it is safe to repeat."""
    pool, pauses = repo.sync_pool, _Pauses(repo, deadline)
    while True:
        pause = pauses.before_another(error)
        if pause is None:
            raise error
        if pauses.leaves_all:
            pool.close_idle()
        time.sleep(pause)
        deadline.require(LATE)
        connection = None
        try:
            connection = pool.take(deadline, Use.WRITE if writes else Use.READ)
            connection.autocommit_write = writes
            connection.allow(deadline)
            result = work(connection, *args)
            pool.put(connection)
        except BaseException as again:
            if connection is None:
                raise
            error = _as_seen(connection, again)
            pool.put_back(connection, again)
            if not isinstance(again, Exception):
                raise
        else:
            return result


class _Pauses:
    """Decides whether work that failed outside of a transaction is retried, and after which pause.

    leaves_all: no pooled connection can do the work, so all of them are closed first.
    """

    def __init__(self, repo: Engines, deadline: Deadline) -> None:
        self._repo, self._deadline = repo, deadline
        self._pause, self._was_lost = _SHORTEST, False
        self.leaves_all = False

    def before_another(self, error: BaseException) -> float | None:
        """Return the seconds to wait before a retry; ``None`` if the error must be raised."""
        kind = self._kind(error)
        if kind is not None and raised_by_signal(error) is not None:
            return None  # a driver took it for the loss of its connection
        self.leaves_all = kind is ErrorKind.NOT_USABLE
        if kind in _LEFT and not self._was_lost:
            self._was_lost = True
            return 0.0
        if kind not in _RIVALS:
            return None
        pause = random.uniform(self._pause / 2, self._pause)  # noqa: S311  # a jitter, not a secret
        self._pause = min(self._pause * 2, _LONGEST)
        return pause if pause < self._deadline.remaining() else None

    def _kind(self, error: BaseException) -> ErrorKind | None:
        """Return the kind of an error if it proves that nothing was done; else ``None``."""
        if isinstance(error, ConnectionLost):
            return ErrorKind.LOST
        at_commit = isinstance(error, AtCommit)
        if isinstance(error, AtCommit):
            error = error.error
        if not isinstance(error, self._repo.dialect.errors):
            return None
        kind = self._repo.dialect.explain(error, None).kind
        return None if at_commit and kind in self._repo.dialect.unsure_at_commit else kind


def _as_seen(connection: Connection, error: BaseException) -> BaseException:
    """Return the error, wrapped in AtCommit if the statement would have committed and its reply is missing."""
    if (
        connection.autocommit_write
        and connection.awaiting_reply
        and isinstance(error, Exception)
        and not isinstance(error, AtCommit)
    ):
        return AtCommit(error)
    return error


def _execute_in(savepoint: Savepoint, deadline: Deadline, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    connection = savepoint.open_transaction.connection
    with savepoint.turn():
        if connection.is_busy:
            raise DataLayerError(BUSY)
        _require_place_in(savepoint.open_transaction)
        try:
            connection.is_busy = True
            connection.allow(deadline)
            result = work(connection, *args)
            connection.let_go()
            connection.is_busy = False
        except BaseException as error:
            connection.let_go()
            ended_in(savepoint.open_transaction, error)
            raise
        return result


def _require_place_in(open_transaction: OpenTransaction) -> None:
    """Raise Unavailable if the file of a transaction was replaced or removed: the transaction cannot be committed."""
    connection = open_transaction.connection
    if not (connection.dialect.is_server or connection.is_external) and connection.dialect.is_gone(connection):
        open_transaction.lose(MOVED)
        raise Unavailable(MOVED)


def ended_in(open_transaction: OpenTransaction, error: BaseException) -> None:
    """Record on a transaction what the error of one of its calls did to it."""
    if open_transaction.connection.ended_orderly(error):
        open_transaction.connection.is_busy = False
        see_whether_lost(open_transaction)
    else:  # it came from outside: how much was written is not known, so the whole transaction is rolled back
        open_transaction.lose(INTERRUPTED)


def see_whether_lost(open_transaction: OpenTransaction) -> None:
    """Record whether the transaction has ended on its own, or can only be rolled back."""
    connection, dialect = open_transaction.connection, open_transaction.connection.dialect
    if dialect.is_broken(connection) or not dialect.is_open(connection):
        open_transaction.lose(_LOST)
    open_transaction.is_aborted = dialect.is_aborted(connection)


async def execute_async(repo: Engines, work: Callable[..., T], *args: Any, writes: bool = True) -> T:
    """Run ``work(connection, *args)`` in this task: in the open transaction, else on a connection from the pool."""
    savepoint = open_savepoint(repo, repo.process_state) if ambient.get() else None
    deadline = call_deadline(repo, repo.seconds)
    if savepoint is not None:
        return await _execute_in_async(savepoint.open_transaction, deadline, work, args)
    attempts = _Attempts(repo, deadline, work, args, writes)
    return await with_timeout(deadline, attempts.run, holder=attempts)


class _Holds(Protocol):
    """An object that may hold a connection."""

    connection: Any


async def with_timeout(
    deadline: Deadline, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, holder: _Holds | None = None
) -> T:
    """Await ``function(*args)`` until the deadline.

    Raises:
        Timeout: The deadline passed.
        OutcomeUnknown: The deadline passed after the holder's connection was sent a statement that commits.
    """
    limit = asyncio.timeout(deadline.remaining())
    try:
        async with limit:
            return await function(*args)
    except TimeoutError:
        if not limit.expired():
            raise
        connection = None if holder is None else holder.connection
        raise (
            unknown_outcome()
            if connection is not None and connection.autocommit_write and connection.awaiting_reply
            else too_late()
        ) from None


class _Attempts(Generic[T]):
    """Work of a task outside of a transaction, repeated until it succeeds or must not be retried.

    connection: the connection in use.
    """

    def __init__(self, repo: Engines, deadline: Deadline, work: Callable[..., T], args: tuple[Any, ...], writes: bool) -> None:
        self._repo, self._deadline, self._work, self._args, self._writes = repo, deadline, work, args, writes
        self.connection: AsyncConnection | None = None

    async def run(self) -> T:
        """Run the work and return its result."""
        pool, pauses = self._repo.async_pools.here(), _Pauses(self._repo, self._deadline)
        while True:
            try:
                return await self._once(pool)
            except Exception as error:
                pause = pauses.before_another(error) if self._repo.dialect.is_server else None
                if pause is None:
                    raise
            if pauses.leaves_all:
                await pool.close()
            await asyncio.sleep(pause)

    async def _once(self, pool: LoopPool) -> T:
        checkout = pool.checkout(Use.WRITE if self._writes else Use.READ)
        try:
            connection = self.connection = await checkout.take(self._deadline)
            connection.autocommit_write = self._writes
            result: T = await connection.work(_allowed, self._deadline, self._work, self._args)
            if self._writes and not (self._repo.dialect.is_server or self._repo.dialect.is_fresh(connection)):
                raise written_elsewhere()
            checkout.put()
        except BaseException as error:
            raised = error if checkout.connection is None else _as_seen(checkout.connection, error)
            await checkout.put_back(error)
            if isinstance(error, Exception):
                raise raised from None
            raise
        return result


def _allowed(connection: Connection, deadline: Deadline, work: Callable[..., T], args: tuple[Any, ...]) -> T:
    connection.allow(deadline)
    return work(connection, *args)


async def _execute_in_async(
    open_transaction: OpenTransaction, deadline: Deadline, work: Callable[..., T], args: tuple[Any, ...]
) -> T:
    connection = open_transaction.connection
    assert isinstance(connection, AsyncConnection)
    _require_place_in(open_transaction)
    try:
        result: T = await with_timeout(deadline, connection.work, _allowed, deadline, work, args)
        connection.let_go()
    except BaseException as error:
        connection.let_go()
        ended_in(open_transaction, error)
        raise
    return result
