"""The MariaDB dialect, through PyMySQL and asyncmy.

Text has the collation utf8mb4_nopad_bin: it compares code points, and counts trailing spaces. The outcome of an upsert is
read from a session variable (module ``upserts``), because the row count does not show it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, make_url

from resourcekit.data_layers.sql.dialects.base import Conflict, ConnectionLike, Dialect, Element, Place
from resourcekit.data_layers.sql.dialects.columns import Codec, Form
from resourcekit.data_layers.sql.dialects.driver import CursorReader, Reader
from resourcekit.data_layers.sql.dialects.many_rows import ManyRows
from resourcekit.data_layers.sql.dialects.mariadb import parameters, patterns, sessions, upserts, values
from resourcekit.data_layers.sql.dialects.mariadb.codecs import CODECS
from resourcekit.data_layers.sql.dialects.mariadb.driver import MariaDriver
from resourcekit.data_layers.sql.dialects.mariadb.existing import MariaTables
from resourcekit.data_layers.sql.dialects.mariadb.functions import MariaFunctions, MariaJSON
from resourcekit.data_layers.sql.dialects.mariadb.maintenance import MariaMaintenance
from resourcekit.data_layers.sql.dialects.mariadb.sockets import Unbuffered
from resourcekit.data_layers.sql.dialects.mariadb.values import MariaValues, column_type
from resourcekit.data_layers.sql.dialects.servers import server_of
from resourcekit.errors import DeclarationError
from resourcekit.results import Outcome

__all__ = ["MariaDialect"]

_CHARSET, _COLLATION = parameters.CHARSET, sessions.COLLATION
_PORT = "3306"
_PREFIX = 191
"""Number of characters of a long text that a non-unique index covers."""


class MariaDialect(MariaFunctions, MariaJSON, MariaValues, MariaTables, MariaDriver, MariaMaintenance, Dialect):
    """MariaDB 10.7 or later, with InnoDB."""

    name = "mariadb"
    also = ("mysql",)
    drivers = ("mariadb+pymysql", "mariadb+asyncmy")
    packages = ("pymysql", "asyncmy")
    noisy_loggers = ("asyncmy",)
    extra = "mysql"
    greatest = "greatest"
    derived_sees_outer = False
    wide_type = sa.Numeric(65, 0)
    returns_updates = False
    last_of_names = "\uffff"

    @functools.cached_property
    def sa_dialect(self) -> sa.Dialect:
        return make_url(f"{self.drivers[0]}://").get_dialect()()

    def settle(self, url: URL) -> URL:
        """Return the URL in its normal form.

        A URL without a database is refused here; the server would report it in many ways.
        """
        if not url.database:
            hint = 'Write "mariadb://user@host/accounts".'
            raise DeclarationError("RK102", "the URL names no database", path=("SQL",), hint=hint)
        return parameters.settled(url)

    def place(self, url: URL, schema: str | None, table: str) -> Hashable:
        return self.name, server_of(url, _PORT), schema or url.database or "", table

    def check_parameters(self, url: URL) -> None:
        parameters.check(url)

    def async_url(self, url: URL) -> URL:
        return super().async_url(url).difference_update_query(parameters.SYNC_ONLY).update_query_dict({"charset": _CHARSET})

    def places(self, codecs: Mapping[str, Codec], lengths: Mapping[str, int | None], groups: Sequence[Any]) -> dict[str, Place]:
        """Return the Place of each column. Columns of unique indexes get a length that fits into the index."""
        places = super().places(codecs, lengths, groups)
        for fields, is_unique in groups:
            if is_unique:
                places.update(values.fitted({field: places[field] for field in fields}))
        return places

    def as_float(self, number: Element) -> Element:
        return number * sa.literal_column("1e0")

    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        length = self.longest(place)
        return column_type(place, length)

    def type_name(self, column: sa.Column[Any]) -> str:
        """Return the type as the server shows it: JSON is a long text, and whole numbers have no width."""
        name = super().type_name(column)
        return "longtext" if name == "json" else re.sub(r"int\(\d+\)", "int", name).replace(", ", ",")

    def longest(self, place: Place) -> int | None:
        small = place.length is not None and place.length <= _PREFIX
        return place.length if place.form in (Form.TEXT, Form.BLOB) and (place.unique or (place.indexed and small)) else None

    def index_options(self, fields: Sequence[str], places: Mapping[str, Place]) -> dict[str, Any]:
        """Return the prefix lengths of long text: an index contains only its beginning."""
        most = max(1, min(_PREFIX, values.KEY_BYTES // values.CHARACTER // len(fields) - 8))
        long = {
            field: most
            for field in fields
            if places[field].form in (Form.TEXT, Form.BLOB) and (self.longest(places[field]) or most + 1) > most
        }
        return {"mariadb_length": long, "mysql_length": long} if long else {}

    now_default = "(utc_timestamp(6))"
    computed_not_null = False

    def table_options(self, *, counts: bool) -> dict[str, Any]:
        """Return the options under both names that SQLAlchemy has for the dialect."""
        options = {"engine": "InnoDB", "charset": _CHARSET, "collate": _COLLATION}
        return {f"{sa_dialect}_{name}": value for sa_dialect in ("mariadb", "mysql") for name, value in options.items()}

    def like(self, text: Element, pattern: Element) -> Element:
        """Return a LIKE test. Its escape is not the backslash, because some SQL modes treat that as an ordinary character."""
        # Not on the column itself: for the range of an index, MariaDB assumes that U+FFFF is the largest character.
        return sa.func.concat(text).like(pattern, escape="|")

    bounds_of = patterns.first, patterns.end
    codecs = CODECS

    def json_key(self, json: Element) -> Element:
        """Return the text in normal form, in which equal numbers are equal. The server reads at most 32 levels.

        ``concat`` makes a copy: ``json_normalize`` reads a number with an exponent beyond its end, into the row before it.
        """
        key: Element = sa.func.coalesce(sa.collate(sa.func.json_normalize(sa.func.concat(json)), "utf8mb4_nopad_bin"), json)
        return key

    def pattern_column(self, pattern: Element) -> Element:
        return patterns.turned_column(pattern)

    def pattern(self, pattern: str) -> str:
        return patterns.turned(pattern)

    def concat(self, left: Element, right: Element) -> Element:
        """Return a call of ``concat``, because ``||`` means "or" by default."""
        return sa.func.concat(left, right)

    def as_number(self, test: Element) -> Element:
        """Return the test itself: in MariaDB a test is a number."""
        return test

    def beyond(self, keys: Sequence[sa.Column[Any]], bounds: Sequence[Element]) -> Element:
        """Return the condition with separate comparisons, because MariaDB makes no index range from a comparison of tuples."""
        key, *others = zip(keys, bounds, strict=True)
        later: Element = key[0] > key[1]
        if not others:
            return later
        rest = self.beyond([column for column, _ in others], [bound for _, bound in others])
        return sa.and_(key[0] >= key[1], sa.or_(later, rest))

    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        return upserts.insert(table, values) if meets else mysql.insert(table).values(values)

    def incoming(self, insert: Any) -> Any:
        return upserts.came(insert.table)

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        return upserts.on_conflict(insert, conflict)

    def mark(self, conflict: Conflict) -> Element | None:
        return sa.literal_column(upserts.MARK)

    def outcome(self, connection: ConnectionLike, table: sa.Table, count: int, row: Any) -> Outcome | tuple[str, ...]:
        return upserts.outcome(table, 0 if row is None or row[-1] is None else int(row[-1]))

    def send_many(self, connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
        """Send many rows in one statement."""
        return upserts.send_many(connection, many.sql, rows)

    def read(self, connection: ConnectionLike, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        """Run a query. Unread rows block the connection, so inside a transaction all rows are fetched at once."""
        if not alone:
            cursor = connection.dbapi.cursor()
        elif connection.raw is connection.dbapi:
            import pymysql.cursors

            cursor = connection.raw.cursor(pymysql.cursors.SSCursor)
        else:
            cursor = connection.dbapi.cursor(server_side=True)
        reader = Unbuffered(cursor, connection) if alone else CursorReader(cursor)
        try:
            cursor.execute(sql, values)
        except BaseException:
            reader.drop()
            raise
        return reader
