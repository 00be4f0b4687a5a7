"""The SQLite dialect: write-ahead log, one writer at a time, tables clustered by their primary key.

Text has the collation BINARY. It compares UTF-8 byte by byte, which is the order of code points, even beyond U+FFFF.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.sql import operators

from resourcekit.data_layers.sql.dialects.base import Conflict, ConnectionLike, Dialect, Element, Place
from resourcekit.data_layers.sql.dialects.columns import Codec, Family, Form
from resourcekit.data_layers.sql.dialects.driver import CursorReader, Reader
from resourcekit.data_layers.sql.dialects.many_rows import ManyRows
from resourcekit.data_layers.sql.dialects.sqlite import files, forks, upserts, values
from resourcekit.data_layers.sql.dialects.sqlite.codecs import CODECS
from resourcekit.data_layers.sql.dialects.sqlite.driver import LIKE, MATCHES, SQLiteDriver
from resourcekit.data_layers.sql.dialects.sqlite.existing import SQLiteTables
from resourcekit.data_layers.sql.dialects.sqlite.functions import SQLiteFunctions, SQLiteJSON
from resourcekit.data_layers.sql.dialects.sqlite.maintenance import SQLiteMaintenance
from resourcekit.errors import DeclarationError

__all__ = ["SQLiteDialect"]

_TYPES = {Form.TEXT: sqlite.TEXT, Form.INTEGER: sqlite.INTEGER, Form.REAL: sqlite.REAL, Form.BLOB: sqlite.BLOB}
_SAME: Any = operators.custom_op("+")
"""The unary plus, which leaves each value as it is."""
_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
_PARTS = re.compile(r"\\.|\\$|[^\\]", re.DOTALL)


class SQLiteDialect(SQLiteFunctions, SQLiteJSON, SQLiteTables, SQLiteDriver, SQLiteMaintenance, Dialect):
    """SQLite 3.37 or later (RETURNING, STRICT)."""

    name = "sqlite"
    drivers = ("sqlite", "sqlite+aiosqlite")
    noisy_loggers = ("aiosqlite",)
    greatest = "max"
    least = "min"
    text_length = "length"
    byte_length = "length"
    is_server = False
    at_fork = forks
    sums_exactly = False

    @functools.cached_property
    def sa_dialect(self) -> sa.Dialect:
        made: sa.Dialect = sqlite.dialect()
        return made

    def settle(self, url: URL) -> URL:
        """Return the URL with an absolute path; a relative one is resolved against the current working directory."""
        database = url.database or ""
        if not database or ":memory:" in database or "mode=memory" in database or url.query.get("mode") == "memory":
            raise DeclarationError(
                "RK101",
                "an SQLite database in memory would be another one for each connection",
                path=("SQL",),
                hint="Name a file, or use Memory().",
            )
        return url if database.startswith("file:") else url.set(database=str(Path(database).absolute()))

    def place(self, url: URL, schema: str | None, table: str) -> Hashable:
        """Return the file and the table. SQLite ignores the case of ASCII letters in names."""
        return self.name, files.place(url), files.folded(schema or "main"), files.folded(table)

    def missing_file(self, url: URL) -> str | None:
        path = url.database or ""
        # Without the folder, no file can be made; the connection tells that.
        return path if not path.startswith("file:") and not Path(path).exists() and Path(path).parent.is_dir() else None

    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        """Return the SQL type. SQLite needs no length."""
        made: sa.types.TypeEngine[Any] = _TYPES[place.form]()
        return made

    rounds_computed = True
    orders_by_outer = False
    now_default = "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"

    def table_options(self, *, counts: bool) -> dict[str, Any]:
        """Return WITHOUT ROWID, which clusters by the key, and STRICT, which keeps an overflowing sum from becoming a float.

        A key that the database counts is the rowid. AUTOINCREMENT never gives one a second time.
        """
        if counts:
            return {"sqlite_autoincrement": True, "sqlite_strict": True}
        return {"sqlite_with_rowid": False, "sqlite_strict": True}

    def partial_index(self, where: Element) -> dict[str, Any]:
        return {"sqlite_where": where}

    def like(self, text: Element, pattern: Element) -> Element:
        """Return a GLOB test, because LIKE ignores the case of ASCII letters."""
        return text.op("GLOB", is_comparison=True)(pattern)

    def json_key(self, json: Element) -> Element:
        return values.json_key(json)

    codecs = CODECS

    def decimal_sum(self, op: str, left: Element, right: Element) -> Element:
        return values.decimal_sum(op, left, right)

    def decimal_total(self, numbers: Element) -> Element:
        return values.decimal_total(numbers)

    def computable(self, stored: Element, codec: Codec) -> Element:
        return values.computable(stored, codec)

    def stored(self, computed: Element, codec: Codec, *, assigned: bool) -> Element:
        return values.stored(computed, codec, assigned=assigned)

    def equal_key(self, stored: Element, codec: Codec) -> Element:
        if values.is_digits(codec):
            return values.same_digits(stored)
        return super().equal_key(stored, codec)

    def order_key(self, stored: Element, codec: Codec) -> Element:
        return values.rank(stored) if codec.family is Family.DECIMAL and codec.form is Form.TEXT else stored

    def unique_members(self, columns: Sequence[tuple[sa.Column[Any], Codec]]) -> list[Element]:
        """Return the columns; for decimals an expression over built-in functions, so that every program can write the table."""
        return [values.same_digits(column) if values.is_digits(codec) else column for column, codec in columns]

    def matches_column(self, text: Element, pattern: Element) -> Element:
        called: Element = getattr(sa.func, LIKE)(pattern.op("||")(sa.literal("\0")).op("||")(text))
        test: Element = called == sa.literal_column("1")
        return test

    def matches(self, text: Element, regex: re.Pattern[str]) -> Element:
        """Return a call of a function of this library, because SQLite has no regular expressions."""
        fixed = sa.literal(f"{regex.flags} {len(regex.pattern)} {regex.pattern}")
        called: Element = getattr(sa.func, MATCHES)(fixed.op("||")(text))
        test: Element = called == sa.literal_column("1")
        return test

    def pattern(self, pattern: str) -> str:
        return "".join(
            _GLOB.get(part, part) if len(part) == 1 or part == "\\" else _literal(part[1:]) for part in _PARTS.findall(pattern)
        )

    def as_number(self, test: Element) -> Element:
        """Return the test itself: in SQLite a test is a number."""
        return test

    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        return sqlite.insert(table).values(values)

    def incoming(self, insert: Any) -> Any:
        return insert.excluded

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        """Return the insert with a conflict clause, which notes the key of each row that it updates."""
        target = self.unique_members([(column, column.info["codec"]) for column in map(insert.table.c.get, conflict.target)])
        if conflict.set is None:
            return insert.on_conflict_do_nothing(index_elements=target)
        where = upserts.noted(insert, conflict)
        return insert.on_conflict_do_update(index_elements=target, set_=conflict.set, where=where)

    def returned(self, column: Element) -> Element:
        """Return an expression of the same value: if a table begins with a REAL column, RETURNING makes all its whole numbers floats."""
        made: Element = sa.UnaryExpression(column, operator=_SAME)
        return made

    def sends_many(self, many: ManyRows) -> bool:
        """Return whether keys distinguish the rows, and those that were left as they are."""
        return many.sent is not None and (many.returns or not many.has_condition)

    def send_many(self, connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
        return upserts.send_many(connection, many, rows)

    def read(self, connection: ConnectionLike, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        cursor = connection.dbapi.cursor() if connection.raw is connection.dbapi else connection.dbapi.cursor(server_side=True)
        cursor.execute(sql, values)
        return CursorReader(cursor)


def _literal(character: str) -> str:
    return character if character in "%_" else _GLOB.get(character, character)
