"""Queues of async tasks.

A maintainer opens it to change how tasks wait for a connection, for their turn to write, or for the first connect of an engine.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from types import TracebackType
from typing import Any

from resourcekit.data_layers.sql.execution.needs import level_of, may_open

__all__ = ["FirstConnect", "Places", "TaskQueue"]

_LOOK_S = 0.002
"""Seconds between two looks at whether the task of another loop has connected."""


class TaskQueue:
    """A semaphore that is fair: a limited number of holders, and tasks that wait in order.

    A holder that is no longer referenced has left.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: weakref.WeakSet[Any] = weakref.WeakSet()
        self._waiting: deque[tuple[asyncio.Future[None], Any]] = deque()

    async def enter(self, holder: object) -> None:
        """Wait for a place, and take it."""
        if (not self._waiting and len(self._inside) < self._most) or self._has_extra(holder):
            self._inside.add(holder)
            return
        turn = asyncio.get_running_loop().create_future()
        try:
            self._waiting.append((turn, holder))
            await turn
            self._inside.add(holder)
        finally:
            self._waiting.remove((turn, holder))
            self.wake()

    def _has_extra(self, holder: Any) -> bool:
        """Return whether a holder may have a place beyond the limit."""
        return False

    @property
    def is_full(self) -> bool:
        """Whether all places are taken, or others wait for one."""
        return bool(self._waiting) or len(self._inside) >= self._most

    @property
    def is_awaited(self) -> bool:
        """Whether tasks wait for a place."""
        return bool(self._waiting)

    def __len__(self) -> int:
        """Return how many places are taken."""
        return len(self._inside)

    def replace(self, holder: object, other: object) -> None:
        """Let another object hold a place."""
        self._inside.add(other)
        self._inside.discard(holder)

    def leave(self, holder: object) -> None:
        """Give a place back; one that was given back already stays so."""
        self._inside.discard(holder)
        if self._waiting:
            self.wake()

    def wake(self) -> None:
        """Resume the tasks that have a place now."""
        free = self._most - len(self._inside)
        for turn, holder in self._waiting:
            if free <= 0 and not self._has_extra(holder):
                continue
            if not turn.done():
                turn.set_result(None)
            free -= 1


class Places(TaskQueue):
    """The places of a pool. A checkout may have one beyond the limit if all others would wait for each other (module ``needs``)."""

    def _has_extra(self, holder: Any) -> bool:
        if len(self._inside) < self._most or any(turn.done() for turn, _ in self._waiting):
            return False
        uses = [each.need.use for each in self._holds()]
        return may_open(self._most, len(self._inside), uses, holder.need)

    def level(self, user: int) -> int:
        """Return how many connections the running task holds already."""
        return level_of([(each.need.use, each.need.user) for each in self._holds()], user)

    def _holds(self) -> list[Any]:
        """Return the checkouts that have a place. A connection that is opened without a waiting caller has one, too."""
        return [each for each in self._inside if not isinstance(each, asyncio.Future)]


class FirstConnect:
    """``async with``: lets one task alone connect until an engine has connected for the first time.

    SQLAlchemy asks the server about itself then, and holds a lock meanwhile that belongs to the loop which came first; in
    another loop it raises RuntimeError. The task that connects is known by itself, so that nothing is left locked if it ends.
    """

    def __init__(self) -> None:
        self._is_over = False
        self._lock = threading.RLock()
        self._task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> None:
        """Wait until no other task is connecting."""
        while not self._is_over and not self._is_mine():  # noqa: ASYNC110  # the task may be one of another loop, in another thread
            await asyncio.sleep(_LOOK_S)

    def _is_mine(self) -> bool:
        task = asyncio.current_task()
        with self._lock:
            if self._task is None or self._task.done() or self._task.get_loop().is_closed():
                self._task = task
            return self._task is task

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let the others connect."""
        if kind is None:
            self._is_over = True
        if self._task is asyncio.current_task():
            self._task = None
