"""The names and flags of a database: one question each, which the rest of the SQL data layer asks instead of its name.

A maintainer opens it to add a difference between databases that needs no SQL text of its own.
"""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

__all__ = ["Features"]


class Features:
    """Names and flags of one database."""

    name: str
    """Name of the database, in URLs and in messages."""

    also: tuple[str, ...] = ()
    """Other names of the database in URLs."""

    drivers: tuple[str, str]
    """Driver names for a sync and for an async engine, as written in a URL."""

    packages: tuple[str, ...] = ()
    """Modules that must be installed. ``extra`` is the extra of resourcekit that installs them."""

    extra: str = ""

    noisy_loggers: tuple[str, ...] = ()
    """Loggers of drivers that write the values of statements into log lines."""

    greatest: str
    """Name of the function that returns the largest of its arguments."""

    least: str = "least"
    """Name of the function that returns the smallest of its arguments."""

    is_server: bool = True
    """The database is a server. Then any thread may use a connection, connections are checked before use, and writers need no
    queue in this process."""

    aborts_transaction: bool = False
    """An error aborts the whole transaction, unless a savepoint was set before."""

    sums_exactly: bool = True
    """SUM of 64-bit numbers may exceed 64 bits."""

    returns_updates: bool = True
    """UPDATE has RETURNING."""
    at_fork: Any = None
    """A module whose functions are called around a fork of a process that uses the database."""

    derived_sees_outer: bool = True
    """A subquery in FROM may refer to rows of the statement around it."""

    sweeps_pages: bool = False
    """Rows are stored in pages, in no order of a key."""
    arrays: bool = False
    """One parameter may be an array of values."""
    system_columns: frozenset[str] = frozenset()
    """Names of columns that every table of the database has already."""

    last_of_names: str = "\U0010ffff"
    """The largest character that may occur in names of tables and columns."""

    reads_stale: bool = False
    """Reads may be stale: a replica may serve them, and a node need not wait for the others. The user opted in
    (``reads="stale"``)."""

    now_default: str = "CURRENT_TIMESTAMP"
    """SQL text of a default that is the current time, as a column of a datetime has it."""

    computed_not_null: bool = True
    """A computed column may be NOT NULL."""

    orders_by_outer: bool = True
    """The order of a correlated SELECT may use columns of the rows outside."""

    rounds_computed: bool = False
    """A computed whole number above 64 bits becomes a float in a table with a counted key, unless a CHECK refuses it."""

    empty_bytes: str = "x''"
    """Literal for an empty byte string."""

    has_partitions: bool = False
    """Tables can be stored in partitions by expiry."""

    @functools.cached_property
    def sa_dialect(self) -> sa.Dialect:
        """The SQLAlchemy dialect that statements are compiled for, with positional placeholders.

        Both drivers accept the same text.
        """
        raise NotImplementedError
