"""Blocks of a transaction over drafts: nesting, savepoints, functions after the commit. It knows no store.

A transaction works on drafts, and holds no lock while a user's code runs; its ground says how its drafts are committed.
"""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Generic, TypeVar

from resourcekit.data_layers.after_commit import run_after_commit
from resourcekit.data_layers.rows.table import Journal, undo
from resourcekit.errors import WrongColour
from resourcekit.flow.context import Colour, colour

__all__ = ["Block", "Ground", "Handle", "current"]


class Ground(ABC):
    """What all blocks of one transaction share. It belongs to one thread or task, in one colour."""

    __slots__ = ("colour", "is_over", "journal", "owner")

    def __init__(self) -> None:
        self.journal: Journal = []
        self.owner = _running()
        self.colour = colour.get()
        self.is_over = False

    @abstractmethod
    async def commit(self) -> None:
        """Make the drafts' writes stand, all at once.

        Raises SerializationFailure, with nothing written, where another transaction came first.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the transaction held; called once, at its end, whatever that was."""


G = TypeVar("G", bound=Ground)


class Handle(Generic[G]):
    """One block: the whole transaction, or a savepoint inside it."""

    __slots__ = ("_functions", "_is_doomed", "_mark", "ground", "outer")

    def __init__(self, ground: G, outer: Handle[G] | None) -> None:
        self.ground, self.outer = ground, outer
        self._mark = len(ground.journal)
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

    async def end(self, *, failed: bool) -> list[Callable[[], object]]:
        """Commit or roll back this block; return what is to be run now.

        Raises SerializationFailure, rolled back, where another transaction came first.
        """
        if self.outer is None:
            self.ground.is_over = True
            try:
                if not failed and not self._is_doomed:
                    await self.ground.commit()
                    return self._functions
            finally:
                self.ground.close()
        elif failed or self._is_doomed:
            undo(self.ground.journal, self._mark)
        else:
            self.outer._functions.extend(self._functions)  # noqa: SLF001  # its own kind
        return []


Ambient = ContextVar[Handle[G] | None]
"""The innermost open block of a context. A copied context brings it along, so ask ``current()``."""


def _running() -> tuple[int, object]:
    """Return what a transaction belongs to: the thread, and the task if one runs."""
    asyncio = sys.modules.get("asyncio")  # not imported here: without it there is no task
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def current(ambient: Ambient[G]) -> Handle[G] | None:
    """Return the open block of this thread or task.

    Another thread or task that took over the context has none: it works outside of the transaction. Raises WrongColour
    for a sync call in an async transaction, and the other way round.
    """
    handle = ambient.get()
    if handle is None or handle.ground.is_over or handle.ground.owner != _running():
        return None
    if (colour.get() is Colour.SYNC) is not (handle.ground.colour is Colour.SYNC):
        msg = "a transaction is sync or async as a whole: inside an async one call .aio and await it, inside a sync one do not"
        raise WrongColour(msg)
    return handle


class Block(AbstractAsyncContextManager[Handle[G]]):
    """``async with``: a transaction, or a savepoint where one is open. A class, so that no ContextVar is set across a
    yield."""

    __slots__ = ("_ambient", "_before", "_ground", "_handle")

    def __init__(self, ambient: Ambient[G], ground: Callable[[], G]) -> None:
        self._ambient, self._ground = ambient, ground

    async def __aenter__(self) -> Handle[G]:
        """Begin."""
        self._before = self._ambient.get()
        outer = current(self._ambient)
        self._handle = Handle(self._ground() if outer is None else outer.ground, outer)
        self._ambient.set(self._handle)
        return self._handle

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Commit, or roll back after an error."""
        self._ambient.set(self._before)
        functions = await self._handle.end(failed=kind is not None)
        await run_after_commit(functions)
