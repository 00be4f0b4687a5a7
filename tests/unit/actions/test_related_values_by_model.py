"""Values of related records compared with plain Python over the loaded ones: random rows, conditions, limits, orders and None."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Resource,
    attribute,
    belongs_to,
    create,
    destroy,
    has_many,
    many_to_many,
    parent,
    query,
    read,
)
from resourcekit.data_layers import SQL, Memory
from tests.conftest import SERVERS
from tests.support.databases import shared

NUMBERS = st.none() | st.integers(0, 3)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from(["", "a", "B"]), st.booleans()), max_size=7)
EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=8)


def tree_on(layer: Callable[[], Any]) -> Any:
    """Declare a tree whose hidden nodes the primary read leaves out, with neighbours by a resource between them."""
    domain = Domain("trees of values", cursor_secret="a secret of thirty-two characters")

    class Node(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        parent_id: Attr[int | None] = attribute(default=None)
        weight: Attr[int | None] = attribute(default=None)
        name: Attr[str] = attribute()
        hidden: Attr[bool] = attribute(default=False)

        up: One[Node | None] = belongs_to("parent_id", on_delete="nothing")
        children: Many[Node] = has_many("parent_id", sort=["-weight"])
        two: Many[Node] = has_many("parent_id", sort=["weight"], limit=2)
        neighbours: Many[Node] = many_to_many(through=lambda: Edge, source="one", destination="other", sort=["name"])

        shown = read(preparations=[lambda query, context: query.filter(~Node.hidden)], primary=True)
        whole = read()
        make = create(accept=["id", "parent_id", "weight", "name", "hidden"])
        drop = destroy(finds_with="whole")

    class Edge(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        one: Attr[int] = attribute()
        other: Attr[int] = attribute()

        make = create(accept=["id", "one", "other"])
        drop = destroy()

    domain.create_storage()
    Node.edge = Edge  # kept alive with the node
    return Node


@pytest.fixture(scope="module", params=["memory", "sqlite", *SERVERS])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the resource on a layer."""
    if request.param == "memory":
        return tree_on(Memory)
    path: Path = tmp_path_factory.mktemp("values")
    url = f"sqlite:///{path}/values.db" if request.param == "sqlite" else shared(request.param).url
    tables, name = iter("ab"), secrets.token_hex(6)
    return tree_on(lambda: SQL(url, table=f"values_{name}_{next(tables)}"))


def fill(node: Any, rows: list[Any], edges: list[Any]) -> None:
    """Replace all records."""
    node.edge.drop.bulk(query(node.edge))
    node.drop.bulk(node.whole.query())
    names = ("parent_id", "weight", "name", "hidden")
    node.make.bulk([{"id": n, **dict(zip(names, row, strict=True))} for n, row in enumerate(rows)])
    node.edge.make.bulk([{"id": n, "one": one, "other": other} for n, (one, other) in enumerate(edges)])


def figures(found: list[Any], weight: Callable[[Any], Any], holds: Callable[[Any], bool]) -> dict[str, Any]:
    """Return what Python computes of related records."""
    kept = [each for each in found if holds(each)]
    values = [weight(each) for each in kept if weight(each) is not None]
    return {
        "number": len(kept),
        "there": bool(kept),
        "total": sum(values) if values else None,
        "mean": sum(values) / len(values) if values else None,
        "least": min(values, default=None),
        "most": max(values, default=None),
        "first": weight(kept[0]) if kept else None,
        "every": all(each.name == "a" for each in kept),
        "those": tuple(weight(each) for each in kept),
    }


def asked(relation: Any, node: Any, condition: Any) -> dict[str, Any]:
    """Return the same figures as expressions."""
    weight = node.weight
    return {
        "number": relation.count(condition),
        "there": relation.exists(condition),
        "total": relation.sum(weight, condition),
        "mean": relation.avg(weight, condition),
        "least": relation.min(weight, condition),
        "most": relation.max(weight, condition),
        "first": relation.first(weight, condition),
        "every": relation.every(node.name == "a", condition),
        "those": relation.collect(weight, condition),
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    edges=EDGES,
    relation=st.sampled_from(["children", "two", "neighbours"]),
    least=st.integers(0, 3),
    looks_up=st.booleans(),
)
def test_a_figure_is_what_python_computes_of_the_loaded_records(
    node: Any, rows: list[Any], edges: list[Any], relation: str, least: int, looks_up: bool
) -> None:
    """Each figure equals the one of the loaded records, as a value and as a condition, and pages by it are the full scan."""
    fill(node, rows, edges)
    many = getattr(node, relation)
    condition = (node.weight >= parent(node.weight)) if looks_up else ~(node.weight < least)

    def holds(one: Any, around: Any) -> bool:
        if looks_up:
            return one.weight is not None and around.weight is not None and one.weight >= around.weight
        return not (one.weight is not None and one.weight < least)

    nodes = asked(many, node, condition)
    stored = [name for name in nodes if name != "those"]
    if looks_up:  # a database collects of loaded records, without the record around
        nodes.pop("those")
    found = query(node).sort("id").load(many, **{f"x_{name}": value for name, value in nodes.items()}).all()
    wanted = {
        each.id: figures(list(getattr(each, relation)), lambda one: one.weight, lambda one, each=each: holds(one, each))  # type: ignore[misc]
        for each in found
    }

    for each in found:
        assert {name: wanted[each.id][name] for name in nodes} == {name: each.extra[f"x_{name}"] for name in nodes}
    for name in stored:
        for value in {wanted[each.id][name] for each in found}:
            same = [each.id for each in found if wanted[each.id][name] == value]
            assert same == [each.id for each in query(node).filter(nodes[name] == value).sort("id").all()]
            other = [each.id for each in found if wanted[each.id][name] != value]
            assert other == [each.id for each in query(node).filter(~(nodes[name] == value)).sort("id").all()]
    paged = query(node).sort(nodes["most"].desc(), nodes["number"], "-id")
    page, walked = paged.page(limit=2), list[int]()
    while True:
        walked += [each.id for each in page.records]
        if not page.has_next:
            break
        page = paged.page(limit=2, after=page.end_cursor)
    most = {each.id: wanted[each.id]["most"] for each in found}
    by_python = sorted(wanted, key=lambda n: (most[n] is None, -(most[n] or 0), wanted[n]["number"], -n))
    assert by_python == walked


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, value=NUMBERS)
def test_a_path_is_the_value_of_the_loaded_record(node: Any, rows: list[Any], value: int | None) -> None:
    """A path of two steps is the value of the loaded record, None without one, and its negation is exact."""
    fill(node, rows, [])
    found = query(node).sort("id").load(node.up.load(node.up)).all()
    held = {each.id: None if each.up is None or each.up.up is None else each.up.up.weight for each in found}
    path = node.up[node.up][node.weight]

    assert [n for n in held if held[n] == value] == [each.id for each in query(node).filter(path == value).sort("id").all()]
    assert [n for n in held if held[n] != value] == [each.id for each in query(node).filter(~(path == value)).sort("id").all()]
    ordered = sorted(held, key=lambda n: (held[n] is not None, held[n] or 0, n))
    assert ordered == [each.id for each in query(node).sort(path, "id").all()]
