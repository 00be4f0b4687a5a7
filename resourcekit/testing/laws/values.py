"""Laws of values: what is stored comes back, equal and ordered as in Python, or is refused. It knows the port only."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import Invalid
from resourcekit.flow.expression import Field
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import TEXTS, Shade, sample

__all__ = ["ValueLaws"]

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
"""Field and value of what no layer may store."""

_ALL = [(field, values) for field, values in {**ORDERED, **UNORDERED}.items()]


class ValueLaws(LawBook):
    """What a layer does to values."""

    @pytest.mark.parametrize(("field", "values"), _ALL, ids=[field for field, _ in _ALL])
    @law()
    async def test_a_value_comes_back_as_it_was_given(self, ledger: Ledger, field: str, values: list[Any]) -> None:
        """Every value of a type is read back equal, and of the same class, whether inserted or assigned."""
        rows = [sample(f"{number:03}", **{field: value}) for number, value in enumerate(values)]
        returned = (await ledger.add(*rows)).rows
        await ledger.add(sample("changed"))

        assert rows == list(returned)
        for number, value in enumerate(values):
            found = (await ledger.find(key == f"{number:03}"))[0][field]
            assert (value, type(value)) == (found, type(found))
        if ledger.store.capabilities >= {Capability.UPDATE_WHERE}:
            for value in values:
                await ledger.change(key == "changed", **{field: value})
                assert value == (await ledger.find(key == "changed"))[0][field]

    @pytest.mark.parametrize("field", [*ORDERED, *UNORDERED])
    @law()
    async def test_none_comes_back_as_none(self, ledger: Ledger, field: str) -> None:
        """``None`` is kept, and is no empty text, list or dict."""
        if field == "status":
            return
        await ledger.add(sample("a"))
        assert (await ledger.find(key == "a"))[0][field] is None
        assert ["a"] == await ledger.keys(Field(field).is_none())

    @pytest.mark.parametrize(("field", "values"), ORDERED.items(), ids=list(ORDERED))
    @law(Capability.FILTER)
    async def test_values_compare_as_in_python(self, ledger: Ledger, field: str, values: list[Any]) -> None:
        """``==``, ``<`` and ``>=`` find what Python would find; no two of the values are taken for one another."""
        await ledger.add(*(sample(f"{number:03}", **{field: value}) for number, value in enumerate(values)))
        for number, value in enumerate(values):
            assert [f"{number:03}"] == await ledger.keys(Field(field) == value)
            assert [f"{less:03}" for less in range(number)] == await ledger.keys(Field(field) < value)
            assert [f"{more:03}" for more in range(number, len(values))] == await ledger.keys(Field(field) >= value)

    @pytest.mark.parametrize(("field", "values"), ORDERED.items(), ids=list(ORDERED))
    @law(Capability.SORT)
    async def test_values_sort_as_in_python(self, ledger: Ledger, field: str, values: list[Any]) -> None:
        """An order is Python's own, and ``None`` comes before all."""
        await ledger.add(
            sample("none"), *(sample(f"{number:03}", **{field: value}) for number, value in reversed(list(enumerate(values))))
        )
        upwards = ["none", *(f"{number:03}" for number in range(len(values)))]

        assert upwards == await ledger.keys(None, Field(field).asc())
        assert upwards[::-1] == await ledger.keys(None, Field(field).desc())

    @pytest.mark.parametrize("field", ["shade", "status"])
    @law(Capability.FILTER)
    async def test_options_are_found_by_equality(self, ledger: Ledger, field: str) -> None:
        """Members of an enum and of a literal are found by ``==`` and by ``in_``."""
        values = UNORDERED[field]
        await ledger.add(*(sample(str(number), **{field: value}) for number, value in enumerate(values)))
        for number, value in enumerate(values):
            assert [str(number)] == await ledger.keys(Field(field) == value)
        assert ["0", "1"] == await ledger.keys(Field(field).in_(values[:2]))

    @law()
    async def test_texts_that_look_alike_are_different_keys(self, ledger: Ledger) -> None:
        """Case, accents, normal forms, trailing spaces and emoji all count, in the key and in an identity."""
        result = await ledger.add(*(sample(text, code=text) for text in TEXTS))

        assert (len(TEXTS), ()) == (result.count, result.failures)
        for text in TEXTS:
            assert [text] == await ledger.keys(key == text)
            assert [text] == await ledger.keys(Field("code") == text)

    @law(Capability.UPDATE_WHERE, Capability.DELETE_WHERE)
    async def test_texts_that_look_alike_are_changed_one_by_one(self, ledger: Ledger) -> None:
        """An update and a delete by one of them touch that row and no other."""
        await ledger.add(*(sample(text, code=text) for text in TEXTS))
        for number, text in enumerate(TEXTS):
            assert 1 == (await ledger.change(key == text, number=number)).count
        assert {text: number for number, text in enumerate(TEXTS)} == {row["id"]: row["number"] for row in await ledger.find()}
        for text in TEXTS[::2]:
            assert 1 == (await ledger.remove(Field("code") == text)).count
        assert sorted(TEXTS[1::2]) == await ledger.keys()

    @law()
    async def test_a_key_of_300_characters_is_kept_whole(self, ledger: Ledger) -> None:
        """Long keys that differ in the last character only are two; none is cut."""
        long = [("\U0001f600" + "x" * 298) + end for end in "ab"]
        await ledger.add(*(sample(text) for text in long))

        assert long == await ledger.keys()
        assert [long[1]] == await ledger.keys(key == long[1])
        assert [] == await ledger.keys(key == long[0][:-1])

    @law()
    async def test_a_long_text_is_kept_whole(self, ledger: Ledger) -> None:
        """100,000 characters of text come back as they were."""
        text = "é\U0001f600x%" * 25_000
        await ledger.add(sample("a", text=text))
        assert text == (await ledger.find(key == "a"))[0]["text"]

    @pytest.mark.parametrize(("field", "value"), REFUSED, ids=[f"{field}-{number}" for number, (field, _) in enumerate(REFUSED)])
    @law()
    async def test_a_value_that_cannot_be_kept_is_refused(self, ledger: Ledger, field: str, value: Any) -> None:
        """NUL, half a surrogate pair, a naive datetime and a number out of range are Invalid: the failure of their row."""
        result = await ledger.add(sample("good"), {**sample("bad"), field: value})

        assert [1] == [failure.index for failure in result.failures]
        assert [Invalid] == [type(failure.error) for failure in result.failures]
        assert ["good"] == await ledger.keys()

    @pytest.mark.parametrize(
        ("field", "value"), REFUSED[2:], ids=[f"{field}-{number}" for number, (field, _) in enumerate(REFUSED[2:])]
    )
    @law(Capability.UPDATE_WHERE)
    async def test_an_update_to_such_a_value_is_refused(self, ledger: Ledger, field: str, value: Any) -> None:
        """An update to a value that cannot be kept raises Invalid, and changes nothing."""
        await ledger.add(sample("a"))
        with pytest.raises(Invalid):
            await ledger.change(key == "a", number=1, **{field: value})
        assert sample("a") == await ledger.row("a")

    @pytest.mark.parametrize("value", ["a\0", "\ud800", 2**63, datetime(2024, 2, 29)], ids=["nul", "surrogate", "wide", "naive"])  # noqa: DTZ001
    @law(Capability.FILTER)
    async def test_a_filter_by_such_a_value_is_refused(self, ledger: Ledger, value: Any) -> None:
        """A question about a value that cannot be stored raises Invalid, and not the driver's error."""
        field = {str: "id", int: "amount", datetime: "moment"}[type(value)]
        await ledger.add(sample("a"))
        with pytest.raises(Invalid):
            await ledger.find(Field(field) == value)

    @law(Capability.FILTER)
    async def test_a_datetime_is_the_same_moment_in_every_zone(self, ledger: Ledger) -> None:
        """A datetime with an offset is kept as its moment in UTC, and found by any way of writing that moment."""
        there = datetime(2024, 2, 29, 23, 30, 0, 5, tzinfo=_HALF)
        await ledger.add(sample("a", moment=there))
        found = (await ledger.find(Field("moment") == there.astimezone(timezone(timedelta(hours=14)))))[0]["moment"]

        assert there == found
        assert timedelta(0) == found.utcoffset()
        assert datetime(2024, 3, 1, 9, 0, 0, 5) == found.replace(tzinfo=None)  # noqa: DTZ001  # compares the digits

    @law(Capability.FILTER)
    async def test_decimals_are_equal_by_value(self, ledger: Ledger) -> None:
        """``1.50`` finds ``1.5``; no digit is lost on the way through a float."""
        exact = Decimal("1234567890.123457")
        await ledger.add(sample("a", price=Decimal("1.5")), sample("b", price=exact))

        assert ["a"] == await ledger.keys(Field("price") == Decimal("1.50"))
        assert exact == (await ledger.find(key == "b"))[0]["price"]

    @law()
    async def test_what_a_caller_holds_is_not_what_is_stored(self, ledger: Ledger) -> None:
        """Changing a list or a dict that was given or returned changes nothing that is stored."""
        row = sample("a", tags=["x"], facts={"deep": {"list": [1]}})
        returned = (await ledger.add(row)).rows[0]
        for held in (row, returned, *await ledger.find(key == "a")):
            held["tags"].append("y")
            held["facts"]["deep"]["list"].append(2)
            held["number"] = 9

        assert sample("a", tags=["x"], facts={"deep": {"list": [1]}}) == await ledger.row("a")
