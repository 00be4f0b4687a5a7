"""Types of the application on resources that are related: loads, keys and plain attributes work, the rest is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest

from resourcekit import (
    Attr,
    Calc,
    Domain,
    Many,
    One,
    Resource,
    attribute,
    belongs_to,
    calculated,
    create,
    destroy,
    has_many,
    query,
    value_type,
)
from resourcekit.errors import ForeignKeyViolation, InvalidArgument
from tests.support.scales import scale_on


@attrs.frozen(order=True)
class Coin:
    """An amount."""

    amount: Decimal


@pytest.fixture
def shop(any_layer: Callable[[], Any]) -> Any:
    """Return related resources, one with a type of its own and text that ignores case."""
    domain, layer = Domain("shop of values"), any_layer()

    class Order(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        lines: Many[Line] = has_many("order_id", sort=["id"])
        count: Calc[int] = calculated(lambda: Order.lines.count(Line.number > 1))
        dearest: Calc[Coin | None] = calculated(lambda: Order.lines.first(Line.price, sort=[Line.price.desc()]))
        make = create(accept=["id"])
        drop = destroy()

    class Line(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        number: Attr[int] = attribute()
        price: Attr[Coin] = attribute(scale=scale_on(layer))
        name: Attr[str] = attribute(case="fold")
        order_id: Attr[int] = attribute()
        order: One[Order] = belongs_to("order_id", to=lambda: Order)
        twice: Calc[int] = calculated(lambda: Line.number * 2)
        make = create(accept=["id", "number", "price", "name", "order_id"])

    domain.create_storage()
    Order.make.bulk([{"id": 1}, {"id": 2}])
    Line.make.bulk([{"id": n, "number": n, "price": Coin(Decimal(n)), "name": f"L{n}", "order_id": 1} for n in (1, 2, 3)])
    Order.line = Line
    return Order


value_type("Coin", Coin, stored=Decimal, dump=lambda coin: coin.amount, load=Coin)


def test_plain_attributes_are_computed_with_and_own_types_are_loaded(shop: Any) -> None:
    """A count over a resource with own types is right, its records load with their values, and its foreign key is kept."""
    first = query(shop).sort("id").load(shop.lines, shop.count).first()

    assert [Coin(Decimal(n)) for n in (1, 2, 3)] == [line.price for line in first.lines]
    assert 2 == first.count
    assert [1] == [each.id for each in query(shop).filter(shop.lines.exists(shop.line.number == 3)).all()]
    assert [1, 2, 3] == [each.id for each in query(shop.line).filter(shop.line.order[shop.id] == 1).sort("id").all()]
    assert [6] == [each.twice for each in query(shop.line).filter(shop.line.name == "l3").load(shop.line.twice).all()]
    with pytest.raises(ForeignKeyViolation):
        shop.drop(1)


def test_an_own_type_over_a_relationship_is_refused_with_the_next_step(shop: Any) -> None:
    """A value that the data layer has in another form is not compared there with one of the application's type."""
    for condition in (
        shop.lines.exists(shop.line.price == Coin(Decimal(1))),
        shop.lines.exists(shop.line.name == "L1"),
        shop.dearest == Coin(Decimal(3)),
    ):
        with pytest.raises(InvalidArgument, match=r"type of its own or ignores case.*load the records"):
            query(shop).filter(condition).all()
