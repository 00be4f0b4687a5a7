"""The declaration ``SQL``: the database and the table of a resource. It opens no connection."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from resourcekit.data_layers.base import Capability, DataLayer, Store
from resourcekit.data_layers.sql.binding import TableOptions, lease_store, make_store
from resourcekit.data_layers.sql.dialects.postgresql.partitions import Partitions
from resourcekit.data_layers.sql.repository import Repo, repo_for
from resourcekit.data_layers.sql.store import CAPABILITIES
from resourcekit.dsl.option import option
from resourcekit.environment import EnvironmentVariable
from resourcekit.resource_info import ResourceInfo

__all__ = ["SQL"]


@attrs.frozen(repr=False)
class SQL(DataLayer):
    """Store records in a table of an SQL database: ``SQL("sqlite:///app.db", table="tokens")``.

    database: A URL, ``env("DATABASE_URL")`` (read when the domain is sealed, never at import), or a Repo, which can use your own
    engines. table: The default is the resource's name in snake case. partitions: Store the table in partitions by the time at
    which records expire. PostgreSQL only; for hundreds of millions of rows, because each check by key costs more.
    reads: ``"fresh"``: a read sees everything that any node of a cluster has acknowledged, and a replica is refused. ``"stale"``:
    a replica may serve reads, and a node of a cluster does not wait for the others. A check of a token may then miss a
    revocation from a moment ago. Writes do not change, and a replica refuses them. With ``"stale"`` the resource has connections
    of its own, and shares no transaction with resources whose reads are fresh.
    schema: The schema of the table; on MariaDB its database. managed: ``False`` for a table that another program owns:
    create_storage and Alembic leave it alone, doctor reports where the table and the resource disagree, and a condition or an order
    that the table computes otherwise than Python is refused.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    database: str | EnvironmentVariable | Repo = option(doc="URL, environment variable, or Repo.")
    table: str | None = option(
        default=None,
        check=lambda name: "must not be empty" if name == "" else None,
        doc="Name of the table; the resource's name in snake case unless given.",
    )

    partitions: Partitions | None = option(
        default=None, doc="Keep the table in partitions by the time at which records expire; PostgreSQL only."
    )

    reads: Literal["fresh", "stale"] = option(
        default="fresh", doc='``"stale"`` accepts reads of the past: of a replica, or of a node that has not applied all writes.'
    )

    schema: str | None = option(default=None, doc="Schema of the table; that of the connection unless given.")
    managed: bool = option(
        default=True, doc="``False``: another program owns the table; create_storage and migrations leave it alone."
    )

    def __attrs_post_init__(self) -> None:
        """Check that the URL can be read. Raise DeclarationError RK101 to RK104."""
        super().__attrs_post_init__()
        if isinstance(self.database, str):
            self._repo()

    def __repr__(self) -> str:
        """Show the table, and of the database nothing that could contain a password."""
        shown = repr(self._repo()) if not isinstance(self.database, EnvironmentVariable) else f"env({self.database.name!r})"
        more = "".join(
            [f", schema={self.schema!r}" if self.schema is not None else "", "" if self.managed else ", managed=False"]
        )
        return f"SQL({shown}, table={self.table!r}{more})"

    @property
    def binds_late(self) -> bool:
        """True if the URL is read, or a wrong parameter of it is refused, only when the domain is sealed."""
        return isinstance(self.database, EnvironmentVariable) or not self._repo().is_sound

    def _repo(self) -> Repo:
        if isinstance(self.database, Repo):
            repo = self.database
        else:
            repo = repo_for(self.database.read() if isinstance(self.database, EnvironmentVariable) else self.database)
        return repo.stale if self.reads == "stale" else repo

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store, and add the table to the Repo's metadata. No connection is opened."""
        repo = self._repo()
        if not repo.is_sound:
            repo.check()
        table = TableOptions(self.table or info.snake_name, self.schema, self.managed)
        return make_store(info, repo, table, leases=lease_store(repo), partitions=self.partitions)
