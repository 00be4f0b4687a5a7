"""Numbers that a write returns: they are the stored ones, whatever the first column of the table is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resourcekit import Attr, Domain, Resource, attribute, create, update


def test_whole_numbers_beside_a_float_in_front(any_layer: Callable[[], Any]) -> None:
    """SQLite alone would return all whole numbers as floats, rounded, from a table whose first column is a float."""
    domain, most = Domain("returned numbers"), 2**62 + 1

    class Reading(Resource, domain=domain, data_layer=any_layer()):
        """A reading of a meter."""

        value: Attr[float] = attribute()
        serial: Attr[int] = attribute(default=most)
        id: Attr[int] = attribute(primary_key=True, generated=True)
        enter = create(accept=["value", "serial"])
        edit = update(accept=["value"])

    class Last(Resource, domain=domain, data_layer=any_layer()):
        """The last reading."""

        value: Attr[float] = attribute()
        serial: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=most)
        put = create(accept=["value", "serial"], upsert=True)

    domain.create_storage()
    made = Reading.enter(value=2.0)
    Last.put(value=1.0, serial=most)
    written = [made, Reading.edit(made, value=3.0), *Last.put.bulk([{"value": 2.0, "serial": most}]).records]

    shown = [repr((each.value, each.serial, *((each.id,) if isinstance(each, Reading) else (each.count,)))) for each in written]
    assert [repr((2.0, most, 1)), repr((3.0, most, 1)), repr((2.0, most, most))] == shown
