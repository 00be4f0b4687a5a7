"""Storage and maintenance of a database: existing tables, unsafe settings, sweeps, clocks of leases.

A maintainer opens it when a database creates tables, sweeps or keeps time in its own way.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.driver import ConnectionLike
from resourcekit.data_layers.sql.dialects.existing import Difference, StoredColumn
from resourcekit.declarations.value_type import Kind

__all__ = ["Maintenance"]


class Maintenance(ABC):
    """The work on one database besides the statements of actions: storage, sweeps and unsafe settings."""

    @abstractmethod
    def columns(self, connection: ConnectionLike, table: sa.Table) -> dict[str, bool]:
        """Return the columns of a table by name, with whether each is part of its key; empty if the table does not exist."""

    @abstractmethod
    def types(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        """Return the type of each column of a table, in the form that ``type_name`` returns."""

    @abstractmethod
    def indexes(self, connection: ConnectionLike, table: sa.Table) -> set[str]:
        """Return the names of a table's indexes."""

    @abstractmethod
    def foreign_keys(self, connection: ConnectionLike, table: sa.Table) -> Sequence[Sequence[Any]]:
        """Return the columns of a table's foreign keys, in their order.

        Each has the name or number of its key, the column, whether the other table is in the same schema, the other table, its column
        (``None`` for its primary key), and the rule of ON DELETE.
        """

    @abstractmethod
    def foreign_orders(self, connection: ConnectionLike, table: sa.Table) -> dict[str, str]:
        """Return the columns of keys and indexes that do not compare text by code point, with their collation."""

    @abstractmethod
    def described(self, connection: ConnectionLike, table: sa.Table) -> list[StoredColumn]:
        """Return the columns of a table in their order; none if it does not exist."""

    @abstractmethod
    def unique_sets(self, connection: ConnectionLike, table: sa.Table) -> set[frozenset[str]]:
        """Return the sets of columns that a table keeps unique over all rows, the primary key included."""

    @abstractmethod
    def difference(self, kind: Kind, column: StoredColumn) -> Difference | None:
        """Return what a column does otherwise than Python with values of a kind; ``None`` if nothing."""

    @abstractmethod
    def fits(self, kind: Kind, column: StoredColumn) -> bool:
        """Return whether values of a kind can be in a column of its type."""

    @abstractmethod
    def kind_of(self, column: StoredColumn) -> Kind | None:
        """Return the kind of the values of a column by its type; ``None`` for a type that no attribute has."""

    def alone(self, connection: ConnectionLike) -> AbstractContextManager[None]:
        """Return a context manager that only one process at a time enters, inside the transaction that creates storage."""
        return contextlib.nullcontext()

    definitions_commit: bool = False
    """CREATE TABLE commits the open transaction."""

    identity: str = ""
    """Query for the names that the server gives itself, the database and a table; its parameters are schema and name. Empty if
    there is no server."""

    @abstractmethod
    def unsafe_settings(
        self, connection: ConnectionLike, table: sa.Table, *, accepts_stale: bool = False
    ) -> list[tuple[str, str, str]]:
        """Return settings that may lose data or stall, each as problem, reason and cure.

        accepts_stale: a replica is no problem, because the resource opted in to stale reads.
        """

    def relaxed_durability(self, connection: ConnectionLike) -> AbstractContextManager[None]:
        """Return a context manager that relaxes commit durability. Only for work that is safe to repeat, such as a sweep."""
        return contextlib.nullcontext()

    skips_locked: bool = False
    """A sweep skips rows that are locked by others, and the next sweep deletes them. If false, a sweep waits for them."""

    def batch(self, connection: ConnectionLike, *, waits: bool) -> AbstractContextManager[None]:
        """Return a context manager that is entered inside each transaction of a sweep. Its commit need not be durable.

        waits: wait for locked rows until the deadline of the call; otherwise wait a short time only, then fail.
        """
        return contextlib.nullcontext()

    def delete_unlocked(self, table: sa.Table, found: sa.Select[Any]) -> Any:
        """Return a DELETE of those of the found rows, matched by key, that are not locked by others."""
        raise NotImplementedError

    def after_batch(self, connection: ConnectionLike, took: float) -> tuple[float, bool]:
        """Do the maintenance that the database needs between two batches of a sweep, without blocking other sessions.

        Return how many seconds the sweep should then leave the database alone, and whether to call ``after_batch`` once more
        before the next batch. took: duration of the last batch in seconds.
        """
        return 0.0, False

    def clock_name(self) -> str:
        """Return the name of a monotonic clock that all users of the database share, for leases; empty if there is none."""
        return ""

    clock_query: str = ""
    """Query for the server's clock in microseconds since 1970; empty if it is the clock of this host."""
