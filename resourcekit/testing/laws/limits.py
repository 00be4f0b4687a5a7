"""Laws of size: long keys, long lists, many rows; kept whole or refused, never cut. It knows the port only."""

from __future__ import annotations

import random

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.declarations.identity import Identity, Index
from resourcekit.errors import Invalid
from resourcekit.flow.expression import Field
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import attribute, resource, sample

__all__ = ["LimitLaws"]

UNBOUNDED = resource(
    "LawUnbounded",
    attribute("id", str, primary_key=True),
    attribute("name", str | None),
    attribute("word", str | None),
    Identity(name="by_name", fields=("name",)),
    Index(name="by_word", fields=("word",)),
)
"""Texts without a ``max_length`` in a key, an identity and an index."""


def _text(length: int, seed: int) -> str:
    """Return a text that no store compresses to something short."""
    letters = random.Random(seed)  # noqa: S311  # the same in each run
    return "".join(chr(letters.randrange(0x4E00, 0x9FA5)) for _ in range(length))


class LimitLaws(LawBook):
    """What a layer does with much."""

    @pytest.mark.parametrize("length", [300, 700, 3_000, 20_000])
    @pytest.mark.parametrize("field", ["id", "name", "word"])
    @law()
    async def test_a_long_text_is_kept_whole_or_refused(self, ledger: Ledger, field: str, length: int) -> None:
        """Where it has to be found, too: two texts that differ at their end only are two, or Invalid, and neither is cut."""
        long = await ledger.sibling(UNBOUNDED)
        ends = [_text(length, 1) + end for end in "ab"]
        result = await long.add(*({"id": str(number), "name": None, "word": None, field: end} for number, end in enumerate(ends)))

        assert {Invalid} >= {type(failure.error) for failure in result.failures}
        assert [end for end in ends if result.count] == sorted(row[field] for row in await long.find())
        if result.count and ledger.store.capabilities >= {Capability.FILTER}:
            assert [ends[1]] == [row[field] for row in await long.find(Field(field) == ends[1])]
            assert [] == await long.find(Field(field) == ends[0][:-1])

    @law(Capability.FILTER)
    async def test_a_list_of_very_many_values(self, ledger: Ledger) -> None:
        """``in_`` takes 10,000 values; more than a store has room for are Invalid, and never a part of the answer."""
        await ledger.add(*(sample(f"{number:06}", number=number) for number in range(0, 70_000, 7_000)))

        assert 2 == len(await ledger.find(key.in_([f"{number:06}" for number in range(10_000)])))
        try:
            found = await ledger.find(key.in_([f"{number:06}" for number in range(70_000)]))
        except Invalid:
            return
        assert 10 == len(found)

    @law(Capability.UPDATE_WHERE, Capability.DELETE_WHERE)
    async def test_ten_thousand_rows_change_at_once(self, ledger: Ledger) -> None:
        """An update and a delete of 10,000 rows count each of them once, and leave the others."""
        await ledger.add(*(sample(f"{number:05}", number=number % 2) for number in range(10_000)), returning=False)

        assert 5_000 == (await ledger.change(Field("number") == 1, status="closed", text="x")).count
        assert 5_000 == (await ledger.remove(Field("status") == "closed")).count
        assert [0, 5_000] == [len(await ledger.find(Field("number") == number, fields=("id",))) for number in (1, 0)]
