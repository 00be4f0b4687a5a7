"""Loads compared with plain Python over all records: random data, conditions, orders, limits and missing values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resourcekit import Attr, Domain, Many, One, Resource, attribute, belongs_to, create, destroy, has_many, many_to_many, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.data_layers.memory.store import MemoryStore
from resourcekit.extending import Capability, ResourceInfo, Store

NUMBERS = st.none() | st.integers(0, 3)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.none() | st.sampled_from(["", "a", "B"])), max_size=8)


class PlainStore(MemoryStore):
    """A store in memory that cannot limit rows for each value."""

    capabilities: ClassVar[frozenset[Capability]] = MemoryStore.capabilities - {Capability.DISTINCT}


class Plain(Memory):
    """A layer in memory that cannot limit rows for each value, so that the engine does it."""

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store."""
        return PlainStore(info)


def tree_on(layer: Any) -> Any:
    """Declare a resource whose records refer to others of their kind, with neighbours by a resource between them."""
    domain = Domain("trees")

    class Node(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        parent_id: Attr[int | None] = attribute(default=None)
        weight: Attr[int | None] = attribute(default=None)
        name: Attr[str | None] = attribute(default=None)

        parent: One[Node | None] = belongs_to("parent_id", on_delete="nothing")
        children: Many[Node] = has_many("parent_id")
        neighbours: Many[Node] = many_to_many(through=lambda: Edge, source="one", destination="other")

        make = create(accept=["id", "parent_id", "weight", "name"])
        drop = destroy()

    class Edge(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        one: Attr[int] = attribute()
        other: Attr[int] = attribute()

        make = create(accept=["id", "one", "other"])
        drop = destroy()

    domain.create_storage()
    Node.edge = Edge  # kept alive with the node
    return Node


@pytest.fixture(scope="module", params=["memory", "without limits for each value", "sqlite"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the resource on a layer."""
    path: Path = tmp_path_factory.mktemp("loads")
    layers: dict[str, Callable[[], Any]] = {"memory": Memory, "sqlite": lambda: SQL(f"sqlite:///{path}/trees.db")}
    return tree_on(layers.get(request.param, Plain)())


def place(record: Any, *, by: str, descending: bool) -> tuple[Any, int]:
    """Return the sort key of a record; None is the least."""
    value = getattr(record, by)
    rank = (value is not None, value if by == "weight" else [*map(ord, value or "")])
    return rank, -record.id if descending else record.id


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    edges=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=8),
    least=st.none() | st.integers(0, 3),
    by=st.sampled_from(["weight", "name"]),
    descending=st.booleans(),
    limit=st.none() | st.integers(0, 3),
)
def test_a_load_is_what_python_computes(node, rows, edges, least, by, descending, limit):
    """Each record has those related records, in that order, that Python finds among all records."""
    node.edge.drop.bulk(query(node.edge))
    node.drop.bulk(query(node))
    node.make.bulk(
        [{"id": n, "parent_id": parent, "weight": weight, "name": name} for n, (parent, weight, name) in enumerate(rows)]
    )
    node.edge.make.bulk([{"id": n, "one": one, "other": other} for n, (one, other) in enumerate(edges)])

    def asked(relation: Any) -> Any:
        relation = relation if least is None else relation.filter(node.weight >= least)
        relation = relation if limit is None else relation.limit(limit)
        return relation.sort(f"-{by}" if descending else by)

    def expected(found: list[Any]) -> list[int]:
        kept = [each for each in found if least is None or (each.weight is not None and each.weight >= least)]
        kept.sort(key=lambda each: place(each, by=by, descending=descending), reverse=descending)
        return [each.id for each in kept][:limit]

    every = query(node).all()
    loaded = query(node).load(node.parent, asked(node.children).load(node.parent), asked(node.neighbours)).all()

    assert len(rows) == len(loaded)
    for record in loaded:
        others = {other for one, other in edges if one == record.id}
        assert [each.id for each in every if each.id == record.parent_id] == [each.id for each in [record.parent] if each]
        assert expected([each for each in every if each.parent_id == record.id]) == [each.id for each in record.children]
        assert expected([each for each in every if each.id in others]) == [each.id for each in record.neighbours]
        assert all(child.parent == record for child in record.children)
