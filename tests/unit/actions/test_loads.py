"""Loads of related records: what belongs to which record, on a layer in memory and on a database."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Query,
    Resource,
    arg,
    argument,
    as_dict,
    attribute,
    belongs_to,
    create,
    destroy,
    get,
    has_many,
    has_one,
    load,
    many_to_many,
    query,
    read,
    related,
    transaction,
    update,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Invalid, InvalidArgument, NotFound, NotLoaded, WrongResult


def library_on(layer: Callable[[], Any]) -> Any:
    """Declare authors, books, tags and what connects them, and store some."""
    domain = Domain("library")

    class Author(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        name: Attr[str] = attribute(public=True)

        books: Many[Book] = has_many("author_id", sort=["-year"], public=True)
        old: Many[Book] = has_many("author_id", where=lambda: Book.year < 2000, to=lambda: Book)
        two: Many[Book] = has_many("author_id", sort=["year"], limit=2)
        newest: One[Book | None] = has_one("author_id", sort=lambda: [Book.year.desc()], to=lambda: Book)
        namesakes: Many[Author] = related(load=lambda authors: {each.id: [each] for each in authors if each.name == "Ann"})

        make = create(accept=["id", "name"])
        rename = update(accept=["name"])

    class Book(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        title: Attr[str] = attribute(public=True)
        year: Attr[int] = attribute()
        hidden: Attr[bool] = attribute(default=False)
        author_id: Attr[int | None] = attribute(default=None)

        author: One[Author | None] = belongs_to("author_id", to=lambda: Author, on_delete="nothing", public=True)
        tags: Many[Tag] = many_to_many(through=lambda: BookTag, source="book_id", destination="tag_id", sort=["name"])

        shown = read(preparations=[lambda query, context: query.filter(~Book.hidden)], primary=True)
        with_author = read(preparations=[lambda query, context: query.load(Book.author)])
        tagged = read(
            arguments=[argument("name", str)],
            preparations=[lambda query, context: query.load(Book.tags.filter(Tag.name == arg("name")))],
        )
        make = create(accept=["id", "title", "year", "hidden", "author_id"])

    class Tag(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute()

        books: Many[Book] = many_to_many(through=lambda: BookTag, source="tag_id", destination="book_id", to=lambda: Book)

        make = create(accept=["id", "name"])

    class BookTag(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        book_id: Attr[int] = attribute()
        tag_id: Attr[int | None] = attribute()
        book: One[Book] = belongs_to("book_id", to=lambda: Book, on_delete="nothing")

        make = create(accept=["id", "book_id", "tag_id"])

    domain.create_storage()
    Author.make.bulk([{"id": n, "name": name} for n, name in enumerate(("Ann", "Bob", "Cid"), 1)])
    years = [(1, 1, 1990), (2, 1, 2010), (3, 1, 2001), (4, 2, 1980), (5, None, 2020)]
    Book.make.bulk([{"id": n, "title": f"t{n}", "year": year, "author_id": author} for n, author, year in years])
    Book.make(id=6, title="t6", year=2022, hidden=True, author_id=1)
    Tag.make.bulk([{"id": 1, "name": "war"}, {"id": 2, "name": "art"}])
    joins = [(1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 1, 2), (5, 6, 1), (6, 3, None)]  # one twice, one hidden, one of nothing
    BookTag.make.bulk([{"id": n, "book_id": book, "tag_id": tag} for n, book, tag in joins])
    return SimpleNamespace(Author=Author, Book=Book, Tag=Tag, BookTag=BookTag)


@pytest.fixture(params=["memory", "sqlite"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a layer in memory, or one on a file."""
    return Memory() if request.param == "memory" else SQL(f"sqlite:///{tmp_path}/library.db")


@pytest.fixture
def library(layer: Any) -> Any:
    """Return the resources of a library on a layer."""
    return library_on(lambda: layer)


def ids(records: Any) -> list[int]:
    """Return the keys of records, in their order."""
    return [record.id for record in records]


def test_a_has_many_in_its_order(library):
    """Each record has its related records in the order of the relationship; what the primary read hides is not among them."""
    authors = query(library.Author).sort("id").load(library.Author.books).all()

    assert [[2, 3, 1], [4], []] == [ids(author.books) for author in authors]
    assert tuple is type(authors[0].books)


def test_a_belongs_to(library):
    """A record has the one to which its key refers, or None; records with one key share it."""
    books = query(library.Book).sort("id").load(library.Book.author).all()

    assert ["Ann", "Ann", "Ann", "Bob", None] == [book.author and book.author.name for book in books]
    assert books[0].author is books[1].author


def test_declared_conditions_orders_and_limits(library):
    """where, sort and limit of a relationship apply for each record."""
    authors = query(library.Author).sort("id").load(library.Author.old, library.Author.two, library.Author.newest).all()

    assert [[1], [4], []] == [ids(author.old) for author in authors]
    assert [[1, 3], [4], []] == [ids(author.two) for author in authors]
    assert [2, 4, None] == [author.newest and author.newest.id for author in authors]


def test_asked_conditions_orders_and_limits(library):
    """filter, sort and limit of a load apply for each record, beside those of the relationship."""
    asked = library.Author.books.filter(library.Book.year > 1985).sort(library.Book.year).limit(2)
    authors = query(library.Author).sort("id").load(asked).all()

    assert [[1, 3], [], []] == [ids(author.books) for author in authors]


def test_a_many_to_many(library):
    """Records are connected once each, however many rows connect them, and in the order of the relationship."""
    books = query(library.Book).sort("id").load(library.Book.tags).all()
    tags = query(library.Tag).sort("id").load(library.Tag.books.sort("id").limit(1)).all()

    assert [[2, 1], [1], [], [], []] == [ids(book.tags) for book in books]
    assert [[1], [1]] == [ids(tag.books) for tag in tags]


def test_nested_loads(library):
    """Loads go on over several levels, to a record's own kind as well."""
    (ann, *_) = (
        query(library.Author)
        .sort("id")
        .load(library.Author.books.load(library.Book.tags, library.Book.author.load(library.Author.two)))
        .all()
    )

    assert [[1], [], [2, 1]] == [ids(book.tags) for book in ann.books]
    assert [1, 3] == ids(ann.books[0].author.two)


def test_loads_under_names(library):
    """What is loaded under a name is in extra, beside the relationship itself."""
    ann = query(library.Author).load(library.Author.books, late=library.Author.books.filter(library.Book.year > 2005)).first()

    assert ([2, 3, 1], [2]) == (ids(ann.books), ids(ann.extra["late"]))
    assert {} == dict(get(library.Author, 1).extra)


def test_a_function_loads(library):
    """A related calls its function once with all records; keys that it leaves out have nothing."""
    authors = query(library.Author).sort("id").load(library.Author.namesakes.load(library.Author.two)).all()

    assert [[1], [], []] == [ids(author.namesakes) for author in authors]
    assert [1, 3] == ids(authors[0].namesakes[0].two)
    assert [[1], []] == [ids(author.namesakes) for author in load(authors[:2], library.Author.namesakes)]
    with pytest.raises(InvalidArgument, match="loaded by a function"):
        library.Author.namesakes.limit(1)


@pytest.mark.parametrize("answer", [None, {1: 5}, {1: ["x"]}])
def test_a_function_that_returns_something_else(answer):
    """What a related must not return is an error of its author, with the place."""

    class Person(Resource, domain=Domain("persons")):
        id: Attr[int] = attribute(primary_key=True)
        friends: Many[Person] = related(load=lambda records: answer, to=lambda: Person)

    with pytest.raises(WrongResult, match=r"RK056\] Person › relationships › friends"):
        load(Person(id=1), Person.friends)


def test_records_are_loaded_later(library):
    """Load returns new records with the same values; earlier loads stay, and the given records do not change."""
    ann = get(library.Author, 1)
    loaded = load(load(ann, library.Author.books), library.Author.two)

    assert ([2, 3, 1], [1, 3]) == (ids(loaded.books), ids(loaded.two))
    assert ann == loaded
    assert [[1, 3], [4]] == [ids(each.two) for each in load([ann, get(library.Author, 2)], library.Author.two)]
    assert [] == load([], library.Author.two)
    with pytest.raises(NotLoaded):
        _ = ann.books


def test_loads_in_every_call(library):
    """first, one, stream, page, get and named reads load, and so do async calls."""
    loads = query(library.Book).filter(library.Book.id == 1).load(library.Book.author)

    async def everything() -> list[Any]:
        return [
            *await loads.all.aio(),
            await load.aio(get(library.Book, 1), library.Book.author),
            *[book async for book in loads.stream.aio()],
        ]

    found = [loads.first(), loads.one(), *loads.stream(), *loads.page(limit=1).records, *asyncio.run(everything())]

    assert ["Ann"] * 7 == [book.author.name for book in found]
    assert ["Ann", "Ann"] == [book.author.name for book in library.Book.with_author()[:2]]
    assert [2, 1] == ids(library.Book.with_author.query().filter(library.Book.id == 1).load(library.Book.tags).one().tags)


def test_a_load_with_an_argument(library):
    """A read action may use its arguments in the conditions of what it loads."""
    books = sorted(library.Book.tagged(name="war"), key=lambda book: book.id)

    assert [[1], [1], [], [], [], [1]] == [ids(book.tags) for book in books]


def test_loads_in_a_transaction(library):
    """A load sees what its transaction has written."""
    with transaction(library.Author, library.Book):
        library.Book.make(id=9, title="t9", year=1970, author_id=3)
        loaded = load(get(library.Author, 3), library.Author.books)

    assert [9] == ids(loaded.books)


def test_a_selection_reads_the_key_of_a_load(library):
    """A query that selects attributes reads those that its loads need, too."""
    book = query(library.Book).select(library.Book.title).filter(library.Book.id == 1).load(library.Book.author).one()

    assert "Ann" == book.author.name
    with pytest.raises(NotLoaded, match="author_id"):
        load(query(library.Book).select(library.Book.title).filter(library.Book.id == 1).one(), library.Book.author)


def test_loaded_records_are_values(library):
    """What was loaded takes no part in equality, hash and repr; copies and pickles keep it; writes return nothing loaded."""
    plain, loaded = get(library.Author, 1), load(get(library.Author, 1), library.Author.books)

    assert (plain, hash(plain), repr(plain)) == (loaded, hash(loaded), repr(loaded))
    assert [2, 3, 1] == ids(copy.copy(loaded).books)
    with pytest.raises(NotLoaded):
        _ = library.Author.rename(loaded, name="Ann").books


def test_pickles_keep_what_was_loaded():
    """A pickled record has what it had."""
    loaded = load(Plain(id=1), Plain.same)

    assert (1,) == tuple(each.id for each in pickle.loads(pickle.dumps(loaded)).same)  # our own


def test_what_is_shown(library):
    """as_dict shows public relationships that were loaded, level by level."""
    bob = (
        query(library.Author)
        .filter(library.Author.id == 2)
        .load(library.Author.books.load(library.Book.author), library.Author.two)
        .one()
    )

    assert {
        "id": 2,
        "name": "Bob",
        "books": [{"id": 4, "title": "t4", "author": {"id": 2, "name": "Bob"}}],
    } == as_dict(bob)
    assert {"id": 2, "name": "Bob"} == as_dict(get(library.Author, 2))


def test_a_required_record_that_is_hidden(library):
    """A required record that the primary read does not show is an error, and no None."""
    with pytest.raises(NotFound, match="BookTag: book: the Book of a record does not exist, or the primary read"):
        query(library.BookTag).load(library.BookTag.book).all()


def test_loads_that_cannot_run(library):
    """A relationship of another resource, a name twice and a name of the resource are refused before anything is read."""
    wrong = {
        "Book.tags is no relationship of Author": lambda: query(library.Author).load(library.Book.tags).all(),
        "is loaded twice": lambda: query(library.Author).load(library.Author.books, library.Author.books),
        "'late' is loaded twice": lambda: query(library.Author).load(late=library.Author.books).load(late=library.Author.two),
        "takes relationships": lambda: query(library.Author).load("books"),
        "is a name of the resource": lambda: query(library.Author).load(name=library.Author.books).all(),
        "limited by its declaration": lambda: query(library.Author).load(library.Author.two.sort("id")).all(),
        "Author.books is no relationship of Book": lambda: (
            query(library.Author).load(library.Author.books.load(library.Author.books)).all()
        ),
        "shade": lambda: query(library.Author).load(library.Author.books.sort("shade")).all(),
        "takes a record or a list": lambda: load(5, library.Author.books),
        "of Author and Book": lambda: load([get(library.Author, 1), get(library.Book, 1)], library.Author.books),
    }
    for message, call in wrong.items():
        with pytest.raises(Invalid, match=message):
            call()


def test_loads_on_every_layer(every_layer):
    """Conditions, orders, limits for each record and nested loads mean the same on every layer."""
    library = library_on(every_layer)
    asked = library.Author.books.filter(library.Book.year > 1985).sort(library.Book.year).limit(1)
    authors = query(library.Author).sort("id").load(library.Author.books.load(library.Book.tags), late=asked).all()
    books = query(library.Book).sort("id").load(library.Book.author).all()

    assert [[2, 3, 1], [4], []] == [ids(author.books) for author in authors]
    assert [[1], [], [2, 1]] == [ids(book.tags) for book in authors[0].books]
    assert [[1], [], []] == [ids(author.extra["late"]) for author in authors]
    assert ["Ann", "Ann", "Ann", "Bob", None] == [book.author and book.author.name for book in books]


class Plain(Resource, domain=Domain("plain")):
    """A resource that a pickle finds by its name."""

    id: Attr[int] = attribute(primary_key=True)
    same: Many[Plain] = related(load=lambda records: {each.id: [each] for each in records})
    drop = destroy()

    @read
    @staticmethod
    def loading(query: Query) -> Query:
        """Load in a function."""
        return query.load(Plain.same)


def test_a_relationship_behind_a_path_is_not_loaded(library):
    """It would be that of the record itself if both are of one resource; the error says what to write."""
    path = library.Book.author[library.Author.books]
    cure = r"write Book.author.load\(Author.books\)"

    for asked in (query(library.Book).load(path).all, query(library.Book).load(other=path).all):
        with pytest.raises(InvalidArgument, match=cure):
            asked()
    for given in (query(library.Book).all()[0], query(library.Book).all()):
        with pytest.raises(InvalidArgument, match=cure):
            load(given, path)
