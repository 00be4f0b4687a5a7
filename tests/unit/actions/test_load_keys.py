"""Loads whose keys are of several attributes, or are not selected by a read action."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resourcekit import Attr, Domain, Many, One, Resource, attribute, belongs_to, create, has_many, query, read
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import NotLoaded


@pytest.fixture(params=["memory", "sqlite"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a layer in memory, or one on a file."""
    return Memory() if request.param == "memory" else SQL(f"sqlite:///{tmp_path}/library.db")


def ids(records: Any) -> list[int]:
    """Return the keys of records, in their order."""
    return [record.id for record in records]


def test_keys_of_several_attributes(layer):
    """A key of several attributes refers to a key of several attributes, with limits as well."""
    domain = Domain("boards")

    class Square(Resource, domain=domain, data_layer=layer):
        row: Attr[str] = attribute(primary_key=True)
        column: Attr[int] = attribute(primary_key=True)
        pieces: Many[Piece] = has_many(("row", "column"), to=lambda: Piece)
        make = create(accept=["row", "column"])

    class Piece(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        row: Attr[str | None] = attribute(default=None)
        column: Attr[int | None] = attribute(default=None)
        square: One[Square | None] = belongs_to(("row", "column"), to=lambda: Square)
        make = create(accept=["id", "row", "column"])

    domain.create_storage()
    Square.make.bulk([{"row": row, "column": column} for row in "ab" for column in (1, 2)])
    Piece.make.bulk(
        [{"id": n, "row": row, "column": column} for n, (row, column) in enumerate([("a", 1), ("b", 2), ("b", 2), ("a", None)])]
    )

    found = query(Square).sort("row", "column").load(Square.pieces, one=Square.pieces.sort("-id").limit(1)).all()

    assert [[0], [], [], [1, 2]] == [ids(square.pieces) for square in found]
    assert [[0], [], [], [2]] == [ids(square.extra["one"]) for square in found]
    assert [("a", 1), None] == [
        piece.square and (piece.square.row, piece.square.column) for piece in query(Piece).load(Piece.square).sort("id").all()
    ][::3]


def test_a_primary_read_that_selects(layer):
    """A load reads the key of its relationship, even if the primary read of the other resource does not select it."""
    domain = Domain("shelves")

    class Shelf(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        things: Many[Thing] = has_many("shelf_id", to=lambda: Thing)
        make = create(accept=["id"])

    class Thing(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        shelf_id: Attr[int] = attribute()
        size: Attr[int] = attribute(default=1)
        listed = read(preparations=[lambda query, context: query.select("id").limit(1)], primary=True)
        make = create(accept=["id", "shelf_id"])

    domain.create_storage()
    Shelf.make.bulk([{"id": 1}, {"id": 2}])
    Thing.make.bulk([{"id": n, "shelf_id": n % 2 + 1} for n in range(4)])
    shelves = query(Shelf).sort("id").load(Shelf.things).all()

    assert [[0], [1]] == [ids(shelf.things) for shelf in shelves]
    with pytest.raises(NotLoaded):
        _ = shelves[0].things[0].size
