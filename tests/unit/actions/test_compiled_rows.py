"""The generated function that makes rows gives what the step-by-step way gives, or leaves the input to it."""

from __future__ import annotations

import enum
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resourcekit import Attr, Domain, Resource, attribute, create, now, query, today, uuid7
from resourcekit.data_layers import SQL
from resourcekit.errors import Invalid

MOMENT = datetime(2026, 11, 29, 12, tzinfo=UTC)
KEY = UUID(int=7)


class Shade(enum.Enum):
    """A shade."""

    RED = "red"


def counted() -> int:
    """Return one more at each call."""
    calls.append(1)
    return len(calls)


calls: list[int] = []


ALL = [
    "id",
    "name",
    "code",
    "town",
    "weight",
    "price",
    "share",
    "state",
    "shade",
    "tags",
    "made_at",
    "made_on",
    "sent_at",
    "is_open",
]


class Parcel(Resource, domain=Domain("parcels")):
    """A resource with attributes of most kinds."""

    id: Attr[UUID] = attribute(primary_key=True, default_factory=lambda: KEY)
    name: Attr[str] = attribute(min_length=2, max_length=5)
    code: Attr[str | None] = attribute(match="[a-z]+")
    town: Attr[str] = attribute(trim=True, case="lower", default="york")
    weight: Attr[int] = attribute(minimum=1, maximum=9, default=1)
    price: Attr[Decimal | None]
    share: Attr[float] = attribute(default=0.5)
    state: Attr[Literal["new", "sent"]] = attribute(default="new")
    shade: Attr[Shade] = attribute(default=Shade.RED)
    tags: Attr[list[str]] = attribute(default=["a"])
    made_at: Attr[datetime] = attribute(default=now())
    made_on: Attr[date] = attribute(default=today())
    sent_at: Attr[datetime | None] = attribute(maximum=datetime(2027, 1, 1, tzinfo=UTC))
    is_open: Attr[bool] = attribute(default=True)

    add = create(accept=ALL)
    named = create(accept=["name"])


texts = st.sampled_from(["", "a", "ab", "abcde", "abcdef", "ABC", " x ", "1", "new", "sent", "red", "RED", "true", "2026-11-29"])
values = st.one_of(
    texts,
    st.integers(-1, 11),
    st.none(),
    st.booleans(),
    st.sampled_from([1.5, float("nan"), Decimal("9.90"), KEY, Shade.RED, ["b"], [1], {"a": 1}, b"x", MOMENT]),
    st.sampled_from(
        [MOMENT.replace(tzinfo=None), MOMENT.astimezone(timezone(timedelta(hours=2))), MOMENT.replace(year=2028), now()]
    ),
)
names = st.sampled_from([*Parcel.__info__.attributes, "nam", ""])


def step_by_step(runner: Any, inputs: dict[str, Any]) -> Any:
    """Return the row of an input without the generated function, or the findings."""
    try:
        _, found, defaults, moment = runner._bind(inputs, MOMENT)
        return runner._row({**defaults, **found}, found, moment)
    except Invalid as error:
        return error.findings


@pytest.mark.parametrize("action", ["add", "named"])
@given(inputs=st.dictionaries(names, values, max_size=6), is_named=st.booleans())
def test_a_row_is_that_of_the_way_step_by_step(action: str, inputs: dict[str, Any], is_named: bool) -> None:
    """The row of any input, or its findings, and the types of the values are the same on both ways."""
    runner = getattr(Parcel, action).runner()
    inputs = {"name": "abc", **inputs} if is_named else inputs
    expected = step_by_step(runner, inputs)
    try:
        row: Any = runner.plain_row(inputs, MOMENT)
    except Invalid as error:
        row = error.findings

    assert expected == row
    if isinstance(row, dict):
        assert list(map(type, expected.values())) == list(map(type, row.values()))
        assert list(expected) == list(row)


def test_a_usual_input_does_not_go_step_by_step() -> None:
    """The generated function itself makes the row of an input within its limits, and refuses the others."""
    make = Parcel.add.runner()._make_row

    assert make({"name": "abc", "weight": 3}, MOMENT)["weight"] == 3
    assert make({"name": "abc", "made_at": MOMENT}, None)["made_at"] is MOMENT
    assert make({"name": "abc"}, MOMENT)["made_on"] == date(2026, 11, 29)
    assert None is make({}, MOMENT)
    assert None is make({"name": "abc", "nam": 1}, MOMENT)


def test_a_default_is_made_after_the_input_was_checked() -> None:
    """A factory is called once for a row, and not at all for an input with an unknown name."""

    class Ticket(Resource, domain=Domain("tickets")):
        number: Attr[int] = attribute(primary_key=True, default_factory=counted)
        name: Attr[str]
        add = create(accept=["name"])

    calls.clear()
    with pytest.raises(Invalid, match="nam"):
        Ticket.add(nam="x")
    assert [] == calls
    assert 1 == Ticket.add(name="x").number
    assert [2, 3] == [each.number for each in Ticket.add.bulk([{"name": "y"}, {"name": "z"}]).records]


def test_rows_share_no_default_list() -> None:
    """Two records never hold the same list, and a record never holds the list of the declaration."""
    first, second = Parcel(name="abc"), Parcel(name="abd")

    assert ["a"] == first.tags == second.tags
    assert first.tags is not second.tags
    assert first.tags is not Parcel.__info__.attributes["tags"].default


def test_a_default_that_does_not_fit_is_found_where_it_is_used() -> None:
    """Its finding names the attribute, as without a generated function."""

    class Odd(Resource, domain=Domain("odd")):
        id: Attr[int] = attribute(primary_key=True)
        size: Attr[int] = attribute(default_factory=lambda: "large")
        add = create(accept=["id"])

    with pytest.raises(Invalid, match="size: must be a whole number"):
        Odd.add(id=1)
    with pytest.raises(Invalid, match="size: must be a whole number"):
        Odd(id=1)


def test_many_rows_take_few_calls_each(tmp_path: Any) -> None:
    """A bulk create of plain inputs enters at most twenty-one functions for a row: its key, its codecs, its record."""
    domain = Domain("lines")

    class Line(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/lines.db")):
        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        name: Attr[str] = attribute(max_length=20)
        made_at: Attr[datetime] = attribute(default=now())
        add = create(accept=["name"])

    domain.create_storage()
    rows = [{"name": "x"}] * 1000
    Line.add.bulk(rows)
    entered: list[str] = []
    sys.setprofile(lambda frame, event, _: entered.append(frame.f_code.co_qualname) if event == "call" else None)
    try:
        Line.add.bulk(rows)
    finally:
        sys.setprofile(None)

    assert 2000 == query(Line).count()
    assert 21 * 1000 >= len(entered)


def test_of_many_rows_those_that_cannot_be_stored_fail_alone(tmp_path: Any) -> None:
    """A number beyond 64 bits among many rows is a failure of its own; so is a missing value."""
    domain = Domain("numbers")

    class Line(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/lines.db")):
        id: Attr[int] = attribute(primary_key=True)
        size: Attr[int]
        note: Attr[str | None]
        add = create(accept=["id", "size", "note"])

    domain.create_storage()
    done = Line.add.bulk([{"id": n, "size": 2**70 if n == 7 else n, "note": "x" if n % 2 else None} for n in range(20)])

    assert 19 == done.count == query(Line).count()
    assert [7] == [failure.index for failure in done.failures]
    assert [("x" if n % 2 else None) for n in range(20) if n != 7] == [each.note for each in done.records]
