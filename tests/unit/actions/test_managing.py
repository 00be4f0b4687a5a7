"""manage: related records are written from the input of an action, the same in memory and on databases."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Resource,
    argument,
    attribute,
    belongs_to,
    compare,
    create,
    destroy,
    has_many,
    has_one,
    identity,
    load,
    manage,
    many_to_many,
    query,
    update,
)
from resourcekit.errors import Invalid, UniqueViolation


@pytest.fixture
def shop(any_layer: Any) -> Any:
    """Albums with tracks, a cover, tags and an artist, and a list of what notifiers were reported."""
    domain, reported = Domain("shop"), []

    def tell(notification: Any) -> None:
        reported.append(f"{notification.resource.__name__}.{notification.action}")

    class Artist(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(min_length=1)
        sign = create(accept=["id", "name"])
        rename = update(accept=["name"])
        drop = destroy()

    class Tag(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        word: Attr[str] = attribute(max_length=20)
        by_word = identity("word")
        make = create(accept=["id", "word"])

    class Track(Resource, domain=domain, data_layer=any_layer(), notifiers=[tell]):
        id: Attr[int] = attribute(primary_key=True)
        album_id: Attr[int | None] = attribute(default=None)
        name: Attr[str] = attribute(min_length=1, max_length=20)
        seconds: Attr[int] = attribute(default=1)
        position: Attr[int | None] = attribute(default=None)
        album: One[Album | None] = belongs_to("album_id", to=lambda: Album)
        by_name = identity("album_id", "name")
        by_place = identity("album_id", "position")
        add = create(accept=["id", "name", "seconds"], validations=[compare("seconds", "<", 100)])
        edit = update(accept=["name", "seconds"], validations=[compare("seconds", "<", 100)])
        cut = destroy()

    class Cover(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        album_id: Attr[int] = attribute()
        file: Attr[str] = attribute()
        of_album = identity("album_id")
        draw = create(accept=["id", "file"])
        redraw = update(accept=["file"])
        burn = destroy()

    class AlbumTag(Resource, domain=domain, data_layer=any_layer()):
        album_id: Attr[int] = attribute(primary_key=True)
        tag_id: Attr[int] = attribute(primary_key=True)
        album: One[Album] = belongs_to("album_id", to=lambda: Album)
        tie = create()
        untie = destroy()

    class Album(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        title: Attr[str] = attribute(min_length=1)
        price: Attr[int] = attribute(default=1)
        artist_id: Attr[int | None] = attribute(default=None)
        artist: One[Artist | None] = belongs_to("artist_id", to=lambda: Artist)
        tracks: Many[Track] = has_many("album_id", to=lambda: Track, sort=["position", "id"])
        cover: One[Cover | None] = has_one("album_id", to=lambda: Cover)
        tags: Many[Tag] = many_to_many(to=lambda: Tag, through=lambda: AlbumTag, source="album_id", destination="tag_id")
        put = create(
            accept=["id", "title", "price"],
            changes=[
                manage("tracks", kind="direct_control", order_by="position"),
                manage("cover", kind="create"),
                manage("artist", kind="append"),
                manage("tags", kind="append"),
            ],
            validations=[compare("price", "<", 100)],
        )
        edit = update(
            accept=["title", "price"],
            changes=[
                manage("tracks", kind="direct_control", order_by="position"),
                manage("cover", kind="direct_control"),
                manage("artist", kind="direct_control", on_missing="unrelate"),
                manage("tags", kind="append_and_remove"),
            ],
            validations=[compare("price", "<", 100)],
        )
        add_tracks = update(changes=[manage("tracks", kind="create", order_by="position")])
        take_tracks = update(changes=[manage("tracks", kind="append_and_remove")])
        drop_tracks = update(changes=[manage("tracks", kind="remove")])
        by_names = update(changes=[manage("tracks", kind="direct_control", match_by="by_name")])
        tag = update(
            arguments=[argument("words", list[str])],
            changes=[
                manage(
                    "tags", argument="words", on_no_match="relate", on_missing="unrelate", on_match="ignore", match_by="by_word"
                )
            ],
        )
        new_tags = update(changes=[manage("tags", kind="create")])

    domain.create_storage()
    names = {each.__name__: each for each in (Artist, Tag, Track, Cover, AlbumTag, Album)}
    return SimpleNamespace(**names, reported=reported)


def loaded(record: Any, *what: Any) -> Any:
    """Return a record with what was loaded."""
    return load(record, *what)


def tracks(shop: Any, album: int = 1) -> list[tuple[int, str, int | None]]:
    """Return the tracks of an album: key, name and place."""
    found = query(shop.Track).filter(shop.Track.album_id == album).sort("position", "id").all()
    return [(each.id, each.name, each.position) for each in found]


def full(shop: Any) -> Any:
    """Return an album with three tracks, a cover, an artist and a tag."""
    shop.Artist.sign(id=1, name="Ada")
    shop.Tag.make.bulk([{"id": 1, "word": "folk"}, {"id": 2, "word": "jazz"}, {"id": 3, "word": "rock"}])
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}]
    return shop.Album.put(id=1, title="One", tracks=rows, cover={"id": 1, "file": "x.png"}, artist={"id": 1}, tags=[1, {"id": 2}])


def test_a_create_writes_its_related_records(shop: Any) -> None:
    """Tracks in their order, a cover, an existing artist and existing tags are related in one transaction."""
    album = full(shop)

    whole = loaded(album, shop.Album.cover, shop.Album.artist, shop.Album.tags.sort("id"))
    assert [(1, "a", 0), (2, "b", 1), (3, "c", 2)] == tracks(shop)
    assert ("x.png", "Ada", ["folk", "jazz"]) == (whole.cover.file, whole.artist.name, [tag.word for tag in whole.tags])
    assert ["Track.add"] * 3 == shop.reported


def test_an_update_writes_what_the_input_says_and_nothing_else(shop: Any) -> None:
    """direct_control creates, updates, removes and orders; one that stays as it is is not written; no input changes nothing."""
    album = full(shop)
    shop.reported.clear()

    edited = shop.Album.edit(album, title="Two", tracks=[{"id": 3, "name": "c"}, {"id": 1, "name": "b"}, {"id": 4, "name": "d"}])
    shop.Album.edit(album, price=2)
    before = list(shop.reported)
    shop.Album.edit(album, tracks=[{"id": 3, "name": "c"}, {"id": 1, "name": "b"}, {"id": 4, "name": "d"}])
    shop.Album.edit(album, tracks=[{"id": 1}, {"id": 3, "name": "c"}])

    assert "Two" == edited.title
    assert sorted(["Track.cut", "Track.edit", "Track.edit", "Track.add"]) == sorted(before)
    assert [(1, "b", 0), (3, "c", 1)] == tracks(shop)
    assert [] == [each.id for each in query(shop.Track).filter(shop.Track.album_id.is_none()).all()]


def test_all_findings_are_told_together_with_their_places(shop: Any) -> None:
    """Wrong inputs of the record and of related ones are one Invalid, and nothing is written."""
    with pytest.raises(Invalid) as cast:
        shop.Album.put(id=1, title="", tracks=[{"id": 1, "name": "a"}, {"id": "x", "name": ""}, {"nam": 1}, 5], cover={"id": 1})
    with pytest.raises(Invalid) as rules:
        shop.Album.put(id=1, title="t", price=100, tracks=[{"id": 1, "name": "a", "seconds": 100}], tags=[9])
    album = full(shop)
    with pytest.raises(Invalid) as changed:
        shop.Album.edit(
            album,
            price=100,
            tracks=[{"id": 1, "seconds": 100}, {"id": 2, "seconds": 3}, {"id": 9, "name": "d", "seconds": 200}],
            tags=[7],
        )

    reported = {finding.path for finding in cast.value.findings}
    assert {
        "title",
        "tracks.1.id",
        "tracks.1.name",
        "tracks.2.nam",
        "tracks.2.id",
        "tracks.2.name",
        "tracks.3",
        "cover.file",
    } == reported
    assert ["price", "tags.0", "tracks.0.seconds"] == sorted(finding.path for finding in rules.value.findings)
    assert {"price", "tracks.2.seconds", "tags.0"} <= {finding.path for finding in changed.value.findings}
    assert [(1, "a", 0), (2, "b", 1), (3, "c", 2)] == tracks(shop)


def test_updates_that_are_refused_are_told_together_and_undo_all(shop: Any) -> None:
    """Two tracks whose rules refuse them are both named; the third, the removal and the title are undone."""
    album = full(shop)

    with pytest.raises(Invalid) as refused:
        shop.Album.edit(album, title="x", tracks=[{"id": 1, "seconds": 100}, {"id": 3, "seconds": 500}])

    assert ["tracks.0.seconds", "tracks.1.seconds"] == [finding.path for finding in refused.value.findings]
    assert [(1, "a", 0), (2, "b", 1), (3, "c", 2)] == tracks(shop)
    assert "One" == query(shop.Album).one().title


def test_removals_come_before_inserts_and_places_can_be_exchanged(shop: Any) -> None:
    """A new track may have the name and the place of a removed one, and two may exchange places that are unique."""
    album = full(shop)

    shop.Album.edit(album, tracks=[{"id": 2}, {"id": 1}, {"id": 7, "name": "c"}])

    assert [(2, "b", 0), (1, "a", 1), (7, "c", 2)] == tracks(shop)


def test_a_unique_violation_names_the_input(shop: Any) -> None:
    """The error keeps its class, and its path leads to the input; nothing is written."""
    album = full(shop)

    with pytest.raises(UniqueViolation) as taken:
        shop.Album.edit(album, title="x", tracks=[{"id": 1}, {"id": 2}, {"id": 3}, {"id": 3 + 1, "name": "b"}])

    assert "by_name" == taken.value.identity
    assert ["tracks.3.album_id"] == [finding.path for finding in taken.value.findings]
    assert "Album.edit: tracks.3.album_id" in str(taken.value)
    assert 3 == len(tracks(shop))
    assert "One" == query(shop.Album).one().title


def test_keys_of_others_are_not_taken_over(shop: Any) -> None:
    """A key of another album's track is none of this one: a create with it is a UniqueViolation, an update finds no record."""
    full(shop)
    other = shop.Album.put(id=2, title="Two", tracks=[{"id": 9, "name": "z"}])

    with pytest.raises(UniqueViolation):
        shop.Album.edit(other, tracks=[{"id": 1, "name": "mine"}])
    with pytest.raises(Invalid) as twice:
        shop.Album.edit(other, tracks=[{"id": 9}, {"id": 9}])
    with pytest.raises(Invalid, match=r"tracks\.0\.id: there is no related record with this key"):
        shop.Album.drop_tracks(other, tracks=[{"id": 1}])

    assert ["tracks.1.id"] == [finding.path for finding in twice.value.findings]
    assert [(9, "z", 0)] == tracks(shop, 2)


def test_other_kinds_create_relate_and_unrelate(shop: Any) -> None:
    """Create adds after the last place; append_and_remove and remove relate and unrelate existing records."""
    album = full(shop)

    shop.Album.add_tracks(album, tracks=[{"id": 4, "name": "d"}])
    added = tracks(shop)
    shop.Album.drop_tracks(album, tracks=[1, {"id": 2}])
    dropped = tracks(shop)
    shop.Album.take_tracks(album, tracks=[1, 3])

    assert (4, "d", 3) == added[-1]
    assert [3, 4] == [key for key, _, _ in dropped]
    assert [1, 3] == [key for key, _, _ in tracks(shop)]
    assert 4 == query(shop.Track).count()


def test_an_identity_tells_which_record_is_meant(shop: Any) -> None:
    """match_by an identity: the key of the relationship is no part of what the input has to give."""
    album = full(shop)

    shop.Album.by_names(album, tracks=[{"name": "b", "seconds": 7}, {"id": 8, "name": "new"}])
    shop.Album.tag(album, words=["rock", "jazz"])

    assert [2, 8] == sorted(key for key, _, _ in tracks(shop))
    assert [("b", 7)] == [(each.name, each.seconds) for each in query(shop.Track).filter(shop.Track.id == 2).all()]
    assert ["jazz", "rock"] == sorted(tag.word for tag in loaded(album, shop.Album.tags).tags)


def test_a_relationship_to_one_record_takes_a_mapping_or_none(shop: Any) -> None:
    """A cover is updated, replaced and removed; an artist is created, updated, and unrelated by None."""
    album = full(shop)

    shop.Album.edit(album, cover={"id": 1, "file": "y.png"}, artist={"id": 1, "name": "Ada L."})
    first = loaded(album, shop.Album.cover, shop.Album.artist)
    changed = shop.Album.edit(album, cover={"id": 2, "file": "z.png"}, artist={"id": 2, "name": "Bo"})
    second = loaded(changed, shop.Album.cover, shop.Album.artist)
    emptied = shop.Album.edit(album, cover=None, artist=None)
    third = loaded(emptied, shop.Album.cover, shop.Album.artist)

    assert ("y.png", "Ada L.") == (first.cover.file, first.artist.name)
    assert (2, "z.png", "Bo") == (second.cover.id, second.cover.file, second.artist.name)
    assert (None, None) == (third.cover, third.artist)
    assert ["Ada L.", "Bo"] == [each.name for each in query(shop.Artist).sort("id").all()]


def test_a_many_to_many_writes_the_records_between(shop: Any) -> None:
    """append_and_remove keeps the records between that stay; create makes both records; an unknown key is named."""
    album = full(shop)

    shop.Album.edit(album, tags=[2, {"id": 3, "word": "ignored"}])
    kept = sorted(tag.word for tag in loaded(album, shop.Album.tags).tags)
    shop.Album.new_tags(album, tags=[{"id": 4, "word": "new"}])
    with pytest.raises(Invalid, match=r"tags\.1\.id: there is no record with this key"):
        shop.Album.edit(album, tags=[2, {"id": 99}])

    assert ["jazz", "rock"] == kept
    assert ["jazz", "new", "rock"] == sorted(tag.word for tag in loaded(album, shop.Album.tags).tags)
    assert 4 == query(shop.Tag).count()


def test_bulk_and_async_calls_write_related_records(shop: Any) -> None:
    """Each input of a bulk create has its own related records; a wrong one is a failure of its own."""
    rows = [
        {"id": 1, "title": "a", "tracks": [{"id": 1, "name": "x"}]},
        {"id": 2, "title": "b", "tracks": [{"id": 2, "name": ""}]},
        {"id": 3, "title": "c", "tracks": [{"id": 1, "name": "taken"}]},
        {"id": 4, "title": "d", "tracks": [{"id": 4, "name": "y"}]},
    ]

    done = shop.Album.put.bulk(rows)
    edited = asyncio.run(shop.Album.edit.aio(1, tracks=[{"id": 5, "name": "z"}]))
    updated = shop.Album.edit.bulk(query(shop.Album), strategy="stream", tracks=[])

    assert [1, 4] == [record.id for record in done.records]
    assert [(1, "tracks.0.name"), (2, "tracks.0.id")] == [(each.index, each.error.findings[0].path) for each in done.failures]
    assert (1, 2) == (edited.id, updated.count)
    assert 0 == query(shop.Track).count()
