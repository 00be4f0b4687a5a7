"""Leases on the server: one holder a name, lost when it dies. It knows names and no resource."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from types import TracebackType

from resourcekit.data_layers import base
from resourcekit.data_layers.redis.scripts import GIVE_BACK, HOLD, KEEP, Script, Words
from resourcekit.data_layers.redis.server import Server
from resourcekit.flow.clock import Clock, current_clock

__all__ = ["Lease"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Lease(base.Lease):
    """See the port."""

    def __init__(self, server: Server, tag: str, name: str, ttl: timedelta) -> None:
        self._server, self._tag = server, tag
        self._name = f"{{{tag}}}!lease:{name}".encode()
        self._ttl = ttl
        self._holder = secrets.token_hex(8).encode()
        self._holds = self._is_kept = False

    async def __aenter__(self) -> bool:
        """Take the name, unless somebody holds it."""
        held, left = await self._ask(HOLD, self._ttl)
        self._holds = held == 1
        self.until = current_clock().now() + timedelta(milliseconds=left)
        return self._holds

    async def keep(self, ttl: timedelta) -> bool:
        """See the port."""
        held, _ = await self._ask(KEEP, ttl)
        if held:
            self._is_kept, self.until = True, current_clock().now() + ttl
        return bool(held)

    async def _ask(self, script: Script, ttl: timedelta) -> tuple[int, int]:
        """Run a script that answers whether the name is held here, and for how many milliseconds it is held at all."""
        clock = current_clock()
        # A clock moved by hand is not the server's, so it brings its own moment along.
        moment = b"" if type(clock) is Clock else b"%d" % ((clock.now() - _EPOCH) // _MILLISECOND)
        words: Words = [self._holder, max(1, ttl // _MILLISECOND), moment]
        ((held, left),) = await self._server.script(self._tag, script, self._name, words, writes=True)
        return held, left

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the name back, if it is still held here and was not to be kept."""
        if self._holds and not self._is_kept:
            await self._server.script(self._tag, GIVE_BACK, self._name, [self._holder], writes=True)
