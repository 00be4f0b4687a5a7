"""The harness of conformance tests: a store, the call mode of the test, and short methods for operations."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import new_class
from typing import Any, ClassVar, TypeVar

import pytest

from resourcekit.call_context import CallMode, drive
from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    DataLayer,
    Delete,
    DeleteInBatches,
    Insert,
    OnConflict,
    Row,
    Select,
    Store,
    Update,
)
from resourcekit.data_layers.transactions import outside_transaction
from resourcekit.declarations.attribute import Attr
from resourcekit.domain import Domain
from resourcekit.errors import MissingMethod, SerializationFailure
from resourcekit.expressions.aggregates import Figure
from resourcekit.expressions.nodes import Expression, Field, Sort, as_expression
from resourcekit.expressions.shape import Shaper
from resourcekit.resource import Resource
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import WriteResult
from resourcekit.testing.conformance.samples import SAMPLE
from resourcekit.testing.conformance.time_limit import DaemonThreads, SuiteRunner, accept_former_name
from resourcekit.testing.plugin import MISSING_CAPABILITY

__all__ = ["OUTLIVING", "ConformanceSuite", "Harness", "conformance_test", "key"]

T = TypeVar("T")

key = Field("id")

OUTLIVING = "records that outlive the process"
"""The capability that an in-process layer (``DataLayer.in_process``) lacks, as listed with the skipped tests."""


class Harness:
    """The harness of one resource on the tested layer. It separates conditions from values as the engine does."""

    def __init__(
        self,
        store: Store,
        call_mode: CallMode,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        sibling: Callable[[ResourceInfo], Coroutine[Any, Any, Harness]],
        another: Callable[[], Coroutine[Any, Any, Harness]] | None = None,
        declare: Callable[[str, Mapping[str, Any], Mapping[str, Any]], Coroutine[Any, Any, Any]] | None = None,
    ) -> None:
        self.store = store
        self.call_mode = call_mode
        self.run = run
        """``harness.run(coroutine)``, for code outside of coroutines: runs in the call mode of the test."""
        self.sibling = sibling
        """``await harness.sibling(info)``: another resource on the same layer, with its storage."""
        self._another = another
        self._declare = declare

    async def declare(self, name: str, types: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
        """Declare a resource on the same layer, with its storage. types: of the attributes; body: what its class statement has."""
        assert self._declare is not None
        return await self._declare(name, types, body)

    async def another(self) -> Harness:
        """Bind the resource to a second layer on the same place, as a second program does at its start."""
        self.require_place()
        assert self._another is not None
        return await self._another()

    def require_place(self) -> None:
        """Skip this test if the layer declares that its records stay in one process."""
        if self._another is None:
            pytest.skip(MISSING_CAPABILITY + OUTLIVING)

    def require(self, *capabilities: Capability) -> None:
        """Skip this test if the layer lacks one of these capabilities."""
        for capability in capabilities:
            if capability not in self.store.capabilities:
                pytest.skip(MISSING_CAPABILITY + capability.value)

    # One operation each

    async def add(
        self,
        *rows: Row,
        on_conflict: OnConflict | None = None,
        returning: bool = True,
        params: Mapping[str, object] | None = None,
    ) -> WriteResult:
        """Insert rows that have the same fields."""
        fields = tuple(rows[0]) if rows else tuple(self.store.info.attributes)
        plan = self.store.compile(Insert(fields, on_conflict, returning))
        return await self.store.insert(plan, rows, params or {})

    def selection(
        self,
        condition: Expression | None = None,
        *order: Sort | Field,
        limit: int | None = None,
        offset: int | None = None,
        fields: tuple[str, ...] | None = None,
    ) -> tuple[Select, dict[str, object]]:
        """Return a Select and its parameters."""
        shaper = Shaper()
        shaped = None if condition is None else shaper.shape(condition)[0]
        sorts, _ = shaper.shape_order(tuple(each if isinstance(each, Sort) else each.asc() for each in order))
        places = [None if value is None else shaper.place(value) for value in (limit, offset)]
        return Select(shaped, sorts, places[0], places[1], fields), shaper.params

    async def find(self, condition: Expression | None = None, *order: Sort | Field, **more: Any) -> list[Row]:
        """Select rows; ``more`` is ``limit``, ``offset`` and ``fields``."""
        operation, params = self.selection(condition, *order, **more)
        return list(await self.store.select(self.store.compile(operation), params))

    async def keys(self, condition: Expression | None = None, *order: Sort | Field, **more: Any) -> list[Any]:
        """Select the ``id`` of rows; sorted if no order is given."""
        found = [row["id"] for row in await self.find(condition, *order, **more)]
        return found if order else sorted(found)

    async def row(self, wanted: str) -> Row | None:
        """Select one row of SAMPLE by its key."""
        found = await self.find(key == wanted)
        return found[0] if found else None

    async def change(self, condition: Expression | None, *, returning: bool = False, **values: object) -> WriteResult:
        """Update rows to values or expressions."""
        shaper = Shaper()
        shaped = None if condition is None else shaper.shape(condition)[0]
        assignments = {name: shaper.shape(as_expression(value))[0] for name, value in values.items()}
        return await self.store.update(self.store.compile(Update(shaped, assignments, returning)), shaper.params)

    async def remove(self, condition: Expression | None = None, *, returning: bool = False) -> WriteResult:
        """Delete rows."""
        shaper = Shaper()
        shaped = None if condition is None else shaper.shape(condition)[0]
        return await self.store.delete(self.store.compile(Delete(shaped, returning)), shaper.params)

    async def figure(self, kind: Any, condition: Expression | None = None, field: str | None = None) -> Any:
        """Compute an aggregate."""
        shaper = Shaper()
        shaped = None if condition is None else shaper.shape(condition)[0]
        return await self.store.aggregate(self.store.compile(Aggregate(kind, shaped, field)), shaper.params)

    async def groups(self, keys: tuple[str, ...], condition: Expression | None = None, **figures: Figure) -> Sequence[Row]:
        """Compute figures of groups."""
        shaper = Shaper()
        shaped = None if condition is None else shaper.shape(condition)[0]
        return await self.store.select(self.store.compile(Select(shaped, fields=keys, figures=figures)), shaper.params)

    def sweep(self, condition: Expression | None, **pace: Any) -> AsyncIterator[int]:
        """Delete in batches."""
        shaper = Shaper()
        shaped = None if condition is None else shaper.shape(condition)[0]
        return self.store.delete_in_batches(self.store.compile(DeleteInBatches(shaped)), shaper.params, **pace)

    # Several at once

    async def together(self, works: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T | BaseException]:
        """Run functions concurrently, each in a thread or a task of its own, outside of the caller's transaction.

        Return the result or the exception of each.
        """
        if self.call_mode is CallMode.ASYNC:
            with outside_transaction():
                tasks = [asyncio.ensure_future(work()) for work in works]
            return list(await asyncio.gather(*tasks, return_exceptions=True))
        barrier = threading.Barrier(len(works))

        def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T | BaseException:
            barrier.wait(60)
            try:
                return drive(work())
            except Exception as error:  # the test checks it
                return error

        threads = DaemonThreads()  # other threads would keep the test run alive if one hangs
        try:
            return [future.result() for future in [threads.submit(run, work) for work in works]]
        finally:
            threads.shutdown()

    async def again(self, work: Callable[[], Awaitable[T]], times: int = 200) -> T:
        """Repeat a transaction that was aborted in favour of another one."""
        for _ in range(times):
            try:
                return await work()
            except SerializationFailure:
                if self.call_mode is CallMode.ASYNC:
                    await asyncio.sleep(0)
        msg = f"given up {times} times"
        raise AssertionError(msg)


class ConformanceSuite:
    """The base of all parts: the tested data layer, sync and async, the time limit.

    Attributes:
        time_limit: Time after which a test that has not ended fails, with its name and the lines at which it waits. It is
            enforced in the main thread of a POSIX system.
    """

    time_limit: ClassVar[timedelta] = timedelta(minutes=3)

    def __init_subclass__(cls, **more: Any) -> None:
        """Accept the former name of the time limit."""
        super().__init_subclass__(**more)
        accept_former_name(cls)

    def make_data_layer(self, tmp_path: Path) -> DataLayer:
        """Return the data layer to test, on the place of this test.

        At the first call of a test the place is empty. If a test calls it again with the same folder, it must return a layer
        on the same place, as a second program with the same declaration has.
        """
        raise MissingMethod.of(self, "make_data_layer")

    def cut_connections(self) -> None:
        """End every open connection of the layer, as a restart of its server or a cut cable would.

        A layer without connections does not override it; the tests of losses are then skipped, and listed.
        """
        pytest.skip(MISSING_CAPABILITY + "connections that can be cut")

    @pytest.fixture(params=[CallMode.SYNC, CallMode.ASYNC], ids=["sync", "async"])
    def call_mode(self, request: pytest.FixtureRequest) -> CallMode:
        """Run each test sync and async."""
        return request.param  # type: ignore[no-any-return]  # pytest's own Any

    @pytest.fixture
    def harness(self, tmp_path: Path, call_mode: CallMode, request: pytest.FixtureRequest) -> Iterator[Harness]:
        """Bind SAMPLE to a new layer, and close it after the test."""
        layer = self.make_data_layer(tmp_path)
        run = SuiteRunner(call_mode, request.node.name, self.time_limit)
        opened: list[Store] = []

        async def bind(info: ResourceInfo) -> Harness:
            store = layer.bind(info)
            opened.append(store)
            await store.create_storage()
            return Harness(store, call_mode, run, bind, None if layer.in_process else another, declare)

        async def declare(name: str, types: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
            domain = Domain(name)
            annotations = {each: Attr[type_] for each, type_ in types.items()}  # type: ignore[valid-type]  # made at run time
            fields = {"__module__": __name__, "__doc__": "A resource of a conformance test.", "__annotations__": annotations}
            made: Any = new_class(
                name, (Resource,), {"domain": domain, "data_layer": layer}, lambda space: space.update({**fields, **body})
            )
            opened.append(made.__runtime__.store)
            await domain.create_storage.aio()
            return made

        async def another() -> Harness:
            store = self.make_data_layer(tmp_path).bind(SAMPLE)
            opened.append(store)
            return Harness(store, call_mode, run, bind, another)

        async def close() -> None:
            for store in opened:
                await store.close()

        try:
            yield run(bind(SAMPLE))
            if not run.has_hung:
                run(close())
        finally:
            run.close()


AsyncTest = Callable[..., Coroutine[Any, Any, None]]
"""A method with the argument ``harness``, and with other fixtures before or after it; pytest passes them by name."""


def conformance_test(*capabilities: Capability) -> Callable[[AsyncTest], Callable[..., None]]:
    """Make a test of an ``async def``: run in the call mode of the test, skipped if the layer lacks a capability."""

    def mark(function: AsyncTest) -> Callable[..., None]:
        @functools.wraps(function)
        def test(self: ConformanceSuite, harness: Harness, **fixtures: Any) -> None:
            harness.require(*capabilities)
            harness.run(function(self, harness=harness, **fixtures))

        return test

    return mark
