"""The resources of the music library. Nothing here loads, counts or joins by hand."""

from __future__ import annotations

from datetime import timedelta

from resourcekit import (
    Attr,
    Calc,
    Domain,
    Many,
    One,
    Resource,
    attribute,
    belongs_to,
    calculated,
    create,
    destroy,
    has_many,
    has_one,
    identity,
    many_to_many,
)
from resourcekit.data_layers import SQL

music = Domain("music")
database = "sqlite:///music.db"


class Artist(Resource, domain=music, data_layer=SQL(database)):
    """A person or a band."""

    id: Attr[int] = attribute(primary_key=True, public=True)
    name: Attr[str] = attribute(public=True)

    albums: Many[Album] = has_many("artist_id", sort=["-year"], public=True)
    newest: One[Album | None] = has_one("artist_id", sort=["-year"], to=lambda: Album, public=True)
    followers: Many[Listener] = many_to_many(through=lambda: Follow, source="artist_id", destination="listener_id", sort=["name"])
    album_count: Calc[int] = calculated(lambda: Artist.albums.count(), public=True)
    follower_count: Calc[int] = calculated(lambda: Artist.followers.count(), public=True)

    add = create(accept=["id", "name"])


class Genre(Resource, domain=music, data_layer=SQL(database)):
    """A kind of music, which may be a part of a wider one."""

    name: Attr[str] = attribute(primary_key=True, public=True, max_length=40)
    wider_name: Attr[str | None] = attribute(default=None, max_length=40)

    wider: One[Genre | None] = belongs_to("wider_name")
    narrower: Many[Genre] = has_many("wider_name", sort=["name"])
    albums: Many[Album] = has_many("genre_name", to=lambda: Album)

    add = create(accept=["name", "wider_name"])


class Album(Resource, domain=music, data_layer=SQL(database)):
    """What an artist published under one title."""

    id: Attr[int] = attribute(primary_key=True, public=True)
    title: Attr[str] = attribute(public=True)
    year: Attr[int] = attribute(public=True)
    artist_id: Attr[int] = attribute()
    genre_name: Attr[str | None] = attribute(default=None, max_length=40)

    artist: One[Artist] = belongs_to("artist_id", on_delete="cascade", public=True)
    genre: One[Genre | None] = belongs_to("genre_name", on_delete="nullify", public=True)
    tracks: Many[Track] = has_many("album_id", sort=["place"], public=True)
    length: Calc[timedelta | None] = calculated(lambda: Album.tracks.sum(Track.length), public=True)

    by_title = identity("artist_id", "title")

    publish = create(accept=["id", "title", "year", "artist_id", "genre_name"])
    withdraw = destroy()


class Track(Resource, domain=music, data_layer=SQL(database)):
    """One piece of an album."""

    album_id: Attr[int] = attribute(primary_key=True)
    place: Attr[int] = attribute(primary_key=True, public=True, minimum=1)
    title: Attr[str] = attribute(public=True)
    length: Attr[timedelta] = attribute(public=True)

    album: One[Album] = belongs_to("album_id", on_delete="cascade")

    add = create(accept=["album_id", "place", "title", "length"])


class Listener(Resource, domain=music, data_layer=SQL(database)):
    """A person who follows artists."""

    id: Attr[int] = attribute(primary_key=True)
    name: Attr[str] = attribute(public=True)

    follows: Many[Artist] = many_to_many(through=lambda: Follow, source="listener_id", destination="artist_id", sort=["name"])

    join = create(accept=["id", "name"])


class Follow(Resource, domain=music, data_layer=SQL(database)):
    """A listener follows an artist."""

    listener_id: Attr[int] = attribute(primary_key=True)
    artist_id: Attr[int] = attribute(primary_key=True)

    listener: One[Listener] = belongs_to("listener_id", on_delete="cascade")
    artist: One[Artist] = belongs_to("artist_id", on_delete="cascade")

    put = create(accept=["listener_id", "artist_id"], upsert=True)
