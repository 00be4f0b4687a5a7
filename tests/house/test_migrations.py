from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from resourcekit import Domain
from resourcekit.data_layers import SQL, Repo
from resourcekit_tokens import TokenRecord, TokenResource


def differences(repo: Repo) -> list[str]:
    """Return what Alembic would change in the database of a repo."""
    with repo.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return sorted(change[0] for change in compare_metadata(context, repo.metadata))


def test_alembic_sees_the_tables_of_a_repo(tmp_path):
    """Autogenerate finds a token resource's table and indexes missing, and after create_storage nothing to change."""
    domain, repo = Domain("migrations"), Repo(f"sqlite:///{tmp_path}/migrations.db")

    class Token(TokenRecord, domain=domain, data_layer=SQL(repo), extensions=[TokenResource]):
        """Revoked tokens."""

    before = differences(repo)
    domain.create_storage()

    assert ["add_index", "add_index", "add_table", "add_table"] == before  # the second one is that of leases
    assert [] == differences(repo)
