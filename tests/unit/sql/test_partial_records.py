"""A list with a stored value that does not fit its type: the other records are read, and reading the value raises its error."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import enum
import pickle
from typing import Any

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, as_dict, attribute, create, get, query, read, update
from resourcekit.data_layers import SQL
from resourcekit.doctor import doctor
from resourcekit.errors import NotLoaded, UnreadableValue


class State(enum.Enum):
    """The states that there are."""

    OPEN = "open"
    CLOSED = "closed"


@attrs.frozen
class Place:
    """An embedded value."""

    zip: str


@pytest.fixture
def ticket(database: Any) -> Any:
    """Three tickets, of which another program wrote a state and a place that the second cannot have."""
    domain = Domain("partial records")

    class Ticket(Resource, domain=domain, data_layer=SQL(database.url, table="tickets")):
        id: Attr[int] = attribute(primary_key=True, public=True)
        state: Attr[State] = attribute(check=False, public=True)
        place: Attr[Place] = attribute(public=True)
        at: Attr[dt.datetime] = attribute(default=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), public=True)
        add = create(accept=["id", "state", "place"])
        edit = update(accept=["state", "place"])
        shown = read()

    domain.create_storage()
    Ticket.add.bulk([{"id": n, "state": State.OPEN, "place": Place(f"{n}")} for n in (1, 2, 3)])
    database.run("UPDATE tickets SET state = 'swordfish', place = '{\"zip\": 7}' WHERE id = 2")
    return Ticket


def test_a_list_has_the_other_records(ticket: Any) -> None:
    """All, streamed, by a named read, by pages, sync and async: only the value that does not fit raises, with attribute and key."""
    asked = query(ticket).sort("id")
    lists = [
        asked.all(),
        asyncio.run(asked.all.aio()),
        list(asked.stream()),
        asked.page(limit=5).records,
        asyncio.run(ticket.shown.aio()),
    ]
    for records in lists:
        first, second, third = sorted(records, key=lambda record: record.id)
        assert [State.OPEN, State.OPEN] == [first.state, third.state]
        assert [Place("1"), Place("3"), 2, first.at] == [first.place, third.place, second.id, second.at]
        for name in ("state", "place"):
            with pytest.raises(UnreadableValue, match=rf"Ticket: {name}: .* the record with id=2$") as caught:
                getattr(second, name)
            assert "swordfish" not in str(caught.value)
        assert {"id": 2, "at": second.at} == as_dict(second)
        with pytest.raises(UnreadableValue, match="state"):
            _ = copy.copy(second).state
        assert {"state", "place"} == set(pickle.loads(pickle.dumps(vars(second))).unreadable)


def test_the_record_alone_raises(ticket: Any) -> None:
    """A read of one record by its key, by ``one`` and ``first``, raises; that of another record does not."""
    for alone in (
        lambda: get(ticket, 2),
        query(ticket).filter(ticket.id == 2).one,
        query(ticket).filter(ticket.id == 2).first,
        lambda: asyncio.run(get.aio(ticket, 2)),
    ):
        with pytest.raises(UnreadableValue, match="id=2"):
            alone()
    assert State.OPEN is get(ticket, 3).state
    with pytest.raises(NotLoaded):
        _ = query(ticket).select("at").all()[0].state


def test_an_update_mends_the_value(ticket: Any) -> None:
    """An update by key, or of the record itself, writes a value that fits."""
    second = query(ticket).sort("id").all()[1]
    with pytest.raises(UnreadableValue, match="state"):
        ticket.edit(second, place=Place("2"))
    ticket.edit(2, state=State.CLOSED, place=Place("2"))

    assert (State.CLOSED, Place("2")) == (get(ticket, 2).state, get(ticket, 2).place)


def test_a_key_that_does_not_fit_raises(database: Any, ticket: Any) -> None:
    """A record without its key cannot be named; neither can one be put in order by a value that is not there."""
    with pytest.raises(UnreadableValue, match="state"):
        query(ticket).sort("state", "id").page(limit=5)
    domain = Domain("keys")

    class Ticket(Resource, domain=domain, data_layer=SQL(database.url, table="tickets", managed=False)):
        state: Attr[State] = attribute(primary_key=True)

    with pytest.raises(UnreadableValue, match="state"):
        query(Ticket).all()


def test_doctor_counts_such_records(database: Any, ticket: Any) -> None:
    """By attribute, and only if it is asked to read the data."""
    database.run("UPDATE tickets SET state = 'gone' WHERE id = 3")

    found = {finding.path[-1]: finding.what for finding in doctor(ticket, data=True) if finding.id == "RK083"}
    assert "2 records have a stored value of state that does not fit its type" == found["state"]
    assert "1 record has a stored value of place that does not fit its type" == found["place"]
    assert {"state", "place"} == set(found)
    assert not [finding for finding in doctor(ticket) if finding.id == "RK083"]
