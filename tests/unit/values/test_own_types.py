"""Types that users have: embedded values, tagged unions, value types; the same on every layer."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from resourcekit import (
    Attr,
    Domain,
    Limits,
    Resource,
    argument,
    as_dict,
    attribute,
    count,
    create,
    get,
    identity,
    query,
    row,
    set_attribute,
    update,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Invalid, InvalidArgument, UniqueViolation
from tests.support.databases import run_sql
from tests.support.own_types import (
    Address,
    Card,
    Circle,
    Email,
    Handle,
    Model,
    Money,
    Point,
    Settings,
    Square,
    Struct,
    Transfer,
)
from tests.support.scales import scale_on

LONG_AGO = dt.datetime(2020, 1, 2, 3, 4, 5, 600000, tzinfo=dt.UTC)


def tickets_on(layer: Callable[[], Any]) -> Any:
    """Declare tickets with attributes of all such types."""
    domain, kept = Domain("own types"), layer()

    class Ticket(Resource, domain=domain, data_layer=kept):
        id: Attr[int] = attribute(primary_key=True, public=True)
        address: Attr[Address | None] = attribute(default=None, public=True)
        places: Attr[list[Address]] = attribute(default_factory=list, public=True)
        by_name: Attr[dict[str, Point]] = attribute(default_factory=dict)
        shape: Attr[Circle | Square | None] = attribute(default=None)
        paid: Attr[Card | Transfer | None] = attribute(default=None)
        settings: Attr[Settings] = attribute(default={"theme": "dark"})
        model: Attr[Model | None] = attribute(default=None)
        struct: Attr[Struct] = attribute(default=Struct("x"))
        scores: Attr[list[Annotated[int, Limits(minimum=0)]]] = attribute(default_factory=list, public=True)
        email: Attr[Email | None] = attribute(default=None)
        handle: Attr[Handle] = attribute(default="max")
        price: Attr[Money] = attribute(default=Money(1), public=True, scale=scale_on(kept))
        prices: Attr[list[Money]] = attribute(default_factory=list)
        tags: Attr[list[str]] = attribute(default_factory=list, public=True)
        free: Attr[dict[str, Any]] = attribute(default_factory=dict)

        by_email = identity("email")
        names: ClassVar = [
            "id", "address", "places", "by_name", "shape", "paid", "settings", "model", "struct", "scores", "email", "handle",
            "price", "prices", "tags", "free",
        ]  # fmt: skip
        add = create(accept=names)
        put = create(accept=names, upsert=True)
        change = update(accept=names[1:])
        move = update(
            arguments=[argument("to", Address)], changes=[lambda changeset, _: changeset.set(address=changeset.arguments["to"])]
        )
        raise_price = update(changes=[set_attribute("price", price + Money(2))])

    domain.create_storage()
    return Ticket


FULL: dict[str, Any] = {
    "address": Address("53111", since=LONG_AGO, fee=Decimal("1.50"), at=Point(1, 2), phones=["1", "2"]),
    "places": [Address("1"), Address("2", "Köln")],
    "by_name": {"home": Point(3), "späti": Point(4, 5)},
    "shape": Circle(2.5),
    "paid": Card(number="123"),
    "settings": {"theme": "light", "size": 3},
    "model": Model(n=3, day=dt.date(2026, 1, 2)),
    "struct": Struct("y", ["a"]),
    "scores": [1, 0],
    "email": "ann@example.org",
    "handle": "ann",
    "price": Money("12.50"),
    "prices": [Money(1), Money("2.25")],
    "tags": ["red", "bl'ue\"\\"],
    "free": {"n": 1, "s": "1", "b": True, "deep": [{"x": "ü"}]},
}


def test_values_come_back_as_they_were(every_layer: Callable[[], Any]) -> None:
    """A record that is created, read, updated, upserted, written in bulk or read async has the same values."""
    ticket = tickets_on(every_layer)

    made = ticket.add(id=1, **FULL)
    ticket.add.bulk([{"id": 2, **FULL, "email": None}, {"id": 3}])
    put = ticket.put(id=2, **{**FULL, "email": None, "shape": Square(3), "paid": Transfer(iban="DE")})
    changed = ticket.change(3, **{**FULL, "email": None})

    assert {name: getattr(made, name) for name in FULL} == {**FULL, "address": made.address}
    assert made.address == FULL["address"]
    assert [get(ticket, 1), get(ticket, 2), get(ticket, 3)] == [made, put, changed]
    assert (put.shape, put.paid) == (Square(3), Transfer(iban="DE"))
    assert type(made.model) is Model
    assert asyncio.run(get.aio(ticket, 1)) == made
    assert ticket.move(1, to={"zip": "9"}).address == Address("9")
    assert as_dict(ticket.change(1, address=Address("7")))["address"]["zip"] == "7"


def ids(ticket: Any, *conditions: Any) -> list[int]:
    """Return the keys of the records that meet conditions."""
    return [each.id for each in query(ticket).filter(*conditions).sort(ticket.id).all()]


def test_filters_look_into_values(every_layer: Callable[[], Any]) -> None:
    """Whole values, parts of them, items of lists and sums of amounts are compared alike on every layer."""
    ticket = tickets_on(every_layer)
    ticket.add(id=1, **FULL)
    ticket.add(
        id=2, address={"zip": "0", "fee": "1.5"}, shape=Square(2), paid={"kind": "transfer", "iban": "DE"}, free={"n": "1"}
    )
    ticket.add(id=3, tags=["green"], email=" Eve@Example.org ", price=Money(100), free={"n": 1.0, "b": False, "none": None})
    address = ticket.address
    expected: list[tuple[Any, list[int]]] = [
        (address == FULL["address"], [1]),
        (address != FULL["address"], [2, 3]),
        (address.in_([Address("0", fee=Decimal("1.500")), None]), [2, 3]),
        (address["zip"] == "53111", [1]),
        (~(address["zip"] == "53111"), [2, 3]),
        (address["zip"] > "0", [1]),
        (address["zip"].like("5%"), [1]),
        (address["zip"].in_(["0", "1"]), [2]),
        (address["fee"] == Decimal("1.5"), [1, 2]),
        (address["since"] <= LONG_AGO, [1]),
        (address["since"] > LONG_AGO, []),
        (address["since"].is_none(), [2, 3]),
        (address["at"]["y"] == 2, [1]),
        (address["phones"][1] == "2", [1]),
        (ticket.places[1]["city"] == "Köln", [1]),
        (ticket.by_name["späti"]["x"] >= 4, [1]),
        (ticket.shape == Square(2), [2]),
        (ticket.shape["type"] == "Circle", [1]),
        (ticket.shape["radius"] > 2, [1]),
        (ticket.paid["kind"] == "transfer", [2]),
        (ticket.settings["size"] == 3, [1]),
        (ticket.model["day"] < dt.date(2026, 2, 1), [1]),
        (ticket.struct == Struct("x"), [2, 3]),
        (ticket.email == "EVE@example.org", [3]),
        (ticket.handle == "@ann", [1]),
        (ticket.price == "12.50", [1]),
        (ticket.price.in_([Money(1), Money(100)]), [2, 3]),
        (ticket.tags.contains("red"), [1]),
        (~ticket.tags.contains("red"), [2, 3]),
        (ticket.tags.contains("bl'ue\"\\"), [1]),
        (ticket.tags.overlaps(["red", "green", "x"]), [1, 3]),
        (ticket.tags.overlaps([]), []),
        (ticket.tags.length() > 1, [1]),
        (ticket.places.contains(Address("2", "Köln")), [1]),
        (ticket.places.contains(Address("2")), []),
        (ticket.scores.contains(0), [1]),
    ]

    from_outside = query(ticket).filter_input({"tags": {"contains": "green"}, "price": "100"}).all()

    assert [each.id for each in from_outside] == [3]
    found = [(str(condition), ids(ticket, condition)) for condition, _ in expected]

    assert found == [(str(condition), wanted) for condition, wanted in expected]


def test_parts_of_free_json_have_the_type_of_what_they_meet(every_layer: Callable[[], Any]) -> None:
    """A text, a number and a bool are never equal, and a missing part is None."""
    ticket = tickets_on(every_layer)
    ticket.add(id=1, free=FULL["free"])
    ticket.add(id=2, free={"n": "1"})
    ticket.add(id=3, free={"n": 1.0, "b": False, "none": None})
    free = ticket.free
    expected: list[tuple[Any, list[int]]] = [
        (free["n"] == 1, [1, 3]),
        (free["n"] == "1", [2]),
        (free["n"] < "9", [2]),
        (free["b"] == 1, []),
        (free["n"].is_none(), []),
        (free["b"] == False, [3]),  # noqa: E712  # builds
        (free["none"].is_none(), [1, 2, 3]),
        (free["deep"][0]["x"] == "ü", [1]),
    ]

    assert [ids(ticket, condition) for condition, _ in expected] == [wanted for _, wanted in expected]


def test_amounts_are_computed_in_conditions(every_layer: Callable[[], Any]) -> None:
    """A sum with an amount is an amount, a product with a number, too. A store that cannot compute it exactly says so."""
    ticket = tickets_on(every_layer)
    ticket.add.bulk([{"id": number, "price": Money(price)} for number, price in enumerate(("3", "1", "20"))])

    try:
        found = [ids(ticket, ticket.price * 2 > Money(5)), ids(ticket, ticket.price + Money(1) == "2")]
    except InvalidArgument as refused:
        assert "cannot compute decimals exactly" in str(refused)  # noqa: PT017  # one of two right answers
    else:
        assert found == [[0, 2], [1]]


def test_amounts_are_summed_sorted_grouped_and_paged(every_layer: Callable[[], Any]) -> None:
    """Figures of an amount are amounts; an order by amounts is that of their stored form, also in pages."""
    ticket = tickets_on(every_layer)
    ticket.add.bulk([{"id": number, "price": Money(price)} for number, price in enumerate(("3", "1", "20", "3.00"))])
    ordered = query(ticket).sort(ticket.price.desc())

    first = ordered.page(limit=2)
    second = ordered.page(limit=2, after=first.end_cursor)
    groups = query(ticket).group_by(ticket.price).values(n=count(), worth=ticket.price.sum()).sort(row("worth")).all()

    assert [each.price.amount for each in (*first.records, *second.records)] == [20, 3, 3, 1]
    assert (query(ticket).sum(ticket.price), query(ticket).max(ticket.price)) == (Money(27), Money(20))
    assert [(group["price"], group["n"], group["worth"]) for group in groups] == [
        (Money(1), 1, Money(1)),
        (Money(3), 2, Money(6)),
        (Money(20), 1, Money(20)),
    ]
    assert ticket.raise_price(0).price == Money(5)


def test_findings_have_paths(every_layer: Callable[[], Any]) -> None:
    """All problems of an input are found together, each under the path inside the value."""
    ticket = tickets_on(every_layer)
    wrong = {
        "address": {"zap": 1, "city": 2, "at": {"y": -1}, "phones": ["a", 3]},
        "shape": {"type": "Star"},
        "paid": {"kind": "card", "number": "12x"},
        "model": {"count": 1},
        "scores": [1, -1, "x"],
        "email": "no at",
        "price": "much",
        "struct": 5,
    }

    with pytest.raises(Invalid) as caught:
        ticket.add(id=1, **wrong)

    found = {finding.path: finding.message for finding in caught.value.findings}
    assert found == {
        "address.zap": "is no field of Address. Did you mean 'zip'?",
        "address.zip": "is required",
        "address.city": "must be text",
        "address.at.x": "is required",
        "address.at.y": "must be at least 0",
        "address.phones.1": "must be text",
        "shape.type": "must be one of 'Circle', 'Square'",
        "paid.number": "Value error, must be made of digits",
        "model.day": "is required",
        "scores.1": "must be at least 0",
        "scores.2": "must be a whole number",
        "email": "must not contain a blank",
        "price": "must be a decimal number",
        "struct": "must be a Struct, or a mapping of its fields",
    }


def test_an_identity_of_a_value_type_compares_cast_values(every_layer: Callable[[], Any]) -> None:
    """Two spellings of one address are one address."""
    ticket = tickets_on(every_layer)
    ticket.add(id=1, email="Ann@Example.org")

    with pytest.raises(UniqueViolation, match="email"):
        ticket.add(id=2, email=" ann@example.org")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (lambda ticket: ticket.address["zap"] == "1", "address.zap: is no field. Did you mean 'zip'?"),
        (lambda ticket: ticket.address["zip"] == 1, "address.zip: must be text"),
        (lambda ticket: ticket.address["fee"] > 1, "address.fee: has no order"),
        (lambda ticket: ticket.address["at"] == Point(1), "address.at: is a list or a mapping"),
        (lambda ticket: ticket.free["a"] == ticket.free["b"], "free.a: has a type that is known only if"),
        (lambda ticket: ticket.places["zip"] == "1", "places.zip: is an item of a list"),
        (lambda ticket: ticket.id["zip"] == "1", "id.zip: is no part of a value"),
        (lambda ticket: ticket.id.contains(1), "id: has no items"),
        (lambda ticket: ticket.email.contains("@"), None),
        (lambda ticket: ticket.id.length() > 1, "id: has no length"),
        (lambda ticket: ticket.price > "much", "price: must be a decimal number"),
        (lambda ticket: ticket.price * ticket.price > 1, None),
        (lambda ticket: ticket.shape["radius"].is_none() & (ticket.shape["tone"] == 1), "shape.tone: is no field"),
    ],
)
def test_a_condition_without_meaning_is_refused(condition: Callable[[Any], Any], message: str | None) -> None:
    """What a condition names in a value must exist and have its type."""
    ticket = tickets_on(Memory)

    if message is None:
        assert ids(ticket, condition(ticket)) == []
        return
    with pytest.raises(InvalidArgument) as caught:
        ids(ticket, condition(ticket))

    assert message in str(caught.value)


@pytest.mark.parametrize("step", ['a"b', "a'b", "a\\b", "a%b", "", -1, True])
def test_a_key_that_databases_escape_differently_is_refused(step: Any) -> None:
    """A path never becomes syntax of a database."""
    ticket = tickets_on(Memory)

    with pytest.raises(InvalidArgument, match="is no part to compare"):
        ticket.free[step]


def test_a_stored_value_that_does_not_fit_is_named_by_its_key(tmp_path: Path) -> None:
    """Invalid names attribute and key, but not the value; the other records can be read."""
    url = f"sqlite:///{tmp_path}/strange.db"
    ticket = tickets_on(lambda: SQL(url, table="strange"))
    ticket.add.bulk([{"id": 1, **FULL}, {"id": 2}, {"id": 3}])
    run_sql(url, """UPDATE strange SET address = '{"zip": 53111}' WHERE id = 1""")
    run_sql(url, """UPDATE strange SET shape = '{"type": "Star"}' WHERE id = 2""")

    for key, name in ((1, "address"), (2, "shape")):
        with pytest.raises(Invalid) as caught:
            get(ticket, key)
        assert (
            str(caught.value) == f"Ticket: {name}: holds a stored value that does not fit its type, in the record with id={key}"
        )
    assert [each.id for each in query(ticket).filter(ticket.id > 2).all()] == [3]
    assert [each.id for each in query(ticket).select(ticket.id).sort(ticket.id).all()] == [1, 2, 3]
