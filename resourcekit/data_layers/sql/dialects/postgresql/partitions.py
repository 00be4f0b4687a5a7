"""Partitions of a PostgreSQL table by expiry time: their numbers, and the statements that create them.

A row is stored in the partition of the expiry that it had when it was first written, and never moves. The number of that
partition is a column of its own and part of the primary key, as PostgreSQL requires. A function on the server keeps keys
unique across partitions. Each insert calls it: it locks the key, looks it up in all partitions, and returns the partition of
the existing row.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from resourcekit.clock import utc_now
from resourcekit.data_layers.sql.dialects.base import Conflict, ConnectionLike, Element
from resourcekit.data_layers.sql.dialects.columns import Family, encode_moment
from resourcekit.data_layers.sql.dialects.postgresql.dialect import PostgresDialect
from resourcekit.dsl.option import Options, option

__all__ = ["PART", "REST", "Layout", "PartitionedDialect", "Partitions", "brief", "partition_problem"]

PART = "resourcekit_part"
"""The column with the number of a row's partition."""

REST = -1
"""The number of the partition for rows whose own partition does not exist."""

_MANY = 100
"""Number of rows in one write from which the table is locked for other writers, and not each key. A server can hold some
thousands of locks."""

_WAIT = 100
"""Milliseconds that a change of the partitions waits for other sessions; sessions behind it wait as long."""


def _check_every(value: timedelta) -> str | None:
    return None if value >= timedelta(hours=1) else "must be at least one hour"


def _check_ahead(value: timedelta) -> str | None:
    return None if timedelta(0) <= value <= timedelta(days=3660) else "must be between nothing and ten years"


@attrs.frozen(kw_only=True)
class Partitions(Options):
    """Store a table in partitions, so that expired rows are dropped and not deleted. For hundreds of millions of rows.

    A lookup by key searches each partition. With thirty partitions it takes several times as long (see the decision).
    """

    by: str = option(default="expires_at", doc="The attribute with the expiry of a record; a datetime, never `None`.")
    every: timedelta = option(
        default=timedelta(days=1), check=_check_every, doc="How long the records of one partition take to expire."
    )
    ahead: timedelta = option(
        default=timedelta(days=30),
        check=_check_ahead,
        doc="How far ahead partitions are created. Records that expire later are stored in a separate partition, which is swept row by row.",
    )


class PartitionedDialect(PostgresDialect):
    """PostgreSQL with the statements of a partitioned table."""

    def __init__(self, partitions: Partitions) -> None:
        self.partitions = partitions

    def insert(self, table: sa.Table, values: Any, *, meets: bool) -> Any:
        """Return an insert. The row's values come first, in their order; the number of its partition is computed from them."""
        given = [sa.cast(value, _bare(table.c[name])).label(name) for name, value in values.items()]
        row = sa.select(*given).subquery("resourcekit_row")
        key, by = _key(table), self.partitions.by
        asked = [row.c[name] if name in row.c else sa.null() for name in (key.key, by)]
        place: Any = sa.func if table.schema is None else getattr(sa.func, sa.quoted_name(table.schema, quote=True))
        part = getattr(place, _quoted(table, "part"))(*asked)
        columns = [row.c[name] for name in values]
        return postgresql.insert(table).from_select([*values, PART], sa.select(*columns, part))

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        return super().on_conflict(insert, attrs.evolve(conflict, target=(*conflict.target, PART)))

    def mark(self, conflict: Conflict) -> Element | None:
        """Return a test of the server function's result, because the row of a partitioned table does not show the outcome."""
        return sa.literal_column("current_setting('resourcekit.met') = 'yes'")


def _bare(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """Return the type of a column without its collation."""
    return sa.Text() if isinstance(column.type, sa.Text) else column.type


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(column for column in table.primary_key if column.name != PART)


def _quoted(table: sa.Table, ending: str) -> Any:
    return sa.quoted_name(f"{table.name}_{ending}", quote=True)


@contextmanager
def brief(connection: ConnectionLike) -> Generator[None]:
    """Set a short lock timeout inside a transaction, so that it neither waits long nor blocks others for long."""
    connection.run(f"SET LOCAL lock_timeout = {_WAIT}")
    yield


class Layout:
    """The partitions of one table."""

    def __init__(self, partitions: Partitions, table: sa.Table, sa_dialect: sa.Dialect) -> None:
        self.partitions, self.table = partitions, table
        self._preparer, self._sa_dialect = sa_dialect.identifier_preparer, sa_dialect
        self.name = self._preparer.format_table(table).replace("%%", "%")
        self.by = table.c[partitions.by]
        self._every = partitions.every // timedelta(microseconds=1)
        self.lock = zlib.crc32(self.name.encode())

    # Names

    def named(self, ending: str) -> str:
        """Return the quoted name of an object that belongs to the table."""
        name = sa.table(_quoted(self.table, ending), schema=self.table.schema)
        return self._preparer.format_table(name).replace("%%", "%")

    def ending(self, number: int) -> str:
        """Return the suffix of a partition's name."""
        return "rest" if number == REST else f"p{number}"

    def number_at(self, moment: datetime) -> int:
        """Return the number of the partition for records that expire at a given time."""
        return int(encode_moment(moment)) // self._every

    def wanted(self) -> Sequence[int]:
        """Return the numbers of the partitions that must exist for rows that are written now."""
        now = utc_now()
        return [REST, *range(self.number_at(now), self.number_at(now + self.partitions.ahead) + 1)]

    # Existing partitions

    def there(self, connection: ConnectionLike) -> list[int]:
        """Return the numbers of the partitions that are attached to the table."""
        sql = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(%s)"
        endings = [str(name).removeprefix(f"{self.table.name}_") for (name,) in connection.fetch(sql, (self.name,))]
        return sorted(REST if each == "rest" else int(each[1:]) for each in endings if each == "rest" or each[1:].isdigit())

    def is_ready(self, connection: ConnectionLike) -> bool:
        """Return whether everything exists that writes need now or soon."""
        found = connection.fetch("SELECT prosrc FROM pg_proc WHERE oid = to_regproc(%s)", (self.named("part"),))
        return [self._body()] == [source for (source,) in found] and set(self.wanted()) <= set(self.there(connection))

    # Creation

    def make(self, connection: ConnectionLike, number: int) -> None:
        """Create a partition. It is created as a table and then attached, which blocks neither readers nor writers."""
        name = self.named(self.ending(number))
        connection.run(f"CREATE TABLE {name} (LIKE {self.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)")
        connection.run(f"ALTER TABLE {self.name} ATTACH PARTITION {name} FOR VALUES IN ({number})")

    def function(self) -> str:
        """Return the statement that creates the function which inserts call."""
        key = _key(self.table)
        types = self._sa_dialect.type_compiler_instance
        return (
            f"CREATE OR REPLACE FUNCTION {self.named('part')} (sought {types.process(_bare(key))}, expires {types.process(_bare(self.by))}) "
            f"RETURNS bigint LANGUAGE plpgsql VOLATILE AS $resourcekit${self._body()}$resourcekit$"
        )

    def _body(self) -> str:
        key = self._preparer.quote(_key(self.table).name)
        sought = 'sought COLLATE "C"' if isinstance(_key(self.table).type, sa.Text) else "sought"
        schema = "" if self.table.schema is None else f"{self._preparer.quote(self.table.schema)}."
        is_native = isinstance(self.by.type, postgresql.TIMESTAMP)
        expires = "(extract(epoch FROM expires) * 1000000)::bigint" if is_native else "expires"
        prefix = f"{self.table.name}_p".replace("'", "''")
        return f"""
DECLARE met bigint; own bigint := {expires} / {self._every};
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'a table in partitions is written at the isolation level READ COMMITTED' USING ERRCODE = '25001';
  END IF;
  IF current_setting('resourcekit.whole', true) IS DISTINCT FROM '{self.lock}' THEN
    PERFORM pg_advisory_xact_lock_shared({self.lock});
    PERFORM pg_advisory_xact_lock(hashtextextended(sought::text, {self.lock}));
  END IF;
  -- By a look at what is committed now that the key is locked, not at what was when the statement began.
  SELECT {PART} INTO met FROM {self.name} WHERE {key} = {sought};
  IF met IS NOT NULL THEN
    PERFORM set_config('resourcekit.met', 'yes', true);
    RETURN met;
  END IF;
  PERFORM set_config('resourcekit.met', 'no', true);
  IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass('{self.name.replace("'", "''")}')
      AND inhrelid = to_regclass('{schema.replace("'", "''")}' || quote_ident('{prefix}' || own))) THEN
    RETURN own;
  END IF;
  RETURN {REST};
END"""  # noqa: S608  # quoted

    def lock_for(self, connection: ConnectionLike, rows: int) -> None:
        """Inside a transaction that will write this many rows: lock the table for other writers if there are many."""
        if rows > _MANY:
            connection.fetch(f"SELECT pg_advisory_xact_lock({self.lock})")
            connection.fetch(f"SELECT set_config('resourcekit.whole', '{self.lock}', true)")


def partition_problem(partitions: Partitions, info: Any, codecs: Any) -> str:
    """Return why a table of this resource cannot be partitioned; an empty text if it can."""
    if len(info.primary_key) != 1:
        return "the primary key of a table in partitions must be one attribute"
    if info.identities:
        return "no identity can be kept over partitions"
    if (
        partitions.by not in codecs
        or codecs[partitions.by].family is not Family.MOMENT
        or info.attributes[partitions.by].allow_none
    ):
        return f"the partitions go by {partitions.by!r}, which must be an attribute of type datetime that is never None"
    return ""
