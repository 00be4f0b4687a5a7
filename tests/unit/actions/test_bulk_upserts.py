"""Bulk upserts: each row has its own values, in the order of the inputs, on every layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from resourcekit import Attr, Changeset, Domain, Resource, attribute, create, query, utc_now
from resourcekit.extending import Field


@pytest.fixture
def counter(layer: Callable[[], Any]) -> Any:
    """A resource whose upserts compute."""
    return counting(layer)


def counting(layer: Callable[[], Any], make_version: Callable[[], int] | None = None) -> Any:
    """Declare a resource whose upserts compute, with what makes a version at each update."""
    domain = Domain("counters")

    class Counter(Resource, domain=domain, data_layer=layer()):
        key: Attr[str] = attribute(primary_key=True)
        number: Attr[int] = attribute(default=0)
        text: Attr[str | None] = attribute(default=None)
        version: Attr[int] = attribute(default=0, update_default_factory=make_version)
        changed_at: Attr[datetime | None] = attribute(default=None, update_default_factory=utc_now)

        plain = create(accept=["key"], upsert=True)
        put = create(accept=["key", "number", "text"], upsert=True)

        @create(accept=["key"], upsert=True)
        def add(changeset: Changeset, by: int) -> Changeset:  # noqa: N805  # an action, and no method
            return changeset.set_atomic(number=Field("number") + by)

    domain.create_storage()
    Counter.domain_of_test = domain
    return Counter


def test_each_row_of_a_bulk_upsert_is_computed_from_its_own_values(counter: Any) -> None:
    """Rows whose expressions are alike and whose values differ share no parameters; those that share them, share a statement."""
    counter.plain.bulk([{"key": key} for key in "abcd"])
    result = counter.add.bulk([{"key": "a", "by": 5}, {"key": "b", "by": 70}, {"key": "c", "by": 5}, {"key": "d", "by": 70}])

    assert (4, ()) == (result.count, result.failures)
    assert {"a": 5, "b": 70, "c": 5, "d": 70} == {each.key: each.number for each in query(counter).all()}
    assert ["a", "b", "c", "d"] == [record.key for record in result.records]


def test_what_is_written_twice_is_written_in_order(counter: Any) -> None:
    """As it would be one by one, also where other attributes came in between."""
    rows = [{"key": "a", "number": 1}, {"key": "a", "number": 2, "text": "x"}, {"key": "b"}, {"key": "a", "number": 3}]
    result = counter.put.bulk(rows)
    found = {each.key: (each.number, each.text) for each in query(counter).all()}

    assert {"a": (3, "x"), "b": (0, None)} == found
    assert (3, "x") == (result.records[-1].number, result.records[-1].text)


def test_each_row_is_touched_on_its_own(layer: Callable[[], Any]) -> None:
    """What a factory of the user's makes at each update is made for each row; a moment is the same for a batch."""
    counter = counting(layer, itertools.count(1).__next__)
    counter.put.bulk([{"key": key} for key in "ab"])
    counter.put.bulk([{"key": key, "number": 1} for key in "ab"])
    one, two = query(counter).sort("key").all()

    assert one.version != two.version
    assert one.changed_at == two.changed_at
