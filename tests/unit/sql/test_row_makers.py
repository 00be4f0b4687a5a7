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


class _Moment(dt.datetime):
    """A datetime of a class of its own, as pendulum has it."""


class _Date(dt.date):
    """A date of a class of its own, as freezegun has it."""


class _Clock(dt.time):
    """A time of day of a class of its own."""


class _Span(dt.timedelta):
    """A timedelta of a class of its own."""


class _UUID(uuid.UUID):
    """A UUID of a class of its own, as uuid6 has it."""


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
        dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC, fold=1),
        _Moment(2026, 1, 2, 3, tzinfo=dt.UTC),
        _Moment(2026, 1, 2, 3, tzinfo=EAST),
        "today",
        None,
    ],
    "day": [dt.date(2026, 1, 2), _Date(2026, 1, 2), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None],
    "clock": [dt.time(1, 2, 3, 4), dt.time(1, fold=1), _Clock(1, 2), dt.time(1, tzinfo=dt.UTC), None],
    "span": [dt.timedelta(1, 2, 3), _Span(1, 2, 3), dt.timedelta.max, None],
    "key": [_UUID(int=7), uuid.UUID(int=7), uuid.UUID(int=2**128 - 1), "7", None],
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
        day: Attr[dt.date | None] = attribute(default=None)
        clock: Attr[dt.time | None] = attribute(default=None)
        span: Attr[dt.timedelta | None] = attribute(default=None)
        key: Attr[uuid.UUID | None] = attribute(default=None)
        price: Attr[Decimal | None] = attribute(default=None, scale=2)
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
    return [(name, type(value), getattr(value, "tzinfo", None), getattr(value, "fold", 0), value) for name, value in row.items()]


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
    assert _typed(vars(made)) == _typed(vars(read))


def test_records_hold_values_of_pythons_own_classes(any_layer: Callable[[], Any]) -> None:
    """A value of a subclass is kept as a plain one on every store, after a create, an update and a bulk create."""
    sample = _sample(any_layer())
    given = {"when": _Moment(2026, 1, 2, tzinfo=EAST), "key": _UUID(int=7)}
    more = {"day": _Date(2026, 1, 2), "clock": _Clock(1), "span": _Span(1)}

    made = [sample.make(id=1, **given, **more), *sample.make.bulk([{"id": 2, **given, **more}], return_records=True).records]
    edited = sample.edit(sample.make(id=3), **given)

    classes = [dt.datetime, uuid.UUID, dt.date, dt.time, dt.timedelta]
    for record in (*made, get(sample, 1), get(sample, 2)):
        assert classes == [type(getattr(record, name)) for name in (*given, *more)]
    for record in (edited, get(sample, 3)):
        assert classes[:2] == [type(getattr(record, name)) for name in given]


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
