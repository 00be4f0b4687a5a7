"""The port: what a store must offer, in plain values. It knows the facts of a resource and no store.

A DataLayer is a declaration (``SQL("sqlite:///app.db")``); bound to a resource it becomes a Store. All of a store's
methods are ``async``; when the colour of the call is sync (see ``flow.context.colour``) they must not suspend.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol

import attrs

from resourcekit.dsl.extension import Extension
from resourcekit.dsl.finding import Finding
from resourcekit.flow.expression import Expression, Sort
from resourcekit.flow.result import WriteResult
from resourcekit.resource_info import ResourceInfo

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
    "Row",
    "Select",
    "Store",
    "TimeToLive",
    "Transaction",
    "UnsupportedExpression",
    "Update",
]

Row = dict[str, Any]
"""A record as a store takes and gives it: attribute name to Python value. The receiver owns it and may change it."""


class Capability(enum.Enum):
    """What a store can do. The set is closed: there are no optional methods to probe for."""

    FILTER = "filter"
    """Find rows by a condition."""

    SORT = "sort"
    """Return rows in an order."""

    LIMIT = "limit"
    """Return at most so many rows."""

    OFFSET = "offset"
    """Pass over so many rows first."""

    AGGREGATE = "aggregate"
    """Answer exists, count, min, max and sum without loading rows."""

    RETURNING = "returning"
    """Return rows as they stand after a write, out of the same statement."""

    UPSERT = "upsert"
    """Insert a row, or update the one that is there, as one step."""

    UPSERT_WHERE = "upsert where"
    """Update the one that is there only where a condition holds of it."""

    UPDATE_WHERE = "update where"
    """Change all rows for which a condition holds, as one step."""

    DELETE_WHERE = "delete where"
    """Remove all rows for which a condition holds, as one step."""

    CAS = "compare and set"
    """Of many who update under one condition at once, exactly those count who found it true."""

    ATOMIC_EXPR = "atomic expressions"
    """Compute assignments from the row that is stored, and not from one that was read before."""

    DELETE_IN_BATCHES = "delete in batches"
    """Remove what matches in short transactions, in the order of the store's own layout."""

    TRANSACTION = "transactions"
    """All or none of several writes."""

    SAVEPOINT = "savepoints"
    """Take a part of a transaction back."""

    LOCK = "row locks"
    """Hold a row against others; nothing in resourcekit needs it."""

    LEASE = "leases"
    """A name that at most one process holds for a time."""

    TTL = "time to live"
    """Forget a row at a given moment without being asked."""

    TENANT = "tenants"
    """Keep the rows of tenants apart."""

    CHANGE_FEED = "change feed"
    """Tell of changes that others made."""


@attrs.frozen
class TimeToLive:
    """When a store with the capability TTL may free a record by itself, kept by ``state.persist(TimeToLive.KEY, ...)``.

    attribute: the datetime that ends the record's life; ``None`` in a record: never. margin: how much longer it is kept.
    """

    KEY: ClassVar[str] = "time_to_live"

    attribute: str
    margin: timedelta


class UnsupportedExpression(Exception):  # no error of the user's: the engine takes another way
    """A store cannot compute this expression itself; raised by ``compile`` only."""


@attrs.frozen(eq=False)
class Select:
    """Find rows. ``fields``: attributes wanted, ``None`` for all. ``limit`` and ``offset``: a Param (an int), or None."""

    condition: Expression | None = None
    order: tuple[Sort, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None
    fields: tuple[str, ...] | None = None


@attrs.frozen(eq=False)
class OnConflict:
    """What an insert does when a row with the same values of ``target`` is there.

    target: attributes of the primary key or of an identity.
    action: ``"skip"`` leaves the row; ``"update"`` writes ``set`` to it, where ``where`` holds.
    set, where: over Existing, Incoming and Param nodes. All of ``set`` is computed from the row as it was.
    """

    target: tuple[str, ...]
    action: Literal["skip", "update"] = "update"
    set: Mapping[str, Expression] = attrs.field(factory=dict)
    where: Expression | None = None


@attrs.frozen(eq=False)
class Insert:
    """Add rows that have exactly these fields. Without ``on_conflict`` an existing key or identity is a failure."""

    fields: tuple[str, ...]
    on_conflict: OnConflict | None = None
    returning: bool = True


@attrs.frozen(eq=False)
class Update:
    """Change all rows that match. All assignments are computed from the row as it was."""

    condition: Expression | None
    assignments: Mapping[str, Expression]
    returning: bool = False


@attrs.frozen(eq=False)
class Delete:
    """Remove all rows that match."""

    condition: Expression | None
    returning: bool = False


@attrs.frozen(eq=False)
class DeleteInBatches:
    """Remove all rows that match, in many short transactions."""

    condition: Expression | None


@attrs.frozen(eq=False)
class Aggregate:
    """One figure over all rows that match; ``field`` for min, max and sum (``None`` values are passed over)."""

    kind: Literal["exists", "count", "min", "max", "sum"]
    condition: Expression | None = None
    field: str | None = None


Operation = Select | Insert | Update | Delete | DeleteInBatches | Aggregate
"""Whatever a store can be asked to compile; there is no other kind."""


class Plan:
    """A compiled operation; each store has its own subclass. It holds no values and may be run by many threads."""

    __slots__ = ("operation",)

    def __init__(self, operation: Operation) -> None:
        self.operation = operation


Params = Mapping[str, Any]


class Transaction(Protocol):
    """An open transaction, innermost savepoint included."""

    def after_commit(self, function: Callable[[], object]) -> None:
        """Run a function once the outermost transaction is committed; never if it, or this savepoint, rolls back.

        What it returns is awaited where it can be (see ``data_layers.after_commit``).
        """

    def doom(self) -> None:
        """Let this transaction end in a rollback, whatever happens next."""


class Lease(AbstractAsyncContextManager[bool]):
    """A name that at most one caller holds, in the whole fleet; ``async with`` yields whether this one does.

    It is given back at the end of the block, and lost when its time is over, as when its holder died.
    """

    until: datetime | None = None
    """When the name is free again, by the clock of the call, as far as is known: for the holder and for all others."""

    @abstractmethod
    async def keep(self, ttl: timedelta) -> bool:
        """Hold the name for ``ttl`` from now, also beyond the end of the block; return whether it was still held."""


class Store(ABC):
    """A data layer bound to one resource.

    Errors that leave a store are resourcekit's, never a driver's, and carry no value of a record. Every method that
    waits is bounded by the deadline of the call (``ambient_context().remaining(...)``) and raises Timeout.

    Value laws: text compares by code point and is kept exactly; NUL and lone surrogates are refused (Invalid) before
    the store sees them; datetimes are aware, kept in UTC to the microsecond, and ordered up to year 9999.
    """

    info: ResourceInfo
    capabilities: frozenset[Capability]

    @property
    @abstractmethod
    def group(self) -> Hashable:
        """Stores of one group share transactions."""

    @property
    def place(self) -> Hashable:
        """Where the rows are; two resources may not keep theirs in one place. ``None``: in a place of its own."""
        return None

    @abstractmethod
    def compile(self, operation: Operation) -> Plan:
        """Turn an operation into a plan, without I/O. Expressions hold Param nodes in place of values.

        Raises UnsupportedExpression where the store cannot compute an expression itself.
        """

    @abstractmethod
    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """Return the rows of a Select."""

    @abstractmethod
    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """Yield the rows of a Select as they are asked for, in flat memory; the transaction, if any, is that of the
        moment at which this is called."""

    @abstractmethod
    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        """Insert rows. What a row violates is a failure of that row (UniqueViolation, NotNull), and not raised; the
        other rows are written, all in one transaction."""

    @abstractmethod
    async def update(self, plan: Plan, params: Params) -> WriteResult:
        """Run an Update, atomically; the count is that of the rows that matched.

        Raises UniqueViolation or NotNull, with nothing written.
        """

    @abstractmethod
    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        """Run a Delete, atomically."""

    @abstractmethod
    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Remove all rows that match and yield the count of each batch, also a zero.

        Each batch is a transaction of its own of about ``pace`` (or of ``size`` rows of the store's layout), in the
        order of that layout; no row is loaded; the condition is part of each delete. The caller may stop between two
        batches, and several may run at once. Not inside a transaction.
        """

    @abstractmethod
    async def aggregate(self, plan: Plan, params: Params) -> Any:
        """Return the figure of an Aggregate; ``None`` for min, max and sum of nothing."""

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction, or a savepoint inside an open one. It becomes ambient: this group's calls join it.

        It commits at the end of the block; an exception (or ``doom()``) rolls it back.
        """

    @abstractmethod
    def current_transaction(self) -> Transaction | None:
        """Return the open transaction of this thread or task, if any."""

    def outside(self) -> AbstractContextManager[None] | None:
        """Return a block whose reads see what others have committed by now, where those of the open transaction do not.

        ``None`` where they do, and where none is open. It may be entered again and again. What nobody may miss, a
        revocation, is looked for in both places; writes belong into the transaction.
        """
        return None

    @abstractmethod
    def lease(self, name: str, ttl: timedelta) -> Lease:
        """Try to hold a name for ``ttl``, without waiting for it; see Lease."""

    @abstractmethod
    async def now(self) -> datetime:
        """Return the store's own clock (the ManualClock's under test)."""

    @abstractmethod
    async def health(self) -> Iterable[Finding]:
        """Return what is unsafe or missing: storage not created, settings that may lose data."""

    @abstractmethod
    async def create_storage(self) -> None:
        """Create tables and indexes; does nothing where they stand, and survives processes that do the same."""

    @abstractmethod
    async def close(self) -> None:
        """Give back connections; the store opens new ones when it is used again."""


@attrs.frozen(kw_only=True)
class DataLayer(Extension):
    """Where records of a resource are kept, as a declaration. It is an extension, and may bring words and steps too."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    @property
    def binds_late(self) -> bool:
        """The layer can be bound only when the domain is sealed, because a setting is read then."""
        return False

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store for a resource; no I/O.

        Raises DeclarationError where the layer cannot keep one of the attributes.
        """
        raise NotImplementedError
