"""Sums of decimals of related records: in loads, conditions, orders and pages they are those of Python, digit by digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from resourcekit import Attr, Domain, Many, One, Resource, attribute, belongs_to, create, has_many, query
from resourcekit.expressions import decimals

PRICES = ["0.10", "-2.50", "99999999999999.99", None, "0.00", "1.10", "0.20", "2.20", "-1.10", "3.30"]


@pytest.mark.parametrize("how", [{}, {"scale": 2}, {"scale": 2, "stored": "integer"}])
def test_a_sum_of_decimals_is_exact_in_conditions_orders_and_pages(any_layer: Any, how: dict[str, Any]) -> None:
    """Without a value it is None, which is in the order where None always is."""
    domain = Domain("totals", cursor_secret="a secret of thirty-two characters")
    how = how or ({"scale": 2} if "mariadb" in repr(any_layer()) else {})  # which has no decimals of any scale

    class Order(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        lines: Many[Line] = has_many("order_id")
        add = create(accept=["id"])

    class Line(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        price: Attr[Decimal | None] = attribute(default=None, **how)
        order_id: Attr[int] = attribute()
        order: One[Order] = belongs_to("order_id", to=lambda: Order)
        add = create(accept=["id", "price", "order_id"])

    domain.create_storage()
    Order.add.bulk([{"id": n} for n in range(7)])
    rows = [(n, None if price is None else Decimal(price), n * 7 % 5) for n, price in enumerate(PRICES * 2)]
    Line.add.bulk([{"id": n, "price": price, "order_id": order} for n, price, order in rows])
    totals: dict[int, Decimal | None] = dict.fromkeys(range(7))
    for _, price, order in rows:
        if price is not None:
            before = totals[order]
            totals[order] = price if before is None else decimals.add(before, price)
    total = Order.lines.sum(Line.price)
    asked = query(Order).sort("id")

    assert list(totals.values()) == [each.extra["total"] for each in asked.load(total=total).all()]
    assert [5, 6] == [each.id for each in asked.filter(total == None).all()]  # noqa: E711  # an expression
    for bound in {each for each in totals.values() if each is not None} | {Decimal(0), Decimal("0.3000")}:
        for is_met, condition in (
            (lambda value, bound=bound: value == bound, total == bound),
            (lambda value, bound=bound: value is not None and value > bound, total > bound),
            (lambda value, bound=bound: not (value is not None and value <= bound), ~(total <= bound)),
        ):
            assert [n for n, value in totals.items() if is_met(value)] == [each.id for each in asked.filter(condition).all()]
    ordered = query(Order).sort(total.desc(), "id")
    known = sorted((n for n in totals if totals[n] is not None), key=lambda n: (-(totals[n] or 0), n))
    assert [*known, 5, 6] == [each.id for each in ordered.all()]
    found, page = [], ordered.page(limit=2)
    while True:
        found += [each.id for each in page.records]
        if not page.has_next:
            break
        page = ordered.page(limit=2, after=page.end_cursor)
    assert [*known, 5, 6] == found
