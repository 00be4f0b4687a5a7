"""Drivers: how a database opens, limits, checks and ends connections, and what its errors mean.

A maintainer opens it when a dialect needs more of a connection, or to add a question about one.
"""

from __future__ import annotations

import functools
import math
import select
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from resourcekit.call_context import Deadline
from resourcekit.data_layers.sql.dialects.error_info import ErrorInfo, ErrorKind

__all__ = [
    "LATE",
    "PRIMARY",
    "STALE",
    "CallbackState",
    "ConnectionLike",
    "CursorReader",
    "Driver",
    "Reader",
    "is_near",
    "says_nothing",
    "sooner",
]


class ConnectionLike(Protocol):
    """The part of a connection that a dialect uses; ``connection.Connection`` is one."""

    dbapi: Any
    raw: Any
    sa_connection: Any
    callback_state: Any
    allowed: float
    sleep: Any
    is_external: bool
    prefix: str
    dialect: Any
    cursor: Any

    def allow(self, deadline: Deadline) -> None:
        """Bound the next statements by a deadline."""

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return its rows."""
        ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return the count of rows that it touched."""
        ...

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""


class CallbackState:
    """State shared with driver callbacks. Kept outside of Connection to avoid a reference cycle.

    deadline: when a running statement is stopped; ``None``: never.
    updates: the keys of the rows that an upsert updated.
    in_transaction: a transaction is open; for dialects whose driver cannot report it.
    is_receiving: the rows of a statement are still coming, and no other statement can be sent; for dialects that stream so.
    kept: value that a dialect keeps for later use.
    packet: size in bytes of the longest statement that the server accepts; ``None``: no limit.
    timeouts_end: a lock timeout rolls back the whole transaction.
    server: what the server reported about itself, for dialects that ask.
    outside: what a signal raised inside of a callback, which the driver has dropped.
    look_at: monotonic time at which the server is asked again.
    """

    __slots__ = (
        "deadline",
        "in_transaction",
        "is_receiving",
        "kept",
        "look_at",
        "outside",
        "packet",
        "server",
        "timeouts_end",
        "updates",
    )

    def __init__(self) -> None:
        self.deadline: Deadline | None = None
        self.packet: int | None = None
        self.updates: list[Any] = []
        self.in_transaction = self.is_receiving = self.timeouts_end = False
        self.kept: Any = None
        self.server: Any = None
        self.outside: BaseException | None = None
        self.look_at = math.inf

    def is_late(self) -> bool:
        """Return whether the running statement must be stopped now."""
        return self.deadline is not None and self.deadline.expired


class Reader(Protocol):
    """The rows of one statement, page by page."""

    def page(self, rows: int) -> list[Any]:
        """Return the next rows; an empty list at the end."""
        ...

    def close(self, *, done: bool) -> None:
        """Release the database's resources for it. done: all rows were fetched."""

    def drop(self) -> None:
        """Leave it as it is, because its connection will be closed."""


class CursorReader:
    """Rows from a driver's cursor that fetches them on demand."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def page(self, rows: int) -> list[Any]:
        """Return the next rows; none at the end."""
        return list(self._cursor.fetchmany(rows))

    def close(self, *, done: bool) -> None:
        """Close the cursor."""
        self._cursor.close()

    def drop(self) -> None:
        """Do nothing: the cursor holds nothing that its connection does not end."""


class Driver(ABC):
    """The sync and the async driver of one database: connections, time limits, transactions, errors."""

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """The exception classes that the drivers raise."""
        raise NotImplementedError

    def connect_args(self, seconds: float) -> dict[str, Any]:
        """Return arguments of a sync driver besides the URL, which limit the time that connecting takes."""
        return {}

    def async_connect_args(self) -> dict[str, Any]:
        """Return arguments of SQLAlchemy's adapter of the async driver, besides the URL."""
        return {}

    def bound_waits(self, raw: Any, deadline: Deadline | None) -> None:  # noqa: B027  # dialects override it if they need it
        """Limit how long a fresh connection of a sync driver waits for an answer; ``None``: no limit."""

    def raw(self, fairy: Any) -> Any:
        """Return the driver's own connection, below SQLAlchemy's adapter of an async driver."""
        return fairy.driver_connection

    @abstractmethod
    def open(self, connection: ConnectionLike, deadline: Deadline) -> None:
        """Prepare a fresh connection, by the deadline."""

    def require_foreign_keys(self, connection: ConnectionLike) -> None:  # noqa: B027  # dialects override it if they need it
        """Raise InvalidArgument for a connection of the user's own on which the database keeps no foreign keys."""

    def look(self, connection: ConnectionLike) -> None:  # noqa: B027  # dialects override it if they need it
        """Check again, after ``callback_state.look_at``, what the server is. Raise Refused if it must not be used any more."""

    def leave(self, connection: ConnectionLike) -> None:  # noqa: B027  # dialects override it if they need it
        """Restore a connection of the user's own to its state before ``open``."""

    @abstractmethod
    def commits_alone(self, connection: ConnectionLike) -> bool:
        """Return whether a connection of the user's own is in autocommit mode."""

    @abstractmethod
    def uses_snapshot(self, connection: ConnectionLike) -> bool:
        """Return whether a transaction on the user's own connection may read from a snapshot and miss later commits of others."""

    def lags_inside(self, connection: ConnectionLike) -> bool:
        """Return whether reads inside a transaction may miss what other nodes have acknowledged since it began."""
        return False

    def allow(self, connection: ConnectionLike, seconds: float, known: float) -> float:
        """Limit the next statements on the server, too.

        Return the limit that is now set. known: the limit that was set before.
        """
        raise NotImplementedError

    unsure_at_commit: frozenset[ErrorKind] = frozenset({ErrorKind.DOWN, ErrorKind.LOST, ErrorKind.SILENT})
    """Kinds of errors after which a COMMIT may have succeeded nevertheless."""

    @abstractmethod
    def begin(self, connection: ConnectionLike) -> None:
        """Begin a transaction that will write."""

    def began_by_itself(self, connection: ConnectionLike) -> bool:
        """Return whether the driver of a user's own connection begins a transaction at its first statement."""
        return True

    @abstractmethod
    def is_open(self, connection: ConnectionLike) -> bool:
        """Return whether a transaction is still open on the connection and a statement can end it."""

    @abstractmethod
    def is_broken(self, connection: ConnectionLike) -> bool:
        """Return whether the connection cannot be used any more."""

    def is_fresh(self, connection: ConnectionLike) -> bool:
        """Return whether an idle connection is still usable, without a round trip."""
        return True

    def is_gone(self, connection: ConnectionLike) -> bool:
        """Return whether the server has closed the connection in a transaction, as far as is known without a round trip."""
        return False

    def failed(self, connection: ConnectionLike, error: Exception) -> None:  # noqa: B027  # dialects override it if they need it
        """Record what an error did to the connection."""

    def is_aborted(self, connection: ConnectionLike) -> bool:
        """Return whether the open transaction can only be rolled back."""
        return False

    def interrupt(self, connection: ConnectionLike) -> None:  # noqa: B027  # dialects override it if they need it
        """Stop the running statement. Called from another thread."""

    def drop(self, connection: ConnectionLike) -> None:
        """Close the connection at once, whatever it is doing, without waiting for the server or for a loop."""
        connection.raw.close()

    @abstractmethod
    def explain(self, error: Exception, table: sa.Table | None) -> ErrorInfo:
        """Return the meaning of a driver's error. ``table`` is the table that the failed statement used."""


LATE = "It takes no writes, and what others write reaches it late: a check may pass a token that was revoked just now."
PRIMARY = "Connect to the primary server."
"""Reason and cure of a finding about a replica."""

STALE = "A check may pass a token that another process revoked a moment ago."


def says_nothing(descriptor: int) -> Callable[[], bool]:
    """Return a function that returns whether no data is waiting to be read from a socket.

    A server sends data unasked only before it closes the connection, and a closed connection is readable, too.
    """
    if not hasattr(select, "poll"):  # Windows
        return lambda: not select.select([descriptor], [], [], 0)[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLERR | select.POLLHUP)
    return lambda: not poll.poll(0)


def sooner(seconds: float) -> float:
    """Return the server's time limit for a statement, which is shorter than the caller's, so that its answer arrives in time.

    If the caller gives up first, it does not know the outcome of the statement.
    """
    return max(seconds / 2, seconds * 0.9 - 0.02)


def is_near(known: float, seconds: float) -> bool:
    """Return whether the limit that the server already has is good enough for a statement with this many seconds.

    It must stop the statement before its caller gives up. Each statement of a call has a little less time than the one before,
    and sending the limit each time would double the round trips.
    """
    return 0.8 * seconds <= known and sooner(known) <= 0.98 * seconds
