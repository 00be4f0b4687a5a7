"""How a user's own transaction ends, seen from the blocks that joined it. It knows SQLAlchemy's connection, and no statement."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.util import await_only

from resourcekit.data_layers.after_commit import run_after_commit, run_after_commit_now
from resourcekit.data_layers.sql.transaction import Root

__all__ = ["Ending", "ending_of"]

_OVER = "the transaction that was joined has ended inside of the block; leave the block, and join the next one"


class Ending:
    """What waits for the end of a connection's transactions, for as long as SQLAlchemy's connection lives.

    functions: to run once the user's commit stands, and never where it, or the savepoint around them, is rolled back.
    roots: of the blocks that are open.
    """

    def __init__(self, connection: sa.Connection, *, is_async: bool) -> None:
        self.functions: list[Callable[[], object]] = []
        self.roots: list[Root] = []
        self._marks: dict[str, int] = {}
        self._is_async = is_async
        # SQLAlchemy tells of a commit before it commits, and of a savepoint before it has a name: what follows both has
        # no public name.
        own: Any = connection
        for name in ("_commit_impl", "_commit_twophase_impl"):
            setattr(own, name, self._then(getattr(own, name), self._committed))
        own._savepoint_impl = self._then(own._savepoint_impl, self._marked)  # noqa: SLF001  # see above
        event.listen(connection, "rollback", lambda connection: self._rolled_back())
        event.listen(connection, "rollback_twophase", lambda connection, xid, is_prepared: self._rolled_back())
        event.listen(connection, "rollback_savepoint", lambda connection, name, context: self._rolled_back_to(name))

    @property
    def root(self) -> Root | None:
        """That of the block around, if one is open in this transaction."""
        return self.roots[-1] if self.roots and not self.roots[-1].reason else None

    @staticmethod
    def _then(first: Callable[..., Any], then: Callable[[Any], None]) -> Callable[..., Any]:
        def both(*args: Any, **kwargs: Any) -> Any:
            result = first(*args, **kwargs)
            then(result)
            return result

        return both

    def _committed(self, _: object) -> None:
        waiting = self._over()
        if self._is_async:
            await_only(run_after_commit(waiting))  # the commit of an async connection runs in a greenlet of its loop
        else:
            run_after_commit_now(waiting)

    def _rolled_back(self) -> None:
        self._over()

    def _over(self) -> list[Callable[[], object]]:
        """Let go of what waited, and let no open block write into what comes next, which nobody would commit."""
        waiting = self.functions[:]
        self.functions.clear()
        self._marks.clear()
        for root in self.roots:
            root.lose(_OVER)
        return waiting

    def _marked(self, name: str) -> None:
        self._marks[name] = len(self.functions)

    def _rolled_back_to(self, name: str) -> None:
        # A savepoint without a mark is older than all that waits.
        del self.functions[self._marks.get(name, 0) :]
        for root in self.roots:
            root.is_spoilt = False


_endings: weakref.WeakKeyDictionary[sa.Connection, Ending] = weakref.WeakKeyDictionary()


def ending_of(connection: sa.Connection, *, is_async: bool) -> Ending:
    """Return the one ending of a connection."""
    ending = _endings.get(connection)
    if ending is None:
        ending = _endings[connection] = Ending(connection, is_async=is_async)
    return ending
