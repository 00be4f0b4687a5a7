"""Laws of working at once: one winner, no lost write, no half of a write. It knows the port only."""

from __future__ import annotations

import functools
from typing import Any

from resourcekit.data_layers.base import Capability, OnConflict, Row
from resourcekit.errors import UniqueViolation
from resourcekit.flow.expression import Field, existing, incoming
from resourcekit.flow.result import Outcome
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import sample

__all__ = ["ConcurrencyLaws"]


def _results(returned: list[Any]) -> list[Any]:
    """Return the results, and raise the first error among them."""
    for each in returned:
        if isinstance(each, BaseException):
            raise each
    return returned


class ConcurrencyLaws(LawBook):
    """What a layer keeps while several threads or tasks use it."""

    @law(Capability.CAS)
    async def test_of_50_conditional_updates_one_wins(self, ledger: Ledger) -> None:
        """Compare and set: of 50 at once, exactly one reports count 1, and it is the one that stands."""
        await ledger.add(sample("a"))
        works = [
            functools.partial(ledger.change, (key == "a") & Field("amount").is_none(), amount=number) for number in range(50)
        ]
        counts = [result.count for result in _results(await ledger.together(works))]

        assert [0] * 49 + [1] == sorted(counts)
        assert counts.index(1) == (await ledger.find(key == "a"))[0]["amount"]

    @law(Capability.ATOMIC_EXPR)
    async def test_no_increment_is_lost(self, ledger: Ledger) -> None:
        """50 increments by expression at once add up to 50."""
        await ledger.add(sample("a"))
        _results(
            await ledger.together([functools.partial(ledger.change, key == "a", number=Field("number") + 1) for _ in range(50)])
        )
        assert 50 == (await ledger.find(key == "a"))[0]["number"]

    @law()
    async def test_of_two_writers_on_one_key_one_wins(self, ledger: Ledger) -> None:
        """Inserts of one key, and of one identity, at once: one is written, the others are told UniqueViolation."""
        rows = [sample("a", number=number) for number in range(10)] + [sample(f"b{number}", code="x") for number in range(10)]
        results = _results(await ledger.together([functools.partial(ledger.add, row) for row in rows]))
        failures = [failure.error for result in results for failure in result.failures]

        assert [1, 1] == [sum(result.count for result in half) for half in (results[:10], results[10:])]
        assert [UniqueViolation] * 18 == [type(error) for error in failures]
        assert 2 == len(await ledger.keys())

    @law(Capability.UPSERT_WHERE)
    async def test_of_many_who_consume_one_wins(self, ledger: Ledger) -> None:
        """Many who "set it where it is not set" by upsert, at once: one counts, whether the row was there or not."""
        consume = OnConflict(("id",), set={"amount": incoming("amount")}, where=existing("amount").is_none())
        await ledger.add(sample("known"))
        for wanted in ("known", "unknown"):
            works = [functools.partial(ledger.add, sample(wanted, amount=number), on_conflict=consume) for number in range(20)]
            results = _results(await ledger.together(works))
            winner = [number for number, result in enumerate(results) if result.count]

            assert [(await ledger.find(key == wanted))[0]["amount"]] == winner
            assert 19 == sum(result.outcomes == (Outcome.SKIPPED,) for result in results)

    @law(Capability.UPSERT)
    async def test_upserts_at_once_insert_one_row(self, ledger: Ledger) -> None:
        """Of upserts of one new key at once, one inserts and the others update; all of them count."""
        adding = OnConflict(("id",), set={"number": existing("number") + incoming("number")})
        results = _results(
            await ledger.together([functools.partial(ledger.add, sample("a", number=1), on_conflict=adding) for _ in range(20)])
        )

        assert [Outcome.INSERTED] + [Outcome.UPDATED] * 19 == sorted(
            (result.outcomes[0] for result in results), key=list(Outcome).index
        )
        assert 20 == (await ledger.find(key == "a"))[0]["number"]

    @law(Capability.TRANSACTION, Capability.UPDATE_WHERE)
    async def test_a_reader_sees_all_of_a_write_or_nothing(self, ledger: Ledger) -> None:
        """While a transaction moves an amount between two rows, each reader finds the same sum."""
        await ledger.add(sample("a", amount=100), sample("b", amount=0))

        async def move() -> None:
            async with ledger.store.transaction():
                await ledger.change(key == "a", amount=Field("amount") - 1)
                await ledger.change(key == "b", amount=Field("amount") + 1)

        async def write() -> list[int]:
            for _ in range(20):
                await ledger.again(move)
            return []

        async def read() -> list[int]:
            return [sum(row["amount"] for row in await ledger.find(key.in_(["a", "b"]))) for _ in range(40)]

        seen = _results(await ledger.together([write, read, read, write]))
        assert {100} == {total for totals in seen for total in totals}
        assert [("a", 60), ("b", 40)] == sorted((row["id"], row["amount"]) for row in await ledger.find())

    @law(Capability.UPDATE_WHERE)
    async def test_a_reader_never_sees_half_of_a_row(self, ledger: Ledger) -> None:
        """While updates set two fields to one value, every read finds them equal."""
        await ledger.add(sample("a", number=0, amount=0))

        async def write() -> list[Row]:
            for number in range(100):
                await ledger.change(key == "a", number=number, amount=number)
            return []

        async def read() -> list[Row]:
            return [row for _ in range(100) for row in await ledger.find(key == "a")]

        seen = _results(await ledger.together([write, read, read]))
        assert [] == [row for rows in seen for row in rows if row["number"] != row["amount"]]

    @law(Capability.TRANSACTION, Capability.CAS)
    async def test_what_was_read_and_compared_is_never_lost(self, ledger: Ledger) -> None:
        """Read, compute, write where it is still as read: whoever comes too late is told, and repeats; none is lost."""
        await ledger.add(sample("a", tags=[]))

        async def once(name: str) -> None:
            async with ledger.store.transaction():
                row = (await ledger.find(key == "a"))[0]
                changed = await ledger.change(
                    (key == "a") & (Field("number") == row["number"]), number=row["number"] + 1, tags=[*row["tags"], name]
                )
                if not changed.count:
                    raise _Late

        async def work(name: str) -> None:
            for _ in range(500):
                try:
                    return await ledger.again(functools.partial(once, name))
                except _Late:
                    continue
            raise AssertionError(name)

        names = [str(number) for number in range(8)]
        _results(await ledger.together([functools.partial(work, name) for name in names]))
        row = (await ledger.find(key == "a"))[0]

        assert (8, names) == (row["number"], sorted(row["tags"]))


class _Late(Exception):  # a sign between two functions of one law
    """The row is not as it was read."""
