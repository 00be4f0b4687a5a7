"""Leases on a Redis server: names that at most one caller holds, which expire if the holder dies."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from types import TracebackType

from resourcekit.call_context import Call, apart
from resourcekit.clock import Clock, current_clock
from resourcekit.data_layers import base
from resourcekit.data_layers.redis.failures import refused
from resourcekit.data_layers.redis.scripts import GIVE_BACK, HOLD, KEEP, RECORD_SETTING, Script, Words
from resourcekit.data_layers.redis.server import Server

__all__ = ["Lease", "record_setting", "recorded_setting"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Lease(base.Lease):
    """A lease that is kept by the server."""

    def __init__(self, server: Server, tag: str, name: str, ttl: timedelta) -> None:
        self._server, self._tag = server, tag
        self._name = f"{{{tag}}}!lease:{name}".encode()
        self._ttl = ttl
        self._holder = secrets.token_hex(8).encode()
        self._holds = self._is_kept = False

    async def __aenter__(self) -> bool:
        """Take the name, unless another caller holds it."""
        with apart(Call()):  # a lease surrounds long work, so it has a timeout of its own
            held, left = await self._ask(HOLD, self._ttl)
        self._holds = held == 1
        self.until = current_clock().now() + timedelta(milliseconds=left)
        return self._holds

    async def keep(self, ttl: timedelta) -> bool:
        with apart(Call()):
            held, _ = await self._ask(KEEP, ttl)
        if held:
            self._is_kept, self.until = True, current_clock().now() + ttl
        return bool(held)

    async def _ask(self, script: Script, ttl: timedelta) -> tuple[int, int]:
        """Run a script. Return whether this lease holds the name, and for how many milliseconds any lease holds it."""
        clock = current_clock()
        # A manual clock differs from the server's clock, so its time is sent along.
        moment = b"" if type(clock) is Clock else b"%d" % ((clock.now() - _EPOCH) // _MILLISECOND)
        words: Words = [self._holder, max(1, ttl // _MILLISECOND), moment]
        ((held, left),) = await self._server.script(self._tag, script, self._name, words, writes=True)
        return held, left

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the name, if it is still held and was not kept with ``keep``."""
        if self._holds and not self._is_kept:
            with apart(Call()):
                await self._server.script(self._tag, GIVE_BACK, self._name, [self._holder], writes=True)


async def record_setting(server: Server, tag: str, key: bytes, value: int, lowered_after: timedelta) -> int:
    """Record a setting in one script, whatever other processes record at once, and return the value in force."""
    moment = (current_clock().now() - _EPOCH) // _MILLISECOND
    with apart(Call()):
        words: Words = [b"%d" % value, b"%d" % moment, b"%d" % (moment - lowered_after // _MILLISECOND)]
        (answer,) = await server.script(tag, RECORD_SETTING, key, words, writes=True)
    return int(answer)


async def recorded_setting(server: Server, tag: str, key: bytes) -> int | None:
    """Return the value of a setting; ``None`` if it is not there."""
    with apart(Call()):
        (answer,) = await server.ask(tag, [(b"HGET", key, b"value")])
    if isinstance(answer, Exception):
        raise refused(answer)
    return None if answer is None else int(answer)
