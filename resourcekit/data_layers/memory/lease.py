"""Leases in memory: one holder a name, in this process. It knows the clock and nobody else."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType

from resourcekit.data_layers.rows.table import LOCK
from resourcekit.flow.clock import current_clock

__all__ = ["Lease"]

_held: dict[str, Lease] = {}


class Lease(AbstractAsyncContextManager[bool]):
    """``async with``: whether this block holds the name, until its end or for ``ttl``, whichever is shorter."""

    __slots__ = ("_name", "_ttl", "ends_at")

    def __init__(self, name: str, ttl: timedelta) -> None:
        self._name = name
        self._ttl = ttl.total_seconds()
        self.ends_at = 0.0

    async def __aenter__(self) -> bool:
        """Take the name, unless somebody holds it."""
        moment = current_clock().monotonic()
        with LOCK:
            holder = _held.get(self._name)
            if holder is not None and holder.ends_at > moment:
                return False
            self.ends_at = moment + self._ttl
            _held[self._name] = self
        return True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the name back, if it is still held here."""
        with LOCK:
            if _held.get(self._name) is self:
                del _held[self._name]
