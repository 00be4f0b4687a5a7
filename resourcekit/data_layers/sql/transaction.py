"""Transactions of one repo: nested by savepoints, ambient for the thread or task that opened them.

Knows links, and no statement of a resource. The ContextVar is only ever set by ``__aenter__`` and ``__aexit__`` of a
class, never across a ``yield``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from resourcekit.errors import DataLayerError, WrongColour
from resourcekit.flow.context import Colour, colour

if TYPE_CHECKING:
    from resourcekit.data_layers.sql.link import Link

__all__ = ["SPOILT", "Level", "Root", "ambient", "open_level"]


SPOILT = "an error of the database left this block nothing to do but to roll back; leave it, and run it again as a whole"


class Root:
    """The outermost transaction: a connection that is its own until the end.

    owner: the thread, and the task if one runs; a copied context does not take the transaction along.
    home: the connections of the process in which it was opened; another one after a fork.
    is_spoilt: an error of the database left nothing to do but to go back to a savepoint.
    looks_back: its reads may not see what others have committed since it began.
    """

    __slots__ = ("home", "is_async", "is_over", "is_spoilt", "link", "looks_back", "owner", "reason", "savepoints")

    def __init__(self, home: object, link: Link, *, looks_back: bool = False) -> None:
        self.home, self.link, self.looks_back = home, link, looks_back
        self.is_async = colour.get() is not Colour.SYNC
        self.owner = running()
        self.is_over = self.is_spoilt = False
        self.reason = ""
        self.savepoints = 0

    def lose(self, reason: str) -> None:
        """Remember that the transaction ended on its own, so that nothing is written outside of it by mistake."""
        self.reason = self.reason or reason


class Level:
    """One block: the whole transaction, or a savepoint inside it."""

    __slots__ = ("functions", "is_doomed", "outer", "root", "savepoint")

    def __init__(self, root: Root, outer: Level | None, savepoint: str = "") -> None:
        self.root, self.outer, self.savepoint = root, outer, savepoint
        self.functions: list[Callable[[], object]] = []
        self.is_doomed = False

    def after_commit(self, function: Callable[[], object]) -> None:
        """Run a function once the outermost transaction is committed; never if it, or this block, rolls back.

        All functions run, in order; what they raise is raised by the outermost block, whose commit stands.
        """
        self.functions.append(function)

    def doom(self) -> None:
        """Let this block end in a rollback, whatever happens next; without an error, nothing is raised."""
        self.is_doomed = True


ambient: ContextVar[Mapping[object, Level]] = ContextVar("resourcekit_sql_transactions", default={})
"""The innermost open block of each repo in this context. A copied context brings it along, so ask ``open_level``."""


def running() -> tuple[int, object]:
    """Return what a transaction belongs to: the thread, and the task if one runs."""
    asyncio = sys.modules.get("asyncio")  # not imported here: without it there is no task
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def open_level(repo: object, home: object) -> Level | None:
    """Return the open block of this thread or task.

    Raises WrongColour for a sync call in an async transaction and the other way round, and DataLayerError where the
    transaction has ended on its own.
    """
    level = ambient.get().get(repo)
    if level is None:
        return None
    root = level.root
    if root.is_over or root.home is not home:
        return None
    thread, task = running()
    if thread != root.owner[0] or (task is not root.owner[1] and root.owner[1] is not None):
        return None
    if (colour.get() is not Colour.SYNC) is not root.is_async:
        msg = "a transaction is sync or async as a whole: inside an async one call .aio and await it, inside a sync one do not"
        raise WrongColour(msg)
    if root.reason or root.is_spoilt:
        raise DataLayerError(root.reason or SPOILT)
    return level
