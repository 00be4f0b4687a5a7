"""One connection to a database, spoken to through its driver. It knows no statement and no resource.

All work on a connection is written once, as plain functions over a Link. In a sync call they run as they are. In an
async call they run inside SQLAlchemy's ``run_sync``, over its adapter of an async driver, and wait by giving way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from resourcekit.data_layers.sql.dialect import Room, TroubleKind

__all__ = ["Gauge", "Link", "Stored"]

Stored = Sequence[Any]
T = TypeVar("T")

_SHORTEST, _LONGEST = 0.0005, 0.004
"""Seconds between two attempts at a lock: the first pause, and the bound to which it grows."""


class Gauge:
    """What callbacks of a driver read and write. Apart from the link, or the two would hold each other for ever.

    ends_at: monotonic time at which a statement is to be stopped. updates: rows that an upsert found there.
    """

    __slots__ = ("ends_at", "updates")

    def __init__(self) -> None:
        self.ends_at = float("inf")
        self.updates = 0


class Link:
    """A connection in autocommit mode; transactions are begun and ended by statements.

    dbapi: what statements are run on; raw: the driver's own connection below an adapter, else the same.
    keeper: SQLAlchemy's object that owns the connection. is_guest: the connection is the user's own (see ``joined``).
    sleep: waits between two attempts at a lock; ``None`` where the driver itself does the waiting.
    gives_way: a statement of this link may be cancelled while it runs.
    """

    gives_way: ClassVar[bool] = False
    __slots__ = ("allowed", "dbapi", "gauge", "is_guest", "keeper", "raw", "room", "sleep")

    def __init__(
        self,
        room: Room,
        dbapi: Any,
        keeper: Any,
        *,
        raw: Any = None,
        sleep: Callable[[float], None] | None = None,
        is_guest: bool = False,
    ) -> None:
        self.room, self.dbapi, self.keeper = room, dbapi, keeper
        self.raw = dbapi if raw is None else raw
        self.sleep, self.is_guest = sleep, is_guest
        self.allowed = -1.0
        self.gauge = Gauge()

    def allow(self, seconds: float) -> None:
        """Bound the next statements by a time from now."""
        self.gauge.ends_at = time.monotonic() + seconds
        if seconds != self.allowed:
            self.room.allow(self, seconds)
            self.allowed = seconds

    def fetch(self, sql: str, values: Stored = ()) -> list[Any]:
        """Run a statement and return its rows."""
        try:
            return self._fetch(sql, values)
        except self.room.errors as error:
            return self._patiently(self._fetch, sql, values, error)

    def _fetch(self, sql: str, values: Stored) -> list[Any]:
        cursor = self.dbapi.cursor()
        try:
            cursor.execute(sql, values)
            return cursor.fetchall()  # type: ignore[no-any-return]  # drivers are untyped here
        finally:
            cursor.close()

    def run(self, sql: str, values: Stored = ()) -> int:
        """Run a statement and return the count of rows that it touched."""
        try:
            return self._run(sql, values)
        except self.room.errors as error:
            return self._patiently(self._run, sql, values, error)

    def _run(self, sql: str, values: Stored) -> int:
        cursor = self.dbapi.cursor()
        try:
            cursor.execute(sql, values)
            return cursor.rowcount  # type: ignore[no-any-return]  # drivers are untyped here
        finally:
            cursor.close()

    def run_many(self, sql: str, rows: Sequence[Stored]) -> None:
        """Run a statement once for each row of values, inside a transaction."""
        cursor = self.dbapi.cursor()
        try:
            cursor.executemany(sql, rows)
        finally:
            cursor.close()

    def at_once(self, function: Callable[[Link], T]) -> T:
        """Run ``function(link)``, many statements inside an open transaction, without giving way between them."""
        return function(self)

    def open(self, sql: str, values: Stored) -> Any:
        """Run a statement and return a cursor that does not load its rows before they are asked for."""
        try:
            return self._open(sql, values)
        except self.room.errors as error:
            return self._patiently(self._open, sql, values, error)

    def _open(self, sql: str, values: Stored) -> Any:
        cursor = self.dbapi.cursor() if self.raw is self.dbapi else self.dbapi.cursor(server_side=True)
        cursor.execute(sql, values)
        return cursor

    def _patiently(self, attempt: Callable[[str, Stored], T], sql: str, values: Stored, error: Exception) -> T:
        """Try again while others hold the lock: often enough to get in between two of them, and until the deadline.

        A driver's own waiting would look less and less often, and its thread could not be told to stop.
        """
        pause = _SHORTEST
        while True:
            left = self.gauge.ends_at - time.monotonic()
            if self.sleep is None or left <= 0 or self.room.explain(error, None).kind is not TroubleKind.BUSY:
                raise error
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST)
            try:
                return attempt(sql, values)
            except self.room.errors as again:
                error = again
