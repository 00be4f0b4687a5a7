"""How a connection to an SQLite file is opened, watched and ended, and what its errors mean."""

from __future__ import annotations

import functools
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from resourcekit.call_context import Deadline
from resourcekit.data_layers.driver_names import require_names
from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.driver import Driver
from resourcekit.data_layers.sql.dialects.error_info import ErrorInfo
from resourcekit.data_layers.sql.dialects.features import Features
from resourcekit.data_layers.sql.dialects.sqlite import driver_thread, files, log, upserts, values
from resourcekit.data_layers.sql.dialects.sqlite import errors as error_info
from resourcekit.data_layers.sql.dialects.sqlite.functions import CALLED
from resourcekit.errors import InvalidArgument
from resourcekit.expressions.evaluation import like_pattern
from resourcekit.results import Outcome

__all__ = ["LIKE", "MATCHES", "SQLiteDriver"]

MATCHES = "resourcekit_matches"
LIKE = "resourcekit_like"
_STEPS = 50_000
"""Instructions of SQLite's virtual machine between two checks of the deadline; this takes some milliseconds."""

_MAPPED = 128 * 1024 * 1024
"""Bytes of the file that are memory mapped. All processes share them, and no connection copies them into its cache."""


class SQLiteDriver(Features, Driver):
    """Connections of SQLite."""

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error,)

    def async_connect_args(self) -> dict[str, Any]:
        require_names("aiosqlite")
        return {"async_creator_fn": driver_thread.connect}

    def raw(self, fairy: Any) -> Any:
        """Return the connection of sqlite3 that aiosqlite's connection wraps."""
        require_names("aiosqlite")
        return fairy.driver_connection._conn  # noqa: SLF001  # aiosqlite has no public name for it

    def is_fresh(self, connection: ConnectionLike) -> bool:
        """Return whether the connection's file is still the one that its path leads to; one ``stat``.

        A restore, or a deployment that copies a database, replaces the file. A connection that was opened before continues with
        the old one, which no other program opens again, so its writes would be lost.
        """
        opened = connection.callback_state.kept
        if opened is None:
            return True
        path, identity = opened
        try:
            found = os.stat(path)  # noqa: PTH116  # in each call, and Path takes longer
        except OSError:
            return identity is None
        return bool(identity == (found.st_dev, found.st_ino))

    def outcome(self, connection: ConnectionLike, table: sa.Table, count: int, row: Any) -> Outcome:
        """Return the outcome of the insert that just ran, by the keys that ``upserts`` noted."""
        updates = connection.callback_state.updates
        was_updated = count == upserts.UPDATED or bool(updates)
        updates.clear()
        if count == 0:
            return Outcome.SKIPPED
        return Outcome.UPDATED if was_updated else Outcome.INSERTED

    def is_gone(self, connection: ConnectionLike) -> bool:
        """Return whether the file was replaced or removed in the transaction: a commit would go into a lost file."""
        return not self.is_fresh(connection)

    def open(self, connection: ConnectionLike, deadline: Deadline) -> None:
        callback_state = connection.callback_state

        own: dict[str, Callable[[Any], Any]] = {MATCHES: _match, LIKE: _like, **dict(values.FUNCTIONS), **CALLED}
        for name, function in own.items():
            connection.dbapi.create_function(name, 1, values.called(callback_state, function), deterministic=True)
        upserts.open_for(connection)
        if connection.is_external:
            return
        connection.raw.set_progress_handler(values.watching(callback_state), _STEPS)
        connection.allow(deadline)
        (_, _, path), *_ = connection.fetch("PRAGMA database_list")
        identity = files.identity(path)
        named = os.path.abspath(connection.sa_connection.engine.url.database or path)  # noqa: PTH100  # without following links
        # SQLite tells the path behind links, and a link may be turned to another file.
        callback_state.kept = named if files.identity(named) == identity else path, identity
        connection.run("PRAGMA busy_timeout=0")  # Connection waits instead, in more even steps
        connection.run("PRAGMA foreign_keys=ON")  # SQLite keeps foreign keys only if each connection asks for it
        log.use(connection)
        connection.fetch(f"PRAGMA mmap_size={_MAPPED}")

    def require_foreign_keys(self, connection: ConnectionLike) -> None:
        if not connection.fetch("PRAGMA foreign_keys")[0][0]:
            msg = (
                "the connection keeps no foreign keys, and resources have on_delete; run PRAGMA foreign_keys=ON when it is opened: "
                'event.listen(engine, "connect", lambda dbapi, record: dbapi.execute("PRAGMA foreign_keys=ON"))'
            )
            raise InvalidArgument(msg)

    def commits_alone(self, connection: ConnectionLike) -> bool:
        """Return whether the connection commits each statement. If SQLAlchemy's events begin transactions, one is open by now."""
        return connection.raw.isolation_level is None and not connection.raw.in_transaction

    def began_by_itself(self, connection: ConnectionLike) -> bool:
        """Return whether a transaction is open. sqlite3 begins one only at the first write; a savepoint alone would commit."""
        return self.is_open(connection)

    def uses_snapshot(self, connection: ConnectionLike) -> bool:
        """Return whether a transaction was open before: it may have read already, and read from a snapshot until it writes."""
        return self.is_open(connection)

    def begin(self, connection: ConnectionLike) -> None:
        """Begin a write transaction. One that begins as a reader could not write after another connection has written."""
        if not connection.is_external:
            connection.run("BEGIN IMMEDIATE")
            return
        waits = int(connection.fetch("PRAGMA busy_timeout")[0][0])
        connection.fetch("PRAGMA busy_timeout=0")  # Connection waits instead, until the deadline
        try:
            connection.run("BEGIN IMMEDIATE")
        finally:
            connection.fetch(f"PRAGMA busy_timeout={waits}")

    def is_open(self, connection: ConnectionLike) -> bool:
        return bool(connection.raw.in_transaction)

    def is_broken(self, connection: ConnectionLike) -> bool:
        """Return false: the connection to a file cannot be lost."""
        return False

    def interrupt(self, connection: ConnectionLike) -> None:
        """Stop the running statement of a connection that will be closed, and roll back."""
        connection.raw.interrupt()
        if connection.raw is not connection.dbapi:
            connection.dbapi.driver_connection._tx.put_nowait((None, connection.raw.rollback))  # noqa: SLF001  # the queue of its thread

    def drop(self, connection: ConnectionLike) -> None:
        """Roll back, and close the file. The connection of aiosqlite is closed by its own thread, which ends then.

        Closing is not enough: as long as a cursor lives, in the traceback of an error for instance, SQLite keeps the connection,
        and with it the transaction and its lock.
        """
        if connection.raw is connection.dbapi:
            with suppress(sqlite3.Error):
                connection.raw.rollback()
            connection.raw.close()
            return
        self.interrupt(connection)
        # Called in the loop, ``stop`` would make a future that the thread completes, perhaps after the loop was closed.
        driver = connection.dbapi.driver_connection
        driver._tx.put_nowait((None, driver.stop))  # noqa: SLF001  # the queue of its thread

    def explain(self, error: Exception, table: sa.Table | None) -> ErrorInfo:
        return error_info.explain(error, table)


def _like(packed: str | None) -> bool | None:
    """Return whether a text matches a pattern. packed: pattern, NUL and text; no stored text contains a NUL."""
    if packed is None:
        return None
    pattern, _, text = packed.partition("\0")
    return like_pattern(pattern).fullmatch(text) is not None


def _match(packed: str | None) -> bool | None:
    """Return whether a text matches a regular expression. packed: flags, length of the expression, expression and text."""
    if packed is None:
        return None
    flags, size, rest = packed.split(" ", 2)
    return re.compile(rest[: int(size)], int(flags)).fullmatch(rest[int(size) :]) is not None
