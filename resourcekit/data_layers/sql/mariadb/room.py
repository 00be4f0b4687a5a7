"""The room of MariaDB, through PyMySQL and asyncmy. It knows no resource.

Text has the collation utf8mb4_nopad_bin: code points are compared, and a space at the end counts. What an upsert did is
told by a variable of the session (see ``upserts``), because the count of rows does not tell.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, make_url

from resourcekit.data_layers.sql.columns import Codec, Form
from resourcekit.data_layers.sql.dialect import Conflict, CursorReader, Element, Place, Reader, Room, Wire
from resourcekit.data_layers.sql.liveness import says_nothing, sooner
from resourcekit.data_layers.sql.mariadb import deletes, keys, upserts, waits
from resourcekit.data_layers.sql.mariadb import errors as trouble
from resourcekit.data_layers.sql.trouble import Trouble, TroubleKind
from resourcekit.errors import DeclarationError
from resourcekit.flow.result import Outcome

__all__ = ["MariaRoom"]

_CHARSET, _COLLATION = "utf8mb4", "utf8mb4_nopad_bin"
_PREFIX = 191
"""Characters of long text that an index which is not unique looks at."""

_MODE = "STRICT_ALL_TABLES,SIMULTANEOUS_ASSIGNMENT,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""Nothing is cut to fit, and all assignments of a statement are computed from the row as it was."""

_PARTS = re.compile(r"\\.|\\$|[^\\]", re.DOTALL)
_ESCAPED = frozenset("%_|")


class MariaRoom(Room):
    """MariaDB 10.6 or later, with InnoDB."""

    name = "mariadb"
    also = ("mysql",)
    drivers = ("mariadb+pymysql", "mariadb+asyncmy")
    packages = ("pymysql", "asyncmy")
    extra = "mysql"
    greatest = "greatest"
    returns_updates = False
    sends_many = True
    skips_locked = True
    # Whether somebody stopped it is looked at once more when a COMMIT has been made, and may take the place of its answer.
    unsure_at_commit = Room.unsure_at_commit | {TroubleKind.ENDED, TroubleKind.INTERRUPTED}
    definitions_commit = True
    last_of_names = "\uffff"

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """See Room."""
        import asyncmy.errors
        import pymysql.err

        return (pymysql.err.Error, asyncmy.errors.Error)

    @functools.cached_property
    def dialect(self) -> sa.Dialect:
        """See Room."""
        return make_url(f"{self.drivers[0]}://").get_dialect()()

    def settle(self, url: URL) -> URL:
        """See Room; without a database nothing could be found, and the server would say so in many ways."""
        if not url.database:
            hint = 'Write "mariadb://user@host/accounts".'
            raise DeclarationError("RK102", "the URL names no database", path=("SQL",), hint=hint)
        return url

    def connect_args(self, seconds: float) -> dict[str, Any]:
        """See Room."""
        whole = max(1, math.ceil(seconds))
        return {"connect_timeout": whole, "read_timeout": whole, "write_timeout": whole}

    def bound_waits(self, raw: Any, seconds: float | None) -> None:
        """See Room."""
        raw._read_timeout = raw._write_timeout = seconds  # noqa: SLF001  # the driver has no other way to change it

    # Statements

    def places(self, codecs: Mapping[str, Codec], lengths: Mapping[str, int | None], groups: Sequence[Any]) -> dict[str, Place]:
        """See Room. Columns that must be unique get a length with which their index has room for them."""
        places = super().places(codecs, lengths, groups)
        for fields, is_unique in groups:
            if is_unique:
                places.update(keys.fitted({field: places[field] for field in fields}))
        return places

    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        """See Room."""
        length = self.longest(place)
        match place.form:
            case Form.TEXT if length is not None:
                return mysql.VARCHAR(length, charset=_CHARSET, collation=_COLLATION)
            case Form.TEXT:
                return mysql.LONGTEXT(charset=_CHARSET, collation=_COLLATION)
            case Form.INTEGER:
                return mysql.BIGINT()
            case Form.REAL:
                return mysql.DOUBLE()
            case Form.BLOB if length is not None:
                return mysql.VARBINARY(length)
            case Form.BLOB:
                return mysql.LONGBLOB()

    def longest(self, place: Place) -> int | None:
        """See Room."""
        small = place.length is not None and place.length <= _PREFIX
        return place.length if place.form in (Form.TEXT, Form.BLOB) and (place.unique or (place.indexed and small)) else None

    def index_options(self, fields: Sequence[str], places: Mapping[str, Place]) -> dict[str, Any]:
        """See Room; of long text only the beginning is in the index."""
        most = max(1, min(_PREFIX, keys.KEY_BYTES // keys.CHARACTER // len(fields) - 8))
        long = {
            field: most
            for field in fields
            if places[field].form in (Form.TEXT, Form.BLOB) and (self.longest(places[field]) or most + 1) > most
        }
        return {"mariadb_length": long, "mysql_length": long} if long else {}

    def table_options(self) -> dict[str, Any]:
        """See Room; under both names that SQLAlchemy has for the dialect."""
        options = {"engine": "InnoDB", "charset": _CHARSET, "collate": _COLLATION}
        return {f"{dialect}_{name}": value for dialect in ("mariadb", "mysql") for name, value in options.items()}

    def like(self, text: Element, pattern: Element) -> Element:
        """See Room; the escape is not the backslash, which some settings take for an ordinary character."""
        return text.like(pattern, escape="|")

    def pattern(self, pattern: str) -> str:
        """See Room."""
        return "".join(_turned(part) for part in _PARTS.findall(pattern))

    def concat(self, left: Element, right: Element) -> Element:
        """See Room; ``||`` means "or" by default."""
        return sa.func.concat(left, right)

    def as_number(self, test: Element) -> Element:
        """See Room; a test is a number."""
        return test

    def beyond(self, keys: Sequence[sa.Column[Any]], bounds: Sequence[Element]) -> Element:
        """See Room; of rows compared as a whole MariaDB makes no range."""
        key, *others = zip(keys, bounds, strict=True)
        later: Element = key[0] > key[1]
        if not others:
            return later
        rest = self.beyond([column for column, _ in others], [bound for _, bound in others])
        return sa.and_(key[0] >= key[1], sa.or_(later, rest))

    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        """See Room."""
        return upserts.insert(table, values) if meets else mysql.insert(table).values(values)

    def incoming(self, insert: Any) -> Any:
        """See Room."""
        return upserts.came(insert.table)

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        """See Room."""
        return upserts.on_conflict(insert, conflict)

    def mark(self, conflict: Conflict) -> Element | None:
        """See Room."""
        return sa.literal_column(upserts.MARK)

    def outcome(self, link: Wire, table: sa.Table, count: int, row: Any) -> Outcome | tuple[str, ...]:
        """See Room."""
        return upserts.outcome(table, 0 if row is None or row[-1] is None else int(row[-1]))

    def send_many(self, link: Wire, sql: str, rows: Sequence[Sequence[Any]], *, returns: bool) -> list[tuple[int, list[Any]]]:
        """See Room; many rows in one statement."""
        return upserts.send_many(link, sql, rows)

    def read(self, link: Wire, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        """See Room. Rows that are still on their way block the connection, so inside a transaction all are taken at once."""
        if not alone:
            cursor = link.dbapi.cursor()
        elif link.raw is link.dbapi:
            import pymysql.cursors

            cursor = link.raw.cursor(pymysql.cursors.SSCursor)
        else:
            cursor = link.dbapi.cursor(server_side=True)
        cursor.execute(sql, values)
        return _Unbuffered(cursor, link) if alone else CursorReader(cursor)

    # Connections

    def open(self, link: Wire, patience: float) -> None:
        """See Room."""
        link.allow(patience)
        is_async = link.raw is not link.dbapi
        if not is_async:
            waits.bound_waits(link.raw, link.gauge)
        if link.is_guest:
            link.gauge.timeouts_end = link.fetch(f"SELECT @@innodb_rollback_on_timeout, {upserts.MARK} := 0")[0][0] == 1
            link.prefix = f"SET STATEMENT sql_mode='{_MODE}' FOR "
            return
        version, timeouts_end = link.fetch("SELECT VERSION(), @@innodb_rollback_on_timeout")[0]
        link.gauge.timeouts_end = timeouts_end == 1
        if not trouble.is_supported(version):
            raise trouble.too_old()
        link.run(
            f"SET SESSION sql_mode = '{_MODE}', {upserts.MARK} = 0, collation_connection = {_COLLATION}, autocommit = 1, "
            f"max_statement_time = {_bound(patience)}"
        )
        link.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        link.gauge.kept = says_nothing(trouble.socket_of(link.raw, is_async=is_async))

    def leave(self, link: Wire) -> None:
        """See Room."""
        if link.raw is link.dbapi:
            waits.leave(link.raw, link.gauge)

    def commits_alone(self, link: Wire) -> bool:
        """See Room."""
        return bool(link.raw.get_autocommit())

    def looks_back(self, link: Wire) -> bool:
        """See Room; at MariaDB's own default level it does."""
        return not str(link.fetch("SELECT @@tx_isolation")[0][0]).startswith("READ-")

    def allow(self, link: Wire, seconds: float, known: float) -> float:
        """See Room. The server stops a little earlier, so that its answer still comes in time."""
        if known < 0:
            return seconds  # a fresh connection: told with the other settings
        if 0.8 * seconds <= known <= 1.02 * seconds or link.gauge.in_transaction:
            return known
        link.run(f"SET SESSION max_statement_time = {_bound(seconds)}")
        return seconds

    def begin(self, link: Wire) -> None:
        """See Room."""
        link.run("START TRANSACTION")

    def is_open(self, link: Wire) -> bool:
        """See Room."""
        return bool(link.gauge.in_transaction)

    def is_broken(self, link: Wire) -> bool:
        """See Room."""
        return not (link.raw.open if link.raw is link.dbapi else trouble.is_alive(link.raw))

    def is_fresh(self, link: Wire) -> bool:
        """See Room."""
        return not self.is_broken(link) and link.gauge.kept()

    def is_gone(self, link: Wire) -> bool:
        """See Room."""
        return not self.is_fresh(link)

    def interrupt(self, link: Wire) -> None:
        """See Room; else what was not sent yet would keep the connection of the async driver open, for as long as the server stands still."""
        transport = link.raw._transport  # noqa: SLF001  # nothing else ends at once
        if transport is not None:
            transport.abort()
        link.raw.close()

    def failed(self, link: Wire, error: Exception) -> None:
        """See Room; a deadlock takes the whole transaction along, most other errors only their statement."""
        if trouble.ends_transaction(error, timeouts_end=link.gauge.timeouts_end):
            link.gauge.in_transaction = False

    # Storage

    def columns(self, link: Wire, table: sa.Table) -> dict[str, bool]:
        """See Room."""
        found = link.fetch(
            "SELECT column_name, column_key = 'PRI' FROM information_schema.columns "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
            (table.schema, table.name),
        )
        return {name: bool(is_key) for name, is_key in found}

    def types(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """See Room; without the width that whole numbers are shown with."""
        found = link.fetch(
            "SELECT column_name, column_type FROM information_schema.columns "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
            (table.schema, table.name),
        )
        return {name: re.sub(r"int\(\d+\)", "int", kind) for name, kind in found}

    def indexes(self, link: Wire, table: sa.Table) -> set[str]:
        """See Room."""
        found = link.fetch(
            "SELECT DISTINCT index_name FROM information_schema.statistics "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
            (table.schema, table.name),
        )
        return {name for (name,) in found}

    def foreign_orders(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """See Room."""
        found = link.fetch(
            "SELECT column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s AND collation_name <> %s",
            (table.schema, table.name, _COLLATION),
        )
        return dict(found)

    def alone(self, link: Wire) -> AbstractContextManager[None]:
        """See Room."""
        return _locked(link)

    def unsafe_settings(self, link: Wire, table: sa.Table) -> list[tuple[str, str, str]]:
        """See Room."""
        return trouble.unsafe_settings(link, table)

    @contextmanager
    def batch(self, link: Wire, *, waits: bool) -> Generator[None]:
        """See Room. No session may commit without waiting for the disk: innodb_flush_log_at_trx_commit is the server's."""
        before = link.prefix
        if not waits:
            link.prefix = "SET STATEMENT innodb_lock_wait_timeout=0 FOR "
        try:
            yield
        finally:
            link.prefix = before

    def delete_unlocked(self, table: sa.Table, found: sa.Select[Any]) -> Any:
        """See Room."""
        return deletes.DeleteFound(table, found)

    def clock(self) -> str:
        """See Room."""
        return "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))"

    def explain(self, error: Exception, table: sa.Table | None) -> Trouble:
        """See Room."""
        return trouble.explain(error, table)


class _Unbuffered(CursorReader):
    """Rows that the server sends while they are taken."""

    def __init__(self, cursor: Any, link: Wire) -> None:
        super().__init__(cursor)
        self._link = link

    def close(self, *, done: bool) -> None:
        """See Reader. The rest cannot be refused, only read or cut off; PyMySQL would read all of it."""
        if done:
            super().close(done=done)
            return
        result = getattr(self._cursor, "_result", None)
        if result is not None:
            result.unbuffered_active = False
        self._link.raw.close()


def _turned(part: str) -> str:
    """Return one part of a pattern of ours, with ``|`` as the escape."""
    if part == "|":
        return "||"
    if len(part) == 1:
        return part
    return f"|{part[1:]}" if part[1:] in _ESCAPED else part[1:]


@contextmanager
def _locked(link: Wire) -> Generator[None]:
    link.fetch("SELECT GET_LOCK('resourcekit storage', 60)")
    try:
        yield
    finally:
        link.fetch("SELECT RELEASE_LOCK('resourcekit storage')")


def _bound(seconds: float) -> float:
    """Return the server's own bound for a call."""
    return max(0.001, round(sooner(seconds), 3))
