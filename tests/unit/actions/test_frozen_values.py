"""Lists and dicts of records: read only, and otherwise as plain ones."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, as_dict, attribute, create, get, query, set_attribute, update

TAGS, FACTS = ["a", "b"], {"deep": [{"x": [1]}], "n": 1}


@pytest.fixture
def entry(every_layer: Callable[[], Any]) -> Any:
    """A resource with a list, a dict and any JSON value."""
    domain = Domain("entries")

    class Entry(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        tags: Attr[list[str]] = attribute(default_factory=list, public=True)
        facts: Attr[dict[str, Any]] = attribute(default_factory=dict, public=True)
        any: Attr[Any] = attribute(default=None, public=True)
        make = create(accept=["id", "tags", "facts", "any"])
        edit = update(accept=["tags", "facts"])
        close = update(changes=[set_attribute("any", "closed")])

    domain.create_storage()
    return Entry


@attrs.frozen
class Basket:
    """A class with a list, and with a list that is a default."""

    items: list[str]
    notes: list[str] = attrs.field(factory=list)
    prices: dict[str, int] = attrs.field(factory=dict)


def test_lists_inside_embedded_values_cannot_be_changed(every_layer: Callable[[], Any]) -> None:
    """Given as an instance or as a mapping, made, read and unsaved; those of defaults too. They are written again as they are."""
    domain = Domain("baskets")

    class Order(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        basket: Attr[Basket] = attribute(public=True)
        make = create(accept=["id", "basket"])
        edit = update(accept=["basket"])

    domain.create_storage()
    given = Basket(["a"], prices={"a": 1})
    made = Order.make(id=1, basket=given)
    Order.make(id=2, basket={"items": ["a"], "prices": {"a": 1}})
    records = [made, get(Order, 1), get(Order, 2), Order.edit(1, basket=made.basket), Order(id=3, basket=given)]

    for record in records:
        for change in (
            lambda record=record: record.basket.items.append("b"),
            lambda record=record: record.basket.notes.append("b"),
            lambda record=record: record.basket.prices.update(b=2),
        ):
            with pytest.raises(TypeError, match="of a record does not change"):
                change()
        assert given == record.basket
        assert {"items": ["a"], "notes": [], "prices": {"a": 1}} == as_dict(record)["basket"]
    given.items.append("b")


def _records(entry: Any) -> list[Any]:
    made = entry.make(id=1, tags=list(TAGS), facts=copy.deepcopy(FACTS), any=[1])
    return [made, get(entry, 1), query(entry).one(), entry.edit(1, tags=TAGS), entry(id=2, tags=TAGS, facts=FACTS, any=[1])]


def test_what_a_record_holds_cannot_be_changed_in_place(entry: Any) -> None:
    """Made, read, updated and unsaved: each mutator raises, also deep inside."""
    for record in _records(entry):
        inner = record.facts["deep"][0]
        for change in (
            lambda record=record: record.tags.append("c"),
            lambda record=record: record.tags.sort(),
            lambda record=record: record.tags.__setitem__(0, "c"),
            lambda record=record: record.any.extend([2]),
            lambda record=record: record.facts.update(n=2),
            lambda record=record: record.facts.pop("n"),
            lambda inner=inner: inner["x"].append(2),
            lambda inner=inner: inner.__setitem__("y", 1),
        ):
            with pytest.raises(
                TypeError, match="of a record does not change; make a new one, and write it with an update action"
            ):
                change()
        assert (TAGS, FACTS, [1]) == (record.tags, record.facts, record.any)


def test_otherwise_they_are_plain_lists_and_dicts(entry: Any) -> None:
    """Equal to plain ones, JSON, pickled, copied; ``as_dict`` and ``.copy()`` give plain ones, which can be written again."""
    for record in _records(entry):
        assert json.loads(json.dumps([record.tags, record.facts])) == [TAGS, FACTS]
        assert repr([TAGS, dict(record.facts)]) == repr([record.tags, record.facts])
        for same in (copy.deepcopy(record.facts), copy.copy(record.facts), pickle.loads(pickle.dumps(record.facts))):
            assert FACTS == same
        plain = as_dict(record)
        plain["facts"]["deep"][0]["x"].append(2)
        assert [list, dict, list] == [type(plain["tags"]), type(plain["facts"]), type(record.tags.copy())]
        assert FACTS == record.facts
    found = get(entry, 1)
    assert ["a", "b", "c"] == entry.edit(found, tags=[*found.tags, "c"], facts=found.facts).tags


def test_an_atomic_bulk_update_returns_records_if_asked(entry: Any) -> None:
    """One statement for all of them, with the records as they are afterwards."""
    entry.make.bulk([{"id": number} for number in (1, 2)])
    plain = entry.close.bulk(query(entry))
    result = entry.close.bulk(query(entry), return_records=True)

    assert ((), 2, {1: "closed", 2: "closed"}) == (plain.records, result.count, {each.id: each.any for each in result.records})
