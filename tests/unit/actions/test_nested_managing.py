"""manage inside of manage: an input writes records of several levels in one transaction, the same on every database."""

from __future__ import annotations

from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    Resource,
    attribute,
    create,
    destroy,
    has_many,
    load,
    manage,
    query,
    update,
)
from resourcekit.errors import Invalid


@pytest.fixture
def album(any_layer: Any) -> Any:
    """Return albums of discs of tracks, which are written with them."""
    domain = Domain("nested shop")

    class Album(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        discs: Many[Disc] = has_many("album_id", sort=["id"])

        put = create(accept=["id"], changes=[manage("discs", kind="direct_control")])
        edit = update(changes=[manage("discs", kind="direct_control")])

    class Disc(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        album_id: Attr[int] = attribute()
        name: Attr[str] = attribute(min_length=1)
        tracks: Many[Track] = has_many("disc_id", sort=["position"])

        put = create(accept=["id", "name"], changes=[manage("tracks", kind="direct_control", order_by="position")])
        edit = update(accept=["name"], changes=[manage("tracks", kind="direct_control", order_by="position")])
        drop = destroy()

    class Track(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        disc_id: Attr[int] = attribute()
        name: Attr[str] = attribute(min_length=1)
        position: Attr[int] = attribute()

        put = create(accept=["id", "name"])
        edit = update(accept=["name"])
        drop = destroy()

    domain.create_storage()
    Album.disc, Album.track = Disc, Track
    return Album


def shown(album: Any, key: int = 1) -> list[Any]:
    """Return the discs of an album, each with its tracks in their order."""
    found = load(query(album).filter(album.id == key).one(), album.discs.load(album.disc.tracks))
    return [(disc.name, [(track.id, track.name) for track in disc.tracks]) for disc in found.discs]


FIRST = [
    {"id": 1, "name": "one", "tracks": [{"id": 11, "name": "a"}, {"id": 12, "name": "b"}]},
    {"id": 2, "name": "two", "tracks": [{"id": 21, "name": "c"}]},
    {"id": 3, "name": "three"},
]


def test_a_create_writes_all_levels(album: Any) -> None:
    """Each record belongs to the one around it, in the order of the input."""
    album.put(id=1, discs=FIRST)

    assert [("one", [(11, "a"), (12, "b")]), ("two", [(21, "c")]), ("three", [])] == shown(album)


def test_an_update_writes_what_the_input_of_each_level_says(album: Any) -> None:
    """A level without input stays; one with an empty list loses its records."""
    album.put(id=1, discs=FIRST)
    discs = [
        {"id": 1, "tracks": [{"id": 12, "name": "B"}, {"id": 13, "name": "new"}, {"id": 11}]},
        {"id": 2, "name": "TWO"},
        {"id": 3, "tracks": []},
    ]
    album.edit(1, discs=discs)

    assert [("one", [(12, "B"), (13, "new"), (11, "a")]), ("TWO", [(21, "c")]), ("three", [])] == shown(album)


def test_findings_have_the_path_through_all_levels(album: Any) -> None:
    """The error names the place of the inner input, and nothing of any level is written."""
    album.put(id=1, discs=FIRST)
    wrong = [{"id": 1, "name": "changed", "tracks": [{"id": 11}, {"id": 12, "name": ""}]}, {"id": 4, "name": ""}]
    with pytest.raises(Invalid) as caught:
        album.edit(1, discs=wrong)

    assert {"discs.0.tracks.1.name", "discs.1.name"} == {finding.path for finding in caught.value.findings}
    assert [("one", [(11, "a"), (12, "b")]), ("two", [(21, "c")]), ("three", [])] == shown(album)


def test_what_fails_in_the_store_undoes_all_levels(album: Any) -> None:
    """A key that is taken on the inner level undoes the outer one."""
    album.put(id=1, discs=FIRST)
    with pytest.raises(Invalid):
        album.put(id=2, discs=[{"id": 5, "name": "five", "tracks": [{"id": 50, "name": "x"}, {"id": 11, "name": "taken"}]}])

    assert [1] == [each.id for each in query(album).all()]
    assert [1, 2, 3] == [each.id for each in query(album.disc).sort("id").all()]
    assert [11, 12, 21] == [each.id for each in query(album.track).sort("id").all()]
