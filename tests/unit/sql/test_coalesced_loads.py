"""Loads of many tasks, each of its own record: few statements for all, and to each its own related records in its order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Resource,
    attribute,
    belongs_to,
    create,
    get,
    has_many,
    load,
    many_to_many,
    query,
    transaction,
)
from resourcekit.data_layers import SQL
from resourcekit.data_layers.base import Select
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.errors import Invalid
from resourcekit.expressions.nodes import Arithmetic, Compare, Field, In, Param, all_of
from tests.conftest import SERVERS
from tests.support.databases import shared

PARENTS, CHILDREN = 64, 5


@pytest.fixture(params=["sqlite", *SERVERS])
def parent(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """Return a resource with related records of which some are hidden."""
    tables, name = iter("abc"), secrets.token_hex(6)
    url = f"sqlite:///{tmp_path}/loads.db" if request.param == "sqlite" else shared(request.param).url
    return _declared(lambda: SQL(url, table=f"coalesced_{name}_{next(tables)}"))


def _declared(layer: Callable[[], Any]) -> Any:
    domain = Domain("coalesced loads")

    class Parent(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        children: Many[Child] = has_many("parent_id", sort=["-weight"])
        light: Many[Child] = has_many("parent_id", where=lambda: Child.weight < 3, sort=["weight"])
        two: Many[Child] = has_many("parent_id", sort=["weight"], limit=2)

        friends: Many[Child] = many_to_many(
            through=lambda: Friend, source="parent_id", destination="child_id", sort=["weight", "id"]
        )

        make = create(accept=["id"])

    class Friend(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        parent_id: Attr[int] = attribute()
        child_id: Attr[int] = attribute()

        make = create(accept=["id", "parent_id", "child_id"])

    class Child(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        parent_id: Attr[int | None] = attribute(default=None)
        weight: Attr[int] = attribute()
        parent: One[Parent | None] = belongs_to("parent_id", on_delete="nothing")

        make = create(accept=["id", "parent_id", "weight"])

    domain.create_storage()
    Parent.child = Child
    Parent.make.bulk([{"id": n} for n in range(PARENTS)])
    Child.make.bulk([{"id": n, "parent_id": n // CHILDREN, "weight": n % CHILDREN} for n in range(CHILDREN * (PARENTS - 1))])
    pairs = [(n, (7 * n + 3 * step) % (CHILDREN * (PARENTS - 1))) for n in range(PARENTS - 2) for step in range(n % 5)]
    Friend.make.bulk([{"id": n, "parent_id": one, "child_id": other} for n, (one, other) in enumerate(pairs)])
    Parent.friend = Friend
    return Parent


def together(parent: Any, sent: list[str], work: Callable[[Any], Any], records: list[Any]) -> list[Any]:
    """Return what tasks get, one for each record. ``sent`` has the statements that they took."""

    async def ask() -> list[Any]:
        try:
            await asyncio.gather(*map(work, records))  # opens all connections
            sent.clear()
            return list(await asyncio.gather(*map(work, records)))
        finally:
            await parent.__runtime__.store.close()
            await parent.child.__runtime__.store.close()
            await parent.friend.__runtime__.store.close()

    return asyncio.run(ask())


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts of the statements that return rows, as they are sent."""
    texts, fetch = list[str](), Connection.fetch

    def noted(connection: Any, sql: str, values: Any = ()) -> Any:
        texts.append(sql)
        return fetch(connection, sql, values)

    monkeypatch.setattr(Connection, "fetch", noted)
    return texts


def test_the_children_of_many_parents_are_loaded_together(parent: Any, sent: list[str]) -> None:
    """64 tasks take few statements, and each gets what it would get alone, in the order of the relationship."""
    parents = query(parent).sort("id").all()
    for relation in (parent.children, parent.light):
        alone = [load(each, relation) for each in parents]
        found = together(parent, sent, lambda each, relation=relation: load.aio(each, relation), parents)

        assert len(sent) <= 4
        name = relation.name
        assert [[one.id for one in getattr(each, name)] for each in alone] == [
            [one.id for one in getattr(each, name)] for each in found
        ]
        assert [() for _ in range(1)] == [getattr(each, name) for each in found[-1:]]


def test_one_parent_of_many_children_is_loaded_together(parent: Any, sent: list[str]) -> None:
    """A key that several tasks ask for is asked for once, and each task has records of its own."""
    children = query(parent.child).sort("id").limit(64).all()
    found = together(parent, sent, lambda each: load.aio(each, parent.child.parent), children)

    assert len(sent) <= 4
    assert [each.parent_id for each in children] == [each.parent.id for each in found]
    assert found[0].parent is not found[1].parent


def test_other_loads_have_statements_of_their_own(parent: Any, sent: list[str]) -> None:
    """A limit for each parent, the value of a condition, and several records of one task are right beside the others."""
    parents = query(parent).sort("id").limit(8).all()
    two = together(parent, sent, lambda each: load.aio(each, parent.two), parents)
    assert [[0, 1]] * 8 == [[one.weight for one in each.two] for each in two]
    assert len(sent) <= 2
    sent.clear()
    heavy = parent.children.filter(parent.child.weight >= 3)
    found = together(parent, sent, lambda each: load.aio(each, heavy), parents)
    assert [[4, 3]] * 8 == [[one.weight for one in each.children] for each in found]
    assert len(sent) <= 2
    pairs = together(parent, sent, lambda each: load.aio([each, parents[0]], parent.children), parents)
    assert [[each.id, 0] for each in parents] == [[one.children[0].parent_id for one in pair] for pair in pairs]


def test_limits_and_many_to_many_are_loaded_together(parent: Any, sent: list[str]) -> None:
    """A limit and an offset count for each parent; records over a join resource keep their conditions, orders and limits."""
    parents = query(parent).sort("id").all()
    child = parent.child
    asked = (
        parent.two,
        parent.children.limit(2),
        parent.children.sort(child.weight).limit(3),
        parent.children.filter(child.weight > 0).limit(1),
        parent.friends,
        parent.friends.filter(child.weight >= 2).sort(child.weight.desc()),
        parent.friends.sort(child.weight.desc()).limit(2),
        parent.children.sort(child.parent[parent.id], child.weight).limit(2),
    )
    for relation in asked:
        alone = [load(each, relation) for each in parents]
        found = together(parent, sent, lambda each, relation=relation: load.aio(each, relation), parents)
        name = relation.name
        assert sum("coalesced_" in text for text in sent) <= 4, name  # a new connection may ask for settings, too
        assert [[one.id for one in getattr(each, name)] for each in alone] == [
            [one.id for one in getattr(each, name)] for each in found
        ]
    assert any(len(each.children) == 2 for each in found)


def test_a_load_whose_value_no_column_can_hold_is_invalid(parent: Any) -> None:
    """It is refused with the name of the attribute, beside other tasks as alone."""
    one = get(parent, 1)
    large = parent.children.filter(parent.child.weight >= 10**30)

    async def ask() -> None:
        try:
            await load.aio(one, large)
        finally:
            await parent.__runtime__.store.close()
            await parent.child.__runtime__.store.close()

    with pytest.raises(Invalid, match="weight: must fit in 64 bits"):
        asyncio.run(ask())


def test_a_condition_of_values_alone_is_asked_by_a_statement_of_its_own(parent: Any) -> None:
    """A difference of two values has a type as parameters and none as constants; the load is still right."""
    store = parent.child.__runtime__.store
    moments = Arithmetic("-", Param("at", datetime), Param("by", timedelta))
    condition = all_of(In(Field("parent_id"), Param("keys")), Compare("<", moments, Param("last", datetime)))
    plan, last = store.compile(Select(condition)), datetime(2026, 1, 2, tzinfo=UTC)

    async def ask() -> list[Any]:
        try:
            params = {"keys": (1,), "at": last, "by": timedelta(days=1), "last": last}
            return [row["id"] for row in await store.select(plan, params)]
        finally:
            await store.close()

    assert [CHILDREN + n for n in range(CHILDREN)] == sorted(asyncio.run(ask()))


def test_a_load_in_a_transaction_sees_its_own_writes(parent: Any) -> None:
    """It is not answered by a statement of another connection."""

    async def write() -> list[int]:
        try:
            async with transaction(parent.child):
                await parent.child.make.aio(id=10_000, parent_id=PARENTS - 1, weight=1)
                return [one.id for one in (await load.aio(await get.aio(parent, PARENTS - 1), parent.children)).children]
        finally:
            await parent.__runtime__.store.close()
            await parent.child.__runtime__.store.close()

    assert [10_000] == asyncio.run(write())
