"""Updates and destroys of records that the primary read hides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Query,
    Resource,
    attribute,
    create,
    destroy,
    limit,
    query,
    read,
    set_attribute,
    update,
)
from resourcekit.errors import NotFound
from resourcekit.testing import declaration_errors


@pytest.fixture
def shelf(layer: Callable[[], Any]) -> Any:
    """A resource whose primary read hides what is put away."""
    domain = Domain("shelves")

    class Shelf(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        away: Attr[bool] = attribute(default=False)
        put = create(accept=["id", "away"])
        front = read(primary=True, preparations=[lambda asked, context: asked.filter(Shelf.away == False)])  # noqa: E712
        back = read(preparations=[lambda asked, context: asked.filter(Shelf.away == True)])  # noqa: E712
        hide = update(changes=[set_attribute("away", True)])
        show = update(changes=[set_attribute("away", False)], finds_with="back")
        throw = destroy(finds_with="back")

    domain.create_storage()
    Shelf.put.bulk([{"id": 1}, {"id": 2, "away": True}, {"id": 3, "away": True}])
    return Shelf


def test_an_update_writes_to_what_its_read_shows(shelf) -> None:
    """A hidden record is found by the named read; one that this read does not show is not found."""
    shown = shelf.show(2)

    assert (2, False) == (shown.id, shown.away)
    with pytest.raises(NotFound):
        shelf.show(1)
    with pytest.raises(NotFound):
        shelf.hide(3)


def test_a_destroy_removes_what_its_read_shows(shelf) -> None:
    """The same holds for destroys, in the other call mode too."""

    async def work() -> None:
        await shelf.throw.aio(2)
        with pytest.raises(NotFound):
            await shelf.throw.aio(1)

    asyncio.run(work())

    assert ([1], [3]) == ([each.id for each in query(shelf).all()], [each.id for each in shelf.back()])


@pytest.mark.parametrize("strategy", ["atomic", "stream"])
def test_bulk_writes_reach_what_the_read_shows(shelf, strategy) -> None:
    """A query is narrowed by the named read instead of the primary one."""
    done = shelf.show.bulk(query(shelf).filter(shelf.id < 3), strategy=strategy)

    assert 1 == done.count
    assert [1, 2] == [each.id for each in query(shelf).sort(shelf.id).all()]


def test_a_read_that_does_not_exist_is_refused() -> None:
    """RK049 names the read that is meant, and refuses one that needs an argument."""
    with declaration_errors() as errors:

        class Box(Resource, domain=Domain("boxes")):
            id: Attr[int] = attribute(primary_key=True)
            away = read(preparations=[limit(1)])

            @read
            @staticmethod
            def like(asked: Query[Box], number: int) -> Query[Box]:
                return asked.filter(Box.id == number)

            show = update(finds_with="awai")
            throw = destroy(finds_with="like")

    assert [("RK049", "show"), ("RK049", "throw")] == [(error.code, error.path[-1]) for error in errors]
    assert "Did you mean 'away'?" == errors[0].hint
    assert "'number'" in errors[1].what
