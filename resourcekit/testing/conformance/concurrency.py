"""Conformance tests of concurrency: one winner, no lost write, no half-written row."""

from __future__ import annotations

import functools
from typing import Any

from resourcekit.data_layers.base import Capability, OnConflict, Row, Select
from resourcekit.errors import UniqueViolation
from resourcekit.expressions.functions import existing, incoming
from resourcekit.expressions.nodes import Field
from resourcekit.results import Outcome
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import sample

__all__ = ["ConcurrencySuite"]


def _results(returned: list[Any]) -> list[Any]:
    """Return the results, and raise the first error among them."""
    for each in returned:
        if isinstance(each, BaseException):
            raise each
    return returned


class ConcurrencySuite(ConformanceSuite):
    """Tests of a layer that several threads or tasks use at the same time."""

    @conformance_test(Capability.CAS)
    async def test_of_50_conditional_updates_one_wins(self, harness: Harness) -> None:
        """Of 50 concurrent compare-and-set updates, exactly one reports count 1, and its value is stored."""
        await harness.add(sample("a"))
        works = [
            functools.partial(harness.change, (key == "a") & Field("amount").is_none(), amount=number) for number in range(50)
        ]
        counts = [result.count for result in _results(await harness.together(works))]

        assert [0] * 49 + [1] == sorted(counts)
        assert counts.index(1) == (await harness.find(key == "a"))[0]["amount"]

    @conformance_test(Capability.ATOMIC_EXPR)
    async def test_no_increment_is_lost(self, harness: Harness) -> None:
        """50 concurrent increments by expression add up to 50."""
        await harness.add(sample("a"))
        _results(
            await harness.together([functools.partial(harness.change, key == "a", number=Field("number") + 1) for _ in range(50)])
        )
        assert 50 == (await harness.find(key == "a"))[0]["number"]

    @conformance_test()
    async def test_of_two_writers_on_one_key_one_wins(self, harness: Harness) -> None:
        """Of concurrent inserts with the same primary key or identity, one is written; the others get UniqueViolation."""
        rows = [sample("a", number=number) for number in range(10)] + [sample(f"b{number}", code="x") for number in range(10)]
        results = _results(await harness.together([functools.partial(harness.add, row) for row in rows]))
        failures = [failure.error for result in results for failure in result.failures]

        assert [1, 1] == [sum(result.count for result in half) for half in (results[:10], results[10:])]
        assert [UniqueViolation] * 18 == [type(error) for error in failures]
        assert 2 == len(await harness.keys())

    @conformance_test(Capability.UPSERT_WHERE)
    async def test_of_many_who_consume_one_wins(self, harness: Harness) -> None:
        """Of many concurrent upserts that set an unset value, one counts, whether the row existed or not."""
        consume = OnConflict(("id",), set={"amount": incoming("amount")}, where=existing("amount").is_none())
        await harness.add(sample("known"))
        for wanted in ("known", "unknown"):
            works = [functools.partial(harness.add, sample(wanted, amount=number), on_conflict=consume) for number in range(20)]
            results = _results(await harness.together(works))
            winner = [number for number, result in enumerate(results) if result.count]

            assert [(await harness.find(key == wanted))[0]["amount"]] == winner
            assert 19 == sum(result.outcomes == (Outcome.SKIPPED,) for result in results)

    @conformance_test(Capability.UPSERT)
    async def test_upserts_at_once_insert_one_row(self, harness: Harness) -> None:
        """Of concurrent upserts of one new key, one inserts and the others update; all of them count."""
        adding = OnConflict(("id",), set={"number": existing("number") + incoming("number")})
        results = _results(
            await harness.together([functools.partial(harness.add, sample("a", number=1), on_conflict=adding) for _ in range(20)])
        )

        assert [Outcome.INSERTED] + [Outcome.UPDATED] * 19 == sorted(
            (result.outcomes[0] for result in results), key=list(Outcome).index
        )
        assert 20 == (await harness.find(key == "a"))[0]["number"]

    @conformance_test(Capability.TRANSACTION, Capability.UPDATE_WHERE)
    async def test_a_reader_sees_all_of_a_write_or_nothing(self, harness: Harness) -> None:
        """While a transaction moves an amount between two rows, each reader finds the same sum."""
        await harness.add(sample("a", amount=100), sample("b", amount=0))

        async def move() -> None:
            async with harness.store.transaction():
                await harness.change(key == "a", amount=Field("amount") - 1)
                await harness.change(key == "b", amount=Field("amount") + 1)

        async def write() -> list[int]:
            for _ in range(20):
                await harness.again(move)
            return []

        async def read() -> list[int]:
            return [sum(row["amount"] for row in await harness.find(key.in_(["a", "b"]))) for _ in range(40)]

        seen = _results(await harness.together([write, read, read, write]))
        assert {100} == {total for totals in seen for total in totals}
        assert [("a", 60), ("b", 40)] == sorted((row["id"], row["amount"]) for row in await harness.find())

    @conformance_test(Capability.UPDATE_WHERE)
    async def test_a_reader_never_sees_half_of_a_row(self, harness: Harness) -> None:
        """While updates set two fields to the same value, every read finds them equal."""
        await harness.add(sample("a", number=0, amount=0))

        async def write() -> list[Row]:
            for number in range(100):
                await harness.change(key == "a", number=number, amount=number)
            return []

        async def read() -> list[Row]:
            return [row for _ in range(100) for row in await harness.find(key == "a")]

        seen = _results(await harness.together([write, read, read]))
        assert [] == [row for rows in seen for row in rows if row["number"] != row["amount"]]

    @conformance_test(Capability.TRANSACTION, Capability.CAS)
    async def test_what_was_read_and_compared_is_never_lost(self, harness: Harness) -> None:
        """If a write compares with the values that were read, a late writer gets count 0 and repeats; no write is lost."""
        await harness.add(sample("a", tags=[]))

        async def once(name: str) -> None:
            async with harness.store.transaction():
                row = (await harness.find(key == "a"))[0]
                changed = await harness.change(
                    (key == "a") & (Field("number") == row["number"]), number=row["number"] + 1, tags=[*row["tags"], name]
                )
                if not changed.count:
                    raise _Late

        async def work(name: str) -> None:
            for _ in range(500):
                try:
                    return await harness.again(functools.partial(once, name))
                except _Late:
                    continue
            raise AssertionError(name)

        names = [str(number) for number in range(8)]
        _results(await harness.together([functools.partial(work, name) for name in names]))
        row = (await harness.find(key == "a"))[0]

        assert (8, names) == (row["number"], sorted(row["tags"]))

    @conformance_test(Capability.TRANSACTION, Capability.LOCK)
    async def test_what_was_read_and_locked_is_never_lost(self, harness: Harness) -> None:
        """A transaction that locks a row as it reads it may write what it computed from it; no other write comes between."""
        await harness.add(sample("a"))
        plan = harness.store.compile(Select(key == "a", lock=True))

        async def once() -> None:
            async with harness.store.transaction():
                (row,) = await harness.store.select(plan, {})
                await harness.change(key == "a", number=row["number"] + 1)

        _results(await harness.together([once] * 8))
        assert 8 == (await harness.find(key == "a"))[0]["number"]


class _Late(Exception):  # used only between two functions of one test
    """The row is not as it was read."""
