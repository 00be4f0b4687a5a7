"""Actions that are declared by decorating a function, with and without options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import Attr, Context, Domain, Query, Resource, action, attribute, context, create, info, query, read
from resourcekit.errors import Invalid


@pytest.fixture
def number(layer: Callable[[], Any]) -> Any:
    """A resource with actions of every decorated kind, and three records."""
    domain = Domain("numbers")

    class Number(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        add = create(accept=["id"])

        @read(primary=True)
        @staticmethod
        def even(asked: Query[Number]) -> Query[Number]:
            """Show even numbers only."""
            return asked.filter(Number.id.in_([0, 2, 4]))

        @read(get=True, doc="One number.")
        @staticmethod
        def exactly(asked: Query[Number], wanted: int) -> Query[Number]:
            return asked.filter(Number.id == wanted)

        @read
        @classmethod
        def above(cls, asked: Query[Number], deployment: Context, least: int) -> Query[Number]:
            return asked.filter(cls.id > least + deployment.metadata.get("more", 0))

        @action(transaction=True)
        @staticmethod
        async def add_two(deployment: Context, first: int) -> int:
            await Number.add.aio(id=first)
            await Number.add.aio(id=first + deployment.metadata.get("step", 0))
            return await query(Number).count.aio()

        @action(doc="Tells its own name.")
        @classmethod
        def named(cls, ending: str = "") -> str:
            return cls.__name__ + ending

    domain.create_storage()
    Number.add.bulk([{"id": each} for each in (0, 1, 2, 3)])
    return Number


def test_a_decorated_read_may_have_options(number) -> None:
    """``@read(primary=True)`` and ``@read(get=True)`` declare what their words say."""
    assert [0, 2] == [each.id for each in query(number).sort(number.id).all()]
    assert 3 == number.exactly(wanted=3).id
    assert None is number.exactly(wanted=9)
    assert "One number." == info(number).actions["exactly"].doc
    assert "Show even numbers only." == info(number).actions["even"].doc


def test_a_decorated_class_method_gets_class_and_context(number) -> None:
    """The class comes first, then the query, and the Context under whatever name; the rest are arguments."""
    assert [2, 3] == sorted(each.id for each in number.above(least=1))
    with context(metadata={"more": 1}):
        assert [3] == [each.id for each in number.above(1)]
    assert ["least"] == list(info(number).actions["above"].arguments)


def test_a_generic_action_may_run_in_a_transaction(number) -> None:
    """``@action(transaction=True)`` leaves nothing behind when a later step fails."""
    with pytest.raises(Invalid):
        number.add_two(first=4)
    left = number.exactly(wanted=4)
    with context(metadata={"step": 1}):
        counted = number.add_two(first=4)

    assert None is left
    assert 3 == counted


def test_a_generic_action_may_be_a_sync_class_method(number) -> None:
    """It gets the class, and its result is returned as it is."""
    assert "Number!" == number.named("!")
    assert "Tells its own name." == info(number).actions["named"].doc
