"""The store of one resource on a Redis server.

A statement is computed here, in Python, over the rows that it needs. Then one script on the server checks that these rows are
unchanged, and writes. If they have changed, the statement runs again over the new rows.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from resourcekit.call_context import Deadline, call_deadline, pause
from resourcekit.clock import Clock, current_clock
from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    Delete,
    Operation,
    Params,
    Plan,
    Row,
    Select,
    Store,
    Transaction,
)
from resourcekit.data_layers.redis.addresses import place_of
from resourcekit.data_layers.redis.codec import StrictKeep
from resourcekit.data_layers.redis.failures import refused, too_late
from resourcekit.data_layers.redis.indexing import fill_indexes
from resourcekit.data_layers.redis.lease import Lease, record_setting, recorded_setting
from resourcekit.data_layers.redis.reading import Reader
from resourcekit.data_layers.redis.safety import findings_of
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.snapshot import Fetched, KeyLayout, Missing, Snapshot
from resourcekit.data_layers.redis.sweep import Sweep
from resourcekit.data_layers.redis.transaction import Savepoint, block, current, outside
from resourcekit.data_layers.redis.unread import PartlyRead, Unread, given, require_read
from resourcekit.data_layers.redis.writing import Changed, write
from resourcekit.data_layers.rows.groups import figure
from resourcekit.data_layers.rows.plan import RowPlan, Wanted, moment
from resourcekit.data_layers.rows.table import Draft, Journal, Key, Table, undo
from resourcekit.data_layers.rows.writes import InsertPlan, UpdatePlan, compile_operation
from resourcekit.data_layers.transactions import turn_of
from resourcekit.dsl.diagnostics import Finding
from resourcekit.errors import DataLayerError, ResourcekitError, UnsafeStore
from resourcekit.results import WriteResult

__all__ = ["CAPABILITIES", "RedisStore"]

T = TypeVar("T")

CAPABILITIES = frozenset(Capability) - {
    Capability.LOCK,
    Capability.TTL,
    Capability.FRAGMENT,
    Capability.TENANT,
    Capability.CHANGE_FEED,
    Capability.REFERENCES,
    Capability.FILLED,
    Capability.RELATED,
}


_ATTEMPTS = 1_000
"""Most attempts to run a statement while other writes come first; the deadline of the call usually comes before."""


class RedisStore(Store):
    """The records of one resource, stored as hashes.

    tag: the hash tag of all names.
    replicas: the number of replicas that must have a write before the call returns.
    """

    capabilities = CAPABILITIES

    def __init__(self, layout: KeyLayout, server: Server, tag: str, replicas: int) -> None:
        self.info = layout.info
        self._layout, self._server, self._tag = layout, server, tag
        self._replicas = replicas
        self._table = Table(layout.info)
        self._keep = StrictKeep(layout.info, layout.codec)
        self._reader = Reader(server, tag, layout)
        self.keys_after = self._reader.keys_after

    @property
    def group(self) -> Hashable:
        """Return the group of all stores with the same server and tag."""
        return ("redis", self._server.urls, self._tag)

    @property
    def place(self) -> Hashable:
        """Return the server, independent of how its URL is written, and the prefix of the records' names."""
        return "redis", place_of(self._server.urls), self._layout.names.row_start

    @property
    def written_place(self) -> Hashable:
        return "redis", self._server.urls, self._layout.names.row_start

    async def identity(self) -> Hashable:
        """Return the run id of the server process and the marker of the storage.

        The marker alone would be copied with a database.
        """
        answer = (await self._server.ask(self._tag, [(b"INFO", b"server")]))[0]
        lines = answer.decode("utf-8", "replace").splitlines() if isinstance(answer, bytes) else []
        run = next((line for line in lines if line.startswith("run_id:")), None)
        return None if run is None else ("redis", run, await self._reader.present_marker(), self._layout.names.row_start)

    def compile(self, operation: Operation) -> Plan:
        """Compile an operation. Every expression can be computed here."""
        return compile_operation(operation, self.info, self._table, self._keep)

    # Reading

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """Return the rows of a Select. A lookup by key is one round trip."""
        assert isinstance(plan, RowPlan)
        if plan.point is not None and plan.rest is None and self._savepoint() is None:
            assert isinstance(plan.operation, Select)
            row = await self._reader.point(plan, params, plan.operation.fields)
            return [] if row is None else given([row], partial=plan.operation.partial) if type(row) is PartlyRead else [row]
        return await self._read(plan, params, lambda rows, run, partly: self._given(plan, plan.shown(rows, run), partly=partly))

    @staticmethod
    def _given(plan: RowPlan, rows: Iterable[Row], *, partly: bool) -> list[Row]:
        """Return copies of rows. partly: some may have values that do not fit their types."""
        copies = [plan.copy(row) for row in rows]
        operation = plan.operation
        return given(copies, partial=isinstance(operation, Select) and operation.partial) if partly else copies

    async def _read(self, plan: RowPlan, params: Params, make: Callable[[Iterator[Row], Params, bool], T]) -> T:
        run = moment(params)
        savepoint = self._savepoint()
        snapshot = Snapshot(self._layout) if savepoint is None else savepoint.open_transaction.snapshot(self)
        with turn_of(savepoint):
            return await self._answered(
                snapshot, plan.wanted(run), lambda: make(plan.rows(snapshot.draft, run), run, snapshot.draft.unread is not None)
            )

    async def _answered(self, snapshot: Snapshot, wanted: Wanted, work: Callable[[], T]) -> T:
        """Call ``work`` on a snapshot. Fetch the rows that it misses, and call it again."""
        await self._reader.fetch(snapshot, wanted)
        while True:
            mark = len(snapshot.draft.journal)
            try:
                return work()
            except Missing as missing:
                undo(snapshot.draft.journal, mark)
                wanted = missing.wanted
            except (TypeError, ValueError, ArithmeticError) as error:
                if snapshot.draft.unread is None or isinstance(error, ResourcekitError):
                    raise
                wanted = Wanted()
            if wanted == Wanted():
                assert snapshot.draft.unread is not None
                snapshot.draft.unread.refuse()  # something was computed of it; the other error may show its value
            await self._reader.fetch(snapshot, wanted)

    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """Yield rows. Outside of a transaction they are read page by page, and each page is of one moment."""
        assert isinstance(plan, RowPlan)
        return self._stream(plan, params, self._savepoint())

    async def _stream(self, plan: RowPlan, params: Params, savepoint: Savepoint | None) -> AsyncIterator[Row]:
        if savepoint is not None or plan.is_ordered or not plan.wanted(moment(params)).everything:
            run = moment(params)
            snapshot = Snapshot(self._layout) if savepoint is None else savepoint.open_transaction.snapshot(self)
            with turn_of(savepoint, anywhere=True):
                rows = await self._answered(
                    snapshot, plan.wanted(run), lambda: list(plan.shown(plan.rows(snapshot.draft, run), run))
                )
            for row in rows:
                yield self._given(plan, (row,), partly=snapshot.draft.unread is not None)[0]
            return
        run = moment(params)
        plan.check(params)
        async for row in plan.cut_async(self._matching(plan, run), run):
            yield self._given(plan, (row,), partly=type(row) is PartlyRead)[0]

    async def _matching(self, plan: RowPlan, run: Params) -> AsyncIterator[Row]:
        async for page in self._reader.pages():
            for row in page:
                if plan.matches is None or plan.matches(row, run, row):
                    yield row

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        assert isinstance(plan, RowPlan)
        operation = plan.operation
        assert isinstance(operation, Aggregate)
        if plan.point is not None and self._savepoint() is None:
            plan.check(params)
            row = await self._reader.point(plan, params, plan.reads)
            return row is not None and plan.passes(require_read([row])[0], params)
        return _read_value(await self._read(plan, params, lambda rows, run, _: figure(operation, plan.shown(rows, run))))

    # Writing

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        assert isinstance(plan, InsertPlan)
        kept = plan.kept(rows)
        run = moment(params)
        return await self._write(plan.wanted(kept), lambda draft: _returned(draft, plan.run(draft, kept, run)))

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        assert isinstance(plan, UpdatePlan)
        run = moment(params)
        return await self._write(plan.wanted(run), lambda draft: _returned(draft, plan.run(draft, run)))

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        assert isinstance(plan, RowPlan)
        assert isinstance(plan.operation, Delete)
        run = moment(params)
        returning = plan.operation.returning

        def remove(draft: Draft) -> WriteResult:
            removed = plan.remove(draft, run)
            return _returned(draft, WriteResult(len(removed), tuple(map(plan.copy, removed)) if returning else ()))

        return await self._write(plan.wanted(run), remove)

    async def _write(self, wanted: Wanted, work: Callable[[Draft], T]) -> T:
        """Run one statement in the open transaction. Without one, run it alone, and repeat it until no other write came first."""
        savepoint = self._savepoint()
        if savepoint is not None:
            with savepoint.turn():
                snapshot = savepoint.open_transaction.snapshot(self)
                mark = len(snapshot.draft.journal)
                try:
                    return await self._answered(snapshot, wanted, lambda: work(snapshot.draft))
                except BaseException:
                    undo(snapshot.draft.journal, mark)
                    raise
        attempt, deadline = 0, call_deadline(self._server, self._server.seconds)
        while True:
            snapshot = Snapshot(self._layout)
            result = await self._answered(snapshot, wanted, lambda snapshot=snapshot: work(snapshot.draft))  # type: ignore[misc]  # a default in a lambda
            try:
                await self.commit({self: snapshot}, all_reads=False)
            except Changed:
                attempt += 1
                await _before_another(attempt, deadline)
                continue
            return result

    async def commit(self, snapshots: Mapping[RedisStore, Snapshot], *, all_reads: bool) -> None:
        """Write the rows of the snapshots, all at once. Raise Changed if another write came first."""
        written = {store: snapshot for store, snapshot in snapshots.items() if snapshot.is_written()}
        if not written:
            return
        markers = [(store._layout.names.keys, await store._reader.marker()) for store in snapshots]  # noqa: SLF001  # its own kind
        await write(
            self._server, self._tag, markers, snapshots if all_reads else written, all_reads=all_reads, replicas=self._replicas
        )

    def new_snapshot(self, journal: Journal) -> Snapshot:
        """Return an empty snapshot for a transaction."""
        return Snapshot(self._layout, journal)

    async def remove_among(self, keys: Sequence[Key], plan: RowPlan, params: Params) -> int:
        """Remove those of the records with these keys that match a plan. Return their number."""
        run = moment(params)
        matches = plan.matches

        def remove(draft: Draft) -> int:
            rows = [row for key in keys if (row := draft.get(key)) is not None and (matches is None or matches(row, run, row))]
            for row in rows:
                draft.put(self._table.key_of(row), None)
            return len(rows)

        return await self._write(Wanted(keys=tuple(keys)), remove)

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Delete in key order."""
        assert isinstance(plan, RowPlan)
        if self._savepoint() is not None:
            msg = "a sweep makes transactions of its own; call delete_in_batches outside of a transaction"
            raise DataLayerError(msg)
        plan.check(params)
        return Sweep(self, self._layout, self._server, self._tag, self._reader).run(plan, params, pace.total_seconds(), size)

    # Transactions, leases and storage

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open an optimistic transaction. Its end raises SerializationFailure if another transaction was first."""
        return block(self.group)

    def _savepoint(self) -> Savepoint | None:
        return current(self.group)

    def current_transaction(self) -> Savepoint | None:
        return self._savepoint()

    def after_end(self, function: Callable[[BaseException | None], object]) -> bool:
        block = self.current_transaction()
        if block is not None:
            block.after_end(function)
        return block is not None

    def outside(self) -> AbstractContextManager[None] | None:
        """Return a context manager for reads outside of the transaction, because a transaction reads each row only once."""
        return None if self._savepoint() is None else outside(self.group)

    def lease(self, name: str, ttl: timedelta) -> Lease:
        """Return a lease. All resources of a tag share the names."""
        return Lease(self._server, self._tag, name, ttl)

    async def record_setting(self, name: str, value: int, *, lowered_after: timedelta) -> int:
        """Record a number in a key of its own, under the name of this resource's records."""
        return await record_setting(self._server, self._tag, self._setting(name), value, lowered_after)

    async def recorded_setting(self, name: str) -> int | None:
        """Return the number that was recorded last for a name."""
        return await recorded_setting(self._server, self._tag, self._setting(name))

    def _setting(self, name: str) -> bytes:
        return b"{%b}!setting:%b:%b" % (self._tag.encode(), self.info.qualified_name.encode(), name.encode())

    async def now(self) -> datetime:
        clock = current_clock()
        if type(clock) is not Clock:
            return clock.now()
        (answer,) = await self._server.ask(self._tag, [(b"TIME",)])
        if isinstance(answer, Exception):
            raise refused(answer)
        seconds, microseconds = map(int, answer)
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    async def health(self) -> Iterable[Finding]:
        try:
            there = await self._reader.ask_marker()
        except UnsafeStore as error:
            what, _, cure = str(error).partition(". ")
            return [Finding(id="RK161", what=what, why="A revoked token would be accepted again.", cure=cure)]
        if there is None:
            what, why = (
                f"nothing was created under {self._layout.names.row_start.decode()}, or it was emptied",
                "Nothing can be read or written.",
            )
            return [Finding(id="RK160", what=what, why=why, cure="Call domain.create_storage() once, at deployment.")]
        return findings_of(await self._server.facts(self._tag), self._server.accepted)

    async def create_storage(self) -> None:
        """Set the marker, and fill new indexes."""
        marker = await self._reader.create()
        await fill_indexes(self._server, self._tag, self._layout, self._reader, marker)

    async def close(self) -> None:
        await self._server.close()


def _returned(draft: Draft, result: WriteResult) -> WriteResult:
    """Return the result of a write. Raise UnreadableValue if a returned row has a value that does not fit its type."""
    if isinstance(draft, Fetched) and draft.unread is not None:
        require_read(result.rows)
    return result


def _read_value(value: Any) -> Any:
    if type(value) is Unread:
        value.refuse()
    return value


async def _before_another(attempt: int, deadline: Deadline) -> None:
    """Wait a random, growing time before a statement is retried. Raise Timeout once the deadline has passed."""
    left = deadline.remaining()
    if left <= 0 or attempt > _ATTEMPTS:
        raise too_late()
    await pause(min(left, random.uniform(0, 0.001 * 2 ** min(attempt, 5))))  # noqa: S311  # a jitter, not a secret
