"""Tables that other programs own: read and written under their names, left alone, and compared only as Python would."""

from __future__ import annotations

import asyncio
import sqlite3
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext

from resourcekit import Attr, Domain, Resource, SQLText, attribute, create, destroy, get, identity, query, update
from resourcekit.data_layers import SQL, Repo
from resourcekit.doctor import doctor
from resourcekit.errors import DeclarationError, InvalidArgument, UniqueViolation

QUOTE = {"mariadb": "`"}
OTHER_TEXT = {
    "sqlite": "text COLLATE NOCASE",
    "postgresql": 'varchar(50) COLLATE "en-x-icu"',
    "mariadb": "varchar(50) COLLATE utf8mb4_general_ci",
}
PLAIN_TEXT = {"sqlite": "text", "postgresql": 'varchar(10) COLLATE "C"', "mariadb": "varchar(10) COLLATE utf8mb4_nopad_bin"}


@pytest.fixture
def legacy(database: Any) -> Any:
    """A resource over a table with columns in capitals, of which one has a collation of its own."""
    quote = QUOTE.get(database.kind, '"')
    database.run(
        f"CREATE TABLE customers ({quote}CUST_NO{quote} integer PRIMARY KEY, {quote}NAME{quote} {OTHER_TEXT[database.kind]} NOT NULL, "
        f"code {PLAIN_TEXT[database.kind]} UNIQUE, points bigint, created_by integer)"
    )

    class Customer(Resource, domain=Domain("legacy"), data_layer=SQL(database.url, table="customers", managed=False)):
        number: Attr[int] = attribute(primary_key=True, column="CUST_NO")
        name: Attr[str] = attribute(column="NAME")
        ref: Attr[str | None] = attribute(column="code", default=None)
        score: Attr[int | None] = attribute(column="points", default=None)

        by_ref = identity("ref")
        submit = create(accept=["number", "name", "ref", "score"])
        put = create(accept=["number", "name", "score"], upsert=True)
        edit = update(accept=["name", "score"])
        remove = destroy()

    return Customer


def test_an_existing_table_is_used_under_its_own_names(database, legacy):
    """All kinds of statements name the columns of the table; errors name attributes."""
    legacy.submit(number=1, name="Ann", ref="x")
    asyncio.run(legacy.put.aio(number=1, name="Bob", score=3))
    legacy.submit.bulk([{"number": 2, "name": "Cy", "score": 1}, {"number": 3, "name": "Di"}])
    with pytest.raises(UniqueViolation) as raised:
        legacy.submit(number=4, name="Ed", ref="x")
    legacy.edit(2, score=8)
    legacy.remove(3)
    found = query(legacy).filter(legacy.score > 2).sort(legacy.score.desc()).all()

    assert ("by_ref", ("ref",)) == (raised.value.identity, raised.value.fields)
    assert [(2, "Cy", 8), (1, "Bob", 3)] == [(each.number, each.name, each.score) for each in found]
    assert "Bob" == get(legacy, 1).name
    assert [(1, "Bob", "x", 3, None), (2, "Cy", None, 8, None)] == sorted(map(tuple, database.run("SELECT * FROM customers")))


def test_a_comparison_that_means_something_else_is_refused(database, legacy):
    """Equality and order by a foreign collation raise, unless the attribute accepts them. PostgreSQL's equality is exact."""
    legacy.submit(number=1, name="Ann")
    with pytest.raises(InvalidArgument, match="RK119"):
        query(legacy).sort(legacy.name).all()
    with pytest.raises(InvalidArgument, match="RK119"):
        asyncio.run(query(legacy).filter(legacy.name > "A").count.aio())
    if database.kind == "postgresql":
        assert query(legacy).filter(legacy.name == "Ann").exists()
    else:
        with pytest.raises(InvalidArgument, match="foreign_collation"):
            query(legacy).filter(legacy.name == "ann").exists()

    class Accepting(Resource, domain=Domain("accepting"), data_layer=SQL(database.url, table="customers", managed=False)):
        number: Attr[int] = attribute(primary_key=True, column="CUST_NO")
        name: Attr[str] = attribute(column="NAME", foreign_collation=True)

    assert (database.kind != "postgresql") == query(Accepting).filter(Accepting.name == "ann").exists()
    assert {("RK119", "warning")} == {(each.id, each.level) for each in doctor(legacy)}
    assert {("RK119", "info")} == {(each.id, each.level) for each in doctor(Accepting)}


def test_create_storage_and_alembic_leave_the_table_alone(database, legacy):
    """No table, index or column is created, and autogenerate proposes nothing."""
    repo = Repo.of(legacy)
    before = sa.inspect(repo.engine).get_table_names()
    legacy.__info__.options["domain"].create_storage()
    with repo.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": repo.include_name})
        made = produce_migrations(context, repo.metadata)
    names = sa.inspect(repo.engine).get_table_names()
    indexes = {each["name"] for each in sa.inspect(repo.engine).get_indexes("customers")}

    assert (["customers"], ["customers"]) == (before, names)
    assert "customers_by_ref" not in indexes
    assert ["resourcekit_leases"] == [each.table_name for each in made.upgrade_ops.ops if hasattr(each, "columns")]


def test_doctor_tells_where_the_table_disagrees(database):
    """A missing column, another key, another type, NULL, and a column that needs a value, each with its finding."""
    database.run("CREATE TABLE orders (id integer PRIMARY KEY, line integer NOT NULL, total bigint, needed integer NOT NULL)")

    class Order(Resource, domain=Domain("orders"), data_layer=SQL(database.url, table="orders", managed=False)):
        id: Attr[int] = attribute(primary_key=True)
        line: Attr[int] = attribute(primary_key=True)
        total: Attr[str] = attribute()
        gone: Attr[int] = attribute()

        submit = create(accept=["id", "line", "total"])

    class Lost(Resource, domain=Domain("lost"), data_layer=SQL(database.url, table="lost", managed=False)):
        id: Attr[int] = attribute(primary_key=True)

    found = [(each.id, each.what) for each in doctor(Order)]
    kind = {"sqlite": "bigint", "postgresql": "bigint", "mariadb": "bigint(20)"}[database.kind]

    assert ("RK111", "the column gone of orders is missing") in found
    assert ("RK112", "the primary key of orders is (id), not (id, line)") in found
    assert ("RK116", f"the column total of orders is {kind}, and total is str") in found
    assert ("RK116", "the column total of orders may be NULL") in found
    assert ("RK116", "the column needed of orders needs a value, and the resource has no attribute for it") in found
    assert ["RK110"] == [each.id for each in doctor(Lost)]


def test_doctor_tells_what_inserts_would_fail_of(database):
    """A key that the table does not count, a column that only it computes, None where NULL is refused, and a missing unique index."""
    database.run(
        "CREATE TABLE parts (id integer PRIMARY KEY, price integer NOT NULL, note varchar(20) NOT NULL, "
        "twice integer GENERATED ALWAYS AS (price * 2) STORED)"
        if database.kind != "sqlite"
        else "CREATE TABLE parts (id text PRIMARY KEY, price integer NOT NULL, note varchar(20) NOT NULL, twice integer AS (price * 2))"
    )

    class Part(Resource, domain=Domain("parts"), data_layer=SQL(database.url, table="parts", managed=False)):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        price: Attr[int] = attribute()
        note: Attr[str | None] = attribute(default=None)
        twice: Attr[int | None] = attribute(default=None)

        by_price = identity("price")
        submit = create(accept=["price", "note"])

    found = [(each.id, each.what) for each in doctor(Part)]

    assert ("RK116", "the column id of parts is not filled by the database") in found
    assert ("RK116", "the column twice of parts is computed by the database") in found
    assert ("RK116", "the column note of parts is NOT NULL") in found
    assert ("RK114", "no unique index of parts is over (price), which the identity by_price needs") in found


def test_doctor_tells_where_a_managed_table_disagrees(database, declare):
    """A table that resourcekit owns, and a migration changed: NULL, NOT NULL, and a column that needs a value."""

    class Part(Resource, domain=Domain("owned"), data_layer=SQL(database.url, table="parts")):
        id: Attr[int] = attribute(primary_key=True)
        price: Attr[int] = attribute()
        note: Attr[int | None] = attribute(default=None)

        submit = create(accept=["id", "price", "note"])

    kind = {"sqlite": "INTEGER", "postgresql": "bigint", "mariadb": "bigint"}[database.kind]
    database.run(f"CREATE TABLE parts (id {kind} PRIMARY KEY, price {kind}, note {kind} NOT NULL, more {kind} NOT NULL)")
    found = {each.what for each in doctor(Part) if each.id == "RK116"}

    assert {
        "the column price of parts may be NULL",
        "the column note of parts is NOT NULL",
        "the column more of parts needs a value, and the resource has no attribute for it",
    } == found


def test_generated_keys_and_defaults_of_an_existing_table_are_read_back(database):
    """A table with a counted key, a default and a computed column is written without them, and doctor agrees."""
    serial = {
        "sqlite": "id integer PRIMARY KEY",
        "postgresql": "id bigserial PRIMARY KEY",
        "mariadb": "id bigint PRIMARY KEY AUTO_INCREMENT",
    }
    database.run(
        f"CREATE TABLE parts ({serial[database.kind]}, price bigint NOT NULL, state bigint NOT NULL DEFAULT 7, "
        "twice bigint GENERATED ALWAYS AS (price * 2) STORED)"
    )
    database.run("INSERT INTO parts (price) VALUES (3)")

    class Part(Resource, domain=Domain("parts"), data_layer=SQL(database.url, table="parts", managed=False)):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        price: Attr[int] = attribute()
        state: Attr[int] = attribute(database_default=SQLText("7"))
        twice: Attr[int] = attribute(computed=True)

        submit = create(accept=["price", "state"])

    made = asyncio.run(Part.submit.aio(price=5))

    assert (2, 7, 10) == (made.id, made.state, made.twice)
    assert [(1, 6), (2, 10)] == [(each.id, each.twice) for each in query(Part).sort(Part.id).all()]
    assert () == doctor(Part)


def test_columns_of_managed_tables_have_their_names(database, declare):
    """create_storage gives the columns, and the indexes over them, the declared names."""

    class Note(Resource, domain=Domain("named"), data_layer=SQL(database.url, table="named")):
        id: Attr[int] = attribute(primary_key=True, column="NOTE_ID")
        text: Attr[str | None] = attribute(default=None, column="NOTE_TEXT")

        by_text = identity("text")
        put = create(accept=["id", "text"], upsert="by_text")

    Note.__info__.options["domain"].create_storage()
    Note.put(id=1, text="a")
    Note.put(id=1, text="a")
    columns = [each["name"] for each in sa.inspect(Repo.of(Note).engine).get_columns("named")]

    assert ["NOTE_ID", "NOTE_TEXT"] == columns
    assert [1] == [each.id for each in query(Note).filter(Note.text == "a").all()]
    assert [] == [each for each in doctor(Note) if each.level == "error"]


def test_schemas_of_sqlite_and_shared_columns_are_refused(tmp_path):
    """SQLite has no schemas, and two attributes of one column are refused."""
    with pytest.raises(DeclarationError, match="has no schemas"):

        class Note(Resource, data_layer=SQL(f"sqlite:///{tmp_path}/a.db", schema="crm")):
            id: Attr[int] = attribute(primary_key=True)

    with pytest.raises(DeclarationError, match="its column is 'A', as that of 'id'"):

        class Other(Resource, data_layer=SQL(f"sqlite:///{tmp_path}/a.db")):
            id: Attr[int] = attribute(primary_key=True, column="a")
            other: Attr[int] = attribute(column="A")


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_table_in_a_schema(kind, tmp_path):
    """create_storage creates the schema; reads and writes go there."""
    from tests.support.databases import scratch

    with scratch(kind, tmp_path) as place:

        class Note(Resource, domain=Domain("schemas"), data_layer=SQL(place.url, table="notes", schema="crm")):
            id: Attr[int] = attribute(primary_key=True)

            submit = create(accept=["id"])

        Note.__info__.options["domain"].create_storage()
        Note.submit(id=5)

        assert [(5,)] == list(map(tuple, place.run("SELECT id FROM crm.notes")))
        assert [] == [each for each in doctor(Note) if each.level == "error"]


def test_decimals_that_sqlite_keeps_as_binary_numbers_are_read_as_they_were_written(tmp_path):
    """A column decimal(10, 2), such as Django makes, gives 0.1 and not the digits of the nearest binary number; sums are exact."""
    database = sqlite3.connect(tmp_path / "shop.db")
    database.execute("CREATE TABLE orders (id integer PRIMARY KEY, total decimal(10, 2))")
    database.execute("INSERT INTO orders VALUES (1, 0.1), (2, '0.2'), (3, 12)")
    database.commit()
    database.close()

    class Order(
        Resource, domain=Domain("shop"), data_layer=SQL(f"sqlite:///{tmp_path / 'shop.db'}", table="orders", managed=False)
    ):
        id: Attr[int] = attribute(primary_key=True)
        total: Attr[Decimal] = attribute()

    assert ["0.1", "0.2", "12"] == [str(order.total) for order in query(Order).sort("id").all()]
    assert Decimal("12.3") == query(Order).sum(Order.total)
