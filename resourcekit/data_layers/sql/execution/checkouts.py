"""The connection that a stream takes from a pool, in a sync and in an async call: one interface, so that its user is written once.

A maintainer opens it to let other code use a connection in both call modes. The methods of ``SyncCheckout`` never suspend.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from resourcekit.call_context import CallMode, Deadline, call_mode
from resourcekit.data_layers.sql.execution.async_pool import AsyncConnection, Checkout
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.execution.engines import Engines
from resourcekit.data_layers.sql.execution.execute import with_timeout
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.data_layers.sql.execution.pool import SyncPool

__all__ = ["SyncCheckout", "checkout_of", "run_on"]

T = TypeVar("T")


class SyncCheckout:
    """All that a sync call holds of a pool: a connection, which belongs to its thread. The counterpart of ``Checkout``."""

    __slots__ = ("_pool", "_use", "connection")

    def __init__(self, pool: SyncPool, use: Use) -> None:
        self._pool, self._use = pool, use
        self.connection: Connection | None = None

    async def take(self, deadline: Deadline) -> Connection:
        """Return a connection; waits while all are in use."""
        self.connection = connection = self._pool.take(deadline, self._use)
        return connection

    def put(self) -> None:
        """Give back a connection in autocommit mode, on which nothing is open."""
        if self.connection is not None:
            self._pool.put(self.connection)
            self.connection = None

    async def put_back(self, error: BaseException) -> None:
        """Give the connection back after an error; it is closed, unless it is known to be clean."""
        if self.connection is not None:
            self._pool.put_back(self.connection, error)
            self.connection = None

    def abandon(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self._pool.discard(self.connection)
            self.connection = None

    async def stop(self, error: GeneratorExit) -> None:
        """Give the connection back, although not all has been read; it is closed, unless it is clean and of this thread."""
        connection = self.connection
        if connection is not None and connection.user == threading.get_ident() and connection.is_clean():
            self.put()
        else:
            await self.put_back(error)


def checkout_of(repo: Engines, use: Use) -> SyncCheckout | Checkout:
    """Return a checkout, which has nothing yet, of the pool for the call mode of this call."""
    if call_mode.get() is CallMode.SYNC:
        return SyncCheckout(repo.sync_pool, use)
    return repo.async_pools.here().checkout(use)


async def run_on(connection: Connection, deadline: Deadline, function: Callable[..., T], *args: Any) -> T:
    """Run ``function(connection, *args)``. In an async call, raise Timeout once the deadline has passed."""
    if isinstance(connection, AsyncConnection):
        return await with_timeout(deadline, connection.work, function, *args)
    return function(connection, *args)
