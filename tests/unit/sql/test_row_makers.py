"""The generated functions that make what is sent: they do what a loop over the codecs does, and refuse what it refuses."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get, increment, update
from resourcekit.call_context import drive
from resourcekit.data_layers import SQL
from resourcekit.data_layers.base import Insert, Select
from resourcekit.data_layers.sql.compile import statement
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.errors import Invalid, NotNull

EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))


class _Text(str):
    """A text of a class of its own."""

    __slots__ = ()


class _Paint(enum.Enum):
    """An option that is stored by its value."""

    RED = "red"


VALUES: dict[str, list[Any]] = {
    "text": ["", "plain", "Grüße", "\0", "\ud800", _Text("own"), 7, None],
    "whole": [0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, True, 2.0, 2.5, float("nan"), "1", None],
    "ratio": [1.5, 3, float("inf"), None],
    "flag": [True, False, 1, None],
    "when": [
        dt.datetime(9, 1, 2, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 2, 3, tzinfo=EAST),
        "today",
        None,
    ],
    "key": [uuid.UUID(int=7), uuid.UUID(int=2**128 - 1), "7", None],
    "price": [Decimal("1.50"), Decimal("NaN"), 3, None],
    "paint": [_Paint.RED, "red", "blue", None],
    "state": ["open", "other", None],
    "tags": [["a", 1], {"b": None}, None],
}
"""Values of all kinds for each attribute: usual ones, unusual ones, and ones that cannot be stored."""


def _sample(layer: Any) -> Any:
    domain = Domain("row makers")

    class Sample(Resource, domain=domain, data_layer=layer):
        """A record with values of many types."""

        id: Attr[int] = attribute(primary_key=True)
        text: Attr[str | None] = attribute(default=None)
        needed: Attr[str] = attribute(default="needed")
        whole: Attr[int | None] = attribute(default=None)
        ratio: Attr[float | None] = attribute(default=None)
        flag: Attr[bool | None] = attribute(default=None)
        when: Attr[dt.datetime | None] = attribute(default=None)
        key: Attr[uuid.UUID | None] = attribute(default=None)
        price: Attr[Decimal | None] = attribute(default=None)
        paint: Attr[_Paint | None] = attribute(default=None)
        state: Attr[Literal["open", "closed"] | None] = attribute(default=None)
        tags: Attr[Any] = attribute(default=None)
        make = create(accept=["id", *VALUES])
        edit = update(accept=["text", "whole", "when", "key"])
        count = update(changes=[increment("whole")])

    domain.create_storage()
    Sample.kept_domain = domain
    return Sample


@pytest.fixture
def sample(tmp_path: Path) -> Any:
    """The resource, on an SQLite file."""
    return _sample(SQL(f"sqlite:///{tmp_path / 'samples.db'}"))


def _row(sample: Any, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(sample.__info__.attributes), "id": 1, "needed": "needed", **values}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_the_stored_form_is_that_of_the_codec(sample: Any, name: str, value: Any) -> None:
    """A value is sent as its codec encodes it, and refused if the codec refuses it."""
    store = sample.__runtime__.store
    encode = store.compiler.written(name).encode
    plan = store.compile(Insert(tuple(sample.__info__.attributes)))
    place = [each for each in store.compiler.codecs if each in sample.__info__.attributes].index(name)
    try:
        expected = None if value is None else encode(value)
    except (Unstorable, NoneGiven):
        expected = Invalid

    (prepared,) = plan.prepared([_row(sample, **{name: value})], {})[1]

    if expected is Invalid:
        assert isinstance(prepared, Invalid)
        assert name in str(prepared)
    else:
        assert (type(prepared[place]), prepared[place]) == (type(expected), expected)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in VALUES.items() for value in values if type(value) is not _Text]
)
def test_an_inserted_row_is_as_it_is_read(sample: Any, name: str, value: Any) -> None:
    """A store returns the rows of an insert with the values, and the types, that a read returns, whatever it was given."""
    store = sample.__runtime__.store
    plan = store.compile(Insert(tuple(sample.__info__.attributes)))

    written = drive(store.insert(plan, [_row(sample, **{name: value})], {}))

    read = drive(store.select(store.compile(Select()), {}))
    assert [_typed(row) for row in written.rows] == [_typed(row) for row in read]


def _typed(row: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(name, type(value), getattr(value, "tzinfo", None), value) for name, value in row.items()]


def test_a_missing_value_that_is_needed_is_named(sample: Any) -> None:
    """A row without a value that may not be ``None`` is refused by the name of its attribute, alone and among others."""
    plan = sample.__runtime__.store.compile(Insert(tuple(sample.__info__.attributes)))
    bad = _row(sample, needed=None)

    prepared = plan.prepared([_row(sample), bad, _row(sample)], {})[1]

    assert [False, True, False] == [isinstance(each, NotNull) for each in prepared]
    assert "needed" in str(prepared[1])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_a_created_record_is_as_it_is_read(any_layer: Callable[[], Any], name: str, value: Any) -> None:
    """What a create returns has the values, and the types, that a read returns."""
    sample = _sample(any_layer())
    try:
        made = sample.make(id=1, **{name: value})
    except Invalid:
        return

    read = get(sample, 1)

    assert made == read
    assert list(vars(made)) == list(vars(read))
    assert {each: type(kept) for each, kept in vars(made).items()} == {each: type(kept) for each, kept in vars(read).items()}


def test_a_statement_sends_the_same_however_often_it_runs(sample: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that makes the values of a statement is generated at some call; no call before or after it differs."""
    monkeypatch.setattr(statement, "_ONCE", 3)
    sample.make(id=1, whole=0)
    moment = dt.datetime(2026, 1, 2, 3, tzinfo=EAST)

    for turn in range(1, 8):
        assert sample.count(1).whole == turn
        edited = sample.edit(1, text=f"Grüße {turn}", when=moment, key=uuid.UUID(int=turn))
        assert (edited.text, edited.when, edited.key) == (f"Grüße {turn}", moment, uuid.UUID(int=turn))
        assert sample.edit(1, text=None).text is None
        with pytest.raises(Invalid, match="text"):
            sample.edit(1, text="\0")
    assert vars(get(sample, 1)) == {**vars(edited), "text": None}
