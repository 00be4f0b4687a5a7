"""The sweep: removes records that no check needs any more, and its service. Open it to change how or when records are removed.

Serves promise P7 (records are removed later than their tokens end). Processes record what they declare about the lives of records
in the store, so that the sweeps of all processes agree. A sweep first checks the clocks: a wrong wall clock would remove records early.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import attrs

from resourcekit import Changeset, Context, query, utc_now
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument
from resourcekit.extending import (
    Aggregate,
    CallMode,
    DeleteInBatches,
    DestroyAction,
    Expression,
    Field,
    KnownNames,
    Param,
    ResourceInfo,
    Service,
    ServiceContext,
    State,
    Transformer,
    Validation,
    action_of,
    all_of,
    call_mode,
    count,
    function,
    is_async_function,
    measure,
    records_function,
    run_action,
)
from resourcekit_tokens.clocks import check_clocks
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.revocation_rules import not_reserved
from resourcekit_tokens.tokens import Tokens, tokens_of

__all__ = [
    "ExpungeResult",
    "Expunger",
    "GuardSweep",
    "KeptBeyondExpiry",
    "OnlyWhenDue",
    "declared",
    "expunge_expired",
    "kept_beyond_expiry",
    "needs_records",
    "oldest_expiry",
    "read_expired",
    "record_settings",
    "recorded_settings",
]


@attrs.frozen
class ExpungeResult(KnownNames):
    """The result of a sweep.

    removed: number of removed records (with ``dry_run``: that would be removed). batches: number of transactions.
    seconds: duration.
    """

    removed: int = 0
    batches: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """``"12 removed in 1 batch, 0.02 s"``, as commands print it."""
        return f"{self.removed} removed in {self.batches} batch{'' if self.batches == 1 else 'es'}, {self.seconds:.2f} s"


_MARGIN, _LONGEST, _SHORTEST = "margin", "longest life", "shortest longest life"
_MICROSECOND = timedelta(microseconds=1)

_ENDLESS = 2**53 - 1
"""Microseconds (285 years) that are recorded for lives without a bound: the largest number that every store keeps exactly."""

_FOR_ENDLESS = timedelta(days=30)
"""How long a larger value stays in force after its last record, if lives have no bound."""


@attrs.frozen
class KeptBeyondExpiry:
    """The largest margin, and the longest and shortest ``longest_life``, that processes have recorded; in microseconds."""

    margin: int
    longest: int
    shortest: int

    @property
    def margin_time(self) -> timedelta:
        """The margin."""
        return timedelta(microseconds=self.margin)

    @property
    def lives(self) -> str:
        """The lives, for a message."""
        shown = ["no bound" if life == _ENDLESS else str(timedelta(microseconds=life)) for life in (self.shortest, self.longest)]
        return " to ".join(dict.fromkeys(shown))

    @property
    def time(self) -> timedelta:
        """How long a sweep keeps a record beyond its expiry.

        A process with a shorter life writes expiries that are too early for tokens of the longest life, by the difference.
        """
        return timedelta(microseconds=self.margin + self.longest - self.shortest)


def _life(options: TokenOptions) -> int:
    life = options.longest_life
    return _ENDLESS if life is None else min(life // _MICROSECOND, _ENDLESS)


def declared(options: TokenOptions) -> KeptBeyondExpiry:
    """Return what one process declares."""
    return KeptBeyondExpiry(options.margin // _MICROSECOND, _life(options), _life(options))


async def record_settings(tokens: Tokens) -> KeptBeyondExpiry:
    """Record what this process declares, and return what is in force for all of them."""
    own, store = declared(tokens.options), tokens.store
    longest = max(own.longest, await store.recorded_setting(_LONGEST) or 0)
    life = _FOR_ENDLESS if longest == _ENDLESS else timedelta(microseconds=longest)
    margin = max(own.margin, await store.recorded_setting(_MARGIN) or 0)
    after = life + timedelta(microseconds=margin) + 2 * tokens.options.expunge_interval
    return KeptBeyondExpiry(
        await store.record_setting(_MARGIN, own.margin, lowered_after=after),
        await store.record_setting(_LONGEST, own.longest, lowered_after=after),
        -await store.record_setting(_SHORTEST, -own.shortest, lowered_after=after),
    )


async def recorded_settings(tokens: Tokens) -> KeptBeyondExpiry | None:
    """Return what is recorded; ``None`` if no process has recorded anything."""
    margin, longest, shortest = [await tokens.store.recorded_setting(name) for name in (_MARGIN, _LONGEST, _SHORTEST)]
    return None if margin is None or longest is None or shortest is None else KeptBeyondExpiry(margin, longest, -shortest)


async def kept_beyond_expiry(tokens: Tokens) -> KeptBeyondExpiry:
    """Return what would be in force if a sweep began now; nothing is written."""
    own = declared(tokens.options)
    if tokens.store.current_transaction() is not None:  # a missing table would abort it
        return own
    there = await recorded_settings(tokens)
    if there is None:
        return own
    return KeptBeyondExpiry(max(own.margin, there.margin), max(own.longest, there.longest), min(own.shortest, there.shortest))


_RECORDS = measure("resourcekit.tokens.swept.records", "Records that sweeps removed.")
_BATCHES = measure("resourcekit.tokens.swept.batches", "Batches of sweeps, each a transaction of its own.")
_SECONDS = measure("resourcekit.tokens.swept.seconds", "Time that sweeps took.", "s")

_MOST = 2**31 - 1
"""Rows that a batch, or a sweep, may be limited to; what every store takes as a number of rows."""

Progress = Callable[[ExpungeResult], object]


@records_function
async def read_expired(resource: Any) -> list[Any]:
    """Return the records past their expiry, even if a sweep may not remove them yet."""
    return list(await run_action(resource, tokens_of(resource).options.read_expired_action_name, {}))


@function
async def expunge_expired(
    resource: Any,
    *,
    dry_run: bool = False,
    batch_size: int | None = None,
    limit: int | None = None,
    on_progress: Progress | None = None,
    accept_clock: bool = False,
) -> ExpungeResult:
    """Remove all records past ``expires_at + leeway + 5 * clock_skew``, in short transactions, and return the result.

    If a process has recorded larger values in the store, those count.

    dry_run: count only. batch_size: rows a batch is about; the store paces itself at 50 ms unless given. limit: stop
    once so many are removed (a batch is finished). on_progress: gets the result so far after each batch; it may be async in an async call.
    accept_clock: go on although this system's clock was moved between two sweeps (RK236), and take the clock as it is from now on.
    Safe to run any number of times, and by several at once. Raises UnsafeStore if the clocks of the store and of this
    system disagree by more than ``clock_skew``, or if this system's clock was moved by more; Invalid for sizes below one.
    """
    return await sweep(
        tokens_of(resource),
        dry_run=dry_run,
        batch_size=batch_size,
        limit=limit,
        on_progress=on_progress,
        accept_clock=accept_clock,
    )


async def sweep(
    tokens: Tokens,
    *,
    dry_run: bool = False,
    batch_size: int | None = None,
    limit: int | None = None,
    on_progress: Progress | None = None,
    proceed: Callable[[], Awaitable[bool]] | None = None,
    accept_clock: bool = False,
) -> ExpungeResult:
    """Do what ``expunge_expired`` documents, and stop between two batches once ``proceed`` returns false."""
    _check_sizes(tokens, batch_size, limit, on_progress)
    await check_clocks(tokens, accept=accept_clock, dry_run=dry_run)
    began = time.perf_counter()
    due = Field("expires_at") < Param("before")
    kept = await (kept_beyond_expiry(tokens) if dry_run else record_settings(tokens))
    params = {"before": utc_now() - kept.time}
    if dry_run:
        plan = tokens.runtime.plan(("tokens", "due"), lambda: Aggregate("count", due))
        return ExpungeResult(int(await tokens.store.aggregate(plan, params)), 0, time.perf_counter() - began)
    result = ExpungeResult()
    name = tokens.resource.__name__
    async for removed in _batches(tokens, due, params, batch_size):
        result, before = ExpungeResult(result.removed + removed, result.batches + 1, time.perf_counter() - began), result
        count(_RECORDS, removed, resource=name)
        count(_BATCHES, resource=name)
        count(_SECONDS, result.seconds - before.seconds, resource=name)
        if on_progress is not None:
            shown = on_progress(result)
            if inspect.isawaitable(shown):
                await shown
        if (limit is not None and result.removed >= limit) or (proceed is not None and not await proceed()):
            break
    return result


async def oldest_expiry(tokens: Tokens) -> datetime | None:
    """Return the earliest expiry of all records; ``None`` where there is no record."""
    plan = tokens.runtime.plan(("tokens", "oldest"), lambda: Aggregate("min", field="expires_at"))
    oldest: datetime | None = await tokens.store.aggregate(plan, {})
    return oldest


def _check_sizes(tokens: Tokens, batch_size: object, limit: object, on_progress: object) -> None:
    findings = [
        FieldFinding(name, "must be a whole number, at least 1")
        for name, value in (("batch_size", batch_size), ("limit", limit))
        if value is not None and (type(value) is not int or not 1 <= value <= _MOST)
    ]
    if on_progress is not None and not callable(on_progress):
        findings.append(FieldFinding("on_progress", "must be a function of the result so far"))
    elif call_mode.get() is CallMode.SYNC and is_async_function(on_progress):
        findings.append(FieldFinding("on_progress", "is an async function; await expunge_expired.aio, or give a plain function"))
    if findings:
        raise InvalidArgument(findings, resource=tokens.runtime.info.name, action="expunge_expired")


def _batches(tokens: Tokens, due: Expression, params: dict[str, Any], batch_size: int | None) -> AsyncIterator[int]:
    if needs_records(tokens.runtime.info, tokens.options):
        return _record_by_record(tokens, due, params, batch_size or 500)
    plan = tokens.runtime.plan(("tokens", "sweep"), lambda: DeleteInBatches(due))
    return tokens.store.delete_in_batches(plan, params, size=batch_size)


async def _record_by_record(tokens: Tokens, due: Expression, params: dict[str, Any], size: int) -> AsyncIterator[int]:
    """Sweep through the declared action, a page at a time, so that its changes and notifiers get each record.

    A record that the action refuses stays, and so does one whose expiry was extended meanwhile. Raises the errors of the store.
    """
    caller = action_of(tokens.resource, tokens.options.expunge_expired_action_name)
    expired = query(tokens.resource).filter(Field("expires_at") < params["before"]).sort(Field("jti").asc()).limit(size)
    page = await expired.all.aio()
    while page:
        result = await caller.bulk.aio(page)
        yield result.count
        if broken := next((failure.error for failure in result.failures if not isinstance(failure.error, Invalid)), None):
            raise broken
        page = await expired.filter(Field("jti") > page[-1].jti).all.aio()
    # Actions never read cut-offs and ended families, because these records belong to the extension.
    own = tokens.runtime.plan(("tokens", "sweep own"), lambda: DeleteInBatches(all_of(due, ~not_reserved())))
    async for removed in tokens.store.delete_in_batches(own, params, size=size):
        yield removed


class Expunger(Service):
    """Sweeps one token resource, once in its ``expunge_interval``."""

    name = "expunger"
    once_per_fleet = True

    def interval(self, options: TokenOptions) -> timedelta:
        """Return the interval that the resource names."""
        return options.expunge_interval

    async def prepare(self, context: ServiceContext) -> None:
        """Record what this process declares, so that no process of another version sweeps what this one needs."""
        await record_settings(tokens_of(context.resource))

    async def run(self, context: ServiceContext) -> ExpungeResult:
        """Sweep once; ends between two batches when the supervisor stops."""
        return await sweep(tokens_of(context.resource), proceed=context.proceed)

    async def lag(self, context: ServiceContext) -> timedelta:
        """Return the age of the oldest record that a sweep should already have removed, counted from when it was due."""
        tokens = tokens_of(context.resource)
        oldest = await oldest_expiry(tokens)
        if oldest is None:
            return timedelta(0)
        return max(timedelta(0), utc_now() - (await kept_beyond_expiry(tokens)).time - oldest)


@attrs.frozen
class OnlyWhenDue(Validation):
    """Allows a record to be destroyed only after no host can accept its token any more; a condition of the DELETE itself.

    Serves promise P7 (records are removed late).
    """

    margin: timedelta

    def validate(self, changeset: Changeset, context: Context) -> list[FieldFinding]:
        """Return a finding if the record has not expired, or not for long enough."""
        is_due = changeset.record is not None and changeset.record.expires_at < context.now() - self.margin
        return [] if is_due else [FieldFinding("expires_at", "has not passed by more than leeway and clock_skew")]

    def atomic(self, changeset: Changeset, context: Context) -> Expression:
        """Return the same condition on the stored record."""
        return Field("expires_at") < context.now() - self.margin


class GuardSweep(Transformer):
    """Adds OnlyWhenDue to the action that removes expired records, even if the user declared that action."""

    def transform(self, state: State, options: TokenOptions) -> State:
        """Add the validation. Remove an inherited one, which may have other options."""
        action = state.actions.get(options.expunge_expired_action_name)
        if not isinstance(action, DestroyAction):
            return state
        own = tuple(validation for validation in action.validations if not isinstance(validation, OnlyWhenDue))
        return state.replace(attrs.evolve(action, validations=(*own, OnlyWhenDue(options.margin))))


def needs_records(info: ResourceInfo, options: TokenOptions) -> bool:
    """Return whether a sweep must read each record: for notifiers, or for steps of the action."""
    action = info.actions[options.expunge_expired_action_name]
    assert isinstance(action, DestroyAction)
    rules = [validation for validation in action.validations if not isinstance(validation, OnlyWhenDue)]
    listeners = action.notifiers or info.options.get("notifiers")
    return bool(listeners or action.changes or action.function or rules or action.transaction)
