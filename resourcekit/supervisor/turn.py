"""One run an interval for a whole fleet, by a lease in the resource's own store. It knows leases, and no service.

The lease is short while a run goes on, and renewed by it, so that it passes on soon when its holder dies. After a good run
it is kept for the rest of the interval: whoever comes in that time, a restarted worker too, learns when the next one is due.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import attrs

from resourcekit.data_layers.base import Capability, Lease
from resourcekit.flow.clock import current_clock

__all__ = ["Elsewhere", "Renew", "Turn", "turn_for"]

T = TypeVar("T")
Renew = Callable[[], Awaitable[bool]]

_HOLD = timedelta(seconds=60)
"""How long a dead holder keeps its turn; a living one renews it three times in that time."""

_APART = timedelta(minutes=5)
"""Nobody keeps a turn for longer than an interval, but clocks of stores are corrected now and then."""


@attrs.frozen
class Elsewhere:
    """Another process has the turn, or had it in this interval.

    until: when the next one may take it. ago: how long ago the last good run of another began, where that can be told.
    """

    until: datetime | None
    ago: timedelta | None = None


@attrs.frozen
class Turn:
    """The turn of this process at one service of one resource."""

    store: Any
    name: str
    interval: timedelta

    async def take(
        self, work: Callable[[Renew], Awaitable[T]], *, must: bool, is_whole: Callable[[], bool] = lambda: True
    ) -> T | Elsewhere:
        """Do the work if it is this process's turn; ``must``: in any case. Raises what the store and the work raise.

        is_whole: asked after the work. Where it was cut short, or failed, the turn is given back, so that whoever comes next,
        this process too, goes on at once.
        """
        hold = min(_HOLD, self.interval)
        lease = self.store.lease(self.name, hold)
        began = current_clock().monotonic()
        async with lease as held:
            if not held and not must:
                if self._is_absurd(lease.until):
                    # Kept by a clock of the store's that has been set right since. The turn goes on under another name.
                    return await attrs.evolve(self, name=f"{self.name}'").take(work, must=must, is_whole=is_whole)
                return Elsewhere(lease.until, self._ago(lease.until, hold))
            try:
                result = await work(_renewing(lease, hold) if held else _always)
            except (Exception, SystemExit, KeyboardInterrupt):  # what ends the process, or the task, has no time for that
                with contextlib.suppress(Exception):  # the store may be what failed, and the lease is over soon
                    await self._keep(lease, held, timedelta(0))
                raise
            rest = self.interval.total_seconds() - (current_clock().monotonic() - began)
            await self._keep(lease, held, timedelta(seconds=max(1.0, rest)) if is_whole() else timedelta(0))
            return result

    async def _keep(self, lease: Lease, held: bool, ttl: timedelta) -> None:
        # Also to end it: a run that renewed its lease holds it beyond the end of the block.
        if held:
            await lease.keep(ttl)

    def _is_absurd(self, until: datetime | None) -> bool:
        return until is not None and until - current_clock().now() > self.interval + _APART

    def _ago(self, until: datetime | None, hold: timedelta) -> timedelta | None:
        left = timedelta(0) if until is None else until - current_clock().now()
        # A lease that is held for longer than a run holds it, was kept after a good one.
        return max(timedelta(0), self.interval - left) if left > hold or hold == self.interval else None


def turn_for(resource: Any, service: str, interval: timedelta) -> Turn | None:
    """Return the turn at a service; ``None`` where no other process can see the resource's store, or it has no leases."""
    store = resource.__runtime__.store
    if store.place is None or Capability.LEASE not in store.capabilities:
        return None
    return Turn(store, f"{resource.__module__}.{resource.__qualname__}/{service}", interval)


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
