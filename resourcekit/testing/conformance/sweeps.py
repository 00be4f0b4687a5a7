"""Conformance tests of ``delete_in_batches``: it removes exactly the matching rows, even with concurrent writes."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import Invalid
from resourcekit.expressions.functions import now
from resourcekit.expressions.nodes import Field
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import COMPOSITE, composite, sample

__all__ = ["SweepSuite"]

_NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
_expired = Field("number") < 0


def _rows(count: int) -> list[dict[str, object]]:
    """Return rows of which every second one matches the sweep, in no order of their keys."""
    return [sample(f"{number * 7919 % 10007:05}", number=-1 if number % 2 else 1) for number in range(count)]


class SweepSuite(ConformanceSuite):
    """Tests of sweeps."""

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_removes_exactly_what_matches(self, harness: Harness) -> None:
        """The counts add up to the number of rows that matched; the others are kept."""
        await harness.add(*_rows(3000))
        counts = [count async for count in harness.sweep(_expired)]

        assert 1500 == sum(counts)
        assert (0, 1500) == (await harness.figure("count", _expired), await harness.figure("count"))

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_of_nothing(self, harness: Harness) -> None:
        """A sweep without matching rows removes nothing, on an empty store too."""
        assert 0 == sum([count async for count in harness.sweep(_expired)])
        await harness.add(sample("a"))
        assert 0 == sum([count async for count in harness.sweep(_expired)])
        assert ["a"] == await harness.keys()

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_of_all(self, harness: Harness) -> None:
        """A sweep without a condition removes all rows."""
        await harness.add(*_rows(500))
        assert 500 == sum([count async for count in harness.sweep(None, size=64)])
        assert 0 == await harness.figure("count")

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_can_be_stopped_between_two_batches(self, harness: Harness) -> None:
        """After a stop, the counted rows are removed, the others are kept, and a later sweep removes them."""
        await harness.add(*_rows(2000))
        sweep = harness.sweep(_expired, size=100)
        removed = await anext(sweep) + await anext(sweep)
        await sweep.aclose()  # type: ignore[attr-defined]  # an async generator, as the engine needs it

        assert 0 < removed < 1000
        assert 1000 - removed == await harness.figure("count", _expired)
        assert 1000 - removed == sum([count async for count in harness.sweep(_expired)])

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_each_batch_is_committed_for_itself(self, harness: Harness) -> None:
        """After each batch, other callers no longer see its rows, and can write."""
        await harness.add(*_rows(1000))
        left = 500
        async for count in harness.sweep(_expired, size=100):
            left -= count
            assert left == await harness.figure("count", _expired)
            assert 1 == (await harness.change(key == "00000", amount=left)).count
        assert 0 == left

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_rows_that_change_beside_a_sweep(self, harness: Harness) -> None:
        """Rows that are prolonged or inserted during a sweep are kept, and rows that another caller removed are not counted."""
        await harness.add(*_rows(2000))
        doomed = await harness.keys(_expired)
        prolonged, removed = doomed[-1:-200:-2], doomed[-2:-200:-2]
        sweep = harness.sweep(_expired, size=50)
        total = await anext(sweep)
        saved = (await harness.change(key.in_(prolonged) & _expired, number=5)).count
        gone = (await harness.remove(key.in_(removed) & _expired)).count
        await harness.add(*(sample(f"live{number}", number=1) for number in range(100)))
        async for count in sweep:
            total += count

        assert 1000 == total + saved + gone
        assert (0, 1100 + saved) == (await harness.figure("count", _expired), await harness.figure("count"))
        assert saved == await harness.figure("count", Field("number") == 5)

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_beside_writers(self, harness: Harness) -> None:
        """While other callers insert and prolong, no live row is lost and every row is accounted for."""
        await harness.add(*_rows(1000))
        doomed = await harness.keys(_expired)

        async def sweep() -> int:
            return sum([count async for count in harness.sweep(_expired, size=50)])

        async def prolong() -> int:
            return sum([(await harness.change((key == each) & _expired, number=5)).count for each in doomed[::10]])

        async def insert() -> int:
            for number in range(50):
                await harness.add(sample(f"live{number}", number=1))
            return 0

        done = await harness.together([sweep, prolong, insert, sweep])
        counts = [each for each in done if isinstance(each, int)]

        assert 4 == len(counts), done
        assert 500 == counts[0] + counts[1] + counts[3]
        assert (0, 550 + counts[1]) == (await harness.figure("count", _expired), await harness.figure("count"))

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_sweeps_at_once_count_each_row_once(self, harness: Harness) -> None:
        """Several sweeps may run concurrently; together they count each removed row once."""
        await harness.add(*_rows(2000))

        async def sweep() -> int:
            return sum([count async for count in harness.sweep(_expired, size=100)])

        counts = [each for each in await harness.together([functools.partial(sweep) for _ in range(4)]) if isinstance(each, int)]
        assert (4, 1000) == (len(counts), sum(counts))

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_of_a_composite_key(self, harness: Harness) -> None:
        """A sweep covers a table with a composite primary key completely."""
        pairs = await harness.sibling(COMPOSITE)
        await pairs.add(*(composite(f"t{number % 7}", number) for number in range(300)))
        condition = (Field("tenant") == "t3") | (Field("number") >= 200)
        wanted = len([number for number in range(300) if number % 7 == 3 or number >= 200])

        assert wanted == sum([count async for count in pairs.sweep(condition, size=16)])
        assert 300 - wanted == await pairs.figure("count")

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_by_the_clock(self, harness: Harness) -> None:
        """``now()`` in the condition of a sweep is the time of the clock."""
        with ManualClock(_NOON, everywhere=True) as clock:
            await harness.add(*(sample(str(hours), moment=_NOON + timedelta(hours=hours)) for hours in range(5)))
            clock.advance(hours=2, microseconds=1)
            removed = sum([count async for count in harness.sweep(Field("moment") < now())])
        assert (3, ["3", "4"]) == (removed, await harness.keys())

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_by_a_value_that_cannot_be_kept_is_refused(self, harness: Harness) -> None:
        """A condition with a value that no store keeps raises Invalid, and nothing is removed."""
        await harness.add(sample("a"))
        with pytest.raises(Invalid):
            _ = [count async for count in harness.sweep(key != "a\0")]
        assert ["a"] == await harness.keys()
