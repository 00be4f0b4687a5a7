"""Conformance tests of values: a stored value is read back, equal and ordered as in Python, or is refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import DeclarationError, Invalid
from resourcekit.expressions.nodes import Field
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import SPELLED, TEXTS, Shade, sample

__all__ = ["ValueSuite"]

_HALF = timezone(timedelta(hours=-9, minutes=-30))

ORDERED: dict[str, list[Any]] = {
    "text": sorted(TEXTS),
    "amount": [-(2**63), -(2**53) - 1, -1, 0, 1, 2, 10, 2**31, 2**53 + 1, 2**63 - 1],
    "ratio": [-1e308, -1.5, -5e-324, 0.0, 5e-324, 0.1, 1 / 3, 1.0, 9.5, 10.25, 1e15 + 0.5, 1e308],
    "flag": [False, True],
    "price": [
        Decimal(text)
        for text in ("-100.5", "-99", "-0.000001", "0", "0.000001", "0.5", "9", "10", "10.05", "10.5", "123456789012.123456")
    ],
    "moment": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1582, 10, 10, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 0, 0, 100000, tzinfo=UTC),
        datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
    "day": [date(1, 1, 1), date(999, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "hour": [time(0), time(0, 0, 0, 1), time(9, 59), time(10), time(23, 59, 59, 999999)],
    "lasts": [
        timedelta(-1000000),
        timedelta(microseconds=-1),
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(hours=13),
        timedelta(3650000),
    ],
    "ref": [UUID(int=0), UUID(int=1), UUID(int=2**63), UUID(int=2**127), UUID(int=2**128 - 1)],
    "blob": [b"", b"\0", b"\0\xff", b"a", b"a\0", b"b", b"\xff\xfe", b"\xff" * 5000],
}
"""For each field, values in their order."""

UNORDERED: dict[str, list[Any]] = {
    "shade": list(Shade),
    "status": ["open", "closed"],
    "tags": [[], ["a"], ["b", "a"], ["", "\U0001f600", "'"], ["a" * 1000] * 50],
    "facts": [
        {},
        {"a": None},
        {"a": {"b": [1, 2.5, True, None, "x", {"c": []}]}},
        {"'": '"', "%": ":p0", "\U0001f600": "e\u0301", "": ""},
        {"large": 2**53, "small": 1e-7, "no": False},
    ],
}

REFUSED: list[tuple[str, Any]] = [
    ("id", "a\0b"),
    ("id", "\ud800"),
    ("text", "\0"),
    ("text", "x\udfff"),
    ("tags", ["a\0"]),
    ("facts", {"a": ["\ud83d"]}),
    ("facts", {"\0": 1}),
    ("amount", 2**63),
    ("amount", -(2**63) - 1),
    ("ratio", math.nan),
    ("ratio", math.inf),
    ("price", Decimal("NaN")),
    ("price", Decimal("-Infinity")),
    ("moment", datetime(2024, 2, 29, 12)),  # noqa: DTZ001  # naive on purpose
    ("moment", datetime(9999, 12, 31, 23, tzinfo=_HALF)),
    ("moment", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
]
"""Fields with values that no layer may store."""

_ALL = [(field, values) for field, values in {**ORDERED, **UNORDERED}.items()]


class ValueSuite(ConformanceSuite):
    """Tests of values."""

    @pytest.mark.parametrize(("field", "values"), _ALL, ids=[field for field, _ in _ALL])
    @conformance_test()
    async def test_a_value_comes_back_as_it_was_given(self, harness: Harness, field: str, values: list[Any]) -> None:
        """Every value of a type is read back equal, and of the same class, whether it was inserted or assigned."""
        rows = [sample(f"{number:03}", **{field: value}) for number, value in enumerate(values)]
        returned = (await harness.add(*rows)).rows
        await harness.add(sample("changed"))

        assert rows == list(returned)
        for number, value in enumerate(values):
            found = (await harness.find(key == f"{number:03}"))[0][field]
            assert (value, type(value)) == (found, type(found))
        if harness.store.capabilities >= {Capability.UPDATE_WHERE}:
            for value in values:
                await harness.change(key == "changed", **{field: value})
                assert value == (await harness.find(key == "changed"))[0][field]

    @pytest.mark.parametrize("field", [*ORDERED, *UNORDERED])
    @conformance_test()
    async def test_none_comes_back_as_none(self, harness: Harness, field: str) -> None:
        """``None`` is stored as ``None``, different from an empty text, list or dict."""
        if field == "status":
            return
        await harness.add(sample("a"))
        assert (await harness.find(key == "a"))[0][field] is None
        assert ["a"] == await harness.keys(Field(field).is_none())

    @pytest.mark.parametrize(("field", "values"), ORDERED.items(), ids=list(ORDERED))
    @conformance_test(Capability.FILTER)
    async def test_values_compare_as_in_python(self, harness: Harness, field: str, values: list[Any]) -> None:
        """``==``, ``<`` and ``>=`` find the same rows as in Python; no two of the values are confused."""
        await harness.add(*(sample(f"{number:03}", **{field: value}) for number, value in enumerate(values)))
        for number, value in enumerate(values):
            assert [f"{number:03}"] == await harness.keys(Field(field) == value)
            assert [f"{less:03}" for less in range(number)] == await harness.keys(Field(field) < value)
            assert [f"{more:03}" for more in range(number, len(values))] == await harness.keys(Field(field) >= value)

    @pytest.mark.parametrize(("field", "values"), ORDERED.items(), ids=list(ORDERED))
    @conformance_test(Capability.SORT)
    async def test_values_sort_as_in_python(self, harness: Harness, field: str, values: list[Any]) -> None:
        """An order is that of Python, with ``None`` first."""
        await harness.add(
            sample("none"), *(sample(f"{number:03}", **{field: value}) for number, value in reversed(list(enumerate(values))))
        )
        upwards = ["none", *(f"{number:03}" for number in range(len(values)))]

        assert upwards == await harness.keys(None, Field(field).asc())
        assert upwards[::-1] == await harness.keys(None, Field(field).desc())

    @pytest.mark.parametrize("field", ["shade", "status"])
    @conformance_test(Capability.FILTER)
    async def test_options_are_found_by_equality(self, harness: Harness, field: str) -> None:
        """Members of an enum and of a literal are found by ``==`` and by ``in_``."""
        values = UNORDERED[field]
        await harness.add(*(sample(str(number), **{field: value}) for number, value in enumerate(values)))
        for number, value in enumerate(values):
            assert [str(number)] == await harness.keys(Field(field) == value)
        assert ["0", "1"] == await harness.keys(Field(field).in_(values[:2]))

    @conformance_test()
    async def test_texts_that_look_alike_are_different_keys(self, harness: Harness) -> None:
        """Texts that differ in case, accents, normal form, trailing spaces or emoji are different, in a key and in an
        identity.
        """
        result = await harness.add(*(sample(text, code=text) for text in TEXTS))

        assert (len(TEXTS), ()) == (result.count, result.failures)
        for text in TEXTS:
            assert [text] == await harness.keys(key == text)
            assert [text] == await harness.keys(Field("code") == text)

    @conformance_test(Capability.UPDATE_WHERE, Capability.DELETE_WHERE)
    async def test_texts_that_look_alike_are_changed_one_by_one(self, harness: Harness) -> None:
        """An update and a delete by one such text change only its row."""
        await harness.add(*(sample(text, code=text) for text in TEXTS))
        for number, text in enumerate(TEXTS):
            assert 1 == (await harness.change(key == text, number=number)).count
        assert {text: number for number, text in enumerate(TEXTS)} == {row["id"]: row["number"] for row in await harness.find()}
        for text in TEXTS[::2]:
            assert 1 == (await harness.remove(Field("code") == text)).count
        assert sorted(TEXTS[1::2]) == await harness.keys()

    @conformance_test()
    async def test_a_key_of_300_characters_is_kept_whole(self, harness: Harness) -> None:
        """Long keys that differ only in the last character are two keys; none is cut."""
        long = [("\U0001f600" + "x" * 298) + end for end in "ab"]
        await harness.add(*(sample(text) for text in long))

        assert long == await harness.keys()
        assert [long[1]] == await harness.keys(key == long[1])
        assert [] == await harness.keys(key == long[0][:-1])

    @conformance_test()
    async def test_a_long_text_is_kept_whole(self, harness: Harness) -> None:
        """100,000 characters of text are read back unchanged."""
        text = "é\U0001f600x%" * 25_000
        await harness.add(sample("a", text=text))
        assert text == (await harness.find(key == "a"))[0]["text"]

    @pytest.mark.parametrize(("field", "value"), REFUSED, ids=[f"{field}-{number}" for number, (field, _) in enumerate(REFUSED)])
    @conformance_test()
    async def test_a_value_that_cannot_be_kept_is_refused(self, harness: Harness, field: str, value: Any) -> None:
        """NUL, half a surrogate pair, a naive datetime and a number out of range are Invalid: the failure of their row."""
        result = await harness.add(sample("good"), {**sample("bad"), field: value})

        assert [1] == [failure.index for failure in result.failures]
        assert [Invalid] == [type(failure.error) for failure in result.failures]
        assert ["good"] == await harness.keys()

    @pytest.mark.parametrize(
        ("field", "value"), REFUSED[2:], ids=[f"{field}-{number}" for number, (field, _) in enumerate(REFUSED[2:])]
    )
    @conformance_test(Capability.UPDATE_WHERE)
    async def test_an_update_to_such_a_value_is_refused(self, harness: Harness, field: str, value: Any) -> None:
        """An update to a value that cannot be stored raises Invalid, and changes nothing."""
        await harness.add(sample("a"))
        with pytest.raises(Invalid):
            await harness.change(key == "a", number=1, **{field: value})
        assert sample("a") == await harness.row("a")

    @pytest.mark.parametrize("value", ["a\0", "\ud800", 2**63, datetime(2024, 2, 29)], ids=["nul", "surrogate", "wide", "naive"])  # noqa: DTZ001
    @conformance_test(Capability.FILTER)
    async def test_a_filter_by_such_a_value_is_refused(self, harness: Harness, value: Any) -> None:
        """A filter by a value that cannot be stored raises Invalid, and not the driver's error."""
        field = {str: "id", int: "amount", datetime: "moment"}[type(value)]
        await harness.add(sample("a"))
        with pytest.raises(Invalid):
            await harness.find(Field(field) == value)

    @conformance_test(Capability.FILTER)
    async def test_a_datetime_is_the_same_moment_in_every_zone(self, harness: Harness) -> None:
        """A datetime with an offset is stored as its time in UTC, and found by any notation of that time."""
        there = datetime(2024, 2, 29, 23, 30, 0, 5, tzinfo=_HALF)
        await harness.add(sample("a", moment=there))
        found = (await harness.find(Field("moment") == there.astimezone(timezone(timedelta(hours=14)))))[0]["moment"]

        assert there == found
        assert timedelta(0) == found.utcoffset()
        assert datetime(2024, 3, 1, 9, 0, 0, 5) == found.replace(tzinfo=None)  # noqa: DTZ001  # compares the digits

    @conformance_test()
    async def test_a_decimal_is_spelled_as_it_was_given(self, harness: Harness) -> None:
        """Without a scale, zeros after the point are kept; two spellings of one number are equal."""
        try:
            harness = await harness.sibling(SPELLED)
        except DeclarationError as refused:  # the database asks for a scale
            assert "scale=" in str(refused)  # noqa: PT017  # a layer refuses, or keeps the spelling
            return
        spelled = ["99.50", "99.5", "-7.2500", "0.00", "100", "0.10"]
        await harness.add(*({"id": f"{number}", "price": Decimal(text)} for number, text in enumerate(spelled)))
        found = {row["id"]: str(row["price"]) for row in await harness.find()}

        assert {str(number): text for number, text in enumerate(spelled)} == found
        assert ["0", "1"] == await harness.keys(Field("price") == Decimal("99.500"))

    @conformance_test()
    async def test_a_decimal_with_a_scale_has_its_digits(self, harness: Harness) -> None:
        """With a scale, a number is found by each of its spellings."""
        await harness.add(sample("a", price=Decimal("99.500000")))

        assert ["a"] == await harness.keys(Field("price") == Decimal("99.5"))
        assert [sample("a", price=Decimal("99.5"))] == await harness.find(Field("price") == Decimal("99.500"))

    @conformance_test(Capability.FILTER)
    async def test_decimals_are_equal_by_value(self, harness: Harness) -> None:
        """``1.50`` finds ``1.5``; no digit is lost by a conversion to float."""
        exact = Decimal("1234567890.123457")
        await harness.add(sample("a", price=Decimal("1.5")), sample("b", price=exact))

        assert ["a"] == await harness.keys(Field("price") == Decimal("1.50"))
        assert exact == (await harness.find(key == "b"))[0]["price"]

    @conformance_test()
    async def test_what_a_caller_holds_is_not_what_is_stored(self, harness: Harness) -> None:
        """Changing a list or a dict that was given or returned does not change the stored value."""
        row = sample("a", tags=["x"], facts={"deep": {"list": [1]}})
        returned = (await harness.add(row)).rows[0]
        for held in (row, returned, *await harness.find(key == "a")):
            held["tags"].append("y")
            held["facts"]["deep"]["list"].append(2)
            held["number"] = 9

        assert sample("a", tags=["x"], facts={"deep": {"list": [1]}}) == await harness.row("a")
