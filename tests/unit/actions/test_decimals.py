"""Decimal numbers: spelled as they were given, equal by value, computed exactly, on every layer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Resource,
    arg,
    argument,
    attribute,
    coalesce,
    create,
    get,
    greatest,
    identity,
    query,
    set_attribute,
    update,
)
from resourcekit.errors import Invalid, InvalidArgument, UniqueViolation
from resourcekit.extending import Field
from tests.support.scales import scale_on

SPELLED = {
    "99.50": "99.50",
    "99.5": "99.5",
    "1E+2": "100",
    "1.50E1": "15.0",
    "-0": "0",
    "-0.00": "0.00",
    "0.10": "0.10",
    "-7.2500": "-7.2500",
    "100": "100",
    "100.00": "100.00",
    "1E-3": "0.001",
    "123456789012345678901234567890.1230": "123456789012345678901234567890.1230",
}


@pytest.fixture
def invoice(every_layer: Callable[[], Any]) -> Any:
    """A resource with a decimal, one that is unique, and a list of them."""
    domain, layer = Domain("invoices"), every_layer()

    class Invoice(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        total: Attr[Decimal | None] = attribute(default=None, scale=scale_on(layer, 4))
        rate: Attr[Decimal | None] = attribute(default=None, scale=scale_on(layer, 4))
        parts: Attr[list[Decimal] | None] = attribute(default=None)
        by_rate = identity("rate")

        draw_up = create(accept=["id", "total", "rate", "parts"])
        put = create(accept=["id", "total", "rate", "parts"], upsert=True)
        edit = update(accept=["total"])
        double = update(changes=[set_attribute("total", Field("total") * 2)])

    domain.create_storage()
    return Invoice


def test_a_number_is_spelled_as_it_was_given(invoice: Any) -> None:
    """In plain notation, with its zeros after the point: created, read, updated and upserted."""
    for number, (given, kept) in enumerate(SPELLED.items()):
        made = invoice.draw_up(id=number, total=given, parts=[given])
        found = get(invoice, number)
        edited = invoice.edit(made, total=Decimal(given))
        put = invoice.put(id=number, total=given)

        scale = invoice.total.entity.scale
        wanted = kept if scale is None else f"{Decimal(kept):.{scale}f}"
        assert [wanted] * 4 == [str(each) for each in (made.total, found.total, edited.total, put.total)]
        assert kept == str(found.parts[0])


def test_numbers_are_equal_and_sorted_by_value(invoice: Any) -> None:
    """99.5 is 99.50, in filters, sets, orders and comparisons."""
    for number, total in enumerate(["99.50", "99.5", "99.49", "99.501", "-1.10", "-1.1", "0.00", "100"]):
        invoice.draw_up(id=number, total=total)

    def ids(condition: Any) -> list[int]:
        return [record.id for record in query(invoice).filter(condition).sort("id").all()]

    for text in ("99.5", "99.50", "99.5000"):
        assert [0, 1] == ids(invoice.total == Decimal(text)) == ids(invoice.total.in_([Decimal(text)]))
        assert [2, 4, 5, 6] == ids(invoice.total < Decimal(text))
        assert [0, 1, 2, 4, 5, 6] == ids(invoice.total <= Decimal(text))
    assert [4, 5] == ids(invoice.total == Decimal("-1.100"))
    assert [6] == ids(invoice.total == 0)
    assert [4, 5, 6, 2, 0, 1, 3, 7] == [record.id for record in query(invoice).sort("total", "id").all()]


def test_an_identity_compares_by_value(invoice: Any) -> None:
    """1.5 and 1.50 are one rate."""
    invoice.draw_up(id=1, rate="1.5")
    with pytest.raises(UniqueViolation):
        invoice.draw_up(id=2, rate="1.50")
    assert 1 == get(invoice, rate="1.500").id


def test_a_number_of_endless_digits_is_refused(invoice: Any) -> None:
    """A short text may mean megabytes of digits."""
    for text in ("1E+999999", "1E-999999"):
        with pytest.raises(Invalid, match="total: must have at most 10000 digits"):
            invoice.draw_up(id=1, total=text)


def test_a_computed_number_is_exact(invoice: Any) -> None:
    """A product of more digits than Python's context keeps is not rounded."""
    invoice.draw_up(id=1, total="12345678901234567890123456789.55")
    doubled = Decimal("24691357802469135780246913579.10")
    assert (doubled, doubled) == (invoice.double(1).total, get(invoice, 1).total)
    assert str(doubled) in str(get(invoice, 1).total)


def test_computed_numbers_are_compared_exactly(invoice: Any) -> None:
    """Sums, differences and products of decimals in conditions and orders; MariaDB refuses what it cannot compute exactly."""
    big = "99999999999999999999999999999999999999.99"
    if invoice.total.entity.scale is not None:  # the columns of MariaDB have 38 digits
        with pytest.raises(Invalid, match="total: must have at most 38 digits"):
            invoice.draw_up(id=9, total=big)
        big = "9999999999999999.99"
    invoice.draw_up.bulk(
        [
            {"id": 1, "total": "0.1", "rate": "0.2"},
            {"id": 2, "total": "-1.50", "rate": "3"},
            {"id": 3, "total": big, "rate": "0.01"},
            {"id": 4},
            {"id": 5, "total": "0", "rate": "-0.30"},
        ]
    )

    def ids(condition: Any) -> list[int]:
        return [record.id for record in query(invoice).filter(condition).sort("id").all()]

    if "MariaDialect" in repr(getattr(getattr(invoice.__runtime__.store, "repo", None), "dialect", None)):
        with pytest.raises(InvalidArgument, match="cannot compute decimals exactly"):
            ids(invoice.total + invoice.rate == Decimal("0.300"))
        return
    assert [1] == ids(invoice.total + invoice.rate == Decimal("0.300"))
    assert [1] == ids(invoice.total * 3 == Decimal("0.3"))
    assert [2, 5] == ids(invoice.total * invoice.rate <= 0)
    assert [2] == ids(invoice.total - 1 == Decimal("-2.5"))
    assert [3] == ids(invoice.total * invoice.total > Decimal("9999999999999999999999999999999999999.99"))
    assert [3] == ids(invoice.total + Decimal("0.01") == Decimal("1E38"))
    assert [1, 4, 5] == ids((invoice.total + 0).in_([Decimal("0.10"), invoice.rate + Decimal("0.3")]))
    assert [4, 2, 5, 1, 3] == [record.id for record in query(invoice).sort((invoice.total * 2).asc(), "id").all()]


def test_sums_beyond_sixty_four_bits_are_exact(every_layer: Callable[[], Any]) -> None:
    """No layer computes them in floats or in 64 bits: alone, in groups, and behind a limit."""
    domain, layer = Domain("large sums"), every_layer()

    class Entry(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        side: Attr[str]
        amount: Attr[Decimal] = attribute(scale=scale_on(layer))
        add = create(accept=["id", "side", "amount"])

    domain.create_storage()
    amounts = [
        Decimal(9223372036854775807),
        Decimal("9223372036854775807.99"),
        Decimal("0.01"),
        Decimal("-0.03"),
        Decimal("1E+19"),
    ]
    Entry.add.bulk([{"id": number, "side": "ab"[number % 2], "amount": each} for number, each in enumerate(amounts)])
    exact = Decimal("28446744073709551614.97")

    assert sum(amounts) == exact
    assert exact == query(Entry).sum("amount")
    assert sum(amounts[:3]) == query(Entry).sort(Entry.id).limit(3).sum("amount")
    grouped = query(Entry).group_by(Entry.side).values(total=Entry.amount.sum()).all()
    assert {"a": sum(amounts[::2]), "b": sum(amounts[1::2])} == {each["side"]: each["total"] for each in grouped}


def test_a_number_with_more_digits_than_the_scale_is_compared_and_not_stored(every_layer: Callable[[], Any]) -> None:
    """It equals no stored number and lies between two of them; an action that would store it refuses it."""
    domain = Domain("scales")

    class Price(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        amount: Attr[Decimal] = attribute(scale=2)
        put = create(accept=["id", "amount"])

        scaled = update(arguments=[argument("by", Decimal)], changes=[set_attribute("amount", Field("amount") * arg("by"))])

    domain.create_storage()
    Price.put.bulk([{"id": 1, "amount": "1.23"}, {"id": 2, "amount": "1.24"}])
    between = Decimal("1.234")

    def found(condition: Any) -> list[int]:
        return [each.id for each in query(Price).filter(condition).sort("id").all()]

    assert ([1], [2]) == (found(Price.amount < between), found(Price.amount > between))
    assert ([], [1, 2]) == (found(Price.amount == between), found(Price.amount != between))
    assert [2] == found(Price.amount.in_([between, Decimal("1.240")]))
    with pytest.raises(Invalid, match="at most 2 digits"):
        Price.put(id=3, amount=between)
    with pytest.raises(Invalid, match="at most 2 digits"):
        Price.scaled(2, by="0.3")
    assert ["1.24", "2.48"] == [str(get(Price, 2).amount), str(Price.scaled(2, by="2").amount)]


def test_decimals_of_different_columns_are_compared_by_value(every_layer: Callable[[], Any]) -> None:
    """Whatever their scales and their stored forms are: 2 cents are not two, and 2.50 is 2.5000."""
    domain = Domain("cents")

    class Price(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        cents: Attr[Decimal] = attribute(scale=2, stored="integer")
        mills: Attr[Decimal] = attribute(scale=3, stored="integer")
        amount: Attr[Decimal] = attribute(scale=2)
        rate: Attr[Decimal] = attribute(scale=4)
        put = create(accept=["id", "cents", "mills", "amount", "rate"])

    domain.create_storage()
    for number, (cents, amount) in enumerate([("0.02", "2"), ("2.50", "2.50"), ("3", "2.99"), ("-1", "1")]):
        Price.put(id=number, cents=cents, mills=cents, amount=amount, rate=amount)

    def found(condition: Any) -> list[int]:
        return [each.id for each in query(Price).filter(condition).sort("id").all()]

    assert [1] == found(Price.cents == Price.amount)
    assert ([2], [0, 3]) == (found(Price.cents > Price.amount), found(Price.cents < Price.amount))
    assert [0, 1, 2, 3] == found(Price.cents == Price.mills) == found(Price.amount == Price.rate)
    assert [1] == found(greatest(Price.cents, Price.amount) == Decimal("2.5"))
    assert [0, 1, 2, 3] == found(Price.amount.in_([Price.rate])) == found(coalesce(Price.rate, Price.amount) == Price.amount)
