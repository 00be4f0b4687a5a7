"""Values that cannot be stored: each call names the attribute, on every layer, and never raises the error of a driver."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get, identity, query, update
from resourcekit.data_layers import SQL
from resourcekit.errors import Invalid, InvalidArgument
from tests.support.databases import KINDS, scratch


class State(enum.Enum):
    """The states that there are."""

    OPEN = "open"


class Former(enum.Enum):
    """The states that there were."""

    GONE = "gone"


class Later(enum.Enum):
    """The states that there will be."""

    OPEN = "open"
    NEW = "new"


BAD: list[tuple[str, Any]] = [
    ("name", "a\0b"),
    ("name", "\ud800"),
    ("text", "a\0"),
    ("facts", {"a": "\0"}),
    ("facts", {"\0": 1}),
    ("tags", ["\0"]),
    ("tags", ["\udc00"]),
    ("number", 2**63),
    ("number", 10**30),
    ("ratio", float("inf")),
    ("ratio", 10**400),
    ("price", Decimal("NaN")),
    ("price", Decimal("1E-2000")),
    ("state", Former.GONE),
    ("state", "gone"),
    ("choice", "gone"),
    ("at", datetime(2020, 1, 1)),  # noqa: DTZ001  # naive on purpose
    ("at", "9999-12-31T23:59:59-05:00"),
    ("lasts", timedelta.max),
    ("lasts", "1e300"),
    ("prices", [Decimal("NaN")]),
]


def _declared(layer: Any) -> Any:
    domain = Domain("bad input")

    class Ticket(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(public=True, default=None, max_length=20)
        text: Attr[str | None] = attribute(public=True, default=None)
        number: Attr[int | None] = attribute(public=True, default=None)
        ratio: Attr[float | None] = attribute(public=True, default=None)
        price: Attr[Decimal | None] = attribute(public=True, default=None, scale=2)
        state: Attr[State | None] = attribute(public=True, default=None)
        choice: Attr[Literal["x", "y"] | None] = attribute(public=True, default=None)
        at: Attr[datetime | None] = attribute(public=True, default=None)
        lasts: Attr[timedelta | None] = attribute(public=True, default=None)
        facts: Attr[dict[str, Any] | None] = attribute(public=True, default=None)
        tags: Attr[list[str] | None] = attribute(public=True, default=None)
        prices: Attr[list[Decimal] | None] = attribute(public=True, default=None)
        by_name = identity("name")
        names = sorted({field for field, _ in BAD})
        add = create(accept=["id", *names])
        put = create(accept=["id", *names], upsert=True)
        edit = update(accept=names)

    domain.create_storage()
    Ticket.add(id=1)
    return Ticket


def _asked(ticket: Any, field: str, value: Any) -> Iterator[Callable[[], Any]]:
    """Yield the calls that must be refused: writes, and conditions over the attribute."""
    attr, given = getattr(ticket, field), {field: value}
    yield lambda: ticket.add(id=2, **given)
    yield lambda: asyncio.run(ticket.add.aio(id=2, **given))
    yield lambda: ticket.edit(1, **given)
    yield lambda: ticket.put(id=1, **given)
    yield lambda: asyncio.run(ticket.put.aio(id=1, **given))
    yield lambda: ticket.edit.bulk(query(ticket), **given)
    for condition in _conditions(attr, value):
        yield lambda condition=condition: query(ticket).filter(condition).all()
    yield lambda: asyncio.run(query(ticket).filter(attr == value).all.aio())
    yield lambda: query(ticket).filter_input(given).all()


def _conditions(attr: Any, value: Any) -> Iterator[Any]:
    yield attr == value
    yield attr.in_([value])
    if isinstance(value, list):
        yield attr.contains(value[0])


_MAY_BE_ASKED = {"price": Decimal("1E-2000")}
"""Values that cannot be stored, and which a condition may have: no stored value equals them."""


def test_each_call_names_the_attribute(every_layer: Callable[[], Any]) -> None:
    """Create, update, upsert, bulk and filters, sync and async; nothing is written."""
    ticket = _declared(every_layer())
    for field, value in BAD:
        for number, call in enumerate(_asked(ticket, field, value)):
            if number > 5 and _MAY_BE_ASKED.get(field) == value:
                assert [] == call()
                continue
            with pytest.raises((Invalid, InvalidArgument), match=field):
                call()
        for action, rows in ((ticket.add, [{"id": 2, field: value}]), (ticket.put, [{"id": 1, field: value}])):
            result = action.bulk(rows)
            assert [(0, Invalid)] == [(each.index, type(each.error)) for each in result.failures]
            assert field in str(result.failures[0].error)
    assert [(1, *[None] * len(ticket.names))] == [
        (each.id, *(getattr(each, name) for name in ticket.names)) for each in query(ticket).all()
    ]


def test_a_key_out_of_range_is_named(every_layer: Callable[[], Any]) -> None:
    """In a create, in a get, and in a condition."""
    ticket = _declared(every_layer())
    for call in (lambda: ticket.add(id=2**63), lambda: get(ticket, 2**63), query(ticket).filter(ticket.id == 2**63).all):
        with pytest.raises(Invalid, match="id"):
            call()


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_that_refuses_is_named(kind: str, tmp_path: Path) -> None:
    """A member that was declared after the table was made: the attribute, the check, and what to do; other rows are written."""
    with scratch(kind, tmp_path) as database:
        _with_state(database.url, State).add(id=1, state=State.OPEN)
        ticket = _with_state(database.url, Later)
        refused = r"state: violates the check ck_tickets_state of the table; if the value is right, migrate the table"
        for call in (
            lambda: ticket.add(id=2, state=Later.NEW),
            lambda: asyncio.run(ticket.add.aio(id=2, state=Later.NEW)),
            lambda: ticket.edit(1, state=Later.NEW),
            lambda: ticket.put(id=1, state=Later.NEW),
            lambda: ticket.edit.bulk(query(ticket), state=Later.NEW),
        ):
            with pytest.raises(Invalid, match=refused):
                call()
        result = ticket.add.bulk([{"id": 2, "state": Later.NEW}, {"id": 3, "state": Later.OPEN}])
        assert [(0, "state")] == [(each.index, each.error.findings[0].path) for each in result.failures]
        assert [1, 3] == [each.id for each in query(ticket).sort("id").all()]


def _with_state(url: str, kind: Any) -> Any:
    domain = Domain("checks")

    class Ticket(Resource, domain=domain, data_layer=SQL(url, table="tickets")):
        id: Attr[int] = attribute(primary_key=True)
        state: Attr[kind] = attribute(column="state")
        add = create(accept=["id", "state"])
        put = create(accept=["id", "state"], upsert=True)
        edit = update(accept=["state"])

    if kind is State:
        domain.create_storage()
    return Ticket
