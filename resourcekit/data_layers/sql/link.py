"""One connection to a database, spoken to through its driver. It knows no statement and no resource.

All work on a connection is written once, as plain functions over a Link. In a sync call they run as they are. In an
async call they run inside SQLAlchemy's ``run_sync``, over its adapter of an async driver, and wait by giving way.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.trouble import TroubleKind

__all__ = ["Gauge", "Link", "Stored"]

Stored = Sequence[Any]
T = TypeVar("T")

_SHORTEST, _LONGEST = 0.0005, 0.004
"""Seconds between two attempts at a lock: the first pause, and the bound to which it grows."""


class Gauge:
    """What callbacks of a driver read and write. Apart from the link, or the two would hold each other for ever.

    ends_at: monotonic time at which a statement is to be stopped. updates: rows that an upsert found there.
    in_transaction: whether one is open, for a room that cannot ask its driver. kept: what a room wants to find again.
    timeouts_end: a lock that was not got in time takes the whole transaction along.
    """

    __slots__ = ("ends_at", "in_transaction", "kept", "timeouts_end", "updates")

    def __init__(self) -> None:
        self.ends_at = math.inf
        self.updates = 0
        self.in_transaction = self.timeouts_end = False
        self.kept: Any = None

    def left(self) -> float:
        """Return the seconds that are left, below zero where the time has passed."""
        return self.ends_at - time.monotonic()


class Link:
    """A connection in autocommit mode; transactions are begun and ended by statements.

    dbapi: what statements are run on; raw: the driver's own connection below an adapter, else the same.
    keeper: SQLAlchemy's object that owns the connection. is_guest: the connection is the user's own (see ``joined``).
    sleep: waits between two attempts at a lock; ``None`` where the driver itself does the waiting.
    prefix: goes before each statement that writes.
    is_unfit: the connection works, and must not be used again.
    at_stake: what is sent now commits by itself. unanswered: something was sent, and its answer is still due. Both
        together mean, once the connection is lost, that nobody here can know what stands.
    """

    __slots__ = (
        "allowed",
        "at_stake",
        "dbapi",
        "gauge",
        "is_guest",
        "is_unfit",
        "keeper",
        "prefix",
        "raw",
        "room",
        "sleep",
        "unanswered",
    )

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
        self.prefix = ""
        self.at_stake = self.unanswered = self.is_unfit = False

    def allow(self, seconds: float) -> None:
        """Bound the next statements by a time from now."""
        self.gauge.ends_at = time.monotonic() + seconds
        if seconds != self.allowed and not self.is_guest:
            stakes, self.at_stake = self.at_stake, False  # what is said here writes nothing
            self.allowed = self.room.allow(self, seconds, self.allowed)
            self.at_stake = stakes

    def let_go(self) -> None:
        """Take the bound off: what comes next on a user's own connection is not ours."""
        if self.is_guest:
            self.gauge.ends_at = math.inf

    def grace(self, seconds: float = 0.1) -> None:
        """Give what ends a transaction some time, even when the call's own is over."""
        self.gauge.ends_at = max(self.gauge.ends_at, time.monotonic() + seconds)

    def fetch(self, sql: str, values: Stored = ()) -> list[Any]:
        """Run a statement and return its rows."""
        try:
            return self._fetch(sql, values)
        except self.room.errors as error:
            return self._patiently(self._fetch, sql, values, error)

    def _fetch(self, sql: str, values: Stored) -> list[Any]:
        cursor = self.dbapi.cursor()
        self.unanswered = True
        try:
            cursor.execute(self.prefix + sql if self.prefix else sql, values)
            found = cursor.fetchall()
        except BaseException as error:
            self._failed(cursor, error)
            raise
        self.unanswered = False
        cursor.close()
        return found  # type: ignore[no-any-return]  # drivers are untyped here

    def run(self, sql: str, values: Stored = ()) -> int:
        """Run a statement and return the count of rows that it touched."""
        try:
            return self._run(sql, values)
        except self.room.errors as error:
            return self._patiently(self._run, sql, values, error)

    def _run(self, sql: str, values: Stored) -> int:
        cursor = self.dbapi.cursor()
        self.unanswered = True
        try:
            cursor.execute(self.prefix + sql if self.prefix else sql, values)
            count = cursor.rowcount
        except BaseException as error:
            self._failed(cursor, error)
            raise
        self.unanswered = False
        cursor.close()
        return count  # type: ignore[no-any-return]  # drivers are untyped here

    def run_many(self, sql: str, rows: Sequence[Stored]) -> None:
        """Run a statement once for each row of values, inside a transaction."""
        cursor = self.dbapi.cursor()
        self.unanswered = True
        try:
            cursor.executemany(self.prefix + sql if self.prefix else sql, rows)
        except BaseException as error:
            self._failed(cursor, error)
            raise
        self.unanswered = False
        cursor.close()

    def _failed(self, cursor: Any, error: BaseException) -> None:
        """Take note of an error. Where a task was cancelled, its connection is thrown away."""
        if isinstance(error, Exception):
            self.room.failed(self, error)
            kind = self.room.explain(error, None).kind if isinstance(error, self.room.errors) else None
            self.unanswered = kind is TroubleKind.LOST or (kind is not TroubleKind.ENDED and self.room.is_broken(self))
            self.is_unfit = kind is TroubleKind.UNFIT
        elif self.room.is_server:
            return  # nothing more can be said on it
        with contextlib.suppress(Exception):  # the error that is on its way says more
            cursor.close()

    def is_clean(self) -> bool:
        """Say whether somebody else may use the connection: nothing is open on it, and it stands."""
        return not (self.is_unfit or self.room.is_open(self) or self.room.is_broken(self))

    def at_once(self, function: Callable[[Link], T]) -> T:
        """Run ``function(link)``, many statements inside an open transaction, without giving way between them."""
        return function(self)

    def _patiently(self, attempt: Callable[[str, Stored], T], sql: str, values: Stored, error: Exception) -> T:
        """Try again while others hold the lock: often enough to get in between two of them, and until the deadline.

        A driver's own waiting would look less and less often, and its thread could not be told to stop.
        """
        pause = _SHORTEST
        while True:
            left = self.gauge.left()
            if self.sleep is None or left <= 0 or self.room.explain(error, None).kind is not TroubleKind.BUSY:
                raise error
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST)
            try:
                return attempt(sql, values)
            except self.room.errors as again:
                error = again
