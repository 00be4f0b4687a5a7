"""The store of one resource in memory."""

from __future__ import annotations

import time
import types
from collections.abc import AsyncIterator, Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from resourcekit.call_context import CallMode, ambient_context, call_mode
from resourcekit.clock import current_clock
from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    Delete,
    Operation,
    Params,
    Plan,
    Reference,
    Row,
    Store,
    Transaction,
)
from resourcekit.data_layers.memory.deployment import signs
from resourcekit.data_layers.memory.lease import Lease
from resourcekit.data_layers.memory.transaction import GROUP, Savepoint, block, commit, commits, current
from resourcekit.data_layers.rows.groups import figure
from resourcekit.data_layers.rows.parameters import check
from resourcekit.data_layers.rows.plan import Copy, RowPlan, moment
from resourcekit.data_layers.rows.references import DraftOf, References, enforce
from resourcekit.data_layers.rows.table import IN_TIME, Draft, Fields, Key, Table, releases_lock, require_free, undo
from resourcekit.data_layers.rows.writes import InsertPlan, Keep, UpdatePlan, compile_operation
from resourcekit.data_layers.transactions import Outside, ambient
from resourcekit.dsl.diagnostics import Finding
from resourcekit.errors import DataLayerError
from resourcekit.expressions.related import ROWS, Target
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import WriteResult

__all__ = ["CAPABILITIES", "MemoryStore"]

T = TypeVar("T")

CAPABILITIES = frozenset(Capability) - {
    Capability.LOCK,
    Capability.FRAGMENT,
    Capability.TTL,
    Capability.TENANT,
    Capability.CHANGE_FEED,
}

_SLICE = 256
"""Rows that a sweep examines between two checks of the time; this takes about 0.1 ms."""


class MemoryStore(Store):
    """The rows of one resource in this process."""

    capabilities = CAPABILITIES
    in_process = True

    def __init__(self, info: ResourceInfo) -> None:
        self.info = info
        self._table = Table(info)
        self._table.references = References()
        self._keep = Keep(info, self._table)
        self._settings: dict[str, tuple[int, datetime]] = {}

    @property
    def group(self) -> Hashable:
        """Return the one group of all stores in memory."""
        return GROUP

    def compile(self, operation: Operation) -> Plan:
        """Compile an operation. Every expression can be computed here."""
        return compile_operation(operation, self.info, self._table, self._keep)

    # Reading

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """Return the rows of a Select. A lookup by key takes no lock."""
        ambient_context().require_time()
        assert isinstance(plan, RowPlan)
        if plan.point is not None and not ambient.get():
            row = self._committed(plan, params)
            return [] if row is None else [plan.copy(row)]
        if plan.is_related or plan.computed:
            return self._computed(plan, params)
        return [plan.copy(row) for row in self._selected(plan, params)]

    @releases_lock
    def _computed(self, plan: RowPlan, params: Params) -> list[Row]:
        """Return the rows of a Select that reads related rows: all of one moment, so nothing is written meanwhile."""
        with IN_TIME:
            run = self._moment(plan, params)
            return [plan.given(row, run) for row in plan.shown(self._rows(plan, run), run)]

    def _moment(self, plan: RowPlan, params: Params) -> dict[str, Any]:
        """Return the parameters of one run, with a function that reads related rows in the same transaction."""
        run = moment(params)
        if plan.is_related:
            run[ROWS] = _related
        return run

    def related(self, names: Fields, values: tuple[Any, ...], savepoint: Savepoint | None) -> list[Row]:
        """Return the rows whose fields have these values, as the open transaction sees them. The caller holds LOCK."""
        draft = self._table.committed if savepoint is None else savepoint.open_transaction.draft(self._table)
        if names == self._table.primary_key:
            row = draft.get(values[0] if len(values) == 1 else values)
            return [] if row is None else [row]
        if names not in self._table.unique:
            self._table.use_index(names)
        return draft.holding(names, values)

    @releases_lock
    def _committed(self, plan: RowPlan, params: Params) -> Row | None:
        """Return the committed row that a lookup by key finds; ``None`` if there is none."""
        key = params[plan.point]  # type: ignore[index]  # the caller has checked that it is a lookup by key
        rows = self._table.rows
        try:
            row = rows.get(key)
        except TypeError:
            return None  # A value that cannot be hashed equals no key.
        if commits.running:
            # The row may be half of a commit: the other half must be there before this one becomes visible.
            require_free()
            with IN_TIME:
                commits.finish()
                row = rows.get(key)
        if row is None:
            check(key, plan.table.primary_key[0], self.info.name)
            return None
        return row if plan.passes(row, params) else None

    @releases_lock
    def _rows(self, plan: RowPlan, run: Params) -> Iterator[Row]:
        """Return the matching rows as stored: those of one moment, or those of the open transaction."""
        savepoint = current()
        if savepoint is not None:
            with savepoint.turn():
                return plan.rows(savepoint.open_transaction.draft(self._table), run)
        if commits.running:
            require_free()
        with IN_TIME:
            commits.finish()
            return plan.rows(self._table.committed, run)

    def _selected(self, plan: RowPlan, params: Params) -> Iterator[Row]:
        run = moment(params)
        return plan.shown(self._rows(plan, run), run)

    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """Yield the rows that exist when this is called."""
        assert isinstance(plan, RowPlan)
        if plan.is_related or plan.computed:
            return _stream(iter(self._computed(plan, params)), lambda row: row)
        return _stream(self._selected(plan, params), plan.copy)

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        ambient_context().require_time()
        assert isinstance(plan, RowPlan)
        assert isinstance(plan.operation, Aggregate)
        if plan.point is not None and not ambient.get():
            return self._committed(plan, params) is not None
        if plan.is_related:
            return self._related_figure(plan, plan.operation, params)
        run = moment(params)
        return figure(plan.operation, plan.shown(self._rows(plan, run), run))

    @releases_lock
    def _related_figure(self, plan: RowPlan, operation: Aggregate, params: Params) -> Any:
        with IN_TIME:
            run = self._moment(plan, params)
            return figure(operation, plan.shown(self._rows(plan, run), run))

    # Writing

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        assert isinstance(plan, InsertPlan)
        kept = plan.kept(rows)
        run = moment(params)
        return self._write(lambda draft, drafts: plan.run(draft, kept, run, self._check(draft, drafts)))

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        assert isinstance(plan, UpdatePlan)
        run = self._moment(plan, params)
        return self._write(lambda draft, drafts: self._kept(draft, drafts, lambda: plan.run(draft, run), removes=False))

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        assert isinstance(plan, RowPlan)
        assert isinstance(plan.operation, Delete)
        run = self._moment(plan, params)
        removed = self._write(lambda draft, drafts: self._kept(draft, drafts, lambda: plan.remove(draft, run), removes=True))
        return WriteResult(len(removed), tuple(map(plan.copy, removed)) if plan.operation.returning else ())

    @releases_lock
    def _write(self, work: Callable[[Draft, DraftOf], T]) -> T:
        """Run one statement in the open transaction, or in one of its own. An error leaves nothing of it."""
        ambient_context().require_time()
        savepoint = current()
        require_free()
        if savepoint is None:
            with IN_TIME:
                drafts: dict[Table, Draft] = {}
                draft = drafts[self._table] = Draft(self._table, tracked=False)
                result = work(draft, _beside(drafts, draft))
                commit(drafts.values())
                return result
        with savepoint.turn():
            draft = savepoint.open_transaction.draft(self._table)
            mark = len(draft.journal)
            try:
                return work(draft, savepoint.open_transaction.draft)
            except BaseException:
                undo(draft.journal, mark)
                raise

    def _check(self, draft: Draft, drafts: DraftOf) -> Callable[[int], None] | None:
        """Return a function that checks the foreign keys of what the journal has from a mark on; ``None`` without any."""
        if not self._table.references:
            return None
        return lambda mark: enforce(draft, mark, drafts, resource=self.info.name, removes=False)

    def _kept(self, draft: Draft, drafts: DraftOf, work: Callable[[], T], *, removes: bool) -> T:
        """Return the result of a statement after which the foreign keys were kept."""
        mark = len(draft.journal)
        result = work()
        if self._table.references:
            enforce(draft, mark, drafts, resource=self.info.name, removes=removes)
        return result

    def keep_reference(self, reference: Reference[Store]) -> None:
        if reference.holder is self and isinstance(reference.target, MemoryStore):
            self._table.references.refer(reference, reference.target._table)  # noqa: SLF001  # of the same class
        if reference.target is self and isinstance(reference.holder, MemoryStore):
            self._table.references.referred(reference, reference.holder._table)  # noqa: SLF001  # of the same class

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Delete in order of insertion, over the rows that exist when this begins."""
        assert isinstance(plan, RowPlan)
        if current() is not None:
            msg = "a sweep makes transactions of its own; call delete_in_batches outside of a transaction"
            raise DataLayerError(msg)
        plan.check(params)
        return self._sweep(plan, params, pace.total_seconds(), size)

    async def _sweep(self, plan: RowPlan, params: Params, pace: float, size: int | None) -> AsyncIterator[int]:
        keys = self._keys()
        position, is_over = 0, False
        while not is_over:
            # The time of the machine, even under a manual clock, because it measures how long others had to wait.
            ends_at = time.perf_counter() + pace
            removed, last = 0, len(keys) if size is None else position + size
            while position < last:
                here = keys[position : min(position + _SLICE, last)]
                position += max(len(here), 1)
                removed += self._remove_slice(plan, here, self._moment(plan, params))
                if position >= len(keys) or time.perf_counter() >= ends_at:
                    break
            is_over = position >= len(keys)
            yield removed
            if not is_over and call_mode.get() is not CallMode.SYNC:
                await _let_others_run()

    @releases_lock
    def _keys(self) -> list[Key]:
        with IN_TIME:
            return list(self._table.rows)

    @releases_lock
    def _remove_slice(self, plan: RowPlan, keys: list[Key], run: Params) -> int:
        rows, matches = self._table.rows, plan.matches
        if not any((row := rows.get(key)) is not None and (matches is None or matches(row, run, row)) for key in keys):
            return 0
        with IN_TIME:
            drafts: dict[Table, Draft] = {}
            draft = drafts[self._table] = Draft(self._table, tracked=False)
            for key in keys:
                if (row := rows.get(key)) is not None and (matches is None or matches(row, run, row)):
                    draft.put(key, None)
            removed = len(draft.rows)
            if self._table.references:
                enforce(draft, 0, _beside(drafts, draft), resource=self.info.name, removes=True)
            commit(drafts.values())
            return removed

    # Transactions, leases and storage

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open an optimistic transaction. Its end raises SerializationFailure if another transaction was first."""
        return block()

    def current_transaction(self) -> Savepoint | None:
        return current()

    def after_end(self, function: Callable[[BaseException | None], object]) -> bool:
        block = self.current_transaction()
        if block is not None:
            block.after_end(function)
        return block is not None

    def outside(self) -> AbstractContextManager[None] | None:
        """Return a context manager for reads outside of the transaction, because a transaction reads from a snapshot."""
        return None if current() is None else Outside(GROUP)

    def lease(self, name: str, ttl: timedelta) -> Lease:
        """Return a lease. All stores in memory share the names."""
        return Lease(name, ttl)

    async def record_setting(self, name: str, value: int, *, lowered_after: timedelta) -> int:
        """Record a number in this process, which is all that shares the records."""
        return self._record(name, value, lowered_after)

    @releases_lock
    def _record(self, name: str, value: int, lowered_after: timedelta) -> int:
        moment = current_clock().now()
        with IN_TIME:
            there = self._settings.get(name)
            if there is not None and there[0] > value and there[1] >= moment - lowered_after:
                return there[0]
            self._settings[name] = value, moment
        return value

    async def recorded_setting(self, name: str) -> int | None:
        """Return the number that was recorded last for a name."""
        there = self._settings.get(name)
        return None if there is None else there[0]

    async def now(self) -> datetime:
        return current_clock().now()

    async def health(self) -> Iterable[Finding]:
        sign = next(signs(), "")
        return [
            Finding(
                id="RK150",
                level="error" if sign else "warning",
                what="its records are kept in the memory of one process" + (f", and {sign}" if sign else ""),
                why="They are gone at a restart, and no other process sees them.",
                cure='Keep them in a database, for example data_layer=SQL("sqlite:///app.db").',
            )
        ]

    async def create_storage(self) -> None:
        """Do nothing: there is no storage to create."""

    async def close(self) -> None:
        """Do nothing: the rows are kept, because they could not be restored from anywhere."""


def _beside(drafts: dict[Table, Draft], first: Draft) -> DraftOf:
    """Return a function that returns the draft of a table, with the journal of the first one."""

    def draft_of(table: Table) -> Draft:
        if table not in drafts:
            drafts[table] = Draft(table, tracked=False, journal=first.journal)
        return drafts[table]

    return draft_of


def _related(target: Target, names: Fields, values: tuple[Any, ...]) -> list[Row]:
    """Return related rows of another store in memory."""
    store: MemoryStore = target.store
    try:
        hash(values)
    except TypeError:
        return []  # stored values of a key are hashable, so none of them equals this value
    return store.related(names, values, current())


async def _stream(rows: Iterator[Row], copy: Copy) -> AsyncIterator[Row]:
    for row in rows:
        yield copy(row)


@types.coroutine
def _let_others_run() -> Generator[None]:
    yield
