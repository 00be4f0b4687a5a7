"""Leases in memory: names that at most one caller in this process holds."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from types import TracebackType

from resourcekit.clock import current_clock
from resourcekit.data_layers import base
from resourcekit.data_layers.rows.table import IN_TIME, LOCK, releases_lock

__all__ = ["Lease"]

_held: dict[str, Lease] = {}


def _after_fork_in_child() -> None:
    # A lease of another thread is the parent's: no thread would release it here.
    for name, lease in list(_held.items()):
        if lease.thread != threading.get_ident():
            del _held[name]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Lease(base.Lease):
    """A lease in the memory of this process. thread: the thread that took it."""

    __slots__ = ("_is_kept", "_name", "_ttl", "ends_at", "thread")

    def __init__(self, name: str, ttl: timedelta) -> None:
        self._name, self._ttl = name, ttl
        self._is_kept = False
        self.ends_at, self.thread = 0.0, 0

    async def __aenter__(self) -> bool:
        """Take the name, unless another caller holds it."""
        return self._take()

    @releases_lock
    def _take(self) -> bool:
        clock = current_clock()
        moment = clock.monotonic()
        with IN_TIME:
            holder = _held.get(self._name)
            if holder is not None and holder.ends_at > moment:
                self.until = clock.now() + timedelta(seconds=holder.ends_at - moment)
                return False
            self._hold(self._ttl)
        return True

    def _hold(self, ttl: timedelta) -> None:
        clock = current_clock()
        self.ends_at, self.until = clock.monotonic() + ttl.total_seconds(), clock.now() + ttl
        self.thread = threading.get_ident()
        _held[self._name] = self

    async def keep(self, ttl: timedelta) -> bool:
        return self._keep(ttl)

    @releases_lock
    def _keep(self, ttl: timedelta) -> bool:
        with IN_TIME:
            if _held.get(self._name) is not self or self.ends_at <= current_clock().monotonic():
                return False
            self._is_kept = True
            self._hold(ttl)
        return True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the name, if it is still held and was not kept with ``keep``."""
        self._give_back()

    @releases_lock
    def _give_back(self) -> None:
        with LOCK:
            if _held.get(self._name) is self and not self._is_kept:
                del _held[self._name]
