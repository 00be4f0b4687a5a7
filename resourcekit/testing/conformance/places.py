"""Conformance tests of places: a write that one store acknowledged is there for every other store of that place, and after a
restart.

They apply to every layer that is not in-process (``DataLayer.in_process``).
"""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.base import Capability, OnConflict
from resourcekit.errors import UniqueViolation
from resourcekit.expressions.functions import existing, incoming
from resourcekit.expressions.nodes import Expression, Field
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import COMPOSITE, Shade, sample

__all__ = ["PlaceSuite"]

_ROUNDS = 6
_TTL = timedelta(minutes=5)
_CONSUME = OnConflict(("id",), set={"amount": incoming("amount")}, where=existing("amount").is_none())
_FULL = sample(
    "full",
    code="é\u2028\U0001f600",
    owner="",
    slot=-1,
    text="line\nline",
    ratio=0.1,
    flag=False,
    price=Decimal("12.50"),
    moment=datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC),
    day=date(2030, 2, 28),
    lasts=timedelta(days=-1, microseconds=1),
    shade=Shade.BLUE,
    tags=["b", "a"],
    facts={"a": [1, None, {"b": "c"}]},
    blob=b"\x00\xff",
)
"""A row with a value of nearly every type."""


class PlaceSuite(ConformanceSuite):
    """Tests of a layer with a second store of its place, and with a store that is opened later."""

    @conformance_test()
    async def test_a_place_is_named_alike_by_every_store_of_it(self, harness: Harness) -> None:
        """``place`` is equal for two bindings of one resource, and differs for two resources.

        It fails if ``make_data_layer`` returns a layer on another place when a test calls it again, and if the store of a
        layer that is not in-process has no place.
        """
        other, sibling = await harness.another(), await harness.sibling(COMPOSITE)

        assert harness.store.place is not None, "place is None, and the layer is not in_process"
        assert harness.store.place == other.store.place, "make_data_layer, called again, must return a layer on the same place"
        assert harness.store.place != sibling.store.place

    @conformance_test()
    async def test_what_was_written_is_there_after_a_restart(self, harness: Harness) -> None:
        """Each time the store is closed and the place is bound again, all rows are there, including the last one."""
        harness.require_place()
        written = [_FULL]
        await harness.add(_FULL)
        for number in range(3):
            await harness.store.close()
            harness = await harness.another()
            assert written == await harness.find(None, Field("number"))
            written.append(sample(f"late {number}", number=number + 1))
            await harness.add(written[-1])
        await harness.store.close()

        assert written == await (await harness.another()).find(None, Field("number"))

    @conformance_test(Capability.UPDATE_WHERE, Capability.DELETE_WHERE, Capability.UPSERT)
    async def test_what_was_changed_is_so_after_a_restart(self, harness: Harness) -> None:
        """An update, an upsert and a delete are still done after a restart, each as the last call before it."""
        harness.require_place()
        await harness.add(*(sample(each) for each in "abc"))
        for step in ("update", "upsert", "delete"):
            if step == "update":
                await harness.change(key == "a", text="changed")
            elif step == "upsert":
                await harness.add(sample("b", number=7), on_conflict=OnConflict(("id",), set={"number": incoming("number")}))
            else:
                await harness.remove(key == "c")
            await harness.store.close()
            harness = await harness.another()

        assert [sample("a", text="changed"), sample("b", number=7)] == await harness.find(None, key)

    @conformance_test()
    async def test_an_identity_holds_after_a_restart(self, harness: Harness) -> None:
        """A store that was just opened refuses a taken key and a taken identity in its first call."""
        harness.require_place()
        await harness.add(sample("a", code="x"))
        for row in (sample("a"), sample("b", code="x")):
            await harness.store.close()
            harness = await harness.another()
            failures = (await harness.add(row)).failures
            assert [UniqueViolation] == [type(failure.error) for failure in failures]
        assert ["a"] == await harness.keys()

    @conformance_test()
    async def test_creating_storage_again_keeps_what_is_there(self, harness: Harness) -> None:
        """``create_storage`` of a second program keeps all rows."""
        other = await harness.another()
        await harness.add(sample("a"))
        await other.store.create_storage()

        assert [["a"], ["a"]] == [await each.keys() for each in (harness, other)]

    @conformance_test(Capability.UPDATE_WHERE, Capability.DELETE_WHERE)
    async def test_a_second_store_sees_each_write_at_once(self, harness: Harness) -> None:
        """Inserts, updates and deletes of two stores in turn are seen by the next read of the other one, of each kind."""
        pair = [harness, await harness.another()]
        for number in range(_ROUNDS):
            writer, reader = pair[number % 2], pair[1 - number % 2]
            name = str(number)
            await writer.add(sample(name, number=1))
            assert sample(name, number=1) == await reader.row(name)
            await writer.change(key == name, number=2)
            assert [1, 0] == [await reader.figure("count", Field("number") == each) for each in (2, 1)]
            assert [name] == [row["id"] for row in await reader.find(Field("number") == 2)]
            await writer.remove(key == name)
            assert [] == await reader.find()

    @conformance_test(Capability.UPDATE_WHERE, Capability.DELETE_WHERE)
    async def test_a_write_begins_from_what_a_second_store_wrote(self, harness: Harness) -> None:
        """A write of one store keeps rows and values that the other one wrote before, and finds them by its condition."""
        other = await harness.another()
        await harness.add(sample("a"))
        await other.add(sample("b"))
        await harness.add(sample("c"))
        await harness.change(key == "b", text="first")
        await other.change(key == "b", number=7)
        await other.remove(key == "c")
        await harness.change(Field("number") == 7, flag=True)
        rows = [sample("a"), sample("b", text="first", number=7, flag=True)]

        assert [rows, rows] == [await each.find(None, key) for each in (harness, other)]

    @conformance_test(Capability.UPSERT_WHERE)
    async def test_an_upsert_sees_rows_of_a_second_store(self, harness: Harness) -> None:
        """A row that one store consumed cannot be consumed by the other one."""
        pair = [harness, await harness.another()]
        for number in range(_ROUNDS):
            first, second = pair[number % 2], pair[1 - number % 2]
            counts = [(await each.add(sample(str(number), amount=1), on_conflict=_CONSUME)).count for each in (first, second)]
            assert [1, 0] == counts

    @conformance_test()
    async def test_an_identity_is_unique_over_both_stores(self, harness: Harness) -> None:
        """A key and an identity that one store took are refused by the other; of many concurrent inserts one is written."""
        pair = [harness, await harness.another()]
        await harness.add(sample("a", code="x"))
        for row in (sample("a"), sample("b", code="x")):
            assert [UniqueViolation] == [type(failure.error) for failure in (await pair[1].add(row)).failures]
        works = [functools.partial(pair[number % 2].add, sample(f"at once {number}", code="y")) for number in range(10)]
        results = await harness.together(works)

        assert [] == [result for result in results if isinstance(result, BaseException)]
        assert 1 == sum(result.count for result in results if not isinstance(result, BaseException))

    @conformance_test(Capability.CAS)
    async def test_of_both_stores_one_compares_and_sets(self, harness: Harness) -> None:
        """Of concurrent conditional updates through two stores one reports count 1, and both read its value."""
        pair = [harness, await harness.another()]
        for race in range(_ROUNDS):
            name = str(race)
            await harness.add(sample(name))
            free = (key == name) & Field("amount").is_none()
            counts = await harness.together(
                [functools.partial(_change, pair[number % 2], free, amount=number) for number in range(8)]
            )
            assert [0] * 7 + [1] == sorted(counts, key=repr)
            assert [counts.index(1)] * 2 == [(await each.find(key == name))[0]["amount"] for each in pair]

    @conformance_test(Capability.ATOMIC_EXPR)
    async def test_no_write_of_either_store_is_lost(self, harness: Harness) -> None:
        """Concurrent inserts of different rows, and increments of one row, through two stores are all there afterwards."""
        pair = [harness, await harness.another()]
        await harness.add(sample("a"))
        works = [functools.partial(pair[number % 2].add, sample(f"row {number}")) for number in range(20)]
        counting = [functools.partial(_change, pair[number % 2], key == "a", number=Field("number") + 1) for number in range(20)]
        results: list[object] = [*await harness.together(works), *await harness.together(counting)]

        assert [] == [result for result in results if isinstance(result, BaseException)]
        for each in pair:
            assert (21, 20) == (len(await each.find()), (await each.find(key == "a"))[0]["number"])

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_sees_rows_of_a_second_store(self, harness: Harness) -> None:
        """A sweep removes rows of the other store, keeps rows that the other one changed meanwhile, and both stores agree."""
        other = await harness.another()
        assert 0 == sum([count async for count in other.sweep(None)])
        await harness.add(*(sample(str(number), number=number % 2) for number in range(50)))
        assert 25 == sum([count async for count in other.sweep(Field("number") == 1)])

        assert [25, 25] == [await each.figure("count") for each in (harness, other)]

    @conformance_test(Capability.LEASE)
    async def test_a_lease_has_one_holder_over_both_stores(self, harness: Harness) -> None:
        """A lease that one store holds is refused to the other one, and is free for it as soon as it is released."""
        pair = [harness, await harness.another()]
        for number in range(_ROUNDS):
            first, second = pair[number % 2], pair[1 - number % 2]
            async with first.store.lease("one", _TTL) as held, second.store.lease("one", _TTL) as also:
                got = [held, also]
            async with second.store.lease("one", _TTL) as afterwards:
                got.append(afterwards)
            assert [True, False, True] == got

    @conformance_test(Capability.TRANSACTION)
    async def test_a_second_store_sees_a_transaction_whole(self, harness: Harness) -> None:
        """After a transaction the other store sees all its writes, and none of a transaction that was rolled back."""
        other = await harness.another()
        async with harness.store.transaction():
            await harness.add(sample("a"))
            await harness.add(sample("b"))
        assert ["a", "b"] == await other.keys()
        async with harness.store.transaction() as transaction:
            await harness.add(sample("c"))
            transaction.doom()
        assert ["a", "b"] == await other.keys()


async def _change(harness: Harness, condition: Expression, **values: Any) -> int:
    return (await harness.change(condition, **values)).count
