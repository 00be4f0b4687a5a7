"""The schedule lease: one run in each interval for a whole fleet, by a lease in the resource's own store.

During a run the lease is short and is renewed, so that it passes on soon if its holder dies. After a successful run it is
kept for the rest of the interval. A process that tries in that time, including one that restarted, learns when the next run
is due.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import attrs

from resourcekit.clock import current_clock
from resourcekit.data_layers.base import Capability, Lease

__all__ = ["HeldElsewhere", "Renew", "ScheduleLease", "schedule_lease_for"]

T = TypeVar("T")
Renew = Callable[[], Awaitable[bool]]

_HOLD = timedelta(seconds=60)
"""Time until the lease of a dead holder ends; a living one renews it three times in that time."""

_APART = timedelta(minutes=5)
"""Tolerance for the clock of a store. A lease that ends later than an interval plus this was taken with a wrong clock."""


@attrs.frozen
class HeldElsewhere:
    """Another process holds the lease, or ran the service in this interval.

    until: when the lease may be taken. ago: how long ago the last successful run of another process began, if known.
    """

    until: datetime | None
    ago: timedelta | None = None


@attrs.frozen
class ScheduleLease:
    """The schedule lease of one service of one resource, as this process uses it."""

    store: Any
    name: str
    interval: timedelta

    async def take(
        self, work: Callable[[Renew], Awaitable[T]], *, must: bool, is_whole: Callable[[], bool] = lambda: True
    ) -> T | HeldElsewhere:
        """Run the work if the lease is free, or in any case if ``must``. Raise the errors of the store and of the work.

        is_whole: called after the work. If the work was cut short, or failed, the lease is released, so that the next
            attempt, of any process, continues at once.
        """
        hold = min(_HOLD, self.interval)
        lease = self.store.lease(self.name, hold)
        began = current_clock().monotonic()
        async with lease as held:
            if not held and not must:
                if self._is_beyond_interval(lease.until):
                    # The store's clock was wrong when the lease was taken, and was corrected since. Use another name for the
                    # lease.
                    return await attrs.evolve(self, name=f"{self.name}'").take(work, must=must, is_whole=is_whole)
                return HeldElsewhere(lease.until, self._ago(lease.until, hold))
            try:
                result = await work(_renewing(lease, hold) if held else _always)
            except (
                Exception,
                SystemExit,
                KeyboardInterrupt,
            ):  # cancellation and generator exit leave no time to release the lease
                with contextlib.suppress(Exception):  # the store may be the cause, and the lease ends soon
                    await self._keep(lease, held, timedelta(0))
                raise
            rest = self.interval.total_seconds() - (current_clock().monotonic() - began)
            await self._keep(lease, held, timedelta(seconds=max(1.0, rest)) if is_whole() else timedelta(0))
            return result

    async def _keep(self, lease: Lease, held: bool, ttl: timedelta) -> None:
        # This also ends it: a run that renewed its lease holds it beyond the end of the block.
        if held:
            await lease.keep(ttl)

    def _is_beyond_interval(self, until: datetime | None) -> bool:
        return until is not None and until - current_clock().now() > self.interval + _APART

    def _ago(self, until: datetime | None, hold: timedelta) -> timedelta | None:
        left = timedelta(0) if until is None else until - current_clock().now()
        # A lease with more time left than runs hold it was kept after a successful run.
        return max(timedelta(0), self.interval - left) if left > hold or hold == self.interval else None


def schedule_lease_for(resource: Any, service: str, interval: timedelta) -> ScheduleLease | None:
    """Return the schedule lease of a service; ``None`` if the store is not shared with other processes, or has no leases."""
    store = resource.__runtime__.store
    if store.place is None or Capability.LEASE not in store.capabilities:
        return None
    return ScheduleLease(store, f"{resource.__module__}.{resource.__qualname__}/{service}", interval)


def _renewing(lease: Lease, hold: timedelta) -> Renew:
    last = current_clock().monotonic()

    async def renew() -> bool:
        nonlocal last
        now = current_clock().monotonic()
        if now - last < hold.total_seconds() / 3:
            return True
        last = now
        return await lease.keep(hold)

    return renew


async def _always() -> bool:
    return True
