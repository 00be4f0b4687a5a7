"""Storage and maintenance of PostgreSQL: tables, unsafe settings, sweeps, the clock of leases."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.features import Features
from resourcekit.data_layers.sql.dialects.maintenance import Maintenance
from resourcekit.data_layers.sql.dialects.postgresql import errors as error_info
from resourcekit.data_layers.sql.dialects.postgresql import standby, sweeps

__all__ = ["PostgresMaintenance"]

_STORAGE_KEY = 0x7265736B6974
"""Advisory lock of processes that create tables; an arbitrary number."""


class PostgresMaintenance(Features, Maintenance):
    """Storage and maintenance of PostgreSQL."""

    identity = error_info.IDENTITY

    clock_query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

    skips_locked = True

    def columns(self, connection: ConnectionLike, table: sa.Table) -> dict[str, bool]:
        found = connection.fetch(
            "SELECT a.attname, coalesce(a.attnum = ANY (i.indkey), false) FROM pg_attribute a "
            "LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
            "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped",
            (self._named(table),),
        )
        return dict(found)

    def types(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        found = connection.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (self._named(table),),
        )
        return dict(found)

    def indexes(self, connection: ConnectionLike, table: sa.Table) -> set[str]:
        found = connection.fetch(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(%s)",
            (self._named(table),),
        )
        return {name for (name,) in found}

    def foreign_keys(self, connection: ConnectionLike, table: sa.Table) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = connection.fetch(
            "SELECT c.oid::bigint, a.attname, o.relnamespace = c.connamespace, o.relname, b.attname, "
            "CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE '' END "
            "FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (attnum, other, n) "
            "JOIN pg_class o ON o.oid = c.confrelid JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum "
            "JOIN pg_attribute b ON b.attrelid = o.oid AND b.attnum = k.other "
            "WHERE c.contype = 'f' AND c.conrelid = to_regclass(%s) ORDER BY c.oid, k.n",
            (self._named(table),),
        )
        return found

    def foreign_orders(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        """Return columns with a nondeterministic collation.

        Most collations only sort by language rules; few also compare by them.
        """
        found = connection.fetch(
            "SELECT a.attname, c.collname FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation "
            "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped AND NOT c.collisdeterministic",
            (self._named(table),),
        )
        return dict(found)

    def _named(self, table: sa.Table) -> str:
        return self.sa_dialect.identifier_preparer.format_table(table).replace("%%", "%")

    def alone(self, connection: ConnectionLike) -> AbstractContextManager[None]:
        """Take an advisory lock: if two sessions run CREATE TABLE IF NOT EXISTS at once, one of them fails."""
        return _locked(connection)

    def unsafe_settings(
        self, connection: ConnectionLike, table: sa.Table, *, accepts_stale: bool = False
    ) -> list[tuple[str, str, str]]:
        return error_info.unsafe_settings(connection, self._named(table)) + standby.unsafe_settings(
            connection, accepts_stale=accepts_stale
        )

    @contextmanager
    def batch(self, connection: ConnectionLike, *, waits: bool) -> Generator[None]:
        sweeps.begin(connection, waits=waits)
        yield

    def after_batch(self, connection: ConnectionLike, took: float) -> tuple[float, bool]:
        return sweeps.rest_after(connection, took), False

    def delete_unlocked(self, table: sa.Table, found: sa.Select[Any]) -> Any:
        return sweeps.delete_unlocked(table, found)


@contextmanager
def _locked(connection: ConnectionLike) -> Generator[None]:
    connection.fetch(f"SELECT pg_advisory_xact_lock({_STORAGE_KEY})")
    yield
