"""Stored values that do not fit the type of their attribute: one error of resourcekit, on every layer, without the value."""

from __future__ import annotations

import asyncio
import enum
import traceback
from datetime import date, time
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.data_layers.redis.codec import RowCodec
from resourcekit.data_layers.redis.unread import require_read
from resourcekit.data_layers.rows.json_rows import JSONRows
from resourcekit.errors import UnreadableValue


class Before(enum.Enum):
    SWORDFISH = "swordfish"
    OPEN = "open"


class After(enum.Enum):
    NEW = "new"
    OPEN = "open"


def declared(layer, kind, *, is_secret=True):
    """Return a resource whose one attribute has this type, its storage made."""
    domain = Domain("kinds")

    class Ticket(Resource, domain=domain, data_layer=layer):
        name: Attr[str] = attribute(primary_key=True, sensitive=is_secret)
        state: Attr[kind | None] = attribute(default=None, sensitive=True, scale=2 if kind is Decimal else None)
        add = create(accept=["name", "state"])

    domain.create_storage()
    return Ticket


def shown(error):
    """Return everything that a traceback shows of an error."""
    return "".join(traceback.format_exception(error)) + repr(error.__context__) + repr(error.__cause__)


CHANGES = [
    (Before, Before.SWORDFISH, After),
    (Literal["swordfish", "open"], "swordfish", Literal["new", "open"]),
    (list[Before], [Before.SWORDFISH], list[After]),
    (dict[str, Before], {"a": Before.SWORDFISH}, dict[str, After]),
    (str, "swordfish", date),
    (str, "swordfish", time),
    (str, "swordfish", Decimal),
    (str, "swordfish", dict[str, Any]),
    (str, "swordfish", UUID),
]


@pytest.mark.parametrize(("before", "value", "after"), CHANGES, ids=[str(each[2]) for each in CHANGES])
def test_a_value_of_another_type_is_an_error_that_names_its_place(database, before, value, after):
    """Resource and attribute are named; neither the value nor a sensitive key is shown, sync, async and in streams."""
    declared(SQL(database.url, table="tickets"), before).add(name="marlin", state=value)
    ticket = declared(SQL(database.url, table="tickets"), after)

    reads = [
        lambda: query(ticket).all()[0].state,
        lambda: asyncio.run(query(ticket).all.aio())[0].state,
        lambda: next(iter(query(ticket).stream())).state,
        query(ticket).one,
    ]
    for read in reads:
        with pytest.raises(UnreadableValue, match=r"Ticket: state: holds a stored value that does not fit its type$") as caught:
            read()

        assert "swordfish" not in shown(caught.value).lower()
        assert "marlin" not in shown(caught.value)


def test_the_record_with_such_a_value_is_named_by_its_key(database):
    """A key that is not sensitive is in the error, also in a list whose other records are right."""
    before = declared(SQL(database.url, table="tickets"), str, is_secret=False)
    before.add.bulk([{"name": "bass", "state": "open"}, {"name": "marlin", "state": "swordfish"}])
    ticket = declared(SQL(database.url, table="tickets"), Literal["open"], is_secret=False)

    with pytest.raises(UnreadableValue) as caught:
        _ = query(ticket).sort("name").all()[1].state

    assert "Ticket: state: holds a stored value that does not fit its type, in the record with name=marlin" == str(caught.value)


def test_a_figure_over_such_a_value_names_the_attribute(database):
    """A sum reads what is stored, and the error names the attribute and not the column of the sum."""
    declared(SQL(database.url, table="tickets"), str).add(name="marlin", state="swordfish")
    ticket = declared(SQL(database.url, table="tickets"), Decimal)

    with pytest.raises(UnreadableValue, match=r"Ticket: state: holds a stored value that does not fit its type$"):
        query(ticket).sum(ticket.state)


def test_a_condition_over_such_a_value_is_no_failure_of_the_database(tmp_path):
    """SQLite computes with decimals in functions of resourcekit; the error says what is wrong, and that doctor finds it."""
    url = f"sqlite:///{tmp_path / 'tickets.db'}"
    declared(SQL(url, table="tickets"), str).add(name="marlin", state="swordfish")
    ticket = declared(SQL(url, table="tickets"), Decimal)

    with pytest.raises(UnreadableValue, match="does not fit its type; resourcekit doctor --data finds it") as caught:
        query(ticket).filter(ticket.state > Decimal(1)).count()

    assert "swordfish" not in shown(caught.value)


@pytest.mark.parametrize(("before", "value", "after"), CHANGES, ids=[str(each[2]) for each in CHANGES])
def test_codecs_of_the_other_layers_say_the_same(before, value, after):
    """What Redis and layers of JSON rows keep is read by their own codecs, which name the attribute and hide the value, too."""
    one, other = declared(Memory(), before).__info__, declared(Memory(), after).__info__
    row = {"name": "marlin", "state": value}
    words = RowCodec(one).encode(row)
    codec, kept = RowCodec(other), dict(zip(words[::2], words[1::2], strict=True))
    for read in (lambda: codec.decode(kept), lambda: require_read([codec.decode_some(("state",), [kept[b"state"]])])):
        with pytest.raises(UnreadableValue, match="state: holds a stored value that does not fit its type") as caught:
            read()

        assert "swordfish" not in shown(caught.value).lower()


def test_json_rows_hide_a_value_of_another_type():
    """The codec of layers that keep rows as JSON names the attribute."""
    one, other = declared(Memory(), str).__info__, declared(Memory(), date).__info__
    text = JSONRows(one).encode({"name": "marlin", "state": "swordfish"})
    with pytest.raises(ValueError, match="holds a value of state") as caught:
        JSONRows(other).decode(text)

    assert "swordfish" not in shown(caught.value)
