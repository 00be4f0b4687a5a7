"""The open transactions of a context, for all data layers: which calls join one, and which thread may use it now.

A maintainer opens it when a call of another thread or task meets an open transaction.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from resourcekit.call_context import CallMode, Deadline, call_deadline, call_mode
from resourcekit.data_layers.callbacks import Callback
from resourcekit.errors import MixedCallMode, NotInTransaction, RolledBack

__all__ = [
    "Outside",
    "Replaced",
    "TransactionBlock",
    "TransactionScope",
    "ambient",
    "aside",
    "open_block",
    "outside_transaction",
    "rolled_back",
    "turn_of",
]


def rolled_back() -> RolledBack:
    """Return the error of a rollback that has no other cause."""
    return RolledBack("the transaction was rolled back, and nothing of it was written")


_DEFAULT_WAIT_S = 5.0
"""Seconds that a call without a deadline waits until it may use the transaction."""

_CURE = (
    "Start work that is no part of the transaction from its after_commit, or inside of `with resourcekit.outside_transaction():`."
)
_ENDED = f"the transaction in which this task or thread was started has ended. {_CURE}"
_OTHER_TASK = (
    "an async transaction belongs to the task that opened it, and this call is made in another task or thread that was started "
    "inside of it (as asyncio.gather, create_task, to_thread, and wait_for on Python 3.11 do). Await the calls one after the "
    f"other in the block itself, with asyncio.timeout() for a time limit. {_CURE}"
)
_WRONG_CALL_MODE = (
    "a transaction is sync or async as a whole: inside an async one call .aio and await it, inside a sync one do not"
)
_INNER_BLOCK_OPEN = "another block of this transaction was opened in this thread and has not ended; leave it first"


def _running() -> tuple[int, object]:
    """Return the id of this thread, and the running task or ``None``."""
    asyncio = sys.modules.get("asyncio")  # not imported here: without it there is no task
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


class TransactionScope:
    """The state that all blocks of one transaction share.

    An async transaction belongs to the task that opened it. A sync transaction belongs to the thread that opened it, and to
    threads that were started with a copy of its context. Their calls join it, one at a time.

    innermost: the block that was opened last and is still open.
    is_over: the transaction has ended.
    """

    __slots__ = ("__weakref__", "_condition", "_task", "_thread", "_user", "innermost", "is_async", "is_over")

    def __init__(self) -> None:
        self._thread, self._task = _running()
        self._condition = threading.Condition(threading.RLock())  # a signal handler may call in the thread that holds it
        self._user: int | None = None
        self.is_async = call_mode.get() is not CallMode.SYNC
        self.is_over = False
        self.innermost: TransactionBlock | None = None

    def admits(self) -> bool:
        """Return whether the running call is part of the transaction; false after it has ended.

        Raises:
            NotInTransaction: The call belongs to another task, or to a task or thread that outlived the transaction.
            MixedCallMode: A sync call in an async transaction, or an async call in a sync one.
        """
        thread, task = _running()
        is_owner = thread == self._thread and task is self._task
        if self.is_over:
            if is_owner:
                return False
            raise NotInTransaction(_ENDED)
        if not is_owner and (self.is_async or not self._takes(thread, task)):
            raise NotInTransaction(_OTHER_TASK)
        if (call_mode.get() is not CallMode.SYNC) is not self.is_async:
            raise MixedCallMode(_WRONG_CALL_MODE)
        return True

    def _takes(self, thread: int, task: object) -> bool:
        """Return whether a sync call may join: from a thread without a task, or from a loop that was started inside the block."""
        return task is None or (thread == self._thread and self._task is None)

    def take(self, block: TransactionBlock, *, anywhere: bool = False) -> bool:
        """Wait until no other thread uses the transaction and ``block`` is the innermost block.

        Args:
            block: The block that the call belongs to.
            anywhere: Do not wait for blocks inside ``block``, as for a stream that was started before they were opened.

        Returns:
            True if the caller now holds the transaction and must call ``give``; false if this thread held it already.

        Raises:
            NotInTransaction: The block has ended meanwhile.
            Timeout: The deadline passed.
        """
        me = threading.get_ident()
        if self.is_async or self._user == me:
            return False
        deadline: Deadline | None = None
        with self._condition:
            while True:
                if block.is_over:
                    raise NotInTransaction(_ENDED)
                if self._user is None:
                    if self.innermost is block or anywhere:
                        self._user = me
                        return True
                    if self.innermost is not None and self.innermost.thread == me:
                        raise NotInTransaction(_INNER_BLOCK_OPEN)
                deadline = deadline or call_deadline(self, _DEFAULT_WAIT_S)
                deadline.require("other threads used the transaction until the deadline")
                self._condition.wait(deadline.remaining())

    def give(self) -> None:
        """Release the transaction to the next waiting thread."""
        with self._condition:
            self._user = None
            self._condition.notify_all()

    def close(self, block: TransactionBlock) -> bool:
        """End a block for all later calls, after the running call is done. Return whether it was the innermost block.

        Inner blocks that are still open, because a thread did not end in time, end with it. Other threads wait until the caller,
        which now commits or rolls back, calls ``give``.
        """
        me = threading.get_ident()
        with self._condition:
            while not self.is_async and self._user not in (None, me):
                self._condition.wait()
            self._user = me
            was_innermost, inner = self.innermost is block, self.innermost
            while inner is not None and inner is not block.outer:
                inner.is_over = True
                inner = inner.outer
            block.is_over = True
            self.innermost = block.outer
            self.is_over = self.is_over or block.outer is None
        return was_innermost

    def after_fork_in_child(self) -> None:
        """Forget the threads of the parent, which do not exist in the child."""
        self._condition = threading.Condition(threading.RLock())
        if self._user != threading.get_ident():
            self._user = None

    def abandon(self, block: TransactionBlock) -> None:
        """End a block that was interrupted from outside, and all inside of it, without waiting."""
        inner = self.innermost
        while inner is not None and inner is not block.outer:
            inner.is_over = True
            inner = inner.outer
        block.is_over = True
        self.innermost = block.outer
        self.is_over = self.is_over or block.outer is None
        if self._user == threading.get_ident():
            self.give()


class TransactionBlock:
    """One block: the whole transaction, or a savepoint inside it.

    thread: id of the thread that opened the block.
    is_over: the block has ended.
    """

    __slots__ = ("callbacks", "is_doomed", "is_over", "outer", "scope", "thread")

    def __init__(self, scope: TransactionScope, outer: TransactionBlock | None) -> None:
        self.scope, self.outer = scope, outer
        self.callbacks: list[Callback] = []
        self.is_doomed = self.is_over = False
        self.thread = threading.get_ident()
        scope.innermost = self

    def after_commit(self, function: Callable[[], object]) -> None:
        """Call a function after the outermost block commits. It is not called if the transaction or this block rolls back.

        All functions are called, in order. Their errors are raised by the outermost block, whose commit remains valid.
        """
        self.callbacks.append(Callback.of("after_commit", function, needs_commit=True))

    def after_end(self, function: Callable[[BaseException | None], object]) -> None:
        """Call a function with ``None`` after the outermost commit, or with an error after a rollback of this or an outer block.

        The error is the cause of the rollback, or OutcomeUnknown if the commit was sent and not answered. The function then runs
        in the transaction around the block that was rolled back, if there is one.
        """
        self.callbacks.append(Callback.of("after_end", function, needs_commit=False))

    def doom(self) -> None:
        """Make this block end in a rollback, even if it ends without an error. Nothing is raised then."""
        self.is_doomed = True

    def turn(self, *, anywhere: bool = False) -> AbstractContextManager[None]:
        """Return a context manager in which only this thread uses the transaction; arguments as in ``TransactionScope.take``."""
        return _Turn(self, anywhere)


def turn_of(block: TransactionBlock | None, *, anywhere: bool = False) -> AbstractContextManager[None]:
    """Return a context manager in which only this thread uses the transaction, if there is one."""
    return contextlib.nullcontext() if block is None else block.turn(anywhere=anywhere)


class _Turn(AbstractContextManager[None]):
    """``with``: use the transaction alone; release it to the next thread at the end."""

    __slots__ = ("_anywhere", "_block", "_is_first")

    def __init__(self, block: TransactionBlock, anywhere: bool) -> None:
        self._block, self._anywhere = block, anywhere

    def __enter__(self) -> None:
        """Wait until this thread may use the transaction."""
        self._is_first = self._block.scope.take(self._block, anywhere=self._anywhere)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the transaction, if this object took it."""
        if self._is_first:
            self._block.scope.give()


ambient: ContextVar[Mapping[Hashable, Any]] = ContextVar("resourcekit_transactions", default={})
"""The innermost open block of each group of stores in this context. A copied context contains it too, so use ``open_block``."""

aside: ContextVar[int] = ContextVar("resourcekit_transactions_aside", default=0)
"""How many times an open transaction was put aside in this context. Each of them holds a connection, for example."""


class Replaced:
    """A replacement of the open transactions of a context, by fewer ones.

    An exception from outside may come between any two lines. If it comes before the end, the transactions are restored once the
    object is dropped.
    """

    __slots__ = ("_before", "_during", "_level")

    def __init__(self, during: Mapping[Hashable, Any]) -> None:
        self._before, self._level, self._during = ambient.get(), aside.get(), during

    def begin(self) -> None:
        """Replace the open transactions."""
        if self._before:
            aside.set(self._level + 1)
        ambient.set(self._during)

    def end(self) -> None:
        """Restore the open transactions."""
        aside.set(self._level)
        ambient.set(self._before)

    def __del__(self) -> None:
        """Restore the open transactions if they are still replaced, or were about to be."""
        if ambient.get() is self._during or (ambient.get() is self._before and aside.get() == self._level + 1):
            self.end()


def open_block(group: Hashable) -> Any:
    """Return the open block of this call over a group of stores; ``None`` if there is none.

    Raises:
        NotInTransaction: The call is not part of the transaction, or its block has ended.
        MixedCallMode: A sync call in an async transaction, or an async call in a sync one.
    """
    block = ambient.get().get(group)
    if block is None or not block.scope.admits():
        return None
    if block.is_over:
        raise NotInTransaction(_ENDED)
    return block


class outside_transaction(AbstractContextManager[None]):  # noqa: N801  # named as it is used: with outside_transaction():
    """Run all calls inside a ``with`` block, and in tasks and threads started there, outside of any open transaction.

    Use it for work that outlives the transaction, or that must be kept if the transaction is rolled back. On SQLite, a write
    inside waits until the deadline for the open transaction, because that holds the lock of the file.
    """

    def __init__(self) -> None:
        self._entered: list[Replaced] = []

    def __enter__(self) -> None:
        """Put the open transactions aside."""
        self._entered.append(Replaced({}))
        self._entered[-1].begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Restore the open transactions."""
        self._entered[-1].end()
        self._entered.pop()


def _after_fork_in_child() -> None:
    for block in ambient.get().values():
        if isinstance(block, TransactionBlock):
            block.scope.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Outside(AbstractContextManager[None]):
    """``with``: put the open transaction of a group aside, and restore it at the end of the block."""

    __slots__ = ("_group", "_replaced")

    def __init__(self, group: Hashable) -> None:
        self._group = group
        self._replaced: Replaced | None = None

    def __enter__(self) -> None:
        """Put the transaction aside."""
        self._replaced = Replaced({group: block for group, block in ambient.get().items() if group != self._group})
        self._replaced.begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Restore the transaction."""
        if self._replaced is not None:
            self._replaced.end()
            self._replaced = None
