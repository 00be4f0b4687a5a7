"""Converts tables from the columns before native columns: UUIDs as bytes, datetimes as whole numbers, decimals as sort keys.

A maintainer opens it to change the migration that ``Repo.convert_old_columns`` runs. The forms that it reads never change again.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from resourcekit.data_layers.sql.dialects.columns import decode_moment
from resourcekit.data_layers.sql.maintenance.counters import counted, go_on_after, last_counted
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.errors import InvalidArgument
from resourcekit.signals import require_no_signal

__all__ = ["convert_old_columns"]

_ROWS = 1_000
"""Rows that are read and written at once."""

_OFFSET = 5_000_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def convert_old_columns(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Convert all tables of the metadata that exist. Nothing is dropped before all rows are converted.

    Raise InvalidArgument for a table in partitions, for a value that does not fit its new column, and for a copy that an earlier run
    left: it may have the only rows, if the database commits each step by itself.
    """
    for table in metadata.sorted_tables:
        if table.dialect_options["postgresql"]["partition_by"] is not None and _exists(connection, table):
            raise InvalidArgument(f"{table.name} is in partitions; create a new table, and copy the records by the application")
        if _exists(connection, (copy := _copy_of(table))):
            raise InvalidArgument(
                f"there is a table {copy.name}, of a conversion that was broken off; if {table.name} has all its rows, drop {copy.name}, "
                f"else restore the backup"
            )
    there = {table: _kept(connection, table) for table in metadata.sorted_tables if _exists(connection, table)}
    copies: dict[sa.Table, sa.Table] = {}
    try:
        for table, kept in there.items():
            copies[table] = _copy_of(table)
            _fill(connection, table, kept, copies[table])
    except BaseException:
        for copy in copies.values():
            with suppress(SQLAlchemyError):  # a transaction that is aborted drops it by its rollback
                copy.drop(connection, checkfirst=True)
        raise
    counters = {table: _counter(connection, table, kept) for table, kept in there.items()}
    for table in reversed(list(there)):
        table.drop(connection)
    for table, kept in there.items():
        table.create(connection)
        names = _names(connection, kept)
        into, source = _full(connection, table), _full(connection, copies[table])
        connection.exec_driver_sql(f"INSERT INTO {into} ({names}) SELECT {names} FROM {source}")  # noqa: S608  # quoted names
        if (counter := counters[table]) is not None:
            go_on_after(connection, table, *counter)
    for copy in copies.values():
        copy.drop(connection)


def _counter(connection: sa.Connection, table: sa.Table, kept: Sequence[sa.Column[Any]]) -> tuple[sa.Column[Any], int] | None:
    """Return the key of the old table that the database counts, and the last one that it gave."""
    column = counted(table)
    return (
        None if column is None or not any(each is column for each in kept) else (column, last_counted(connection, table, column))
    )


def _exists(connection: sa.Connection, table: sa.Table) -> bool:
    return sa.inspect(connection).has_table(table.name, schema=table.schema)


def _kept(connection: sa.Connection, table: sa.Table) -> list[sa.Column[Any]]:
    """Return the columns whose values are in the old table; the database fills the others: computed ones, and new ones.

    Raise InvalidArgument for a new column that it cannot fill.
    """
    old = {column["name"] for column in sa.inspect(connection).get_columns(table.name, schema=table.schema)}
    for column in table.columns:
        is_filled = column.computed is not None or column.identity is not None or column.server_default is not None
        if column.name not in old and not column.nullable and not is_filled:
            what = f"the column {column.name} of {table.name} is not in the table, and must have a value"
            raise InvalidArgument(f"{what}: add it with its values first, or let it be None, or give it a database_default")
    return [column for column in table.columns if column.name in old and column.computed is None]


def _copy_of(table: sa.Table) -> sa.Table:
    """Return a table for the converted rows, without constraints."""
    stored = [column for column in table.columns if column.computed is None]
    columns = [sa.Column(column.name, column.type, quote=True, key=column.key) for column in stored]
    return sa.Table(f"{table.name}__new", sa.MetaData(), *columns, schema=table.schema)


def _fill(connection: sa.Connection, table: sa.Table, kept: Sequence[sa.Column[Any]], copy: sa.Table) -> None:
    """Create the copy of a table, and write the converted rows to it."""
    copy.create(connection)
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    names = _names(connection, kept)
    marks = ", ".join([mark] * len(kept))
    insert = f"INSERT INTO {_full(connection, copy)} ({names}) VALUES ({marks})"  # noqa: S608  # quoted names
    rows = connection.exec_driver_sql(f"SELECT {names} FROM {_full(connection, table)}").fetchall()  # noqa: S608  # quoted names
    converters = [_converter(column) for column in kept]
    for start in range(0, len(rows), _ROWS):
        made = [tuple(_converted(table, kept, converters, row)) for row in rows[start : start + _ROWS]]
        connection.exec_driver_sql(insert, made)


def _names(connection: sa.Connection, columns: Iterable[sa.Column[Any]]) -> str:
    quote = connection.dialect.identifier_preparer.quote_identifier
    return ", ".join(quote(column.name) for column in columns)


def _full(connection: sa.Connection, table: sa.Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)


def _converted(
    table: sa.Table, kept: Sequence[sa.Column[Any]], converters: Iterable[Callable[[Any], Any]], row: Any
) -> Iterator[Any]:
    for column, convert, stored in zip(kept, converters, row, strict=True):
        problem = ""
        try:
            yield None if stored is None else convert(stored)
        except Unstorable as error:
            problem = str(error)
        except Exception as error:  # its text may contain the value
            require_no_signal(error)
            problem = "is not in the form of the old columns; was this table converted before?"
        if problem:
            raise InvalidArgument(f"the column {column.name} of {table.name} {problem}; nothing was changed")


def _converter(column: sa.Column[Any]) -> Callable[[Any], Any]:
    """Return the function from the old stored form of a value to the new one."""
    codec, read = column.info["codec"], _reader(column.info["type"])

    def convert(stored: Any) -> Any:
        try:
            return codec.encode(read(stored))
        except NoneGiven:
            return None

    return convert


def _reader(of: ValueType) -> Callable[[Any], Any]:
    """Return the function from the old stored form to the value."""
    if of.kind is Kind.ENUM:
        return lambda name: of.python.__members__[name]
    if of.kind is Kind.LITERAL:
        return of.python  # type: ignore[no-any-return]  # str, int or bool
    if of.kind in (Kind.LIST, Kind.MAP, Kind.ANY):
        return lambda text: _from_json(json.loads(text), of)
    return _READERS.get(of.kind, lambda stored: stored)


def _from_json(plain: Any, of: ValueType | None) -> Any:
    """Return a value of old JSON, in which members of enums have their names."""
    if plain is None or of is None:
        return plain
    if of.kind is Kind.LIST:
        return [_from_json(each, of.item) for each in plain]
    if of.kind is Kind.MAP:
        return {key: _from_json(each, of.item) for key, each in plain.items()}
    if of.kind is Kind.ENUM:
        return of.python.__members__[plain]
    if of.kind is Kind.DURATION:
        return dt.timedelta(microseconds=plain)
    return _OF_JSON.get(of.kind, lambda value: value)(plain)


def _decimal(stored: str) -> Decimal:
    """Return the number of a sort key: a class, the exponent, the digits, and a space for each zero after them."""
    shown = stored.rstrip(" ")
    head, key, zeros = shown[0], shown[1:], len(stored) - len(shown)
    if head == "1" and not key:
        return Decimal((0, (0,), -zeros))
    if head == "0":
        key = key[:-1].translate(_COMPLEMENT)
    digits = key[7:]
    exponent = int(key[:7]) - _OFFSET - len(digits)
    scale = min(exponent, 0) - zeros
    return Decimal((int(head == "0"), tuple(map(int, digits + "0" * (exponent - scale))), scale))


def _bytes(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.BOOLEAN: bool,
    Kind.DATETIME: decode_moment,
    Kind.DURATION: lambda stored: dt.timedelta(microseconds=stored),
    Kind.DATE: dt.date.fromisoformat,
    Kind.TIME: dt.time.fromisoformat,
    Kind.DECIMAL: _decimal,
    Kind.UUID: lambda stored: uuid.UUID(bytes=bytes(stored)),
    Kind.BYTES: bytes,
}
_OF_JSON: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DECIMAL: Decimal,
    Kind.DATETIME: dt.datetime.fromisoformat,
    Kind.DATE: dt.date.fromisoformat,
    Kind.TIME: dt.time.fromisoformat,
    Kind.UUID: uuid.UUID,
    Kind.BYTES: _bytes,
}
