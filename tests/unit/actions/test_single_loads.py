"""A load of one relationship for one record is prepared once; it means the same as the load for a list of records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Resource,
    actor,
    attribute,
    belongs_to,
    context,
    create,
    get,
    has_many,
    has_one,
    load,
    read,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import NotFound

LOADS = {
    "all": lambda shelf: shelf.books,
    "filtered": lambda shelf: shelf.books.filter(shelf.book.year > 2000),
    "sorted": lambda shelf: shelf.books.sort("year"),
    "limited": lambda shelf: shelf.books.limit(1),
    "nested": lambda shelf: shelf.books.load(shelf.book.shelf),
    "declared condition": lambda shelf: shelf.old,
    "declared limit": lambda shelf: shelf.two,
    "the newest": lambda shelf: shelf.newest,
    "of the actor": lambda shelf: shelf.of_actor,
    "shown to the actor": lambda shelf: shelf.shown,
}


@pytest.fixture(params=["memory", "sqlite"])
def shelf(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """Shelves, books that need a shelf, and labels that only their owner sees; storage made, records stored."""
    domain = Domain("shelves")

    def layer() -> Any:
        return Memory() if request.param == "memory" else SQL(f"sqlite:///{tmp_path}/shelves.db")

    class Shelf(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)

        books: Many[Book] = has_many("shelf_id", sort=["-year"])
        old: Many[Book] = has_many("shelf_id", where=lambda: Book.year < 2000, to=lambda: Book)
        two: Many[Book] = has_many("shelf_id", sort=["year"], limit=2, to=lambda: Book)
        newest: One[Book | None] = has_one("shelf_id", sort=lambda: [Book.year.desc()], to=lambda: Book)
        of_actor: Many[Book] = has_many("shelf_id", where=lambda: Book.id > actor("least"), to=lambda: Book)
        shown: Many[Label] = has_many("shelf_id", to=lambda: Label)

        make = create(accept=["id"])

    class Book(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        title: Attr[str] = attribute()
        year: Attr[int] = attribute()
        shelf_id: Attr[int] = attribute()

        shelf: One[Shelf] = belongs_to("shelf_id", to=lambda: Shelf, on_delete="nothing")

        make = create(accept=["id", "title", "year", "shelf_id"])

    class Label(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        owner: Attr[int] = attribute()
        shelf_id: Attr[int] = attribute()

        visible = read(preparations=[lambda query, context: query.filter(Label.owner == context.actor["id"])], primary=True)
        make = create(accept=["id", "owner", "shelf_id"])

    domain.create_storage()
    Shelf.make.bulk([{"id": 1}, {"id": 2}, {"id": 3}])
    Book.make.bulk([{"id": each, "title": f"{each}", "year": 1990 + 5 * each, "shelf_id": 1 + each % 2} for each in range(6)])
    Label.make.bulk([{"id": each, "owner": each % 2, "shelf_id": 1} for each in range(3)])
    Shelf.book, Shelf.label = Book, Label
    return Shelf


def related(record: Any, name: str) -> Any:
    """Return the values that are loaded under a name, with what is loaded of them."""
    found = getattr(record, name)
    return [repr((each, getattr(each, "__loaded__", None))) for each in (found if isinstance(found, tuple) else [found])]


@pytest.mark.parametrize("asked", LOADS)
def test_a_single_load_means_what_the_load_of_a_list_means(shelf: Any, asked: str) -> None:
    """The first and the repeated load of one record, sync and async, give what the load of a list gives."""
    relation, plain = LOADS[asked](shelf), shelf.books
    for key, user in ((1, 0), (2, 1), (3, 0), (1, 1)):
        with context(actor={"least": 2 * user, "id": user}):
            record = get(shelf, key)
            load(record, plain)
            (expected,) = load([record], relation)

            assert related(expected, relation.name) == related(load(record, relation), relation.name)
            assert related(expected, relation.name) == related(asyncio.run(load.aio(record, relation)), relation.name)


def test_a_required_record_that_is_missing_is_not_found(shelf: Any) -> None:
    """A relationship that needs a record raises NotFound at each load, and does not give None."""
    book = shelf.book.make(id=9, title="lost", year=2001, shelf_id=77)

    for _ in range(2):
        with pytest.raises(NotFound, match="shelf"):
            load(book, shelf.book.shelf)
