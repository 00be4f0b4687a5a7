"""Facts about the tables of a database that exist already: columns, keys, foreign keys, unique columns.

A maintainer opens it to change what ``resourcekit inspect`` knows of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.existing import Difference, StoredColumn
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.execution.execute import execute
from resourcekit.data_layers.sql.execution.failures import as_ours
from resourcekit.data_layers.sql.repository import Repo
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import InvalidArgument, did_you_mean

__all__ = ["ColumnFacts", "ForeignKeyFacts", "TableFacts", "inspected"]

_OURS = frozenset({"resourcekit_leases", "alembic_version"})
_RULES = {"CASCADE": "cascade", "SET NULL": "nullify"}


@attrs.frozen
class ColumnFacts:
    """A column, with the kind of its values and what it does otherwise than Python.

    kind: ``None`` for a type that no attribute has.
    """

    stored: StoredColumn
    kind: Kind | None
    difference: Difference | None


@attrs.frozen
class ForeignKeyFacts:
    """A foreign key. to: its columns in the other table; empty for the primary key. on_delete: as ``belongs_to`` has it."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    on_delete: str


@attrs.frozen
class TableFacts:
    """A table. unique: the sets of columns, besides the primary key, of which each is unique."""

    name: str
    columns: tuple[ColumnFacts, ...]
    foreign_keys: tuple[ForeignKeyFacts, ...]
    unique: tuple[tuple[str, ...], ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        keys = [column.stored for column in self.columns if column.stored.key]
        return tuple(column.name for column in sorted(keys, key=lambda column: column.key))


def inspected(url: str, names: Sequence[str] = (), schema: str | None = None) -> list[TableFacts]:
    """Return the facts of tables, sorted by name; of all tables of the database, or of its schema, if no name is given.

    Raises:
        InvalidArgument: A table, or the file of an SQLite database, does not exist.
        Unavailable: The server does not answer, or does not let this user in.
    """
    repo = Repo(url)
    if (path := repo.dialect.missing_file(repo.url)) is not None:  # a connection would make an empty file
        raise InvalidArgument(f"there is no file {path!r}; write the path of the database")
    try:
        there = execute(repo.stale, _names, (schema,), False)
        for name in names:
            if name not in there:
                raise InvalidArgument(f"there is no table {name!r}. {did_you_mean(name, there)}".rstrip())
        chosen = [name for name in there if not names or name in names]
        return [execute(repo.stale, _facts, (name, schema, chosen), False) for name in chosen]
    except Exception as error:
        raised = as_ours(error, repo.dialect)
    finally:
        repo.engine.dispose()
    raise raised  # outside of the except block: the error of the driver may show values


def _names(connection: Connection, schema: str | None) -> list[str]:
    return sorted({*sa.inspect(connection.sa_connection).get_table_names(schema=schema)} - _OURS)


def _facts(connection: Connection, name: str, schema: str | None, chosen: Sequence[str]) -> TableFacts:
    dialect, table = connection.dialect, sa.Table(name, sa.MetaData(), schema=schema)
    columns = []
    for stored in dialect.described(connection, table):
        kind = dialect.kind_of(stored)
        columns.append(ColumnFacts(stored, kind, None if kind is None else dialect.difference(kind, stored)))
    order = {column.stored.name: place for place, column in enumerate(columns)}
    key = frozenset(column.stored.name for column in columns if column.stored.key)
    unique = [
        tuple(sorted(each, key=order.__getitem__)) for each in dialect.unique_sets(connection, table) if each and each != key
    ]
    return TableFacts(name, tuple(columns), tuple(_foreign_keys(connection, table, chosen)), tuple(sorted(unique)))


def _foreign_keys(connection: Connection, table: sa.Table, chosen: Sequence[str]) -> Iterator[ForeignKeyFacts]:
    """Yield the foreign keys towards the chosen tables."""
    found: dict[object, list[Sequence[Any]]] = {}
    for key, *part in connection.dialect.foreign_keys(connection, table):
        found.setdefault(key, []).append(part)
    for parts in found.values():
        _, is_here, other, _, rule = parts[0]
        if is_here and other in chosen:
            to = tuple(part[3] for part in parts if part[3] is not None)
            yield ForeignKeyFacts(tuple(part[0] for part in parts), other, to, _RULES.get(rule, "restrict"))
