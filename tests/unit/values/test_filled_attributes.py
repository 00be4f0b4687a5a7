"""Attributes that the database fills: generated keys, database defaults and computed columns, on every layer that has them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Resource,
    SQLText,
    attribute,
    belongs_to,
    concat,
    create,
    has_many,
    identity,
    manage,
    now,
    query,
    set_attribute,
    transaction,
    update,
)
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.errors import DeclarationError, Invalid, NotLoaded
from resourcekit.extending import Upsert


def declared(layer: Any) -> Any:
    """Return a resource whose key, state, time and sums the database fills, with its storage made."""
    domain = Domain("filled")

    class Line(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        name: Attr[str] = attribute()
        count: Attr[int] = attribute(default=2)
        state: Attr[Literal["new", "done"]] = attribute(database_default="new")
        entered_at: Attr[datetime] = attribute(database_default=now())
        total: Attr[int] = attribute(computed=count * 3 + 1)
        label: Attr[str] = attribute(computed=concat(name, "/", name))
        is_big: Attr[bool] = attribute(computed=count > 5)

        by_name = identity("name")
        enter = create(accept=["name", "count", "state"])
        checked = create(accept=["name", "count"], changes=[lambda changeset, context: changeset.set(count=9)])
        put = create(accept=["name", "count", "state"], upsert="by_name")
        keep = create(accept=["name"], upsert=Upsert(identity="by_name", set={}))
        edit = update(accept=["name", "count", "state"])
        raise_by = update(changes=[lambda changeset, context: changeset.set(total=1)])

    domain.create_storage()
    return Line


def test_a_create_gives_what_the_database_filled(any_layer):
    """The record that a create returns, sync and async, has the key, the defaults and the computed values."""
    line = declared(any_layer)
    first, second = line.enter(name="a"), asyncio.run(line.enter.aio(name="b", state="done", count=7))
    third = line.checked(name="c")

    assert [1, 2, 3] == [first.id, second.id, third.id]
    assert ("new", 7, "a/a", False) == (first.state, first.total, first.label, first.is_big)
    assert ("done", 22, "b/b", True) == (second.state, second.total, second.label, second.is_big)
    assert (9, 28) == (third.count, third.total)
    assert timedelta(minutes=5) > abs(datetime.now(UTC) - first.entered_at)
    assert [first, second, third] == query(line).sort(line.id).all()


def test_an_update_computes_again(any_layer):
    """An update gives the new computed values, and nothing can write them."""
    line = declared(any_layer)
    made = line.enter(name="a")
    changed = line.edit(made, count=4)
    with pytest.raises(Invalid, match="total"):
        line.raise_by(changed)

    assert (13, False) == (changed.total, changed.is_big)
    assert 31 == asyncio.run(line.edit.aio(made.id, count=10)).total
    assert [made.id] == [each.id for each in query(line).filter(line.total > 20, line.is_big).all()]


@pytest.mark.parametrize("size", [3, 20])
def test_a_bulk_create_gives_the_keys_in_the_order_of_the_inputs(any_layer, size):
    """Each record has its own input's values, also if the inputs lack different attributes, and if one of them is refused."""
    line = declared(any_layer)
    line.enter(name="n1")
    given = [{"name": f"n{number}", **({"state": "done"} if number % 3 == 0 else {})} for number in range(size)]
    done = line.enter.bulk(given, return_records=True)
    again = asyncio.run(line.enter.bulk.aio([{"name": "x"}, {"name": "y"}], return_records=True))

    assert [1] == [failure.index for failure in done.failures]
    assert [each["name"] for each in given if each["name"] != "n1"] == [each.name for each in done.records]
    assert {each.id: each.name for each in done.records}.items() <= {each.id: each.name for each in query(line).all()}.items()
    assert {"done" if int(each.name[1:]) % 3 == 0 else "new" for each in done.records} == {"new", "done"}
    assert ["x", "y"] == [each.name for each in again.records]
    assert 1 == line.enter.bulk([{"name": "z"}]).count


def test_of_two_inputs_with_one_key_the_first_is_stored(any_layer):
    """A bulk create goes in the order of its inputs, also if they give different attributes."""
    line = declared(any_layer)
    result = line.enter.bulk([{"name": "a"}, {"name": "x", "state": "done"}, {"name": "x"}], return_records=True)

    assert [2] == [failure.index for failure in result.failures]
    assert [(1, "a", "new"), (2, "x", "done")] == [(each.id, each.name, each.state) for each in result.records]


def test_an_upsert_gives_the_stored_key(any_layer):
    """An upsert by an identity keeps the key of the existing record, in single, bulk and skipping ones."""
    line = declared(any_layer)
    made = line.enter(name="a")
    done = line.put.bulk([{"name": "a", "count": 8}, {"name": "b", "state": "done"}, {"name": "c"}], return_records=True)

    assert (made.id, 5, "new") == ((there := line.put(name="a", count=5)).id, there.count, there.state)
    assert [("a", 8, 25, "new"), ("b", 2, 7, "done"), ("c", 2, 7, "new")] == [
        (each.name, each.count, each.total, each.state) for each in done.records
    ]
    assert made.id == done.records[0].id
    assert made.id == line.keep(name="a").id
    assert ("d", 7) == ((new := asyncio.run(line.keep.aio(name="d"))).name, new.total)
    assert new == query(line).filter(line.id == new.id).one()


def test_children_get_the_generated_key_of_their_parent(any_layer):
    """Managed children refer to a key that is known only after the insert of the parent, and get keys of their own."""
    domain = Domain("orders")

    class Order(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        items: Many[Item] = has_many("order_id")
        place = create(arguments=[], changes=[manage("items", kind="create")])

    class Item(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        what: Attr[str] = attribute()
        order_id: Attr[int] = attribute()
        order: One[Order] = belongs_to("order_id")
        add = create(accept=["what"], primary=True)

    domain.create_storage()
    first, second = Order.place(items=[{"what": "pen"}, {"what": "ink"}]), Order.place(items=[{"what": "cup"}])

    assert [(first.id, "ink"), (first.id, "pen"), (second.id, "cup")] == sorted(
        (each.order_id, each.what) for each in query(Item).all()
    )
    assert 3 == len({each.id for each in query(Item).all()})


def test_a_key_is_not_given_twice(any_layer):
    """A key that a rolled back transaction took is not that of another record."""
    line = declared(any_layer)
    with pytest.raises(RuntimeError), transaction(line):
        lost = line.enter(name="a").id
        raise RuntimeError
    made = line.enter(name="a")

    assert (1, True) == (query(line).count(), made.id >= lost)


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_computed_number_is_exact_or_refused(any_layer, is_counted):
    """A computed whole number above 64 bits is no float: the write is Invalid, and nothing of it stays."""
    domain = Domain("exact")

    class Line(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(
            primary_key=True, **({"generated": True} if is_counted else {"default_factory": iter(range(9)).__next__})
        )
        count: Attr[int] = attribute()
        many: Attr[int] = attribute(computed=count * 1000)
        enter = create(accept=["count"])
        change = update(accept=["count"])

    domain.create_storage()
    line = Line.enter(count=2**40)
    for write in (lambda: Line.enter(count=2**60 + 1), lambda: Line.change(line, count=2**60 + 1)):
        with pytest.raises(Invalid):
            write()

    assert [2**40 * 1000] == [each.many for each in query(Line).all()]


def test_an_unsaved_record_has_no_filled_values():
    """A record that was made by hand raises NotLoaded for what the database would fill, and keeps what was given."""
    line = declared(Memory)
    made = line(name="a", state="done")

    assert ("a", "done", 2) == (made.name, made.state, made.count)
    with pytest.raises(NotLoaded, match="the database fills it"):
        _ = made.id
    assert "Line(name='a', count=2, state='done')" == repr(made)


WRONG = {
    "two ways": lambda: attribute(generated=True, primary_key=True, database_default=3),
    "with a default": lambda: attribute(database_default=3, default=4),
    "generated text": lambda: attribute(generated=True),
    "computed of nothing": lambda: attribute(computed="a + b"),
    "an expression as default": lambda: attribute(database_default=Invalid),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_database_can_fill_is_refused(name):
    """Options that exclude each other, keys of another type and values without one form raise RK063."""
    with pytest.raises(DeclarationError, match="RK063") as raised:

        class Wrong(Resource, domain=Domain("wrong")):
            id: Attr[int] = attribute(primary_key=True)
            value: Attr[int] = WRONG[name]()

    assert "value" in str(raised.value)


def test_actions_that_write_what_the_database_fills_are_refused():
    """accept, changes, and upserts by a filled attribute raise RK063, each with its action."""
    with pytest.raises(DeclarationError) as raised:

        class Wrong(Resource, domain=Domain("wrong")):
            id: Attr[int] = attribute(primary_key=True, generated=True)
            name: Attr[str] = attribute()
            twice: Attr[str] = attribute(computed=name)
            state: Attr[str] = attribute(database_default="new")
            by_state = identity("state")
            enter = create(accept=["id", "name"])
            edit = update(changes=[set_attribute("twice", "x")])
            put = create(accept=["name"], upsert=True)
            replace = create(accept=["name"], upsert="by_state")

    text = str(raised.value)
    assert ["enter", "edit", "put", "replace"] == [
        name for name in ("enter", "edit", "put", "replace") if f"actions › {name}" in text
    ]


def test_layers_that_fill_nothing_refuse_the_declaration(tmp_path):
    """Redis refuses filled attributes, Memory those that SQL text fills, SQL a computed column that it would have to make."""
    with pytest.raises(DeclarationError, match=r"(?s)RK050.*default_factory"):

        class OnRedis(Resource, domain=Domain("redis"), data_layer=Redis("redis://localhost:1/0")):
            id: Attr[int] = attribute(primary_key=True, generated=True)

    for layer, option in (
        (Memory(), {"database_default": SQLText("random()")}),
        (SQL(f"sqlite:///{tmp_path}/x.db"), {"computed": True}),
    ):
        with pytest.raises(DeclarationError, match="RK063"):

            class Elsewhere(Resource, domain=Domain("elsewhere"), data_layer=layer):
                id: Attr[int] = attribute(primary_key=True)
                value: Attr[int] = attribute(**option)


def test_texts_with_signs_and_comparisons_of_what_may_be_none(any_layer):
    """A default keeps its percent signs, colons and quotes, and a computed column may compare a value that may be None."""
    domain, text = Domain("signs"), "it's 5% \\ :x %s %%"

    class Offer(Resource, domain=domain, data_layer=any_layer()):
        """An offer."""

        id: Attr[int] = attribute(primary_key=True, generated=True)
        note: Attr[str] = attribute(database_default=text)
        count: Attr[int | None] = attribute(default=None)
        is_seven: Attr[bool] = attribute(computed=count == 7)
        label: Attr[str] = attribute(computed=concat(note, "%%:x'"))
        is_other: Attr[bool] = attribute(computed=~(count == 7))
        enter = create(accept=["count"])

    domain.create_storage()
    for count in (7, 5, None):
        made = Offer.enter(count=count)
        assert (text, f"{text}%%:x'", count == 7, count != 7) == (made.note, made.label, made.is_seven, made.is_other)
