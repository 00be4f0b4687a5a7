"""Groups of records: one row for each combination of values, with figures that equal what Python computes of the records."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from resourcekit import Attr, Domain, Resource, attribute, count, create, query, row
from resourcekit.errors import InvalidArgument
from tests.unit.actions.test_figures import Level, order_on


@pytest.fixture
def order(every_layer: Callable[[], Any]) -> Any:
    """The resource of the figures with its eight records, on every layer."""
    return order_on(every_layer())


def by_hand(records: list[Any], keys: tuple[str, ...], figures: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the groups that Python computes, in the order of their keys."""

    def rank(value: Any) -> Any:
        plain = value.value if isinstance(value, Level) else value
        return (value is not None, plain if value is not None else 0)

    def of(record: Any) -> tuple[Any, ...]:
        return tuple(rank(getattr(record, key)) for key in keys)

    found = []
    for _, members in itertools.groupby(sorted(records, key=of), of):
        group = list(members)
        made = {key: getattr(group[0], key) for key in keys}
        for name, (kind, field) in figures.items():
            values = [value for each in group if (value := getattr(each, field)) is not None]
            total = sum(values[1:], values[0]) if values and kind in ("sum", "avg") else None
            made[name] = {
                "count": lambda values=values: len(values),
                "sum": lambda total=total: total,
                "avg": lambda total=total, values=values: None if total is None else total / len(values),
                "min": lambda values=values: min(values, key=rank, default=None),
                "max": lambda values=values: max(values, key=rank, default=None),
            }[kind]()
        found.append(made)
    return found


FIGURES = {
    "n": ("count", "id"),
    "total": ("sum", "number"),
    "mean": ("avg", "number"),
    "rates": ("sum", "rate"),
    "rated": ("avg", "rate"),
    "time": ("sum", "lasts"),
    "pace": ("avg", "lasts"),
    "first": ("min", "at"),
    "last": ("max", "name"),
    "sizes": ("sum", "size"),
}
HERE = {
    "worth": ("sum", "price"),
    "most": ("max", "price"),
    "top": ("max", "level"),
    "codes": ("min", "code"),
    "n": ("count", "id"),
}
"""Figures that databases may not compute exactly."""


def named(order: Any, figures: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Return figures as they are written."""
    return {
        name: count() if kind == "count" else getattr(getattr(order, field), kind)() for name, (kind, field) in figures.items()
    }


def test_groups_are_what_python_computes_of_the_records(order: Any) -> None:
    """Keys of every kind, ``None`` among them, and every figure; with conditions; sync and async."""
    for keys, figures in itertools.product(
        [("name",), ("number",), ("rate",), ("price",), ("lasts",), ("at",), ("flag",), ("level",), ("size", "flag"), ("code",)],
        [FIGURES, HERE],
    ):
        found = query(order).group_by(*keys).values(**named(order, figures))
        assert by_hand(query(order).all(), keys, figures) == found.all(), (keys, figures)
    some = query(order).filter(order.id > 2).group_by(order.flag).values(**named(order, FIGURES))
    assert by_hand(query(order).filter(order.id > 2).all(), ("flag",), FIGURES) == asyncio.run(some.all.aio())
    assert not [key for key in order.__runtime__.kept if "grouped here" in str(key) and "'lasts', 'at'" in str(key)]
    assert [] == query(order).filter(order.id > 99).group_by("flag").values(n=count()).all()
    assert 3 == query(order).group_by("flag").values().count()


def test_groups_are_filtered_sorted_and_cut(order: Any) -> None:
    """Conditions and orders name keys and figures; ties are in the order of the keys; a page knows what is around it."""
    found = query(order).group_by(order.level).values(n=count(), most=order.id.max(), price=order.price.max())

    assert [(None, 3), (Level.A, 3)] == [(each["level"], each["n"]) for each in found.filter(row("n") > 2).sort("-n").all()]
    assert [7, 6, 5] == [each["most"] for each in found.sort(row("most").desc()).all()]
    assert [Level.A] == [each["level"] for each in found.filter(row("level") == "A").all()]
    assert [Level.B, Level.A, None] == [each["level"] for each in found.sort(row("price").asc(nulls="last")).all()]
    assert [Decimal("1.1"), Decimal(-2), None] == [each["price"] for each in found.sort(row("price").desc()).all()]
    assert 1 == len(found.offset(1).limit(1).all())
    page = found.sort("-n").page(limit=2, count=True)
    assert (2, True, False, 3) == (len(page.records), page.has_next, page.has_previous, page.count)
    rest = asyncio.run(found.sort("-n").page.aio(limit=2, offset=2))
    assert (1, False, True, None) == (len(rest.records), rest.has_next, rest.has_previous, rest.count)
    assert found.first() == found.all()[0]


def test_texts_that_differ_in_case_or_spaces_are_groups_of_their_own(every_layer: Callable[[], Any]) -> None:
    """Groups compare text by code point, also where a database's usual collation would not."""
    domain = Domain("words")

    class Word(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        text: Attr[str] = attribute()
        make = create(accept=["id", "text"])

    domain.create_storage()
    texts = ["a", "A", "a ", "á", "a"]
    Word.make.bulk([{"id": number, "text": text} for number, text in enumerate(texts)])

    assert [("A", 1), ("a", 2), ("a ", 1), ("á", 1)] == [
        (each["text"], each["n"]) for each in query(Word).group_by(Word.text).values(n=count()).all()
    ]


def test_groups_that_have_no_meaning() -> None:
    """Each mistake is named: keys, figures, conditions and orders that are unknown or of a wrong type, and limits before groups."""
    order = order_on(None)
    found, wrong = query(order).group_by(order.flag).values(n=count(), first=order.name.min()), cast("Any", 3)
    for make, match in [
        (lambda: query(order).group_by(), "at least one attribute"),
        (lambda: query(order).group_by("tags"), "tags: cannot be grouped by"),
        (lambda: query(order).group_by("flagg"), "Did you mean 'flag'"),
        (lambda: query(order).group_by("flag").values(flag=count()), "flag: is the name of a key"),
        (
            lambda: query(order).group_by("flag").values(n=wrong, m=order.name.sum()),
            "n: must be a figure.*m: name: cannot be summed",
        ),
        (lambda: found.filter(row("m") > 2), "m: is no key or figure"),
        (lambda: found.sort("-m"), "m: is no key or figure"),
        (lambda: found.filter(row("n") > "x").all(), "compares values of different types"),
        (lambda: found.filter(row("flag") == 7).all(), "flag: must be true or false"),
        (lambda: query(order).limit(3).group_by("flag").values(n=count()).all(), "cannot be grouped"),
        (lambda: found.limit(1).page(limit=1), "limit\\(\\) or offset\\(\\)"),
        (lambda: found.page(limit=0), "limit: must be a whole number"),
    ]:
        with pytest.raises(InvalidArgument, match=match):
            make()


def test_distinct_keeps_the_first_record_by_the_order(order: Any) -> None:
    """For each combination of values, ``None`` among them, one record is returned; limit, offset and count apply to those."""

    def keys(found: Any) -> list[int]:
        return [record.id for record in found.all()]

    assert [0, 1, 2] == keys(query(order).distinct(order.flag))
    by_name = query(order).distinct("name").sort(order.number.desc(), order.id.desc())
    assert [6, 5, 7, 4] == keys(by_name)
    assert ([5, 7], 4, 2) == (keys(by_name.limit(2).offset(1)), by_name.count(), by_name.limit(2).count())
    assert [7, 3] == keys(
        by_name.filter(order.name == "ab", order.id.in_([3, 7])).distinct("name", "price").sort(order.id.desc())
    )
    assert [6, 5] == [record.id for record in by_name.page(limit=2, offset=0).records]
    assert ["A_b", "a%b"] == [record.name for record in itertools.islice(by_name.select("name").stream(), 2)]
    assert [2, 1, 0] == keys(query(order).distinct(order.price).sort(order.price.asc(nulls="last")))
    assert 3 == len({record.code for record in asyncio.run(query(order).distinct("code").all.aio())})


def test_distinct_where_it_has_no_meaning() -> None:
    """Attributes without equality, pages by cursor, figures, groups and bulk writes of a distinct query are refused."""
    order = order_on(None)
    found = query(order).distinct("flag")
    for make, match in [
        (lambda: query(order).distinct("tags").all(), "tags: cannot be made distinct"),
        (lambda: query(order).distinct("nmae").all(), "Did you mean 'name'"),
        (lambda: query(order).distinct(order.id + 1), "distinct: takes attributes"),
        (lambda: found.page(limit=2), "page by cursor"),
        (lambda: found.sum(order.number), "sum cannot be computed of a query with distinct"),
        (lambda: found.group_by("flag").values().all(), "group_by cannot be used"),
        (lambda: order.drop.bulk(found), "distinct"),
    ]:
        with pytest.raises(InvalidArgument, match=match):
            make()
    assert 8 == query(order).count()
    assert 3 == order.drop.bulk(found, strategy="stream").count
