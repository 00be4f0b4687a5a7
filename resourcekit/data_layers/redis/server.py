"""Connections to a server or a cluster, for sync and async calls, and one round trip over them.

All keys of one hash tag are in one slot. So a redirect of a cluster is remembered for the tag, and followed at once.
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

from resourcekit.call_context import CallMode, Deadline, call_deadline, call_mode
from resourcekit.clock import current_clock
from resourcekit.data_layers.log_redaction import redact
from resourcekit.data_layers.opening import Opening
from resourcekit.data_layers.redis.addresses import Address, elsewhere
from resourcekit.data_layers.redis.failures import LATE, lost, not_primary, refused, too_late, unreachable
from resourcekit.data_layers.redis.safety import ASK, ASK_MORE, Facts, read_facts
from resourcekit.data_layers.redis.scripts import Script, Words
from resourcekit.data_layers.redis.sockets import Command, packed, with_timeout
from resourcekit.errors import DataLayerError, Timeout, UnsafeStore
from resourcekit.forks import free_after_fork
from resourcekit.signals import require_no_signal

__all__ = [
    "Command",
    "Server",
    "server_for",
]


Connection = Any
"""A connection of redis-py, which has no types for the calls that are used here."""

_REDIRECTS = 5

_SETTINGS_HOLD = 5.0
"""Seconds that the settings of a server are trusted. Then a connection asks for them again before it is used."""
_ANSWERS = (exceptions.ResponseError, exceptions.BusyLoadingError, exceptions.AuthenticationError)
_LOST = (exceptions.ConnectionError, exceptions.RedisError, OSError, EOFError)


class _ProcessConnections:
    """The connections that a process has opened. After a fork the child starts with an empty one."""

    def __init__(self) -> None:
        self.idle: dict[Address, deque[Connection]] = {}
        self.loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
        self.places: dict[str, Address] = {}
        self.pid = os.getpid()


class _Loop:
    """The idle connections of one event loop. They are closed when it ends."""

    def __init__(self) -> None:
        self.idle: dict[Address, deque[Connection]] = {}
        self._watch: AsyncGenerator[None] | None = None

    async def watch(self) -> None:
        # A loop that ends closes its async generators. Only there can the connections still be closed.
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


class _NotReached(Exception):  # internal: the next server is tried, or the inner error is raised
    """A server could not be reached, or is a replica. Nothing was sent."""

    def __init__(self, error: DataLayerError) -> None:
        super().__init__()
        self.error = error


class Server:
    """A server; a cluster, by the URLs of some of its nodes; or a primary and its replicas, of which the primary is used.

    accepted: names of unsafe settings that the user accepts.
    """

    def __init__(self, urls: tuple[str, ...], seconds: float, accepted: frozenset[str]) -> None:
        self.urls, self.seconds, self.accepted = urls, seconds, accepted
        self._order = urls
        self._process_state = _ProcessConnections()

    @property
    def process_state(self) -> _ProcessConnections:
        """The connections that this process has opened."""
        if self._process_state.pid != os.getpid():
            self._process_state = _ProcessConnections()
        return self._process_state

    async def script(
        self, tag: str, script: Script, key: bytes | tuple[bytes, ...], words: Words, *after: Command, writes: bool
    ) -> list[Any]:
        """Run a script, and commands after it, in one round trip. Return all answers."""
        # A WAIT behind a script that the server does not know would use up the time of the one behind the repetition.
        answers = await self.ask(tag, [script.call(key, words, known=not after), *after], writes=writes)
        if isinstance(answers[0], exceptions.NoScriptError):
            answers = await self.ask(tag, [script.call(key, words, known=False), *after], writes=writes)
        return [_sound(answer) for answer in answers]

    async def ask(self, tag: str, commands: Sequence[Command], *, writes: bool = False) -> list[Any]:
        """Run commands on the node of a tag in one round trip. An error answer is an exception in the list.

        Raise Timeout, Unavailable, UnsafeStore for an unsafe setting, or OutcomeUnknown if a write was sent and not answered.
        """
        was_demoted, failed = False, 0
        for address in self._ways(tag):
            try:
                if call_mode.get() is CallMode.SYNC:
                    answers = self._exchange(address, commands, writes=writes)
                else:
                    answers = await self._exchange_async(address, commands, writes=writes)
            except _NotReached as nothing:
                self._forget(address)
                failed += 1
                if failed >= len(self.urls):
                    raise nothing.error from None
                continue
            if not was_demoted and any(isinstance(answer, exceptions.ReadOnlyError) for answer in answers):
                was_demoted = True  # nothing was written; the host name may now lead to another server
                await self._leave(address)
                continue
            moved = next((answer for answer in answers if isinstance(answer, (exceptions.MovedError, exceptions.AskError))), None)
            if moved is None:
                return answers
            self.process_state.places[tag] = elsewhere(address, *moved.node_addr)
        raise unreachable()

    def _ways(self, tag: str) -> Iterator[Address]:
        """Yield the address to try next: the one that a cluster named for the tag, else the next of the user's URLs."""
        places = self.process_state.places
        for _ in range(_REDIRECTS + len(self.urls)):
            yield places.get(tag) or self._order[0]

    # Sync

    def _exchange(self, address: Address, commands: Sequence[Command], *, writes: bool) -> list[Any]:
        deadline = call_deadline(self, self.seconds)
        connection = self._take(address, deadline)
        try:
            deadline.require(LATE)
            connection._sock.end_at(deadline)  # noqa: SLF001  # redis-py sets a timeout only once, for all calls
            connection.send_packed_command(packed(commands), check_health=False)
            answers = [_answer(connection) for _ in commands]
        except BaseException as error:
            connection.disconnect()
            require_no_signal(error)
            if not isinstance(error, _LOST):
                raise
            raise lost(late=isinstance(error, (exceptions.TimeoutError, TimeoutError)), writes=writes) from None
        self.process_state.idle[address].append(connection)
        return answers

    def _take(self, address: Address, deadline: Deadline) -> Connection:
        idle = self.process_state.idle.setdefault(address, deque())
        with contextlib.suppress(IndexError):
            connection = idle.pop()
            with contextlib.suppress(*_LOST):
                if not connection.can_read():
                    if _is_due(connection):
                        self._ask_settings(address, connection, deadline)
                    return connection
            connection.disconnect()
        opening: Opening[Connection] = Opening(lambda: self._connect(address, deadline), _disconnect)
        return opening.wait(deadline, "the deadline passed before the server could be reached")

    def _connect(self, address: Address, deadline: Deadline) -> Connection:
        pool: Any = ConnectionPool.from_url(address, protocol=2, retry=Retry(NoBackoff(), 0))
        pool.connection_class = with_timeout(pool.connection_class)
        connection: Connection = pool.make_connection()
        connection.socket_connect_timeout = connection.socket_timeout = max(deadline.remaining(), 0.001)
        try:
            connection.connect()
            self._ask_settings(address, connection, deadline)
        except BaseException as error:
            connection.disconnect()
            self._forget(address)
            raise _not_connected(error) from None
        return connection

    def _ask_settings(self, address: Address, connection: Connection, deadline: Deadline) -> None:
        """Ask a server for its settings. Raise UnsafeStore, or _NotReached for a replica; the connection is closed then."""
        connection._sock.end_at(deadline)  # noqa: SLF001  # as above
        try:
            connection.send_packed_command(packed(ASK), check_health=False)
            self._require_safe(read_facts([_answer(connection) for _ in ASK]))
        except BaseException:
            connection.disconnect()
            raise
        connection.settings_asked_at = current_clock().monotonic()

    # Async

    async def _exchange_async(self, address: Address, commands: Sequence[Command], *, writes: bool) -> list[Any]:
        deadline = call_deadline(self, self.seconds)
        sent = False
        connection = None
        limit = asyncio.timeout(deadline.remaining())
        try:
            async with limit:
                connection = await self._take_async(address, deadline)
                sent = True
                await connection.send_packed_command(packed(commands), check_health=False)
                answers = [await _answer_async(connection) for _ in commands]
        except BaseException as error:
            if connection is not None:
                await connection.disconnect(nowait=True)
            require_no_signal(error)
            if limit.expired() or isinstance(error, (exceptions.TimeoutError, TimeoutError)):
                raise (lost(late=True, writes=writes) if sent else too_late()) from None
            if isinstance(error, DataLayerError) or not isinstance(error, _LOST):
                raise
            raise lost(late=False, writes=writes) from None
        self._loop().idle[address].append(connection)
        return answers

    def _loop(self) -> _Loop:
        loop = asyncio.get_running_loop()
        state = self.process_state.loops.get(loop)
        if state is None:
            redact("asyncio")  # its debug mode logs callbacks with their arguments: commands and answers
            state = self.process_state.loops[loop] = _Loop()
        return state

    async def _take_async(self, address: Address, deadline: Deadline) -> Connection:
        idle = self._loop().idle.setdefault(address, deque())
        with contextlib.suppress(IndexError):
            connection = idle.pop()
            with contextlib.suppress(*_LOST):
                if not _has_ended(connection) and not await connection.can_read():
                    if _is_due(connection):
                        await self._ask_settings_async(address, connection)
                    return connection
            await connection.disconnect(nowait=True)
        return await self._connect_async(address, deadline)

    async def _connect_async(self, address: Address, deadline: Deadline) -> Connection:
        await self._loop().watch()
        pool: Any = AsyncPool.from_url(address, protocol=2, retry=AsyncRetry(NoBackoff(), 0))
        connection: Connection = pool.make_connection()
        connection.socket_connect_timeout = max(deadline.remaining(), 0.001)
        try:
            await connection.connect()
            await self._ask_settings_async(address, connection)
        except BaseException as error:
            await connection.disconnect(nowait=True)
            self._forget(address)
            raise _not_connected(error) from None
        return connection

    async def _ask_settings_async(self, address: Address, connection: Connection) -> None:
        """Do the same as ``_ask_settings`` in an async call."""
        try:
            await connection.send_packed_command(packed(ASK), check_health=False)
            self._require_safe(read_facts([await _answer_async(connection) for _ in ASK]))
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        connection.settings_asked_at = current_clock().monotonic()

    # Both

    async def _leave(self, address: Address) -> None:
        """Close the idle connections to an address, and forget that a cluster named it."""
        self._forget(address)
        if call_mode.get() is CallMode.SYNC:
            _close_all(self.process_state.idle.get(address, deque()))
        else:
            await _close_all_async(self._loop().idle.get(address, deque()))

    def _forget(self, address: Address) -> None:
        """Stop using an address that a cluster named, and use one of the user's URLs instead."""
        places = self.process_state.places
        for tag in [tag for tag, place in places.items() if place == address]:
            del places[tag]
        if address == self._order[0]:
            self._order = (*self._order[1:], self._order[0])

    async def facts(self, tag: str) -> Facts:
        """Return the facts that the server of a tag reports about itself now."""
        return read_facts(await self.ask(tag, ASK_MORE))

    def _require_safe(self, facts: Facts) -> None:
        if facts.is_replica:
            raise _NotReached(not_primary())
        unsafe = [fact for fact in facts.unsafe() if fact.name not in self.accepted]
        if unsafe:
            raise UnsafeStore("; ".join(f"{fact.what}. {fact.cure}" for fact in unsafe))

    async def close(self) -> None:
        """Close the idle connections."""
        for connections in self.process_state.idle.values():
            _close_all(connections)
        with contextlib.suppress(RuntimeError):  # in a sync call there is no loop
            await self._loop().close()


def _disconnect(connection: Connection | None) -> None:
    if connection is not None:
        connection.disconnect()


def _close_all(idle: deque[Connection]) -> None:
    while idle:
        idle.pop().disconnect()


async def _close_all_async(idle: deque[Connection]) -> None:
    while idle:
        await idle.pop().disconnect(nowait=True)


def _has_ended(connection: Any) -> bool:
    """Return whether the server has closed an idle connection, even if the loop had no time to notice it."""
    writer = connection._writer  # noqa: SLF001  # redis-py has no public name for it
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


def _is_due(connection: Connection) -> bool:
    # A manual clock may have replaced the system's clock meanwhile, or the other way round.
    return bool(abs(current_clock().monotonic() - connection.settings_asked_at) > _SETTINGS_HOLD)


def _sound(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise refused(answer)
    return answer


def _not_connected(error: BaseException) -> BaseException:
    if isinstance(error, (DataLayerError, _NotReached)) or not isinstance(error, _LOST):
        return error
    if isinstance(error, _ANSWERS):
        return refused(error)
    return Timeout("the deadline passed before the server could be reached") if _is_late(error) else _NotReached(unreachable())


def _is_late(error: BaseException) -> bool:
    return isinstance(error, (exceptions.TimeoutError, TimeoutError))


_servers: weakref.WeakValueDictionary[tuple[tuple[str, ...], float, frozenset[str]], Server] = weakref.WeakValueDictionary()
_lock = free_after_fork(threading.Lock())


def server_for(urls: tuple[str, ...], seconds: float, accepted: frozenset[str]) -> Server:
    """Return the one Server of this process for these URLs and settings."""
    with _lock:
        key = (urls, seconds, accepted)
        server = _servers[key] = _servers.get(key) or Server(*key)
        return server
