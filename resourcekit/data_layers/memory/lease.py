"""Leases in memory: one holder a name, in this process. It knows the clock and nobody else."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

from resourcekit.data_layers import base
from resourcekit.data_layers.rows.table import LOCK
from resourcekit.flow.clock import current_clock

__all__ = ["Lease"]

_held: dict[str, Lease] = {}


class Lease(base.Lease):
    """See the port."""

    __slots__ = ("_is_kept", "_name", "_ttl", "ends_at")

    def __init__(self, name: str, ttl: timedelta) -> None:
        self._name, self._ttl = name, ttl
        self._is_kept = False
        self.ends_at = 0.0

    async def __aenter__(self) -> bool:
        """Take the name, unless somebody holds it."""
        clock = current_clock()
        moment = clock.monotonic()
        with LOCK:
            holder = _held.get(self._name)
            if holder is not None and holder.ends_at > moment:
                self.until = clock.now() + timedelta(seconds=holder.ends_at - moment)
                return False
            self._hold(self._ttl)
        return True

    def _hold(self, ttl: timedelta) -> None:
        clock = current_clock()
        self.ends_at, self.until = clock.monotonic() + ttl.total_seconds(), clock.now() + ttl
        _held[self._name] = self

    async def keep(self, ttl: timedelta) -> bool:
        """See the port."""
        with LOCK:
            if _held.get(self._name) is not self or self.ends_at <= current_clock().monotonic():
                return False
            self._is_kept = True
            self._hold(ttl)
        return True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the name back, if it is still held here and was not to be kept."""
        with LOCK:
            if _held.get(self._name) is self and not self._is_kept:
                del _held[self._name]
