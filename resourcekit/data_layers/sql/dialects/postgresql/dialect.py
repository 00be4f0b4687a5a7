"""The PostgreSQL dialect, through psycopg for sync and async calls.

Text has the collation "C": it compares bytes, which for UTF-8 is the order of code points.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, make_url

from resourcekit.data_layers.sql.dialects.base import Conflict, ConnectionLike, Dialect, Element
from resourcekit.data_layers.sql.dialects.columns import Codec, Family, Form
from resourcekit.data_layers.sql.dialects.driver import Reader
from resourcekit.data_layers.sql.dialects.many_rows import ManyRows
from resourcekit.data_layers.sql.dialects.postgresql import standby, upserts
from resourcekit.data_layers.sql.dialects.postgresql.codecs import CODECS
from resourcekit.data_layers.sql.dialects.postgresql.driver import PostgresDriver
from resourcekit.data_layers.sql.dialects.postgresql.existing import PostgresTables
from resourcekit.data_layers.sql.dialects.postgresql.functions import PostgresFunctions, PostgresJSON
from resourcekit.data_layers.sql.dialects.postgresql.loaders import Portal
from resourcekit.data_layers.sql.dialects.postgresql.maintenance import PostgresMaintenance
from resourcekit.data_layers.sql.dialects.postgresql.values import PostgresValues, Untyped
from resourcekit.data_layers.sql.dialects.servers import first, server_of
from resourcekit.results import Outcome

__all__ = ["PostgresDialect"]


_PORT = "5432"
_SEARCH_PATH = re.compile(r"search_path\s*=\s*((?:\\.|[^\s\\])+)")

_PARTS = re.compile(r"\\.|\\$|[^\\]", re.DOTALL)


class PostgresDialect(
    PostgresFunctions, PostgresJSON, PostgresValues, PostgresTables, PostgresDriver, PostgresMaintenance, Dialect
):
    """PostgreSQL 14 or later."""

    name = "postgresql"
    drivers = ("postgresql+psycopg", "postgresql+psycopg")
    packages = ("psycopg",)
    noisy_loggers = ("psycopg",)
    extra = "postgresql"
    greatest = "greatest"
    wide_type = sa.Numeric()
    codecs = CODECS
    bound_types: Mapping[Any, Any] = {
        **Dialect.bound_types,
        Form.BOOLEAN: sa.Boolean(),
        Form.JSON: postgresql.JSONB(),
        Form.OPTION: Untyped(),
    }
    system_columns = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})
    aborts_transaction = True
    sweeps_pages = True
    has_partitions = True
    arrays = True
    empty_bytes = "''::bytea"

    @functools.cached_property
    def sa_dialect(self) -> sa.Dialect:
        """The SQLAlchemy dialect with positional placeholders, which psycopg accepts as well."""
        return make_url(f"{self.drivers[0]}://").get_dialect()(paramstyle="format")  # type: ignore[call-arg]  # every SQLAlchemy dialect accepts it

    def foreign(self, codec: Codec) -> Codec:
        """Return the codec of a column in a table of another program: one with options may be of a type that CREATE TYPE made."""
        return attrs.evolve(codec, form=Form.OPTION) if codec.options and codec.form is Form.TEXT else codec

    def sends_whole(self, codec: Codec) -> bool:
        return codec.form in (Form.TEXT, Form.INTEGER, Form.UUID) and codec.family in (Family.TEXT, Family.NUMBER, Family.UUID)

    def among(self, column: Element, key: str) -> Element:
        return column == sa.any_(sa.bindparam(key, type_=sa.ARRAY(column.type.as_generic())))

    def settle(self, url: URL) -> URL:
        """Return the URL without its encoding, because connections use UTF-8."""
        return standby.settle(url).difference_update_query(["client_encoding"])

    def place(self, url: URL, schema: str | None, table: str) -> Hashable:
        path = schema or _search_path(url) or f"of {first(url.query.get('user')) or url.username}"
        database = first(url.query.get("dbname")) or url.database or url.username
        return self.name, server_of(url, _PORT), database, path, table

    def async_url(self, url: URL) -> URL:
        return super().async_url(url).update_query_dict({"client_encoding": "utf8"})

    def table_options(self, *, counts: bool) -> dict[str, Any]:
        return {}

    def partial_index(self, where: Element) -> dict[str, Any]:
        return {"postgresql_where": where}

    def like(self, text: Element, pattern: Element) -> Element:
        return (sa.cast(text, sa.Text()) if isinstance(text.type, Untyped) else text).like(pattern)

    def pattern(self, pattern: str) -> str:
        """Return the pattern. PostgreSQL uses the same syntax, but refuses a trailing backslash."""
        parts = _PARTS.findall(pattern)
        return "".join("\\\\" if part == "\\" else part for part in parts)

    def order(self, element: Element, *, descending: bool, nullable: bool) -> sa.UnaryExpression[Any]:
        """Return a sort key. In PostgreSQL NULL is larger than every value, so its position is given explicitly."""
        key = element.desc() if descending else element.asc()
        if not nullable:
            return key
        return key.nulls_last() if descending else key.nulls_first()

    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        return postgresql.insert(table).values(values)

    def incoming(self, insert: Any) -> Any:
        return insert.excluded

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        target = [insert.table.c[name] for name in conflict.target]
        if conflict.set is None:
            return insert.on_conflict_do_nothing(index_elements=target)
        return insert.on_conflict_do_update(index_elements=target, set_=conflict.set, where=conflict.where)

    def mark(self, conflict: Conflict) -> Element | None:
        """Return a test of ``xmax``.

        A row that met a conflict was locked before its update, so xmax is set; that of a new row is 0.
        """
        return sa.literal_column("xmax <> 0")

    def outcome(self, connection: ConnectionLike, table: sa.Table, count: int, row: Any) -> Outcome:
        if row is None:
            return Outcome.SKIPPED
        return Outcome.UPDATED if row[-1] else Outcome.INSERTED

    def insert_many(self, connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> None:
        upserts.insert_many(connection, many, rows)

    def send_many(self, connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
        """Send many rows in one statement, or in pipeline mode if their keys are not unique."""
        return upserts.send_many(connection, many, rows)

    def read(self, connection: ConnectionLike, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        """Run a query with a server-side cursor, which needs a transaction."""
        if alone:
            connection.run("BEGIN READ ONLY")
        return Portal(connection, sql, values)


def _search_path(url: URL) -> str:
    """Return the search path in the options of a URL."""
    found = _SEARCH_PATH.findall(first(url.query.get("options")))
    return ",".join(part.strip(' "') for part in found[-1].replace("\\", "").split(",")) if found else ""
