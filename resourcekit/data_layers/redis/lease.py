"""Leases on the server: one holder a name, lost when it dies. It knows names and no resource."""

from __future__ import annotations

import secrets
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType

from resourcekit.data_layers.redis.scripts import GIVE_BACK, HOLD
from resourcekit.data_layers.redis.server import Server
from resourcekit.flow.clock import Clock, current_clock

__all__ = ["Lease"]


class Lease(AbstractAsyncContextManager[bool]):
    """``async with``: whether this block holds the name, until its end or for ``ttl``, whichever is shorter."""

    def __init__(self, server: Server, tag: str, name: str, ttl: timedelta) -> None:
        self._server, self._tag = server, tag
        self._name = f"{{{tag}}}!lease:{name}".encode()
        self._ttl = ttl
        self._holder = secrets.token_hex(8).encode()
        self._holds = False

    async def __aenter__(self) -> bool:
        """Take the name, unless somebody holds it."""
        clock = current_clock()
        milliseconds = max(1, int(self._ttl.total_seconds() * 1000))
        # A clock moved by hand is not the server's, so it brings its own moment along.
        moment = b"" if type(clock) is Clock else b"%d" % int(clock.monotonic() * 1000)
        (answer,) = await self._server.script(self._tag, HOLD, self._name, [self._holder, milliseconds, moment], writes=True)
        self._holds = answer == 1
        return self._holds

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the name back, if it is still held here."""
        if self._holds:
            await self._server.script(self._tag, GIVE_BACK, self._name, [self._holder], writes=True)
