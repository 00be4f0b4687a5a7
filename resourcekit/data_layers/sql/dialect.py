"""The room of a dialect: everything in which databases differ, as one small class each. It knows no resource.

The rest of this folder is written once, against this class; adding a database means adding one room like ``sqlite``.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import attrs
import sqlalchemy as sa
from sqlalchemy.engine import URL

from resourcekit.data_layers.sql.columns import Codec, Form
from resourcekit.data_layers.sql.trouble import Trouble, TroubleKind
from resourcekit.flow.result import Outcome

__all__ = ["Conflict", "CursorReader", "Element", "Place", "Reader", "Room", "Wire"]

Element = sa.ColumnElement[Any]


class Wire(Protocol):
    """What a room needs of a connection; ``link.Link`` is one."""

    dbapi: Any
    raw: Any
    gauge: Any
    sleep: Any
    is_guest: bool
    prefix: str
    room: Any

    def allow(self, seconds: float) -> None:
        """Bound the next statements by a time from now."""

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return its rows."""
        ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return the count of rows that it touched."""
        ...


@attrs.frozen
class Place:
    """Where a column stands. unique: in the primary key or in an identity; indexed: in any of these, or in an index.

    length: the most code points (of text) or bytes that its values may have; ``None`` where nothing says.
    """

    form: Form
    unique: bool = False
    indexed: bool = False
    length: int | None = None


@attrs.frozen(eq=False)
class Conflict:
    """What an insert does where a row with the same ``target`` is there: nothing where ``set`` is ``None``."""

    target: tuple[str, ...]
    set: Mapping[str, Any] | None = None
    where: Element | None = None


class Reader(Protocol):
    """The rows of one statement, a page at a time."""

    def page(self, rows: int) -> list[Any]:
        """Return the next rows; none at the end."""
        ...

    def close(self, *, done: bool) -> None:
        """Let go of what the database holds for it. done: all rows were taken."""


class CursorReader:
    """Rows from a driver's cursor that takes them from the database as they are asked for."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def page(self, rows: int) -> list[Any]:
        """See Reader."""
        return list(self._cursor.fetchmany(rows))

    def close(self, *, done: bool) -> None:
        """See Reader."""
        self._cursor.close()


class Room(ABC):
    """What one database does its own way."""

    name: str
    """What it is called in URLs, and in texts."""

    also: tuple[str, ...] = ()
    """Other names that it has in URLs."""

    drivers: tuple[str, str]
    """Driver names for a sync and for an async engine, as they stand in a URL."""

    packages: tuple[str, ...] = ()
    """Modules that must be installed, and the extra of resourcekit that brings them."""

    extra: str = ""

    talkative: tuple[str, ...] = ()
    """Loggers of drivers that write the values of statements into their lines."""

    greatest: str
    """Name of the function that returns the largest of its arguments."""

    is_server: bool = True
    """Connections serve any thread, and are looked at before they are used; writers need not wait in line here."""

    spoils: bool = False
    """An error takes the whole transaction along, unless a savepoint stands before it."""

    sums_exactly: bool = True
    """SUM of 64-bit numbers may be larger than 64 bits."""

    returns_updates: bool = True
    """UPDATE has RETURNING."""

    sweeps_pages: bool = False
    """Rows lie in pages, in no order of any key."""

    arrays: bool = False
    """One parameter may hold many values."""

    last_of_names: str = "\U0010ffff"
    """The last character that names of tables and columns may have."""

    empty_bytes: str = "x''"
    """No bytes, as a literal."""

    # Statements

    @functools.cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the drivers raise."""
        raise NotImplementedError

    @functools.cached_property
    def dialect(self) -> sa.Dialect:
        """What statements are compiled for, with placeholders by position; both drivers take the same text."""
        raise NotImplementedError

    def settle(self, url: URL) -> URL:
        """Return a URL with all that is needed to know the database again. Raises DeclarationError for a wrong one."""
        return url

    def connect_args(self, seconds: float) -> dict[str, Any]:
        """Return what a sync driver is told besides the URL, so that connecting ends."""
        return {}

    def bound_waits(self, raw: Any, seconds: float | None) -> None:  # noqa: B027  # nothing to do, unless a room says otherwise
        """Let a sync driver's fresh connection wait so long for an answer; ``None``: for ever."""

    @abstractmethod
    def column_type(self, place: Place) -> sa.types.TypeEngine[Any]:
        """Return the column type for a place."""

    @abstractmethod
    def table_options(self) -> dict[str, Any]:
        """Return keyword arguments for ``sa.Table``."""

    def places(self, codecs: Mapping[str, Codec], lengths: Mapping[str, int | None], groups: Sequence[Any]) -> dict[str, Place]:
        """Return where each column stands. groups: pairs of fields and whether they are unique together."""
        unique = {field for fields, is_unique in groups if is_unique for field in fields}
        indexed = {field for fields, _ in groups for field in fields}
        return {
            name: Place(codec.form, name in unique, name in indexed, codec.width or lengths[name])
            for name, codec in codecs.items()
        }

    def index_options(self, fields: Sequence[str], places: Mapping[str, Place]) -> dict[str, Any]:
        """Return keyword arguments for an ``sa.Index`` that is not unique."""
        return {}

    def partial_index(self, where: Element) -> dict[str, Any]:
        """Return keyword arguments for an ``sa.Index`` over a part of a table; none where that cannot be had."""
        return {}

    def longest(self, place: Place) -> int | None:
        """Return the most code points or bytes that a column takes, where the database would cut or refuse longer ones."""
        return None

    @abstractmethod
    def like(self, text: Element, pattern: Element) -> Element:
        """Return a case-sensitive match with a pattern that went through ``pattern``."""

    @abstractmethod
    def pattern(self, pattern: str) -> str:
        r"""Turn a pattern of ours (``%``, ``_``, ``\``) into one for ``like``."""

    def concat(self, left: Element, right: Element) -> Element:
        """Return two texts as one."""
        return left.op("||")(right)

    def as_number(self, test: Element) -> Element:
        """Return a test that is never NULL as 0 or 1."""
        return sa.case((test, sa.literal_column("1")), else_=sa.literal_column("0"))

    def order(self, element: Element, *, descending: bool, nullable: bool) -> sa.UnaryExpression[Any]:
        """Return a sort key for which NULL is smaller than every value."""
        return element.desc() if descending else element.asc()

    def beyond(self, keys: Sequence[sa.Column[Any]], bounds: Sequence[Element]) -> Element:
        """Return "comes after these values in the order of the key"."""
        return keys[0] > bounds[0] if len(keys) == 1 else sa.tuple_(*keys) > sa.tuple_(*bounds)

    @abstractmethod
    def insert(self, table: sa.Table, values: Mapping[str, Element], *, meets: bool) -> Any:
        """Return an insert of one row. meets: it is told what to do in a conflict."""

    @abstractmethod
    def incoming(self, insert: Any) -> Any:
        """Return the columns of the row that met a conflict."""

    @abstractmethod
    def on_conflict(self, insert: Any, conflict: Conflict) -> Any:
        """Return the insert with what it does in a conflict."""

    def mark(self, conflict: Conflict) -> Element | None:
        """Return what the statement must return last for ``outcome`` to know what happened, if anything."""
        return None

    @abstractmethod
    def outcome(self, link: Wire, table: sa.Table, count: int, row: Any) -> Outcome | tuple[str, ...]:
        """Say what the insert that ran just now did, asked once after each; or which unique columns were in its way.

        row: what it returned, ``None`` where it returned nothing; with the mark at its end, where there is one.
        """

    sends_many: bool = False
    """``send_many`` sends upserts of many rows in one go."""

    def send_many(self, link: Wire, sql: str, rows: Sequence[Sequence[Any]], *, returns: bool) -> list[tuple[int, list[Any]]]:
        """Run a statement for each row without waiting in between; return the count, and the rows, that each one gave."""
        raise NotImplementedError

    @abstractmethod
    def read(self, link: Wire, sql: str, values: Sequence[Any], *, alone: bool) -> Reader:
        """Run a query whose rows are taken a page at a time. alone: nothing else uses the connection meanwhile."""

    # Connections

    def raw(self, fairy: Any) -> Any:
        """Return the driver's own connection below SQLAlchemy's adapter of an async driver."""
        return fairy.driver_connection

    @abstractmethod
    def open(self, link: Wire, patience: float) -> None:
        """Prepare a fresh connection; may take ``patience`` seconds."""

    def leave(self, link: Wire) -> None:  # noqa: B027  # nothing to do, unless a room says otherwise
        """Give a connection of the user's own back as it was before ``open``."""

    @abstractmethod
    def commits_alone(self, link: Wire) -> bool:
        """Say whether a connection of the user's own commits each statement by itself."""

    @abstractmethod
    def looks_back(self, link: Wire) -> bool:
        """Say whether the transaction of a user's own connection may see the rows of one moment, whatever others commit."""

    @abstractmethod
    def allow(self, link: Wire, seconds: float, known: float) -> float:
        """Bound the next statements on the server's side too; returns the bound that is set now. known: the one before."""

    unsure_at_commit: frozenset[TroubleKind] = frozenset({TroubleKind.DOWN, TroubleKind.LOST, TroubleKind.SILENT})
    """What a COMMIT may be answered with, or not be, though it was made."""

    @abstractmethod
    def begin(self, link: Wire) -> None:
        """Begin a transaction that will write."""

    def began_by_itself(self, link: Wire) -> bool:
        """Say whether the driver begins a transaction of the user's own connection at its first statement."""
        return True

    @abstractmethod
    def is_open(self, link: Wire) -> bool:
        """Say whether a transaction is still open on the connection, and can be ended by a statement."""

    @abstractmethod
    def is_broken(self, link: Wire) -> bool:
        """Say whether nothing more can be said on the connection."""

    def is_fresh(self, link: Wire) -> bool:
        """Say whether a connection that nobody used for a while can still be used; asks nobody."""
        return True

    def is_gone(self, link: Wire) -> bool:
        """Say whether the server has left in the middle of a transaction, as far as is known here; asks nobody."""
        return False

    def failed(self, link: Wire, error: Exception) -> None:  # noqa: B027  # nothing to do, unless a room says otherwise
        """Take note of what an error did to the connection."""

    def is_spoilt(self, link: Wire) -> bool:
        """Say whether the open transaction can only be rolled back."""
        return False

    def interrupt(self, link: Wire) -> None:  # noqa: B027  # nothing to do, unless a room says otherwise
        """Stop a running statement from another thread."""

    # Storage

    @abstractmethod
    def columns(self, link: Wire, table: sa.Table) -> dict[str, bool]:
        """Return the columns of a table by name, and whether each is part of its key; nothing where there is no table."""

    @abstractmethod
    def types(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """Return the type of each column of a table, as ``type_name`` writes it."""

    def type_name(self, column: sa.Column[Any]) -> str:
        """Return the type that a column is declared with, in lower case, without how it compares."""
        return column.type.compile(dialect=self.dialect).lower().partition(" collate ")[0].partition(" character set ")[0]

    @abstractmethod
    def indexes(self, link: Wire, table: sa.Table) -> set[str]:
        """Return the names of a table's indexes."""

    @abstractmethod
    def foreign_orders(self, link: Wire, table: sa.Table) -> dict[str, str]:
        """Return the columns of keys and indexes that compare text otherwise than by code point, with their collation."""

    def alone(self, link: Wire) -> AbstractContextManager[None]:
        """Return a block, inside of the transaction that makes storage, that only one process at a time enters."""
        return contextlib.nullcontext()

    definitions_commit: bool = False
    """CREATE TABLE commits the open transaction."""

    @abstractmethod
    def unsafe_settings(self, link: Wire, table: sa.Table) -> list[tuple[str, str, str]]:
        """Return settings that may lose data or stall: what, why and the cure of each."""

    def unhurried(self, link: Wire) -> AbstractContextManager[None]:
        """Return a block whose commits need not outlive a power cut: what is lost of them will be done again."""
        return contextlib.nullcontext()

    skips_locked: bool = False
    """A sweep leaves out rows that others hold; the next one takes them. Else it waits for them."""

    def batch(self, link: Wire, *, waits: bool) -> AbstractContextManager[None]:
        """Return a block around what a sweep does in one transaction, inside of it; no commit of it need outlive a power cut.

        waits: for rows that others hold as long as the call may take; else for a moment, and then it fails.
        """
        return contextlib.nullcontext()

    def delete_unlocked(self, table: sa.Table, found: sa.Select[Any]) -> Any:
        """Return a DELETE of those of the rows, found by their keys, that nobody else holds."""
        raise NotImplementedError

    def tidy(self, link: Wire, took: float) -> tuple[float, bool]:
        """Do what a sweep owes the database between two batches, without making anybody wait.

        Returns for how many seconds the sweep should then leave the database alone, and whether it should tidy once more
        before it goes on. took: seconds of the batch before.
        """
        return 0.0, False

    def clock_name(self) -> str:
        """Return the name of a monotonic clock that all who share the database share, for leases; empty where there is none."""
        return ""

    def clock(self) -> str:
        """Return a query for the microseconds since 1970 by the server's clock; empty where that is this host's."""
        return ""

    @abstractmethod
    def explain(self, error: Exception, table: sa.Table | None) -> Trouble:
        """Say what a driver's error means; ``table`` is the one it was about."""
