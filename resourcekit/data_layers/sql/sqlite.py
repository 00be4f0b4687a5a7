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
from resourcekit.data_layers.sql.trouble import Trouble, TroubleKind
from resourcekit.errors import DeclarationError
from resourcekit.flow.result import Outcome

__all__ = ["SQLiteRoom"]

_TYPES = {Form.TEXT: sqlite.TEXT, Form.INTEGER: sqlite.INTEGER, Form.REAL: sqlite.REAL, Form.BLOB: sqlite.BLOB}
_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
_PARTS = re.compile(r"\\.|\\$|[^\\]", re.DOTALL)
_MARK = "resourcekit_updates"
_STEPS = 50_000
"""Instructions of SQLite's virtual machine between two looks at the deadline; some milliseconds."""

_PAGES = 4000
"""Length of the write-ahead log at which a commit copies it, four times SQLite's own. A batch of a sweep must fit in: else
somebody's commit just after it would do the sweep's work, and wait."""

_MAPPED = 128 * 1024 * 1024
"""Bytes of the file that are read as memory, shared by all who have it open, and not copied into each connection's cache."""

_MOMENT = 20
"""Milliseconds for which a checkpoint waits for writers and readers to let it finish."""

_BREATH = 0.005
"""Seconds that the lock is free before the next batch, at the least; a link that waits for it looks more often."""

_CONSTRAINTS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: TroubleKind.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: TroubleKind.UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: TroubleKind.NOT_NULL,
}
_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.davfs2"),
    }
)
"""File systems of several hosts, as Linux calls them."""

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DATATYPE = 3091  # SQLITE_CONSTRAINT_DATATYPE; the sqlite3 module does not name it


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
        if link.fetch("PRAGMA journal_mode")[0][0] != "wal":
            link.fetch("PRAGMA journal_mode=WAL")
        # FULL: with WAL, NORMAL may lose acknowledged commits at a power loss, and a lost revoke revives a token.
        link.run("PRAGMA synchronous=FULL")
        link.run(f"PRAGMA wal_autocheckpoint={_PAGES}")
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
        remote = file_system(str(link.fetch("SELECT file FROM pragma_database_list WHERE name = 'main'")[0][0]))
        if remote in _REMOTE:
            why = "Hosts that share the file see neither each other's locks nor each other's log, and overwrite each other."
            found.append((f"the file lies on a network file system ({remote})", why, cure))
        return found

    @contextmanager
    def unhurried(self, link: Wire) -> Generator[None]:
        """See Room; the log is written to the disk by the next commit that must stand, or when it is copied."""
        link.run("PRAGMA synchronous=NORMAL")
        link.run("PRAGMA wal_autocheckpoint=0")
        try:
            yield
        finally:
            if not self.is_open(link):  # else it was broken off, and the connection will be closed
                link.run(f"PRAGMA wal_autocheckpoint={_PAGES}")
                link.run("PRAGMA synchronous=FULL")

    def tidy(self, link: Wire) -> None:
        """See Room; copies the write-ahead log into the database, so that it is written from its beginning again.

        A passive checkpoint stops nobody. But as long as others write meanwhile something is left, and the log grows: so
        the rest is copied under the lock, for which others wait some milliseconds. Then the lock is left alone, so that those
        who wait for it see that it is free.
        """
        _, pages, _ = link.fetch("PRAGMA wal_checkpoint(PASSIVE)")[0]
        if pages > _PAGES // 4:
            link.run(f"PRAGMA busy_timeout={_MOMENT}")
            link.fetch("PRAGMA wal_checkpoint(RESTART)")
            link.run("PRAGMA busy_timeout=0")
        if link.sleep is not None:
            link.sleep(_BREATH)

    def clock_name(self) -> str:
        """See Room; a file is used from one host, whose monotonic clock its processes share until it is started anew."""
        return boot_id()

    def explain(self, error: Exception, table: sa.Table | None) -> Trouble:
        """See Room."""
        code = getattr(error, "sqlite_errorcode", None) or 0
        text = str(error)
        if isinstance(error, sqlite3.IntegrityError):
            kind = _CONSTRAINTS.get(code, TroubleKind.UNSTORABLE)
            return Trouble(kind, () if table is None else _columns(text, table))
        if code == sqlite3.SQLITE_BUSY_SNAPSHOT:  # a reader that wants to write, after others wrote: waiting changes nothing
            return Trouble(TroubleKind.CONFLICT)
        if code & 0xFF in _BUSY:
            return Trouble(TroubleKind.BUSY)
        if code == sqlite3.SQLITE_INTERRUPT:
            return Trouble(TroubleKind.INTERRUPTED)
        if code & 0xFF == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError) or "too complex" in text:
            return Trouble(TroubleKind.UNSTORABLE)
        if "no such table" in text or "no such column" in text or "has no column" in text:
            return Trouble(TroubleKind.NO_STORAGE)
        if "ON CONFLICT clause does not match" in text:
            return Trouble(TroubleKind.NO_STORAGE)
        return Trouble(TroubleKind.DOWN, hint=_HINTS.get(code & 0xFF, "Look at the database file and its disk."))


_HINTS = {
    sqlite3.SQLITE_CANTOPEN: "Create the folder of the database file, and let this process write there.",
    sqlite3.SQLITE_READONLY: "Let this process write to the database file and its folder.",
    sqlite3.SQLITE_FULL: "Make room on the disk.",
    sqlite3.SQLITE_NOTADB: "Name a file that is an SQLite database.",
    sqlite3.SQLITE_CORRUPT: "Restore the database file from a backup.",
}


@functools.cache
def boot_id() -> str:
    """Return the name of the time since this host was started; ``""`` where it has none, as outside of Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def file_system(file: str, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of file system on which a file lies, as Linux calls it; ``""`` where that cannot be told."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
        folders = {str(folder) for folder in Path(file).resolve().parents}
    except OSError:
        return ""
    # Blanks in a path are written as octal numbers; the last of the longest folders is what is seen there.
    found = [(len(place), number, kind) for number, (_, place, kind, *_) in enumerate(lines) if _plain(place) in folders]
    return max(found)[2] if found else ""


def _plain(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)


def _literal(character: str) -> str:
    return character if character in "%_" else _GLOB.get(character, character)


def _columns(text: str, table: sa.Table) -> tuple[str, ...]:
    """Return the columns that the text of an error names; compared as a whole, because names may hold any character."""
    indexes = [tuple(column.name for column in index.columns) for index in table.indexes if index.unique]
    singles = [(column.name,) for column in table.columns]
    for columns in (tuple(column.name for column in table.primary_key), *indexes, *singles):
        if text.endswith(": " + ", ".join(f"{table.name}.{column}" for column in columns)):
            return columns
    return ()
