"""The room of SQLite: write-ahead log, one writer at a time, tables clustered by their key. It knows no resource.

Text compares by the BINARY collation: UTF-8 byte by byte, which is the order of code points, also beyond U+FFFF.
"""

from __future__ import annotations

import functools
import re
import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL

from resourcekit.data_layers.sql.columns import Form
from resourcekit.data_layers.sql.dialect import Conflict, CursorReader, Element, Place, Reader, Room, Wire
from resourcekit.data_layers.sql.sqlite import errors as trouble
from resourcekit.data_layers.sql.sqlite import files, log
from resourcekit.data_layers.sql.trouble import Trouble
from resourcekit.errors import DeclarationError
from resourcekit.flow.result import Outcome

__all__ = ["SQLiteRoom"]

_TYPES = {Form.TEXT: sqlite.TEXT, Form.INTEGER: sqlite.INTEGER, Form.REAL: sqlite.REAL, Form.BLOB: sqlite.BLOB}
_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
_PARTS = re.compile(r"\\.|\\$|[^\\]", re.DOTALL)
_MARK = "resourcekit_updates"
_STEPS = 50_000
"""Instructions of SQLite's virtual machine between two looks at the deadline; some milliseconds."""

_MAPPED = 128 * 1024 * 1024
"""Bytes of the file that are read as memory, shared by all who have it open, and not copied into each connection's cache."""


class SQLiteRoom(Room):
    """SQLite 3.37 or later (RETURNING, STRICT)."""

    name = "sqlite"
    drivers = ("sqlite", "sqlite+aiosqlite")
    talkative = ("aiosqlite",)
    greatest = "max"
    is_server = False
    sums_exactly = False

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """See Room."""
        return (sqlite3.Error,)

    @functools.cached_property
    def dialect(self) -> sa.Dialect:
        """See Room."""
        made: sa.Dialect = sqlite.dialect()
        return made

    def settle(self, url: URL) -> URL:
        """See Room; a relative path of a file is taken from the working folder of this moment."""
        database = url.database or ""
        if not database or ":memory:" in database or "mode=memory" in database or url.query.get("mode") == "memory":
            raise DeclarationError(
                "RK101",
                "an SQLite database in memory would be another one for each connection",
                path=("SQL",),
                hint="Name a file, or use Memory().",
            )
        return url if database.startswith("file:") else url.set(database=str(Path(database).absolute()))

    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        """See Room; SQLite needs no length."""
        made: sa.types.TypeEngine[Any] = _TYPES[place.form]()
        return made

    def table_options(self) -> dict[str, Any]:
        """See Room. WITHOUT ROWID clusters by the key; STRICT keeps a sum that overflowed from becoming a float."""
        return {"sqlite_with_rowid": False, "sqlite_strict": True}

    def partial_index(self, where: Element) -> dict[str, Any]:
        """See Room."""
        return {"sqlite_where": where}

    def like(self, text: Element, pattern: Element) -> Element:
        """See Room; GLOB, because LIKE takes ASCII letters of both cases as equal."""
        return text.op("GLOB", is_comparison=True)(pattern)

    def pattern(self, pattern: str) -> str:
        """See Room."""
        return "".join(
            _GLOB.get(part, part) if len(part) == 1 or part == "\\" else _literal(part[1:]) for part in _PARTS.findall(pattern)
        )

    def as_number(self, test: Element) -> Element:
        """See Room; a test is a number."""
        return test

    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        """See Room."""
        return sqlite.insert(table).values(values)

    def incoming(self, insert: Any) -> Any:
        """See Room."""
        return insert.excluded

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        """See Room. A function of ours is called for each row that met a conflict: nothing else that SQLite returns
        tells an insert from an update."""
        target = list(conflict.target)
        if conflict.set is None:
            return insert.on_conflict_do_nothing(index_elements=target)
        mark = getattr(sa.func, _MARK)() == 1
        where = mark if conflict.where is None else sa.and_(conflict.where, mark)
        return insert.on_conflict_do_update(index_elements=target, set_=conflict.set, where=where)

    def outcome(self, link: Wire, table: sa.Table, count: int, row: Any) -> Outcome:
        """See Room."""
        gauge = link.gauge
        was, gauge.updates = gauge.updates, 0
        if count == 0:
            return Outcome.SKIPPED
        return Outcome.UPDATED if was > 0 else Outcome.INSERTED

    def read(self, link: Wire, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        """See Room."""
        cursor = link.dbapi.cursor() if link.raw is link.dbapi else link.dbapi.cursor(server_side=True)
        cursor.execute(sql, values)
        return CursorReader(cursor)

    def raw(self, fairy: Any) -> Any:
        """See Room; aiosqlite's own connection wraps the one of sqlite3."""
        return fairy.driver_connection._conn  # noqa: SLF001  # it has no other name

    def open(self, link: Wire, patience: float) -> None:
        """See Room."""
        gauge = link.gauge

        def mark() -> int:
            gauge.updates += 1
            return 1

        link.dbapi.create_function(_MARK, 0, mark)
        if link.is_guest:
            return
        link.raw.set_progress_handler(lambda: time.monotonic() > gauge.ends_at, _STEPS)
        link.allow(patience)
        link.run("PRAGMA busy_timeout=0")  # the link waits, and more evenly
        log.use(link)
        link.fetch(f"PRAGMA mmap_size={_MAPPED}")

    def commits_alone(self, link: Wire) -> bool:
        """See Room; where SQLAlchemy's events begin transactions, one is open by now."""
        return link.raw.isolation_level is None and not link.raw.in_transaction

    def began_by_itself(self, link: Wire) -> bool:
        """See Room; sqlite3 would begin only at the first write, and a savepoint alone would commit by itself."""
        return self.is_open(link)

    def looks_back(self, link: Wire) -> bool:
        """See Room; one that was open before may have read, and not yet have written."""
        return self.is_open(link)

    def allow(self, link: Wire, seconds: float, known: float) -> float:
        """See Room."""
        if link.sleep is None:
            link.run(f"PRAGMA busy_timeout={int(seconds * 1000)}")
        return seconds

    def begin(self, link: Wire) -> None:
        """See Room; a transaction that begins as a reader could not become a writer after somebody else has written."""
        if not link.is_guest:
            link.run("BEGIN IMMEDIATE")
            return
        waits = int(link.fetch("PRAGMA busy_timeout")[0][0])
        link.fetch("PRAGMA busy_timeout=0")  # the link waits, until the deadline
        try:
            link.run("BEGIN IMMEDIATE")
        finally:
            link.fetch(f"PRAGMA busy_timeout={waits}")

    def is_open(self, link: Wire) -> bool:
        """See Room."""
        return bool(link.raw.in_transaction)

    def is_broken(self, link: Wire) -> bool:
        """See Room; a file does not go away."""
        return False

    def interrupt(self, link: Wire) -> None:
        """See Room."""
        link.raw.interrupt()

    def columns(self, link: Wire, table: sa.Table) -> dict[str, bool]:
        """See Room."""
        return {name: bool(key) for name, key in link.fetch("SELECT name, pk FROM pragma_table_info(?)", (table.name,))}

    def types(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """See Room."""
        return {name: kind.lower() for name, kind in link.fetch("SELECT name, type FROM pragma_table_info(?)", (table.name,))}

    def indexes(self, link: Wire, table: sa.Table) -> set[str]:
        """See Room."""
        return {name for (name,) in link.fetch("SELECT name FROM pragma_index_list(?)", (table.name,))}

    def foreign_orders(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """See Room; a column's own collation shows in the indexes it is part of, the one of the key among them."""
        sql = (
            "SELECT DISTINCT columns.name, columns.coll FROM pragma_index_list(?) AS made, pragma_index_xinfo(made.name) AS columns "
            "WHERE columns.key AND columns.name IS NOT NULL AND columns.coll <> 'BINARY'"
        )
        return dict(link.fetch(sql, (table.name,)))

    def unsafe_settings(self, link: Wire, table: sa.Table) -> list[tuple[str, str, str]]:
        """See Room."""
        found: list[tuple[str, str, str]] = []
        cure = "Keep the file on a local disk, where SQLite can switch to its write-ahead log."
        mode = link.fetch("PRAGMA journal_mode")[0][0]
        if mode != "wal":
            found.append((f"the journal mode is {mode}, not wal", "Readers and writers block each other.", cure))
        made = link.fetch(
            "SELECT wr OR NOT EXISTS (SELECT 1 FROM pragma_table_info(?) WHERE pk), strict "  # a missing key is told elsewhere
            "FROM pragma_table_list(?) WHERE schema = 'main'",
            (table.name, table.name),
        )
        lost = [words for words, is_so in zip(("WITHOUT ROWID", "STRICT"), made[0], strict=True) if not is_so]
        if lost:
            why = "Checks and sweeps take longer, and a column may hold what it is not declared for."
            again = "Make the table anew with both, by a migration (Alembic's batch mode: table_kwargs)."
            found.append((f"the table {table.name} is not {' and '.join(lost)}", why, again))
        remote = files.file_system(str(link.fetch("SELECT file FROM pragma_database_list WHERE name = 'main'")[0][0]))
        if files.is_remote(remote):
            why = "Hosts that share the file see neither each other's locks nor each other's log, and overwrite each other."
            found.append((f"the file lies on a network file system ({remote})", why, cure))
        return found

    @contextmanager
    def unhurried(self, link: Wire) -> Generator[None]:
        """See Room."""
        log.spare_disk(link)
        try:
            yield
        finally:
            if not self.is_open(link):  # else it was broken off, and the connection will be closed
                log.await_disk(link)

    def tidy(self, link: Wire, took: float) -> tuple[float, bool]:
        """See Room."""
        return log.shorten(link)

    def clock_name(self) -> str:
        """See Room; a file is used from one host, whose monotonic clock its processes share until it is started anew."""
        return files.boot_id()

    def explain(self, error: Exception, table: sa.Table | None) -> Trouble:
        """See Room."""
        return trouble.explain(error, table)


def _literal(character: str) -> str:
    return character if character in "%_" else _GLOB.get(character, character)
