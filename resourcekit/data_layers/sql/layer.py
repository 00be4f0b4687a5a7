"""``SQL`` as a declaration: which database, which table. It opens nothing."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import Capability, DataLayer, Store, UnsupportedExpression
from resourcekit.data_layers.sql.columns import Codec, codec_for
from resourcekit.data_layers.sql.dialect import Element
from resourcekit.data_layers.sql.expressions import Builder
from resourcekit.data_layers.sql.plans import Compiler
from resourcekit.data_layers.sql.repo import Repo, repo_for
from resourcekit.data_layers.sql.store import CAPABILITIES, SQLStore
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.identity import Identity, Index
from resourcekit.dsl.option import option
from resourcekit.flow.environment import EnvironmentVariable
from resourcekit.flow.expression import Expression
from resourcekit.resource_info import ResourceInfo

__all__ = ["SQL"]


@attrs.frozen(repr=False)
class SQL(DataLayer):
    """Keep records in a table of an SQL database: ``SQL("sqlite:///app.db", table="tokens")``.

    database: a URL, ``env("DATABASE_URL")`` (read when the domain is sealed, never at import), or a Repo, with your own
    engines if you like. table: the resource's name in snake case unless given.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    database: str | EnvironmentVariable | Repo = option(doc="URL, environment variable, or Repo.")
    table: str | None = option(default=None, doc="Name of the table; the resource's name in snake case unless given.")

    def __attrs_post_init__(self) -> None:
        """Find out now whether the URL can be read. Raises DeclarationError RK101 to RK103."""
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
        codecs = {name: codec_for(attribute.type) for name, attribute in info.attributes.items()}
        table = _table(info, self.table or info.snake_name, repo, codecs)
        return SQLStore(info, repo, table, Compiler(repo.room, repo.dialect, table, codecs, info.name))


def _table(info: ResourceInfo, name: str, repo: Repo, codecs: dict[str, Codec]) -> sa.Table:
    if (old := repo.metadata.tables.get(name)) is not None:  # the class is declared again
        repo.metadata.remove(old)
    groups: list[Identity | Index] = [*info.identities.values(), *info.indexes.values()]
    indexed = {field for group in groups for field in group.fields} | set(info.primary_key)
    columns: list[Any] = [
        sa.Column(
            field,
            repo.room.column_type(codecs[field].form, keyed=field in indexed, length=attribute.constraints.max_length),
            primary_key=attribute.primary_key,
            nullable=attribute.allow_none and not attribute.primary_key,
            autoincrement=False,
            quote=True,
        )
        for field, attribute in info.attributes.items()
    ]
    table = sa.Table(name, repo.metadata, *columns, **repo.room.table_options())
    for group in groups:
        where = None if isinstance(group, Identity) or group.where is None else _part(group.where, info, repo, table, codecs)
        options = {} if where is None else repo.room.index_options(where)
        members = [table.c[field] for field in group.fields]
        sa.Index(f"{name}_{group.name}", *members, unique=isinstance(group, Identity), **options)
    return table


def _part(where: Expression, info: ResourceInfo, repo: Repo, table: sa.Table, codecs: dict[str, Codec]) -> Element | None:
    """Return the condition of an index; ``None`` where it can only be had for the whole table."""
    try:
        return Builder(repo.room, table, codecs, info.name, is_fixed=True).test(where)
    except (UnsupportedExpression, Unstorable):
        return None
