"""Upserts and the primary read: a record that is hidden is neither overwritten nor shown; bulk keeps the order of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import Attr, Changeset, Context, Domain, Query, Resource, attribute, context, create, identity, query, read
from resourcekit.errors import UniqueViolation
from resourcekit.extending import Upsert


@pytest.fixture
def note(every_layer: Callable[[], Any]) -> Any:
    """A resource of which each actor sees only what is the actor's own."""
    domain = Domain("hidden notes")

    def own(changeset: Changeset, context: Context) -> Changeset:
        return changeset.set(owner=context.actor)

    def look(changeset: Changeset, context: Context) -> Changeset:
        return changeset.after_action(lambda *_: None) if changeset.values["text"].startswith("hook") else changeset

    class Note(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        slug: Attr[str | None] = attribute(default=None, max_length=20)
        owner: Attr[str] = attribute(max_length=20)
        text: Attr[str] = attribute(default="")
        by_slug = identity("slug")

        @read(primary=True)
        @staticmethod
        def mine(query: Query[Note], context: Context) -> Query[Note]:
            return query if context.actor == "all" else query.filter(Note.owner == context.actor)

        put = create(accept=["id", "text"], changes=[own], upsert=True)
        put_slug = create(accept=["id", "slug", "text"], changes=[own], upsert="by_slug")
        first = create(accept=["id", "slug"], changes=[own], upsert=Upsert(identity="by_slug", set={}))
        force = create(accept=["id", "text"], changes=[own], upsert=Upsert(ignores_read=True))
        keep = create(accept=["id", "text"], changes=[own, look], upsert=True)

    domain.create_storage()
    return Note


def test_an_upsert_does_not_write_over_a_hidden_record(note: Any) -> None:
    """By key and by identity: the key is reported as taken, and no part of the record is shown or changed."""
    with context(actor="A"):
        note.put(id=1, text="secret of A")
        note.put_slug(id=2, slug="s", text="secret of A")
    with context(actor="B"):
        for call, given, fields in [
            (note.put, {"id": 1}, ("id",)),
            (note.put_slug, {"id": 3, "slug": "s"}, ("slug",)),
            (note.first, {"id": 3, "slug": "s"}, ("slug",)),
            (note.put.outcome, {"id": 1}, ("id",)),
        ]:
            with pytest.raises(UniqueViolation) as caught:
                call(**given, **({} if call is note.first else {"text": "of B"}))
            assert fields == caught.value.fields
            assert "secret" not in str(caught.value)
        bulk = note.put.bulk([{"id": 1, "text": "of B"}, {"id": 4, "text": "of B"}])
    assert (1, [(0, UniqueViolation)]) == (bulk.count, [(failure.index, type(failure.error)) for failure in bulk.failures])
    with context(actor="all"):
        found = query(note).sort("id").all()
    assert [("A", "secret of A"), ("A", "secret of A"), ("B", "of B")] == [(each.owner, each.text) for each in found]


def test_an_upsert_may_ignore_the_primary_read(note: Any) -> None:
    """``ignores_read`` writes to every record: for writes that must hold, as a revocation."""
    with context(actor="A"):
        note.put(id=1, text="of A")
    with context(actor="B"):
        assert ("B", "of B") == (note.force(id=1, text="of B").owner, note.force(id=1, text="of B").text)


def test_the_last_write_of_a_key_counts(note: Any) -> None:
    """An input whose change adds a hook is written in its turn: after those before it, before those behind it."""
    with context(actor="A"):
        for texts in (["plain", "hook"], ["hook", "plain"], ["hook 1", "plain 2", "hook 3", "plain 4"]):
            result = note.keep.bulk([{"id": 1, "text": text} for text in texts])
            assert (len(texts), texts[-1]) == (result.count, query(note).one().text)
            assert texts == [record.text for record in result.records]
