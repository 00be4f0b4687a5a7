"""Storage and maintenance of SQLite: tables, unsafe settings, sweeps, the clock of leases."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.features import Features
from resourcekit.data_layers.sql.dialects.maintenance import Maintenance
from resourcekit.data_layers.sql.dialects.sqlite import files, log
from resourcekit.data_layers.sql.dialects.text_functions import declared_order

__all__ = ["SQLiteMaintenance"]


class SQLiteMaintenance(Features, Maintenance):
    """Storage and maintenance of SQLite."""

    def columns(self, connection: ConnectionLike, table: sa.Table) -> dict[str, bool]:
        return {name: bool(key) for name, key in connection.fetch("SELECT name, pk FROM pragma_table_xinfo(?)", (table.name,))}

    def types(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        return {
            name: kind.lower() for name, kind in connection.fetch("SELECT name, type FROM pragma_table_xinfo(?)", (table.name,))
        }

    def indexes(self, connection: ConnectionLike, table: sa.Table) -> set[str]:
        return {name for (name,) in connection.fetch("SELECT name FROM pragma_index_list(?)", (table.name,))}

    def foreign_keys(self, connection: ConnectionLike, table: sa.Table) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = connection.fetch(
            'SELECT f.id, f."from", true, coalesce(t.name, f."table"), f."to", f.on_delete FROM pragma_foreign_key_list(?) f '
            "LEFT JOIN pragma_table_list t ON t.schema = 'main' AND lower(t.name) = lower(f.\"table\") ORDER BY f.id, f.seq",
            (table.name,),
        )
        return found

    def foreign_orders(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        """Return the columns with another collation.

        The indexes, that of the key included, show the collation of their columns.
        """
        sql = (
            "SELECT DISTINCT columns.name, columns.coll FROM pragma_index_list(?) AS made, pragma_index_xinfo(made.name) AS columns "
            "WHERE columns.key AND columns.name IS NOT NULL AND columns.coll <> 'BINARY'"
        )
        return {name: order for name, order in connection.fetch(sql, (table.name,)) if order != declared_order(table, name)}

    def unsafe_settings(
        self, connection: ConnectionLike, table: sa.Table, *, accepts_stale: bool = False
    ) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        cure = "Keep the file on a local disk, where SQLite can switch to its write-ahead log."
        mode = connection.fetch("PRAGMA journal_mode")[0][0]
        if mode != "wal":
            found.append((f"the journal mode is {mode}, not wal", "Readers and writers block each other.", cure))
        made = connection.fetch(
            "SELECT wr OR NOT EXISTS (SELECT 1 FROM pragma_table_info(?) WHERE pk), strict "  # a missing key is reported separately
            "FROM pragma_table_list(?) WHERE schema = 'main'",
            (table.name, table.name),
        )
        has_rowid = table.dialect_options["sqlite"]["with_rowid"]  # a key that the database counts is the rowid
        wanted = (("WITHOUT ROWID", has_rowid or made[0][0]), ("STRICT", made[0][1]))
        lost = [words for words, is_so in wanted if not is_so]
        if lost:
            why = "Checks and sweeps take longer, and a column may hold what it is not declared for."
            again = "Make the table anew with both, by a migration (Alembic's batch mode: table_kwargs)."
            found.append((f"the table {table.name} is not {' and '.join(lost)}", why, again))
        remote = files.file_system(str(connection.fetch("SELECT file FROM pragma_database_list WHERE name = 'main'")[0][0]))
        if files.is_remote(remote):
            why = "Hosts that share the file see neither each other's locks nor each other's log, and overwrite each other."
            found.append((f"the file lies on a network file system ({remote})", why, cure))
        return found

    @contextmanager
    def relaxed_durability(self, connection: ConnectionLike) -> Generator[None]:
        log.spare_disk(connection)
        try:
            yield
        finally:
            if not connection.dialect.is_open(connection):  # else it was interrupted, and the connection will be closed
                log.await_disk(connection)

    def after_batch(self, connection: ConnectionLike, took: float) -> tuple[float, bool]:
        return log.shorten(connection)

    def clock_name(self) -> str:
        """Return the boot id of this host. The processes of one host share its monotonic clock until it restarts."""
        return files.boot_id()
