"""An update that changes nothing touches no timestamp, runs no notifier, and still finds out whether the record is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Notification,
    Resource,
    attribute,
    create,
    get,
    increment,
    query,
    set_attribute,
    update,
    utc_now,
)
from resourcekit.errors import NotFound, StaleRecord
from resourcekit.testing import ManualClock
from tests.support.scales import scale_on

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def notes() -> list[Notification]:
    """The notifications that the notifier got."""
    return []


@pytest.fixture
def memo(every_layer: Callable[[], Any], notes: list[Notification]) -> Any:
    """A resource with a timestamp that updates touch, and a notifier."""
    domain, layer = Domain("memos"), every_layer()

    def by_hand(changeset: Changeset, context: Context) -> Changeset:
        return changeset.set(text="hand")

    class Memo(Resource, domain=domain, data_layer=layer, notifiers=[notes.append]):
        id: Attr[int] = attribute(primary_key=True)
        text: Attr[str | None] = attribute(default=None)
        price: Attr[Decimal | None] = attribute(default=None, scale=scale_on(layer))
        tags: Attr[list[str] | None] = attribute(default=None)
        changed_at: Attr[datetime] = attribute(default_factory=utc_now, update_default_factory=utc_now)

        make = create(accept=["id", "text", "price", "tags"])
        edit = update(accept=["text", "price", "tags"])
        close = update(changes=[set_attribute("text", "closed")])
        hand = update(changes=[by_hand])
        put = create(accept=["id", "text", "price", "tags"], upsert=True)
        more = update(changes=[increment("price", Decimal(0))])

    domain.create_storage()
    return Memo


def test_an_update_that_changes_nothing(memo: Any, notes: list[Notification]) -> None:
    """Nothing given, the same given again, a constant written again, and a change that must read first."""
    with ManualClock(START, everywhere=True) as clock:
        memo.make(id=1, text="a", tags=["x"])
        for first, again in (
            (lambda: memo.edit(1, text="b", tags=["y"]), lambda: memo.edit(1, text="b", tags=["y"])),
            (lambda: memo.edit(get(memo, 1), text=None), lambda: memo.edit(get(memo, 1), text=None)),
            (lambda: memo.close(1), lambda: memo.close(1)),
            (lambda: memo.hand(1), lambda: memo.hand(1)),
            (lambda: memo.edit(1, text="c"), lambda: memo.edit(1)),
        ):
            notes.clear()
            clock.advance(hours=1)
            changed = first()
            clock.advance(hours=1)
            same = again()

            assert 1 == len(notes)
            assert changed == same == get(memo, 1)


def test_a_new_spelling_is_a_change(memo: Any) -> None:
    """99.50 is written over 99.5, unless the scale gives both one spelling."""
    with ManualClock(START, everywhere=True) as clock:
        memo.make(id=1, price="99.5")
        clock.advance(hours=1)
        changed = memo.edit(1, price="99.50")

    hour = 13 if memo.price.entity.scale is None else 12
    assert ("99.50", START.replace(hour=hour)) == (str(changed.price), changed.changed_at)


def test_one_statement_touches_what_it_changes(memo: Any) -> None:
    """All that match are counted; the timestamp of a record that holds the value already stays."""
    with ManualClock(START, everywhere=True) as clock:
        memo.make.bulk([{"id": 1, "text": "closed"}, {"id": 2}])
        clock.advance(hours=1)
        result = memo.close.bulk(query(memo), return_records=True)

    assert (2, {1: START, 2: START.replace(hour=13)}) == (result.count, {each.id: each.changed_at for each in result.records})


def test_a_record_that_is_gone_or_stale_is_told(memo: Any) -> None:
    """Also where nothing would change."""
    with pytest.raises(NotFound):
        memo.edit(9)
    with pytest.raises(NotFound):
        memo.edit(9, text="a")
    memo.make(id=1, text="hand")
    old = get(memo, 1)
    memo.edit(1, text="b")
    with pytest.raises(StaleRecord):
        memo.hand(old)


def test_values_with_several_spellings(memo: Any, notes: list[Notification]) -> None:
    """A decimal and a sum that are as they were; the record is known by its key only."""
    with ManualClock(START, everywhere=True) as clock:
        memo.make(id=1, price="99.50", tags=["x"])
        notes.clear()
        clock.advance(hours=1)

        assert START == memo.edit(1, price="99.50", tags=["x"]).changed_at
        assert START == memo.more(1).changed_at
        assert START == memo.put(id=1, price="99.50", tags=["x"]).changed_at
        memo.edit.bulk(query(memo), price="99.50")

    assert (START, "99.50") == (get(memo, 1).changed_at, str(get(memo, 1).price))
    assert {"edit"} >= {note.action for note in notes}


def test_an_upsert_that_changes_nothing(memo: Any, notes: list[Notification]) -> None:
    """It returns the record as an update does, alone and in bulk, and is heard of only where something changes."""
    with ManualClock(START, everywhere=True) as clock:
        memo.put.bulk([{"id": 1, "text": "a"}, {"id": 2, "text": "b", "price": "1.5"}])
        notes.clear()
        clock.advance(hours=1)
        same = memo.put(id=1, text="a")
        outcome = memo.put.outcome(id=1, text="a").outcome
        result = memo.put.bulk([{"id": 1, "text": "a"}, {"id": 2, "text": "c", "price": "1.5"}, {"id": 3}])

    assert (START, "updated") == (same.changed_at, outcome)
    assert (3, [1, 2, 3]) == (result.count, [each.id for each in result.records])
    assert {1: START, 2: START.replace(hour=13), 3: START.replace(hour=13)} == {
        each.id: each.changed_at for each in query(memo).all()
    }
    assert [("put", 2), ("put", 3)] == sorted((note.action, note.record.id) for note in notes)


def test_one_statement_tells_of_what_it_changes(memo: Any, notes: list[Notification]) -> None:
    """Records that hold the value already are counted and returned, and no notifier hears of them."""
    memo.make.bulk([{"id": 1, "text": "closed"}, {"id": 2}, {"id": 3, "text": "closed"}])
    notes.clear()
    result = memo.close.bulk(query(memo).filter(memo.id < 3), return_records=True)

    assert (2, {1, 2}) == (result.count, {each.id for each in result.records})
    assert 2 == memo.close.bulk(query(memo).filter(memo.id < 3)).count
    assert [2] == [note.record.id for note in notes]


def test_a_bulk_upsert_of_values_with_several_spellings(memo: Any, notes: list[Notification]) -> None:
    """Decimals: no notifier hears of a row that changes nothing; a new spelling, and a second row of one record, are written."""
    with ManualClock(START, everywhere=True) as clock:
        memo.put.bulk([{"id": number, "price": "9.50", "tags": ["x"]} for number in range(1, 5)])
        notes.clear()
        clock.advance(hours=1)
        again = [
            {"id": 1, "price": "9.50", "tags": ["x"]},
            {"id": 2, "price": "9.51", "tags": ["x"]},
            {"id": 3, "price": "9.50", "tags": ["x"]},
            {"id": 3, "price": "7", "tags": ["x"]},
            {"id": 4, "price": "9.50", "tags": ["y"]},
            {"id": 5, "price": "1"},
        ]
        result = memo.put.bulk(again)

    assert (6, [1, 2, 3, 3, 4, 5]) == (result.count, [each.id for each in result.records])
    assert [2, 3, 4, 5] == [note.record.id for note in notes]
    assert {1: START} == {each.id: each.changed_at for each in query(memo).all() if each.changed_at == START}
    assert ["9.50", "9.51", "7" if memo.price.entity.scale is None else "7.00"] == [str(get(memo, n).price) for n in (1, 2, 3)]


def test_a_bulk_update_of_values_with_several_spellings(memo: Any, notes: list[Notification]) -> None:
    """Decimals in one statement: all records are counted, and a notifier hears of those that change."""
    memo.make.bulk([{"id": 1, "price": "9.50"}, {"id": 2, "price": "1"}])
    notes.clear()
    result = memo.edit.bulk(query(memo), price="9.50", return_records=True)

    assert (2, {1, 2}) == (result.count, {each.id for each in result.records})
    assert [2] == [note.record.id for note in notes]


def test_in_a_task_an_update_that_changes_nothing_tells_nothing(memo: Any, notes: list[Notification]) -> None:
    """The async form is the same: atomic, computed by a function, by one statement, and as an upsert."""

    async def work() -> list[Any]:
        with ManualClock(START) as clock:
            made = await memo.make.aio(id=1, text="hand", price=Decimal("1.50"), tags=["a"])
            notes.clear()
            clock.advance(hours=1)
            found = [
                await memo.edit.aio(made, text="hand"),
                await memo.edit.aio(1, price=Decimal("1.50")),
                await memo.hand.aio(made),
                await memo.put.aio(id=1, text="hand", price=Decimal("1.50"), tags=["a"]),
            ]
            await memo.edit.bulk.aio(query(memo), text="hand")
            quiet = len(notes)
            changed = await memo.edit.aio(1, text="new")
        await memo.__runtime__.store.close()
        return [*found, quiet, changed]

    *found, quiet, changed = asyncio.run(work())

    assert [START] * 4 == [each.changed_at for each in found]
    assert (0, 1) == (quiet, len(notes))
    assert START < changed.changed_at
