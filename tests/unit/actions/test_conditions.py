"""Conditions: what they mean, on every layer and in plain Python alike, and which of them are refused."""

from __future__ import annotations

import enum
import itertools
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resourcekit import Attr, Domain, Resource, arg, attribute, create, now, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import InvalidArgument
from resourcekit.extending import runtime_of
from resourcekit.testing import ManualClock

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Size(enum.Enum):
    """Members without an order of their own."""

    SMALL = 1
    LARGE = 2


def thing_on(make_layer: Callable[[], Any]) -> Any:
    """Declare a resource with attributes of many kinds."""
    domain = Domain("things")

    class Thing(Resource, domain=domain, data_layer=make_layer()):
        id: Attr[int] = attribute(primary_key=True)
        number: Attr[int | None] = attribute(default=None)
        other: Attr[int | None] = attribute(default=None)
        text: Attr[str | None] = attribute(default=None, min_length=1)
        flag: Attr[bool] = attribute(default=False)
        at: Attr[datetime | None] = attribute(default=None)
        price: Attr[Decimal | None] = attribute(default=None)
        size: Attr[Size | None] = attribute(default=None)
        key: Attr[UUID | None] = attribute(default=None)
        tags: Attr[list[str]] = attribute(default_factory=list)
        make = create(accept=["id", "number", "other", "text", "flag", "at", "price", "size", "key", "tags"])

    domain.create_storage()
    return Thing


@pytest.fixture
def thing(layer: Callable[[], Any]) -> Any:
    """The resource on a layer, with no record."""
    return thing_on(layer)


def ids(records: list[Any]) -> list[int]:
    """Return the keys, in the order of the records."""
    return [record.id for record in records]


def test_none_is_a_value_like_others(thing: Any) -> None:
    """``None`` equals ``None`` only, is no more and no less than anything, and ``~`` turns any answer round."""
    thing.make.bulk([{"id": 1, "number": 1}, {"id": 2, "number": None}, {"id": 3, "number": 3}])
    number = thing.number
    found = {
        name: ids(query(thing).filter(condition).sort("id").all())
        for name, condition in {
            "== 1": number == 1,
            "!= 1": number != 1,
            "== None": number == None,  # noqa: E711  # builds
            "!= None": number != None,  # noqa: E711  # builds
            "< 2": number < 2,
            "~(< 2)": ~(number < 2),
            "> None": number > None,
            "~(> None)": ~(number > None),
            "in 1, None": number.in_([1, None]),
            "~in 1, None": ~number.in_([1, None]),
            "field == field": number == thing.other,
        }.items()
    }

    assert {
        "== 1": [1],
        "!= 1": [2, 3],
        "== None": [2],
        "!= None": [1, 3],
        "< 2": [1],
        "~(< 2)": [2, 3],
        "> None": [],
        "~(> None)": [1, 2, 3],
        "in 1, None": [1, 2],
        "~in 1, None": [3],
        "field == field": [2],
    } == found


def test_nothing_to_compare_with(thing: Any) -> None:
    """No value is among none; ``None`` matches no pattern, and is what ``is_none`` finds."""
    thing.make.bulk([{"id": 1, "number": 1}, {"id": 2}])

    assert [] == ids(query(thing).filter(thing.number.in_([])).all())
    assert [1, 2] == ids(query(thing).filter(~thing.number.in_([])).sort("id").all())
    assert [] == ids(query(thing).filter(thing.text.like("%")).all())
    assert [1, 2] == ids(query(thing).filter(~thing.text.like("%")).sort("id").all())
    assert [2] == ids(query(thing).filter(thing.number.is_none()).all())


def test_conditions_combine(thing: Any) -> None:
    """``&``, ``|`` and ``~`` take conditions and attributes that are bools; several of one ``filter`` must all hold."""
    thing.make.bulk([{"id": number, "number": number, "flag": number % 2 == 0} for number in range(1, 7)])

    assert [4, 6] == ids(query(thing).filter(thing.flag & (thing.number > 3)).sort("id").all())
    assert [1, 2, 4, 6] == ids(query(thing).filter(thing.flag | (thing.number == 1)).sort("id").all())
    assert [1, 3, 5] == ids(query(thing).filter(~thing.flag).sort("id").all())
    assert [2, 4, 6] == ids(query(thing).filter(thing.flag).sort("id").all())
    assert [4, 6] == ids(query(thing).filter(thing.flag, thing.number > 3).sort("id").all())
    assert [4, 6] == ids(query(thing).filter(thing.flag).filter(thing.number > 3).sort("id").all())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("abc", [1]),
        ("ABC", [2]),
        ("a%", [1, 3, 4]),
        ("%c", [1]),
        ("a_c", [1]),
        (r"a\%b", [3]),
        (r"a\_b", [4]),
        ("%", [1, 2, 3, 4, 5, 6]),
        ("_", []),
        ("%\n%", [5]),
        ("[a-z]*", []),
        ("é%", [6]),
    ],
)
def test_like(thing: Any, pattern: str, expected: list[int]) -> None:
    """``%`` is any run, ``_`` any one character, a backslash takes the next one literally; case counts."""
    texts = ["abc", "ABC", "a%b", "a_b", "x\ny", "été"]
    thing.make.bulk([{"id": number, "text": text} for number, text in enumerate(texts, start=1)])

    assert expected == ids(query(thing).filter(thing.text.like(pattern)).sort("id").all())


def test_now_is_the_moment_at_which_the_query_runs(thing: Any) -> None:
    """A query that was built earlier asks by the clock of its run; arithmetic with spans of time works."""
    with ManualClock(START, everywhere=True) as clock:
        due = query(thing).filter(thing.at < now()).sort("id")
        soon = query(thing).filter(thing.at - timedelta(hours=1) <= now()).sort("id")
        thing.make.bulk([{"id": hours, "at": START + timedelta(hours=hours)} for hours in range(3)])
        at_first = ids(due.all()), ids(soon.all())
        clock.advance(hours=1, seconds=1)
        later = ids(due.all()), ids(soon.all())

    assert ([], [0, 1]) == at_first
    assert ([0, 1], [0, 1, 2]) == later


def test_values_are_cast_as_an_action_casts_them(thing: Any) -> None:
    """A text is taken for the value that it spells; constraints of the attribute do not matter to a question."""
    key = UUID(int=5)
    thing.make(id=1, key=key, at=START, price="1.50", number=7, size="SMALL", text="a")

    for condition in [
        thing.key == str(key),
        thing.at == "2026-11-24T13:00:00+01:00",
        thing.price == "1.5",
        thing.price > 1,
        thing.number.in_(["7", 8]),
        thing.size == 1,
        thing.text != "",
    ]:
        assert [1] == ids(query(thing).filter(condition).all())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda thing: thing.number == "x", "number: must be a whole number"),
        (lambda thing: thing.number.in_([1, "x"]), "number: must be a whole number"),
        (lambda thing: thing.at > datetime(2026, 1, 1), "at: must have a time zone"),  # noqa: DTZ001  # the point
        (lambda thing: thing.at + timedelta(1) > datetime(2026, 1, 1), "must have a time zone"),  # noqa: DTZ001
        (lambda thing: thing.text == 5, "text: must be text"),
        (lambda thing: thing.text.like(5), "text: can be matched only"),
        (lambda thing: thing.number.like("1%"), "number: can be matched only"),
        (lambda thing: thing.number == thing.text, "number: meets a value of another type"),
        (lambda thing: thing.text + 1 == "a1", r"text: cannot be computed with \+"),
        (lambda thing: thing.at + thing.at == START, r"at: cannot be computed with \+"),
        (lambda thing: thing.tags < ["a"], "tags: has no order"),
        (lambda thing: thing.size > Size.SMALL, r"size: has no order to compare by; name the values with in_"),
        (lambda thing: thing.text, "text: is no condition"),
        (lambda thing: ~thing.number, "number: is no condition"),
        (lambda thing: thing.number + 1, "no condition"),
        (lambda thing: thing.number.in_(arg("nowhere")), "nowhere: is no argument of the action"),
    ],
)
def test_a_condition_without_meaning_is_refused(thing: Any, build: Callable[[Any], Any], message: str) -> None:
    """Values and attributes that cannot meet are InvalidArgument on every layer, even where there is no record."""
    asked = query(thing).filter(build(thing))

    for run in (asked.all, asked.count, asked.exists, asked.first, asked.one, lambda: list(asked.stream())):
        with pytest.raises(InvalidArgument, match=message) as caught:
            run()
        assert "Thing" == caught.value.resource


def test_an_attribute_of_another_resource_is_refused(thing: Any) -> None:
    """A name that the resource does not have gets a suggestion."""

    class Other(Resource):
        id: Attr[int] = attribute(primary_key=True)
        numbr: Attr[int] = attribute()

    with pytest.raises(InvalidArgument, match=r"numbr: is no attribute\. Did you mean 'number'\?"):
        query(thing).filter(Other.numbr == 1).all()
    with pytest.raises(InvalidArgument, match=r"numbr: is no attribute\. Did you mean 'number'\?"):
        query(thing).sort("numbr").all()


# A condition means the same on Memory, on SQLite and in plain Python.

NUMBERS = [None, -1, 0, 1, 2]
TEXTS = [None, "a", "B", "ab", "%"]
ROWS = [
    {"id": index, "number": number, "other": other, "text": text, "flag": flag}
    for index, (number, other, text, flag) in enumerate(itertools.product(NUMBERS, [None, 0, 2], TEXTS, [False, True]))
]
Meaning = Callable[[dict[str, Any]], Any]
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Built = tuple[Callable[[Any], Any], Meaning]


def _compared(op: str, left: Built, right: Built) -> Built:
    compare = {"==": operator.eq, "!=": operator.ne, **_ORDERS}[op]

    def meaning(row: dict[str, Any]) -> bool:
        one, other = left[1](row), right[1](row)
        if op in _ORDERS and (one is None or other is None):
            return False
        return compare(one, other)

    return lambda thing: compare(left[0](thing), right[0](thing)), meaning


def _field(name: str) -> Built:
    return lambda thing: getattr(thing, name), lambda row: row[name]


def _plus(base: Built, by: int) -> Built:
    return lambda thing: base[0](thing) + by, lambda row: None if base[1](row) is None else base[1](row) + by


def _constant(value: Any) -> Built:
    return lambda thing: value, lambda row: value


number_fields = st.sampled_from(["number", "other"]).map(_field)
numbers = number_fields | st.tuples(number_fields, st.integers(-2, 2)).map(lambda pair: _plus(*pair))
comparisons = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
tests = (
    st.tuples(comparisons, numbers, numbers | st.sampled_from(NUMBERS).map(_constant)).map(lambda parts: _compared(*parts))
    | st.tuples(comparisons, st.just(_field("text")), st.sampled_from(TEXTS).map(_constant)).map(lambda parts: _compared(*parts))
    | st.just(_field("flag"))
    | st.lists(st.sampled_from(NUMBERS), max_size=3).map(
        lambda options: (lambda thing: thing.number.in_(options), lambda row: row["number"] in options)
    )
    | st.sampled_from(["number", "text"]).map(
        lambda name: (lambda thing: getattr(thing, name).is_none(), lambda row: row[name] is None)
    )
    | st.sampled_from(["a", "A", "b"]).map(
        lambda start: (
            lambda thing: thing.text.like(f"{start}%"),
            lambda row: row["text"] is not None and row["text"].startswith(start),
        )
    )
)


def _and(parts: tuple[Built, Built]) -> Built:
    (one, first), (other, second) = parts
    return lambda thing: one(thing) & other(thing), lambda row: first(row) and second(row)


def _or(parts: tuple[Built, Built]) -> Built:
    (one, first), (other, second) = parts
    return lambda thing: one(thing) | other(thing), lambda row: first(row) or second(row)


def _not(part: Built) -> Built:
    return lambda thing: ~part[0](thing), lambda row: not part[1](row)


conditions = st.recursive(
    tests,
    lambda inner: st.tuples(inner, inner).map(_and) | st.tuples(inner, inner).map(_or) | inner.map(_not),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The resource with the same rows on Memory and on SQLite."""
    path: Path = tmp_path_factory.mktemp("both")
    pair = thing_on(Memory), thing_on(lambda: SQL(f"sqlite:///{path}/both.db"))
    for each in pair:
        assert len(ROWS) == each.make.bulk(ROWS).count
    return pair


@given(condition=conditions)
@settings(max_examples=150, deadline=None)
def test_a_condition_means_the_same_everywhere(both: tuple[Any, Any], condition: Built) -> None:
    """Any condition finds on both layers exactly the rows for which it holds in Python, and ``~`` finds the others."""
    build, meaning = condition
    expected = {row["id"] for row in ROWS if meaning(row)}

    for each in both:
        assert expected == set(ids(query(each).filter(build(each)).all()))
        assert len(expected) == query(each).filter(build(each)).count()
        assert {row["id"] for row in ROWS} - expected == set(ids(query(each).filter(~build(each)).all()))


def test_json_and_bytes_compare_as_wholes(layer: Callable[[], Any]) -> None:
    """A dict, a list or bytes is equal to what holds the same, in whatever order a dict was written."""
    domain = Domain("wholes")

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        meta: Attr[dict[str, int] | None] = attribute(default=None)
        tags: Attr[list[str]] = attribute(default_factory=list)
        blob: Attr[bytes] = attribute(default=b"")
        write = create(accept=["id", "meta", "tags", "blob"])

    domain.create_storage()
    Note.write(id=1, meta={"b": 1, "a": 2}, tags=["x", "y"], blob=b"\x00")
    Note.write(id=2)

    assert [1] == ids(query(Note).filter(Note.meta == {"a": 2, "b": 1}).all())
    assert [2] == ids(query(Note).filter(Note.meta.is_none()).all())
    assert [1] == ids(query(Note).filter(Note.tags == ["x", "y"]).all())
    assert [2] == ids(query(Note).filter(Note.tags != ["x", "y"]).all())
    assert [1] == ids(query(Note).filter(Note.blob > b"").all())
    with pytest.raises(InvalidArgument, match=r"meta\.a: must be a whole number"):
        query(Note).filter(Note.meta == {"a": "x"}).all()


def test_shapes_without_end_do_not_grow_a_program() -> None:
    """What is compiled for a query is kept for its next run, up to a bound; older shapes still work."""
    domain = Domain("shapes")

    class Note(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    Note.write(id=1)
    compare = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
    for first, second, third, fourth in itertools.product(compare, repeat=4):
        query(Note).filter(first(Note.id, 1), second(Note.id, 2), third(Note.id, 3), fourth(Note.id, 4)).exists()

    assert 1000 >= len(runtime_of(Note).kept)
    assert 2 == Note.write(id=2).id
    assert [1] == ids(query(Note).filter(Note.id == 1, Note.id != 2, Note.id < 3, Note.id <= 4).all())
