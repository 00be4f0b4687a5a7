"""From a resource's facts to its table and its store. It opens nothing."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.columns import codec_for
from resourcekit.data_layers.sql.dialect import Place
from resourcekit.data_layers.sql.expressions import Builder
from resourcekit.data_layers.sql.leases import LEASE
from resourcekit.data_layers.sql.partitioned import PartitionedStore
from resourcekit.data_layers.sql.plans import Compiler
from resourcekit.data_layers.sql.postgresql.partitions import PART, Layout, PartitionedRoom, Partitions, misfit
from resourcekit.data_layers.sql.repo import Repo
from resourcekit.data_layers.sql.store import SQLStore
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.identity import Identity, Index
from resourcekit.errors import DeclarationError
from resourcekit.resource_info import ResourceInfo

__all__ = ["lease_store", "make_store"]

_LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL, which cuts longer ones; MariaDB has 64 characters."""

_LONGEST_ENDING = len("_p") + 10
"""Bytes that the name of a partition is longer than that of its table, at the most."""

_LEASES = "resourcekit_leases"


def make_store(
    info: ResourceInfo, repo: Repo, name: str, *, leases: SQLStore | None, partitions: Partitions | None = None
) -> SQLStore:
    """Add a resource's table to the repo's metadata and return its store.

    Raises DeclarationError RK105 for names and keys that the database has no room for, RK106 for partitions that it cannot keep.
    """
    codecs = {field: codec_for(attribute.type) for field, attribute in info.attributes.items()}
    groups: list[Identity | Index] = [*info.identities.values(), *info.indexes.values()]
    told = [(info.primary_key, True), *((group.fields, isinstance(group, Identity)) for group in groups)]
    lengths = {field: attribute.constraints.max_length for field, attribute in info.attributes.items()}
    try:
        _check_names(repo, name, *info.attributes)
        places = repo.room.places(codecs, lengths, told)
    except ValueError as error:
        raise DeclarationError(
            "RK105",
            str(error),
            resource=info.name,
            path=("data_layer",),
            origin=info.origin,
            hint="Choose a shorter one, or give the attributes of the key a max_length.",
        ) from None
    if partitions is not None:
        _check_partitions(info, repo, name, codecs, partitions)
    table = _table(info, repo, name, places, partitions)
    bounds = {field: most for field, place in places.items() if (most := repo.room.longest(place)) is not None}
    room = repo.room if partitions is None else PartitionedRoom(partitions)
    compiler = Compiler(room, room.dialect, table, codecs, info.name, bounds)
    for group in groups:
        options = {} if isinstance(group, Identity) else _index_options(group, compiler, places)
        members = [table.c[field] for field in group.fields]
        sa.Index(_index_name(name, group.name), *members, unique=isinstance(group, Identity), **options)
    if partitions is None:
        return SQLStore(info, repo, table, compiler, leases)
    # So that it is known at once whether all of a partition has expired; it costs writers next to nothing.
    sa.Index(_index_name(name, "resourcekit_expiry"), table.c[partitions.by], postgresql_using="brin")
    return PartitionedStore(info, repo, table, compiler, leases, Layout(partitions, table, room.dialect))


def _check_partitions(info: ResourceInfo, repo: Repo, name: str, codecs: Any, partitions: Partitions) -> None:
    problem, hint = misfit(partitions, info, codecs), "Leave partitions out, or change the resource."
    if repo.room.name != "postgresql":
        problem, hint = f"{repo.room.name} keeps no table in partitions", "Leave partitions out, or use PostgreSQL."
    elif len(name.encode()) + _LONGEST_ENDING > _LONGEST_NAME:
        problem, hint = f"the name {name!r} leaves no room for the names of its partitions", "Choose a shorter one."
    if problem:
        raise DeclarationError(
            "RK106", problem, resource=info.name, path=("data_layer", "partitions"), origin=partitions.origin, hint=hint
        )


def lease_store(repo: Repo) -> SQLStore:
    """Return the store of a repo's leases, in a table of their own; in the metadata from the start, for migrations."""
    if repo.leases is None:
        repo.leases = make_store(LEASE, repo, _LEASES, leases=None)
    store: SQLStore = repo.leases
    return store


def _table(info: ResourceInfo, repo: Repo, name: str, places: dict[str, Place], partitions: Partitions | None) -> sa.Table:
    schema = repo.metadata.schema
    known = repo.metadata.tables.get(name if schema is None else f"{schema}.{name}")
    if known is not None:  # the class is declared again
        repo.metadata.remove(known)
    columns: list[Any] = [
        sa.Column(
            field,
            repo.room.column_type(places[field]),
            primary_key=attribute.primary_key,
            nullable=attribute.allow_none and not attribute.primary_key,
            autoincrement=False,
            quote=True,
        )
        for field, attribute in info.attributes.items()
    ]
    options = repo.room.table_options()
    if partitions is not None:
        columns.append(sa.Column(PART, sa.BigInteger(), primary_key=True, autoincrement=False, quote=True))
        options["postgresql_partition_by"] = f"LIST ({PART})"
    return sa.Table(name, repo.metadata, *columns, **options)


def _index_options(index: Index, compiler: Compiler, places: dict[str, Place]) -> dict[str, Any]:
    options = compiler.room.index_options(index.fields, places)
    if index.where is not None:
        builder = Builder(compiler.room, compiler.table, compiler.codecs, compiler.resource, is_fixed=True)
        with contextlib.suppress(UnsupportedExpression, Unstorable):  # then it is one over the whole table
            options |= compiler.room.partial_index(builder.test(index.where))
    return options


def _check_names(repo: Repo, *names: str) -> None:
    for name in names:
        if repo.room.is_server and len(name.encode()) > _LONGEST_NAME:
            raise ValueError(f"the name {name!r} is longer than the {_LONGEST_NAME} bytes that {repo.room.name} keeps")
        if max(name) > repo.room.last_of_names:
            raise ValueError(f"the name {name!r} has a character that {repo.room.name} does not take in names")


def _index_name(table: str, group: str) -> str:
    """Return a name that no other index of the database has, short enough to be kept whole."""
    name = f"{table}_{group}"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    ending = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: _LONGEST_NAME - len(ending)].decode(errors="ignore") + ending
