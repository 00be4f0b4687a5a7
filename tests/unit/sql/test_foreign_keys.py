"""Foreign keys in databases: their storage and migrations, existing tables without them, and connections of the user."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata, produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import OpContainer

from resourcekit import Attr, Domain, One, Resource, attribute, belongs_to, create, destroy
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.doctor import examine
from resourcekit.errors import ForeignKeyViolation, InvalidArgument


def shop_on(repo: Repo, rule: str = "restrict") -> Any:
    """Declare customers with a UUID, labels with a text of any length, and orders that refer to both."""
    domain = Domain("shop")

    class Order(Resource, domain=domain, data_layer=SQL(repo)):
        customer_id: Attr[UUID] = attribute(primary_key=True)
        number: Attr[int] = attribute(primary_key=True)
        label_name: Attr[str | None] = attribute(default=None)
        customer: One[Customer] = belongs_to("customer_id", to=lambda: Customer, on_delete=rule)
        label: One[Label | None] = belongs_to("label_name", to=lambda: Label, on_delete="nullify")
        put = create(accept=["customer_id", "number", "label_name"])

    class Customer(Resource, domain=domain, data_layer=SQL(repo)):
        id: Attr[UUID] = attribute(primary_key=True)
        add = create(accept=["id"])
        remove = destroy()

    class Label(Resource, domain=domain, data_layer=SQL(repo)):
        name: Attr[str] = attribute(primary_key=True)
        add = create(accept=["name"])

    return SimpleNamespace(domain=domain, Order=Order, Customer=Customer, Label=Label)


def differences(repo: Repo) -> list[Any]:
    """Return what ``alembic revision --autogenerate`` would write."""
    with repo.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": repo.include_name})
        return compare_metadata(context, repo.metadata)


def migrate(repo: Repo) -> None:
    """Run the upgrade that Alembic's autogenerate writes."""
    with repo.engine.begin() as connection:
        context = MigrationContext.configure(connection)
        upgrade = produce_migrations(context, repo.metadata).upgrade_ops
        assert upgrade is not None
        for operation in upgrade.ops:
            for each in operation.ops if isinstance(operation, OpContainer) else [operation]:
                Operations(context).invoke(each)


@pytest.mark.parametrize("make", ["create_storage", "alembic"])
def test_storage_has_the_foreign_keys_and_their_indexes(repo, make):
    """create_storage and a migration make the same: parents first, with rules and indexes, and nothing is left to migrate."""
    shop = shop_on(repo, "cascade")
    if make == "alembic":
        shop.domain.seal()
        migrate(repo)
    else:
        shop.domain.create_storage()
        shop.domain.create_storage()
    found = sa.inspect(repo.engine).get_foreign_keys("order")
    indexes = sa.inspect(repo.engine).get_indexes("order")
    left = differences(repo)
    repo.engine.dispose()

    assert {("customer_id", "customer", "CASCADE"), ("label_name", "label", "SET NULL")} == {
        (each["constrained_columns"][0], each["referred_table"], each["options"]["ondelete"]) for each in found
    }
    assert [["label_name"]] == [each["column_names"] for each in indexes]
    assert [] == left


def test_a_key_of_text_or_uuid_is_kept(repo):
    """Keys are compared as they are stored, whatever their type."""
    shop = shop_on(repo)
    shop.domain.create_storage()
    one = uuid4()
    shop.Customer.add(id=one)
    shop.Label.add(name="ä" * 300)
    shop.Order.put(customer_id=one, number=1, label_name="ä" * 300)
    with pytest.raises(ForeignKeyViolation) as label:
        shop.Order.put(customer_id=one, number=2, label_name="A")
    with pytest.raises(ForeignKeyViolation) as customer:
        shop.Order.put(customer_id=uuid4(), number=2)
    with pytest.raises(ForeignKeyViolation) as removed:
        shop.Customer.remove(one)
    repo.engine.dispose()

    assert ["Order.label", "Order.customer", "Order.customer"] == [each.value.relationship for each in (label, customer, removed)]


def test_a_table_without_its_foreign_keys_is_reported(database):
    """Doctor reports RK118 for each. create_storage adds them on servers; SQLite cannot add them to a table."""
    repo = Repo(database.url)
    shop = shop_on(repo)
    shop.domain.seal()
    with repo.engine.begin() as connection:
        for table in ("customer", "label", "order"):
            bare = sa.schema.CreateTable(repo.metadata.tables[table], if_not_exists=True, include_foreign_key_constraints=[])
            connection.execute(bare)
    before = [each.what for each in asyncio.run(examine(shop.Order)) if each.id == "RK118"]
    shop.domain.create_storage()
    after = [each.id for each in asyncio.run(examine(shop.Order)) if each.id == "RK118"]
    repo.engine.dispose()

    assert 2 == len(before)
    assert "the foreign key order_customer_fkey of order is missing" in before
    assert (["RK118"] * 2 if database.kind == "sqlite" else []) == after


def test_a_foreign_key_that_no_resource_declares_is_told_apart(database):
    """A write that breaks such a key raises ForeignKeyViolation without a relationship, and no name of the database."""
    repo = Repo(database.url)
    domain = Domain("late")

    class Customer(Resource, domain=domain, data_layer=SQL(repo)):
        id: Attr[int] = attribute(primary_key=True)
        remove = destroy()
        add = create(accept=["id"])

    domain.create_storage()
    Customer.add(id=1)
    options = " ENGINE=InnoDB" if database.kind == "mariadb" else ""
    database.run(f"CREATE TABLE of_others (c BIGINT, FOREIGN KEY (c) REFERENCES customer (id)){options}")
    database.run("INSERT INTO of_others VALUES (1)")
    with pytest.raises(ForeignKeyViolation) as refused:
        Customer.remove(1)
    repo.engine.dispose()

    assert "" == refused.value.relationship
    assert "of_others" not in str(refused.value)


def test_a_connection_of_the_user_must_keep_foreign_keys(tmp_path):
    """SQLite keeps them only if the connection asks for it: joined() refuses one that does not, with the line to write."""
    url = f"sqlite:///{tmp_path}/shop.db"
    shop = shop_on(Repo(url))
    shop.domain.create_storage()
    engine = sa.create_engine(url)
    with (
        engine.connect() as connection,
        pytest.raises(InvalidArgument, match="PRAGMA foreign_keys=ON"),
        joined(connection, shop.Order),
    ):
        pass
    engine.dispose()
    sa.event.listen(engine, "connect", lambda dbapi, record: dbapi.execute("PRAGMA foreign_keys=ON"))
    with engine.connect() as connection, pytest.raises(ForeignKeyViolation), joined(connection, shop.Order):
        shop.Order.put(customer_id=uuid4(), number=1)
    engine.dispose()
