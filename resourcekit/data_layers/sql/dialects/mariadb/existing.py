"""Tables in MariaDB that other programs created: their columns, and what these cannot keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.driver import ConnectionLike
from resourcekit.data_layers.sql.dialects.existing import Difference, StoredColumn, base_type, fits, kind_by_type
from resourcekit.declarations.value_type import Kind

__all__ = ["MariaTables"]

_COLUMNS = (
    "SELECT c.column_name, c.column_type, c.is_nullable = 'YES', coalesce(k.ordinal_position, 0), coalesce(c.collation_name, ''), "
    "nullif(c.column_default, 'NULL'), c.extra FROM information_schema.columns c "
    "LEFT JOIN information_schema.key_column_usage k ON k.table_schema = c.table_schema AND k.table_name = c.table_name "
    # The server compares these names without case and accents, and may have tables that differ in them only.
    "AND binary k.table_schema = binary c.table_schema AND binary k.table_name = binary c.table_name "
    "AND binary k.column_name = binary c.column_name AND k.constraint_name = 'PRIMARY' "
    "WHERE c.table_schema = coalesce(%s, database()) AND c.table_name = %s ORDER BY c.ordinal_position"
)
_UNIQUE = (
    "SELECT index_name, column_name, sub_part IS NULL FROM information_schema.statistics WHERE non_unique = 0 "
    "AND table_schema = coalesce(%s, database()) AND table_name = %s ORDER BY index_name, seq_in_index"
)
_REFERENCES = (
    "SELECT k.constraint_name, k.column_name, binary k.referenced_table_schema = binary k.table_schema, k.referenced_table_name, "
    "k.referenced_column_name, r.delete_rule FROM information_schema.key_column_usage k "
    "JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema "
    "AND binary r.table_name = binary k.table_name AND binary r.constraint_name = binary k.constraint_name "
    "WHERE k.referenced_table_name IS NOT NULL "
    "AND k.table_schema = coalesce(%s, database()) AND k.table_name = %s ORDER BY k.constraint_name, k.ordinal_position"
)
_EXACT = frozenset({"", "utf8mb4_nopad_bin"})
_TEXT = frozenset({"varchar", "char", "text", "tinytext", "mediumtext", "longtext", "enum"})
_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})


class MariaTables:
    """Describes existing tables."""

    column_types: ClassVar[Mapping[Kind, frozenset[str]]] = {
        Kind.STRING: _TEXT,
        Kind.INTEGER: _NUMBERS,
        Kind.FLOAT: frozenset({"float", "double"}),
        Kind.BOOLEAN: frozenset({"tinyint"}),
        Kind.DECIMAL: frozenset({"decimal"}),
        Kind.DATETIME: frozenset({"datetime", "timestamp"}),
        Kind.DATE: frozenset({"date"}),
        Kind.TIME: frozenset({"time"}),
        Kind.DURATION: frozenset({"bigint"}),
        Kind.UUID: frozenset({"char", "uuid"}),
        Kind.BYTES: frozenset({"varbinary", "binary", "blob", "tinyblob", "mediumblob", "longblob"}),
        Kind.MAP: frozenset({"longtext", "json"}),
    }

    def described(self, connection: ConnectionLike, table: sa.Table) -> list[StoredColumn]:
        """Return the columns of a table in their order; none if it does not exist.

        The table learns its unique keys, whose names are all that the server names of a violation.
        """
        unique: dict[str, list[str]] = {}
        for name, column, _ in connection.fetch(_UNIQUE, (table.schema, table.name)):
            unique.setdefault(name, []).append(column)
        table.info["unique_keys"] = {name: tuple(columns) for name, columns in unique.items()}
        return [
            StoredColumn(
                name=column,
                type=declared.removesuffix(" zerofill").removesuffix(" unsigned"),
                nullable=bool(nullable),
                key=int(key),
                collation=collation,
                default=default,
                filled="identity" if "auto_increment" in extra.lower() else "computed" if "generated" in extra.lower() else "",
            )
            for column, declared, nullable, key, collation, default, extra in connection.fetch(
                _COLUMNS, (table.schema, table.name)
            )
        ]

    def kind_of(self, column: StoredColumn) -> Kind | None:
        """Return the kind of the values of a column by its type; ``None`` for a type that no attribute has."""
        base = base_type(column.type)
        if column.type == "tinyint(1)":
            return Kind.BOOLEAN
        return Kind.UUID if base == "uuid" else kind_by_type(column, self.column_types)

    def unique_sets(self, connection: ConnectionLike, table: sa.Table) -> set[frozenset[str]]:
        """Return the sets of columns that a table keeps unique, the primary key included."""
        found: dict[str, set[str]] = {}
        partial = set()
        for name, column, is_whole in connection.fetch(_UNIQUE, (table.schema, table.name)):
            found.setdefault(name, set()).add(column)
            if not is_whole:  # only the beginnings of its values are unique
                partial.add(name)
        return {frozenset(columns) for name, columns in found.items() if name not in partial}

    def difference(self, kind: Kind, column: StoredColumn) -> Difference | None:
        """Return what a column does otherwise than Python; ``None`` if nothing."""
        base = base_type(column.type)
        if kind is Kind.UUID:
            return Difference("is uuid, which MariaDB sorts by its last part", equality=False) if base == "uuid" else None
        if base in _TEXT and kind is not Kind.MAP and column.collation not in _EXACT:
            return Difference(f"compares text by the collation {column.collation}, not by code point")
        if base == "timestamp":
            return Difference(f"is {column.type}, which depends on the time zone of the session, and ends early")
        if base in ("datetime", "time") and "(6)" not in column.type:
            return Difference(f"is {column.type}, and loses microseconds")
        return Difference("is float, and keeps six digits only") if base == "float" else None

    def fits(self, kind: Kind, column: StoredColumn) -> bool:
        """Return whether values of a kind can be in a column of its type."""
        return fits(kind, column, self.column_types)

    def foreign_keys(self, connection: ConnectionLike, table: sa.Table) -> Sequence[Sequence[Any]]:
        """Return the columns of a table's foreign keys (see Maintenance)."""
        found: Sequence[Sequence[Any]] = connection.fetch(_REFERENCES, (table.schema, table.name))
        return found
