"""What a law works with: a store, the colour it is tried in, and short words for its operations. It knows no layer."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest

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
from resourcekit.engine.drive import drive, in_colour
from resourcekit.errors import SerializationFailure
from resourcekit.flow.context import Colour
from resourcekit.flow.expression import Expression, Field, Sort, as_expression
from resourcekit.flow.result import WriteResult
from resourcekit.flow.shape import Shaper
from resourcekit.resource_info import ResourceInfo
from resourcekit.testing.laws.samples import SAMPLE
from resourcekit.testing.plugin import MISSING_CAPABILITY

__all__ = ["LawBook", "Ledger", "key", "law"]

T = TypeVar("T")
P = ParamSpec("P")

key = Field("id")


class Ledger:
    """One resource on the layer under trial. Conditions and values are parted as the engine does it."""

    def __init__(
        self,
        store: Store,
        colour: Colour,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        sibling: Callable[[ResourceInfo], Coroutine[Any, Any, Ledger]],
    ) -> None:
        self.store = store
        self.colour = colour
        self.run = run
        """``ledger.run(coroutine)``, from outside of coroutines: in this colour."""
        self.sibling = sibling
        """``await ledger.sibling(info)``: another resource on the same layer, with its storage."""

    def require(self, *capabilities: Capability) -> None:
        """Skip this law where the layer lacks one of these."""
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
        """Select rows; ``limit``, ``offset`` and ``fields`` besides."""
        operation, params = self.selection(condition, *order, **more)
        return list(await self.store.select(self.store.compile(operation), params))

    async def keys(self, condition: Expression | None = None, *order: Sort | Field, **more: Any) -> list[Any]:
        """Select the ``id`` of rows; sorted, where no order is given."""
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

    def sweep(self, condition: Expression | None, **pace: Any) -> AsyncIterator[int]:
        """Delete in batches."""
        shaper = Shaper()
        shaped = None if condition is None else shaper.shape(condition)[0]
        return self.store.delete_in_batches(self.store.compile(DeleteInBatches(shaped)), shaper.params, **pace)

    # Several at once

    async def together(self, works: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T | BaseException]:
        """Run works at once, each in a thread or a task of its own; return what each one returned or raised."""
        if self.colour is Colour.ASYNC:
            return list(await asyncio.gather(*(work() for work in works), return_exceptions=True))
        barrier = threading.Barrier(len(works))

        def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T | BaseException:
            barrier.wait(60)
            try:
                return drive(work())
            except Exception as error:  # the law looks at it
                return error

        with ThreadPoolExecutor(len(works)) as threads:
            return list(threads.map(run, works))

    async def again(self, work: Callable[[], Awaitable[T]], times: int = 200) -> T:
        """Repeat a transaction that was given up in favour of another one."""
        for _ in range(times):
            try:
                return await work()
            except SerializationFailure:
                if self.colour is Colour.ASYNC:
                    await asyncio.sleep(0)
        msg = f"given up {times} times"
        raise AssertionError(msg)


class LawBook:
    """What all chapters share: the data layer under trial, and the two colours."""

    def make_data_layer(self, tmp_path: Path) -> DataLayer:
        """Return the layer to prove, with nothing stored; called once for each law and colour."""
        raise NotImplementedError

    def cut_connections(self) -> None:
        """End every connection that the layer has open, as a restart of its server or a cut cable would.

        A layer that has none leaves this out; the laws of losses are skipped then, and listed.
        """
        pytest.skip(MISSING_CAPABILITY + "connections that can be cut")

    @pytest.fixture(params=[Colour.SYNC, Colour.ASYNC], ids=["sync", "async"])
    def colour(self, request: pytest.FixtureRequest) -> Colour:
        """Try each law in both colours."""
        return request.param  # type: ignore[no-any-return]  # pytest's own Any

    @pytest.fixture
    def ledger(self, tmp_path: Path, colour: Colour) -> Iterator[Ledger]:
        """Bind SAMPLE to a fresh layer, and close it after the law."""
        layer = self.make_data_layer(tmp_path)
        opened: list[Store] = []

        # One loop for a law: connections belong to the loop in which they were opened.
        with asyncio.Runner() as runner:

            def run(work: Coroutine[Any, Any, T]) -> T:
                return drive(work) if colour is Colour.SYNC else runner.run(in_colour(work))

            async def bind(info: ResourceInfo) -> Ledger:
                store = layer.bind(info)
                opened.append(store)
                await store.create_storage()
                return Ledger(store, colour, run, bind)

            async def close() -> None:
                for store in opened:
                    await store.close()

            yield run(bind(SAMPLE))
            run(close())


Law = Callable[Concatenate[Any, Ledger, P], Coroutine[Any, Any, None]]


def law(*capabilities: Capability) -> Callable[[Law[P]], Callable[..., None]]:
    """Make a test of an ``async def``: run in the colour of its ledger, skipped where the layer lacks a capability."""

    def mark(function: Law[P]) -> Callable[..., None]:
        @functools.wraps(function)
        def test(self: LawBook, ledger: Ledger, **fixtures: Any) -> None:
            ledger.require(*capabilities)
            ledger.run(function(self, ledger, **fixtures))  # type: ignore[call-arg]  # pytest passes fixtures by name

        return test

    return mark
