"""The compiled statement of an update or destroy gives what its steps give, one by one, and needs fewer calls."""

from __future__ import annotations

import sys
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
    actor,
    attribute,
    case,
    coalesce,
    compare,
    context,
    create,
    destroy,
    increment,
    now,
    one_of,
    present,
    query,
    set_attribute,
    set_new_attribute,
    tenant,
    touch,
    update,
    utc_now,
)
from resourcekit.declarations.change import Change
from resourcekit.errors import ResourcekitError
from resourcekit.expressions.nodes import Field
from resourcekit.testing import ManualClock

START = datetime(2026, 11, 29, 12, tzinfo=UTC)


class _Nothing(Change):
    """A change of the user's that sets nothing; with it the steps run in each call."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Return the changeset."""
        return changeset

    def atomic(self, changeset: Changeset, context: Context) -> dict[str, Any]:
        """Return nothing."""
        return {}


def _actions(extra: list[Any]) -> dict[str, Any]:
    """Return actions of built-in steps, each with some more changes."""
    return {
        "edit": update(accept=["name", "number"], changes=extra),
        "close": update(changes=[set_attribute("name", "closed"), *extra]),
        "add": update(changes=[increment("number", 40), *extra]),
        "fill": update(accept=["name"], changes=[set_new_attribute("name", "new"), touch("seen_at"), *extra]),
        "stamp": update(changes=[set_attribute("seen_at", now()), *extra]),
        "swap": update(changes=[set_attribute("number", Field("other")), set_attribute("other", Field("number")), *extra]),
        "later": update(
            changes=[set_attribute("seen_at", now()), set_attribute("seen_at", coalesce(Field("seen_at"), now())), *extra]
        ),
        "clear": update(changes=[set_attribute("name", None), *extra]),
        "both": update(accept=["number"], changes=[increment("number"), *extra]),
        "checked": update(accept=["name"], changes=extra, validations=[compare("number", "<", 60), one_of("name", ["a", "b"])]),
        "mixed": update(
            accept=["number"], changes=extra, validations=[compare("number", "<", Field("other")), present("number")]
        ),
        "remove": destroy(changes=extra, validations=[compare("number", "<", 60)]),
    }


def _declare(layer: Any, actions: dict[str, Any], notes: list[Notification], *, is_touched: bool) -> Any:
    domain, touches = Domain("items"), {"update_default_factory": utc_now} if is_touched else {}
    notifiers = [notes.append] if is_touched else []

    class Item(Resource, domain=domain, data_layer=layer, notifiers=notifiers):
        """An item."""

        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(default="x", max_length=10)
        number: Attr[int] = attribute(default=0, maximum=100)
        other: Attr[int] = attribute(default=50)
        seen_at: Attr[datetime | None] = attribute(default=None)
        changed_at: Attr[datetime] = attribute(default_factory=utc_now, **touches)
        make = create(accept=["id", "number"])
        locals().update(actions)

    domain.create_storage()
    Item.kept_domain = domain
    return Item


_CALLS: list[tuple[str, int, dict[str, Any]]] = [
    ("edit", 1, {"name": "b"}),
    ("edit", 1, {"name": "b"}),
    ("edit", 1, {"name": None, "number": 7}),
    ("edit", 1, {"number": 7, "name": "c"}),
    ("edit", 1, {}),
    ("edit", 1, {"number": "many"}),
    ("edit", 1, {"number": 101}),
    ("edit", 1, {"size": 3}),
    ("edit", 9, {"name": "b"}),
    ("close", 1, {}),
    ("close", 1, {}),
    ("close", 9, {}),
    ("add", 1, {}),
    ("add", 1, {}),
    ("add", 1, {}),
    ("add", 9, {}),
    ("fill", 1, {}),
    ("fill", 1, {"name": "given"}),
    ("stamp", 1, {}),
    ("stamp", 1, {}),
    ("swap", 1, {}),
    ("later", 1, {}),
    ("later", 1, {}),
    ("clear", 1, {}),
    ("both", 1, {"number": 3}),
    ("checked", 1, {"name": "a"}),
    ("checked", 1, {"name": "z"}),
    ("edit", 1, {"number": 80}),
    ("checked", 1, {"name": "a"}),
    ("checked", 1, {}),
    ("mixed", 1, {"number": 5}),
    ("mixed", 1, {"number": 99}),
    ("remove", 1, {}),
    ("remove", 2, {}),
    ("remove", 2, {}),
]


def _history(item: Any, notes: list[Notification]) -> list[Any]:
    """Make all calls, and return what each returned or raised, with the notifications and the stored records."""
    found: list[Any] = []
    with ManualClock(START, everywhere=True) as clock:
        item.make(id=1, number=10)
        item.make(id=2)
        for name, key, given in _CALLS:
            clock.advance(minutes=1)
            try:
                outcome: Any = vars(getattr(item, name)(key, **given))
            except ResourcekitError as error:
                outcome = type(error), str(error), getattr(error, "findings", None)
            stored = [vars(record) for record in query(item).sort("id").all()]
            found.append((name, outcome, len(notes), stored))
    return found


@pytest.mark.parametrize("is_touched", [False, True])
def test_a_compiled_statement_does_what_the_steps_do(every_layer: Callable[[], Any], is_touched: bool) -> None:
    """Records, errors with their findings, notifications and stored values are the same in each call of a long history."""
    notes: list[Notification] = []
    by_steps: list[Notification] = []
    item = _declare(every_layer(), _actions([]), notes, is_touched=is_touched)
    steps = _declare(every_layer(), _actions([_Nothing()]), by_steps, is_touched=is_touched)

    for ours, theirs in zip(_history(item, notes), _history(steps, by_steps), strict=True):
        assert theirs == ours


def test_a_change_reads_the_actor_of_each_call(every_layer: Callable[[], Any]) -> None:
    """An expression that combines a field with the actor or the tenant has the values of the call, not of the first one."""
    domain = Domain("claims")

    class Claim(Resource, domain=domain, data_layer=every_layer()):
        """A claim."""

        id: Attr[int] = attribute(primary_key=True)
        owner: Attr[int | None] = attribute(default=None)
        number: Attr[int] = attribute(default=1)
        make = create(accept=["id"])
        claim = update(changes=[set_attribute("owner", coalesce(Field("owner"), actor("id")))])
        take = update(changes=[set_attribute("owner", case(Field("number") > 0, actor("id"), Field("owner")))])
        add = update(changes=[set_attribute("number", Field("number") + coalesce(tenant(), 0))])

    domain.create_storage()
    for number in range(3):
        Claim.make(id=number)
    for number, who in enumerate((7, 8, None)):
        with context(actor={"id": who}, tenant=who):
            assert who == Claim.claim(number).owner
            assert who == Claim.take(0).owner
            assert 1 + (who or 0) == Claim.add(number).number


@pytest.mark.parametrize(
    ("name", "given", "most"), [("add", {}, 35), ("edit", {"name": "b"}, 40), ("checked", {"name": "a"}, 52)]
)
def test_a_usual_update_takes_few_calls(tmp_path: Any, name: str, given: dict[str, Any], most: int) -> None:
    """The steps of an action run once, and not in each call: an increment took 280 Python calls before."""
    from resourcekit.data_layers import SQL

    item = _declare(SQL(f"sqlite:///{tmp_path}/calls.db"), _actions([]), [], is_touched=False)
    for key in (1, 2):
        item.make(id=key)
    action, calls = getattr(item, name), 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    for key in (1, 2):  # the second call makes the function that makes the values of each later one
        action(key, **given)
    sys.setprofile(count)
    try:
        action(1, **given)
    finally:
        sys.setprofile(None)
    assert calls <= most
