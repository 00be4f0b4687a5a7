"""Queries and read actions: what they find, in which order, one by one or at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Context,
    Domain,
    Query,
    Resource,
    action,
    arg,
    argument,
    attribute,
    create,
    filter,  # noqa: A004  # the field's word
    get,
    limit,
    query,
    read,
    sort,
)
from resourcekit.errors import Invalid, InvalidArgument, NotFound


def thing_on(make_layer: Callable[[], Any]) -> Any:
    """Declare a resource with one attribute of many kinds."""
    domain = Domain("things")

    class Thing(Resource, domain=domain, data_layer=make_layer()):
        id: Attr[int] = attribute(primary_key=True)
        number: Attr[int | None] = attribute(default=None)
        text: Attr[str | None] = attribute(default=None)
        flag: Attr[bool] = attribute(default=False)
        make = create(accept=["id", "number", "text", "flag"])

        @read(arguments=[argument("words", list[str])], preparations=[filter(text.in_(arg("words"))), sort("-id")])
        @staticmethod
        async def among(query: Query[Thing], least: int = 0) -> Query[Thing]:
            return query.filter(Thing.number >= least)

        first_two = read(preparations=[filter(number != None), sort(number.desc()), limit(2)])  # noqa: E711  # builds

        @read(get=True)
        @staticmethod
        def with_number(query: Query[Thing], number: int) -> Query[Thing]:
            return query.filter(Thing.number == number)

        @action
        @classmethod
        def count_all(cls) -> int:
            return query(cls).count()

    domain.create_storage()
    return Thing


@pytest.fixture
def thing(layer: Callable[[], Any]) -> Any:
    """The resource on a layer, with no record."""
    return thing_on(layer)


def ids(records: list[Any]) -> list[int]:
    """Return the keys, in the order of the records."""
    return [record.id for record in records]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda asked: asked.filter(False),
        lambda asked: asked.filter(None),
        lambda asked: asked.filter("number = 1"),
        lambda asked: asked.filter(asked.resource.text.in_("abc")),
        lambda asked: asked.filter(asked.resource.number.in_(5)),
        lambda asked: asked.sort(5),
        lambda asked: asked.limit(-1),
        lambda asked: asked.limit("3"),
        lambda asked: asked.limit(True),
        lambda asked: asked.offset(1.0),
        lambda asked: asked.limit(2**63),
    ],
)
def test_wrong_arguments_of_a_query_are_refused_at_once(thing: Any, wrong: Callable[[Any], Any]) -> None:
    """What Python has answered already is no condition; counts are whole numbers from 0 on."""
    with pytest.raises(InvalidArgument):
        wrong(query(thing))


def test_an_expression_has_no_truth_value(thing: Any) -> None:
    """``and``, ``not`` and chains would drop half of it, and so raise."""
    for use in (
        lambda: not thing.flag,
        lambda: 1 < thing.number < 3,
        lambda: thing.flag and thing.number == 1,
        lambda: thing.number in [1, 2],
    ):
        with pytest.raises(TypeError, match="no truth value"):
            use()


def test_what_is_no_resource_is_refused() -> None:
    """Queries, gets and updates over other classes say so."""

    class Base(Resource, abstract=True):
        id: Attr[int] = attribute(primary_key=True)

    class Child(Base, abstract=True):
        pass

    with pytest.raises(InvalidArgument, match="is no resource class"):
        query(int)
    with pytest.raises(InvalidArgument, match="is no resource class"):
        get(int, 1)
    for abstract in (Base, Child, Resource):
        with pytest.raises(InvalidArgument, match="is abstract"):
            query(abstract).all()


def test_sorting_limiting_and_passing_over(thing: Any) -> None:
    """Several keys, names with a minus, limits that only shrink, offsets with and without a limit."""
    thing.make.bulk([{"id": number, "number": number % 3, "text": "ab"[number % 2]} for number in range(1, 7)])
    asked = query(thing)

    assert [6, 3, 4, 1, 2, 5] == ids(asked.sort(thing.number, thing.text.asc(), "-id").all())
    assert [6, 5, 4, 3, 2, 1] == ids(asked.sort("-id").all())
    assert [1, 2, 3, 4, 5, 6] == ids(asked.sort("-id").sort("id").all())
    assert [1, 2] == ids(asked.sort("id").limit(2).limit(5).all())
    assert [3, 4] == ids(asked.sort("id").offset(2).limit(2).all())
    assert [5, 6] == ids(asked.sort("id").offset(4).all())
    assert asked.sort("id").limit(0).all() == []
    assert asked.offset(9).all() == []


def test_counts_and_existence_heed_limit_and_offset(thing: Any) -> None:
    """``count`` is the number of records that ``all`` would return, and ``exists`` whether there is one."""
    thing.make.bulk([{"id": number} for number in range(5)])
    asked = query(thing)

    assert asked.count() == 5
    assert asked.limit(3).count() == 3
    assert asked.offset(4).count() == 1
    assert asked.offset(3).limit(9).count() == 2
    assert asked.exists() is True
    assert asked.limit(0).exists() is False
    assert asked.offset(5).exists() is False
    assert asked.filter(thing.id > 9).exists() is False


def test_a_query_is_a_value_and_may_be_used_again(thing: Any) -> None:
    """Every method returns a new query."""
    thing.make.bulk([{"id": number} for number in range(3)])
    base = query(thing).sort("id")
    narrowed = base.filter(thing.id > 0).limit(1)

    assert [0, 1, 2] == ids(base.all())
    assert [1] == ids(narrowed.all())
    assert [0, 1, 2] == ids(base.all())


def test_streams_in_both_call_modes(thing: Any) -> None:
    """Records come one by one, in order; a stream may be left early and asked for anew."""
    thing.make.bulk([{"id": number} for number in range(450)])
    asked = query(thing).sort("id")

    async def collect() -> list[int]:
        return [record.id async for record in asked.stream.aio()]

    async def leave_early() -> int:
        async for record in asked.stream.aio():
            if record.id == 3:
                break
        return await asked.count.aio()

    assert list(range(450)) == ids(list(asked.stream()))
    assert list(range(450)) == asyncio.run(collect())
    assert [0, 1] == ids(list(itertools.islice(asked.stream(), 2)))
    assert asyncio.run(leave_early()) == 450


def test_a_decorated_read_with_preparations(thing: Any) -> None:
    """Preparations and the function shape one query; an async function, declared arguments and defaults work."""
    thing.make.bulk([{"id": number, "number": number, "text": "abc"[number]} for number in range(3)])

    assert [1, 0] == ids(thing.among(words=["a", "b"]))
    assert [1] == ids(thing.among(words=["a", "b"], least=1))
    assert [1] == ids(asyncio.run(thing.among.aio(words=["a", "b"], least="1")))
    with pytest.raises(Invalid, match=r"words: is required"):
        thing.among()
    with pytest.raises(Invalid, match=r"words\.1: must be text"):
        thing.among(words=["a", 2])


def test_a_declarative_read(thing: Any) -> None:
    """Attributes named in the class body mean themselves; the reader's own limit holds."""
    thing.make.bulk([{"id": number, "number": number or None} for number in range(5)])

    assert [4, 3] == ids(thing.first_two())


def test_preparations_as_functions(layer: Callable[[], Any]) -> None:
    """A preparation may be a function or a coroutine function; one that returns no query is reported by the read's name."""
    domain = Domain("prepared")

    async def narrow(asked: Query[Any], context: Context) -> Query[Any]:
        return asked.filter(Item.id > context.actor)

    class Item(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        put = create(accept=["id"])
        beyond = read(preparations=[narrow, lambda asked, context: asked.sort("-id")])
        wrong = read(preparations=[lambda asked, context: None])

    domain.create_storage()
    Item.put.bulk([{"id": number} for number in range(4)])

    assert [3, 2] == ids(Item.beyond.using(actor=1)())
    with pytest.raises(TypeError, match=r"Item\.wrong must return the query, not NoneType"):
        Item.wrong()


def test_a_read_that_gets_one(thing: Any) -> None:
    """It returns the record or ``None``, and refuses to choose between several."""
    thing.make.bulk([{"id": 1, "number": 1}, {"id": 2, "number": 2}, {"id": 3, "number": 2}])

    assert thing.with_number(1).id == 1
    assert thing.with_number(9) is None
    with pytest.raises(Invalid, match="more than one record answers"):
        thing.with_number(2)


def test_a_class_method_as_an_action(thing: Any) -> None:
    """It gets the resource."""
    thing.make(id=1)

    assert thing.count_all() == 1


def test_the_primary_read_bounds_every_look(layer: Callable[[], Any]) -> None:
    """What the primary read hides is found by no query, no ``get`` and no update; another read may show it."""
    domain = Domain("hidden")

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        hidden: Attr[bool] = attribute(default=False)
        write = create(accept=["id", "hidden"])
        every = read()

        @read(primary=True)
        @staticmethod
        async def shown(query: Query[Note]) -> Query[Note]:
            return query.filter(~Note.hidden)

    domain.create_storage()
    Note.write.bulk([{"id": 1}, {"id": 2, "hidden": True}])

    assert [1] == ids(query(Note).all())
    assert query(Note).count() == 1
    assert [1] == ids(list(query(Note).stream()))
    assert {1, 2} == set(ids(Note.every()))
    assert get(Note, 1).id == 1
    with pytest.raises(NotFound):
        get(Note, 2)
