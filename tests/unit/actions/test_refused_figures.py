"""Figures over related records that no values of their type have: refused with the reason, in a filter and in a load, on one layer and on two."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Attr, Domain, Many, Resource, attribute, coalesce, create, has_many, load, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Invalid, InvalidArgument


def shops_on(near: Any, far: Any) -> Any:
    """Declare shops with orders, and store a shop with one order."""
    domain = Domain("shops")

    class Shop(Resource, domain=domain, data_layer=near):
        id: Attr[int] = attribute(primary_key=True)
        rate: Attr[Decimal] = attribute(default=Decimal(0))
        orders: Many[Order] = has_many("shop_id", to=lambda: Order)
        make = create(accept=["id"])

    class Order(Resource, domain=domain, data_layer=far):
        id: Attr[int] = attribute(primary_key=True)
        shop_id: Attr[int] = attribute()
        at: Attr[datetime] = attribute(default=datetime(2024, 1, 1, tzinfo=UTC))
        name: Attr[str] = attribute(default="a")
        tags: Attr[list[str]] = attribute(default_factory=list)
        paid: Attr[bool] = attribute(default=True)
        price: Attr[Decimal] = attribute(default=Decimal(1))
        make = create(accept=["id", "shop_id"])

    domain.create_storage()
    Shop.make(id=1)
    Order.make(id=1, shop_id=1)
    return Shop, Order


@pytest.fixture(params=["memory", "sqlite", "both"])
def shops(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return shops and orders on one layer, or on two."""
    kept = SQL(f"sqlite:///{tmp_path}/shops.db")
    near: Any = kept if request.param == "sqlite" else Memory()
    return shops_on(near, near if request.param == "memory" else kept)


def test_a_figure_of_values_that_have_none(shops: Any) -> None:
    """A load raises the same error as a filter, also if no record is there; it is no error of Python."""
    shop, order = shops
    refused = {
        "sum takes numbers and durations, not datetime": shop.orders.sum(order.at),
        "avg takes numbers and durations, not str": shop.orders.avg(order.name),
        r"max takes values with an order, not list\[str\]": shop.orders.max(order.tags),
    }
    record = query(shop).one()

    for text, figure in refused.items():
        for asked in (query(shop), query(shop).filter(shop.id == 9)):
            with pytest.raises(InvalidArgument, match=f"orders: {text}"):
                asked.load(x=figure).all()
        with pytest.raises(InvalidArgument, match=f"orders: {text}"):
            load(record, x=figure)


def test_a_sum_of_one_bool_is_a_number(shops: Any) -> None:
    """A sum of bools counts, and has the same type for one of them as for several."""
    shop, order = shops
    found = query(shop).load(n=shop.orders.sum(order.paid)).one().extra["n"]

    assert (1, int) == (found, type(found))


def test_a_number_that_no_store_has(shops: Any) -> None:
    """An infinite number in a computed value and in an order is refused, as in a condition."""
    shop, _ = shops
    for node in (shop.rate * Decimal("Infinity"), coalesce(shop.rate, Decimal("NaN")) + 1):
        for asked in (query(shop).load(x=node), query(shop).sort(node), query(shop).filter(node > 1)):
            with pytest.raises((Invalid, InvalidArgument), match="finite"):
                asked.all()
