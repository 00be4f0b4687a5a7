"""Storage and maintenance of MariaDB: tables, unsafe settings, sweeps, the clock of leases."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.features import Features
from resourcekit.data_layers.sql.dialects.maintenance import Maintenance
from resourcekit.data_layers.sql.dialects.mariadb import cluster, sessions, upserts
from resourcekit.data_layers.sql.dialects.mariadb import errors as error_info
from resourcekit.data_layers.sql.dialects.text_functions import declared_order

__all__ = ["MariaMaintenance"]


class MariaMaintenance(Features, Maintenance):
    """Storage and maintenance of MariaDB."""

    identity = error_info.IDENTITY

    clock_query = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))"

    skips_locked = True

    definitions_commit = True

    def columns(self, connection: ConnectionLike, table: sa.Table) -> dict[str, bool]:
        found = connection.fetch(
            "SELECT column_name, column_key = 'PRI' FROM information_schema.columns "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
            (table.schema, table.name),
        )
        return {name: bool(is_key) for name, is_key in found}

    def types(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        """Return the types, without the display width of integers."""
        found = connection.fetch(
            "SELECT column_name, column_type FROM information_schema.columns "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
            (table.schema, table.name),
        )
        return {name: re.sub(r"int\(\d+\)", "int", kind) for name, kind in found}

    def indexes(self, connection: ConnectionLike, table: sa.Table) -> set[str]:
        found = connection.fetch(
            "SELECT DISTINCT index_name FROM information_schema.statistics "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
            (table.schema, table.name),
        )
        return {name for (name,) in found}

    def foreign_orders(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        found = connection.fetch(
            "SELECT column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = coalesce(%s, database()) AND table_name = %s AND collation_name <> %s",
            (table.schema, table.name, sessions.COLLATION),
        )
        return {name: order for name, order in found if order != declared_order(table, name)}

    def alone(self, connection: ConnectionLike) -> AbstractContextManager[None]:
        return cluster.alone(connection)

    def unsafe_settings(
        self, connection: ConnectionLike, table: sa.Table, *, accepts_stale: bool = False
    ) -> list[tuple[str, str, str]]:
        return error_info.unsafe_settings(connection, table) + cluster.unsafe_settings(connection, accepts_stale=accepts_stale)

    @contextmanager
    def batch(self, connection: ConnectionLike, *, waits: bool) -> Generator[None]:
        """Set the lock timeout. No session can relax durability, because innodb_flush_log_at_trx_commit is a global setting."""
        before = connection.prefix
        if not waits:
            connection.prefix = "SET STATEMENT innodb_lock_wait_timeout=0 FOR "
        try:
            yield
        finally:
            connection.prefix = before

    def delete_unlocked(self, table: sa.Table, found: sa.Select[Any]) -> Any:
        return upserts.DeleteFound(table, found)
