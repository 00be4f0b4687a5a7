"""A list on Redis with a stored value that does not fit its type: the other records are read, and reading the value raises its error."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import secrets
from decimal import Decimal
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, get, identity, index, query, read, transaction, update
from resourcekit.data_layers import Redis
from resourcekit.doctor import doctor
from resourcekit.errors import UniqueViolation, UnreadableValue
from tests.support.own_types import Point
from tests.support.valkey import Valkey


class State(enum.Enum):
    """The states that there are."""

    OPEN = "open"
    CLOSED = "closed"


@pytest.fixture
def tag() -> str:
    """The tag of the test."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def ticket(valkey_server: Valkey, tag: str) -> Any:
    """Three tickets, of which another program wrote values that the second cannot have."""
    domain = Domain("partial records on Redis")

    class Ticket(Resource, domain=domain, data_layer=Redis(valkey_server.url, tag=tag)):
        id: Attr[int] = attribute(primary_key=True)
        state: Attr[State] = attribute()
        at: Attr[dt.datetime | None] = attribute(default=None)
        price: Attr[Decimal | None] = attribute(default=None)
        place: Attr[Point] = attribute()
        name: Attr[str] = attribute()
        by_price = identity("price")
        by_state = index("state")
        add = create(accept=["id", "state", "price", "place", "name"])
        put = create(accept=["id", "state", "price", "place", "name"], upsert=True)
        edit = update(accept=["state", "price", "place", "name", "at"])
        remove = destroy()
        shown = read()

    domain.create_storage()
    Ticket.add.bulk([{"id": n, "state": State.OPEN, "place": Point(n), "price": Decimal(n), "name": f"n{n}"} for n in (1, 2, 3)])
    overwrite(valkey_server, tag, 2, state="swordfish", place='{"x": "one"}', price="much")
    return Ticket


def record_of(server: Valkey, tag: str, key: int) -> bytes:
    """Return the name of a record's hash."""
    (name,) = [
        name for name in server.client().scan_iter(f"{{{tag}}}*=*", count=1000) if name.endswith(f"{key + 2**63:020}".encode())
    ]
    return name


def overwrite(server: Valkey, tag: str, key: int, **values: str) -> None:
    """Write values past all that is tested."""
    server.client().hset(record_of(server, tag, key), mapping=values)


WRONG = ("state", "place", "price")


def test_a_list_has_the_other_records(ticket: Any) -> None:
    """All, streamed, by a named read, by pages and conditions, sync and async: only the values that do not fit raise."""
    asked = query(ticket).sort("id")
    lists = [
        asked.all(),
        asyncio.run(asked.all.aio()),
        list(asked.stream()),
        list(query(ticket).stream()),
        asked.page(limit=5).records,
        asyncio.run(ticket.shown.aio()),
        asked.filter(ticket.name != "x").all(),
        asked.filter(ticket.id.in_([1, 2, 3])).all(),
    ]
    for records in lists:
        first, second, third = sorted(records, key=lambda record: record.id)
        assert [State.OPEN, State.OPEN] == [first.state, third.state]
        assert [Point(1), Point(3), 2, "n2"] == [first.place, third.place, second.id, second.name]
        for name in WRONG:
            with pytest.raises(UnreadableValue, match=rf"Ticket: {name}: .* the record with id=2$") as caught:
                getattr(second, name)
            assert "swordfish" not in str(caught.value)
    ticket.edit.bulk(query(ticket).filter(ticket.id == 2), at=None)
    (alone,) = query(ticket).filter(ticket.id == 2).all()
    assert "n2" == alone.name
    with transaction(ticket):
        assert [1, 2, 3] == [each.id for each in asked.all()]


def test_conditions_are_those_of_a_value_that_equals_no_other(ticket: Any) -> None:
    """As in a database, the stored value equals none that there are. It has no place in an order."""
    found = lambda condition: sorted(each.id for each in query(ticket).filter(condition).all())  # noqa: E731
    assert [1, 3] == found(ticket.state == State.OPEN)
    assert [2] == found(ticket.state != State.OPEN)
    assert [1, 3] == found(ticket.state.in_(list(State)))
    assert [] == found(ticket.state.is_none())
    assert [1, 3] == found(ticket.price.in_([Decimal(1), Decimal(2), Decimal(3)]))
    assert 3 == query(ticket).count()
    assert 2 == query(ticket).filter(ticket.state == State.OPEN).count()
    for asked in (
        query(ticket).sort("price").all,
        query(ticket).filter(ticket.price > 0).all,
        lambda: query(ticket).sum(ticket.price),
        lambda: query(ticket).max(ticket.price),
        query(ticket).filter(ticket.price + 1 > 0).all,
        query(ticket).group_by(ticket.state).values(n=ticket.id.sum()).all,
    ):
        with pytest.raises(UnreadableValue, match="id=2"):
            asked()


def test_json_of_another_shape(valkey_server: Valkey, tag: str) -> None:
    """A list of other items is named by attribute and key; ``null`` is None where the type allows it, in conditions, too."""
    domain = Domain("JSON on Redis")

    class Ticket(Resource, domain=domain, data_layer=Redis(valkey_server.url, tag=tag)):
        id: Attr[int] = attribute(primary_key=True)
        tags: Attr[list[str]] = attribute()
        noted: Attr[list[str] | None] = attribute(default=None)
        flag: Attr[bool] = attribute(default=True)
        add = create(accept=["id", "tags", "noted"])

    domain.create_storage()
    Ticket.add.bulk([{"id": n, "tags": ["a"], "noted": ["b"]} for n in (1, 2, 3)])
    overwrite(valkey_server, tag, 2, tags="[1]", noted="null")
    overwrite(valkey_server, tag, 3, tags="null", flag="yes")
    first, second, third = query(Ticket).sort("id").all()

    assert (["a"], ["b"], None, ["b"]) == (first.tags, first.noted, second.noted, third.noted)
    for record in (second, third):
        with pytest.raises(UnreadableValue, match=rf"Ticket: tags: .* id={record.id}$"):
            _ = record.tags
    with pytest.raises(UnreadableValue, match=r"Ticket: flag: .* id=3$"):
        _ = third.flag
    assert [2] == [each.id for each in query(Ticket).filter(Ticket.noted.is_none()).all()]
    assert [] == query(Ticket).filter(Ticket.tags.is_none()).all()
    assert {"tags", "flag"} == {each.path[-1] for each in doctor(Ticket, data=True) if each.id == "RK083"}


def test_several_such_records(ticket: Any, valkey_server: Valkey, tag: str) -> None:
    """Each has its own error."""
    overwrite(valkey_server, tag, 3, state="gone")
    for number, record in enumerate(query(ticket).sort("id").all()[1:], 2):
        with pytest.raises(UnreadableValue, match=f"id={number}$"):
            _ = record.state


def test_the_record_alone_raises(ticket: Any) -> None:
    """A read of one record by its key, by ``one`` and ``first``, raises; that of another record does not."""
    alone = [
        lambda: get(ticket, 2),
        query(ticket).filter(ticket.id == 2).one,
        query(ticket).filter(ticket.id == 2).first,
        lambda: asyncio.run(get.aio(ticket, 2)),
    ]
    for each in alone:
        with pytest.raises(UnreadableValue, match="id=2"):
            each()
    assert State.OPEN is get(ticket, 3).state


def test_writes(ticket: Any, valkey_server: Valkey, tag: str) -> None:
    """An update that returns the record raises and writes nothing, one of all of it mends it; a bulk update keeps the stored value."""
    with pytest.raises(UnreadableValue, match="id=2"):
        ticket.edit(2, name="x")
    with pytest.raises(UniqueViolation):
        ticket.add(id=4, state=State.OPEN, price=Decimal(3), place=Point(4), name="x")
    assert 3 == ticket.edit.bulk(query(ticket), name="new", at=None).count
    kept = valkey_server.client().hgetall(record_of(valkey_server, tag, 2))
    assert (b"swordfish", b"much", b"new") == (kept[b"state"], kept[b"price"], kept[b"name"])
    ticket.edit(2, state=State.CLOSED, place=Point(9), price=Decimal(7))
    assert (State.CLOSED, Point(9), Decimal(7)) == ((mended := get(ticket, 2)).state, mended.place, mended.price)
    overwrite(valkey_server, tag, 2, state="swordfish")
    assert State.OPEN is ticket.put(id=2, state=State.OPEN, place=Point(2), price=Decimal(2), name="y").state
    overwrite(valkey_server, tag, 2, state="swordfish")
    assert 3 == ticket.remove.bulk(query(ticket)).count


def test_a_sweep_removes_such_records(ticket: Any) -> None:
    """By a condition that the server cannot evaluate, and over a value that does not concern it."""
    ticket.edit.bulk(query(ticket).filter(ticket.id == 2), name="old")
    assert 1 == ticket.remove.bulk(query(ticket).filter(ticket.name == "old")).count
    assert [1, 3] == [each.id for each in query(ticket).sort("id").all()]


def test_doctor_counts_such_records(ticket: Any, valkey_server: Valkey, tag: str) -> None:
    """By attribute, all of them."""
    overwrite(valkey_server, tag, 3, state="gone")
    found = {finding.path[-1]: finding.what for finding in doctor(ticket, data=True) if finding.id == "RK083"}
    assert "2 records have a stored value of state that does not fit its type" == found["state"]
    assert "1 record has a stored value of place that does not fit its type" == found["place"]
    assert set(WRONG) == set(found)


def test_an_index_that_is_filled_again_holds_such_records(ticket: Any, valkey_server: Valkey, tag: str) -> None:
    """Storage is created, although a record has a value that cannot be read."""
    client = valkey_server.client()
    client.delete(*client.scan_iter(f"{{{tag}}}*!by:*", count=1000))
    ticket.__info__.options["domain"].create_storage()
    assert [1, 3] == sorted(each.id for each in query(ticket).filter(ticket.state == State.OPEN).all())
