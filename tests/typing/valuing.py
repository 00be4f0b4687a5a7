"""Types that users have, as type checkers see them: right uses, and wrong ones that are flagged."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, NewType, assert_type

import attrs

from resourcekit import Attr, Domain, Limits, Resource, attribute, get, query, value_type
from resourcekit.data_layers import Memory
from resourcekit.expressions.nodes import Expression


@attrs.frozen
class Address:
    """A class with fields."""

    zip: str


@attrs.frozen
class Circle:
    """One of two."""

    radius: float


@attrs.frozen
class Square:
    """The other one."""

    side: float


class Money:
    """A class that says nothing of its values."""

    amount = Decimal(0)


value_type("Money", Money, stored=Decimal, dump=lambda money: money.amount, load=lambda amount: Money())
Email = Annotated[str, value_type("Email", str, cast=str.lower)]
Handle = NewType("Handle", str)
value_type("Handle", Handle)


class Ticket(Resource, domain=Domain("own types"), data_layer=Memory()):
    """A record with all of them."""

    id: Attr[int] = attribute(primary_key=True)
    address: Attr[Address | None] = attribute(default=None)
    shape: Attr[Circle | Square | None] = attribute(default=None)
    email: Attr[Email] = attribute(case="fold")
    handle: Attr[Handle] = attribute()
    price: Attr[Money] = attribute()
    scores: Attr[list[Annotated[int, Limits(minimum=0)]]] = attribute(default_factory=list[int])


class Line(Resource, domain=Domain("filled"), data_layer=Memory()):
    """A record of which the database fills a part."""

    id: Attr[int] = attribute(primary_key=True, generated=True)
    price: Attr[int] = attribute()
    state: Attr[str] = attribute(database_default="new")
    total: Attr[int] = attribute(computed=price * 2)


def filled_values_are_not_given() -> None:
    """The constructor takes none of them, and the record has their types."""
    line = Line(price=3)
    assert_type(line.id, int)
    assert_type(line.state, str)
    assert_type(Line.total > 3, Expression)
    Line(price=3, id=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Line()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def values_have_their_types() -> None:
    """A record has the values, a class the fields; a filter takes values of the type, or parts."""
    ticket = get(Ticket, 1)
    assert_type(ticket.address, Address | None)
    assert_type(ticket.shape, Circle | Square | None)
    assert_type(ticket.email, str)
    assert_type(ticket.handle, Handle)
    assert_type(ticket.price, Money)
    assert_type(ticket.scores, list[int])
    assert_type(Ticket.address == Address("1"), Expression)
    assert_type(Ticket.scores.overlaps([1, 2]), Expression)
    assert_type(Ticket.scores.length() > 1, Expression)
    query(Ticket).filter(Ticket.address["zip"].like("5%"), Ticket.price + Money() == Money(), Ticket.scores.contains(1)).all()


def wrong_uses_are_flagged() -> None:
    """A step that no value has, and an option that does not exist."""
    Ticket.address[1.5]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    attribute(case="title")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
