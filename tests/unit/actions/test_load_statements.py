"""How many statements a load sends, and which of them run at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_loads import ids, library_on

from resourcekit import load, query, transaction
from resourcekit.data_layers import SQL
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.store import SQLStore


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
