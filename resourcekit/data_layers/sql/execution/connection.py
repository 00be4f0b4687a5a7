"""One database connection, used through its driver.

A maintainer opens it to change how statements are sent, or how transactions and savepoints begin and end. All work on a connection is written once, as plain functions over a
Connection. A sync call runs them directly. An async call runs them inside SQLAlchemy's ``run_sync``, over its adapter of an
async driver, and switches to other tasks while it waits.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from resourcekit.call_context import Deadline
from resourcekit.data_layers.sql.compile.statement import Statement
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.dialects.driver import CallbackState
from resourcekit.data_layers.sql.dialects.error_info import AtCommit, ConnectionLost, ErrorKind, Refused, TooLarge, TooLate
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.data_layers.sql.execution.pool_limits import PoolOptions, Share
from resourcekit.errors import ResourcekitError

__all__ = [
    "Connection",
    "Stored",
    "atomically",
    "begin",
    "change_in_savepoint",
    "commit",
    "fetch_in_thread",
    "in_savepoint",
    "rollback",
    "run_in_thread",
]

Stored = Sequence[Any]
T = TypeVar("T")
_ESCAPED = b"'\"\\\n\r\0\x1a"
"""Bytes that MariaDB drivers escape to two bytes."""

_TEXTS = (str, bytes, bytearray)
_LONG, _AROUND = 16 * 1024, 16
"""Length in characters from which a value may make a statement too long (every server accepts at least 64 KiB); bytes that are
counted for the text around each value."""


def _length(value: Any) -> int:
    """Return the size in bytes of a value in the text of a statement, including escape characters."""
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    if not isinstance(value, (bytes, bytearray)):
        return 0
    return len(value) + sum(value.count(byte) for byte in _ESCAPED)


_SHORTEST, _LONGEST = 0.0005, 0.004
"""Seconds between two attempts to get a lock: the first pause, and the longest one."""


class Connection:
    """A connection in autocommit mode. Transactions are begun and ended by statements.

    dbapi: the connection that statements run on.
    raw: the driver's own connection below an adapter, else the same as ``dbapi``.
    cursor: makes a cursor; a dialect replaces it if the user's own connection reads some types in another way.
    sa_connection: the SQLAlchemy object that owns the connection.
    is_external: the connection is the user's own (module ``joined``).
    sleep: waits between two attempts to get a lock; ``None`` if the driver itself waits.
    prefix: text before each statement that writes.
    is_not_usable: the connection works, but must not be used again.
    autocommit_write: the statement being sent commits on its own.
    awaiting_reply: a statement was sent and its reply is outstanding. If the connection is lost while both this and
        ``autocommit_write`` are set, the outcome is unknown (OutcomeUnknown).
    user: the thread, or the id of the task, that has taken the connection out of a pool; 0 while it is idle.
    use: what it was taken for.
    is_busy: a call inside of a transaction has begun on the connection and has not ended in an orderly way.
    owner: the process that opened the connection for a pool, and closes it; 0 for a connection that a pool does not own.
    places: the places of the connection in the limits of its pool and of its budget.
    opened_at, used_at: monotonic times, for a pool that replaces connections by their age.
    """

    __slots__ = (
        "__weakref__",
        "allowed",
        "autocommit_write",
        "awaiting_reply",
        "callback_state",
        "cursor",
        "dbapi",
        "dialect",
        "is_busy",
        "is_external",
        "is_not_usable",
        "opened_at",
        "owner",
        "places",
        "prefix",
        "raw",
        "sa_connection",
        "sleep",
        "use",
        "used_at",
        "user",
    )

    def __init__(
        self,
        dialect: Dialect,
        dbapi: Any,
        sa_connection: Any,
        *,
        raw: Any = None,
        sleep: Callable[[float], None] | None = None,
        is_external: bool = False,
    ) -> None:
        self.owner = self.user = 0
        self.use = Use.WRITE
        self.places: tuple[Share, ...] = ()
        self.opened_at = self.used_at = time.monotonic()
        self.dialect, self.dbapi, self.sa_connection = dialect, dbapi, sa_connection
        self.raw = dbapi if raw is None else raw
        self.cursor: Any = dbapi.cursor
        self.sleep, self.is_external = sleep, is_external
        self.allowed = -1.0
        self.callback_state = CallbackState()
        self.prefix = ""
        self.autocommit_write = self.awaiting_reply = self.is_not_usable = self.is_busy = False

    def __del__(self) -> None:
        """Close a connection that was dropped: an exception from outside came before it was given back."""
        if self.owner and self.owner == os.getpid():
            self.drop()

    def drop(self) -> None:
        """Close the connection at once, whatever it is doing; closing it twice does nothing."""
        if not self.owner:
            return
        self.owner = 0
        with contextlib.suppress(Exception):  # it is thrown away; how it ends concerns no caller
            self.sa_connection.invalidate()  # else SQLAlchemy would roll back, and log that it could not
        with contextlib.suppress(Exception):
            self.dialect.drop(self)
        with contextlib.suppress(Exception):
            self.sa_connection.close()
        self.give_places_back()

    def give_places_back(self) -> None:
        """Free the places in the limits of the pools."""
        for share in self.places:
            share.leave()

    def is_old(self, options: PoolOptions) -> bool:
        """Return whether the connection has reached its maximum lifetime or idle time."""
        now = time.monotonic()
        return now - self.opened_at > options.max_lifetime_s or now - self.used_at > options.max_idle_s

    def allow(self, deadline: Deadline) -> None:
        """Limit the next statements to a deadline."""
        self.callback_state.deadline = deadline
        if self.dialect.is_server and not self.is_external:
            stakes, self.autocommit_write = self.autocommit_write, False  # the statements sent here write nothing
            self.allowed = self.dialect.allow(self, deadline.remaining(), self.allowed)
            if time.monotonic() > self.callback_state.look_at and not self.callback_state.in_transaction:
                self.dialect.look(self)
            self.autocommit_write = stakes

    def let_go(self) -> None:
        """Remove the limit from a user's own connection: later statements on it are the user's."""
        if self.is_external:
            self.callback_state.deadline = None

    def grace(self) -> None:
        """Extend the deadline for statements that end a transaction, even if the call's own time is over."""
        if self.callback_state.deadline is not None:
            self.callback_state.deadline = self.callback_state.deadline.with_grace()

    def fetch(self, sql: str, values: Stored = ()) -> list[Any]:
        """Run a statement and return its rows."""
        try:
            return self._fetch(sql, values)
        except self.dialect.errors as error:
            return self._retry_while_locked(self._fetch, sql, values, error)

    def _fetch(self, sql: str, values: Stored) -> list[Any]:
        if values and self.callback_state.packet is not None:
            self._refuse_long(sql, values, self.callback_state.packet)
        cursor = self.cursor()
        self.awaiting_reply = True
        try:
            cursor.execute(self.prefix + sql if self.prefix else sql, values)
            found = cursor.fetchall()
        except BaseException as error:
            self._failed(cursor, error)
            raise
        self.awaiting_reply = False
        cursor.close()
        return found  # type: ignore[no-any-return]  # drivers are untyped here

    def run(self, sql: str, values: Stored = ()) -> int:
        """Run a statement and return the number of rows it touched."""
        try:
            return self._run(sql, values)
        except self.dialect.errors as error:
            return self._retry_while_locked(self._run, sql, values, error)

    def _run(self, sql: str, values: Stored) -> int:
        if values and self.callback_state.packet is not None:
            self._refuse_long(sql, values, self.callback_state.packet)
        cursor = self.cursor()
        self.awaiting_reply = True
        try:
            cursor.execute(self.prefix + sql if self.prefix else sql, values)
            count = cursor.rowcount
        except BaseException as error:
            self._failed(cursor, error)
            raise
        self.awaiting_reply = False
        cursor.close()
        return count  # type: ignore[no-any-return]  # drivers are untyped here

    def change(self, statement: Statement, values: Stored, returning: bool) -> Any:
        """Run an update or a delete. Return its rows, or their number."""
        try:
            return self.fetch(statement.sql, values) if returning else self.run(statement.sql, values)
        except TooLarge as large:
            large.field = statement.field_at(large.position)
            raise

    def run_many(self, sql: str, rows: Sequence[Stored]) -> None:
        """Run a statement once for each row of values, inside a transaction."""
        if self.callback_state.packet is not None:
            for row in rows:
                self._refuse_long(sql, row, self.callback_state.packet)
        cursor = self.cursor()
        self.awaiting_reply = True
        try:
            cursor.executemany(self.prefix + sql if self.prefix else sql, rows)
        except BaseException as error:
            self._failed(cursor, error)
            raise
        self.awaiting_reply = False
        cursor.close()

    def ask(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function that uses the connection of the driver directly, without ``fetch`` and ``run``."""
        self.awaiting_reply = True
        try:
            result = function(*args)
        except BaseException as error:
            self._failed(None, error)
            raise
        self.awaiting_reply = False
        return result

    def _failed(self, cursor: Any, error: BaseException) -> None:
        """Record an error. If a task was cancelled, its connection is discarded."""
        if (outside := self.callback_state.outside) is not None:
            self.callback_state.outside = None
            raise outside from None
        if isinstance(error, Exception) and isinstance(error, (*self.dialect.errors, Refused, TooLarge, TooLate)):
            self.dialect.failed(self, error)
            kind = self.dialect.explain(error, None).kind if isinstance(error, self.dialect.errors) else None
            self.awaiting_reply = kind is ErrorKind.LOST or (kind is not ErrorKind.ENDED and self.dialect.is_broken(self))
            self.is_not_usable = kind is ErrorKind.NOT_USABLE
        elif self.dialect.is_server:  # from outside: no statement can be sent on it any more
            if isinstance(error, AssertionError) and error.__context__ is not None:
                raise error.__context__ from None  # psycopg asserts its state in a ``finally``, which hides what came from outside
            return
        with contextlib.suppress(Exception):  # the error that is being raised explains more
            if cursor is not None:
                cursor.close()

    @staticmethod
    def _refuse_long(sql: str, values: Stored, most: int) -> None:
        """Raise TooLarge for a statement that the server would refuse, usually by closing the connection."""
        for value in values:
            if isinstance(value, _TEXTS) and len(value) > _LONG:
                break
        else:
            return  # the common case; no sizes are computed
        sizes = [_length(value) for value in values]
        if len(sql) + sum(sizes) + _AROUND * len(sizes) > most:
            largest = max(range(len(sizes)), key=sizes.__getitem__)
            raise TooLarge(largest, sizes[largest], most)

    def is_clean(self) -> bool:
        """Return whether another call may use the connection: it is alive, nothing is open on it and no answer is due."""
        marked = self.is_not_usable or self.awaiting_reply or self.is_busy
        return not (marked or self.dialect.is_open(self) or self.dialect.is_broken(self))

    def ended_orderly(self, error: BaseException) -> bool:
        """Return whether an error came from the database or from this package.

        Any other one, such as that of a signal or a cancelled task, may have come between any two lines, so the state of the connection
        is not known.
        """
        return isinstance(error, (ResourcekitError, AtCommit, ConnectionLost, Refused, TooLarge, TooLate)) or (
            not self.awaiting_reply and isinstance(error, self.dialect.errors)
        )

    def in_driver_thread(self, function: Callable[[Connection], T]) -> T:
        """Call ``function(connection)``, which runs many statements in a transaction, without switching tasks in between."""
        return function(self)

    def _retry_while_locked(self, attempt: Callable[[str, Stored], T], sql: str, values: Stored, error: Exception) -> T:
        """Retry while another connection holds the lock, until the deadline, and often enough to find a gap between two writers.

        The driver's own wait checks less and less often, and its thread cannot be interrupted.
        """
        pause = _SHORTEST
        while True:
            left = _LONGEST if self.callback_state.deadline is None else self.callback_state.deadline.remaining()
            if self.sleep is None or left <= 0 or self.dialect.explain(error, None).kind is not ErrorKind.BUSY:
                raise error
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST)
            try:
                return attempt(sql, values)
            except self.dialect.errors as again:
                error = again


def fetch_in_thread(raw: Any, sql: str, values: Stored) -> list[Any]:
    """Run a statement on a connection of the driver and return its rows. Called in the thread that the connection belongs to."""
    cursor = raw.cursor()
    try:
        cursor.execute(sql, values)
        return cursor.fetchall()  # type: ignore[no-any-return]  # drivers are untyped here
    finally:
        cursor.close()  # also after an error: a cursor that lives in its traceback would keep the lock


def run_in_thread(raw: Any, sql: str, values: Stored) -> int:
    """Run a statement, as ``fetch_in_thread`` does, and return the number of rows it touched."""
    cursor = raw.cursor()
    try:
        cursor.execute(sql, values)
        return cursor.rowcount  # type: ignore[no-any-return]  # drivers are untyped here
    finally:
        cursor.close()


_SAVEPOINT = "resourcekit_rows"
"""Name of the savepoint around all that a call does."""


def change_in_savepoint(connection: Connection, statement: Statement, values: Stored, returning: bool) -> Any:
    """Run a statement that writes, in an open transaction that an error of it would abort. Return the rows, or their count."""
    return atomically(connection, lambda: connection.change(statement, values, returning), nested=True)


def begin(connection: Connection) -> None:
    """Begin a transaction."""
    connection.autocommit_write = False
    connection.dialect.begin(connection)
    connection.callback_state.in_transaction = True


def commit(connection: Connection) -> None:
    """Commit. If that fails, roll back if the transaction is still open.

    Raises:
        ConnectionLost: The connection was lost before COMMIT was sent.
        AtCommit: COMMIT failed; wraps the driver's error.
    """
    if connection.dialect.is_gone(connection):
        raise ConnectionLost
    connection.autocommit_write = True
    try:
        connection.run("COMMIT")
    except connection.dialect.errors as error:
        rollback(connection)
        raise AtCommit(error) from None
    connection.callback_state.in_transaction = False


def rollback(connection: Connection) -> None:
    """Roll back, unless the database has done so already; a connection on which that fails is left open, to be closed."""
    if not _can_roll_back(connection):
        return
    connection.grace()
    with contextlib.suppress(Exception):  # the error that caused the rollback is more useful
        connection.run("ROLLBACK")
        connection.callback_state.in_transaction = False


def _can_roll_back(connection: Connection) -> bool:
    """Return whether a transaction is open on a connection that can run a statement.

    While a reply is outstanding, it cannot: the error came from outside of the driver, perhaps in the middle of it, and psycopg may
    still hold its lock.
    """
    dialect = connection.dialect
    return not connection.awaiting_reply and not dialect.is_broken(connection) and dialect.is_open(connection)


def atomically(connection: Connection, work: Callable[[], T], *, nested: bool) -> T:
    """Call ``work`` in a transaction of its own, or in a savepoint if a transaction is open.

    After a cancelled task or a signal nothing is rolled back here: the connection is discarded, and its transaction with it.
    """
    if nested:
        return in_savepoint(connection, work, _SAVEPOINT)
    begin(connection)
    try:
        result = work()
    except Exception:
        rollback(connection)
        raise
    commit(connection)
    return result


def in_savepoint(connection: Connection, work: Callable[[], T], name: str) -> T:
    """Call ``work`` in a savepoint.

    Nested savepoints need different names, because MariaDB drops the outer one of two equal names.
    """
    connection.run(f"SAVEPOINT {name}")
    try:
        result = work()
    except Exception:
        if _can_roll_back(connection):
            connection.grace()
            with contextlib.suppress(Exception):  # the original error is more useful; is_aborted is set on the transaction
                connection.run(f"ROLLBACK TO SAVEPOINT {name}")
                connection.run(f"RELEASE SAVEPOINT {name}")
        raise
    connection.run(f"RELEASE SAVEPOINT {name}")
    return result
