"""Conformance tests of a fleet: a write that one node of a store acknowledged is visible at every other node immediately."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

import pytest

from resourcekit.call_context import CallMode, apart
from resourcekit.data_layers.base import Capability, DataLayer, OnConflict, Store
from resourcekit.errors import MissingMethod, UniqueViolation
from resourcekit.expressions.functions import existing, incoming
from resourcekit.expressions.nodes import Field
from resourcekit.resource_info import ResourceInfo
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.conformance.harness import Harness, key
from resourcekit.testing.conformance.samples import COMPOSITE, SAMPLE, composite, sample
from resourcekit.testing.conformance.time_limit import SuiteRunner, accept_former_name

__all__ = ["FleetSuite"]

T = TypeVar("T")
_TTL = timedelta(minutes=5)
_CONSUME = OnConflict(("id",), set={"amount": incoming("amount")}, where=existing("amount").is_none())


class Fleet:
    """One resource, bound to each node.

    Attributes:
        nodes: A harness for each node.
        run: Runs a coroutine, in the call mode of the test.
        bind: Binds another resource to each node, without its storage.
    """

    def __init__(
        self,
        nodes: list[Harness],
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        bind: Callable[[ResourceInfo], Coroutine[Any, Any, list[Harness]]],
    ) -> None:
        self.nodes, self.run, self.bind = nodes, run, bind

    def others(self, number: int) -> tuple[Harness, list[Harness]]:
        """Return the node of this round, and all others."""
        here = number % len(self.nodes)
        return self.nodes[here], self.nodes[:here] + self.nodes[here + 1 :]

    async def together(self, work: Callable[[int, Harness], Coroutine[Any, Any, T]]) -> list[T]:
        """Run ``work(number, node)`` on all nodes concurrently, and return the results; the first error is raised."""
        works = [functools.partial(work, number, node) for number, node in enumerate(self.nodes)]
        results: list[T] = []
        for each in await self.nodes[0].together(works):
            if isinstance(each, BaseException):
                raise each
            results.append(each)
        return results


AsyncTest = Callable[[Any, Fleet], Coroutine[Any, Any, None]]


def fleet_test(*capabilities: Capability) -> Callable[[AsyncTest], Callable[..., None]]:
    """Make a test of an ``async def``; it is skipped if the layer lacks a capability."""

    def mark(function: AsyncTest) -> Callable[..., None]:
        @functools.wraps(function)
        def test(self: FleetSuite, fleet: Fleet) -> None:
            fleet.nodes[0].require(*capabilities)
            fleet.run(_in_calls_of_their_own(function(self, fleet)))

        return test

    return mark


async def _in_calls_of_their_own(test: Coroutine[Any, Any, None]) -> None:
    """Await a test whose operations are no parts of one call: each has the layer's whole timeout, however many rounds there are."""
    with apart():
        await test


class FleetSuite:
    """The conformance tests of a store that several nodes serve: a cluster, or processes that share one server.

    ::

        from resourcekit.testing import FleetSuite

        class TestMyCluster(FleetSuite):
            def make_data_layer(self, node):
                return MyLayer(URLS[node])

    Every test runs sync and async. All nodes must store their records in one place, which is empty when a test begins. A test
    that needs a missing capability is skipped, and listed at the end of the run. The tests need pytest and hypothesis.

    Attributes:
        nodes: Number of nodes.
        rounds: Number of rounds in which a test writes on one node and reads on the others.
        races: Number of rounds in which all nodes compete for one record.
        clocks_agree: Greatest difference between the clocks of the nodes.
        time_limit: Time after which a test that has not ended fails, with its name and the lines at which it waits.
    """

    nodes: ClassVar[int] = 3
    rounds: ClassVar[int] = 20
    races: ClassVar[int] = 10
    clocks_agree: ClassVar[timedelta] = timedelta(seconds=1)
    time_limit: ClassVar[timedelta] = timedelta(minutes=3)

    def __init_subclass__(cls, **more: Any) -> None:
        """Accept the former name of the time limit."""
        super().__init_subclass__(**more)
        accept_former_name(cls)

    def make_data_layer(self, node: int) -> DataLayer:
        """Return the layer of one node, numbered from 0. It is called once for each node, test and call mode."""
        raise MissingMethod.of(self, "make_data_layer")

    @pytest.fixture(params=[CallMode.SYNC, CallMode.ASYNC], ids=["sync", "async"])
    def call_mode(self, request: pytest.FixtureRequest) -> CallMode:
        """Run each test sync and async."""
        return request.param  # type: ignore[no-any-return]  # pytest's own Any

    @pytest.fixture
    def fleet(self, call_mode: CallMode, request: pytest.FixtureRequest) -> Iterator[Fleet]:
        """Bind SAMPLE to each node, and close all stores after the test."""
        layers = [self.make_data_layer(node) for node in range(self.nodes)]
        run = SuiteRunner(call_mode, request.node.name, self.time_limit)
        opened: list[Store] = []

        async def sibling(info: ResourceInfo) -> Harness:
            return (await bind(info))[0]

        async def bind(info: ResourceInfo) -> list[Harness]:
            stores = [layer.bind(info) for layer in layers]
            opened.extend(stores)
            return [Harness(store, call_mode, run, sibling) for store in stores]

        async def start() -> list[Harness]:
            nodes = await bind(SAMPLE)
            await nodes[0].store.create_storage()
            return nodes

        async def close() -> None:
            for store in opened:
                await store.close()

        try:
            yield Fleet(run(start()), run, bind)
            if not run.has_hung:
                run(close())
        finally:
            run.close()

    # Writes that one node acknowledged

    @fleet_test()
    async def test_an_insert_is_seen_by_every_node(self, fleet: Fleet) -> None:
        """Immediately after an insert on one node, all others find the row: by key, by a condition, and in a count."""
        missed = 0
        for number in range(self.rounds):
            here, others = fleet.others(number)
            await here.add(sample(str(number), number=number))
            for other in others:
                missed += not await other.find(key == str(number))
                missed += not await other.figure("exists", Field("number") == number)
                missed += await other.figure("count") != number + 1
        assert 0 == missed

    @fleet_test(Capability.UPDATE_WHERE)
    async def test_an_update_is_seen_by_every_node(self, fleet: Fleet) -> None:
        """Immediately after an update on one node, all others read the new value, and none finds the old one."""
        await fleet.nodes[0].add(sample("a", number=-1))
        missed = 0
        for number in range(self.rounds):
            here, others = fleet.others(number)
            await here.change(key == "a", number=number)
            for other in others:
                missed += [number] != [row["number"] for row in await other.find(key == "a")]
                missed += await other.figure("exists", (key == "a") & (Field("number") == number - 1))
        assert 0 == missed

    @fleet_test(Capability.DELETE_WHERE)
    async def test_a_delete_is_seen_by_every_node(self, fleet: Fleet) -> None:
        """Immediately after a delete on one node, no other finds the row, and another one may take its key."""
        missed = 0
        for number in range(self.rounds):
            here, others = fleet.others(number)
            await here.add(sample("a", number=number))
            await others[0].remove(key == "a")
            for node in fleet.nodes:
                missed += len(await node.find(key == "a"))
            missed += (await here.add(sample("a", number=number))).count != 1
            missed += (await others[-1].remove(key == "a")).count != 1
        assert 0 == missed

    @fleet_test(Capability.UPDATE_WHERE)
    async def test_a_condition_of_a_write_sees_rows_of_every_node(self, fleet: Fleet) -> None:
        """An update by a condition changes a row that another node has just inserted."""
        missed = 0
        for number in range(self.rounds):
            here, others = fleet.others(number)
            await here.add(sample(str(number), status="open"))
            missed += (await others[0].change(Field("status") == "open", status="closed")).count != 1
        assert 0 == missed

    @fleet_test(Capability.UPSERT_WHERE)
    async def test_a_condition_of_an_upsert_sees_rows_of_every_node(self, fleet: Fleet) -> None:
        """A row that one node consumed cannot be consumed by another, and can again after one node has reset it."""
        missed = 0
        for number in range(self.rounds):
            here, others = fleet.others(number)
            missed += (await here.add(sample(str(number), amount=1), on_conflict=_CONSUME)).count != 1
            for other in others:
                missed += (await other.add(sample(str(number), amount=2), on_conflict=_CONSUME)).count != 0
        assert 0 == missed

    @fleet_test(Capability.TRANSACTION)
    async def test_a_transaction_that_begins_sees_what_every_node_acknowledged(self, fleet: Fleet) -> None:
        """A transaction sees all writes that were acknowledged before it began. Later writes are seen at least outside of it."""
        missed = 0
        for number in range(self.rounds):
            here, others = fleet.others(number)
            await here.add(sample(f"before {number}"))
            async with others[0].store.transaction():
                missed += not await others[0].find(key == f"before {number}")
            async with others[0].store.transaction():
                await others[0].find(key == "anything")
                outside = others[0].store.outside()
                if outside is not None:
                    with outside:
                        missed += not await others[0].find(key == f"before {number}")
        assert 0 == missed

    @fleet_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_sees_rows_of_every_node(self, fleet: Fleet) -> None:
        """A sweep on one node removes rows of another node, keeps rows that another node prolonged, and all nodes agree."""
        here, others = fleet.others(0)
        await here.add(*(sample(str(number), number=number % 2) for number in range(300)))
        removed = [count async for count in others[0].sweep(Field("number") == 1)]

        assert 150 == sum(removed)
        assert [150] * len(fleet.nodes) == [await node.figure("count") for node in fleet.nodes]

    # One winner

    @fleet_test(Capability.CAS)
    async def test_of_all_nodes_one_compares_and_sets(self, fleet: Fleet) -> None:
        """Of concurrent conditional updates on all nodes one reports count 1, and all nodes read its value."""
        for race in range(self.races):
            name = f"cas {race}"
            await fleet.others(race)[0].add(sample(name))

            async def change(number: int, node: Harness, name: str = name) -> int:
                return (await node.change((key == name) & Field("amount").is_none(), amount=number)).count

            counts = await fleet.together(change)
            values = [(await node.find(key == name))[0]["amount"] for node in fleet.nodes]

            assert 1 == sum(counts)
            assert [counts.index(1)] * len(fleet.nodes) == values

    @fleet_test(Capability.UPSERT_WHERE)
    async def test_of_all_nodes_one_consumes(self, fleet: Fleet) -> None:
        """Of concurrent upserts with a condition on all nodes one counts, whether the row existed or not."""
        for race in range(self.races):
            name = f"consume {race}"
            if race % 2:
                await fleet.others(race)[0].add(sample(name))

            async def consume(number: int, node: Harness, name: str = name) -> int:
                return (await node.add(sample(name, amount=number), on_conflict=_CONSUME)).count

            counts = await fleet.together(consume)
            values = [(await node.find(key == name))[0]["amount"] for node in fleet.nodes]

            assert 1 == sum(counts)
            assert [counts.index(1)] * len(fleet.nodes) == values

    @fleet_test()
    async def test_of_all_nodes_one_inserts(self, fleet: Fleet) -> None:
        """Of concurrent inserts of one key on all nodes one is written; the others get UniqueViolation."""
        for race in range(self.races):

            async def insert(number: int, node: Harness, race: int = race) -> list[type[Exception]]:
                result = await node.add(sample(f"insert {race}", number=number))
                return [type(failure.error) for failure in result.failures]

            failures = await fleet.together(insert)

            assert 1 == failures.count([])
            assert len(fleet.nodes) - 1 == failures.count([UniqueViolation])

    @fleet_test(Capability.ATOMIC_EXPR)
    async def test_no_increment_of_any_node_is_lost(self, fleet: Fleet) -> None:
        """Concurrent increments on all nodes add up."""
        await fleet.nodes[0].add(sample("a"))

        async def count_up(_: int, node: Harness) -> None:
            for _time in range(self.races):
                await node.change(key == "a", number=Field("number") + 1)

        await fleet.together(count_up)
        total = self.races * len(fleet.nodes)

        assert [total] * len(fleet.nodes) == [(await node.find(key == "a"))[0]["number"] for node in fleet.nodes]

    # Leases, storage, clocks

    @fleet_test(Capability.LEASE)
    async def test_a_lease_has_one_holder_among_all_nodes(self, fleet: Fleet) -> None:
        """Of all nodes that request a lease one gets it. After its release it is free on every other node immediately."""
        for race in range(self.races):
            leases = [node.store.lease(f"fleet {race}", _TTL) for node in fleet.nodes]
            held = await fleet.together(lambda number, _, leases=leases: leases[number].__aenter__())  # type: ignore[misc]  # bound now
            for lease in leases:
                await lease.__aexit__(None, None, None)
            async with fleet.nodes[race % len(fleet.nodes)].store.lease(f"fleet {race}", _TTL) as afterwards:
                pass

            assert [False] * (len(leases) - 1) + [True] == sorted(held)
            assert afterwards

    @fleet_test(Capability.LEASE)
    async def test_a_lease_of_a_dead_node_is_free_after_its_time(self, fleet: Fleet) -> None:
        """Another node gets the lease of a dead node after its time, and not before. The dead node cannot release it then."""
        here, others = fleet.others(0)
        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC), everywhere=True) as clock:
            dead = here.store.lease("dead", _TTL)
            got = [await dead.__aenter__()]
            clock.advance(minutes=4, seconds=59)
            async with others[0].store.lease("dead", _TTL) as early:
                got.append(early)
            clock.advance(seconds=2)
            async with others[0].store.lease("dead", _TTL) as late:
                got.append(late)
                await dead.__aexit__(None, None, None)
                async with others[-1].store.lease("dead", _TTL) as third:
                    got.append(third)
        assert [True, False, True, False] == got

    @fleet_test()
    async def test_storage_is_made_by_all_nodes_at_once(self, fleet: Fleet) -> None:
        """Concurrent ``create_storage`` on all nodes creates it once. Each node can use it as soon as its own call returned."""
        resource = Fleet(await fleet.bind(COMPOSITE), fleet.run, fleet.bind)

        async def make(number: int, node: Harness) -> int:
            await node.store.create_storage()
            return (await node.add(composite("made", number))).count

        assert [1] * len(fleet.nodes) == await resource.together(make)
        assert [len(fleet.nodes)] * len(fleet.nodes) == [await node.figure("count") for node in resource.nodes]

    @fleet_test()
    async def test_the_clocks_of_all_nodes_agree(self, fleet: Fleet) -> None:
        """Leases use the clocks of the nodes, so these differ by at most ``clocks_agree``."""
        times = [await node.store.now() for node in fleet.nodes for _ in range(3)]

        assert self.clocks_agree >= max(times) - min(times)
