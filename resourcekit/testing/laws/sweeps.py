"""Laws of delete_in_batches: exactly what matches, whatever happens beside it. It knows the port only."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import Invalid
from resourcekit.flow.expression import Field, now
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import COMPOSITE, composite, sample

__all__ = ["SweepLaws"]

_MOMENT = datetime(2024, 2, 29, 12, tzinfo=UTC)
_expired = Field("number") < 0


def _rows(count: int) -> list[dict[str, object]]:
    """Return rows of which every other one is to be swept, in no order of their keys."""
    return [sample(f"{number * 7919 % 10007:05}", number=-1 if number % 2 else 1) for number in range(count)]


class SweepLaws(LawBook):
    """What a layer removes in batches."""

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_removes_exactly_what_matches(self, ledger: Ledger) -> None:
        """The counts add up to the rows that matched; the others stay."""
        await ledger.add(*_rows(3000))
        counts = [count async for count in ledger.sweep(_expired)]

        assert 1500 == sum(counts)
        assert (0, 1500) == (await ledger.figure("count", _expired), await ledger.figure("count"))

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_of_nothing(self, ledger: Ledger) -> None:
        """A sweep that finds nothing removes nothing, on an empty store too."""
        assert 0 == sum([count async for count in ledger.sweep(_expired)])
        await ledger.add(sample("a"))
        assert 0 == sum([count async for count in ledger.sweep(_expired)])
        assert ["a"] == await ledger.keys()

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_of_all(self, ledger: Ledger) -> None:
        """Without a condition everything goes."""
        await ledger.add(*_rows(500))
        assert 500 == sum([count async for count in ledger.sweep(None, size=64)])
        assert 0 == await ledger.figure("count")

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_can_be_stopped_between_two_batches(self, ledger: Ledger) -> None:
        """What was counted is gone, the rest is still there, and a later sweep takes it."""
        await ledger.add(*_rows(2000))
        sweep = ledger.sweep(_expired, size=100)
        removed = await anext(sweep) + await anext(sweep)
        await sweep.aclose()  # type: ignore[attr-defined]  # an async generator, as the engine needs it

        assert 0 < removed < 1000
        assert 1000 - removed == await ledger.figure("count", _expired)
        assert 1000 - removed == sum([count async for count in ledger.sweep(_expired)])

    @law(Capability.DELETE_IN_BATCHES)
    async def test_each_batch_is_committed_for_itself(self, ledger: Ledger) -> None:
        """After each batch, others see that its rows are gone, and can write."""
        await ledger.add(*_rows(1000))
        left = 500
        async for count in ledger.sweep(_expired, size=100):
            left -= count
            assert left == await ledger.figure("count", _expired)
            assert 1 == (await ledger.change(key == "00000", amount=left)).count
        assert 0 == left

    @law(Capability.DELETE_IN_BATCHES)
    async def test_rows_that_change_beside_a_sweep(self, ledger: Ledger) -> None:
        """Prolonged rows stay, inserted live ones stay, and removed ones are counted by nobody."""
        await ledger.add(*_rows(2000))
        doomed = await ledger.keys(_expired)
        prolonged, removed = doomed[-1:-200:-2], doomed[-2:-200:-2]
        sweep = ledger.sweep(_expired, size=50)
        total = await anext(sweep)
        saved = (await ledger.change(key.in_(prolonged) & _expired, number=5)).count
        gone = (await ledger.remove(key.in_(removed) & _expired)).count
        await ledger.add(*(sample(f"live{number}", number=1) for number in range(100)))
        async for count in sweep:
            total += count

        assert 1000 == total + saved + gone
        assert (0, 1100 + saved) == (await ledger.figure("count", _expired), await ledger.figure("count"))
        assert saved == await ledger.figure("count", Field("number") == 5)

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_beside_writers(self, ledger: Ledger) -> None:
        """While others insert and prolong at once, no live row is lost and every row is accounted for."""
        await ledger.add(*_rows(1000))
        doomed = await ledger.keys(_expired)

        async def sweep() -> int:
            return sum([count async for count in ledger.sweep(_expired, size=50)])

        async def prolong() -> int:
            return sum([(await ledger.change((key == each) & _expired, number=5)).count for each in doomed[::10]])

        async def insert() -> int:
            for number in range(50):
                await ledger.add(sample(f"live{number}", number=1))
            return 0

        done = await ledger.together([sweep, prolong, insert, sweep])
        counts = [each for each in done if isinstance(each, int)]

        assert 4 == len(counts), done
        assert 500 == counts[0] + counts[1] + counts[3]
        assert (0, 550 + counts[1]) == (await ledger.figure("count", _expired), await ledger.figure("count"))

    @law(Capability.DELETE_IN_BATCHES)
    async def test_sweeps_at_once_count_each_row_once(self, ledger: Ledger) -> None:
        """Several sweeps may run at once; together they count what was removed."""
        await ledger.add(*_rows(2000))

        async def sweep() -> int:
            return sum([count async for count in ledger.sweep(_expired, size=100)])

        counts = [each for each in await ledger.together([functools.partial(sweep) for _ in range(4)]) if isinstance(each, int)]
        assert (4, 1000) == (len(counts), sum(counts))

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_of_a_composite_key(self, ledger: Ledger) -> None:
        """A layout by two attributes is gone through whole."""
        pairs = await ledger.sibling(COMPOSITE)
        await pairs.add(*(composite(f"t{number % 7}", number) for number in range(300)))
        condition = (Field("tenant") == "t3") | (Field("number") >= 200)
        wanted = len([number for number in range(300) if number % 7 == 3 or number >= 200])

        assert wanted == sum([count async for count in pairs.sweep(condition, size=16)])
        assert 300 - wanted == await pairs.figure("count")

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_by_the_clock(self, ledger: Ledger) -> None:
        """``now()`` in the condition of a sweep is the clock's."""
        with ManualClock(_MOMENT, everywhere=True) as clock:
            await ledger.add(*(sample(str(hours), moment=_MOMENT + timedelta(hours=hours)) for hours in range(5)))
            clock.advance(hours=2, microseconds=1)
            removed = sum([count async for count in ledger.sweep(Field("moment") < now())])
        assert (3, ["3", "4"]) == (removed, await ledger.keys())

    @law(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_by_a_value_that_cannot_be_kept_is_refused(self, ledger: Ledger) -> None:
        """A condition that compares with what no store keeps raises Invalid, and nothing is removed."""
        await ledger.add(sample("a"))
        with pytest.raises(Invalid):
            _ = [count async for count in ledger.sweep(key != "a\0")]
        assert ["a"] == await ledger.keys()
