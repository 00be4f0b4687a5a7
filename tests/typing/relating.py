"""What type checkers know of relationships and loads. Only checked, never run."""

from __future__ import annotations

from typing import assert_type

from resourcekit import (
    Attr,
    Many,
    One,
    Resource,
    actor,
    attribute,
    belongs_to,
    context,
    fragment,
    has_many,
    has_one,
    load,
    many_to_many,
    query,
    related,
    tenant,
)


def similar(albums: list[Album]) -> dict[int, list[Album]]:
    """Return no album for any."""
    return {album.id: [] for album in albums}


class Artist(Resource):
    """A person who makes albums."""

    id: Attr[int] = attribute(primary_key=True)
    albums: Many[Album] = has_many("artist_id", sort=["-year"], where=lambda: Album.year > 0)
    last: One[Album | None] = has_one("artist_id", sort=lambda: [Album.year.desc()])


class Album(Resource):
    """Songs of an artist."""

    id: Attr[int] = attribute(primary_key=True)
    year: Attr[int] = attribute(default=0)
    artist_id: Attr[int] = attribute()
    artist: One[Artist] = belongs_to("artist_id")
    fans: Many[Artist] = many_to_many(through="Fan", source="album_id", destination="artist_id")
    others: Many[Album] = related(load=similar)


async def loads(artist: Artist, albums: list[Album]) -> None:
    """On the class a relationship is asked, on a record it is what was loaded; no constructor takes one."""
    assert_type(Artist.albums, Many[Album])
    assert_type(artist.albums, tuple[Album, ...])
    assert_type(artist.last, Album | None)
    assert_type(albums[0].artist, Artist)
    assert_type(Artist.albums.filter(Album.year > 1990).sort(Album.year).limit(3).load(Album.fans), Many[Album])
    assert_type(query(Artist).load(Artist.albums, late=Artist.albums.filter(Album.year > 2000)).all(), list[Artist])
    assert_type(load(artist, Artist.last), Artist)
    assert_type(load(albums, Album.artist), list[Album])
    assert_type(await load.aio(albums, Album.artist), list[Album])
    assert_type(Album(id=1, artist_id=2), Album)
    Album(id=1, artist_id=2, artist=artist)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    query(Album).filter(
        (Album.year == actor("year")) & (Album.artist_id.in_(actor("team", "ids"))) & (Album.artist_id == tenant())
    )
    query(Album).sort(fragment("abs(?)", [Album.year], int).desc()).load(n=fragment("abs(?)", Album.year, int))
    with context(actor=artist, tenant=3):
        fragment("abs(?)", Album.year)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    for _ in Artist.albums:  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
        break
