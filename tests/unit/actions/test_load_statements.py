"""How many statements a load sends, and which of them run at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_loads import ids, library_on

from resourcekit import load, query, transaction
from resourcekit.actions import single_loads
from resourcekit.data_layers import SQL
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.store import SQLStore
from resourcekit.errors import InvalidArgument, NotFound, NotLoaded


@pytest.fixture
def sent(monkeypatch):
    """Return the texts of the statements that return rows, as they are sent."""
    texts, fetch = [], Connection.fetch

    def noted(connection, sql, values=()):
        texts.append(sql)
        return fetch(connection, sql, values)

    monkeypatch.setattr(Connection, "fetch", noted)
    return texts


def test_one_statement_for_each_relationship(tmp_path, sent):
    """The number of statements depends on the relationships, and not on the number of records; none of them runs in a loop."""
    library = library_on(lambda: SQL(f"sqlite:///{tmp_path}/library.db"))
    many = [{"id": n, "title": "many", "year": 1900, "author_id": n % 3 + 1} for n in range(100, 1100)]
    library.Book.make.bulk(many)
    loads = query(library.Author).load(library.Author.books.load(library.Book.author), library.Author.two)
    sent.clear()
    few, few_sent = loads.limit(1).all(), len(sent)
    sent.clear()
    found = loads.all()

    assert (4, 4, 1) == (few_sent, len(sent), len(few))
    assert 1004 == sum(len(author.books) for author in found)
    sent.clear()
    load(found, library.Author.books.load(library.Book.tags))
    assert 2 == len(sent)  # the books; the rows between with their tags
    sent.clear()
    load(found, library.Author.books.load(library.Book.tags.sort("-name").limit(1).load(library.Tag.books.limit(2))))
    assert 3 == len(sent)


def test_relationships_of_a_level_are_loaded_at_the_same_time(tmp_path, monkeypatch):
    """In an async call the loads of one level run at the same time; in a transaction one follows the other."""
    library = library_on(lambda: SQL(f"sqlite:///{tmp_path}/library.db"))
    running, most, select = set[object](), [0], SQLStore.select

    async def noted(store: SQLStore, *args: Any) -> Any:
        running.add(call := object())
        most.append(len(running))
        try:
            return await select(store, *args)
        finally:
            running.discard(call)

    async def books(*, inside: bool) -> list[Any]:
        loads = query(library.Book).sort("id").load(library.Book.author, library.Book.tags)
        if not inside:
            return await loads.all.aio()
        async with transaction(library.Book):
            return await loads.all.aio()

    monkeypatch.setattr(SQLStore, "select", noted)
    found, before = asyncio.run(books(inside=False)), max(most)
    most.clear()
    again = asyncio.run(books(inside=True))

    assert (2, 1) == (before, max(most))
    assert [[2, 1], [1], [], [], []] == [ids(book.tags) for book in found] == [ids(book.tags) for book in again]


def test_a_load_of_one_record_is_prepared_once(tmp_path, monkeypatch):
    """A relationship as it is declared is read by one known plan; the records are those of a load of a list."""
    library = library_on(lambda: SQL(f"sqlite:///{tmp_path}/library.db"))
    Author, Book, BookTag = library.Author, library.Book, library.BookTag  # noqa: N806  # classes
    prepared, real = [], single_loads.related_read

    async def noted(runtime: Any, relation: Any, shown: Any) -> Any:
        prepared.append(relation.name)
        return await real(runtime, relation, shown)

    monkeypatch.setattr(single_loads, "related_read", noted)
    books, authors = query(Book).sort("id").all(), query(Author).sort("id").all()
    ways = [
        *[(each, Book.author) for each in books],
        *[(each, Book.tags) for each in books],
        *[(each, getattr(Author, name)) for each in authors for name in ("books", "old", "two", "newest", "namesakes")],
        *[(each, BookTag.book) for each in query(BookTag).filter(BookTag.book_id != 6).all()],
        *[(load(each, Book.tags), Book.author) for each in books],
    ]
    for record, relation in ways:
        one, (other,) = load(record, relation), load([record], relation)
        assert getattr(one, relation.name) == getattr(other, relation.name)
        assert one.__loaded__ == other.__loaded__
        assert getattr(record, "__loaded__", None) != one.__loaded__
    assert ["author"] == prepared  # the primary read of Book depends on the call

    with pytest.raises(NotFound, match="book: the Book of a record does not exist"):
        load(query(BookTag).filter(BookTag.book_id == 6).one(), BookTag.book)
    with pytest.raises(NotLoaded, match="author_id"):
        load(query(Book).select("title").all()[0], Book.author)
    with pytest.raises(InvalidArgument, match="no relationship of Author"):
        load(authors[0], Book.author)
    with pytest.raises(InvalidArgument, match=r"Author.books"):
        load(books[0], Author.books)
