"""Reads that share a plan: each has the answer that it would have alone, and is refused as it would be alone."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Calc,
    Domain,
    Many,
    One,
    Resource,
    actor,
    arg,
    argument,
    attribute,
    belongs_to,
    calculated,
    context,
    create,
    has_many,
    now,
    query,
    read,
)
from resourcekit.errors import InvalidArgument
from resourcekit.testing import in_memory


class Kind(enum.Enum):
    """What a book is."""

    NOVEL = "novel"
    POEM = "poem"


START = datetime(2026, 1, 1, tzinfo=UTC)
_shown: list[int] = [0]


def library_on(layer: Callable[[], Any]) -> Any:
    """Declare authors and books, and store some."""
    domain = Domain("known reads")

    class Author(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute()
        books: Many[Book] = has_many("author_id", sort=["id"])
        long: Calc[int] = calculated(lambda: Author.books.count(Book.pages > 15))
        above: Calc[int] = calculated(
            lambda: Author.books.count(Book.pages > arg("least")),
            arguments=[argument("least", int, default_factory=lambda: _shown[0])],
        )
        own: Calc[bool] = calculated(lambda: Author.id == actor("id"))
        make = create(accept=["id", "name"])

    class Book(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        author_id: Attr[int | None] = attribute(default=None)
        pages: Attr[int] = attribute(default=0)
        price: Attr[Decimal] = attribute(default=Decimal(0), scale=2)
        kind: Attr[Kind] = attribute(default=Kind.NOVEL)
        at: Attr[datetime] = attribute(default=START)
        author: One[Author | None] = belongs_to("author_id", on_delete="nothing")
        make = create(accept=["id", "author_id", "pages", "price", "kind", "at"])

    class Shelf(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        author_id: Attr[int] = attribute()
        author: One[Author] = belongs_to("author_id", on_delete="nothing")
        hidden: Many[Secret] = has_many("shelf_id")
        make = create(accept=["id", "author_id"])

    class Secret(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        shelf_id: Attr[int] = attribute()
        make = create(accept=["id", "shelf_id"])

        @read(primary=True)
        def shown(query: Any) -> Any:  # noqa: N805
            """Show what the list of this test says."""
            return query.filter(Secret.id >= _shown[0])

    domain.create_storage()
    Author.make.bulk([{"id": n, "name": name} for n, name in enumerate(("Ann", "Bob", "Cy"))])
    Book.make.bulk(
        [
            {
                "id": n,
                "author_id": n % 3 if n < 9 else None,
                "pages": n * 3,
                "price": Decimal(n) / 4,
                "kind": list(Kind)[n % 2],
                "at": START + timedelta(days=n),
            }
            for n in range(10)
        ]
    )
    Shelf.make(id=1, author_id=0)
    Secret.make.bulk([{"id": 1, "shelf_id": 1}, {"id": 2, "shelf_id": 1}])
    for each in (Book, Shelf, Secret):
        setattr(Author, each.__name__, each)
    Author.domain = domain
    return Author


@pytest.fixture
def author(any_layer: Callable[[], Any]) -> Any:
    """The library on a layer."""
    _shown[0] = 0
    return library_on(any_layer)


def ids(found: Any) -> list[int]:
    """Return the keys of the records of a query."""
    return [each.id for each in found.sort("id").all()]


def test_values_change_and_the_plan_stays(author: Any) -> None:
    """The second query of a shape takes no new plan, and finds what its own values ask for."""
    book, kept = author.Book, author.Book.__runtime__.kept
    rows = {n: (n % 3 if n < 9 else None, n * 3, Decimal(n) / 4, list(Kind)[n % 2], START + timedelta(days=n)) for n in range(10)}
    shapes: list[tuple[Callable[[Any], Any], Callable[[Any, Any], bool], list[Any]]] = [
        (lambda v: book.pages > v, lambda row, v: row[1] > v, [3, 9, 30]),
        (book.pages.in_, lambda row, v: row[1] in v, [[3, 6], [9, 12], [27, 99]]),
        (lambda v: ~book.pages.in_(v), lambda row, v: row[1] not in v, [[3, 6], [9, 12]]),
        (lambda v: book.price == v, lambda row, v: row[2] == v, [Decimal("0.5"), Decimal(1)]),
        (lambda v: book.price > v, lambda row, v: row[2] > v, [Decimal("0.501"), Decimal("1.249")]),
        (lambda v: book.kind == v, lambda row, v: row[3] is v, [Kind.NOVEL, Kind.POEM]),
        (lambda v: book.at >= v, lambda row, v: row[4] >= v, [START + timedelta(days=3), START]),
        (
            lambda v: book.author[author.name] == v,
            lambda row, v: row[0] is not None and "ABC"[row[0]] == v[0],
            ["Ann", "Bob", "None"],
        ),
        (
            lambda v: book.author[author.books.count(book.pages > v)] == 3,
            lambda row, v: row[0] is not None and {2: (0, 1, 2), 8: ()}[v].count(row[0]) > 0,
            [8],
        ),
        (lambda v: (book.pages + v) % 2 == 0, lambda row, v: (row[1] + v) % 2 == 0, [1, 2]),
    ]
    for shape, holds, values in shapes:
        query(book).filter(shape(values[0])).sort("id").all()
        before = len(kept)
        for value in values:
            assert [n for n, row in rows.items() if holds(row, value)] == ids(query(book).filter(shape(value))), value
        assert before == len(kept)


def test_a_value_that_does_not_fit_is_refused_like_the_first(author: Any) -> None:
    """A wrong value of a known shape has the error of its own."""
    book = author.Book
    for good, wrong in ((book.pages == 3, book.pages == "three"), (book.at > START, book.at > datetime(2026, 1, 1))):  # noqa: DTZ001  # it is the point
        for _ in range(2):
            query(book).filter(good).all()
        with pytest.raises(InvalidArgument):
            query(book).filter(wrong).all()
        query(book).filter(good).all()
    for text in ("3", "6"):
        assert [int(text) // 3] == ids(query(book).filter(book.pages == text))


def test_none_and_values_of_other_types_have_plans_of_their_own(author: Any) -> None:
    """``None`` is another shape, and so is True beside 1."""
    book = author.Book
    for _ in range(2):
        assert [9] == ids(query(book).filter(book.author_id == None))  # noqa: E711  # an expression
        assert [0, 3, 6] == ids(query(book).filter(book.author_id == 0))
        assert [0, 3, 6, 9] == ids(query(book).filter(book.author_id.in_([0, None])))
        assert [0, 1, 3, 4, 6, 7] == ids(query(book).filter(book.author_id.in_([0, 1])))


def test_what_depends_on_the_call_is_not_kept(author: Any) -> None:
    """The actor, defaults of arguments, a primary read that is computed at each call, and the time."""
    for who in (0, 1, None):
        with context(actor={"id": who}):
            found = query(author).sort("id").load(author.own).all()
            assert [who == 0, who == 1, False] == [each.own for each in found]
            assert ([] if who is None else [who]) == ids(query(author).filter(author.own))
    for least, wanted in ((0, [2, 3, 3]), (12, [1, 1, 2]), (100, [0, 0, 0])):
        _shown[0] = least
        assert wanted == [each.above for each in query(author).sort("id").load(author.above).all()]
    for first, wanted in ((0, 2), (2, 1), (3, 0)):
        _shown[0] = first
        shelf = query(author.Shelf).load(author.Shelf.hidden, n=author.Shelf.hidden.count()).one()
        assert (wanted, wanted) == (len(shelf.hidden), shelf.extra["n"])
    for _ in range(2):
        assert 10 == len(query(author.Book).filter(author.Book.at < now() + timedelta(days=9999)).all())


def test_loads_share_a_plan(author: Any) -> None:
    """Conditions, limits and offsets of loads change from one call to the next."""
    book = author.Book
    for least, most in ((0, 1), (10, 2), (20, 5), (0, 3)):
        loaded = query(author).sort("id").load(author.books.filter(book.pages >= least).limit(most)).all()
        assert [[n for n in range(9) if n % 3 == each.id and n * 3 >= least][:most] for each in loaded] == [
            [one.id for one in each.books] for each in loaded
        ]
    assert [1, 1, 1] == [each.long for each in query(author).sort("-id").load(author.long).all()]
    for start in (0, 1, 2):
        assert list(range(10))[start : start + 2] == [each.id for each in query(book).sort("id").offset(start).limit(2).all()]


def test_another_store_has_plans_of_its_own(tmp_path: Any) -> None:
    """A resource whose store is replaced in a test reads the store of the test, also over a relationship."""
    from resourcekit.data_layers import SQL

    tables = iter(range(9))
    author = library_on(lambda: SQL(f"sqlite:///{tmp_path}/known.db", table=f"t{next(tables)}"))
    asked = query(author.Book).filter(author.Book.author[author.name] == "Ann")
    assert [0, 3, 6] == ids(asked)
    with in_memory(author.domain):
        assert [] == ids(asked)
        author.make(id=7, name="Ann")
        author.Book.make(id=70, author_id=7)
        assert [70] == ids(asked)
    assert [0, 3, 6] == ids(asked)
