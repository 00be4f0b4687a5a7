"""All timestamps of one action are one moment, and all problems of an input come in one error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resourcekit import Attr, Changeset, Context, Domain, Resource, attribute, create, now, present, set_attribute, touch, utc_now
from resourcekit.errors import Invalid
from resourcekit.testing import ManualClock

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


class _Hurried(ManualClock):
    """A clock that goes on by a second whenever it is looked at."""

    def now(self) -> datetime:
        """Return the time, and go on."""
        self.advance(seconds=1)
        return super().now()


@pytest.fixture
def note(layer: Callable[[], Any]) -> Any:
    """A resource whose records hold four moments."""
    domain = Domain("notes of one moment")

    def fill(changeset: Changeset, context: Context) -> Changeset:
        return changeset.set_new(slug="made")

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        text: Attr[str] = attribute(max_length=5)
        slug: Attr[str] = attribute()
        made_at: Attr[datetime] = attribute(default_factory=utc_now)
        seen_at: Attr[datetime] = attribute(default=now())
        changed_at: Attr[datetime] = attribute(default_factory=utc_now, update_default_factory=utc_now)
        read_at: Attr[datetime | None] = attribute(default=None)

        write = create(accept=["id", "text", "slug"], changes=[touch("read_at"), set_attribute("seen_at", now())])
        put = create(accept=["id", "text", "slug"], upsert=True)
        fill_in = create(accept=["id", "text", "slug"], changes=[fill])
        need = create(accept=["id", "slug"], validations=[present("read_at")])

    domain.create_storage()
    return Note


def test_the_timestamps_of_a_create_are_equal(note: Any) -> None:
    """Defaults, ``now()`` and ``touch`` of one create write the same moment, also in a batch and in an unsaved record."""
    given = {"id": 1, "text": "a", "slug": "b"}
    with _Hurried(START, everywhere=True):
        made = note.write(**given)
        (put,) = note.put.bulk([{**given, "id": 2}]).records
        unsaved = note(**given)

    assert made.made_at == made.seen_at == made.changed_at == made.read_at
    assert put.made_at == put.seen_at == put.changed_at
    assert unsaved.made_at == unsaved.seen_at == unsaved.changed_at
    assert timedelta(0) < put.made_at - made.made_at


def test_what_is_missing_is_told_together_with_what_is_wrong(note: Any) -> None:
    """A wrong input, an unknown one and two missing ones are four findings of one error."""
    with pytest.raises(Invalid) as caught:
        note.write(text="too long", nonsense=1)
    assert ["id", "nonsense", "slug", "text"] == sorted(finding.path for finding in caught.value.findings)


def test_what_is_missing_is_told_together_with_what_a_validation_refuses(note: Any) -> None:
    """A validation that fails does not hide an attribute that has no value."""
    with pytest.raises(Invalid) as caught:
        note.need(id=1)
    assert ["read_at", "slug", "text"] == sorted(finding.path for finding in caught.value.findings)


def test_what_a_function_may_fill_in_is_not_told_as_missing(note: Any) -> None:
    """A change that is a function may set the slug, so only the wrong input is reported."""
    with pytest.raises(Invalid) as caught:
        note.fill_in(id=1, text=5)

    assert ["text"] == [finding.path for finding in caught.value.findings]
    assert "made" == note.fill_in(id=1, text="a").slug
