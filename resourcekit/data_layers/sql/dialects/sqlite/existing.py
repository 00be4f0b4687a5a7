"""Tables in SQLite that other programs created: their columns, and what these cannot keep."""

from __future__ import annotations

import re

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.driver import ConnectionLike
from resourcekit.data_layers.sql.dialects.existing import Difference, StoredColumn, base_type
from resourcekit.declarations.value_type import Kind

__all__ = ["SQLiteTables"]

_UNKNOWN = "of another program"
"""Stands for a collation that only connections of its program have."""

_NUMBERS = ("real", "float", "double", "double precision", "numeric", "decimal", "number")
_KINDS = {
    "bool": Kind.BOOLEAN,
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "datetime": Kind.DATETIME,
    "timestamp": Kind.DATETIME,
    "decimal": Kind.DECIMAL,
    "numeric": Kind.DECIMAL,
    "number": Kind.DECIMAL,
    "json": Kind.MAP,
    "uuid": Kind.UUID,
}
_AFFINITIES = (
    (r"int", Kind.INTEGER),
    (r"char|clob|text", Kind.STRING),
    (r"real|floa|doub", Kind.FLOAT),
    (r"blob", Kind.BYTES),
)
"""Kinds by the affinity that SQLite gives to other types, in its order."""

_WRONG = {
    Kind.STRING: re.compile(r"int|real|floa|doub|blob"),
    Kind.INTEGER: re.compile(r"char|clob|text|blob|real|floa|doub"),
    Kind.BYTES: re.compile(r"int|char|clob|text|real|floa|doub"),
    Kind.DATETIME: re.compile(r"int|real|floa|doub|blob"),
    Kind.MAP: re.compile(r"int|real|floa|doub|blob"),
}


class SQLiteTables:
    """Describes existing tables."""

    def described(self, connection: ConnectionLike, table: sa.Table) -> list[StoredColumn]:
        """Return the columns of a table in their order; none if it does not exist."""
        found = connection.fetch(
            'SELECT name, type, "notnull", pk, dflt_value, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1', (table.name,)
        )
        keys = [name for name, _, _, pk, _, _ in found if pk]
        made = connection.fetch("SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", (table.name,))
        # INTEGER PRIMARY KEY DESC has an index of its own, and is no rowid.
        indexed = connection.fetch("SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'", (table.name,))
        has_rowid = bool(made) and not made[0][0] and not indexed
        return [
            StoredColumn(
                name=name,
                type=declared.lower(),
                nullable=not needed and not pk,
                key=pk,
                collation=_collation(connection, table, name),
                default=default,
                filled="computed"
                if hidden
                else "identity"
                if has_rowid and keys == [name] and declared.lower() == "integer"
                else "",
            )
            for name, declared, needed, pk, default, hidden in found
        ]

    def kind_of(self, column: StoredColumn) -> Kind | None:
        """Return the kind of the values of a column by its type; ``None`` for a type that no attribute has."""
        base = base_type(column.type)
        if base in _KINDS:
            return _KINDS[base]
        return next((kind for pattern, kind in _AFFINITIES if re.search(pattern, base)), None)

    def unique_sets(self, connection: ConnectionLike, table: sa.Table) -> set[frozenset[str]]:
        """Return the sets of columns that a table keeps unique, the primary key included."""
        found: dict[str, set[str | None]] = {}
        for index, column, collation in connection.fetch(
            "SELECT made.name, part.name, part.coll FROM pragma_index_list(?) AS made, pragma_index_xinfo(made.name) AS part "
            'WHERE made."unique" AND NOT made.partial AND part.key',
            (table.name,),
        ):
            is_same = column is not None and _collation(connection, table, column) in (collation.replace("BINARY", ""), _UNKNOWN)
            found.setdefault(index, set()).add(column if is_same else None)
        keys = {name for (name,) in connection.fetch("SELECT name FROM pragma_table_info(?) WHERE pk", (table.name,))}
        # None is an expression, or a column by another collation than its own: other values are unique then.
        plain = [frozenset(name for name in columns if name is not None) for columns in found.values() if None not in columns]
        return {frozenset(keys), *plain}

    def difference(self, kind: Kind, column: StoredColumn) -> Difference | None:
        """Return what a column does otherwise than Python; ``None`` if nothing."""
        if kind is Kind.STRING and column.collation:
            return Difference(f"compares text by the collation {column.collation}, not by code point")
        if kind is Kind.DECIMAL and base_type(column.type) in _NUMBERS:
            return Difference(f"is {column.type}, which SQLite stores as a binary number, not exactly")
        return None

    def fits(self, kind: Kind, column: StoredColumn) -> bool:
        """Return whether values of a kind stay what they are in a column with the affinity of its type."""
        wrong = _WRONG.get(kind)
        return wrong is None or wrong.search(column.type) is None


def _collation(connection: ConnectionLike, table: sa.Table, name: str) -> str:
    """Return the collation of a column; empty for BINARY. No pragma shows it: a constant is compared by it."""
    preparer = connection.dialect.sa_dialect.identifier_preparer
    column, holder = preparer.quote_identifier(name), preparer.quote_identifier(table.name)
    sql = f"WITH x (v) AS (SELECT {column} FROM {holder} WHERE 0 UNION ALL SELECT 'a') SELECT v = 'A', v = 'a ' FROM x"  # noqa: S608  # quoted
    try:
        ignores_case, ignores_spaces = connection.fetch(sql)[0]
    except connection.dialect.errors:  # a collation that this connection lacks
        return _UNKNOWN
    return "NOCASE" if ignores_case else "RTRIM" if ignores_spaces else ""
