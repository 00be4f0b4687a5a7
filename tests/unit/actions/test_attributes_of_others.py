"""An attribute of another resource is refused wherever a query takes attributes, and not taken for one of the same name."""

from __future__ import annotations

from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, count, query
from resourcekit.data_layers import Memory
from resourcekit.errors import InvalidArgument


@pytest.fixture
def pair() -> Any:
    """Return two resources with attributes of the same names, and a resource that inherits those of the first."""
    domain = Domain("attributes of others")

    class Base(Resource, abstract=True):
        state: Attr[str] = attribute(default="x")

    class One(Base, domain=domain, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        size: Attr[int] = attribute(default=1)

    class Other(Base, domain=domain, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        size: Attr[int] = attribute(default=1)

    return One, Other, Base


def test_an_attribute_of_another_resource_is_refused(pair: Any) -> None:
    """The error names both resources and what to write."""
    one, other, _ = pair
    asked = query(one)
    for wrong in (
        lambda: asked.select(other.size),
        lambda: asked.distinct(one.size, other.size),
        lambda: asked.group_by(other.size),
        lambda: asked.group_by(one.size).values(n=other.size.sum()),
        lambda: asked.sum(other.size),
        lambda: asked.min(other.size),
        lambda: asked.sort(other.size).all(),
        lambda: asked.filter(other.size == 1).all(),
    ):
        with pytest.raises(
            InvalidArgument, match=r"size: is an attribute of Other, and here are records of One; write One\.size"
        ):
            wrong()


def test_own_and_inherited_attributes_and_names_are_taken(pair: Any) -> None:
    """What a resource inherits is its own."""
    one, _, base = pair

    assert [] == query(one).select(one.size, "state").distinct(base.state, "size").all()
    assert [] == query(one).group_by(base.state, one.size).values(n=count(), all=one.size.sum()).all()
    assert query(one).sum("size") is None
