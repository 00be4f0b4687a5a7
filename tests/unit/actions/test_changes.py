"""Changes: what they write, how they add up, and that none of them loses a write, on every layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Resource,
    arg,
    argument,
    attribute,
    compare,
    create,
    destroy,
    get,
    increment,
    now,
    optimistic_lock,
    query,
    set_attribute,
    set_new_attribute,
    string_length,
    touch,
    update,
)
from resourcekit.errors import FieldFinding, Invalid, NotFound, StaleRecord
from resourcekit.extending import Change, Field, Validation
from resourcekit.testing import ManualClock, declaration_errors

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@attrs.frozen
class Add(Change):
    """A change of the application's own, with all three forms."""

    name: str
    by: int

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add to what was read."""
        return changeset.set(**{self.name: changeset.get(self.name) + self.by})

    def atomic(self, changeset: Changeset, context: Context) -> Mapping[str, Any]:
        """Let the store add."""
        return {self.name: Field(self.name) + self.by}

    def batch(self, changesets: Sequence[Changeset], context: Context) -> list[Changeset]:
        """Add for many at once, one more for each that came before."""
        return [each.set(**{self.name: each.get(self.name) + self.by + place}) for place, each in enumerate(changesets)]


@attrs.frozen
class Even(Validation):
    """A validation of the application's own, without an atomic form."""

    name: str

    def validate(self, changeset: Changeset, context: Context) -> Iterator[FieldFinding]:
        """Find an odd number."""
        if changeset.get(self.name) % 2:
            yield FieldFinding(self.name, "must be even")


async def slowly(changeset: Changeset, context: Context) -> Changeset:
    """Change in a coroutine that does not have to wait."""
    return changeset.set(title=f"by {context.actor}")


def double(changeset: Changeset, context: Context) -> Changeset:
    """Change by a function: it must read first."""
    return changeset.set(count=changeset.get("count") * 2)


@pytest.fixture
def counter(layer: Callable[[], Any]) -> Any:
    """A resource with a change of every kind."""
    domain = Domain("counters")

    class Counter(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=5, minimum=0, maximum=1000)
        total: Attr[int | None] = attribute(default=None)
        price: Attr[Decimal] = attribute(default=Decimal("1.50"))
        title: Attr[str] = attribute(default="untitled", max_length=12)
        seen_at: Attr[datetime | None] = attribute(default=None)
        due_at: Attr[datetime | None] = attribute(default=None)
        version: Attr[int] = attribute(default=1)
        made_at: Attr[datetime] = attribute(default=now())
        changed_at: Attr[datetime | None] = attribute(default=None, update_default_factory=lambda: now())  # noqa: PLW0108  # a function as users write it

        start = create(accept=["id", "count", "title", "total"])
        start_higher = create(accept=["id"], changes=[increment("count"), increment("total", 3)])
        start_named = create(
            accept=["id", "title"], changes=[set_new_attribute("title", "new"), set_attribute("count", lambda: 7)]
        )
        add = update(changes=[increment("count")], require_atomic=True)
        add_much = update(changes=[increment("count", 2), increment("count", 3), increment("total", 1)], require_atomic=True)
        add_own = update(changes=[Add("count", 4)], require_atomic=True)
        add_given = update(
            arguments=[argument("by", int, minimum=1)], changes=[set_attribute("count", Field("count") + arg("by"))]
        )
        add_wait = update(arguments=[argument("by", int)], changes=[increment("total", arg("by"))], require_atomic=True)
        reset_and_add = update(changes=[set_attribute("count", 10), increment("count"), set_attribute("total", Field("count"))])
        raise_price = update(changes=[set_attribute("price", price * 2), increment("price", Decimal("0.25"))])
        double = update(changes=[increment("count"), double])
        rename = update(accept=["title"], changes=[set_new_attribute("title", "renamed")])
        longer = update(changes=[set_attribute("title", title + "!")])
        see = update(changes=[touch("seen_at", "due_at")])
        put_off = update(changes=[set_attribute("due_at", seen_at + timedelta(days=1))])
        sign = update(changes=[slowly])
        bump = update(accept=["title"], changes=[optimistic_lock()])
        even = update(accept=["count"], validations=[Even("count")])
        remove = destroy()

    domain.create_storage()
    return Counter


def test_defaults_are_there_for_changes(counter: Any) -> None:
    """A new record starts from its defaults: a change counts on from them, ``None`` counts as nothing."""
    made = counter.start_higher(id=1)

    assert (6, 3) == (made.count, made.total)
    assert made == get(counter, 1)


def test_a_value_where_none_was_given(counter: Any) -> None:
    """``set_new_attribute`` leaves what the caller gave, and wins over the default; a function is called."""
    assert ("new", 7) == (counter.start_named(id=1).title, get(counter, 1).count)
    assert "mine" == counter.start_named(id=2, title="mine").title
    assert "renamed" == counter.rename(1).title
    assert "other" == counter.rename(1, title="other").title


def test_changes_of_one_action_add_up(counter: Any) -> None:
    """Each change starts from what the one before has made of the record, in one statement as well as in Python."""
    counter.start(id=1, count=1)

    assert (6, 1) == (counter.add_much(1).count, get(counter, 1).total)
    assert (11, 11) == (counter.reset_and_add(1).count, get(counter, 1).total)
    assert 24 == counter.double(1).count
    assert 28 == counter.add_own(1).count
    assert 31 == counter.add_given(1, by=3).count
    assert 33 == counter.add_given(1, 2).count
    assert 13 == counter.add_wait(1, by=2).total


def test_what_a_store_cannot_compute_is_computed_here(counter: Any) -> None:
    """Decimals multiply exactly, wherever that is done."""
    counter.start(id=1)

    assert Decimal("3.25") == counter.raise_price(1).price
    assert Decimal("6.75") == counter.raise_price(1).price


def test_the_limits_of_an_attribute_hold_for_what_is_computed(counter: Any) -> None:
    """An increment beyond the maximum, or a text that grows too long, is Invalid, and nothing is written."""
    counter.start(id=1, count=1000, title="x" * 11)

    with pytest.raises(Invalid, match="count: must be at most 1000"):
        counter.add(1)
    assert 12 == len(counter.longer(1).title)
    with pytest.raises(Invalid, match="title: must have at most 12"):
        counter.longer(1)
    assert (1000, 12) == (get(counter, 1).count, len(get(counter, 1).title))


def test_moments(counter: Any) -> None:
    """``touch`` writes one moment to all; ``now()`` is a default; arithmetic with spans is the store's."""
    with ManualClock(START, everywhere=True) as clock:
        made = counter.start(id=1)
        clock.advance(minutes=1)
        seen = counter.see(1)
        clock.advance(minutes=1)
        later = counter.put_off(1)

    minute = timedelta(minutes=1)
    assert (START, None) == (made.made_at, made.changed_at)
    assert (START + minute, START + minute, START + minute) == (seen.seen_at, seen.due_at, seen.changed_at)
    assert (START + minute + timedelta(days=1), START + 2 * minute) == (later.due_at, later.changed_at)


def test_async_changes(counter: Any) -> None:
    """A coroutine that need not wait runs in sync and async calls, and sees who acts."""
    counter.start(id=1)

    assert "by ann" == counter.sign.using(actor="ann")(1).title
    assert "by bob" == asyncio.run(counter.sign.using(actor="bob").aio(1)).title


def test_an_update_that_must_read_never_loses_a_write(counter: Any) -> None:
    """Written over a record that changed meanwhile, it raises StaleRecord; read again, it works."""
    old = counter.start(id=1)
    counter.add(1)

    with pytest.raises(StaleRecord, match="changed by another writer"):
        counter.double(old)
    assert 6 == get(counter, 1).count
    assert 14 == counter.double(1).count


def test_an_atomic_update_takes_a_record_of_any_age(counter: Any) -> None:
    """What the store computes itself cannot be stale."""
    old = counter.start(id=1)
    for _ in range(3):
        counter.add(old)

    assert 8 == get(counter, 1).count


def test_an_optimistic_lock(counter: Any) -> None:
    """A version that was seen is required and counted on; by key, the present one is."""
    first = counter.start(id=1)
    second = counter.bump(first, title="one")

    assert (1, 2) == (first.version, second.version)
    with pytest.raises(StaleRecord):
        counter.bump(first, title="two")
    assert 3 == counter.bump(1, title="three").version
    assert "three" == get(counter, 1).title


def test_nothing_to_write_still_needs_a_record(counter: Any) -> None:
    """An update without a change returns the record, or NotFound."""
    made = counter.start(id=1)
    counter.even(1, count=6)

    assert made.title == counter.even(1).title
    with pytest.raises(NotFound):
        counter.even(9)
    with pytest.raises(Invalid, match="count: must be even"):
        counter.even(1, count=7)


def test_batch_changes_serve_many_at_once(layer: Callable[[], Any]) -> None:
    """In a bulk create a change with ``batch`` gets all inputs together, in its place among the changes; alone, ``change``."""
    domain = Domain("batches")

    class Batch(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        put = create(
            accept=["id"],
            changes=[
                set_attribute("count", 100),
                Add("count", 10),
                lambda changeset, context: changeset.set(count=-changeset.get("count")),
            ],
            validations=[compare("count", "<", 0), compare("count", "!=", -111)],
        )

    domain.create_storage()
    result = Batch.put.bulk([{"id": 1}, {"id": 2}, {"id": "x"}, {"id": 3}])

    assert [(1, -110), (3, -112)] == [(each.id, each.count) for each in result.records]
    assert [(1, "count"), (2, "id")] == [(each.index, each.error.findings[0].path) for each in result.failures]
    assert (4, -110) == (Batch.put(id=4).id, get(Batch, 4).count)


def test_a_change_must_return_the_changeset(layer: Callable[[], Any]) -> None:
    """A forgotten ``return`` is reported by the name of the change, and nothing is written."""
    domain = Domain("forgetful")

    def forgets(changeset: Changeset, context: Context) -> None:
        changeset.set(count=1)

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"], changes=[forgets])

    domain.create_storage()
    with pytest.raises(TypeError, match=r"the change .*forgets must return the changeset, not NoneType"):
        Note.write(id=1)
    assert query(Note).count() == 0


def test_a_change_that_writes_what_is_no_attribute(layer: Callable[[], Any]) -> None:
    """It is Invalid, by name, for a create and for an update; a key is never written by an update."""
    domain = Domain("strays")

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])
        stray = create(accept=["id"], changes=[lambda changeset, context: changeset.set(nothing=1)])
        wander = update(changes=[lambda changeset, context: changeset.set(nothing=1, id=5)])

    domain.create_storage()
    Note.write(id=1)
    with pytest.raises(Invalid, match="nothing: is no attribute"):
        Note.stray(id=2)
    with pytest.raises(Invalid) as caught:
        Note.wander(1)

    assert ["nothing", "id"] == [finding.path for finding in caught.value.findings]
    assert [Note(id=1)] == query(Note).all()


def test_require_atomic_at_declaration() -> None:
    """Steps without an atomic form are refused with the class, all of them."""

    class Plain(Validation):
        def validate(self, changeset: Changeset, context: Context) -> None:
            return None

    with declaration_errors() as errors:

        class Note(Resource):
            id: Attr[int] = attribute(primary_key=True)
            count: Attr[int] = attribute(default=0)
            change = update(changes=[double, increment("count")], validations=[Plain()], require_atomic=True)
            remove = destroy(validations=[string_length("count", max=1)], require_atomic=True)

    assert ["RK047"] * 3 == [error.code for error in errors]
    assert {"double", "Plain", "_OnText"} == {error.what.split(" and ")[1].split(" has ")[0] for error in errors}
