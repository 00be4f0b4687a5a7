"""The dialect base class: SQL text and types of a database.

A maintainer opens it to add a database, or to change what differs in statements. Everything in which SQL databases differ is in four
modules: ``features`` (flags), ``base`` (SQL text, types), ``driver`` (connections, time limits, errors) and ``maintenance`` (storage,
sweeps, unsafe settings). To add a database, write a subclass like the one in ``sqlite``.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.engine import URL

from resourcekit.data_layers.sql.dialects.columns import Codec, Form
from resourcekit.data_layers.sql.dialects.driver import ConnectionLike, Driver, Reader
from resourcekit.data_layers.sql.dialects.features import Features
from resourcekit.data_layers.sql.dialects.functions import DateFunctions, Functions, JSONFunctions
from resourcekit.data_layers.sql.dialects.maintenance import Maintenance
from resourcekit.data_layers.sql.dialects.many_rows import ManyRows
from resourcekit.data_layers.sql.dialects.text_functions import TextFunctions
from resourcekit.results import Outcome

__all__ = ["Conflict", "ConnectionLike", "Dialect", "Element", "Place"]

Element = sa.ColumnElement[Any]


@attrs.frozen
class Place:
    """How a column is used and which values it holds.

    form: the form in which values are stored.
    scale: the digits after the point of decimals; ``None`` if they are not fixed.
    unique: the column is part of the primary key or of an identity.
    indexed: the column is part of the primary key, an identity or an index.
    length: the most code points (of text) or bytes that its values may have; ``None`` if no limit is declared.
    """

    form: Form
    unique: bool = False
    indexed: bool = False
    length: int | None = None
    scale: int | None = None


@attrs.frozen(eq=False)
class Conflict:
    """The behaviour of an insert if a row with the same ``target`` exists: apply ``set``, if ``where`` holds. ``set=None``: nothing."""

    target: tuple[str, ...]
    set: Mapping[str, Any] | None = None
    where: Element | None = None


class Dialect(Features, DateFunctions, Functions, TextFunctions, JSONFunctions, Driver, Maintenance):
    """One database: SQL text and types here; its flags, its drivers and its maintenance are inherited."""

    def with_stale_reads(self) -> Dialect:
        """Return a copy of this dialect for resources that accept stale reads."""
        dialect = copy.copy(self)
        dialect.reads_stale = True
        return dialect

    def settle(self, url: URL) -> URL:
        """Return the URL completed with everything that identifies the database. Raise DeclarationError for a wrong URL."""
        return url

    def missing_file(self, url: URL) -> str | None:
        """Return the path of a database that is a file and does not exist: a connection would make it."""
        return None

    @abstractmethod
    def place(self, url: URL, schema: str | None, table: str) -> Hashable:
        """Return a value that is equal for URLs, schemas and tables that lead to one place, judged by their texts and by files."""

    def check_parameters(self, url: URL) -> None:  # dialects override it if they need it
        """Raise DeclarationError if a settled URL has a parameter that an engine cannot be created with."""

    def async_url(self, url: URL) -> URL:
        """Return the URL of the async engine."""
        return url.set(drivername=self.drivers[1])

    @abstractmethod
    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        """Return the SQL type of a column."""

    @abstractmethod
    def table_options(self, *, counts: bool) -> dict[str, Any]:
        """Return keyword arguments for ``sa.Table``. counts: the table has a key that the database counts."""

    def places(self, codecs: Mapping[str, Codec], lengths: Mapping[str, int | None], groups: Sequence[Any]) -> dict[str, Place]:
        """Return the Place of each column. groups: pairs of fields and whether they are unique together."""
        unique = {field for fields, is_unique in groups if is_unique for field in fields}
        indexed = {field for fields, _ in groups for field in fields}
        return {
            name: Place(codec.form, name in unique, name in indexed, codec.width or lengths[name], codec.scale)
            for name, codec in codecs.items()
        }

    def index_options(self, fields: Sequence[str], places: Mapping[str, Place]) -> dict[str, Any]:
        """Return keyword arguments for an ``sa.Index`` that is not unique."""
        return {}

    def partial_index(self, where: Element) -> dict[str, Any]:
        """Return keyword arguments for an ``sa.Index`` over a part of a table; empty if the database has no partial indexes."""
        return {}

    def longest(self, place: Place) -> int | None:
        """Return the most code points or bytes that a column accepts, if the database cuts or refuses longer values."""
        return None

    @abstractmethod
    def like(self, text: Element, pattern: Element) -> Element:
        """Return a case-sensitive match against a pattern that was translated by ``pattern``."""

    @abstractmethod
    def pattern(self, pattern: str) -> str:
        r"""Translate a pattern of resourcekit (``%``, ``_``, ``\``) to a pattern for ``like``."""

    bounds_of: tuple[Callable[[str], str | None], Callable[[str], str | None]] | None = None
    """Two functions from a pattern of resourcekit to the bounds of the text it matches: the inclusive lower and the exclusive
    upper bound, or ``None`` for no bound. Set if an index serves a match only if the statement also contains its bounds."""

    def foreign(self, codec: Codec) -> Codec:
        """Return the codec of a column in a table of another program."""
        return codec

    def sends_whole(self, codec: Codec) -> bool:
        """Return whether one parameter can hold a collection of values with this codec."""
        del codec
        return False

    def whole(self, items: list[Any]) -> Any:
        """Return the stored forms of a collection as one parameter."""
        return items

    def among(self, column: Element, key: str) -> Element:
        """Return the test that a column has one of the values of a parameter, which holds a collection."""
        raise NotImplementedError

    def concat(self, left: Element, right: Element) -> Element:
        """Return the concatenation of two texts."""
        return left.op("||")(right)

    def as_number(self, test: Element) -> Element:
        """Return a test that is never NULL as the number 0 or 1."""
        return sa.case((test, sa.literal_column("1")), else_=sa.literal_column("0"))

    def as_float(self, number: Element) -> Element:
        """Return a number as a float of 64 bits."""
        return sa.cast(number, sa.Double())

    def order(self, element: Element, *, descending: bool, nullable: bool) -> sa.UnaryExpression[Any]:
        """Return a sort key that sorts NULL before every value."""
        return element.desc() if descending else element.asc()

    def beyond(self, keys: Sequence[sa.Column[Any]], bounds: Sequence[Element]) -> Element:
        """Return the condition that a row comes after these values in key order."""
        return keys[0] > bounds[0] if len(keys) == 1 else sa.tuple_(*keys) > sa.tuple_(*bounds)

    def unique_members(self, columns: Sequence[tuple[sa.Column[Any], Codec]]) -> list[Element]:
        """Return the columns, or expressions over them, of a unique index."""
        return [column for column, _ in columns]

    @abstractmethod
    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        """Return an insert of one row. meets: the insert will get a conflict clause."""

    @abstractmethod
    def incoming(self, insert: Any) -> Any:
        """Return the columns of the row that an insert could not add because of a conflict."""

    @abstractmethod
    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        """Return the insert with a conflict clause."""

    def returned(self, column: Element) -> Element:
        """Return a column as RETURNING names it."""
        return column

    def mark(self, conflict: Conflict) -> Element | None:
        """Return the expression that an insert must return last, if ``outcome`` needs one to see what happened."""
        return None

    @abstractmethod
    def outcome(self, connection: ConnectionLike, table: sa.Table, count: int, row: Any) -> Outcome | tuple[str, ...]:
        """Return the outcome of the insert that just ran, or the unique columns that it conflicts with. Called once for each.

        row: the returned row, with the mark as its last value if there is one; ``None`` if no row was returned.
        """

    def insert_many(self, connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> None:
        """Insert many rows without a conflict clause in one batch, which fails as a whole."""
        connection.run_many(many.sql, rows)

    def sends_many(self, many: ManyRows) -> bool:
        """Return whether ``send_many`` is faster than a statement for each row."""
        return True

    @abstractmethod
    def send_many(self, connection: ConnectionLike, many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[tuple[int, list[Any]]]:
        """Send many rows in one batch. Return for each the row count and the returned rows, which ``outcome`` understands.

        Raise KeysAmbiguous, after which the transaction is rolled back, if the rows have to be sent one by one.
        """

    @abstractmethod
    def read(self, connection: ConnectionLike, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        """Run a query whose rows are fetched page by page. alone: the connection is not used for anything else meanwhile."""

    def type_name(self, column: sa.Column[Any]) -> str:
        """Return the declared type of a column in lower case, without its collation."""
        return column.type.compile(dialect=self.sa_dialect).lower().partition(" collate ")[0].partition(" character set ")[0]
