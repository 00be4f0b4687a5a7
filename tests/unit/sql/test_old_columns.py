"""The migration of tables from before native columns."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from types import new_class
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from resourcekit import Attr, Domain, One, Resource, attribute, belongs_to, create, query
from resourcekit.data_layers import SQL, Repo
from resourcekit.errors import InvalidArgument
from resourcekit.extending import Field


class Level(enum.Enum):
    """Members whose names were stored."""

    LOW = 1
    HIGH = 2


OLD_TYPES = {
    "sqlite": {"bytes": "BLOB", "number": "INTEGER", "text": "TEXT", "key": "BLOB"},
    "postgresql": {"bytes": "bytea", "number": "bigint", "text": 'text COLLATE "C"', "key": "bytea"},
    "mariadb": {"bytes": "varbinary(16)", "number": "bigint", "text": "longtext COLLATE utf8mb4_bin", "key": "varbinary(16)"},
}
ID = UUID("0b0e7a3c-5a1d-4f1e-9c58-000000000001")
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)
OLD: dict[str, tuple[str, Any]] = {
    "id": ("key", ID.bytes),
    "at": ("number", 1767323045678901),
    "lasts": ("number", -1_500_000),
    "day": ("text", "2026-02-28"),
    "hour": ("text", "23:59:01.000005"),
    "flag": ("number", 1),
    "price": ("text", "25000002125 "),
    "debt": ("text", "0499999824~"),
    "level": ("text", "HIGH"),
    "levels": ("text", '["HIGH","LOW"]'),
    "facts": ("text", '{"a":[1,1.5,null]}'),
    "name": ("text", "Größe "),
    "empty": ("number", None),
}
"""The columns of the old table: their types, and the stored forms of one row, as main wrote them."""

VALUES: dict[str, Any] = {
    "id": ID,
    "at": AT,
    "lasts": dt.timedelta(seconds=-1.5),
    "day": dt.date(2026, 2, 28),
    "hour": dt.time(23, 59, 1, 5),
    "flag": True,
    "price": Decimal("12.50"),
    "debt": Decimal("-7.5"),
    "level": Level.HIGH,
    "levels": [Level.HIGH, Level.LOW],
    "facts": {"a": [1, 1.5, None]},
    "name": "Größe ",
    "empty": None,
}


def declared(url: str, scale: int = 2) -> Any:
    """Return the Repo, and items with a part that refers to them; no storage is made."""
    repo, domain = Repo(url), Domain("old columns")

    class Item(Resource, domain=domain, data_layer=SQL(repo, table="items")):
        id: Attr[UUID] = attribute(primary_key=True)
        at: Attr[dt.datetime] = attribute()
        lasts: Attr[dt.timedelta] = attribute()
        day: Attr[dt.date] = attribute()
        hour: Attr[dt.time] = attribute()
        flag: Attr[bool] = attribute()
        price: Attr[Decimal] = attribute(scale=scale)
        debt: Attr[Decimal] = attribute(scale=2)
        level: Attr[Level] = attribute()
        levels: Attr[list[Level]] = attribute()
        facts: Attr[dict[str, Any]] = attribute()
        name: Attr[str] = attribute()
        empty: Attr[dt.datetime | None] = attribute(default=None)
        add = create(accept=list(VALUES))

    class Part(Resource, domain=domain, data_layer=SQL(repo, table="parts")):
        id: Attr[int] = attribute(primary_key=True)
        item_id: Attr[UUID] = attribute()
        item: One[Item] = belongs_to("item_id", to=lambda: Item, on_delete="restrict")

    return Repo.of(Item), domain, Item, Part


@pytest.fixture
def old(database: Any) -> Any:
    """A database with a table of the old columns, one row in it, and a table that refers to it."""
    engine, types = sa.create_engine(_address(database)), OLD_TYPES[database.kind]
    mark = "?" if database.kind == "sqlite" else "%s"
    columns = ", ".join(f"{name} {types[kind]}{' PRIMARY KEY' if name == 'id' else ''}" for name, (kind, _) in OLD.items())
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE items ({columns})")
        connection.exec_driver_sql(
            f"CREATE TABLE parts (id {types['number']} PRIMARY KEY, item_id {types['key']} REFERENCES items (id))"
        )
        connection.exec_driver_sql(
            f"INSERT INTO items VALUES ({', '.join([mark] * len(OLD))})", tuple(value for _, value in OLD.values())
        )
        connection.exec_driver_sql(f"INSERT INTO parts VALUES (7, {mark})", (ID.bytes,))
    yield engine
    engine.dispose()


def _address(database: Any) -> sa.URL:
    url = sa.make_url(database.url)
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
    return url.set(drivername=drivers.get(database.kind, url.drivername))


def test_all_values_are_converted(database: Any, old: Any) -> None:
    """Each value comes back, autogenerate finds no difference, and records are written and referred to as in a new table."""
    repo, domain, item, part = declared(database.url)
    with old.begin() as connection:
        repo.convert_old_columns(connection)
    domain.create_storage()

    (found,) = query(item).filter(item.level == Level.HIGH, item.price == Decimal("12.5"), item.at == AT).all()
    assert VALUES == {name: getattr(found, name) for name in VALUES}
    assert [(7, ID)] == [(each.id, each.item_id) for each in query(part).filter(part.item_id == ID).all()]
    other = {**VALUES, "id": UUID(int=1), "level": Level.LOW}
    item.add(**other)
    assert 2 == query(item).count()
    with old.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": repo.include_name})
        assert [] == compare_metadata(context, repo.metadata)
        assert not [name for name in sa.inspect(connection).get_table_names() if name.endswith("__new")]


def test_a_value_that_does_not_fit_stops_the_migration(database: Any, old: Any) -> None:
    """Digits would be lost: the error names table and column, and the old table is as it was."""
    repo, *_ = declared(database.url, scale=1)
    database.run("UPDATE items SET price = '250000021251'")
    with pytest.raises(InvalidArgument, match="column price of items must have at most 1 digits"), old.begin() as connection:
        repo.convert_old_columns(connection)

    assert [(1767323045678901, "HIGH")] == [tuple(row) for row in database.run("SELECT at, level FROM items")]
    with old.connect() as connection:
        assert {"items", "parts"} == set(sa.inspect(connection).get_table_names())
    with pytest.raises(InvalidArgument, match="column"), old.begin() as connection:  # a second run refuses, too
        repo.convert_old_columns(connection)


def test_the_rows_of_a_run_that_was_broken_off_are_kept(database: Any, old: Any) -> None:
    """A database that commits each step may have them in the copy alone, so a further run does not drop it."""
    repo, *_ = declared(database.url)
    database.run("CREATE TABLE items__new (id integer)")
    database.run("INSERT INTO items__new VALUES (1)")
    with pytest.raises(InvalidArgument, match="table items__new, of a conversion that was broken off"), old.begin() as connection:
        repo.convert_old_columns(connection)

    assert [(1,)] == [tuple(row) for row in database.run("SELECT id FROM items__new")]
    assert [(7,)] == [tuple(row) for row in database.run("SELECT id FROM parts")]


def _with_new_columns(url: str, **columns: Any) -> Any:
    """Return the Repo, and items with some of the old columns and further ones; no storage is made."""
    repo, domain = Repo(url), Domain("new columns")
    names = ["id", "number", "flag"]
    body: dict[str, Any] = {"id": attribute(primary_key=True), "number": attribute(), "flag": attribute()}
    types: dict[str, Any] = {"id": UUID, "number": int, "flag": bool}
    for name, (type_, entity) in columns.items():
        body[name], types[name] = entity, type_
    body["add"] = create(accept=names)
    body["__annotations__"] = {name: Attr[type_] for name, type_ in types.items()}
    body["__module__"] = __name__
    layer = {"domain": domain, "data_layer": SQL(repo, table="items")}
    return Repo.of(new_class("Item", (Resource,), layer, lambda space: space.update(body))), domain


def test_a_computed_column_of_the_same_migration(database: Any, old: Any) -> None:
    """The database computes it for the converted rows; a new column with a default or None is filled, too."""
    database.run("DROP TABLE parts")
    database.run(f"ALTER TABLE items ADD COLUMN number {OLD_TYPES[database.kind]['number']}")
    database.run("UPDATE items SET number = 5")
    repo, domain = _with_new_columns(
        database.url,
        doubled=(int, attribute(computed=Field("number") * 2)),
        told=(bool | None, attribute(computed=Field("flag"))),
        rank=(int, attribute(database_default=7)),
        note=(str | None, attribute(default=None)),
    )
    with old.begin() as connection:
        repo.convert_old_columns(connection)
    domain.create_storage()
    (item,) = domain.resources
    (found,) = query(item).all()

    assert (ID, 5, 10, True) == (found.id, found.number, found.doubled, found.told)
    assert (7, None) == (found.rank, found.note)
    other = item.add(id=UUID(int=1), number=-3, flag=False)
    assert -6 == query(item).filter(item.id == other.id).one().doubled


def test_a_new_column_without_a_value_stops_the_migration(database: Any, old: Any) -> None:
    """The error names table and column; nothing was changed."""
    database.run(f"ALTER TABLE items ADD COLUMN number {OLD_TYPES[database.kind]['number']}")
    repo, _ = _with_new_columns(database.url, rank=(int, attribute()))
    with pytest.raises(InvalidArgument, match="the column rank of items is not in the table"), old.begin() as connection:
        repo.convert_old_columns(connection)

    assert [(1767323045678901, "HIGH")] == [tuple(row) for row in database.run("SELECT at, level FROM items")]


COUNTED = {
    "sqlite": "id INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    "mariadb": "id bigint AUTO_INCREMENT PRIMARY KEY",
}


def convert(database: Any, repo: Any) -> None:
    """Run the conversion in a transaction of its own."""
    engine = sa.create_engine(_address(database))
    with engine.begin() as connection:
        repo.convert_old_columns(connection)
    engine.dispose()


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted before", "plain before"])
def test_a_generated_key_counts_on(database: Any, is_counted: bool) -> None:
    """No key is given twice: not one of the converted rows, and not that of a record that was deleted before."""
    domain, repo = Domain("counted"), Repo(database.url)

    class Item(Resource, domain=domain, data_layer=SQL(repo, table="Counted items")):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        at: Attr[dt.datetime] = attribute()
        add = create(accept=["at"])

    number, mark = OLD_TYPES[database.kind]["number"], "`" if database.kind == "mariadb" else '"'
    name = f"{mark}Counted items{mark}"
    key = COUNTED[database.kind] if is_counted else f"id {number} PRIMARY KEY"
    database.run(f"CREATE TABLE {name} ({key}, at {number})")
    for each in range(1, 6):
        database.run(f"INSERT INTO {name} ({'at' if is_counted else 'id, at'}) VALUES ({'' if is_counted else f'{each}, '}0)")
    database.run(f"DELETE FROM {name} WHERE id > 3")
    convert(database, Repo.of(Item))
    domain.create_storage()

    assert [1, 2, 3] == [each.id for each in query(Item).sort("id").all()]
    first = 6 if is_counted else 4
    assert [first, first + 1] == [Item.add(at=AT).id for _ in range(2)]


def test_an_empty_table_counts_from_one(database: Any) -> None:
    """It has no last key to go on after."""
    domain, repo = Domain("counted"), Repo(database.url)

    class Item(Resource, domain=domain, data_layer=SQL(repo, table="counted_items")):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        at: Attr[dt.datetime] = attribute()
        add = create(accept=["at"])

    database.run(f"CREATE TABLE counted_items ({COUNTED[database.kind]}, at {OLD_TYPES[database.kind]['number']})")
    convert(database, Repo.of(Item))
    domain.create_storage()

    assert 1 == Item.add(at=AT).id
