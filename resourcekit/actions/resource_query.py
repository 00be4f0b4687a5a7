"""Queries that can run: over what the primary read shows, or over what a named read action finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, cast

import attrs

from resourcekit.actions.drive import SyncAndAsync, drive_iterator
from resourcekit.actions.figures import FigureKind, figure
from resourcekit.actions.grouped_query import ResourceGroups
from resourcekit.actions.outside_input import condition_of_input, order_of_input
from resourcekit.actions.pages import PageRequest, read_page
from resourcekit.actions.read import ReadRunner, aggregate, fetch_all, fetch_one, primary_read, read_named, shown_query, stream
from resourcekit.actions.relating import resolved
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.call_context import Context, ambient_context, context, current_context
from resourcekit.data_layers.owned_streams import OwnedStream
from resourcekit.declarations.grouped_query import Groups
from resourcekit.declarations.runnable_query import AverageCall, FigureCall, PageCall, RunnableQuery
from resourcekit.errors import InvalidArgument, Misuse
from resourcekit.expressions.calls import checked_call, checked_methods
from resourcekit.expressions.nodes import Operand
from resourcekit.expressions.query import FIXED, Query
from resourcekit.known_names import KnownNames, unchangeable
from resourcekit.results import Page

__all__ = ["ResourceQuery", "Stream", "found_by"]

R = TypeVar("R")
T = TypeVar("T")


class Stream(KnownNames, Generic[R]):
    """Records one by one. A call returns an iterator; ``.aio`` returns an async iterator."""

    def __init__(self, start: Callable[[], AsyncIterator[R]]) -> None:
        self._start = start

    @checked_call("stream", "it takes no arguments")
    def __call__(self) -> Iterator[R]:
        """Iterate in this thread."""
        return drive_iterator(self._start())

    def aio(self) -> AsyncIterator[R]:
        """Iterate in an event loop."""
        return self._start()

    if not TYPE_CHECKING:  # type checkers refuse these anyway

        def _refused(self) -> NoReturn:
            raise Misuse("call the stream: for record in query.stream(), async for record in query.stream.aio()")

        __iter__ = __aiter__ = _refused


@checked_methods()
@unchangeable("a query", FIXED)
@attrs.frozen(eq=False)
class ResourceQuery(RunnableQuery[R]):
    """A query of a resource. ``all``, ``first``, ``one``, ``count``, ``exists``, ``stream`` and ``page`` run it, sync or async.

    read: the read action whose records it takes; ``None`` for the primary one. given: the arguments of that action.
    facts: the ``actor``, ``tenant``, ``deadline`` or ``metadata`` of its calls.
    """

    resource: Any = None
    read: str | None = None
    given: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    facts: Mapping[str, Any] | None = attrs.field(default=None, repr=False)

    @property
    def all(self) -> SyncAndAsync[[], list[R]]:
        """Return all records."""
        return SyncAndAsync(self._all)

    @property
    def first(self) -> SyncAndAsync[[], R | None]:
        """Return the first record, or ``None``."""
        return SyncAndAsync(self._first)

    @property
    def one(self) -> SyncAndAsync[[], R]:
        """Return the only record. Raise NotFound if there is none, Invalid if there are several."""
        return SyncAndAsync(self._one)

    @property
    def count(self) -> SyncAndAsync[[], int]:
        """Return the number of records."""
        return SyncAndAsync(self._count)

    @property
    def exists(self) -> SyncAndAsync[[], bool]:
        """Return whether there is at least one record."""
        return SyncAndAsync(self._exists)

    @property
    def stream(self) -> Stream[R]:
        """Iterate over the records without loading all: ``for record in query.stream()``, ``async for ... in .stream.aio()``."""
        return Stream(self._stream)

    @property
    def page(self) -> PageCall[R]:
        """Return a part of the records: ``page(limit=20)``, then ``page(limit=20, after=page.end_cursor)``.

        limit: the most records of the page; ``page_limit`` of the read action unless given.
        after, before: a cursor of a page with the same order; ``offset``: the number of records to skip. They exclude each other.
        count: also count all records of the query.

        The primary key is added to the order. Pages by cursor are exact while other calls write: a record that comes or goes
        neither repeats nor hides another one. Raise Invalid for a text that is no cursor of this order. Raise InvalidArgument
        for a wrong argument, for a query with a limit, and for an order by attributes that cursors may not show.
        """
        return SyncAndAsync(self._page)

    @property
    def sum(self) -> FigureCall:
        """Return the sum of an attribute, for example ``query(Order).sum(Order.price)``; ``None`` if there is no value.

        Values of ``None`` are ignored, and no record is loaded. With a limit or an offset, only the records of the query count.
        Raise InvalidArgument for an attribute that cannot be summed. ``avg``, ``min`` and ``max`` work alike.
        """
        return SyncAndAsync(self._figure("sum"))

    @property
    def avg(self) -> AverageCall:
        """Return the average of an attribute: its sum divided by the number of its values, as Python computes it."""
        return cast("AverageCall", SyncAndAsync(self._figure("avg")))

    @property
    def min(self) -> FigureCall:
        """Return the smallest value of an attribute. Members of an enum compare like their values."""
        return SyncAndAsync(self._figure("min"))

    @property
    def max(self) -> FigureCall:
        """Return the largest value of an attribute."""
        return SyncAndAsync(self._figure("max"))

    def select(self, *fields: Operand | str) -> Self:
        """Load only these attributes, and the primary key. Reading another one of the record raises NotLoaded.

        This replaces an earlier selection. An action that is called with such a record reads it again. Raise InvalidArgument for
        an attribute of another resource.
        """
        return super().select(*self._own(fields))

    def distinct(self, *fields: Operand | str) -> Self:
        """Return only the first record, by the order, for each combination of values of these attributes.

        Limit and offset apply to the records that are kept. This replaces an earlier ``distinct``. Raise InvalidArgument for an
        attribute of another resource.
        """
        return super().distinct(*self._own(fields))

    def _own(self, fields: Sequence[Operand | str]) -> Sequence[Operand | str]:
        for field in fields:
            runtime_of(self.resource).conditions.require_own(field)
        return fields

    def group_by(self, *fields: Operand | str) -> Groups:
        """Group the records by values of attributes: ``group_by(Order.state).values(n=count(), worth=Order.price.sum())``.

        ``values`` returns a query of dicts, in the order of the keys, which is filtered (``row("n") > 2``), sorted, limited and
        paged by number. The store computes the figures. What it cannot compute exactly is computed of the attributes that the
        figures need, one record at a time. Raise InvalidArgument for something that cannot be grouped by.
        """
        return ResourceGroups.of(self._run, runtime_of(self.resource), fields)

    def sort_input(self, keys: str | Sequence[str]) -> Self:
        """Order by keys that come from outside: ``"-opened_at,subject"``. This replaces an earlier order, unless it is empty.

        Raise Invalid with a finding for each key that is no public attribute. Sensitive attributes are refused too.
        """
        order = order_of_input(runtime_of(self.resource), keys)
        return attrs.evolve(self, order=order) if order else self

    def filter_input(self, conditions: Mapping[str, Any]) -> Self:
        """Keep only records that meet conditions that come from outside, for example from a request.

        conditions: public attributes, calculations and relationships with a value, or with operators:
            ``{"status": {"in": ["open", "new"]}, "or": [{"owner": "a"}, {"opened_at": {"ge": "2026-01-01T00:00:00Z"}}]}``.
            The operators are eq, ne, lt, le, gt, ge, in, is_none, contains, starts_with and ends_with; ``and``, ``or`` and
            ``not`` combine.

        Raise Invalid with a finding for each problem: an attribute that is unknown or not public, a value of a wrong type, more
        than 5 levels, 100 conditions or 1,000 options.
        """
        condition = condition_of_input(runtime_of(self.resource), conditions)
        return self if condition is None else self.filter(condition)

    if not TYPE_CHECKING:  # type checkers refuse these anyway

        def _refused(self, *_: object) -> NoReturn:
            raise Misuse(
                "a query is no list, and has no truth value; run it: .all(), .first(), .exists(), .count(), .limit(5).all()"
            )

        __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = _refused

        def __aiter__(self) -> NoReturn:
            raise Misuse("a query is no stream; run it: async for record in query.stream.aio(), await query.all.aio()")

    async def prepared(self, deployment: Context, *, is_open: bool = False) -> Query[R]:
        """Return the query with the preparations of its read action applied. Its own conditions come after them.

        is_open: its expressions need not be resolved yet.
        """
        runtime = runtime_of(self.resource)
        if self.read is None:
            read = primary_read(runtime)
            if read.is_plain:
                return self if is_open else await resolved(runtime, self, shown_query)
            own = await resolved(runtime, self, shown_query)
            found = await read.prepare(attrs.evolve(own, loads=(), computed=()), {}, deployment)
            return found.with_loads(self.loads).with_computed(self.computed)
        found = await read_named(runtime, self.read).prepare(Query(), self.given, deployment)
        own = await resolved(runtime, self, shown_query)
        if own.condition is not None:
            found = found.filter(own.condition)
        if self.row_limit is not None:
            found = found.limit(self.row_limit)
        if self.selected is not None:
            found = found.select(*self.selected)
        if self.distinct_on:
            found = found.distinct(*self.distinct_on)
        found = found.with_loads(self.loads).with_computed(self.computed)
        return attrs.evolve(found, order=own.order or found.order, row_offset=self.row_offset or found.row_offset)

    async def _run(self, work: Callable[[Runtime, Query[R]], Coroutine[Any, Any, T]], *, is_open: bool = False) -> T:
        """Run work with the prepared query, in the context of this query. is_open: see ``prepared``."""
        if self.facts is not None:
            with context(**self.facts):
                return await attrs.evolve(self, facts=None)._run(work, is_open=is_open)  # noqa: SLF001  # of this class
        runtime, deployment = runtime_of(self.resource), ambient_context()
        deployment.require_time()
        return await work(runtime, await self.prepared(deployment, is_open=is_open))

    async def _stream(self) -> AsyncIterator[R]:
        """Yield the records as they are for the actor and the tenant of the stream's beginning.

        The code between two steps may have another actor, so loads and calculations of later steps must not ask for it.
        """

        async def prepared(runtime: Runtime, query: Query[R]) -> tuple[Runtime, Query[R]]:
            return runtime, query

        began = ambient_context() if self.facts is None else ambient_context().merged(self.facts)
        runtime, query = await self._run(prepared)
        async with aclosing(OwnedStream(stream(runtime, query))) as records:
            while True:
                token = current_context.set(attrs.evolve(began, deadline=ambient_context().deadline))
                try:
                    record = await anext(records)
                except StopAsyncIteration:
                    return
                finally:
                    current_context.reset(token)
                yield record
                if not query.loads and not query.computed:
                    break
            async for record in records:  # rows only: nothing that could ask for the actor
                yield record

    async def _all(self) -> list[R]:
        return await self._run(partial(fetch_all, partial=True), is_open=True)

    async def _first(self) -> R | None:
        async def first(runtime: Runtime, query: Query[R]) -> R | None:
            return next(iter(await fetch_all(runtime, query.limit(1))), None)

        return await self._run(first, is_open=True)

    async def _one(self) -> R:
        found: R = await self._run(fetch_one, is_open=True)
        return found

    def _figure(self, kind: FigureKind) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        async def run(field: Any) -> Any:
            return await self._run(lambda runtime, query: figure(runtime, query, kind, field))

        return run

    async def _count(self) -> int:
        return int(await self._run(lambda runtime, query: aggregate(runtime, query, "count")))

    async def _exists(self) -> bool:
        return bool(await self._run(lambda runtime, query: aggregate(runtime, query, "exists")))

    async def _page(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
        offset: int | None = None,
        count: bool = False,
    ) -> Page[R]:
        given = {"limit": limit, "after": after, "before": before, "offset": offset, "count": count}

        async def read(runtime: Runtime, query: Query[R]) -> Page[R]:
            runner: ReadRunner = read_named(runtime, self.read)
            action = runner.action
            request = PageRequest.of(given, action.page_limit, action.page_limit_max, runtime.info.name)
            return await read_page(runtime, query, request)

        return await self._run(read)


async def found_by(query: Query[Any], resource: Any, action: str, deployment: Context) -> Query[Any]:
    """Return a query that an action is to write to, prepared by the named read action that it has, if any.

    Raise InvalidArgument for a query over another resource.
    """
    if not isinstance(query, ResourceQuery):
        return await resolved(runtime_of(resource), query, shown_query)
    if query.resource is not resource:
        raise InvalidArgument(f"got a query over {query.resource.__name__}", resource=resource.__name__, action=action)
    found = (
        await query.prepared(deployment) if query.read is not None else await resolved(runtime_of(resource), query, shown_query)
    )
    return attrs.evolve(found, selected=None, loads=(), computed=())  # a write needs whole records, and no related ones
