"""Queries that can run: the door functions ``query``, ``get`` and ``transaction``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from types import TracebackType
from typing import Any, Generic, TypeVar

import attrs

from resourcekit.data_layers.base import Transaction
from resourcekit.engine.casting import CastError
from resourcekit.engine.drive import BothColours, drive, drive_iterator, in_colour
from resourcekit.engine.read import aggregate, fetch_all, fetch_one, primary_read, stream
from resourcekit.engine.runtime import Runtime, runtime_of
from resourcekit.errors import Invalid, InvalidArgument, NotFound
from resourcekit.flow.context import ambient_context
from resourcekit.flow.query import Query

__all__ = ["ResourceQuery", "get", "query", "transaction"]

R = TypeVar("R")


class Stream(Generic[R]):
    """Records one by one: called, an iterator; ``.aio`` gives an async iterator."""

    def __init__(self, start: Callable[[], AsyncIterator[R]]) -> None:
        self._start = start

    def __call__(self) -> Iterator[R]:
        """Iterate in this thread."""
        return drive_iterator(self._start())

    def aio(self) -> AsyncIterator[R]:
        """Iterate inside an event loop."""
        return self._start()


@attrs.frozen(eq=False)
class ResourceQuery(Query[R]):
    """A query that knows its resource. ``all``, ``first``, ``one``, ``count``, ``exists``, ``stream`` run it, in both colours."""

    resource: Any = None

    @property
    def all(self) -> BothColours[[], list[R]]:
        """Return all records."""
        return BothColours(self._all)

    @property
    def first(self) -> BothColours[[], R | None]:
        """Return the first record, or ``None``."""
        return BothColours(self._first)

    @property
    def one(self) -> BothColours[[], R]:
        """Return the only record. Raises NotFound where there is none, Invalid where there are several."""
        return BothColours(self._one)

    @property
    def count(self) -> BothColours[[], int]:
        """Return how many records there are."""
        return BothColours(self._count)

    @property
    def exists(self) -> BothColours[[], bool]:
        """Return whether there is one."""
        return BothColours(self._exists)

    @property
    def stream(self) -> Stream[R]:
        """Iterate over the records in flat memory: ``for record in query.stream()``, ``async for ... in .stream.aio()``."""
        return Stream(self._stream)

    async def _prepared(self) -> tuple[Runtime, Query[R]]:
        runtime, surroundings = runtime_of(self.resource), ambient_context()
        surroundings.require_time()
        return runtime, await primary_read(runtime).prepare(self, {}, surroundings)

    async def _stream(self) -> AsyncIterator[R]:
        async with aclosing(stream(*await self._prepared())) as records:
            async for record in records:
                yield record

    async def _all(self) -> list[R]:
        return await fetch_all(*await self._prepared())

    async def _first(self) -> R | None:
        runtime, prepared = await self._prepared()
        return next(iter(await fetch_all(runtime, prepared.limit(1))), None)

    async def _one(self) -> R:
        found: R = await fetch_one(*await self._prepared())
        return found

    async def _count(self) -> int:
        return int(await aggregate(*await self._prepared(), "count"))

    async def _exists(self) -> bool:
        return bool(await aggregate(*await self._prepared(), "exists"))


def query(resource: type[R]) -> ResourceQuery[R]:
    """Start a query over the records that the resource's primary read shows. Raises InvalidArgument for any other class."""
    if not hasattr(resource, "__info__"):
        raise InvalidArgument(f"{resource!r} is no resource class")
    return ResourceQuery(resource=resource)


class _Get:
    """Finds the record with a primary key: ``get(Ticket, key)``, ``await get.aio(Ticket, key)``."""

    def __call__(self, resource: type[R], key: object) -> R:
        """Return the record with this primary key (a tuple for a composite one). Raises NotFound where there is none."""
        return drive(_get(resource, key))

    def aio(self, resource: type[R], key: object) -> Coroutine[Any, Any, R]:
        """Return the record with this primary key, async."""
        return in_colour(_get(resource, key))


get = _Get()


async def _get(resource: type[R], key: object) -> R:
    runtime = runtime_of(resource)
    try:
        params = runtime.key_params(key)
    except CastError as error:
        raise Invalid(error.finding(runtime.key[0]), resource=runtime.info.name) from None
    surroundings = ambient_context()
    surroundings.require_time()
    read = primary_read(runtime)
    condition = None if read.is_plain else (await read.prepare(Query(), {}, surroundings)).condition
    found: R | None = await runtime.fetch(params, condition)
    if found is None:
        raise NotFound("there is no record with this key", resource=runtime.info.name)
    return found


class transaction:  # noqa: N801  # a context manager, named as it is used: with transaction(Token, Ticket) as tx:
    """Make all calls inside the block one transaction; all or none of what they write stands afterwards.

    For ``with`` and ``async with``. The resources must share a store's transactions; InvalidArgument names the two that
    do not. Inside an open transaction it is a savepoint.
    """

    def __init__(self, *resources: type) -> None:
        if not resources:
            msg = "name the resources whose writes belong together: transaction(Token, Ticket)"
            raise InvalidArgument(msg)
        self._resources = resources
        self._open: AbstractAsyncContextManager[Transaction] | None = None

    def _begin(self) -> AbstractAsyncContextManager[Transaction]:
        stores = [runtime_of(resource).store for resource in self._resources]
        for resource, store in zip(self._resources, stores, strict=True):
            if store.group != stores[0].group:
                first = self._resources[0].__name__
                msg = f"{first} and {resource.__name__} are kept in different stores, which cannot share a transaction"
                raise InvalidArgument(msg)
        self._open = stores[0].transaction()
        return self._open

    def _end(self) -> AbstractAsyncContextManager[Transaction]:
        if self._open is None:
            msg = "the transaction was not begun"
            raise RuntimeError(msg)
        return self._open

    def __enter__(self) -> Transaction:
        """Begin."""
        return drive(self._begin().__aenter__())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool | None:
        """Commit, or roll back."""
        return drive(self._end().__aexit__(kind, error, trace))

    async def __aenter__(self) -> Transaction:
        """Begin."""
        return await in_colour(self._begin().__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Commit, or roll back."""
        return await in_colour(self._end().__aexit__(kind, error, trace))
