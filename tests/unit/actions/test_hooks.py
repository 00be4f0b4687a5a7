"""Hooks around a write: their one order, what errors at each point leave behind, and what notifiers get."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
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
    destroy,
    get,
    identity,
    query,
    set_attribute,
    transaction,
    update,
)
from resourcekit.errors import Invalid, UniqueViolation
from resourcekit.extending import runtime_of
from resourcekit.testing import ManualClock

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
STAGES = ["before_transaction", "before_action", "after_action", "after_transaction"]


class Log(list[str]):
    """What happened, in order; fails at one stage if asked to."""

    fails_at = ""

    def note(self, stage: str) -> None:
        """Note a stage."""
        self.append(stage)
        if stage == self.fails_at:
            raise ZeroDivisionError(stage)


@pytest.fixture(params=["sync hooks", "async hooks"])
def logged(layer: Callable[[], Any], request: pytest.FixtureRequest) -> tuple[Any, Log]:
    """A resource whose actions note each stage, and the log."""
    log, domain, is_async = Log(), Domain("logged"), request.param == "async hooks"

    def in_transaction() -> str:
        return "inside" if runtime_of(Entry).store.current_transaction() is not None else "outside"

    def hook(stage: str, returns: Callable[..., Any]) -> Any:
        def run(*args: Any) -> Any:
            log.append(in_transaction())
            log.note(stage)
            return returns(*args)

        async def wait(*args: Any) -> Any:
            return run(*args)

        return wait if is_async else run

    def hooked(changeset: Changeset, context: Context) -> Changeset:
        log.note("change")
        return (
            changeset.after_transaction(
                hook("after_transaction", lambda changeset, outcome, context: log.append(type(outcome).__name__))
            )
            .after_action(hook("after_action", lambda changeset, record, context: record))
            .before_action(hook("before_action", lambda changeset, context: changeset))
            .before_transaction(hook("before_transaction", lambda changeset, context: changeset))
        )

    def valid(changeset: Changeset, context: Context) -> None:
        log.note("validation")

    class Entry(Resource, domain=domain, data_layer=layer(), notifiers=[lambda notification: log.append("notified")]):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(default="new")
        by_name = identity("name")
        write = create(accept=["id", "name"], changes=[hooked], validations=[valid])
        rename = update(accept=["name"], changes=[hooked], validations=[valid])
        remove = destroy(changes=[hooked], validations=[valid])

    domain.create_storage()
    return Entry, log


ORDER = [
    "change",
    "validation",
    "outside",
    "before_transaction",
    "inside",
    "before_action",
    "inside",
    "after_action",
    "outside",
    "after_transaction",
    "Entry",
    "notified",
]


@pytest.mark.parametrize("call_mode", ["sync", "async"])
@pytest.mark.parametrize("action", ["write", "rename", "remove"])
def test_the_order(logged: tuple[Any, Log], action: str, call_mode: str) -> None:
    """before_transaction, before_action, the write, after_action, the commit, after_transaction, the notifiers."""
    entry, log = logged
    if action != "write":
        entry.write(id=1)
        log.clear()
    caller = getattr(entry, action)
    args, given = {"write": ((), {"id": 1}), "rename": ((1,), {"name": "renamed"}), "remove": ((1,), {})}[action]

    if call_mode == "sync":
        caller(*args, **given)
    else:
        asyncio.run(caller.aio(*args, **given))

    assert ORDER == log


@pytest.mark.parametrize("stage", ["change", "validation", *STAGES])
def test_an_error_at_each_stage(logged: tuple[Any, Log], stage: str) -> None:
    """An error before the commit leaves nothing written and no notifier run; after_transaction gets it, wherever it was raised."""
    entry, log = logged
    log.fails_at = stage

    with pytest.raises(ZeroDivisionError, match=stage):
        entry.write(id=1)

    is_committed = stage == "after_transaction"
    assert is_committed is query(entry).exists()
    assert "notified" not in log
    seen = [*STAGES[: STAGES.index(stage) + 1]] if stage in STAGES else []
    assert [*dict.fromkeys([*seen, *(["after_transaction"] if seen else [])])] == [each for each in log if each in STAGES]
    if seen and not is_committed:
        assert "ZeroDivisionError" == log[-1]


def test_an_error_of_the_store_reaches_after_transaction(logged: tuple[Any, Log]) -> None:
    """A write that the store refuses is rolled back with all that its hooks did, and after_transaction gets the error."""
    entry, log = logged
    entry.write(id=1, name="taken")
    log.clear()

    with pytest.raises(UniqueViolation):
        entry.write(id=2, name="taken")

    assert ["after_transaction", "UniqueViolation"] == log[-2:]
    assert "after_action" not in log


def hooked_resource(make_layer: Callable[[], Any], **hooks: Any) -> Any:
    """Declare a resource whose create and update have these hooks."""
    domain = Domain("hooked")

    def add(changeset: Changeset, context: Context) -> Changeset:
        for name, hook in hooks.items():
            changeset = getattr(changeset, name)(hook)
        return changeset

    class Entry(Resource, domain=domain, data_layer=make_layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(default="new")
        write = create(accept=["id", "name"], changes=[add])
        plain = create(accept=["id", "name"])
        rename = update(accept=["name"], changes=[add])

    domain.create_storage()
    return Entry


def test_hooks_may_change_what_is_written_and_returned(layer: Callable[[], Any]) -> None:
    """A before hook's changeset is written, an after_action's record is returned."""
    entry = hooked_resource(
        layer,
        before_transaction=lambda changeset, context: changeset.set(name=changeset.get("name") + "1"),
        before_action=lambda changeset, context: changeset.set(name=changeset.get("name") + "2"),
        after_action=lambda changeset, record, context: type(record)(id=record.id, name=record.name + "3"),
    )

    assert "a123" == entry.write(id=1, name="a").name
    assert "a12" == get(entry, 1).name
    assert "b123" == entry.rename(1, name="b").name
    assert "b12" == get(entry, 1).name


def test_hooks_that_return_nothing_change_nothing(layer: Callable[[], Any]) -> None:
    """A hook that is there for its effect only need return nothing."""
    ran: list[str] = []
    entry = hooked_resource(
        layer,
        before_transaction=lambda changeset, context: ran.append("before_transaction"),
        before_action=lambda changeset, context: ran.append("before_action"),
        after_action=lambda changeset, record, context: ran.append(record.name),
        after_transaction=lambda changeset, outcome, context: ran.append(outcome.name),
    )

    assert "a" == entry.write(id=1, name="a").name
    assert ["before_transaction", "before_action", "a", "a"] == ran


@pytest.mark.parametrize(("hook", "wanted"), [("before_action", "Changeset"), ("after_action", "Entry")])
def test_a_hook_that_returns_something_else(layer: Callable[[], Any], hook: str, wanted: str) -> None:
    """It is a TypeError that says what was wanted, and nothing is written."""
    entry = hooked_resource(layer, **{hook: lambda *args: 5})

    with pytest.raises(TypeError, match=f"must return a {wanted} or nothing, not int"):
        entry.write(id=1)
    assert query(entry).count() == 0


def test_a_hook_may_add_hooks_for_later_stages(layer: Callable[[], Any]) -> None:
    """What a hook's changeset brings is run, too, in a transaction where it asks for one."""
    ran: list[str] = []

    def late(changeset: Changeset, context: Context) -> Changeset:
        return changeset.after_action(lambda *args: ran.append("after_action")).after_transaction(
            lambda *args: ran.append("after_transaction")
        )

    entry = hooked_resource(layer, before_transaction=late)
    entry.write(id=1)

    assert ["after_action", "after_transaction"] == ran


def test_what_a_hook_writes_elsewhere_is_part_of_the_transaction(layer: Callable[[], Any]) -> None:
    """A hook's own writes go with the action: they are gone where a later hook fails."""
    other = hooked_resource(layer)

    def write_other(changeset: Changeset, record: Any, context: Context) -> None:
        other.plain(id=record.id)
        if record.id == 13:
            raise Invalid("unlucky")

    entry = hooked_resource(layer, after_action=write_other)
    entry.write(id=1)
    with pytest.raises(Invalid, match="unlucky"):
        entry.write(id=13)

    assert [1] == [each.id for each in query(other).all()]
    assert [1] == [each.id for each in query(entry).all()]


class Teller:
    """A notifier as an object."""

    def __init__(self) -> None:
        self.notified: list[Notification] = []

    def notify(self, notification: Notification) -> None:
        """Keep it."""
        self.notified.append(notification)


def told_resource(make_layer: Callable[[], Any], *notifiers: Any, own: Any = ()) -> Any:
    """Declare a resource with these notifiers."""
    domain = Domain("notified")

    class Entry(Resource, domain=domain, data_layer=make_layer(), notifiers=list(notifiers)):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(default="new")
        write = create(accept=["id", "name"], notifiers=own)
        keep = create(accept=["id"], upsert=True)
        rename = update(changes=[set_attribute("name", "renamed")])
        name_again = update(changes=[set_attribute("name", "named again")])
        remove = destroy()

    domain.create_storage()
    return Entry


def test_a_notification_says_what_was_done(layer: Callable[[], Any]) -> None:
    """It names the resource, the action, the record, who acted and when; an action's own notifiers come last."""
    teller, order = Teller(), list[str]()
    entry = told_resource(layer, teller, lambda notification: order.append("resource"), own=[lambda _: order.append("action")])

    with ManualClock(START, everywhere=True):
        made = entry.write.using(actor="ann", metadata={"request": 7})(id=1)
        renamed = entry.rename(made)
        removed = entry.remove(1)

    assert [("write", "create", made), ("rename", "update", renamed), ("remove", "destroy", removed)] == [
        (each.action, each.kind, each.record) for each in teller.notified
    ]
    first = teller.notified[0]
    assert (entry, "ann", START, {"request": 7}) == (first.resource, first.actor, first.at, first.metadata)
    assert ["resource", "action", "resource", "resource"] == order


def test_notifiers_wait_for_the_outermost_commit(layer: Callable[[], Any]) -> None:
    """They run once, after the commit; writes that were rolled back, to a savepoint too, never reach them."""
    teller = Teller()
    entry = told_resource(layer, teller)

    with transaction(entry):
        entry.write(id=1)
        with pytest.raises(ZeroDivisionError), transaction(entry):
            entry.write(id=2)
            raise ZeroDivisionError
        with transaction(entry):
            entry.write(id=3)
        assert teller.notified == []
    with pytest.raises(ZeroDivisionError), transaction(entry):
        entry.write(id=4)
        raise ZeroDivisionError

    assert [1, 3] == [each.record.id for each in teller.notified]


def test_bulk_actions_tell_of_each_record(layer: Callable[[], Any]) -> None:
    """One notification a record, whatever the strategy; none for failures."""
    teller = Teller()
    entry = told_resource(layer, teller)

    entry.write.bulk([{"id": 1}, {"id": 2}, {"id": 2}, {"id": "x"}], return_records=False)
    entry.rename.bulk(query(entry), strategy="atomic")
    entry.name_again.bulk(query(entry), strategy="stream")
    entry.remove.bulk(query(entry), strategy="atomic")

    assert [(action, number) for action in ("write", "rename", "name_again", "remove") for number in (1, 2)] == [
        (each.action, each.record.id) for each in teller.notified
    ]


def test_an_upsert_that_changes_nothing_tells_nobody(layer: Callable[[], Any]) -> None:
    """A record that stays as it is was not written."""
    teller = Teller()
    entry = told_resource(layer, teller)

    first, second = entry.keep(id=1), entry.keep(id=1)

    assert first == second
    assert [1] == [each.record.id for each in teller.notified]


def test_a_notifier_that_fails_stops_nothing(layer: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    """The write is kept, the other notifiers run, the log names the one that failed, and quotes no record."""

    def broken(notification: Notification) -> None:
        raise ValueError(f"cannot report {notification.record}")

    async def waits(notification: Notification) -> None:
        await asyncio.sleep(0)
        teller.notify(notification)

    async def at_once(notification: Notification) -> None:
        teller.notify(notification)

    teller = Teller()
    entry = told_resource(layer, broken, waits, at_once, teller)
    with caplog.at_level(logging.ERROR):
        entry.write(id=1)
    texts = [record.getMessage() for record in caplog.records]

    assert [1, 1] == [each.record.id for each in teller.notified]
    assert 2 == len(texts)
    assert texts[0].endswith("broken failed: ValueError")
    assert ".aio" in texts[1]
    assert [1] == [each.id for each in query(entry).all()]
    assert 3 == len(asyncio.run(tell_async(entry, teller)))


async def tell_async(entry: Any, teller: Teller) -> list[Notification]:
    """Write in a loop, inside a transaction, and return the notifications afterwards."""
    teller.notified.clear()
    async with transaction(entry):
        await entry.write.aio(id=2)
        assert teller.notified == []
    return teller.notified
