"""``has`` asks whether a dict, a list or an embedded value has a part, the same on every layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from resourcekit import Attr, Calc, Domain, Resource, attribute, calculated, create, destroy, query
from resourcekit.errors import InvalidArgument
from resourcekit.extending import Field


@attrs.frozen
class Place:
    """A class with fields."""

    zip: str | None
    at: list[int]


@pytest.fixture
def note(every_layer: Callable[[], Any]) -> Any:
    """Return a resource with JSON, a list and an embedded value, and records with and without parts."""
    domain = Domain("parts of JSON")

    class Note(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        facts: Attr[dict[str, Any] | None] = attribute(default=None)
        words: Attr[list[str] | None] = attribute(default=None)
        place: Attr[Place | None] = attribute(default=None)

        is_named: Calc[bool] = calculated(lambda: Field("facts").is_none() | Note.facts.has("a"))

        make = create(accept=["id", "facts", "words", "place"])
        drop = destroy()

    domain.create_storage()
    Note.make.bulk(
        [
            {"id": 1, "facts": {"a": {"b": [0]}}, "words": ["x"], "place": Place("1", [1, 2])},
            {"id": 2, "facts": {"a": None, "b": 0}, "words": [], "place": Place(None, [])},
            {"id": 3, "facts": {"a": False}, "words": ["", "y"]},
            {"id": 4, "facts": {}},
            {"id": 5},
            {"id": 6, "facts": {"a": "", "é": {"a b": []}}},
        ]
    )
    return Note


def ids(note: Any, condition: Any) -> list[int]:
    """Return the keys of the records that meet a condition, after requiring that all others meet its opposite."""
    found = [each.id for each in query(note).filter(condition).sort("id").all()]
    others = [each.id for each in query(note).filter(~condition).sort("id").all()]
    assert list(range(1, 7)) == sorted(found + others)
    return found


def test_a_part_is_there_if_it_is_not_null(note: Any) -> None:
    """False, nought, an empty text and an empty list are there; null and what is missing are not."""
    assert [1, 3, 6] == ids(note, note.facts.has("a"))
    assert [1] == ids(note, note.facts.has("a", "b"))
    assert [1] == ids(note, note.facts.has("a", "b", 0))
    assert [2] == ids(note, note.facts.has("b"))
    assert [6] == ids(note, note.facts.has("é", "a b"))
    assert [] == ids(note, note.facts.has("a", "b", 1))


def test_items_of_lists_and_fields_of_embedded_values(note: Any) -> None:
    """A position of a list, and a field that holds a value."""
    assert [1, 3] == ids(note, note.words.has(0))
    assert [3] == ids(note, note.words.has(1))
    assert [1] == ids(note, note.place.has("zip"))
    assert [1, 2] == ids(note, note.place.has("at"))
    assert [1] == ids(note, note.place.has("at", 1))


def test_a_part_that_no_value_has_is_refused(note: Any) -> None:
    """A key of a list, a field that does not exist, a key that no database takes."""
    with pytest.raises(InvalidArgument, match="has a position, not a key"):
        ids(note, note.words.has("x"))
    with pytest.raises(InvalidArgument, match="is no field"):
        ids(note, note.place.has("zap"))
    with pytest.raises(InvalidArgument, match="is no part to compare"):
        note.facts.has('a"b')


def test_it_sorts_computes_and_chooses_what_is_removed(note: Any) -> None:
    """A condition is a value, too."""
    assert [1, 3, 6] == [each.id for each in query(note).sort(note.facts.has("a").desc(), "id").all()][:3]
    found = {each.id: each.is_named for each in query(note).load(note.is_named).all()}
    assert {1: True, 2: False, 3: True, 4: False, 5: True, 6: True} == found
    note.drop.bulk(query(note).filter(~note.facts.has("a")))
    assert [1, 3, 6] == [each.id for each in query(note).sort("id").all()]
