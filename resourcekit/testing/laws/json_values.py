"""Laws of JSON values: lists, dicts and what they hold come back as they were, or are refused. It knows the port only."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import Invalid
from resourcekit.flow.expression import Field
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import Shade, attribute, resource, sample

__all__ = ["JSONLaws"]

NUMBERS: list[Any] = [
    *(0, 1, -1, 2**31, 2**53 - 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 + 1, -(2**80), 10**40),
    *(0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, 1e15, 1e16, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, 100.0),
    *(True, False, None, "1", "1.0", "true", "null", ""),
]
"""Numbers, and what is easily taken for one; kinds that compare equal in Python (1, 1.0, True) are still different."""

SHAPES: dict[str, Any] = {
    "empty": {"list": [], "dict": {}, "text": "", "none": None},
    "keys": {
        "": 1,
        " ": 2,
        "a.b": 3,
        "$a": 4,
        "a[0]": 5,
        '"': 6,
        "\\": 7,
        "\U0001f600": 8,
        "\u00e9": 9,
        "e\u0301": 10,
        "\u2028": 11,
    },
    "order": {"b": 1, "a": 2, "B": 3, "10": 4, "9": 5},
    "lists": {"mixed": [1, "1", 1.0, None, [1], {"1": 1}], "nested": [[[[]]], [[]]]},
    "texts": {
        "escapes": "\b\f\n\r\t\x01\x7f\u2028\u2029/\\\"'",
        "markup": "</script><!-- ]]> -->",
        "emoji": "\U0001f468\u200d\U0001f469",
    },
    "wide": {str(number): number for number in range(1000)},
}

OPEN = resource("LawOpen", attribute("id", str, primary_key=True, max_length=50), attribute("value", Any))
"""An attribute that takes any JSON value."""

TYPED = resource(
    "LawTyped",
    attribute("id", str, primary_key=True, max_length=50),
    attribute("refs", list[UUID] | None),
    attribute("prices", dict[str, Decimal] | None),
    attribute("moments", list[datetime] | None),
    attribute("days", list[dict[str, date]] | None),
    attribute("shades", list[Shade] | None),
    attribute("blobs", list[bytes] | None),
)
"""Lists and dicts of what JSON has no word for."""


class _Nothing:
    """No JSON value."""


REFUSED: dict[str, Any] = {
    "nan": {"a": math.nan},
    "infinity": {"a": [math.inf]},
    "a key that is a number": {"a": {1: "x"}},
    "a key that is None": {None: "x"},
    "bytes": {"a": b"x"},
    "a set": {"a": {1}},
    "an object": {"a": _Nothing()},
    "NUL deep inside": {"a": [[{"b": "x\0y"}]]},
    "half a surrogate pair in a key": {"a": {"\udc00": 1}},
}


def _told(value: Any) -> Any:
    """Return what tells a value from others that are equal to it in Python: 1 from 1.0 and True, 0.0 from -0.0."""
    if isinstance(value, dict):
        return {each: _told(inner) for each, inner in value.items()}
    if isinstance(value, list):
        return [_told(inner) for inner in value]
    return type(value).__name__, repr(value)


def _deep(levels: int) -> Any:
    value: Any = "core"
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return {"top": value}


class JSONLaws(LawBook):
    """What a layer does to values that consist of others."""

    @law()
    async def test_each_number_stays_of_its_kind(self, ledger: Ledger) -> None:
        """Whole numbers of any size, floats, truth values and texts that look alike come back as what they were."""
        await ledger.add(sample("a", facts={"numbers": NUMBERS}), sample("b"))
        if ledger.store.capabilities >= {Capability.UPDATE_WHERE}:
            await ledger.change(key == "b", facts={"numbers": NUMBERS})
        else:
            await ledger.add(sample("c", facts={"numbers": NUMBERS}))
        found = [row["facts"]["numbers"] for row in await ledger.find() if row["facts"]]

        assert [_told(NUMBERS)] * 2 == [_told(numbers) for numbers in found]

    @pytest.mark.parametrize("name", SHAPES)
    @law()
    async def test_a_shape_comes_back(self, ledger: Ledger, name: str) -> None:
        """Empty ones, odd keys, mixed lists, escapes, and a thousand keys."""
        await ledger.add(sample("a", facts=SHAPES[name]))
        assert _told(SHAPES[name]) == _told((await ledger.find(key == "a"))[0]["facts"])

    @law()
    async def test_a_hundred_levels_come_back(self, ledger: Ledger) -> None:
        """Depth alone is no reason to refuse or to flatten."""
        await ledger.add(sample("a", facts=_deep(100)))
        assert _deep(100) == (await ledger.find(key == "a"))[0]["facts"]

    @law(Capability.FILTER)
    async def test_any_value_and_none(self, ledger: Ledger) -> None:
        """An attribute of any JSON value keeps scalars too; ``None`` in it is found as ``None``, one inside a list is not."""
        anything = await ledger.sibling(OPEN)
        values = ["", 0, False, [], {}, [None], {"a": None}, "null", 1.5, 2**70, None]
        await anything.add(*({"id": f"{number:02}", "value": value} for number, value in enumerate(values)))
        found = sorted(await anything.find(), key=lambda row: str(row["id"]))

        assert _told(values) == [_told(row["value"]) for row in found]
        assert ["10"] == await anything.keys(Field("value").is_none())

    @law()
    async def test_items_keep_their_types(self, ledger: Ledger) -> None:
        """Identifiers, exact numbers, moments and bytes inside of lists and dicts come back as what they were."""
        typed = await ledger.sibling(TYPED)
        row = {
            "id": "a",
            "refs": [UUID(int=1), UUID(int=2**128 - 1)],
            "prices": {"one": Decimal("0.10"), "": Decimal("-1E-10")},
            "moments": [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
            "days": [{"x": date(2024, 2, 29)}, {}],
            "shades": [Shade.BLUE, Shade.RED],
            "blobs": [b"", b"\0\xff"],
        }
        result = await typed.add(row)

        assert (1, (row,)) == (result.count, result.rows)
        assert [row] == await typed.find()

    @pytest.mark.parametrize("name", REFUSED)
    @law()
    async def test_what_is_no_json_is_refused(self, ledger: Ledger, name: str) -> None:
        """It is the failure of its row, and never turned into something near it: a number as a key into text, NaN into null."""
        result = await ledger.add(sample("good"), sample("bad", facts=REFUSED[name]))

        assert [(1, Invalid)] == [(failure.index, type(failure.error)) for failure in result.failures]
        assert ["good"] == await ledger.keys()
