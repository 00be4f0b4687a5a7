"""Tables in PostgreSQL that other programs created: their columns, and what these cannot keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.driver import ConnectionLike
from resourcekit.data_layers.sql.dialects.existing import Difference, StoredColumn, base_type, fits, kind_by_type
from resourcekit.declarations.value_type import Kind

__all__ = ["PostgresTables"]

_COLUMNS = (
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, "
    # Columns after the first indnkeyatts are stored in the index, and no part of the key.
    "coalesce(array_position((i.indkey::int2[])[:i.indnkeyatts - 1], a.attnum) + 1, 0), "
    "CASE WHEN c.collname = 'default' THEN (SELECT datcollate FROM pg_database WHERE datname = current_database()) "
    "WHEN NOT c.collisdeterministic THEN c.collname || ' (not deterministic)' ELSE coalesce(c.collname, '') END, "
    "CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.attidentity::text, a.attgenerated::text "
    "FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
    "LEFT JOIN pg_collation c ON c.oid = a.attcollation "
    "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
    "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)
_MADE = (
    "WITH RECURSIVE part AS (SELECT a.attname::text AS name, a.atttypid AS type, a.atttypmod AS modifier, 0 AS level, "
    "format_type(a.atttypid, NULL) AS made FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped "
    "UNION ALL SELECT p.name, t.typbasetype, t.typtypmod, p.level + 1, p.made FROM part p JOIN pg_type t ON t.oid = p.type WHERE t.typtype = 'd') "
    "SELECT p.name, p.made, format_type(p.type, p.modifier), t.typnotnull, t.typdefault, "
    "ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder), "
    "ARRAY(SELECT pg_get_constraintdef(c.oid)::text FROM pg_constraint c WHERE c.contypid = t.oid AND c.contype = 'c' ORDER BY c.conname) "
    "FROM part p JOIN pg_type t ON t.oid = p.type WHERE t.typtype IN ('d', 'e') OR p.level > 0 ORDER BY p.level"
)
"""The parts of types that CREATE TYPE or CREATE DOMAIN made: a domain may be over another one."""

_UNIQUE = (
    "SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
    "AND a.attnum = ANY((i.indkey::int2[])[:i.indnkeyatts - 1]) "
    "WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL "
    "GROUP BY i.indexrelid"
)
_BYTEWISE = frozenset({"", "C", "POSIX", "ucs_basic", "pg_c_utf8", "C.UTF-8", "C.utf8"})
"""Collations that order text by code point. The locale C.UTF-8 does so on Linux."""

_TEXT = frozenset({"text", "character varying", "character", "citext", "name"})


class PostgresTables:
    """Describes existing tables."""

    column_types: ClassVar[Mapping[Kind, frozenset[str]]] = {
        Kind.STRING: _TEXT,
        Kind.INTEGER: frozenset({"smallint", "integer", "bigint"}),
        Kind.FLOAT: frozenset({"real", "double precision"}),
        Kind.BOOLEAN: frozenset({"boolean"}),
        Kind.DECIMAL: frozenset({"numeric"}),
        Kind.DATETIME: frozenset({"timestamp with time zone", "timestamp without time zone"}),
        Kind.DATE: frozenset({"date"}),
        Kind.TIME: frozenset({"time without time zone"}),
        Kind.DURATION: frozenset({"interval"}),
        Kind.UUID: frozenset({"uuid"}),
        Kind.BYTES: frozenset({"bytea"}),
        Kind.MAP: frozenset({"jsonb", "json"}),
    }

    def described(self, connection: ConnectionLike, table: sa.Table) -> list[StoredColumn]:
        """Return the columns of a table in their order; none if it does not exist."""
        name = connection.dialect.sa_dialect.identifier_preparer.format_table(table).replace("%%", "%")
        columns = [
            StoredColumn(
                name=column,
                type=declared,
                nullable=nullable,
                key=key,
                collation=collation or "",
                default=default,
                filled="identity" if identity or (default or "").startswith("nextval(") else "computed" if generated else "",
            )
            for column, declared, nullable, key, collation, default, identity, generated in connection.fetch(_COLUMNS, (name,))
        ]
        if all(self.kind_of(column) is not None for column in columns):
            return columns
        made: dict[str, list[Sequence[Any]]] = {}
        for column, *part in connection.fetch(_MADE, (name,)):
            made.setdefault(column, []).append(part)
        return [_with_made(column, made[column.name]) if column.name in made else column for column in columns]

    def kind_of(self, column: StoredColumn) -> Kind | None:
        """Return the kind of the values of a column by its type; ``None`` for a type that no attribute has."""
        if column.options:  # a domain over an enum has no operator =
            return Kind.STRING if column.made == column.type else None
        return kind_by_type(column, self.column_types)

    def unique_sets(self, connection: ConnectionLike, table: sa.Table) -> set[frozenset[str]]:
        """Return the sets of columns that a table keeps unique, the primary key included."""
        name = connection.dialect.sa_dialect.identifier_preparer.format_table(table).replace("%%", "%")
        return {frozenset(columns) for (columns,) in connection.fetch(_UNIQUE, (name,))}

    def difference(self, kind: Kind, column: StoredColumn) -> Difference | None:
        """Return what a column does otherwise than Python; ``None`` if nothing."""
        base = base_type(column.type)
        if column.options:
            return Difference(f"is the enum {column.type}, and sorts by the order of its declaration", equality=False)
        if base == "citext":
            return Difference("is citext, and ignores case")
        if base == "character":
            return Difference(f"is {column.type}, and ignores trailing spaces")
        if base in _TEXT and column.collation not in _BYTEWISE:
            is_equal = not column.collation.endswith("(not deterministic)")
            return Difference(f"compares text by the collation {column.collation}, not by code point", equality=not is_equal)
        if base == "timestamp without time zone":
            return Difference(f"is {column.type}, and has no time zone")
        if kind is Kind.DATETIME and "(" in column.type and "(6)" not in column.type:
            return Difference(f"is {column.type}, and loses microseconds")
        if base == "json":
            return Difference("is json, which PostgreSQL cannot compare; jsonb can be")
        return Difference("is real, and keeps six digits only") if base == "real" else None

    def fits(self, kind: Kind, column: StoredColumn) -> bool:
        """Return whether values of a kind can be in a column of its type."""
        if column.options:
            return kind is Kind.STRING
        return fits(kind, column, self.column_types)


def _with_made(column: StoredColumn, parts: Sequence[Sequence[Any]]) -> StoredColumn:
    """Return a column with the facts of its domain, and of the domains and the enum below. parts: from the outermost to the innermost."""
    _, below, *_, options, _ = parts[-1]
    return attrs.evolve(
        column,
        type=below,
        made=parts[0][0],
        nullable=column.nullable and not any(is_needed for _, _, is_needed, *_ in parts),
        default=next((default for default in (column.default, *(part[3] for part in parts)) if default is not None), None),
        options=tuple(options),
        checks=tuple(check for part in parts for check in part[5]),
    )
