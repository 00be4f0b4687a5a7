"""What archival does to a resource, on every data layer that resourcekit brings along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Attr, Domain, Query, Resource, attribute, create, destroy, get, info, query, read, set_attribute, update
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError, NotFound, UniqueViolation
from resourcekit.testing import ManualClock, declaration_errors
from resourcekit_archival import Archival

START = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A data layer of each kind."""
    return Memory() if request.param == "memory" else SQL(f"sqlite:///{tmp_path}/notes.db")


@pytest.fixture
def declare(layer: Any) -> Callable[..., Any]:
    """A function that declares a resource with the extension, makes its storage and stores three records."""

    def make(extension: Any = "archival") -> Any:
        domain = Domain("notes")

        class Note(Resource, domain=domain, data_layer=layer, extensions=[extension]):
            id: Attr[int] = attribute(primary_key=True)
            text: Attr[str] = attribute(default="")

            write = create(accept=["id", "text"])
            edit = update(accept=["text"])
            shout = update(changes=[set_attribute("text", "!")])
            remove = destroy()
            purge = destroy(finds_with="archived")

            @read
            @staticmethod
            def above(found: Query[Note], least: int) -> Query[Note]:
                return found.filter(Note.id > least)

        domain.create_storage()
        Note.write.bulk([{"id": 1}, {"id": 2}, {"id": 3}])
        return Note

    return make


def ids(records: Any) -> list[int]:
    """Return the keys of records, in order."""
    return sorted(record.id for record in records)


def test_destroy_marks_the_record_with_the_moment(declare: Callable[..., Any]) -> None:
    """The record that a destroy returns carries the time of the call; the row stays."""
    note = declare()
    with ManualClock(START) as clock:
        clock.advance(minutes=5)
        archived = note.remove(1)

    assert START + timedelta(minutes=5) == archived.archived_at
    assert [archived] == note.archived()


def test_no_read_shows_an_archived_record(declare: Callable[..., Any]) -> None:
    """Queries, ``get``, the primary read and the resource's own reads pass it over; counts and streams too."""
    note = declare()
    note.remove(get(note, 2))

    assert [1, 3] == ids(query(note).all()) == ids(query(note).stream()) == ids(note.read())
    assert [3] == ids(note.above(1))
    assert 2 == query(note).count()
    with pytest.raises(NotFound):
        get(note, 2)


def test_writes_pass_an_archived_record_over(declare: Callable[..., Any]) -> None:
    """An update or a second destroy of it is NotFound, also with a record that was read before it was archived."""
    note = declare()
    before = get(note, 2)
    note.remove(2)

    for write in (note.remove, note.shout, lambda record: note.edit(record, text="late")):
        for way in (2, before):
            with pytest.raises(NotFound):
                write(way)
    assert 2 == note.shout.bulk(query(note)).count
    assert "" == note.archived()[0].text


def test_unarchive_brings_it_back(declare: Callable[..., Any]) -> None:
    """The record is as it was, whether given as itself or by its key; one that is not archived is not found."""
    note = declare()
    first, second = note.remove(1), note.remove(2)

    assert None is note.unarchive(first).archived_at
    assert None is note.unarchive(2).archived_at
    assert [1, 2, 3] == ids(query(note).all())
    assert [] == note.archived()
    for not_archived in (second, 3):
        with pytest.raises(NotFound):
            note.unarchive(not_archived)


@pytest.mark.parametrize("strategy", ["atomic", "stream"])
def test_bulk_destroy_archives_all_that_match(declare: Callable[..., Any], strategy: str) -> None:
    """A bulk destroy counts the records that it archived; those that were archived before keep their moment."""
    note = declare()
    with ManualClock(START) as clock:
        note.remove(1)
        clock.advance(hours=1)
        done = note.remove.bulk(query(note).filter(note.id < 3), strategy=strategy)
    moments = {record.id: record.archived_at for record in note.archived()}

    assert (1, ()) == (done.count, done.failures)
    assert {1: START, 2: START + timedelta(hours=1)} == moments
    assert 2 == note.unarchive.bulk(query(note), strategy=strategy).count
    assert [1, 2, 3] == ids(query(note).all())


def test_the_other_call_mode(declare: Callable[..., Any]) -> None:
    """Everything has an async form that does the same."""
    note = declare()

    async def work() -> list[list[int]]:
        await note.remove.aio(1)
        await note.remove.bulk.aio(query(note).filter(note.id == 2))
        seen = [ids(await query(note).all.aio()), ids(await note.archived.aio())]
        await note.unarchive.aio(1)
        return [*seen, ids(await query(note).all.aio())]

    assert [[3], [1, 2], [1, 3]] == asyncio.run(work())


def test_an_excluded_destroy_removes(declare: Callable[..., Any]) -> None:
    """An action that the options exclude, and that finds its records in the archive, empties it for good."""
    note = declare(Archival(exclude_destroy_actions={"purge"}))
    note.remove(1)
    note.purge(1)

    assert [] == note.archived()
    assert [2, 3] == ids(query(note).all())
    with pytest.raises(NotFound):
        note.purge(2)
    assert 1 == note.write(id=1).id


def test_an_excluded_read_shows_all(declare: Callable[..., Any]) -> None:
    """A read that the options exclude shows archived records among the others."""
    note = declare(Archival(exclude_read_actions={"above"}))
    note.remove(3)

    assert [2, 3] == ids(note.above(1))
    assert [1, 2] == ids(query(note).all())


def test_names_are_options(declare: Callable[..., Any]) -> None:
    """The timestamp and both actions take other names; the options can be read back, typed."""
    with declaration_errors() as errors:
        declare(Archival(archived_action_name="bin", exclude_destroy_actions={"purge"}))
    note = declare(Archival(attribute="gone_at", unarchive_action_name="restore"))
    note.remove(1)

    assert ["RK049"] == [error.code for error in errors]  # purge finds its records with "archived"
    assert "gone_at" == Archival.of(note).attribute
    assert note.archived()[0].gone_at is not None
    assert None is note.restore(1).gone_at
    assert {"archived", "restore"} <= info(note).actions.keys()


def test_who_added_what_is_told(declare: Callable[..., Any]) -> None:
    """Introspection names the extension as the origin of what it added."""
    facts = info(declare())

    assert "Archival" == facts.attributes["archived_at"].origin.declared_by
    assert "Archival" == facts.actions["unarchive"].origin.declared_by
    assert ("replaced by Archival",) == facts.history["actions", "remove"][-1:]


def test_a_key_stays_taken(declare: Callable[..., Any]) -> None:
    """An archived record keeps its key: another one with that key is refused."""
    note = declare()
    note.remove(1)

    with pytest.raises(UniqueViolation):
        note.write(id=1)


def test_a_resource_that_declares_the_timestamp_wins(layer: Any) -> None:
    """Its own attribute is used as it is, here with a wider view for the public."""

    class Note(Resource, domain=Domain("own"), data_layer=layer, extensions=["archival"]):
        id: Attr[int] = attribute(primary_key=True)
        archived_at: Attr[datetime | None] = attribute(default=None, public=True)
        remove = destroy()

    assert info(Note).attributes["archived_at"].public
    assert "you" == info(Note).attributes["archived_at"].origin.declared_by


def test_without_a_destroy_there_is_nothing_to_archive() -> None:
    """ARCHIVAL01 says what to declare."""
    with declaration_errors() as errors:

        class Note(Resource, domain=Domain("none"), extensions=["archival"]):
            id: Attr[int] = attribute(primary_key=True)

        _ = Note

    assert [("ARCHIVAL01", "Declare one: remove = destroy().")] == [(error.code, error.hint) for error in errors]


def test_names_that_mean_something_else_are_refused_together() -> None:
    """ARCHIVAL02 names each of them, with the place of the resource's own declaration."""
    with declaration_errors() as errors:

        class Note(Resource, domain=Domain("taken"), extensions=["archival"]):
            id: Attr[int] = attribute(primary_key=True)
            archived_at: Attr[str] = attribute(default="")
            unarchive = create()
            remove = destroy()

        _ = Note

    ours = [error for error in errors if error.code.startswith("ARCHIVAL")]  # the core has a word about them too

    assert [("ARCHIVAL02", "archived_at"), ("ARCHIVAL02", "unarchive")] == [(error.code, error.path[-1]) for error in ours]
    assert all("test_archiving.py" in error.origin for error in ours)


def test_an_excluded_action_must_exist() -> None:
    """ARCHIVAL03 suggests the one that was meant."""
    with declaration_errors() as errors:

        class Note(Resource, domain=Domain("typo"), extensions=[Archival(exclude_destroy_actions={"purg"})]):
            id: Attr[int] = attribute(primary_key=True)
            remove = destroy()
            purge = destroy()

        _ = Note

    assert [("ARCHIVAL03", "Did you mean 'purge'?")] == [(error.code, error.hint) for error in errors]


@pytest.mark.parametrize("wrong", [{"attribute": 3}, {"attribute": "_hidden"}, {"attribut": "x"}])
def test_options_are_typed(wrong: dict[str, Any]) -> None:
    """A wrong type, a name that no attribute can have and an unknown option are refused where they are written."""
    with pytest.raises(DeclarationError, match=r"RK00[23].*test_archiving\.py"):
        Archival(**wrong)
