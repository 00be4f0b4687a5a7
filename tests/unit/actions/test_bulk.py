"""Bulk actions: honest counts, failures by place, stated strategies, refusals; on every layer in sync and async calls."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Resource,
    attribute,
    compare,
    create,
    destroy,
    get,
    identity,
    increment,
    limit,
    query,
    read,
    set_attribute,
    sort,
    transaction,
    update,
)
from resourcekit.errors import Forbidden, Invalid, InvalidArgument, NotFound, UniqueViolation


class Shelf(enum.Enum):
    """A key whose members have no order."""

    LEFT = "left"
    RIGHT = "right"


def careful(changeset: Changeset, context: Context) -> Changeset:
    """Refuse some, each in its own way."""
    match changeset.get("name"):
        case "forbidden":
            raise Forbidden("not this one")
        case "broken":
            raise ZeroDivisionError
        case "hooked":
            return changeset.after_action(lambda changeset, record, context: None)
        case "hooked badly":
            return changeset.after_action(lambda changeset, record, context: 1 / 0)
        case _:
            return changeset


@pytest.fixture
def item(layer: Callable[[], Any]) -> Any:
    """A resource with bulk-friendly actions and others."""
    domain = Domain("items")

    class Item(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(default=None)
        count: Attr[int] = attribute(default=0, maximum=1000)
        price: Attr[Decimal] = attribute(default=Decimal(1))
        by_name = identity("name")
        put = create(accept=["id", "name", "count"], changes=[careful])
        keep = create(accept=["id", "name", "count"], upsert=True)
        keep_by_name = create(accept=["id", "name", "count"], upsert="by_name")
        rename = update(accept=["name"])
        empty = update(changes=[set_attribute("count", 0)])
        add = update(changes=[increment("count")])
        raise_price = update(changes=[set_attribute("price", price * 2)])
        check = update(accept=["count"], validations=[compare("count", "<", 10)])
        own = update(changes=[lambda changeset, context: changeset.set(count=10 // changeset.get("count"))])
        alone = update(changes=[set_attribute("count", 1)], transaction=True)
        remove = destroy()

    domain.create_storage()
    return Item


def counts(item: Any) -> dict[int, int]:
    """Return the counts by key."""
    return {each.id: each.count for each in query(item).sort("id").all()}


def test_partial_failures_are_told_by_place(item: Any) -> None:
    """What is wrong, what an identity refuses and what a change raises is a failure of its input; the others are written."""
    rows: list[Any] = [
        {"id": 1, "name": "a"},
        {"id": "x"},
        {"id": 2, "name": "a"},
        {"id": 3, "nam": "b"},
        {"id": 4, "name": "forbidden"},
        {"id": 5, "name": "broken"},
        {"id": 1},
        {"id": 6, "name": "hooked"},
        {"id": 7, "name": "hooked badly"},
        {"id": 8, "name": "nul\0"},
        5,
        {"id": 9, "name": "z"},
    ]
    result = item.put.bulk(rows)

    assert 3 == result.count
    assert [1, 6, 9] == [record.id for record in result.records]
    assert {
        1: Invalid,
        2: UniqueViolation,
        3: Invalid,
        4: Forbidden,
        5: ZeroDivisionError,
        6: UniqueViolation,
        8: ZeroDivisionError,
        9: Invalid,
        10: Invalid,
    } == {failure.index: type(failure.error) for failure in result.failures}
    assert [1, 6, 9] == [each.id for each in query(item).sort("id").all()]
    assert ("Item", "put") == (result.failures[1].error.resource, result.failures[1].error.action)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_batches_do_not_show(item: Any, size: int) -> None:
    """Whatever the size of a batch, counts, records and places of failures are the same."""
    rows = [{"id": number} for number in (1, 2, 1, 3, 2, 4)]
    result = item.put.bulk(iter(rows), batch_size=size)

    assert (4, [1, 2, 3, 4], [2, 4]) == (
        result.count,
        [record.id for record in result.records],
        [failure.index for failure in result.failures],
    )


def test_arguments_of_a_bulk_create(item: Any) -> None:
    """Nothing to write is nothing written; records are left out unless they are wanted; a batch has at least one row."""
    assert (0, (), ()) == (item.put.bulk([]).count, item.put.bulk([]).records, item.put.bulk([]).failures)
    result = item.put.bulk([{"id": 1}], return_records=False)
    assert (1, ()) == (result.count, result.records)
    with pytest.raises(InvalidArgument, match="batch_size must be a whole number from 1 on, not 0"):
        item.put.bulk([{"id": 2}], batch_size=0)
    for wrong in (5, None, {"id": 2}, "12"):
        with pytest.raises(InvalidArgument, match="takes several mappings of inputs"):
            item.put.bulk(wrong)
    assert query(item).count() == 1


def test_a_bulk_upsert_says_what_was_written(item: Any) -> None:
    """New records and changed ones count; one that stays as it is does not, and is no failure."""
    item.put.bulk([{"id": 1, "count": 1}, {"id": 2, "count": 2}])
    result = item.keep.bulk([{"id": 1, "count": 10}, {"id": 2}, {"id": 3, "count": 3}, {"id": 3, "count": 33}])

    assert {1: 10, 2: 2, 3: 33} == counts(item)
    assert (3, ()) == (result.count, result.failures)
    assert [(1, 10), (3, 3), (3, 33)] == [(each.id, each.count) for each in result.records]


def test_a_bulk_create_inside_a_transaction(item: Any) -> None:
    """Failures of rows leave the transaction usable; its end decides over all."""
    with transaction(item):
        result = item.put.bulk([{"id": 1}, {"id": 1}, {"id": 2}])
        item.put(id=3)
    with pytest.raises(ZeroDivisionError), transaction(item):
        item.put.bulk([{"id": 4}])
        raise ZeroDivisionError

    assert (2, [1]) == (result.count, [failure.index for failure in result.failures])
    assert {1: 0, 2: 0, 3: 0} == counts(item)


@pytest.mark.parametrize("strategy", ["atomic", "stream", None])
def test_both_strategies_do_the_same(item: Any, strategy: Any) -> None:
    """They write to all records of the query and to no other, and count them, over many pages."""
    item.put.bulk([{"id": number, "count": number % 2} for number in range(1201)])
    result = item.empty.bulk(query(item).filter(item.count == 1), strategy=strategy)

    assert (600, ()) == (result.count, result.failures)
    assert {0} == set(counts(item).values())
    assert () == result.records


@pytest.mark.parametrize(
    ("action", "narrow", "reason"),
    [
        ("own", lambda asked: asked, "has no atomic form"),
        ("check", lambda asked: asked, "a condition of a step.* must name the record that it refuses"),
        ("empty", lambda asked: asked.limit(1), "the query has a limit or an offset"),
        ("empty", lambda asked: asked.offset(1), "the query has a limit or an offset"),
        ("alone", lambda asked: asked, "asks for a transaction of its own"),
        ("add", lambda asked: asked, "limit of an attribute, must name the record"),
    ],
)
def test_one_statement_is_refused_where_it_cannot_be(item: Any, action: str, narrow: Callable[[Any], Any], reason: str) -> None:
    """The refusal names the reason and the other strategy, and nothing is written."""
    item.put.bulk([{"id": 1, "count": 1}, {"id": 2, "count": 2}])

    for strategy in ("atomic", None):
        with pytest.raises(InvalidArgument, match=f"cannot run as one statement: .*{reason}.*strategy='stream'"):
            getattr(item, action).bulk(narrow(query(item)), strategy=strategy)
    assert {1: 1, 2: 2} == counts(item)
    assert 1 <= getattr(item, action).bulk(narrow(query(item)), strategy="stream").count


def test_one_statement_checks_what_is_given(item: Any) -> None:
    """A validation that looks at the input only does not need each record."""
    item.put.bulk([{"id": 1, "count": 1}, {"id": 2, "count": 2}])

    assert 2 == item.check.bulk(query(item), strategy="atomic", count=5).count
    with pytest.raises(Invalid, match="count"):
        item.check.bulk(query(item), strategy="atomic", count=50)
    assert {1: 5, 2: 5} == counts(item)


def test_what_the_layer_cannot_compute_at_once(item: Any) -> None:
    """A store that has no exact decimals refuses one statement and streams; one that has them does as asked."""
    item.put.bulk([{"id": 1}, {"id": 2}])
    try:
        count = item.raise_price.bulk(query(item), strategy="atomic").count
    except InvalidArgument:
        with pytest.raises(InvalidArgument, match="the data layer cannot compute it"):
            item.raise_price.bulk(query(item), strategy="atomic")
        count = item.raise_price.bulk(query(item), strategy="stream").count

    assert 2 == count
    assert [Decimal(2), Decimal(2)] == [each.price for each in query(item).all()]


def test_a_stream_goes_on_after_a_failure(item: Any) -> None:
    """A failure is reported by its place in the order of the key; the others are written."""
    item.put.bulk([{"id": number, "count": number} for number in range(4)])
    result = item.own.bulk(query(item), strategy="stream", return_records=True)

    assert (3, [(0, ZeroDivisionError)]) == (result.count, [(each.index, type(each.error)) for each in result.failures])
    assert {0: 0, 1: 10, 2: 5, 3: 3} == counts(item)
    assert [1, 2, 3] == [each.id for each in result.records]


def test_a_wrong_input_is_wrong_for_all(item: Any) -> None:
    """It is raised once, before anything is written."""
    item.put.bulk([{"id": 1}, {"id": 2}])

    for strategy in ("atomic", "stream"):
        with pytest.raises(Invalid, match="name: must be text"):
            item.rename.bulk(query(item), strategy=strategy, name=5)
        with pytest.raises(Invalid, match="nam: is not an input"):
            item.rename.bulk(query(item), strategy=strategy, nam="x")
    with pytest.raises(InvalidArgument, match="strategy is 'atomic' or 'stream', not 'fast'"):
        item.rename.bulk(query(item), strategy="fast")


def test_an_identity_that_is_hit_by_one_statement(item: Any) -> None:
    """The statement writes nothing, and the error names resource and action."""
    item.put.bulk([{"id": 1}, {"id": 2}])

    with pytest.raises(UniqueViolation) as caught:
        item.rename.bulk(query(item), strategy="atomic", name="same")
    assert ("by_name", "Item", "rename") == (caught.value.identity, caught.value.resource, caught.value.action)
    assert [None, None] == [each.name for each in query(item).all()]
    result = item.rename.bulk(query(item), strategy="stream", name="same")
    assert (1, [1]) == (result.count, [failure.index for failure in result.failures])


def test_a_stream_keeps_no_records_unless_asked(item: Any) -> None:
    """A stream over many records needs no memory for each of them."""
    item.put.bulk([{"id": number} for number in range(3)])

    assert (3, ()) == ((kept := item.empty.bulk(query(item), strategy="stream")).count, kept.records)
    assert 3 == len(item.empty.bulk(query(item), strategy="stream", return_records=True).records)


def test_given_records_are_written_one_by_one(item: Any) -> None:
    """Records, keys, and what is gone meanwhile; one statement is refused for them."""
    first, second = item.put(id=1, count=1), item.put(id=2, count=2)
    result = item.empty.bulk([first, 2, 9, "1", "x"])

    assert (3, [2, 4]) == (result.count, [failure.index for failure in result.failures])
    assert [NotFound, Invalid] == [type(failure.error) for failure in result.failures]
    with pytest.raises(InvalidArgument, match="one statement needs a query"):
        item.empty.bulk([first, second], strategy="atomic")
    for wrong in ("12", 5, None):
        with pytest.raises(InvalidArgument, match="takes a query or records"):
            item.empty.bulk(wrong)


def test_a_query_over_another_resource_is_refused(item: Any, layer: Callable[[], Any]) -> None:
    """Its condition would be asked of the wrong records."""

    class Other(Resource, domain=Domain("others"), data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)

    item.put(id=1)
    for strategy in ("atomic", "stream"):
        with pytest.raises(InvalidArgument, match="got a query over Other"):
            item.remove.bulk(query(Other), strategy=strategy)
    assert query(item).count() == 1


@pytest.mark.parametrize("strategy", ["atomic", "stream"])
def test_destroying_many(item: Any, strategy: Any) -> None:
    """The query's records go, the others stay."""
    item.put.bulk([{"id": number} for number in range(5)])
    result = item.remove.bulk(query(item).filter(item.id > 2), strategy=strategy)

    assert (2, ()) == (result.count, result.failures)
    assert [0, 1, 2] == list(counts(item))


def test_a_stream_keeps_the_query_s_bounds(item: Any) -> None:
    """Order, limit and offset choose the records that are written."""
    item.put.bulk([{"id": number, "count": number} for number in range(6)])
    result = item.empty.bulk(query(item).sort("-id").offset(1).limit(2), strategy="stream", return_records=True)

    assert [4, 3] == [each.id for each in result.records]
    assert {0: 0, 1: 1, 2: 2, 3: 0, 4: 0, 5: 5} == counts(item)


def test_a_read_s_order_does_not_stand_in_the_way(layer: Callable[[], Any]) -> None:
    """A primary read that sorts lets all be written at once; one that limits does not."""
    domain = Domain("reads")

    class Sorted(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        every = read(primary=True, preparations=[sort("-id")])
        put = create(accept=["id"])
        remove = destroy()

    class Limited(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        some = read(primary=True, preparations=[limit(1)])
        put = create(accept=["id"])
        remove = destroy()

    domain.create_storage()
    for each in (Sorted, Limited):
        each.put.bulk([{"id": 1}, {"id": 2}])

    assert 2 == Sorted.remove.bulk(query(Sorted), strategy="atomic").count
    with pytest.raises(InvalidArgument, match="a limit or an offset"):
        Limited.remove.bulk(query(Limited), strategy="atomic")
    assert 1 == Limited.remove.bulk(query(Limited), strategy="stream").count


def test_a_composite_key_and_a_key_without_order(layer: Callable[[], Any]) -> None:
    """Streams walk over keys of several parts, and over keys whose values cannot be compared."""
    domain = Domain("keys")

    class Book(Resource, domain=domain, data_layer=layer()):
        shelf: Attr[Shelf] = attribute(primary_key=True)
        place: Attr[int] = attribute(primary_key=True)
        read_times: Attr[int] = attribute(default=0)
        put = create(accept=["shelf", "place"])
        use = update(changes=[increment("read_times")])

    class Page(Resource, domain=domain, data_layer=layer()):
        book: Attr[str] = attribute(primary_key=True)
        number: Attr[int] = attribute(primary_key=True)
        read_times: Attr[int] = attribute(default=0)
        put = create(accept=["book", "number"])
        use = update(changes=[increment("read_times")])

    domain.create_storage()
    Book.put.bulk([{"shelf": shelf, "place": place} for shelf in Shelf for place in range(3)])
    Page.put.bulk([{"book": book, "number": number} for book in "ab" for number in range(400)])

    assert 6 == Book.use.bulk(query(Book), strategy="stream").count
    assert 800 == Page.use.bulk(query(Page), strategy="stream").count
    assert {1} == {each.read_times for each in [*query(Book).all(), *query(Page).all()]}
    assert 2 == Book.use((Shelf.LEFT, 1)).read_times
    assert 2 == get(Page, ("a", "7")).read_times + Page.use(("b", 7)).read_times - 1
    with pytest.raises(InvalidArgument, match="needs the key as a tuple of book, number"):
        get(Page, "a")


def test_async_bulk(item: Any) -> None:
    """The same in an event loop."""

    async def run() -> list[int]:
        made = await item.put.bulk.aio([{"id": 1}, {"id": 1}, {"id": 2, "count": 3}])
        emptied = await item.empty.bulk.aio(query(item).filter(item.count > 0), strategy="atomic")
        added = await item.add.using(actor="ann").bulk.aio(query(item), strategy="stream")
        gone = await item.remove.bulk.aio(query(item), strategy="atomic")
        return [made.count, emptied.count, added.count, gone.count]

    assert [2, 1, 2, 2] == asyncio.run(run())
