"""Removes records that no check needs any more (P7), and runs as the service that does so again and again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from resourcekit import query, utc_now
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, UnsafeStore
from resourcekit.extending import (
    Aggregate,
    Clock,
    DeleteInBatches,
    Expression,
    Field,
    Param,
    Service,
    ServiceContext,
    action_of,
    all_of,
    count,
    current_clock,
    function,
    measure,
    records_function,
    run_action,
)
from resourcekit_tokens.keyspace import not_reserved
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.protection import needs_records
from resourcekit_tokens.results import ExpungeResult
from resourcekit_tokens.tokens import Tokens, tokens_of

__all__ = ["Expunger", "expunge_expired", "oldest_expiry", "read_expired"]

_APART = timedelta(minutes=5)
"""How far two clocks may disagree before a sweep refuses to trust either (P7)."""

_RECORDS = measure("resourcekit.tokens.swept.records", "Records that sweeps removed.")
_BATCHES = measure("resourcekit.tokens.swept.batches", "Batches of sweeps, each a transaction of its own.")
_SECONDS = measure("resourcekit.tokens.swept.seconds", "Time that sweeps took.", "s")

_MOST = 2**31 - 1
"""Rows that a batch, or a sweep, may be limited to; what every store takes as a number of rows."""

Progress = Callable[[ExpungeResult], object]


_BEGAN = (time.time(), Clock().monotonic())


@records_function
async def read_expired(resource: Any) -> list[Any]:
    """Return the records past their expiry, whether or not P7 lets them go yet."""
    return list(await run_action(resource, tokens_of(resource).options.read_expired_action_name, {}))


@function
async def expunge_expired(
    resource: Any,
    *,
    dry_run: bool = False,
    batch_size: int | None = None,
    limit: int | None = None,
    on_progress: Progress | None = None,
) -> ExpungeResult:
    """Remove all records past ``expires_at + leeway + clock_skew``, in short transactions, and return what was done.

    dry_run: count only. batch_size: rows a batch is about; the store paces itself at 50 ms unless given. limit: stop
    once so many are removed (a batch is finished). on_progress: gets the result so far after each batch.
    Safe to run any number of times, and by several at once. Raises UnsafeStore where clocks disagree by more than five
    minutes, Invalid for sizes below one.
    """
    return await sweep(
        tokens_of(resource),
        dry_run=dry_run,
        batch_size=batch_size,
        limit=limit,
        on_progress=on_progress,
    )


async def sweep(
    tokens: Tokens,
    *,
    dry_run: bool = False,
    batch_size: int | None = None,
    limit: int | None = None,
    on_progress: Progress | None = None,
    proceed: Callable[[], Awaitable[bool]] | None = None,
) -> ExpungeResult:
    """Do what ``expunge_expired`` says, and stop between two batches where ``proceed`` says so."""
    _check_sizes(tokens, batch_size, limit, on_progress)
    await _check_clocks(tokens)
    began = time.perf_counter()
    due = Field("expires_at") < Param("before")
    params = {"before": utc_now() - tokens.options.margin}
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
            on_progress(result)
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
    if findings:
        raise InvalidArgument(findings, resource=tokens.runtime.info.name, action="expunge_expired")


async def _check_clocks(tokens: Tokens) -> None:
    """Refuse to remove anything by a clock that cannot be trusted."""
    if abs(await tokens.store.now() - utc_now()) > _APART:
        raise UnsafeStore("the store's clock and this system's disagree by more than five minutes; set one of them right")
    if type(current_clock()) is Clock:
        drift = abs((time.time() - _BEGAN[0]) - (Clock().monotonic() - _BEGAN[1]))
        if drift > _APART.total_seconds():
            raise UnsafeStore("this system's wall clock was moved by more than five minutes since the process began; restart it")


def _batches(tokens: Tokens, due: Expression, params: dict[str, Any], batch_size: int | None) -> AsyncIterator[int]:
    if needs_records(tokens.runtime.info, tokens.options):
        return _record_by_record(tokens, due, params, batch_size or 500)
    plan = tokens.runtime.plan(("tokens", "sweep"), lambda: DeleteInBatches(due))
    return tokens.store.delete_in_batches(plan, params, size=batch_size)


async def _record_by_record(tokens: Tokens, due: Expression, params: dict[str, Any], size: int) -> AsyncIterator[int]:
    """Sweep through the declared action, a page at a time, so that its changes and notifiers see each record.

    What the action refuses stays, a record that was prolonged meanwhile too. Raises what the store could not do.
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
    # Cut-offs and ended families are no records of anybody's, so no action meets them.
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

    async def run(self, context: ServiceContext) -> ExpungeResult:
        """Sweep once; ends between two batches when the supervisor stops."""
        return await sweep(tokens_of(context.resource), proceed=context.proceed)

    async def lag(self, context: ServiceContext) -> timedelta:
        """Return the age of the oldest record that a sweep should already have removed, counted from when it was due."""
        tokens = tokens_of(context.resource)
        oldest = await oldest_expiry(tokens)
        return timedelta(0) if oldest is None else max(timedelta(0), utc_now() - tokens.options.margin - oldest)
