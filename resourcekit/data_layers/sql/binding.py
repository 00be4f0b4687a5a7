"""Binding: creates the table and the store of a resource. It opens no connection."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.expressions import Builder
from resourcekit.data_layers.sql.compile.filled_columns import FilledColumns
from resourcekit.data_layers.sql.dialects.base import Place
from resourcekit.data_layers.sql.dialects.codecs import Codecs
from resourcekit.data_layers.sql.dialects.columns import Codec
from resourcekit.data_layers.sql.dialects.postgresql.partitions import (
    PART,
    Layout,
    PartitionedDialect,
    Partitions,
    partition_problem,
)
from resourcekit.data_layers.sql.maintenance.foreign_keys import LONGEST_NAME, index_name, keys_to_index
from resourcekit.data_layers.sql.maintenance.leases import LEASE
from resourcekit.data_layers.sql.partitioned import PartitionedStore
from resourcekit.data_layers.sql.repository import Repo
from resourcekit.data_layers.sql.store import SQLStore
from resourcekit.data_layers.sql.unmanaged import UnmanagedStore
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import DeclarationError
from resourcekit.resource_info import ResourceInfo

__all__ = ["TableOptions", "lease_store", "make_store"]

_LONGEST_ENDING = len("_p") + 10
"""Most bytes that the name of a partition adds to the name of its table."""

_LEASES = "resourcekit_leases"


@attrs.frozen
class TableOptions:
    """Where the table of a resource is. managed: this resource owns it."""

    name: str
    schema: str | None = None
    managed: bool = True


def make_store(
    info: ResourceInfo, repo: Repo, place: TableOptions, *, leases: SQLStore | None, partitions: Partitions | None = None
) -> SQLStore:
    """Add a resource's table to the Repo's metadata and return its store.

    Raises:
        DeclarationError: RK105 for names and keys that are too long for the database, RK106 for impossible partitions.
    """
    name = place.name
    codecs = _codecs(info, repo.dialect.codecs)
    if not place.managed:
        codecs = {field: repo.dialect.foreign(codec) for field, codec in codecs.items()}
    groups: list[Identity | Index] = [*info.identities.values(), *info.indexes.values()]
    keys = keys_to_index(info)
    columns_of_groups = [(info.primary_key, True), *((group.fields, isinstance(group, Identity)) for group in groups)]
    # A foreign key needs the whole value in its index, as a unique index does.
    columns_of_groups += [(fields, True) for _, fields in keys]
    lengths = {field: attribute.constraints.max_length for field, attribute in info.attributes.items()}
    try:
        _check_names(repo, name, *(each.column_name for each in info.attributes.values()))
        _check_columns(info, repo)
        _check_place(info, repo, place)
        places = repo.dialect.places(codecs, lengths, columns_of_groups)
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
        if not place.managed:
            raise _refused(info, "a table that another program owns has no such partitions", "Leave partitions out.")
        _check_partitions(info, repo, name, codecs, partitions)
    table = _table(info, repo, place, codecs, places, partitions)
    bounds = {field: most for field, place in places.items() if (most := repo.dialect.longest(place)) is not None}
    dialect = repo.dialect if partitions is None else PartitionedDialect(partitions)
    compiler = Compiler(dialect, dialect.sa_dialect, table, codecs, info.name, bounds)
    for group in groups:
        options = {} if isinstance(group, Identity) else _index_options(info, group, compiler, places)
        members: list[Any] = [table.c[field] for field in group.fields]
        if isinstance(group, Identity):
            members = dialect.unique_members([(table.c[field], codecs[field]) for field in group.fields])
        sa.Index(index_name(name, group.name), *members, unique=isinstance(group, Identity), **options)
    for each, fields in keys:
        sa.Index(index_name(name, each), *(table.c[field] for field in fields))
    if not place.managed:
        return UnmanagedStore(info, repo, table, compiler, leases)
    if partitions is None:
        return SQLStore(info, repo, table, compiler, leases)
    # To find quickly whether all of a partition has expired; it costs writers next to nothing.
    sa.Index(index_name(name, "resourcekit_expiry"), table.c[partitions.by], postgresql_using="brin")
    return PartitionedStore(info, repo, table, compiler, leases, Layout(partitions, table, dialect.sa_dialect))


def _codecs(info: ResourceInfo, codecs: Codecs) -> dict[str, Codec]:
    """Return the codec of each attribute. Raise DeclarationError RK120 for one that the database has no column type for."""
    found = {}
    for field, attribute in info.attributes.items():
        try:
            found[field] = codecs.of(attribute)
        except ValueError as error:
            is_decimal = attribute.type.basic.kind is Kind.DECIMAL
            hint = "Give a Decimal a scale: attribute(scale=2)." if is_decimal else "Declare values that the database can store."
            raise DeclarationError(
                "RK120", str(error), resource=info.name, path=("attributes", field), origin=attribute.origin, hint=hint
            ) from None
    return found


def _check_partitions(info: ResourceInfo, repo: Repo, name: str, codecs: Any, partitions: Partitions) -> None:
    problem, hint = partition_problem(partitions, info, codecs), "Leave partitions out, or change the resource."
    if not repo.dialect.has_partitions:
        problem, hint = f"{repo.dialect.name} keeps no table in partitions", "Leave partitions out, or use PostgreSQL."
    elif len(name.encode()) + _LONGEST_ENDING > LONGEST_NAME:
        problem, hint = f"the name {name!r} is too long for the names of its partitions", "Choose a shorter one."
    if problem:
        raise DeclarationError(
            "RK106", problem, resource=info.name, path=("data_layer", "partitions"), origin=partitions.origin, hint=hint
        )


def lease_store(repo: Repo) -> SQLStore:
    """Return the store of a Repo's leases, which have a table of their own. It is in the metadata from the start, for migrations.

    Its reads are always fresh, because other processes rely on leases.
    """
    repo = repo.fresh
    if repo.leases is None:
        repo.leases = make_store(LEASE, repo, TableOptions(_LEASES), leases=None)
    store: SQLStore = repo.leases
    return store


def _options_of(column: sa.Column[Any], codec: Codec) -> sa.ColumnElement[bool]:
    """Return the condition that a column holds one of the options of its type."""
    return column.in_([sa.literal(option) for option in codec.options])


def _table(
    info: ResourceInfo,
    repo: Repo,
    place: TableOptions,
    codecs: dict[str, Codec],
    places: dict[str, Place],
    partitions: Partitions | None,
) -> sa.Table:
    name, schema = place.name, place.schema or repo.metadata.schema
    # A table of another program is not in the metadata, which Alembic compares.
    metadata = repo.metadata if place.managed else sa.MetaData()
    known = metadata.tables.get(name if schema is None else f"{schema}.{name}")
    if known is not None:  # the class is declared again
        metadata.remove(known)
    filled = FilledColumns(info, repo.dialect, codecs, managed=place.managed)
    bare = sa.Table(
        name, sa.MetaData(), *(_column(each, repo, codecs, places) for each in info.attributes.values()), schema=schema
    )
    columns: list[Any] = [_column(each, repo, codecs, places, *filled.parts(each, bare)) for each in info.attributes.values()]
    columns += [
        sa.CheckConstraint(_options_of(columns[place], codecs[field]), name=index_name(f"ck_{name}", attribute.column_name))
        for place, (field, attribute) in enumerate(info.attributes.items())
        if attribute.check and codecs[field].options and all(type(option) in (str, int) for option in codecs[field].options)
    ]
    options = repo.dialect.table_options(counts=filled.counts)
    if partitions is not None:
        columns.append(sa.Column(PART, sa.BigInteger(), primary_key=True, autoincrement=False, quote=True))
        options["postgresql_partition_by"] = f"LIST ({PART})"
    made = sa.Table(name, metadata, *columns, schema=schema, **options)
    made.info["makes_schema"] = place.schema is not None and place.managed
    return made


def _column(
    attribute: Attribute,
    repo: Repo,
    codecs: dict[str, Codec],
    places: dict[str, Place],
    parts: Sequence[Any] = (),
    options: Mapping[str, Any] = MappingProxyType({}),
) -> sa.Column[Any]:
    """Return the column of an attribute. parts, options: what the database fills."""
    field = attribute.name
    settings: dict[str, Any] = {
        "primary_key": attribute.primary_key,
        "nullable": attribute.allow_none and not attribute.primary_key,
        "autoincrement": False,
        "quote": True,
        "key": field,
        "info": {"codec": codecs[field], "sensitive": attribute.sensitive, "type": attribute.type.basic},
        **options,
    }
    return sa.Column(attribute.column_name, repo.dialect.column_type(places[field]), *parts, **settings)


def _index_options(info: ResourceInfo, index: Index, compiler: Compiler, places: dict[str, Place]) -> dict[str, Any]:
    options = {
        name: {info.attributes[field].column_name: length for field, length in value.items()}
        if isinstance(value, dict)
        else value
        for name, value in compiler.dialect.index_options(index.fields, places).items()
    }
    if index.where is not None:
        builder = Builder(compiler.dialect, compiler.table, compiler.codecs, compiler.resource, is_fixed=True, is_wide=False)
        with contextlib.suppress(UnsupportedExpression, Unstorable):  # otherwise the index covers the whole table
            options |= compiler.dialect.partial_index(builder.test(index.where))
    return options


def _check_columns(info: ResourceInfo, repo: Repo) -> None:
    """Raise DeclarationError RK105 for an attribute whose name a system column of the database has."""
    taken: dict[str, str] = {}
    for field, attribute in info.attributes.items():
        column, problem, hint = attribute.column_name, "", ""
        if column in repo.dialect.system_columns:
            problem = f"{column!r} is the name of a system column of {repo.dialect.name}"
            hint = f"Rename the attribute, for example {field}_value."
        elif column.casefold() in taken:
            problem, hint = (
                f"its column is {column!r}, as that of {taken[column.casefold()]!r}",
                "Give one of them another column.",
            )
        taken[column.casefold()] = field
        if problem:
            path = ("attributes", field)
            raise DeclarationError("RK105", problem, resource=info.name, path=path, origin=attribute.origin, hint=hint)


def _check_place(info: ResourceInfo, repo: Repo, place: TableOptions) -> None:
    """Raise DeclarationError RK105 for a schema of a database that has none."""
    if place.schema is not None and not repo.dialect.is_server:
        raise _refused(info, f"{repo.dialect.name} has no schemas", "Leave schema out.")
    if place.schema is not None:
        _check_names(repo, place.schema)


def _refused(info: ResourceInfo, what: str, hint: str) -> DeclarationError:
    return DeclarationError("RK105", what, resource=info.name, path=("data_layer",), origin=info.origin, hint=hint)


def _check_names(repo: Repo, *names: str) -> None:
    for name in names:
        if repo.dialect.is_server and len(name.encode()) > LONGEST_NAME:
            raise ValueError(f"the name {name!r} is longer than the {LONGEST_NAME} bytes that {repo.dialect.name} keeps")
        if max(name) > repo.dialect.last_of_names:
            raise ValueError(f"the name {name!r} has a character that {repo.dialect.name} does not take in names")
