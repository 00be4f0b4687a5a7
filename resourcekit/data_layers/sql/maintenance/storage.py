"""Tables and indexes: their creation, and findings about existing ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from resourcekit.data_layers.sql.dialects.driver import STALE
from resourcekit.data_layers.sql.execution.connection import Connection, atomically
from resourcekit.data_layers.sql.maintenance import existing
from resourcekit.dsl.diagnostics import Finding
from resourcekit.errors import DataLayerError
from resourcekit.resource_info import ResourceInfo

__all__ = ["create", "findings", "missing_file"]


def missing_file(path: str, info: ResourceInfo) -> Finding:
    """Return the finding for a database that is a file and does not exist."""
    cure = "Call domain.create_storage(), or run your migrations; if the file lies elsewhere, correct the path."
    here = Path.cwd()
    shown = Path(path).relative_to(here) if Path(path).is_relative_to(here) else path
    return _finding("RK110", info, f"the file {shown} does not exist", "Nothing can be read or written.", cure)


def create(connection: Connection, tables: Sequence[sa.Table], nested: bool) -> None:  # passed through run_sync
    """Create missing tables and indexes, while other processes that do the same wait."""
    if not _missing(connection, tables):
        return  # called often: do not wait for writers if there is nothing to create
    if nested and connection.dialect.definitions_commit:
        msg = "tables cannot be made inside a transaction of this database: it would be committed; call create_storage() before"
        raise DataLayerError(msg)

    def make() -> None:
        with connection.dialect.alone(connection):
            for statement in _missing(connection, tables):
                connection.run(statement)

    atomically(connection, make, nested=nested)


def refuse_foreign_orders(connection: Connection, info: ResourceInfo, table: sa.Table) -> None:
    """Raise DataLayerError for a table whose keys or indexes treat different texts as equal, as a table of other tools may.

    With MariaDB's default collation, all emoji are equal: the record of one would be found for another.
    """
    names = {column.name for column in table.columns}
    autocommit_write, connection.autocommit_write = connection.autocommit_write, False  # nothing is written here
    found = sorted((name, order) for name, order in connection.dialect.foreign_orders(connection, table).items() if name in names)
    connection.autocommit_write = autocommit_write
    if found:
        column, collation = found[0]
        msg = (
            f"{info.name}: the column {column} of {table.name} compares text by {collation}, not by code point, so that one record "
            "would be taken for another; change its collation by a migration (RK115)"
        )
        raise DataLayerError(msg)


def _missing(connection: Connection, tables: Sequence[sa.Table]) -> list[str]:
    """Return the statements that create the missing tables, indexes and foreign keys."""
    missing: list[str] = []

    def create(element: CreateTable | CreateIndex) -> None:
        missing.append(str(element.compile(dialect=connection.dialect.sa_dialect)))

    for table in tables:
        known = connection.dialect.indexes(connection, table)
        if not connection.dialect.columns(connection, table):
            # Servers get foreign keys once both tables are there. SQLite has no other way than the creation of the table.
            inside: list[sa.ForeignKeyConstraint] | None = [] if connection.dialect.is_server else None
            if table.info.get("makes_schema"):
                missing.append(_schema(connection, table))
            create(CreateTable(table, if_not_exists=True, include_foreign_key_constraints=inside))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        for index in indexes:
            if index.name not in known:
                create(CreateIndex(index, if_not_exists=True))
        if connection.dialect.is_server:
            missing += [_addition(connection, each) for each in _missing_keys(connection, table)]
    return missing


def _schema(connection: Connection, table: sa.Table) -> str:
    return str(CreateSchema(str(table.schema), if_not_exists=True).compile(dialect=connection.dialect.sa_dialect))


def _addition(connection: Connection, key: sa.ForeignKeyConstraint) -> str:
    compiler: Any = connection.dialect.sa_dialect.ddl_compiler(connection.dialect.sa_dialect, None)  # type: ignore[arg-type]  # as SQLAlchemy does it
    return f"ALTER TABLE {compiler.preparer.format_table(key.table)} ADD {compiler.process(key)}"


def _missing_keys(connection: Connection, table: sa.Table) -> list[sa.ForeignKeyConstraint]:
    """Return the foreign keys that a table lacks, if the tables to which they refer exist or are the same one."""
    if not table.foreign_key_constraints:
        return []
    columns: dict[object, set[str]] = {}
    for key, column, *_ in connection.dialect.foreign_keys(connection, table):
        columns.setdefault(key, set()).add(column)
    there = list(columns.values())
    missing = [each for each in table.foreign_key_constraints if {column.name for column in each.columns} not in there]
    return sorted(
        (each for each in missing if each.referred_table is table or connection.dialect.columns(connection, each.referred_table)),
        key=lambda each: str(each.name),
    )


def findings(connection: Connection, info: ResourceInfo, table: sa.Table, accepts_stale: bool) -> list[Finding]:  # passed on
    """Return findings for missing or unsafe parts of a resource's table. accepts_stale: the resource opted in to stale reads."""
    there = connection.dialect.columns(connection, table)
    if not there:
        return [
            _finding(
                "RK110",
                info,
                f"the table {table.name} does not exist{', or this user may not see it' if connection.dialect.is_server else ''}",
                "Nothing can be read or written.",
                "Call domain.create_storage(), or run your migrations.",
            )
        ]
    found = [
        _finding(
            "RK111",
            info,
            f"the column {column.name} of {table.name} is missing",
            "Reads and writes fail.",
            "Add it by a migration.",
        )
        for column in table.columns
        if column.name not in there
    ]
    keys = {column.name for column in table.primary_key}
    if {name for name, is_key in there.items() if is_key} != keys:
        found.append(
            _finding(
                "RK112",
                info,
                f"the primary key of {table.name} is not {', '.join(sorted(keys))}",
                "One token could have two records.",
                "Make it so by a migration.",
            )
        )
    found.extend(_type_findings(connection, info, table))
    found.extend(existing.null_findings(connection, info, table))
    found.extend(_index_findings(connection, info, table))
    for key in _missing_keys(connection, table):
        what = f"the foreign key {key.name} of {table.name} is missing"
        why = "Records may refer to others that do not exist, and on_delete has no effect."
        found.append(_finding("RK118", info, what, why, "Call domain.create_storage(), or add it by a migration."))
    found.extend(_server_findings(connection, info, table, accepts_stale=accepts_stale))
    return found


def _server_findings(connection: Connection, info: ResourceInfo, table: sa.Table, *, accepts_stale: bool) -> Iterator[Finding]:
    """Yield findings for unsafe settings of the server, and for stale reads."""
    for what, why, cure in connection.dialect.unsafe_settings(connection, table, accepts_stale=accepts_stale):
        yield _finding("RK113", info, what, why, cure, "warning")
    if accepts_stale and connection.dialect.is_server:
        what, cure = 'its reads may be of the past: SQL(reads="stale")', "Leave reads out, if that is not what you want."
        yield _finding("RK117", info, what, STALE, cure, "warning")


def _type_findings(connection: Connection, info: ResourceInfo, table: sa.Table) -> Iterator[Finding]:
    """Yield findings for columns of another type, as left by a migration that was written on another kind of database."""
    there = connection.dialect.types(connection, table)
    for column in table.columns:
        kind, declared = there.get(column.name), connection.dialect.type_name(column)
        if kind not in (None, declared):
            what = f"the column {column.name} of {table.name} is {kind}, not {declared}"
            why = "Values may be refused, cut, or compared otherwise than the resource does."
            yield _finding("RK116", info, what, why, "Change its type by a migration.", "warning")


def _index_findings(connection: Connection, info: ResourceInfo, table: sa.Table) -> Iterator[Finding]:
    """Yield findings for missing indexes, and for keys that compare text in another way than the resource does."""
    there = connection.dialect.indexes(connection, table)
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if index.name not in there:
            what = f"the index {index.name} of {table.name} is missing"
            why = (
                "What it keeps unique may be there twice, and upserts fail."
                if index.unique
                else "What it serves reads the whole table."
            )
            cure = "Call domain.create_storage(), or run your migrations."
            yield _finding("RK114", info, what, why, cure, "error" if index.unique else "warning")
    for column, collation in sorted(connection.dialect.foreign_orders(connection, table).items()):
        what = f"the column {column} of {table.name} compares text by {collation}, not by code point"
        why = "Values that differ are taken as equal, so that one record is taken for another."
        yield _finding("RK115", info, what, why, "Make the column compare bytes, by a migration.")


def _finding(code: str, info: ResourceInfo, what: str, why: str, cure: str, level: str = "error") -> Finding:
    return Finding(id=code, what=what, why=why, cure=cure, level=level, resource=info.qualified_name, path=("data_layer",))  # type: ignore[arg-type]  # one of the levels
