"""Upserts: by key and by identity, what is written to a record that is there, on every layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Resource,
    attribute,
    coalesce,
    create,
    existing,
    get,
    greatest,
    identity,
    incoming,
    increment,
    query,
    set_attribute,
    utc_now,
    uuid7,
)
from resourcekit.errors import Invalid, StaleRecord, UniqueViolation
from resourcekit.extending import Upsert
from resourcekit.testing import ManualClock

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def page(layer: Callable[[], Any]) -> Any:
    """A resource with upserts of every kind."""
    domain = Domain("pages")

    class Page(Resource, domain=domain, data_layer=layer()):
        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        site: Attr[str | None] = attribute(default="home")
        path: Attr[str] = attribute()
        slug: Attr[str | None] = attribute(default=None)
        title: Attr[str] = attribute(default="untitled")
        hits: Attr[int] = attribute(default=1)
        best: Attr[int | None] = attribute(default=None)
        made_at: Attr[datetime] = attribute(default_factory=utc_now)
        changed_at: Attr[datetime | None] = attribute(default=None, update_default_factory=utc_now)
        by_path = identity("site", "path")
        by_slug = identity("slug")

        put = create(accept=["id", "site", "path", "slug", "title"], upsert=True)
        put_by_path = create(accept=["site", "path", "slug", "title"], upsert="by_path")
        hit = create(accept=["path"], changes=[increment("hits", 2), set_attribute("title", "hit")], upsert="by_path")
        score = create(
            accept=["path", "best", "title"],
            upsert=Upsert(identity="by_path", set={"best": greatest(existing("best"), incoming("best"))}),
        )
        name_once = create(
            accept=["path", "slug"],
            upsert=Upsert(identity="by_path", set={"slug": coalesce(existing("slug"), incoming("slug"))}),
        )
        claim = create(
            accept=["path", "title"],
            upsert=Upsert(identity="by_path", set={"title": incoming("title")}, where=existing("hits") < 2),
        )
        first_wins = create(accept=["path", "title"], upsert=Upsert(identity="by_path", set={}))

    domain.create_storage()
    return Page


def test_by_an_identity(page: Any) -> None:
    """A new record is inserted with its defaults; one that is there gets what was given, keeps its key and all else."""
    with ManualClock(START, everywhere=True) as clock:
        first = page.put_by_path(path="/", title="one", slug="s")
        clock.advance(hours=1)
        second = page.put_by_path(path="/", title="two")
        other = page.put_by_path(path="/", site="shop")

    assert (first.id, "two", "s", 1, START) == (second.id, second.title, second.slug, second.hits, second.made_at)
    assert (None, START + timedelta(hours=1)) == (first.changed_at, second.changed_at)
    assert second == get(page, first.id)
    assert first.id != other.id
    assert query(page).count() == 2


def test_by_the_primary_key(page: Any) -> None:
    """``upsert=True`` decides by the key."""
    first = page.put(path="/")
    second = page.put(id=first.id, path="/moved", title="two")

    assert (first.id, "/moved", "two") == (second.id, second.path, second.title)
    assert query(page).count() == 1


def test_nothing_given_is_nothing_written(page: Any) -> None:
    """Without a value to write the stored record stays as it is, its moments included."""
    first = page.put_by_path(path="/")
    second = page.put_by_path(path="/")

    assert first == second == query(page).one()


def test_none_is_never_in_conflict(page: Any) -> None:
    """A record with ``None`` in the identity is inserted each time."""
    page.put_by_path(site=None, path="/")
    page.put_by_path(site=None, path="/")

    assert query(page).count() == 2


def test_another_identity_still_holds(page: Any) -> None:
    """A conflict with an identity that does not decide is a UniqueViolation, and nothing is written."""
    page.put_by_path(path="/a", slug="taken")
    page.put_by_path(path="/b", title="b")

    for path in ("/b", "/c"):
        with pytest.raises(UniqueViolation) as caught:
            page.put_by_path(path=path, slug="taken", title="changed")
        assert "by_slug" == caught.value.identity
    assert {"/a": "untitled", "/b": "b"} == {each.path: each.title for each in query(page).all()}


def test_increments_count_on_from_the_stored_record(page: Any) -> None:
    """A change that computes starts from the default of a new record, and from what the stored one holds."""
    hits = [page.hit(path="/").hits for _ in range(3)]

    assert [3, 5, 7] == hits
    assert "hit" == page.hit(path="/").title


def test_expressions_over_the_stored_and_the_incoming_record(page: Any) -> None:
    """What is named in ``set`` is computed from both; what is not named stays."""
    scores = [page.score(path="/", best=best, title=str(best)) for best in (5, 3, None, 8)]

    assert [5, 5, 5, 8] == [each.best for each in scores]
    assert {"5"} == {each.title for each in scores}
    assert ["a", "a"] == [page.name_once(path="/", slug=slug).slug for slug in ("a", "b")]


def test_a_condition_on_the_stored_record(page: Any) -> None:
    """Where it does not hold, the record stays: StaleRecord, or "skipped" with the record if the outcome is asked for."""
    first = page.claim.outcome(path="/", title="mine")
    claimed = page.claim.outcome(path="/", title="yours")
    page.hit(path="/")
    with pytest.raises(StaleRecord, match=r"Page\.claim"):
        page.claim(path="/", title="theirs")
    late = asyncio.run(page.claim.outcome.aio(path="/", title="theirs"))

    assert ["inserted", "updated", "skipped"] == [first.outcome, claimed.outcome, late.outcome]
    assert ["mine", "yours", "hit"] == [first.record.title, claimed.record.title, late.record.title]
    assert late.record == query(page).one()


def test_an_upsert_that_sets_nothing(page: Any) -> None:
    """The first one wins; later ones get the record as it is."""
    first = page.first_wins(path="/", title="one")
    second = page.first_wins(path="/", title="two")

    assert first == second == query(page).one()


def test_validations_and_casts_come_first(page: Any) -> None:
    """A wrong input is Invalid before the store is asked."""
    with pytest.raises(Invalid, match="title: must be text"):
        page.put_by_path(path="/", title=5)
    assert query(page).count() == 0


def test_hooks_of_an_upsert(layer: Callable[[], Any]) -> None:
    """They see the record as it is afterwards."""
    domain, seen = Domain("hooked pages"), list[tuple[int, str]]()

    def look(changeset: Changeset, context: Context) -> Changeset:
        return changeset.after_action(lambda changeset, record, context: seen.append((record.id, record.title)))

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        title: Attr[str] = attribute(default="untitled")
        put = create(accept=["id", "title"], changes=[look], upsert=True)

    domain.create_storage()
    Note.put(id=1)
    Note.put(id=1, title="two")
    Note.put(id=1)

    assert [(1, "untitled"), (1, "two"), (1, "two")] == seen
