"""Conformance tests of size: long keys, long lists and many rows are stored whole or refused, never cut."""

from __future__ import annotations

import random

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.declarations.identity import Identity, Index
from resourcekit.errors import Invalid
from resourcekit.expressions.nodes import Field
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import attribute, resource, sample

__all__ = ["LimitSuite"]

UNBOUNDED = resource(
    "LawUnbounded",
    attribute("id", str, primary_key=True),
    attribute("name", str | None),
    attribute("word", str | None),
    Identity(name="by_name", fields=("name",)),
    Index(name="by_word", fields=("word",)),
)
"""Texts without a ``max_length`` in a primary key, an identity and an index."""


def _text(length: int, seed: int) -> str:
    """Return a text that compresses badly."""
    letters = random.Random(seed)  # noqa: S311  # the same in each run
    return "".join(chr(letters.randrange(0x4E00, 0x9FA5)) for _ in range(length))


class LimitSuite(ConformanceSuite):
    """Tests of a layer with large values and many rows."""

    @pytest.mark.parametrize("length", [300, 700, 3_000, 20_000])
    @pytest.mark.parametrize("field", ["id", "name", "word"])
    @conformance_test()
    async def test_a_long_text_is_kept_whole_or_refused(self, harness: Harness, field: str, length: int) -> None:
        """Two long texts that differ only at their end are two different values, or Invalid; neither is cut, even in an
        index.
        """
        long = await harness.sibling(UNBOUNDED)
        ends = [_text(length, 1) + end for end in "ab"]
        result = await long.add(*({"id": str(number), "name": None, "word": None, field: end} for number, end in enumerate(ends)))

        assert {Invalid} >= {type(failure.error) for failure in result.failures}
        assert [end for end in ends if result.count] == sorted(row[field] for row in await long.find())
        if result.count and harness.store.capabilities >= {Capability.FILTER}:
            assert [ends[1]] == [row[field] for row in await long.find(Field(field) == ends[1])]
            assert [] == await long.find(Field(field) == ends[0][:-1])

    @conformance_test(Capability.FILTER)
    async def test_a_list_of_very_many_values(self, harness: Harness) -> None:
        """``in_`` accepts 10,000 values. More values than a store supports raise Invalid, and never give a partial result."""
        await harness.add(*(sample(f"{number:06}", number=number) for number in range(0, 70_000, 7_000)))

        assert 2 == len(await harness.find(key.in_([f"{number:06}" for number in range(10_000)])))
        try:
            found = await harness.find(key.in_([f"{number:06}" for number in range(70_000)]))
        except Invalid:
            return
        assert 10 == len(found)

    @conformance_test(Capability.UPDATE_WHERE, Capability.DELETE_WHERE)
    async def test_ten_thousand_rows_change_at_once(self, harness: Harness) -> None:
        """An update and a delete of 10,000 rows count each of them once, and keep the others."""
        await harness.add(*(sample(f"{number:05}", number=number % 2) for number in range(10_000)), returning=False)

        assert 5_000 == (await harness.change(Field("number") == 1, status="closed", text="x")).count
        assert 5_000 == (await harness.remove(Field("status") == "closed")).count
        assert [0, 5_000] == [len(await harness.find(Field("number") == number, fields=("id",))) for number in (1, 0)]
