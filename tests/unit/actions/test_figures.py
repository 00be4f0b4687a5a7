"""Figures and selections of queries, and conditions and orders that come from outside."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest

from resourcekit import Attr, Changeset, Domain, Resource, as_dict, attribute, create, destroy, query, reload, update
from resourcekit.errors import Invalid, InvalidArgument, NotLoaded
from tests.support.scales import scale_on

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Level(enum.Enum):
    """Members whose values have another order than their names."""

    A = 3
    B = 1


def order_on(layer: Any) -> Any:
    """Declare a resource with an attribute of each kind."""
    domain = Domain("orders")

    class Order(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True, public=True)
        name: Attr[str | None] = attribute(default=None, public=True)
        number: Attr[int | None] = attribute(default=None, public=True)
        rate: Attr[float | None] = attribute(default=None)
        price: Attr[Decimal | None] = attribute(default=None, scale=scale_on(layer))
        lasts: Attr[timedelta | None] = attribute(default=None)
        at: Attr[datetime | None] = attribute(default=None, public=True)
        flag: Attr[bool | None] = attribute(default=None)
        level: Attr[Level | None] = attribute(default=None, public=True)
        size: Attr[Literal[1, 2]] = attribute(default=1)
        code: Attr[UUID | None] = attribute(default=None)
        tags: Attr[list[str]] = attribute(default_factory=list, public=True)
        secret: Attr[str] = attribute(default="", public=True, sensitive=True)

        drop = destroy()

        @update
        @staticmethod
        def double(changeset: Changeset) -> Changeset:
            return changeset.set(price=changeset.record.price * 2)

        make = create(accept=["id", "name", "number", "rate", "price", "lasts", "at", "flag", "level", "size", "code", "secret"])

    domain.create_storage()
    Order.make.bulk(
        [
            {
                "id": number,
                "name": (None, "a%b", "A_b", "ab")[number % 4],
                "number": (None, 2**62, 2**62, -3)[number % 4],
                "rate": (None, 0.5, 0.25)[number % 3],
                "price": (None, Decimal("1.10"), Decimal(-2))[number % 3],
                "lasts": (None, timedelta(days=300), timedelta(microseconds=-5))[number % 3],
                "at": (None, START, START + timedelta(hours=1))[number % 3],
                "flag": (None, True, False)[number % 3],
                "level": (None, Level.A, Level.B)[number % 3],
                "size": number % 2 + 1,
                "code": (None, UUID(int=5), UUID(int=2**127))[number % 3],
            }
            for number in range(8)
        ]
    )
    return Order


@pytest.fixture
def order(every_layer: Callable[[], Any]) -> Any:
    """The resource with eight records, on every layer."""
    return order_on(every_layer())


@pytest.fixture
def here() -> Any:
    """The resource in memory."""
    return order_on(None)


def test_a_figure_is_what_python_computes_of_the_records(order: Any) -> None:
    """Sum, avg, min and max equal what Python computes of the loaded values, with conditions, limits and offsets too."""
    queries: list[Any] = [
        query(order),
        query(order).filter(order.id > 3),
        query(order).sort(order.id.desc()).limit(3),
        query(order).sort(order.number, order.id).limit(4).offset(1),
        query(order).sort("id").offset(5),
        query(order).filter(order.id > 99),
        query(order).limit(0),
    ]
    for found in queries:
        records = found.all()
        for name in ("number", "rate", "price", "lasts", "size"):
            values = [value for record in records if (value := getattr(record, name)) is not None]
            total = sum(values[1:], values[0]) if values else None

            assert total == found.sum(getattr(order, name)) == found.sum(name), name
            assert (None if total is None else total / len(values)) == found.avg(name), name
        for name in ("number", "rate", "price", "lasts", "size", "name", "at", "flag", "level", "code", "id"):
            values = [value for record in records if (value := getattr(record, name)) is not None]
            key = (lambda member: member.value) if name == "level" else None

            assert min(values, key=key, default=None) == found.min(getattr(order, name)), name  # type: ignore[type-var]
            assert max(values, key=key, default=None) == asyncio.run(found.max.aio(getattr(order, name))), name  # type: ignore[type-var]


def test_a_figure_that_has_no_meaning(here: Any) -> None:
    """An attribute that cannot be summed or has no order, an unknown one and an expression are refused."""
    for kind, field, match in [
        ("sum", "name", "name: cannot be summed: it is str | None"),
        ("avg", "flag", "flag: cannot be summed"),
        ("max", "tags", "tags: has no order"),
        ("sum", "prize", "Did you mean 'price'"),
        ("min", here.number + 1, "min takes an attribute"),
    ]:
        with pytest.raises(InvalidArgument, match=match):
            getattr(query(here), kind)(field)


def ids(found: Any) -> list[int]:
    """Return the keys of the records of a query."""
    return [record.id for record in found.sort(*found.order, "id").all()]


def test_a_filter_from_outside(order: Any) -> None:
    """Every operator, with text in place of values, wildcards taken literally, and nested and, or and not."""
    for given, expected in [
        ({}, list(range(8))),
        ({"id": 3}, [3]),
        ({"id": "3"}, [3]),
        ({"name": None}, [0, 4]),
        ({"name": {"contains": "%"}}, [1, 5]),
        ({"name": {"starts_with": "A_"}}, [2, 6]),
        ({"name": {"ends_with": "b", "ne": "ab"}}, [1, 2, 5, 6]),
        ({"name": {"is_none": True}}, [0, 4]),
        ({"name": {"is_none": "false"}, "id": {"lt": 3}}, [1, 2]),
        ({"at": {"gt": "2026-11-24T12:00:00Z"}}, [2, 5]),
        ({"at": {"ge": START, "le": START}}, [1, 4, 7]),
        ({"level": {"in": ["A", None]}}, [0, 1, 3, 4, 6, 7]),
        ({"or": [{"id": 1}, {"and": [{"id": {"ge": 6}}, {"not": {"id": 7}}]}]}, [1, 6]),
        ({"or": []}, []),
        ({"not": {"id": {"in": [1, 2, 3]}, "name": "ab"}}, [0, 1, 2, 4, 5, 6, 7]),
    ]:
        assert expected == ids(query(order).filter_input(given)), given


def test_a_filter_from_outside_that_is_refused(here: Any) -> None:
    """All problems come together, with their paths; unknown, private and sensitive attributes are reported alike."""
    given = {"rate": 1, "secret": "x", "nothing": 2, "id": {"like": 1, "gt": "x"}, "or": [{"number": {"in": "abc"}}]}
    with pytest.raises(Invalid) as caught:
        query(here).filter_input(given)
    reported = {finding.path: finding.message.partition(".")[0] for finding in caught.value.findings}

    assert {
        **dict.fromkeys(("filter.rate", "filter.secret", "filter.nothing"), "is nothing to filter by"),
        "filter.id.like": "is no operator",
        "filter.id.gt": "must be a whole number",
        "filter.or.0.number.in": "must be a list of values",
    } == reported
    deep: Any = {"id": 1}
    for _ in range(4):
        deep = {"not": deep}
    query(here).filter_input(deep)
    refused: list[tuple[Any, str]] = [
        ({"not": deep}, "at most 5 levels"),
        ({"or": [{"id": number} for number in range(101)]}, "at most 100 conditions"),
        ({"id": {"in": list(range(1001))}}, "at most 1000 options"),
        ([], "must be a mapping"),
        ({"and": {}}, "filter.and: must be a list"),
        ({"level": {"lt": "A"}}, "filter.level.lt: has no order"),
        ({"id": {"contains": "x"}}, "matches text"),
        ({"name": {"is_none": 1}}, "must be true or false"),
    ]
    for wrong, match in refused:
        with pytest.raises(Invalid, match=match):
            query(here).filter_input(wrong)


def test_a_sort_from_outside(order: Any) -> None:
    """Keys are separated by commas; "-" descends; an empty text keeps the order; others than public attributes are refused."""
    by_name = query(order).sort_input("-name, id")

    assert [3, 7, 1, 5, 2, 6, 0, 4] == [record.id for record in by_name.all()]
    assert by_name.order == by_name.sort_input("").order
    assert [7, 6] == [record.id for record in query(order).sort_input(["-id"]).page(limit=2).records]
    with pytest.raises(Invalid) as caught:
        query(order).sort_input("rate,-secret,idd,--id,tags")
    assert ["sort.rate", "sort.secret", "sort.idd", "sort.--id", "sort.tags"] == [
        finding.path for finding in caught.value.findings
    ]
    malformed: list[Any] = [3, ["id", 4], ",".join(["id"] * 21)]
    for wrong in malformed:
        with pytest.raises(Invalid, match="sort: must"):
            query(order).sort_input(wrong)


def test_a_selection_loads_the_key_and_what_it_names(order: Any) -> None:
    """Other attributes raise NotLoaded, which is no AttributeError; ``repr``, ``as_dict``, equality and pages know what was loaded."""
    found = query(order).select(order.name).sort(order.number.desc(), "id")
    records = found.all()

    assert [record.name for record in query(order).sort(order.number.desc(), "id").all()] == [each.name for each in records]
    assert {"id", "name"} == set(vars(records[0]))
    for record in (records[0], found.first(), next(found.stream()), found.page(limit=3).records[0]):
        with pytest.raises(NotLoaded, match="Order: number: was not loaded; add number to select"):
            _ = record.number
        assert record == records[0]
    assert "Order(id=1, name='a%b')" == repr(records[0])
    assert {"id": 1, "name": "a%b"} == as_dict(records[0])
    assert query(order).filter(order.id == 1).one() == reload(records[0]) != records[0]
    with pytest.raises(InvalidArgument, match="nam: is no attribute"):
        query(order).select("nam").all()
    with pytest.raises(InvalidArgument, match="select: takes attributes"):
        query(order).select(order.id + 1)


def test_an_action_reads_a_partial_record_again(order: Any) -> None:
    """An update with a step in Python gets all values of the record, one by one and in bulk, and returns a whole record."""
    partial = query(order).select("id").filter(order.id == 2).one()
    changed = order.double(partial)

    assert (Decimal(-4), "A_b") == (changed.price, changed.name)
    assert 3 == order.double.bulk(query(order).select("id").filter(order.id.in_([1, 4, 7])), strategy="stream").count
    assert [Decimal("2.20")] * 3 == [record.price for record in query(order).filter(order.id.in_([1, 4, 7])).all()]
    order.drop(query(order).select("name").filter(order.id == 2).one())
    assert not query(order).filter(order.id == 2).exists()
