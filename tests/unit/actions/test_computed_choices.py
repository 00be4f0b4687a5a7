"""Members of an enum that a statement chooses, and values that are known before the statement runs."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Resource,
    attribute,
    case,
    compare,
    create,
    existing,
    get,
    increment,
    query,
    set_attribute,
    update,
)
from resourcekit.errors import Invalid
from resourcekit.extending import Field, Upsert


class Shade(enum.Enum):
    """An enum whose values are not its names."""

    DARK = "d"
    LIGHT = "l"


@pytest.fixture
def lamp(every_layer: Callable[[], Any]) -> Any:
    """A resource whose actions choose a member, with a notifier, so that statements compare what they write."""
    domain = Domain("lamps")

    class Lamp(Resource, domain=domain, data_layer=every_layer(), notifiers=[lambda _: None]):
        id: Attr[int] = attribute(primary_key=True)
        watts: Attr[int] = attribute(default=0, maximum=9)
        shade: Attr[Shade] = attribute(default=Shade.DARK)

        make = create(accept=["id", "watts"])
        put = create(accept=["id"], upsert=Upsert(set={"shade": case(existing("watts") > 3, Shade.LIGHT, Shade.DARK)}))
        choose = update(changes=[set_attribute("shade", case(Field("watts") > 3, Shade.LIGHT, Shade.DARK))])
        add = update(accept=["watts"], changes=[increment("watts", 2)], validations=[compare("watts", "<", 6)])

    domain.create_storage()
    return Lamp


def test_a_statement_chooses_a_member(lamp: Any) -> None:
    """Alone, for many, and in an upsert."""
    lamp.make.bulk([{"id": 1, "watts": 5}, {"id": 2, "watts": 1}])

    assert Shade.LIGHT is lamp.choose(1).shade
    assert Shade.DARK is lamp.choose(2).shade
    assert 2 == lamp.choose.bulk(query(lamp)).count
    assert Shade.LIGHT is lamp.put(id=1).shade
    assert [1] == [each.id for each in query(lamp).filter(lamp.shade == Shade.LIGHT).all()]


def test_what_is_known_before_is_checked_before(lamp: Any) -> None:
    """A sum over a given value needs no record, so its message is that of the validation, and one statement may write many."""
    lamp.make(id=1)

    with pytest.raises(Invalid, match="watts: must be < 6"):
        lamp.add(1, watts=4)
    with pytest.raises(Invalid, match="watts: must be < 6"):
        lamp.add.bulk(query(lamp), watts=4)
    assert 1 == lamp.add.bulk(query(lamp), watts=3).count
    assert 5 == get(lamp, 1).watts
