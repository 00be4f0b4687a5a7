"""The room of PostgreSQL, through psycopg in both colours. It knows no resource.

Text has the collation "C": its bytes are compared, which for UTF-8 is the order of code points.
"""

from __future__ import annotations

import functools
import math
import re
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.util import await_only

from resourcekit.data_layers.sql.columns import Form
from resourcekit.data_layers.sql.dialect import Conflict, Element, Place, Reader, Room, Wire
from resourcekit.data_layers.sql.link import Gauge
from resourcekit.data_layers.sql.liveness import says_nothing, sooner
from resourcekit.data_layers.sql.postgresql import errors as trouble
from resourcekit.data_layers.sql.postgresql import sweeps
from resourcekit.data_layers.sql.trouble import TooLate, Trouble
from resourcekit.flow.result import Outcome

__all__ = ["PostgresRoom"]

_IDLE, _ACTIVE, _OPEN, _SPOILT = 0, 1, 2, 3
"""What libpq calls the state of a transaction; anything else: the connection is lost."""

_OLDEST = 140_000
"""Version 14: the first that scans ranges of ctid."""

_PARTS = re.compile(r"\\.|\\$|[^\\]", re.DOTALL)
_STORAGE_KEY = 0x7265736B6974
"""Advisory lock of those who make tables; any number that nobody else uses."""

_SETTINGS = (
    # What is acknowledged stands: with "off" a crash may take back what was committed just before it.
    "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false), "
    "set_config('default_transaction_isolation', 'read committed', false), "
    "set_config('statement_timeout', %s, false)"
)


class PostgresRoom(Room):
    """PostgreSQL 14 or later."""

    name = "postgresql"
    drivers = ("postgresql+psycopg", "postgresql+psycopg")
    packages = ("psycopg",)
    extra = "postgresql"
    greatest = "greatest"
    spoils = True
    sweeps_pages = True
    sends_many = True
    skips_locked = True
    arrays = True
    empty_bytes = "''::bytea"

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """See Room."""
        import psycopg

        return (psycopg.Error,)

    @functools.cached_property
    def dialect(self) -> sa.Dialect:
        """See Room; with placeholders by position, which psycopg takes as well."""
        return make_url(f"{self.drivers[0]}://").get_dialect()(paramstyle="format")  # type: ignore[call-arg]  # every dialect takes it

    def connect_args(self, seconds: float) -> dict[str, Any]:
        """See Room."""
        return {"connect_timeout": max(2, math.ceil(seconds))}

    def bound_waits(self, raw: Any, seconds: float | None) -> None:
        """See Room; all that is said from now on together may take so long."""
        raw.__dict__.pop("wait", None)
        if seconds is not None:
            gauge = Gauge()
            gauge.ends_at = time.monotonic() + seconds
            _bound_waits(raw, gauge, is_async=False)

    # Statements

    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        """See Room."""
        match place.form:
            case Form.TEXT:
                return sa.Text(collation="C")
            case Form.INTEGER:
                return sa.BigInteger()
            case Form.REAL:
                return sa.Double()
            case Form.BLOB:
                return sa.LargeBinary()

    def table_options(self) -> dict[str, Any]:
        """See Room."""
        return {}

    def partial_index(self, where: Element) -> dict[str, Any]:
        """See Room."""
        return {"postgresql_where": where}

    def like(self, text: Element, pattern: Element) -> Element:
        """See Room."""
        return text.like(pattern)

    def pattern(self, pattern: str) -> str:
        """See Room; ours is PostgreSQL's, but for a backslash at the end, which it refuses."""
        parts = _PARTS.findall(pattern)
        return "".join("\\\\" if part == "\\" else part for part in parts)

    def order(self, element: Element, *, descending: bool, nullable: bool) -> sa.UnaryExpression[Any]:
        """See Room; for PostgreSQL, NULL is the largest of all."""
        key = element.desc() if descending else element.asc()
        if not nullable:
            return key
        return key.nulls_last() if descending else key.nulls_first()

    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        """See Room."""
        return postgresql.insert(table).values(values)

    def incoming(self, insert: Any) -> Any:
        """See Room."""
        return insert.excluded

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        """See Room."""
        target = list(conflict.target)
        if conflict.set is None:
            return insert.on_conflict_do_nothing(index_elements=target)
        return insert.on_conflict_do_update(index_elements=target, set_=conflict.set, where=conflict.where)

    def mark(self, conflict: Conflict) -> Element | None:
        """See Room. A row that met a conflict was locked before it was written anew, and its xmax tells; a new one has none."""
        return sa.literal_column("xmax <> 0")

    def outcome(self, link: Wire, table: sa.Table, count: int, row: Any) -> Outcome:
        """See Room."""
        if row is None:
            return Outcome.SKIPPED
        return Outcome.UPDATED if row[-1] else Outcome.INSERTED

    def send_many(self, link: Wire, sql: str, rows: Sequence[Sequence[Any]], *, returns: bool) -> list[tuple[int, list[Any]]]:
        """See Room; in pipeline mode."""
        is_sync = link.raw is link.dbapi
        cursor = link.raw.cursor()

        def now(told: Any) -> Any:
            return told if is_sync else await_only(told)

        try:
            now(cursor.executemany(sql, rows, returning=returns))
        except self.errors as error:
            self.failed(link, error)
            raise
        found = []
        for _ in rows:
            returned = now(cursor.fetchall())
            found.append((len(returned), returned))
            cursor.nextset()
        return found

    def read(self, link: Wire, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        """See Room; by a cursor of the server's, which lives in a transaction."""
        if alone:
            link.run("BEGIN READ ONLY")
        return _Portal(link, sql, values)

    # Connections

    def open(self, link: Wire, patience: float) -> None:
        """See Room."""
        gauge = link.gauge
        link.allow(patience)
        _bound_waits(link.raw, gauge, is_async=link.raw is not link.dbapi)
        if link.is_guest:
            return
        if link.raw.info.server_version < _OLDEST:
            msg = "PostgreSQL 14 or later is needed"
            raise trouble.too_old(msg)
        gauge.kept = says_nothing(link.raw.pgconn.socket)
        link.fetch(_SETTINGS, (str(_milliseconds(patience)),))
        try:  # so that a statement whose caller has gone ends soon; some systems cannot do it
            link.fetch("SELECT set_config('client_connection_check_interval', '1s', false)")
        except self.errors:
            if self.is_broken(link):
                raise

    def leave(self, link: Wire) -> None:
        """See Room."""
        link.raw.__dict__.pop("wait", None)

    def commits_alone(self, link: Wire) -> bool:
        """See Room."""
        return bool(link.raw.autocommit)

    def looks_back(self, link: Wire) -> bool:
        """See Room."""
        return not str(link.fetch("SHOW transaction_isolation")[0][0]).startswith("read ")

    def allow(self, link: Wire, seconds: float, known: float) -> float:
        """See Room. The server stops a little earlier, so that its answer still comes in time."""
        if known < 0:
            return seconds  # a fresh connection: told with the other settings
        if 0.8 * seconds <= known <= 1.02 * seconds or link.raw.pgconn.transaction_status != _IDLE:
            return known
        link.fetch("SELECT set_config('statement_timeout', %s, false)", (str(_milliseconds(seconds)),))
        return seconds

    def begin(self, link: Wire) -> None:
        """See Room."""
        link.run("BEGIN")

    def is_open(self, link: Wire) -> bool:
        """See Room."""
        return link.raw.pgconn.transaction_status in (_OPEN, _SPOILT)

    def is_broken(self, link: Wire) -> bool:
        """See Room; a statement whose answer was not awaited leaves nothing to be said, too."""
        return link.raw.pgconn.transaction_status not in (_IDLE, _OPEN, _SPOILT)

    def failed(self, link: Wire, error: Exception) -> None:
        """See Room. After an error in a pipeline psycopg may take a statement for prepared that the server never saw, or let go."""
        link.raw._prepared.clear()  # noqa: SLF001  # it also tells the server, before anything else is prepared

    def is_spoilt(self, link: Wire) -> bool:
        """See Room."""
        return bool(link.raw.pgconn.transaction_status == _SPOILT)

    def is_fresh(self, link: Wire) -> bool:
        """See Room."""
        return bool(link.raw.pgconn.transaction_status == _IDLE and link.gauge.kept())

    def is_gone(self, link: Wire) -> bool:
        """See Room; what is said may be a notice, so it is read."""
        while not link.gauge.kept():
            try:
                link.raw.pgconn.consume_input()
            except self.errors:
                return True
        return False

    # Storage

    def columns(self, link: Wire, table: sa.Table) -> dict[str, bool]:
        """See Room."""
        found = link.fetch(
            "SELECT a.attname, coalesce(a.attnum = ANY (i.indkey), false) FROM pg_attribute a "
            "LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
            "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped",
            (self._named(table),),
        )
        return dict(found)

    def types(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """See Room."""
        found = link.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (self._named(table),),
        )
        return dict(found)

    def indexes(self, link: Wire, table: sa.Table) -> set[str]:
        """See Room."""
        found = link.fetch(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(%s)",
            (self._named(table),),
        )
        return {name for (name,) in found}

    def foreign_orders(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """See Room; most collations sort by the rules of a language, and a few compare by them."""
        found = link.fetch(
            "SELECT a.attname, c.collname FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation "
            "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped AND NOT c.collisdeterministic",
            (self._named(table),),
        )
        return dict(found)

    def _named(self, table: sa.Table) -> str:
        return self.dialect.identifier_preparer.format_table(table).replace("%%", "%")

    def alone(self, link: Wire) -> AbstractContextManager[None]:
        """See Room; CREATE TABLE IF NOT EXISTS of two at once fails for one of them."""
        return _locked(link)

    def unsafe_settings(self, link: Wire, table: sa.Table) -> list[tuple[str, str, str]]:
        """See Room."""
        return trouble.unsafe_settings(link, self._named(table))

    @contextmanager
    def batch(self, link: Wire, *, waits: bool) -> Generator[None]:
        """See Room."""
        sweeps.begin(link, waits=waits)
        yield

    def tidy(self, link: Wire, took: float) -> tuple[float, bool]:
        """See Room."""
        return sweeps.rest_after(link, took), False

    def delete_unlocked(self, table: sa.Table, found: sa.Select[Any]) -> Any:
        """See Room."""
        return sweeps.delete_unlocked(table, found)

    def clock(self) -> str:
        """See Room."""
        return "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

    def explain(self, error: Exception, table: sa.Table | None) -> Trouble:
        """See Room."""
        return trouble.explain(error, table)


class _Portal:
    """Rows from a cursor of the server's."""

    def __init__(self, link: Wire, sql: str, values: Sequence[Any]) -> None:
        self._link = link
        self._name = f"resourcekit_{id(self):x}"
        link.run(f"DECLARE {self._name} NO SCROLL CURSOR FOR {sql}", values)

    def page(self, rows: int) -> list[Any]:
        """See Reader."""
        return self._link.fetch(f"FETCH FORWARD {rows} FROM {self._name}")

    def close(self, *, done: bool) -> None:
        """See Reader."""
        if self._link.room.is_open(self._link) and not self._link.room.is_spoilt(self._link):
            self._link.run(f"CLOSE {self._name}")


@contextmanager
def _locked(link: Wire) -> Generator[None]:
    link.fetch(f"SELECT pg_advisory_xact_lock({_STORAGE_KEY})")
    yield


def _milliseconds(seconds: float) -> int:
    """Return the server's own bound for a call."""
    return max(1, int(1000 * sooner(seconds)))


def _bound_waits(raw: Any, gauge: Any, *, is_async: bool) -> None:
    """Let a connection wait for the server until the gauge's time, and no longer.

    A server that is frozen answers neither to statement_timeout nor to a request to cancel, and the driver itself would
    wait for such an answer for ever.
    """
    from psycopg import waiting

    plain = type(raw).wait

    def left() -> float:
        seconds: float = gauge.left()
        if seconds <= 0:
            raise TooLate
        return seconds

    def wait(gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if gauge.ends_at == math.inf:
            return plain(raw, gen, interval)
        return waiting.wait(gen, raw.pgconn.socket, interval=interval, timeout=left())

    async def wait_async(gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # psycopg's own
        if gauge.ends_at == math.inf:
            return await plain(raw, gen, interval)
        return await waiting.wait_async(gen, raw.pgconn.socket, interval=interval, timeout=left())

    raw.wait = wait_async if is_async else wait
