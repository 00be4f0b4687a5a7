"""Tables and indexes: made where they are missing, and looked at. It knows no row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.link import Link
from resourcekit.dsl.finding import Finding
from resourcekit.errors import DataLayerError
from resourcekit.resource_info import ResourceInfo

__all__ = ["create", "findings"]


def create(link: Link, tables: Sequence[sa.Table], nested: bool) -> None:  # passed through run_sync
    """Make tables and indexes that are missing, while others who do the same wait."""
    if not _missing(link, tables):
        return  # asked often: do not wait for writers when there is nothing to write
    if nested and link.room.definitions_commit:
        msg = "tables cannot be made inside a transaction of this database: it would be committed; call create_storage() before"
        raise DataLayerError(msg)

    def make() -> None:
        with link.room.alone(link):
            for element in _missing(link, tables):
                link.run(str(element.compile(dialect=link.room.dialect)))

    work.atomically(link, make, nested=nested)


def _missing(link: Link, tables: Sequence[sa.Table]) -> list[CreateTable | CreateIndex]:
    missing: list[CreateTable | CreateIndex] = []
    for table in tables:
        known = link.room.indexes(link, table)
        if not link.room.columns(link, table):
            missing.append(CreateTable(table, if_not_exists=True))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        missing += [CreateIndex(index, if_not_exists=True) for index in indexes if index.name not in known]
    return missing


def findings(link: Link, info: ResourceInfo, table: sa.Table) -> list[Finding]:
    """Return what is missing or unsafe about a resource's table."""
    there = link.room.columns(link, table)
    if not there:
        return [
            _finding(
                "RK110",
                info,
                f"the table {table.name} does not exist{', or this user may not see it' if link.room.is_server else ''}",
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
    found.extend(_type_findings(link, info, table))
    found.extend(_index_findings(link, info, table))
    unsafe = link.room.unsafe_settings(link, table)
    found.extend(_finding("RK113", info, what, why, cure, "warning") for what, why, cure in unsafe)
    return found


def _type_findings(link: Link, info: ResourceInfo, table: sa.Table) -> Iterator[Finding]:
    """Find columns of another type, as a migration leaves them that was made on a database of another kind."""
    there = link.room.types(link, table)
    for column in table.columns:
        kind, declared = there.get(column.name), link.room.type_name(column)
        if kind not in (None, declared):
            what = f"the column {column.name} of {table.name} is {kind}, not {declared}"
            why = "Values may be refused, cut, or compared otherwise than the resource does."
            yield _finding("RK116", info, what, why, "Change its type by a migration.", "warning")


def _index_findings(link: Link, info: ResourceInfo, table: sa.Table) -> Iterator[Finding]:
    """Find indexes that are missing, and keys that compare otherwise than the resource does."""
    there = link.room.indexes(link, table)
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
    for column, collation in sorted(link.room.foreign_orders(link, table).items()):
        what = f"the column {column} of {table.name} compares text by {collation}, not by code point"
        why = "Values that differ are taken as equal, so that one record stands for another."
        yield _finding("RK115", info, what, why, "Make the column compare bytes, by a migration.")


def _finding(code: str, info: ResourceInfo, what: str, why: str, cure: str, level: str = "error") -> Finding:
    return Finding(id=code, what=what, why=why, cure=cure, level=level, resource=info.qualified_name, path=("data_layer",))  # type: ignore[arg-type]  # one of the levels
