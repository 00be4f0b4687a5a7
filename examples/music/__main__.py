"""Shows a music library. Run it in the folder ``examples``: ``python -m music``."""

from __future__ import annotations

from datetime import timedelta

from resourcekit import as_dict, count, query

from .models import Album, Artist, Follow, Genre, Listener, Track, music


def fill() -> None:
    """Store some music, unless an earlier run has done so."""
    music.create_storage()
    if query(Artist).exists():
        return
    Artist.add.bulk([{"id": 1, "name": "Nina Simone"}, {"id": 2, "name": "Can"}, {"id": 3, "name": "Silence"}])
    Genre.add.bulk([{"name": "jazz"}, {"name": "rock"}])
    Genre.add.bulk([{"name": "vocal jazz", "wider_name": "jazz"}, {"name": "krautrock", "wider_name": "rock"}])
    albums = [
        (1, "Pastel Blues", 1965, 1, "vocal jazz"),
        (2, "Tago Mago", 1971, 2, "krautrock"),
        (3, "Ege Bamyasi", 1972, 2, "krautrock"),
    ]
    names = ("id", "title", "year", "artist_id", "genre_name")
    Album.publish.bulk([dict(zip(names, album, strict=True)) for album in albums])
    tracks = [
        (1, "Be My Husband", 201),
        (1, "Sinnerman", 622),
        (2, "Paperhouse", 449),
        (2, "Halleluhwah", 1112),
        (3, "Vitamin C", 214),
    ]
    for album, title, seconds in tracks:
        place = query(Track).filter(Track.album_id == album).count() + 1
        Track.add(album_id=album, place=place, title=title, length=timedelta(seconds=seconds))
    Listener.join.bulk([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}])
    Follow.put.bulk([{"listener_id": listener, "artist_id": artist} for listener, artist in ((1, 1), (1, 2), (2, 2))])


def show() -> None:
    """Print the library: each question is one statement, and one more for each relationship that it loads."""
    popular = (
        query(Artist).sort(Artist.follower_count.desc(), "name").load(Artist.follower_count, Artist.album_count, Artist.newest)
    )
    for artist in popular.all():
        newest = "nothing yet" if artist.newest is None else artist.newest.title
        print(f"{artist.name}: {artist.follower_count} followers, {artist.album_count} albums, newest: {newest}")

    albums = query(Album).sort("year").load(Album.length, Album.artist, Album.tracks.sort(Track.length.desc()).limit(1))
    for album in albums.all():
        print(f"{album.year} {album.title} by {album.artist.name}, {album.length}; longest: {album.tracks[0].title}")

    for listener in query(Listener).sort("name").load(Listener.follows.load(Artist.albums)).all():
        heard = [album.title for artist in listener.follows for album in artist.albums]
        print(f"{listener.name} hears {', '.join(heard)}")

    rock = query(Album).filter(Album.genre[Genre.wider][Genre.name] == "rock").sort("title")
    print("rock, also in narrower genres:", [album.title for album in rock.all()])
    for genre in query(Genre).filter(Genre.wider_name.is_none()).sort("name").load(Genre.narrower).all():
        print(f"{genre.name} > {', '.join(each.name for each in genre.narrower)}")

    by_genre = query(Album).group_by(Album.genre_name).values(albums=count()).sort("genre_name").all()
    print("albums:", {each["genre_name"]: each["albums"] for each in by_genre}, "| tracks:", query(Track).count())
    print("longest track:", query(Track).max(Track.length), "| all:", query(Track).sum(Track.length))
    outside = query(Album).filter_input({"year": {"ge": 1970}}).sort_input("-year").page(limit=1, count=True)
    print("as JSON:", as_dict(outside.records[0]), "of", outside.count)


def withdraw() -> None:
    """Withdraw an album; its tracks go with it."""
    Album.withdraw(3)
    print("withdrawn; tracks left:", query(Track).count())
    Album.publish(id=3, title="Ege Bamyasi", year=1972, artist_id=2, genre_name="krautrock")
    Track.add(album_id=3, place=1, title="Vitamin C", length=timedelta(seconds=214))


if __name__ == "__main__":
    fill()
    show()
    withdraw()
