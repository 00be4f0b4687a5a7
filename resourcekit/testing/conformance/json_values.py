"""Conformance tests of JSON values: lists, dicts and their items are read back unchanged, or are refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import Invalid
from resourcekit.expressions.nodes import Field
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import Shade, attribute, resource, sample

__all__ = ["JSONSuite"]

NUMBERS: list[Any] = [
    *(0, 1, -1, 2**31, 2**53 - 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 + 1, -(2**80), 10**40),
    *(0.0, 1.0, -1.5, 0.1, 1 / 3, 1e15, 1e16, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, 100.0),
    *(True, False, None, "1", "1.0", "true", "null", ""),
]
"""Numbers, and values that are easily confused with them. Values that are equal in Python (1, 1.0, True) are still different.

-0.0 is missing: a database with numbers of its own in JSON may read it as 0.0.
"""

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
"""An attribute that accepts any JSON value."""

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
"""Lists and dicts of types that JSON does not have."""


class _Nothing:
    """A value that JSON does not have."""


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
    """Return a text that differs for values that are equal in Python: 1, 1.0 and True; 0.0 and -0.0."""
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


class JSONSuite(ConformanceSuite):
    """Tests of lists, dicts and nested values."""

    @conformance_test()
    async def test_each_number_stays_of_its_kind(self, harness: Harness) -> None:
        """Whole numbers of any size, floats, booleans and texts that look alike keep their types."""
        await harness.add(sample("a", facts={"numbers": NUMBERS}), sample("b"))
        if harness.store.capabilities >= {Capability.UPDATE_WHERE}:
            await harness.change(key == "b", facts={"numbers": NUMBERS})
        else:
            await harness.add(sample("c", facts={"numbers": NUMBERS}))
        found = [row["facts"]["numbers"] for row in await harness.find() if row["facts"]]

        assert [_told(NUMBERS)] * 2 == [_told(numbers) for numbers in found]

    @pytest.mark.parametrize("name", SHAPES)
    @conformance_test()
    async def test_a_shape_comes_back(self, harness: Harness, name: str) -> None:
        """Empty values, unusual keys, mixed lists, escapes, and a thousand keys are read back unchanged."""
        await harness.add(sample("a", facts=SHAPES[name]))
        assert _told(SHAPES[name]) == _told((await harness.find(key == "a"))[0]["facts"])

    @conformance_test()
    async def test_a_hundred_levels_come_back(self, harness: Harness) -> None:
        """Thirty nested levels are stored. A hundred are, too, or raise Invalid with the attribute; they are never flattened."""
        await harness.add(sample("b", facts=_deep(30)))
        assert _deep(30) == (await harness.find(key == "b"))[0]["facts"]
        result = await harness.add(sample("a", facts=_deep(100)))
        if result.failures:
            errors = [each.error for each in result.failures]
            assert ["facts"] == [error.findings[0].path for error in errors if isinstance(error, Invalid)]
            assert 1 == len(errors)
            return
        assert _deep(100) == (await harness.find(key == "a"))[0]["facts"]

    @conformance_test(Capability.FILTER)
    async def test_any_value_and_none(self, harness: Harness) -> None:
        """An attribute of any JSON value also stores scalars. ``None`` in it is found as ``None``; one inside a list is not."""
        anything = await harness.sibling(OPEN)
        values = ["", 0, False, [], {}, [None], {"a": None}, "null", 1.5, 2**70, None]
        await anything.add(*({"id": f"{number:02}", "value": value} for number, value in enumerate(values)))
        found = sorted(await anything.find(), key=lambda row: str(row["id"]))

        assert _told(values) == [_told(row["value"]) for row in found]
        assert ["10"] == await anything.keys(Field("value").is_none())

    @conformance_test()
    async def test_items_keep_their_types(self, harness: Harness) -> None:
        """UUIDs, decimals, datetimes and bytes inside of lists and dicts keep their types."""
        typed = await harness.sibling(TYPED)
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
    @conformance_test()
    async def test_what_is_no_json_is_refused(self, harness: Harness, name: str) -> None:
        """A value that JSON does not have is the failure of its row. It is never converted: a number as a key to text, NaN to
        null.
        """
        result = await harness.add(sample("good"), sample("bad", facts=REFUSED[name]))

        assert [(1, Invalid)] == [(failure.index, type(failure.error)) for failure in result.failures]
        assert ["good"] == await harness.keys()
