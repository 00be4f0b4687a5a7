"""Autogenerate of Alembic in a database that other programs use: tables of a repo's metadata are compared, and no others."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import SQL, Repo

FOREIGN = ("auth_user", "alembic_log", "notes_old", "resourcekit_notes_of_another_program")


def script(*repos, engine=None, **options):
    """Return the code of the upgrade that ``alembic revision --autogenerate`` writes with these repos."""

    def include_name(name, kind, parents):
        return any(repo.include_name(name, kind, parents) for repo in repos)

    metadata = [repo.metadata for repo in repos]
    with (engine or repos[0].engine).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": include_name, "target_metadata": metadata, **options}
        )
        upgrade = produce_migrations(context, metadata).upgrade_ops
    assert upgrade is not None
    return render_python_code(upgrade)


@pytest.fixture
def shared(database):
    """A database with tables, an index and a view of other programs."""
    for name in FOREIGN:
        database.run(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, note VARCHAR(20))")
    database.run("CREATE INDEX auth_note ON auth_user (note)")
    database.run("CREATE VIEW auth_view AS SELECT id FROM auth_user")
    return database


def test_tables_of_other_programs_are_left_alone(shared, declare):
    """Before and after the tables of resources are made, nothing is written about other tables."""
    repo = Repo(shared.url)
    declare(repo, storage=False)
    first = script(repo)
    declare(repo)
    again = script(repo)
    repo.engine.dispose()

    assert "create_table('notes'" in first
    assert "drop" not in first
    assert not [name for name in FOREIGN if name in first]
    assert "pass" in again
    assert "op." not in again


def test_a_resource_that_was_not_imported_keeps_its_table(shared, declare):
    """Another repo with the same place, which knows one of two resources, does not drop the table of the other one."""
    declare(Repo(shared.url), "one")
    alone = Repo(shared.url)
    declare(alone, "two")

    found = script(alone)
    alone.engine.dispose()

    assert "op." not in found


def test_several_repos_of_one_database_are_compared_together(shared, declare):
    """Each repo admits its own tables, so that one run creates what is missing of both."""
    first, second = Repo(shared.url), Repo(shared.url)
    declare(first, "one")
    declare(second, "two", storage=False)

    second.metadata.remove(second.metadata.tables["resourcekit_leases"])
    found = script(first, second)
    first.engine.dispose()

    assert ["op.create_table('two',"] == [line.strip() for line in found.splitlines() if "_table(" in line]
    assert "drop" not in found


def test_schemas_of_other_programs_are_left_alone(postgresql):
    """Tables of one name in several schemas are distinguished, with include_schemas as well."""
    name = postgresql.run("SELECT current_schema()")[0][0]
    other = f"{name}_other"
    postgresql.run(f"CREATE SCHEMA {other}")
    try:
        for place in (other, name):
            postgresql.run(f"CREATE TABLE {place}.auth_user (id INTEGER PRIMARY KEY)")
        postgresql.run(f"CREATE TABLE {name}.kept (id INTEGER PRIMARY KEY)")
        repo = Repo(postgresql.url, metadata=sa.MetaData(schema=other))
        domain = Domain("schemas")

        class Kept(Resource, domain=domain, data_layer=SQL(repo)):
            id: Attr[int] = attribute(primary_key=True)

        before = script(repo, include_schemas=True)
        domain.create_storage()
        after = script(repo, include_schemas=True)
        repo.engine.dispose()
    finally:
        postgresql.run(f"DROP SCHEMA {other} CASCADE")

    assert "drop" not in before
    assert "create_table('kept'" in before
    assert "op." not in after
