"""Expressions mean the same on every layer: sums from both sides, sets with attributes, conditions, where None sorts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Resource,
    attribute,
    case,
    concat,
    create,
    get,
    greatest,
    identity,
    least,
    query,
    reload,
    set_attribute,
    update,
)
from resourcekit.errors import Invalid, InvalidArgument, NotFound
from resourcekit.extending import Field

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def item(every_layer: Callable[[], Any]) -> Any:
    """A resource with an attribute of several kinds, and six records of it."""
    domain = Domain("items of one meaning")

    class Item(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(default=None, max_length=50)
        word: Attr[str | None] = attribute(default=None)
        number: Attr[int | None] = attribute(default=None)
        other: Attr[int | None] = attribute(default=None)
        flag: Attr[bool | None] = attribute(default=None)
        at: Attr[datetime | None] = attribute(default=None)
        lasts: Attr[timedelta | None] = attribute(default=None)

        by_name = identity("name")

        make = create(accept=["id", "name", "word", "number", "other", "flag", "at", "lasts"])
        edit = update(accept=["name", "word"])
        later = update(changes=[set_attribute("at", Field("at") + timedelta(days=1))])

    domain.create_storage()
    Item.make.bulk(
        [
            {"id": 1, "name": "a", "word": "a%", "number": 1, "other": 1, "flag": True, "at": START, "lasts": timedelta(hours=1)},
            {"id": 2, "name": "ab", "word": "a%", "number": 2, "other": 1, "flag": False, "at": START + timedelta(days=1)},
            {"id": 3, "name": "b", "word": "A", "number": 3, "flag": None},
            {"id": 4},
        ]
    )
    return Item


def ids(item: Any, *conditions: Any) -> list[int]:
    """Return the keys of the records for which the conditions hold."""
    return [record.id for record in query(item).filter(*conditions).sort("id").all()]


def test_a_value_may_be_the_left_side_of_a_sum(item: Any) -> None:
    """``1 + attribute`` and its siblings mean what Python means."""
    assert [2] == ids(item, 1 + item.number == 3)
    assert [1] == ids(item, 5 - item.number == 4)
    assert [3] == ids(item, 2 * item.number == 6)
    assert [2] == ids(item, "x" + item.name == "xab")
    assert [1] == ids(item, timedelta(hours=1) + item.at == START + timedelta(hours=1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), timedelta.max])
def test_a_value_that_no_store_has_is_refused_beside_a_sum(item: Any, value: Any) -> None:
    """NaN, infinity and durations above 64 bits of microseconds are Invalid, as they are where they meet an attribute alone."""
    computed = item.at - START if isinstance(value, timedelta) else item.number * 0.5
    with pytest.raises(Invalid):
        ids(item, computed < value)


def test_a_set_may_hold_attributes(item: Any) -> None:
    """``in_`` compares with values of the record and with constants; ``None`` is in a set that holds ``None``."""
    assert [1, 4] == ids(item, item.number.in_([item.other]))
    assert [1, 3, 4] == ids(item, item.number.in_([item.other, 3]))
    assert [2, 3] == ids(item, ~item.number.in_([item.other, None]))
    assert [3, 4] == ids(item, item.number.in_([item.other + 2, 3]) & ~item.number.in_([1]))
    nothing = item.number + None
    assert ids(item, item.other.is_none()) == ids(item, nothing.in_([item.other]))
    assert ids(item, ~item.other.is_none()) == ids(item, ~nothing.in_([item.other, 1]))


def test_an_attribute_is_the_condition_of_a_case(item: Any) -> None:
    """A bool attribute decides; ``None`` does not hold."""
    assert [1] == ids(item, case(item.flag, 1, 2) == 1)
    with pytest.raises(InvalidArgument, match="number"):
        ids(item, case(item.number, 1, 2) == 1)


def test_where_none_sorts(item: Any) -> None:
    """``None`` is the smallest value; ``nulls`` puts it at the other end."""

    def order(key: Any) -> list[int]:
        return [record.id for record in query(item).sort(key, item.id).all()]

    assert [4, 1, 2, 3] == order(item.number.asc()) == order(item.number) == order(item.number.asc(nulls="first"))
    assert [3, 2, 1, 4] == order(item.number.desc()) == order(item.number.desc(nulls="last"))
    assert [1, 2, 3, 4] == order(item.number.asc(nulls="last"))
    assert [4, 3, 2, 1] == order(item.number.desc(nulls="first"))
    with pytest.raises(InvalidArgument, match="nulls: is 'first' or 'last'"):
        item.number.asc(nulls="middle")


def test_a_figure_behind_a_limit_loads_no_record(item: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store counts; what limit and offset leave follows from the count."""
    store = item.__runtime__.store
    monkeypatch.setattr(type(store), "select", None)
    asked = query(item).sort("-id")

    assert [2, 1, 0, 4, 3] == [
        asked.limit(2).count(),
        asked.offset(3).limit(2).count(),
        asked.offset(9).count(),
        asked.limit(9).count(),
        asked.offset(1).count(),
    ]
    assert [True, False, False, True] == [
        asked.limit(1).exists(),
        asked.limit(0).exists(),
        asked.offset(4).exists(),
        asked.offset(3).exists(),
    ]


def test_a_record_is_found_by_an_identity(item: Any) -> None:
    """``get`` takes the values of an identity or of the key by name; other names are refused with those that are known."""
    assert [1, 2] == [get(item, name="a").id, get(item, id="2").id]
    with pytest.raises(NotFound):
        get(item, name="unknown")
    with pytest.raises(InvalidArgument, match=r"word is no identity of Item. Known: the primary key \(id\); by_name \(name\)"):
        get(item, word="a%")
    with pytest.raises(InvalidArgument, match="takes a primary key, or the values of an identity"):
        get(item)
    with pytest.raises(Invalid, match="name: must be text"):
        get(item, name=5)


def test_a_record_is_read_again(item: Any) -> None:
    """``reload`` returns what is stored now and leaves the record as it was; a removed one is NotFound."""
    old = get(item, 1)
    item.edit(1, word="new")

    assert ("a%", "new") == (old.word, reload(old).word)
    with pytest.raises(NotFound):
        reload(item(id=9))
    with pytest.raises(InvalidArgument, match="needs a record, not str"):
        reload("no record")


def test_a_moment_may_be_taken_from_another(item: Any) -> None:
    """Between attributes and values, on both sides, a difference of moments is a span."""
    day = timedelta(days=1)

    assert [2] == ids(item, item.at - START == day)
    assert [2] == ids(item, START - item.at == -day)
    assert [1] == ids(item, item.at - START < timedelta(hours=1))
    assert [1] == ids(item, item.at - item.lasts == START - timedelta(hours=1))
    assert [1, 2] == ids(item, item.at - (START - day) >= day)
    assert [1, 2] == ids(item, item.at - day > START - 2 * day)
    with pytest.raises(InvalidArgument, match="time zone"):
        ids(item, item.at - START.replace(tzinfo=None) == day)


def test_a_pattern_may_be_an_attribute(item: Any) -> None:
    """What the record holds is the pattern; a backslash takes the next character literally, and itself at the end."""
    assert [1, 2] == ids(item, item.name.like(item.word))
    assert [3] == ids(item, item.word.like(item.word) & (item.word == "A"))
    for word, name, found in (
        (r"a\%", "a%", True),
        (r"a\%", "ac", False),
        ("a\\", "a\\", True),
        ("a\\\\", "a\\", True),
        ("_", "🦉", True),
    ):
        item.edit(4, name=name, word=word)
        assert found is (4 in ids(item, item.name.like(item.word))), (word, name)
    assert 3 in ids(item, ~item.name.like(item.word))


def test_sums_in_conditions_may_exceed_64_bits(item: Any) -> None:
    """No layer refuses them, or takes them for something else."""
    most = 2**63 - 1
    item.make.bulk([{"id": 11, "number": most, "other": most}, {"id": 12, "number": -most - 1, "other": -1}])

    assert [11] == ids(item, item.number + item.other > most)
    assert [11, 12] == ids(item, item.number * item.number > most)
    assert [12] == ids(item, item.number + item.other < -most)
    assert [11] == ids(item, item.number + 1 > most)


def test_moments_in_conditions_may_lie_beyond_the_year_9999(item: Any) -> None:
    """What is written must lie between the years 1 and 9999."""
    last, first = datetime(9999, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)
    item.make.bulk([{"id": 11, "at": last, "lasts": timedelta(days=400)}, {"id": 12, "at": first}])

    assert [11] == ids(item, item.at + item.lasts > last)
    assert [11] == ids(item, item.at + timedelta(days=500) - item.lasts - timedelta(days=100) == last)
    assert [12] == ids(item, item.at - timedelta(days=1) < first)
    assert [] == ids(item, item.at - timedelta(days=5 * 10**6) > first)
    with pytest.raises(Invalid, match="between the years 1 and 9999"):
        item.later(11)
    assert first + timedelta(days=1) == item.later(12).at


def test_a_part_of_a_text_is_taken_literally(item: Any) -> None:
    """Wildcards of ``like`` match themselves, case counts, and ``None`` has no part."""
    assert [1, 2] == ids(item, item.word.contains("%"))
    assert [1, 2] == ids(item, item.name.starts_with("a"))
    assert [2, 3] == ids(item, item.name.ends_with("b"))
    assert [3] == ids(item, item.word.starts_with("A"))
    assert [] == ids(item, item.name.starts_with("_"))
    assert [3, 4] == ids(item, ~item.name.contains("a"))
    with pytest.raises(InvalidArgument, match="takes a text, not int"):
        item.name.starts_with(1)
    with pytest.raises(InvalidArgument, match="no items to look for"):
        ids(item, item.number.contains("1"))


def test_values_without_their_sign_and_the_smallest_of_several(item: Any) -> None:
    """The opposite, the amount, least beside greatest, and joined texts in which ``None`` is empty."""
    assert [3] == ids(item, -item.number == -3)
    assert [1, 3] == ids(item, (item.number - 2).abs() == 1)
    assert [1, 3] == ids(item, least(item.number, item.other, 5) == greatest(item.number, item.other))
    assert [1, 2, 4] == ids(item, least(item.other, 7) <= 1) + ids(item, least(item.number, item.other).is_none())
    assert [4] == ids(item, concat(item.name, "-", item.word) == "-")
    assert [2] == ids(item, concat(item.name, "-", item.word) == "ab-a%")
    assert [2, 3] == ids(item, item.number.is_distinct_from(item.other))
