"""Connections to a server or a cluster, in both colours, and one round trip over them. It knows no resource.

Everything of one hash tag lies in one slot, so a redirect of a cluster is remembered for the tag and followed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from redis import ConnectionPool, exceptions
from redis.asyncio import ConnectionPool as AsyncPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from resourcekit.data_layers.redis.failures import lost, refused, too_late, unreachable
from resourcekit.data_layers.redis.safety import ASK, Facts, read_facts
from resourcekit.data_layers.redis.scripts import Script, Words
from resourcekit.data_layers.redis.sockets import bounded
from resourcekit.errors import DataLayerError, Timeout, UnsafeStore
from resourcekit.flow.context import Colour, ambient_context, colour

__all__ = ["Server", "server_for"]

Command = Sequence[bytes | int]
Address = str
"""A URL: one of those that were given, or one with the place that a cluster named."""

Connection = Any
"""redis-py's, which has no types for the calls that are needed here."""

_REDIRECTS = 5
_ANSWERS = (exceptions.ResponseError, exceptions.BusyLoadingError, exceptions.AuthenticationError)
_LOST = (exceptions.ConnectionError, exceptions.RedisError, OSError, EOFError)


class _Home:
    """What a process has opened; a fork starts with an empty one."""

    def __init__(self) -> None:
        self.idle: dict[Address, deque[Connection]] = {}
        self.loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
        self.places: dict[str, Address] = {}
        self.pid = os.getpid()


class _Loop:
    """The idle connections of one event loop; they are closed when it ends."""

    def __init__(self) -> None:
        self.idle: dict[Address, deque[Connection]] = {}
        self._watch: AsyncGenerator[None] | None = None

    async def watch(self) -> None:
        # A loop that ends closes its async generators: the one place from which connections can still be closed.
        if self._watch is None:
            self._watch = self._until_the_end()
            await anext(self._watch)

    async def _until_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        for connections in self.idle.values():
            await _close_all_async(connections)


class Server:
    """A server, or a cluster, by the URLs of some of its nodes. accepted: settings that may be unsafe, by name."""

    def __init__(self, urls: tuple[str, ...], seconds: float, accepted: frozenset[str]) -> None:
        self.urls, self.seconds, self._accepted = urls, seconds, accepted
        self._home = _Home()

    @property
    def home(self) -> _Home:
        """What this process has opened."""
        if self._home.pid != os.getpid():
            self._home = _Home()
        return self._home

    async def script(self, tag: str, script: Script, key: bytes, words: Words, *after: Command, writes: bool) -> list[Any]:
        """Run a script, and commands after it, in one round trip; return all answers."""
        answers = await self.ask(tag, [script.call(key, words), *after], writes=writes)
        if isinstance(answers[0], exceptions.NoScriptError):
            answers = await self.ask(tag, [script.call(key, words, known=False), *after], writes=writes)
        return [_sound(answer) for answer in answers]

    async def ask(self, tag: str, commands: Sequence[Command], *, writes: bool = False) -> list[Any]:
        """Run commands on the node of a tag in one round trip. An answer that says no is an exception in the list.

        Raises Timeout, Unavailable, UnsafeStore, or OutcomeUnknown where a write was sent and no answer came.
        """
        was_demoted = False
        for address in self._ways(tag):
            if colour.get() is Colour.SYNC:
                answers = self._exchange(address, commands, writes=writes)
            else:
                answers = await self._exchange_async(address, commands, writes=writes)
            if not was_demoted and any(isinstance(answer, exceptions.ReadOnlyError) for answer in answers):
                was_demoted = True  # nothing was written; its name may lead to another server by now
                await self._leave(address)
                continue
            moved = next((answer for answer in answers if isinstance(answer, (exceptions.MovedError, exceptions.AskError))), None)
            if moved is None:
                return answers
            self.home.places[tag] = _elsewhere(address, *moved.node_addr)
        raise unreachable()

    def _ways(self, tag: str) -> Iterator[Address]:
        """Yield where to ask: the remembered place and those that a cluster points to, first of all."""
        places = self.home.places
        for attempt in range(_REDIRECTS):
            yield places.get(tag) or self.urls[attempt % len(self.urls)]

    # Sync

    def _exchange(self, address: Address, commands: Sequence[Command], *, writes: bool) -> list[Any]:
        seconds = _left(self.seconds)
        connection = self._take(address, seconds)
        try:
            connection._sock.end_after(seconds)  # noqa: SLF001  # redis-py sets it once for all calls
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            answers = [_answer(connection) for _ in commands]
        except BaseException as error:
            connection.disconnect()
            if not isinstance(error, _LOST):
                raise
            raise lost(late=isinstance(error, (exceptions.TimeoutError, TimeoutError)), writes=writes) from None
        self.home.idle[address].append(connection)
        return answers

    def _take(self, address: Address, seconds: float) -> Connection:
        idle = self.home.idle.setdefault(address, deque())
        with contextlib.suppress(IndexError):
            connection = idle.pop()
            with contextlib.suppress(*_LOST):
                if not connection.can_read():
                    return connection
            connection.disconnect()
        return self._connect(address, seconds)

    def _connect(self, address: Address, seconds: float) -> Connection:
        pool: Any = ConnectionPool.from_url(address, protocol=2, retry=Retry(NoBackoff(), 0))
        pool.connection_class = bounded(pool.connection_class)
        connection: Connection = pool.make_connection()
        connection.socket_connect_timeout = connection.socket_timeout = seconds
        try:
            connection.connect()
            connection._sock.end_after(seconds)  # noqa: SLF001  # see above
            connection.send_packed_command(connection.pack_commands(ASK))
            self._refuse_unsafe(read_facts([_answer(connection) for _ in ASK]))
        except BaseException as error:
            connection.disconnect()
            self._forget(address)
            raise _not_connected(error) from None
        return connection

    # Async

    async def _exchange_async(self, address: Address, commands: Sequence[Command], *, writes: bool) -> list[Any]:
        seconds = _left(self.seconds)
        sent = False
        connection = None
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                connection = await self._take_async(address, seconds)
                sent = True
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                answers = [await _answer_async(connection) for _ in commands]
        except BaseException as error:
            if connection is not None:
                await connection.disconnect(nowait=True)
            if limit.expired() or isinstance(error, (exceptions.TimeoutError, TimeoutError)):
                raise (lost(late=True, writes=writes) if sent else too_late()) from None
            if isinstance(error, DataLayerError) or not isinstance(error, _LOST):
                raise
            raise lost(late=False, writes=writes) from None
        self._loop().idle[address].append(connection)
        return answers

    def _loop(self) -> _Loop:
        return self.home.loops.setdefault(asyncio.get_running_loop(), _Loop())

    async def _take_async(self, address: Address, seconds: float) -> Connection:
        idle = self._loop().idle.setdefault(address, deque())
        with contextlib.suppress(IndexError):
            connection = idle.pop()
            with contextlib.suppress(*_LOST):
                if not _has_ended(connection) and not await connection.can_read():
                    return connection
            await connection.disconnect(nowait=True)
        return await self._connect_async(address, seconds)

    async def _connect_async(self, address: Address, seconds: float) -> Connection:
        await self._loop().watch()
        pool: Any = AsyncPool.from_url(address, protocol=2, retry=AsyncRetry(NoBackoff(), 0))
        connection: Connection = pool.make_connection()
        connection.socket_connect_timeout = seconds
        try:
            await connection.connect()
            await connection.send_packed_command(connection.pack_commands(ASK))
            self._refuse_unsafe(read_facts([await _answer_async(connection) for _ in ASK]))
        except BaseException as error:
            await connection.disconnect(nowait=True)
            self._forget(address)
            raise _not_connected(error) from None
        return connection

    # Both

    async def _leave(self, address: Address) -> None:
        """Close the connections to an address that nobody uses, and do not go there again because a cluster said so."""
        self._forget(address)
        if colour.get() is Colour.SYNC:
            _close_all(self.home.idle.get(address, deque()))
        else:
            await _close_all_async(self._loop().idle.get(address, deque()))

    def _forget(self, address: Address) -> None:
        """Stop going to a place that a cluster named; ask a node that the user named instead."""
        places = self.home.places
        for tag in [tag for tag, place in places.items() if place == address]:
            del places[tag]
        self.urls = (*self.urls[1:], self.urls[0]) if address == self.urls[0] else self.urls

    def _refuse_unsafe(self, facts: Facts) -> None:
        unsafe = [fact for fact in facts.unsafe() if fact.name not in self._accepted]
        if unsafe:
            raise UnsafeStore("; ".join(f"{fact.what}. {fact.cure}" for fact in unsafe))

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        for connections in self.home.idle.values():
            _close_all(connections)
        with contextlib.suppress(RuntimeError):  # in a sync call there is no loop
            await self._loop().close()


def _close_all(idle: deque[Connection]) -> None:
    while idle:
        idle.pop().disconnect()


async def _close_all_async(idle: deque[Connection]) -> None:
    while idle:
        await idle.pop().disconnect(nowait=True)


def _left(most: float) -> float:
    seconds = ambient_context().remaining(most)
    if seconds <= 0:
        raise too_late()
    return seconds


def _has_ended(connection: Any) -> bool:
    """Say whether the server has ended a connection that nobody used, though the loop had no moment to notice."""
    writer = connection._writer  # noqa: SLF001  # redis-py has no name for it
    if writer is None or not hasattr(select, "poll"):
        return writer is None
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _answer(connection: Connection) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except _ANSWERS as error:
        return error


async def _answer_async(connection: Connection) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except _ANSWERS as error:
        return error


def _sound(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise refused(answer)
    return answer


def _not_connected(error: BaseException) -> BaseException:
    if isinstance(error, DataLayerError) or not isinstance(error, _LOST):
        return error
    if isinstance(error, _ANSWERS):
        return refused(error)
    return Timeout("the deadline passed before the server could be reached") if _is_late(error) else unreachable()


def _is_late(error: BaseException) -> bool:
    return isinstance(error, (exceptions.TimeoutError, TimeoutError))


def _elsewhere(address: Address, host: str, port: int) -> Address:
    """Return the URL with the place that a cluster named; an empty host means the one that was asked."""
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    login, at, place = authority.rpartition("@")
    return f"{scheme}://{login}{at}{host or place.rpartition(':')[0]}:{port}{slash}{path}"


_servers: weakref.WeakValueDictionary[tuple[tuple[str, ...], float, frozenset[str]], Server] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def server_for(urls: tuple[str, ...], seconds: float, accepted: frozenset[str]) -> Server:
    """Return the one Server of this process for these URLs and settings."""
    with _lock:
        key = (urls, seconds, accepted)
        server = _servers.get(key)
        if server is None:
            server = _servers[key] = Server(*key)
        return server
