"""``SQL`` as a declaration: which database, which table. It opens nothing."""

from __future__ import annotations

from typing import ClassVar

import attrs

from resourcekit.data_layers.base import Capability, DataLayer, Store
from resourcekit.data_layers.sql.binding import lease_store, make_store
from resourcekit.data_layers.sql.postgresql.partitions import Partitions
from resourcekit.data_layers.sql.repo import Repo, repo_for
from resourcekit.data_layers.sql.store import CAPABILITIES
from resourcekit.dsl.option import option
from resourcekit.flow.environment import EnvironmentVariable
from resourcekit.resource_info import ResourceInfo

__all__ = ["SQL"]


@attrs.frozen(repr=False)
class SQL(DataLayer):
    """Keep records in a table of an SQL database: ``SQL("sqlite:///app.db", table="tokens")``.

    database: a URL, ``env("DATABASE_URL")`` (read when the domain is sealed, never at import), or a Repo, with your own
    engines if you like. table: the resource's name in snake case unless given. partitions: keep the table in partitions by
    the time at which records expire, on PostgreSQL; for hundreds of millions of rows, because a check by key costs more then.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    database: str | EnvironmentVariable | Repo = option(doc="URL, environment variable, or Repo.")
    table: str | None = option(default=None, doc="Name of the table; the resource's name in snake case unless given.")

    partitions: Partitions | None = option(
        default=None, doc="Keep the table in partitions by the time at which records expire; PostgreSQL only."
    )

    def __attrs_post_init__(self) -> None:
        """Find out now whether the URL can be read. Raises DeclarationError RK101 to RK104."""
        super().__attrs_post_init__()
        if isinstance(self.database, str):
            repo_for(self.database)

    def __repr__(self) -> str:
        """Show the table, and of the database nothing that could hold a password."""
        shown = repr(self._repo()) if not isinstance(self.database, EnvironmentVariable) else f"env({self.database.name!r})"
        return f"SQL({shown}, table={self.table!r})"

    @property
    def binds_late(self) -> bool:
        """The URL is known only when the domain is sealed."""
        return isinstance(self.database, EnvironmentVariable)

    def _repo(self) -> Repo:
        if isinstance(self.database, Repo):
            return self.database
        return repo_for(self.database.read() if isinstance(self.database, EnvironmentVariable) else self.database)

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store; adds the table to the repo's metadata, and opens nothing."""
        repo = self._repo()
        return make_store(info, repo, self.table or info.snake_name, leases=lease_store(repo), partitions=self.partitions)
