"""The port: the interface that every store implements.

A maintainer opens it to write a data layer, or to change what actions ask of all data layers. A DataLayer is a declaration. A
DataLayer that is bound to a resource is a Store. The methods of a store that do I/O are async. In a sync call
(``call_context.call_mode``) they must not suspend.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Container, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import attrs

from resourcekit.data_layers.checked_store import CheckedStore
from resourcekit.data_layers.operations import (
    Aggregate,
    Delete,
    DeleteInBatches,
    Insert,
    OnConflict,
    Operation,
    Select,
    UnsupportedExpression,
    Update,
)
from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.extension import Extension
from resourcekit.errors import MissingMethod
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import WriteResult

__all__ = [
    "Aggregate",
    "Capability",
    "DataLayer",
    "Delete",
    "DeleteInBatches",
    "Insert",
    "Lease",
    "OnConflict",
    "Operation",
    "Plan",
    "Reference",
    "Row",
    "Select",
    "Store",
    "TimeToLive",
    "Transaction",
    "UnsupportedExpression",
    "Update",
]


class Transaction(Protocol):
    """An open transaction, or the innermost open savepoint of it."""

    def after_commit(self, function: Callable[[], object]) -> None:
        """Call a function after the outermost transaction commits, but not if that or this savepoint rolls back.

        If the result of the function is awaitable, it is awaited (``data_layers.after_commit``).
        """

    def doom(self) -> None:
        """Make this transaction end in a rollback, even if its block ends without an error."""


class Lease(AbstractAsyncContextManager[bool]):
    """A name that at most one caller in the whole fleet holds. ``async with`` returns whether this caller holds it.

    The lease is released at the end of the block. It expires after its time to live, for example if its holder died.
    """

    until: datetime | None = None
    """When the name is free again, by the clock of the call, for the holder and for all others; ``None`` if unknown."""

    @abstractmethod
    async def keep(self, ttl: timedelta) -> bool:
        """Hold the name for ``ttl`` from now, even after the end of the block. Return whether it was still held."""


S = TypeVar("S")


@attrs.frozen(eq=False)
class Reference(Generic[S]):
    """A foreign key: rows of one store refer to a row of another store of the same group, or of the same store.

    name: resource and name of the relationship, for messages.
    holder, fields: the store of the rows that have the key, and the attributes of the key.
    target, target_fields: the other store, and its primary key or the attributes of an identity, in the order of that.
    on_delete: what a removal of the other row does: ``"restrict"``, ``"cascade"`` or ``"nullify"``. A change of the values to
        which a key refers is always refused.
    """

    name: str
    holder: S
    fields: tuple[str, ...]
    target: S
    target_fields: tuple[str, ...]
    on_delete: str


@attrs.frozen
class TimeToLive:
    """When a store with the capability TTL may remove a record. Extensions declare it: ``state.persist(TimeToLive.KEY, ...)``.

    attribute: the datetime attribute that ends the record's life. A record with ``None`` in it is never removed.
    margin: how much longer the record is kept after that time.
    """

    KEY: ClassVar[str] = "time_to_live"

    attribute: str
    margin: timedelta


Row = dict[str, Any]
"""One record, as stores accept and return it: a dict from attribute name to Python value. The receiver may change it."""


class Capability(enum.Enum):
    """A feature of a store. The set is closed: a store has no optional methods, so callers need not probe for them."""

    FILTER = "filter"
    """Find rows by a condition."""
    SORT = "sort"
    """Return rows in an order."""
    LIMIT = "limit"
    """Return at most a given number of rows."""
    OFFSET = "offset"
    """Skip a given number of rows."""
    AGGREGATE = "aggregate"
    """Compute exists, count, min, max, sum and avg without loading rows."""
    GROUP = "group"
    """Compute figures of groups: a Select with ``figures``."""
    DISTINCT = "distinct"
    """Return the first row, or some rows, for each combination of values: a Select with ``distinct`` or ``each``."""
    RELATED = "related rows"
    """Compute Related nodes over stores of one group, and a Select with ``computed``."""
    FRAGMENT = "fragments"
    """Compute the SQL of ``fragment(...)``, as far as the database knows it."""
    RETURNING = "returning"
    """Return rows as they are after a write, from the same statement."""
    UPSERT = "upsert"
    """Insert a row, or update the existing one, in one step."""
    UPSERT_WHERE = "upsert where"
    """In an upsert, update the existing row only if a condition holds for it."""
    UPDATE_WHERE = "update where"
    """Update all rows for which a condition holds, in one step."""
    DELETE_WHERE = "delete where"
    """Delete all rows for which a condition holds, in one step."""
    CAS = "compare and set"
    """Of several concurrent updates under one condition, only those that found the condition true count a row."""
    ATOMIC_EXPR = "atomic expressions"
    """Compute assignments from the stored row, not from a row that was read before."""
    DELETE_IN_BATCHES = "delete in batches"
    """Delete all matching rows in short transactions, in storage order."""
    TRANSACTION = "transactions"
    """Commit several writes together, or none of them."""
    SAVEPOINT = "savepoints"
    """Roll back a part of a transaction."""
    LOCK = "row locks"
    """Lock the rows that a Select with ``lock`` reads against other writers, until the transaction ends."""
    LEASE = "leases"
    """Hold a name that at most one process holds for a limited time."""
    TTL = "time to live"
    """Remove a row at a given time without a call."""
    TENANT = "tenants"
    """Keep the rows of different tenants apart."""
    REFERENCES = "foreign keys"
    """Keep foreign keys between the rows of stores of one group (``Store.keep_reference``)."""
    FILLED = "columns that the database fills"
    """Fill attributes that an Insert leaves out: generated keys, database defaults, computed columns."""
    CHANGE_FEED = "change feed"
    """Report changes that other processes made."""


class Plan:
    """A compiled operation. Each store has its own subclass. A plan holds no values, and many threads may run it at once."""

    __slots__ = ("operation",)

    def __init__(self, operation: Operation) -> None:
        self.operation = operation


Params = Mapping[str, Any]


class Store(CheckedStore, ABC):
    """A data layer bound to one resource.

    A store raises errors of resourcekit, never those of a driver. Its errors contain no value of a record. Every method that
    waits ends by the deadline of the call (``call_deadline(layer, timeout)``) and then raises Timeout.

    All stores treat values alike. Text is kept exactly and compares by code point. Invalid refuses NUL and lone surrogates before
    a store gets them. Datetimes have a time zone, are kept in UTC with microseconds, and sort up to the year 9999.
    """

    info: ResourceInfo
    capabilities: frozenset[Capability]
    in_process: ClassVar[bool] = False
    """The rows are in the memory of this process, so that two operations cost no more than one."""

    @property
    @abstractmethod
    def group(self) -> Hashable:
        """Return the transaction group. Stores of one group share transactions."""

    @property
    def plain(self) -> Store:
        """Return the store of the data layer itself, if this one converts values for it."""
        return self

    @property
    def converted(self) -> Container[str]:
        """Return the attributes that the data layer has in another form or compares in another way."""
        return ()

    @property
    def place(self) -> Hashable:
        """Return where the rows are. Two resources must not share a place. ``None``: this store's place is its own."""
        return None

    @property
    def written_place(self) -> Hashable:
        """Return the place as the declaration writes it. If a class is declared again under its name, the value is the same."""
        return self.place

    async def identity(self) -> Hashable:
        """Return what the server calls the place, once storage was created: equal for two URLs of one place; ``None``: unknown."""
        return None

    @abstractmethod
    def compile(self, operation: Operation) -> Plan:
        """Compile an operation to a plan, without I/O. Expressions contain Param nodes in place of values.

        Raises:
            UnsupportedExpression: The store cannot compute an expression itself.
        """

    @abstractmethod
    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """Return the rows of a Select."""

    @abstractmethod
    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """Yield the rows of a Select on demand, with constant memory, in the transaction that is open when this is called."""

    @abstractmethod
    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        """Insert rows in one transaction.

        A UniqueViolation or NotNull is not raised, but becomes a failure of its row. The other rows are written.
        """

    @abstractmethod
    async def update(self, plan: Plan, params: Params) -> WriteResult:
        """Run an Update atomically. The result counts the rows that matched.

        Raises:
            UniqueViolation: A row would share a key or an identity. Nothing is written.
            NotNull: A required attribute would be ``None``. Nothing is written.
        """

    @abstractmethod
    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        """Run a Delete atomically. The result counts the rows that matched."""

    @abstractmethod
    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Delete all rows that match, and yield the count of each batch, even if it is zero.

        Each batch is a transaction of its own. Batches follow storage order, and no row is loaded. Each delete contains the
        condition. The caller may stop between two batches, and several calls may run at once. Not allowed inside a transaction.

        Args:
            plan: A compiled DeleteInBatches.
            params: The values of its Param nodes.
            pace: The time that one batch should take.
            size: The number of rows in storage order that one batch covers; replaces ``pace``.
        """

    @abstractmethod
    async def aggregate(self, plan: Plan, params: Params) -> Any:
        """Return the value of an Aggregate. Min, max, sum and avg of no rows are ``None``."""

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction, or a savepoint inside an open one. Calls to stores of this group inside the block join it.

        A call in a task or thread that was started inside the block, and so has a copy of the context, joins the transaction or
        is refused with NotInTransaction. It never silently runs outside of the transaction. The end of the block commits. An
        exception, or ``doom()``, rolls back.
        """

    @abstractmethod
    def current_transaction(self) -> Transaction | None:
        """Return the open transaction of this thread or task; ``None`` if there is none."""

    def after_end(self, function: Callable[[BaseException | None], object]) -> bool:
        """Call a function after the open transaction ends, if the data layer supports it. Return whether it will be called.

        Its argument is ``None`` after the outermost block committed. After this block or one around it was rolled back, it is the
        error that caused the rollback: RolledBack if there was none, OutcomeUnknown if the commit was sent and not answered. The
        function then runs in the transaction around the block that was rolled back. An awaitable result is awaited. Errors of
        such functions are raised after all of them ran. If no transaction is open, the function is not called.
        """
        del function
        return False

    def outside(self) -> AbstractContextManager[None] | None:
        """Return a context manager whose reads see what others have committed by now, although the open transaction does not.

        Return ``None`` if the open transaction sees it anyway, or if none is open. The context manager can be entered repeatedly.
        A check that must not miss a record, such as a revocation, reads inside and outside. Writes belong into the transaction.
        """
        return None

    def keep_reference(self, reference: Reference[Store]) -> None:
        """Keep a foreign key from now on, without I/O. It is called for its holder and its target when a domain is sealed.

        A reference of the same name that was given before is replaced. A target keeps it no longer than its holder does. Writes
        that would break it raise ForeignKeyViolation at the end of the statement; an insert has a failure of the row. Only
        called with the capability REFERENCES.
        """
        del reference

    @abstractmethod
    def lease(self, name: str, ttl: timedelta) -> Lease:
        """Return a Lease on a name for ``ttl``. Entering it tries once to get the name and does not wait for it."""

    @abstractmethod
    async def now(self) -> datetime:
        """Return the time of the store's own clock. In tests it is the time of the ManualClock."""

    @abstractmethod
    async def health(self) -> Iterable[Finding]:
        """Return a finding for each unsafe or missing thing: storage that was not created, settings that may lose data."""

    @abstractmethod
    async def create_storage(self) -> None:
        """Create tables and indexes. Existing ones are left as they are. Several processes may call it at once."""

    @abstractmethod
    async def close(self) -> None:
        """Close connections. The store opens new ones when it is used again."""


@attrs.frozen(kw_only=True)
class DataLayer(Extension):
    """The declaration of where the records of a resource are stored. As an Extension it can add entities and compile steps."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    @property
    def binds_late(self) -> bool:
        """True if the layer can be bound only when the domain is sealed, because it reads a setting at that time."""
        return False

    @property
    def in_process(self) -> bool:
        """True if records are stored in this process and are lost when it ends, so that each store is a place of its own.

        The conformance suite then skips tests with a second store, a second process or a restart.
        """
        return False

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store for a resource, without I/O. Raise DeclarationError if the layer cannot store one of the attributes."""
        raise MissingMethod.of(self, "bind")
