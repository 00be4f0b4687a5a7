"""Which calls may use a connection beyond the limit of a pool, so that calls never wait for each other in a circle.

A maintainer opens it to change what happens if all connections are in use. A transaction, or a stream, holds its connection
while code of the user runs, and that code may need a second one: ``jti_revoked`` looks outside of an open transaction. If
transactions hold all connections, none of them could go on. So a read of a caller that holds a connection already may use one
connection more, and it never waits for anything but the database. A write or a transaction of such a caller may use one more,
too: one for each level of nesting, so that the innermost one always goes on.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from contextvars import ContextVar

import attrs

from resourcekit.data_layers.transactions import aside

__all__ = ["Need", "Requester", "Use", "level_of", "may_open", "requesters"]


Requester = tuple[int, int]
"""How many open transactions a task has put aside, and the id of the task."""

requesters: ContextVar[Sequence[Requester]] = ContextVar("resourcekit_sql_requesters", default=())
"""The tasks for which one task reads."""


class Use(enum.Enum):
    """The use of a connection."""

    READ = enum.auto()
    """A call that reads. It waits for no other call while it holds the connection."""

    WRITE = enum.auto()
    """A call that writes. It may wait for a lock of a transaction."""

    STREAM = enum.auto()
    """The rows of a query, one by one; code of the user runs in between."""

    TRANSACTION = enum.auto()
    """A transaction; code of the user runs inside of it."""

    @property
    def is_block(self) -> bool:
        """Whether code of the user runs while the connection is held."""
        return self in _BLOCKS

    @property
    def writes(self) -> bool:
        """Whether it waits for its turn to write, on a database with one writer at a time."""
        return self is Use.WRITE or self is Use.TRANSACTION


_BLOCKS = frozenset({Use.STREAM, Use.TRANSACTION})


@attrs.frozen
class Need:
    """The need of a call for a connection.

    level: number of connections that the caller holds already.
    user: the thread, or the id of the task, that will use the connection.
    """

    use: Use
    level: int = 0
    user: int = 0


def level_of(held: Iterable[tuple[Use, int]], me: int) -> int:
    """Return how many connections the caller holds already.

    held: the use, and the user (a thread or task), of each connection in use. me: the running thread or task. Tasks and
    threads that were started inside of a block count the transactions that were put aside there.
    """
    blocks = [user for use, user in held if use.is_block]
    return max(max(level, blocks.count(user)) for level, user in ((aside.get(), me), *requesters.get()))


def may_open(most: int, total: int, uses: Collection[Use], need: Need) -> bool:
    """Return whether a call may use one connection more.

    most: the limit. total: number of open connections, or of connections in use. uses: the use of each one in use.
    """
    if total < most:
        return True
    if need.level == 0 or not any(use.is_block for use in uses):
        return False  # the caller, or all others, give back what they have without any further connection
    waiting = sum(use is not Use.READ for use in uses)
    if need.use is Use.READ:
        return total <= waiting
    return most <= waiting < most + need.level and total <= waiting + 1
