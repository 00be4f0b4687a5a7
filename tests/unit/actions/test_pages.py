"""Pages of queries: by cursor and by offset, exact under equal values, ``None`` and writes of others."""

from __future__ import annotations

import asyncio
import enum
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resourcekit import Attr, Domain, Query, Resource, attribute, create, destroy, env, query, read, update
from resourcekit.data_layers import SQL
from resourcekit.errors import DeclarationError, Invalid, InvalidArgument
from resourcekit.testing import declaration_errors
from tests.support.scales import scale_on

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Level(enum.Enum):
    """Members whose values have another order than their names."""

    A = 3
    B = 1
    C = 2


def song_on(layer: Any, **options: Any) -> Any:
    """Declare a resource with an attribute of each kind that has an order."""
    domain = Domain("songs", **options)

    class Song(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        title: Attr[str | None] = attribute(default=None, public=True)
        plays: Attr[int | None] = attribute(default=None, public=True)
        liked: Attr[bool] = attribute(default=False, public=True)
        level: Attr[Level | None] = attribute(default=None, public=True)
        state: Attr[Literal["new", "old"]] = attribute(default="new", public=True)
        at: Attr[datetime | None] = attribute(default=None, public=True)
        lasts: Attr[timedelta | None] = attribute(default=None, public=True)
        price: Attr[Decimal | None] = attribute(default=None, public=True, scale=scale_on(layer))
        rate: Attr[float | None] = attribute(default=None, public=True)
        code: Attr[UUID | None] = attribute(default=None, public=True)
        owner: Attr[str | None] = attribute(default=None)
        secret: Attr[int | None] = attribute(default=None, public=True, sensitive=True)

        make = create(
            accept=["id", "title", "plays", "liked", "level", "state", "at", "lasts", "price", "rate", "code", "owner", "secret"]
        )
        edit = update(accept=["title", "plays"])
        remove = destroy()

        @read(page_limit=2, page_limit_max=3)
        @staticmethod
        def played(query: Query[Song], least: int = 1) -> Query[Song]:
            return query.filter(Song.plays >= least).sort(Song.plays.desc())

    domain.create_storage()
    return Song


def rows() -> list[dict[str, Any]]:
    """Return twelve records with equal values and ``None`` in every attribute."""
    return [
        {
            "id": number,
            "title": (None, "a", "b", "B ", "")[number % 5],
            "plays": (None, 7, 7, 1)[number % 4],
            "liked": number % 3 == 0,
            "level": (None, Level.A, Level.B, Level.C)[number % 4],
            "state": ("new", "old")[number % 2],
            "at": (None, START, START + timedelta(microseconds=1))[number % 3],
            "lasts": (None, timedelta(seconds=1), timedelta(microseconds=-5))[number % 3],
            "price": (None, Decimal("1.10"), Decimal(-2))[number % 3],
            "rate": (None, 0.1, 1e300, -0.5)[number % 4],
            "code": (None, UUID(int=5), UUID(int=2**127))[number % 3],
            "owner": (None, "x", "y")[number % 3],
            "secret": number % 2,
        }
        for number in range(12)
    ]


@pytest.fixture
def song(every_layer: Callable[[], Any]) -> Any:
    """The resource with its twelve records, on every layer."""
    made = song_on(every_layer())
    made.make.bulk(rows())
    return made


def forwards(found: Any, limit: int) -> list[Any]:
    """Return all pages from the first to the last."""
    pages = [found.page(limit=limit)]
    while pages[-1].has_next:
        pages.append(found.page(limit=limit, after=pages[-1].end_cursor))
    return pages


def backwards(found: Any, limit: int, last: Any) -> list[Any]:
    """Return all pages from before a page to the first, in the order of the query."""
    pages = [last]
    while pages[0].has_previous:
        pages.insert(0, found.page(limit=limit, before=pages[0].start_cursor))
    return pages


def ids(records: Any) -> list[int]:
    """Return the keys of records."""
    return [record.id for record in records]


def orders(song: Any) -> list[tuple[Any, ...]]:
    """Return orders over all kinds, in mixed directions, with ``None`` at both ends, and over expressions."""
    single = [song.title, song.plays, song.liked, song.level, song.state, song.at, song.lasts, song.price, song.rate, song.code]
    return [
        (),
        *((key,) for key in single),
        *((key.desc(),) for key in single),
        (song.plays.asc(nulls="last"), song.title.desc(nulls="first")),
        (song.plays.desc(), song.liked, song.level.desc(), song.title),
        (song.level, song.id.desc()),
        (song.plays + 1, song.title.is_none().desc()),
        ((song.plays > 5).desc(), song.state),
    ]


def test_pages_are_the_whole_result_in_parts(song: Any) -> None:
    """Forwards and backwards, the pages of every order together are the records in one read; has_next and has_previous are exact."""
    for keys, limit in itertools.product(orders(song), (1, 5)):
        found = query(song).sort(*keys)
        whole = ids(found.sort(*keys, song.id).all())
        pages = forwards(found, limit)

        assert whole == [each for page in pages for each in ids(page.records)], (keys, limit)
        assert [False] + [True] * (len(pages) - 1) == [page.has_previous for page in pages]
        back = backwards(found, limit, pages[-1])
        assert whole == [each for page in back for each in ids(page.records)], (keys, limit)
        assert [True] * (len(back) - 1) + [False] == [page.has_next for page in back]


def test_pages_by_number(song: Any) -> None:
    """``offset`` skips records; count counts all of them, and a page behind the end knows that there are records before it."""
    found = query(song).filter(song.id < 7).sort(song.plays.desc())
    page = found.page(limit=3, offset=3, count=True)

    assert (ids(found.sort(song.plays.desc(), song.id).all())[3:6], 7) == (ids(page.records), page.count)
    assert (True, True) == (page.has_previous, page.has_next)
    assert ids(found.page(limit=3, after=page.end_cursor).records) == ids(found.page(limit=3, offset=6).records)
    assert (False, None) == (found.page(limit=3, offset=0).has_previous, found.page(limit=3, offset=0).count)
    behind = found.page(limit=3, offset=30)
    assert ((), True, False, None) == (behind.records, behind.has_previous, behind.has_next, behind.end_cursor)
    assert not query(song).filter(song.id > 99).page(limit=3, offset=30).has_previous


def test_records_that_come_and_go_neither_repeat_nor_hide_others(song: Any) -> None:
    """A cursor keeps its place if its record is removed or moved, and if records are inserted before it."""
    found = query(song).sort(song.plays)
    first = found.page(limit=4)
    rest = ids(found.sort(song.plays, song.id).all())[4:]
    song.remove(first.records[-1])
    song.make(id=100, plays=None)
    song.make(id=101, plays=1000)
    second = found.page(limit=50, after=first.end_cursor)

    assert [*rest, 101] == ids(second.records)
    assert (True, False) == (second.has_previous, second.has_next)
    back = found.page(limit=50, before=second.start_cursor)
    assert (sorted([*ids(first.records)[:3], 100]), True, False) == (sorted(ids(back.records)), back.has_next, back.has_previous)
    song.remove.bulk(query(song).filter(song.id != 101))
    alone = found.page(limit=5, after=second.end_cursor)
    assert ((), True, False) == (alone.records, alone.has_previous, alone.has_next)
    song.remove(101)
    assert not found.page(limit=5, after=second.end_cursor).has_previous


def test_a_named_read_goes_on_as_a_query(song: Any) -> None:
    """``.query`` of a read action is filtered, sorted, counted and paged, sync and async; its own order stays unless replaced."""
    found = song.played.query(5)

    assert 6 == found.count() == asyncio.run(found.count.aio())
    assert ids(song.played(5)) == ids(found.all())
    assert [1, 2, 5, 6, 9, 10] == ids(found.sort("id").all()) == ids(song.played.query(least=5).sort("id").stream())
    assert [9, 10] == ids(found.filter(song.id > 6).sort("id").all())
    page = found.page()
    assert 2 == len(page.records)
    assert ids(found.page(after=page.end_cursor, limit=3).records) == ids(
        asyncio.run(found.page.aio(after=page.end_cursor, limit=3)).records
    )
    assert 6 == song.edit.bulk(found, title="often").count
    assert 6 == query(song).filter(song.title == "often").count()


# What needs no database ---------------------------------------------------------------------------------------------


def test_wrong_arguments_of_a_page() -> None:
    """Each wrong argument is refused, with its name and a way out; the arguments of a read action are checked as in a call."""
    song = song_on(None)
    for arguments, match in [
        ({}, "limit: is required"),
        ({"limit": 0}, "limit: must be a whole number from 1"),
        ({"limit": True}, "limit: must be a whole number"),
        ({"limit": 1, "offset": -1}, "offset: must be a whole number from 0"),
        ({"limit": 1, "offset": 1, "after": "x"}, "after and offset exclude each other"),
        ({"limit": 1, "before": "x", "after": "x"}, "after and before exclude each other"),
        ({"limit": 1, "after": 3}, "after: must be a cursor"),
    ]:
        with pytest.raises(InvalidArgument, match=match):
            query(song).page(**arguments)
    with pytest.raises(InvalidArgument, match="limit: must be at most 3"):
        song.played.query().page(limit=4)
    with pytest.raises(InvalidArgument, match="limit\\(\\) or offset\\(\\)"):
        query(song).limit(3).page(limit=2)
    with pytest.raises(Invalid, match="least: must be a whole number"):
        song.played.query("x").page()
    with pytest.raises(InvalidArgument, match="by position"):
        song.played.query(1, 2)


def test_a_torn_or_foreign_cursor() -> None:
    """A cursor that was cut, changed, or made for another order or resource is Invalid, under the name of its argument."""
    song, other = song_on(None), song_on(None, cursor_secret="s" * 16)
    for each in (song, other):
        each.make.bulk(rows())
    found = query(song).sort("title")
    cursor = found.page(limit=5).end_cursor
    sealed = query(other).sort("title").page(limit=5).end_cursor
    swapped = "B" if cursor[9] == "A" else "A"
    torn = [cursor[:-1], cursor[1:], cursor + "A", cursor[:9] + swapped + cursor[10:], "", "é", "AQ", sealed]
    for text in torn:
        with pytest.raises(Invalid, match="after: is no cursor of this order of Song"):
            found.page(limit=5, after=text)
    with pytest.raises(Invalid, match="before: is no cursor"):
        found.page(limit=5, before=cursor[:-1])
    for keys in [("-title",), ("title", "plays"), ()]:
        with pytest.raises(Invalid, match="no cursor of this order"):
            query(song).sort(*keys).page(limit=5, after=cursor)
    with pytest.raises(Invalid, match="no cursor"):
        query(other).sort("title").page(limit=5, after=cursor)


def test_cursors_show_only_what_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order by a private or sensitive attribute needs a secret; its cursors do not contain the values in the clear."""
    song = song_on(None)
    song.make.bulk(rows())
    for name in ("owner", "secret"):
        with pytest.raises(InvalidArgument, match=f"the order uses {name}, .*cursor_secret"):
            query(song).sort(name).page(limit=2)
        page = query(song).sort(name).page(limit=2, offset=2)
        assert (2, None) == (len(page.records), page.end_cursor)
    with pytest.raises(InvalidArgument, match="cursor_secret: must have at least 16 bytes"):
        Domain("x", cursor_secret="short")
    monkeypatch.setenv("CURSOR_SECRET", "k" * 32)
    sealed = song_on(None, cursor_secret=env("CURSOR_SECRET"))
    sealed.make(id=1, owner="confidential")
    sealed.make(id=2, owner="known to few")
    page = query(sealed).sort("owner").page(limit=1)
    import base64

    assert b"confidential" not in base64.urlsafe_b64decode(page.end_cursor + "==")
    assert [2] == ids(query(sealed).sort("owner").page(limit=1, after=page.end_cursor).records)
    monkeypatch.setenv("CURSOR_SECRET", "l" * 32)
    with pytest.raises(Invalid, match="no cursor of this order"):
        query(sealed).sort("owner").page(limit=1, after=page.end_cursor)
    monkeypatch.delenv("CURSOR_SECRET")
    with pytest.raises(DeclarationError, match="CURSOR_SECRET"):
        query(sealed).sort("owner").page(limit=1)


def test_sizes_of_pages_are_checked_when_they_are_declared() -> None:
    """A size below one, and a default above the maximum, are refused (RK059)."""
    for options in ({"page_limit": 0}, {"page_limit_max": -1}, {"page_limit": 5, "page_limit_max": 4}):

        def declare(options: Any = options) -> None:
            class Listed(Resource, domain=Domain("listed")):
                id: Attr[int] = attribute(primary_key=True)
                listed = read(**options)

        assert ["RK059"] == [error.code for error in declaration_errors(declare)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plays=st.lists(st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from([None, "a", "b"])), max_size=9),
    directions=st.tuples(st.booleans(), st.booleans(), st.sampled_from(["first", "last", None])),
    limit=st.integers(1, 4),
)
def test_pages_of_drawn_records(plays: Any, directions: Any, limit: int) -> None:
    """Whatever the values, directions and places of ``None``: pages in both directions are the whole result."""
    song = song_on(None)
    song.make.bulk([{"id": number, "plays": one, "title": two} for number, (one, two) in enumerate(plays)])
    keys = [
        getattr(song.plays, "desc" if directions[0] else "asc")(nulls=directions[2]),
        song.title.desc() if directions[1] else song.title.asc(),
    ]
    found = query(song).sort(*keys)
    whole = ids(query(song).sort(*keys, song.id).all())
    pages = forwards(found, limit)

    assert whole == [each for page in pages for each in ids(page.records)]
    assert whole == [each for page in backwards(found, limit, pages[-1]) for each in ids(page.records)]


def test_none_and_values_of_the_first_key_are_read_apart(tmp_path: Any) -> None:
    """Where a descending key turns to ``None``, and an ascending one to values, no statement asks for both: it would read no index."""
    song = song_on(SQL(f"sqlite:///{tmp_path}/songs.db"))
    song.make.bulk(rows())
    for key in (song.plays.desc(), song.plays.asc()):
        found = query(song).sort(key)
        page = found.page(limit=4)
        _ = [found.page(limit=1, after=page.end_cursor), *forwards(found, 1)]
    shapes = [key[1][1] for key in song.__runtime__.kept if key[0] == "plan" and key[1][0] == "select" and key[1][1] is not None]

    assert shapes
    assert not [shape for shape in shapes if shape[0] == "Or"]
