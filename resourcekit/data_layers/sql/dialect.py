"""The room of a dialect: everything in which databases differ, as one small class each. It knows no resource.

The rest of this folder is written once, against this class; adding a database means adding one file like ``sqlite``.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.sql.columns import Form, encode_moment
from resourcekit.flow.clock import utc_now

__all__ = ["Element", "Room", "Trouble", "TroubleKind", "Wire"]

Element = sa.ColumnElement[Any]


class Wire(Protocol):
    """What a room needs of a connection; ``link.Link`` is one."""

    dbapi: Any
    raw: Any
    gauge: Any
    sleep: Any
    is_guest: bool

    def allow(self, seconds: float) -> None:
        """Bound the next statements by a time from now."""

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return its rows."""
        ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement and return the count of rows that it touched."""
        ...


class TroubleKind(enum.Enum):
    """What a driver's error means to us."""

    BUSY = "others hold the lock, and nothing was done"
    INTERRUPTED = "stopped by its deadline"
    UNIQUE = "a unique value is taken"
    NOT_NULL = "a value is missing"
    UNSTORABLE = "a value does not fit its column"
    NO_STORAGE = "a table or a column is missing"
    LOST = "the answer is unknown"
    DOWN = "the database cannot serve"


@attrs.frozen
class Trouble:
    """A driver's error, read. columns: of the constraint that was hit. hint: the next step, without any value."""

    kind: TroubleKind
    columns: tuple[str, ...] = ()
    hint: str = ""


class Room(ABC):
    """What one database does its own way."""

    name: str
    """SQLAlchemy's name of the dialect."""

    drivers: tuple[str, str]
    """Driver names for a sync and for an async engine, as they stand in a URL."""

    talkative: tuple[str, ...] = ()
    """Loggers of drivers that write the values of statements into their lines."""

    errors: tuple[type[Exception], ...]
    """What the drivers raise."""

    greatest: str
    """Name of the function that returns the largest of its arguments."""

    @abstractmethod
    def column_type(self, form: Form, *, keyed: bool, length: int | None) -> sa.types.TypeEngine[Any]:
        """Return the column type for a form. keyed: the column is part of a key or an index; length: in code points."""

    @abstractmethod
    def table_options(self) -> dict[str, Any]:
        """Return keyword arguments for ``sa.Table``."""

    @abstractmethod
    def index_options(self, where: Element) -> dict[str, Any]:
        """Return keyword arguments for an ``sa.Index`` over a part of a table; none where that cannot be had."""

    @abstractmethod
    def like(self, text: Element, pattern: Element) -> Element:
        """Return a case-sensitive match with a pattern that went through ``pattern``."""

    @abstractmethod
    def pattern(self, pattern: str) -> str:
        r"""Turn a pattern of ours (``%``, ``_``, ``\``) into one for ``like``."""

    @abstractmethod
    def order(self, element: Element, *, descending: bool) -> sa.UnaryExpression[Any]:
        """Return a sort key for which NULL is smaller than every value."""

    @abstractmethod
    def insert(self, table: sa.Table) -> Any:
        """Return an insert that can meet conflicts: with ``excluded``, ``on_conflict_do_update`` and ``..._nothing``."""

    @abstractmethod
    def mark_update(self, where: Element | None) -> Element | None:
        """Return the condition of a conflict's update, changed so that ``was_update`` can tell afterwards."""

    @abstractmethod
    def was_update(self, link: Wire) -> bool:
        """Say whether the upsert that returned a row just now found one there; asked once after each."""

    @abstractmethod
    def open(self, link: Wire, patience: float) -> None:
        """Prepare a fresh connection; may take ``patience`` seconds."""

    @abstractmethod
    def allow(self, link: Wire, seconds: float) -> None:
        """Bound the next statements of a connection by a time from now."""

    @abstractmethod
    def begin(self, link: Wire) -> None:
        """Begin a transaction that will write."""

    @abstractmethod
    def is_open(self, link: Wire) -> bool:
        """Say whether a transaction is still open on the connection: some errors end it."""

    @abstractmethod
    def interrupt(self, link: Wire) -> None:
        """Stop a running statement from another thread."""

    @abstractmethod
    def columns(self, link: Wire, table: str) -> dict[str, bool]:
        """Return the columns of a table by name, and whether each is part of its key; nothing where there is no table."""

    def common_time(self, link: Wire) -> tuple[str, int]:
        """Return a clock that all users of the database share, and its microseconds: here the wall clock, which has no name.

        Leases are counted by it. A clock of another name was set to something else, so that what it counted is over.
        """
        del link
        return "", encode_moment(utc_now())

    def indexes(self, link: Wire, table: str) -> frozenset[str] | None:
        """Return the names of a table's indexes; ``None`` where that cannot be told."""
        del link, table
        return None

    def foreign_orders(self, link: Wire, table: str) -> dict[str, str]:
        """Return the columns of keys and indexes that compare text otherwise than by code point, with their collation."""
        del link, table
        return {}

    @abstractmethod
    def unsafe_settings(self, link: Wire) -> list[tuple[str, str, str]]:
        """Return settings that may lose data or stall: what, why and the cure of each."""

    @abstractmethod
    def unhurried(self, link: Wire) -> AbstractContextManager[None]:
        """Return a block whose commits need not outlive a power cut: what is lost of them will be done again."""

    @abstractmethod
    def tidy(self, link: Wire) -> None:
        """Do what a sweep owes the database between two batches, without making anybody wait."""

    @abstractmethod
    def explain(self, error: Exception, table: sa.Table | None) -> Trouble:
        """Say what a driver's error means; ``table`` is the one it was about."""
