"""Many rows at once: few statements, and for each row the outcome that it would have alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, existing, identity, incoming, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.extending import Upsert

ROWS = [{"id": n, "name": f"n{n}", "number": n} for n in range(60)]
BATCHES: list[tuple[str, list[dict[str, Any]]]] = [
    ("put", ROWS[:40]),
    ("put", [{**row, "number": row["number"] + 30} for row in ROWS]),
    ("put", [*ROWS[:20], {"id": 3, "name": "again", "number": 9}, *ROWS[20:30]]),
    ("put", [{"id": n, "name": "n5" if n == 22 else f"m{n}", "number": 1} for n in range(20, 45)]),
    ("raised", [{"id": n, "number": 70} for n in range(0, 80, 2)]),
    ("raised", [{"id": n, "number": 90} for n in range(100)]),
    ("plain", [{"id": n} for n in range(90, 120)]),
    ("make", [{"id": n, "name": f"x{n}"} for n in range(110, 150)]),
    ("make", [{"id": n, "name": "n5" if n in (155, 190) else f"y{n}"} for n in range(150, 200)]),
]
"""New and existing rows, a key that comes twice, a name that another record has, and rows that a condition leaves as they are."""


def _item(layer: Any) -> Any:
    domain = Domain("many rows")

    class Item(Resource, domain=domain, data_layer=layer):
        """An item with a second identity."""

        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str | None] = attribute(default=None, max_length=100)
        number: Attr[int] = attribute(default=0)
        by_name = identity("name")
        make = create(accept=["id", "name", "number"])
        put = create(accept=["id", "name", "number"], upsert=True)
        raised = create(accept=["id", "number"], upsert=Upsert(set={"number": incoming("number")}, where=existing("number") < 50))
        plain = create(accept=["id"], upsert=True)

    domain.create_storage()
    Item.kept_domain = domain
    return Item


def _told(result: Any) -> Any:
    failures = [(each.index, type(each.error).__name__) for each in result.failures]
    return result.count, failures, [(each.id, each.name, each.number) for each in result.records]


def _stored(item: Any) -> Any:
    return [(each.id, each.name, each.number) for each in query(item).sort("id").all()]


@pytest.mark.parametrize("mode", ["sync", "async", "count only"])
def test_outcomes_are_those_of_rows_that_are_written_one_by_one(every_layer: Callable[[], Any], mode: str) -> None:
    """Counts, failures, records and what is stored are those of a layer that gets one row at a time."""
    item, alone = _item(every_layer()), _item(Memory())

    async def run(name: str, rows: list[dict[str, Any]]) -> Any:
        return await getattr(item, name).bulk.aio(rows)

    for name, rows in BATCHES:
        expected = getattr(alone, name).bulk(rows, batch_size=1)
        if mode == "count only":
            assert _told(expected)[:2] == _told(getattr(item, name).bulk(rows, return_records=False))[:2]
        else:
            assert _told(expected) == _told(asyncio.run(run(name, rows)) if mode == "async" else getattr(item, name).bulk(rows))
        assert _stored(alone) == _stored(item)


def test_a_bulk_upsert_sends_few_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand rows take four statements on SQLite, besides those of the transaction; it was one for each row."""
    item, sent = _item(SQL(f"sqlite:///{tmp_path}/few.db")), list[str]()
    for name in ("_fetch", "_run"):
        send = getattr(Connection, name)

        def noted(connection: Connection, sql: str, values: Any, send: Any = send) -> Any:
            sent.append(sql)
            return send(connection, sql, values)

        monkeypatch.setattr(Connection, name, noted)
    rows = [{"id": n, "name": f"n{n}"} for n in range(1000)]
    assert 1000 == item.put.bulk(rows).count
    sent.clear()
    assert 1000 == item.put.bulk(rows, return_records=False).count
    assert ["BEGIN", "INSER", "INSER", "INSER", "INSER", "COMMI"] == [sql[:5] for sql in sent]


def test_keys_that_are_equal_for_the_database_alone(tmp_path: Path) -> None:
    """Texts that differ in their case, in a column that ignores it: the rows are sent one by one, with the same result."""
    path = tmp_path / "words.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE words (word TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, number INTEGER NOT NULL)")
        connection.execute("INSERT INTO words VALUES ('b', 1)")
    domain = Domain("words")

    class Word(Resource, domain=domain, data_layer=SQL(f"sqlite:///{path}", table="words", managed=False)):
        word: Attr[str] = attribute(primary_key=True, foreign_collation=True)
        number: Attr[int] = attribute()
        put = create(accept=["word", "number"], upsert=True)

    result = Word.put.bulk([{"word": "A", "number": 1}, {"word": "B", "number": 2}, {"word": "a", "number": 3}])
    assert [("A", 1), ("b", 2), ("A", 3)] == [(each.word, each.number) for each in result.records]
    assert [("A", 3), ("b", 2)] == sorted((each.word, each.number) for each in query(Word).all())


def test_identities_of_decimals_that_are_written_in_two_ways(tmp_path: Path) -> None:
    """1.5 and 1.50 are one identity: the second row updates what the first one inserted."""
    domain = Domain("prices")

    class Price(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/prices.db")):
        id: Attr[int] = attribute(primary_key=True)
        amount: Attr[Decimal] = attribute()
        text: Attr[str] = attribute()
        by_amount = identity("amount")
        put = create(accept=["id", "amount", "text"], upsert="by_amount")

    domain.create_storage()
    rows = [{"id": n, "amount": Decimal(text), "text": text} for n, text in enumerate(("1.5", "2", "1.50"))]
    result = Price.put.bulk(rows)
    assert (3, ["1.5", "2", "1.50"]) == (result.count, [each.text for each in result.records])
    assert ["1.50", "2"] == sorted(each.text for each in query(Price).all())
