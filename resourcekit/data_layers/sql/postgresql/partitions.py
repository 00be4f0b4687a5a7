"""Partitions by the time at which records expire, on PostgreSQL: which there are, and the statements about them.

A row stands in the partition of the time at which it was to expire when it was first written, and never moves: the number
of that partition is a column of its own, and part of the primary key, as PostgreSQL asks for. That a key is there once is
kept by a function on the server, through which each insert goes: it locks the key, looks it up in all partitions, and names
the partition of the row that is there. It knows no sweep.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.columns import MOMENT, encode_moment
from resourcekit.data_layers.sql.dialect import Conflict, Element
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.postgresql.room import PostgresRoom
from resourcekit.data_layers.sql.trouble import TroubleKind
from resourcekit.dsl.option import Options, option
from resourcekit.flow.clock import utc_now

__all__ = ["PART", "REST", "Layout", "PartitionedRoom", "Partitions", "brief", "is_partition", "misfit"]

PART = "resourcekit_part"
"""The column that holds the number of a row's partition."""

REST = -1
"""The number of the partition for rows whose own one does not exist."""

_MANY = 100
"""Rows that are written at once from which on the table is locked for other writers, and not each key: a server has room
for some thousands of locks."""

_WAIT = 100
"""Milliseconds for which a change of the table's partitions waits for others, who wait behind it as long as that."""


def _check_every(value: timedelta) -> str | None:
    return None if value >= timedelta(hours=1) else "must be at least one hour"


def _check_ahead(value: timedelta) -> str | None:
    return None if timedelta(0) <= value <= timedelta(days=3660) else "must be between nothing and ten years"


@attrs.frozen(kw_only=True)
class Partitions(Options):
    """Keep a table in partitions, so that what has expired is dropped and not deleted; for hundreds of millions of rows.

    A look-up by key asks each partition: with thirty of them it takes several times as long (see the decision).
    """

    by: str = option(default="expires_at", doc="The attribute that tells when a record expires; a datetime, never `None`.")
    every: timedelta = option(
        default=timedelta(days=1), check=_check_every, doc="How long the records of one partition take to expire."
    )
    ahead: timedelta = option(
        default=timedelta(days=30),
        check=_check_ahead,
        doc="For how long partitions are made ahead; records that expire later stand in one of their own, which is swept row by row.",
    )


class PartitionedRoom(PostgresRoom):
    """PostgreSQL for the statements of a table in partitions."""

    def __init__(self, partitions: Partitions) -> None:
        self.partitions = partitions

    def insert(self, table: sa.Table, values: Any, *, meets: bool) -> Any:
        """See Room. The row's values first, in their order; its partition is computed of them."""
        given = [sa.cast(value, _bare(table.c[name])).label(name) for name, value in values.items()]
        row = sa.select(*given).subquery("resourcekit_row")
        key, by = _key(table), self.partitions.by
        asked = [row.c[name] if name in row.c else sa.null() for name in (key.name, by)]
        place: Any = sa.func if table.schema is None else getattr(sa.func, sa.quoted_name(table.schema, quote=True))
        part = getattr(place, _quoted(table, "part"))(*asked)
        columns = [row.c[name] for name in values]
        return postgresql.insert(table).from_select([*values, PART], sa.select(*columns, part))

    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        """See Room."""
        return super().on_conflict(insert, attrs.evolve(conflict, target=(*conflict.target, PART)))

    def mark(self, conflict: Conflict) -> Element | None:
        """See Room. Of a table in partitions nothing of the row itself tells; the function does."""
        return sa.literal_column("current_setting('resourcekit.met') = 'yes'")


def _bare(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """Return the type of a column, without its collation."""
    return type(column.type)()


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(column for column in table.primary_key if column.name != PART)


def _quoted(table: sa.Table, ending: str) -> Any:
    return sa.quoted_name(f"{table.name}_{ending}", quote=True)


@contextmanager
def brief(link: Link) -> Generator[None]:
    """Inside of a transaction: do not wait long for others, and so keep nobody waiting for long."""
    link.run(f"SET LOCAL lock_timeout = {_WAIT}")
    yield


class Layout:
    """The partitions of one table."""

    def __init__(self, partitions: Partitions, table: sa.Table, dialect: sa.Dialect) -> None:
        self.partitions, self.table = partitions, table
        self._preparer, self._dialect = dialect.identifier_preparer, dialect
        self.name = self._preparer.format_table(table).replace("%%", "%")
        self._every = partitions.every // timedelta(microseconds=1)
        self.lock = zlib.crc32(self.name.encode())

    # Names

    def named(self, ending: str) -> str:
        """Return the name of something that belongs to the table, quoted."""
        name = sa.table(_quoted(self.table, ending), schema=self.table.schema)
        return self._preparer.format_table(name).replace("%%", "%")

    def ending(self, number: int) -> str:
        """Return how the name of a partition ends."""
        return "rest" if number == REST else f"p{number}"

    def number_at(self, moment: datetime) -> int:
        """Return the number of the partition of what expires then."""
        return int(encode_moment(moment)) // self._every

    def wanted(self) -> Sequence[int]:
        """Return the numbers of the partitions that ought to be there for what is written now."""
        now = utc_now()
        return [REST, *range(self.number_at(now), self.number_at(now + self.partitions.ahead) + 1)]

    # What is there

    def there(self, link: Link) -> list[int]:
        """Return the numbers of the partitions that are attached to the table."""
        sql = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(%s)"
        endings = [str(name).removeprefix(f"{self.table.name}_") for (name,) in link.fetch(sql, (self.name,))]
        return sorted(REST if each == "rest" else int(each[1:]) for each in endings if each == "rest" or each[1:].isdigit())

    def is_ready(self, link: Link) -> bool:
        """Say whether all is there that a write needs, and may need soon."""
        found = link.fetch("SELECT prosrc FROM pg_proc WHERE oid = to_regproc(%s)", (self.named("part"),))
        return [self._body()] == [source for (source,) in found] and set(self.wanted()) <= set(self.there(link))

    # What is made

    def prepare(self, link: Link, nested: bool, *, waits: bool = True) -> None:  # passed through run_sync
        """Make what is missing, while others who do the same wait."""
        if self.is_ready(link):
            return

        def make() -> None:
            with link.room.alone(link), contextlib.nullcontext() if waits else brief(link):
                link.run(self._function())
                for number in sorted(set(self.wanted()) - set(self.there(link))):
                    self._make(link, number)

        work.atomically(link, make, nested=nested)

    def prepare_if_possible(self, link: Link) -> None:  # passed through run_sync
        """Do so, unless others hold the table; then the next sweep does it."""
        try:
            self.prepare(link, False, waits=False)
        except link.room.errors as error:
            if link.room.explain(error, None).kind is not TroubleKind.BUSY:
                raise

    def _make(self, link: Link, number: int) -> None:
        """Make a partition. It is made as a table and then attached, which stops neither those who read nor those who write."""
        name = self.named(self.ending(number))
        link.run(f"CREATE TABLE {name} (LIKE {self.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)")
        link.run(f"ALTER TABLE {self.name} ATTACH PARTITION {name} FOR VALUES IN ({number})")

    def _function(self) -> str:
        key = _key(self.table)
        types = self._dialect.type_compiler_instance
        return (
            f"CREATE OR REPLACE FUNCTION {self.named('part')} (sought {types.process(_bare(key))}, expires bigint) "
            f"RETURNS bigint LANGUAGE plpgsql VOLATILE AS $resourcekit${self._body()}$resourcekit$"
        )

    def _body(self) -> str:
        key = self._preparer.quote(_key(self.table).name)
        sought = 'sought COLLATE "C"' if isinstance(_key(self.table).type, sa.Text) else "sought"
        schema = "" if self.table.schema is None else f"{self._preparer.quote(self.table.schema)}."
        prefix = f"{self.table.name}_p".replace("'", "''")
        return f"""
DECLARE met bigint; own bigint := expires / {self._every};
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

    def lock_for(self, link: Link, rows: int) -> None:
        """Inside of a transaction that will write so many rows: lock the table for other writers, where they are many."""
        if rows > _MANY:
            link.fetch(f"SELECT pg_advisory_xact_lock({self.lock})")
            link.fetch(f"SELECT set_config('resourcekit.whole', '{self.lock}', true)")


def is_partition(table: sa.Table, name: str) -> bool:
    """Say whether something of that name is, or was, a partition of a table."""
    ending = name.removeprefix(f"{table.name}_")
    return ending != name and (ending == "rest" or (ending[:1] == "p" and ending[1:].isdigit()))


def misfit(partitions: Partitions, info: Any, codecs: Any) -> str:
    """Return what a table of this resource in partitions could not keep; nothing where all is well."""
    if len(info.primary_key) != 1:
        return "the primary key of a table in partitions must be one attribute"
    if info.identities:
        return "no identity can be kept over partitions"
    if partitions.by not in codecs or codecs[partitions.by] is not MOMENT or info.attributes[partitions.by].allow_none:
        return f"the partitions go by {partitions.by!r}, which must be an attribute of type datetime that is never None"
    return ""
