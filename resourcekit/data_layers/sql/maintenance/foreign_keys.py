"""Foreign keys of tables: their declaration for create_storage and Alembic, and the relationship of one that was violated.

A maintainer opens it to change how foreign keys are named, or how the violated one is found on SQLite, which names none.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import Delete, Insert, Plan, Reference, Store, Update
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.expressions import Builder
from resourcekit.data_layers.sql.compile.statement import Statement
from resourcekit.data_layers.sql.compile.variants import shaped
from resourcekit.data_layers.sql.execution.inserts import RowWriter
from resourcekit.errors import ForeignKeyViolation
from resourcekit.resource_info import ResourceInfo

__all__ = ["LONGEST_NAME", "Constraint", "ForeignKeys", "index_name", "keys_to_index"]

LONGEST_NAME = 63
"""Most bytes of a name. PostgreSQL cuts longer names; MariaDB accepts 64 characters."""

Fetch = Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]]
"""Runs a query, and returns its rows."""

_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_RULES = {"cascade": "CASCADE", "nullify": "SET NULL"}


def index_name(table: str, group: str) -> str:
    """Return a name for an index or a constraint that is unique in the database, and short enough not to be cut."""
    name = f"{table}_{group}"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    ending = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: LONGEST_NAME - len(ending)].decode(errors="ignore") + ending


def keys_to_index(info: ResourceInfo) -> list[tuple[str, tuple[str, ...]]]:
    """Return name and fields of the index for each foreign key that no other index of the table serves."""
    groups = [info.primary_key, *(group.fields for group in info.identities.values())]
    groups += [index.fields for index in info.indexes.values() if index.where is None]
    found: list[tuple[str, tuple[str, ...]]] = []
    for entity in info.relationships.values():
        key = entity.key
        if entity.kind != "belongs_to" or entity.on_delete == "nothing" or not info.attributes.keys() >= set(key):
            continue
        if not any(group[: len(key)] == key for group in groups):
            groups.append(key)
            found.append((f"{entity.name}_key", key))
    return found


@attrs.frozen(eq=False)
class Constraint:
    """A foreign key, with the tables of both sides."""

    reference: Reference[Store]
    holder: sa.Table
    target: sa.Table

    @property
    def name(self) -> str:
        """The name of the constraint."""
        return index_name(self.holder.name, f"{self.reference.name.rpartition('.')[2]}_fkey")


class ForeignKeys:
    """The foreign keys of one store: of its own rows, and towards them."""

    def __init__(self, info: ResourceInfo, table: sa.Table) -> None:
        self._info, self._table = info, table
        self.own: dict[str, Constraint] = {}
        self._incoming: dict[str, tuple[weakref.ref[Reference[Store]], weakref.ref[ForeignKeys]]] = {}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.own or self._incoming)

    def refer(self, reference: Reference[Store], target: sa.Table) -> None:
        """Add a foreign key of the own rows to the table."""
        constraint = self.own[reference.name] = Constraint(reference, self._table, target)
        rule = _RULES.get(reference.on_delete)
        columns, wanted = list(reference.fields), [f"{target.fullname}.{field}" for field in reference.target_fields]
        for made in list(self._table.foreign_key_constraints):
            if made.name == constraint.name:
                if ([each.target_fullname for each in made.elements], made.column_keys, made.ondelete) == (wanted, columns, rule):
                    return
                self._table.constraints.discard(made)
                for each in made.elements:
                    each.parent.foreign_keys.discard(each)
                    self._table.foreign_keys.discard(each)
        self._table.append_constraint(
            sa.ForeignKeyConstraint(
                columns, [target.c[field] for field in reference.target_fields], name=constraint.name, ondelete=rule
            )
        )

    def referred(self, reference: Reference[Store], holder: ForeignKeys) -> None:
        """Add a foreign key towards the own rows."""
        self._incoming[reference.name] = weakref.ref(reference), weakref.ref(holder)

    def _chains(self, before: tuple[Constraint, ...] = ()) -> Iterator[tuple[Constraint, ...]]:
        """Yield the ways on which a removal of own rows can be refused: removals that cascade, and a key that restricts."""
        for key, keys in list(self._incoming.values()):
            reference, holder = key(), keys()
            constraint = None if reference is None or holder is None else holder.own.get(reference.name)
            if constraint is None or holder is None or constraint in before:
                continue
            if constraint.reference.on_delete == "restrict":
                yield (*before, constraint)
            elif constraint.reference.on_delete == "cascade":
                yield from holder._chains((*before, constraint))  # noqa: SLF001  # of the same class

    def named(self, error: ForeignKeyViolation, plan: Plan | None = None) -> ForeignKeyViolation:
        """Return the error with the relationship in place of the constraint's name."""
        own, chains = self._candidates(plan)
        if error.relationship:
            own = [constraint for constraint in own if error.relationship in (constraint.name, constraint.reference.name)]
            chains = [chain for chain in chains if error.relationship in (chain[-1].name, chain[-1].reference.name)]
        if len(constraints := {*own, *(chain[-1] for chain in chains)}) == 1:
            return self.of(constraints.pop(), is_own=bool(own))
        return ForeignKeyViolation("", is_referred_to=not own and bool(chains), resource=self._info.name)

    def of(self, constraint: Constraint, *, is_own: bool) -> ForeignKeyViolation:
        """Return the error for a violated foreign key."""
        reference = constraint.reference
        return ForeignKeyViolation(reference.name, reference.fields, is_referred_to=not is_own, resource=self._info.name)

    def _candidates(self, plan: Plan | None) -> tuple[list[Constraint], list[tuple[Constraint, ...]]]:
        """Return the foreign keys of own rows, and the chains towards them, that a statement can violate."""
        own, chains = list(self.own.values()), list(self._chains())
        match None if plan is None else plan.operation:
            case Insert(on_conflict=None):
                return own, []
            case Delete():
                return [], chains
            case Update(assignments=assignments):
                keys = assignments.keys()
                own = [constraint for constraint in own if not keys.isdisjoint(constraint.reference.fields)]
                return own, [chain for chain in self._direct() if not keys.isdisjoint(chain[0].reference.target_fields)]
            case _:
                return own, chains

    def _direct(self) -> Iterator[tuple[Constraint, ...]]:
        for key, keys in list(self._incoming.values()):
            reference, holder = key(), keys()
            if reference is not None and holder is not None and reference.name in holder.own:
                yield (holder.own[reference.name],)

    # SQLite does not name the violated foreign key: it is looked for by queries.

    async def found(
        self, fetch: Fetch, error: ForeignKeyViolation, plan: Plan, params: Mapping[str, Any], compiler: Compiler
    ) -> ForeignKeyViolation:
        """Return the error of a refused Delete with its relationship.

        Self references are looked for last: their queries do not know which rows the statement itself removes.
        """
        error = self.named(error, plan)
        operation = plan.operation
        if error.relationship or not isinstance(operation, Delete):
            return error
        condition = shaped(operation, params).condition  # type: ignore[union-attr]  # a Delete again
        for chain in sorted(self._chains(), key=lambda chain: chain[-1].holder is self._table):
            builder = Builder(compiler.dialect, self._table, compiler.codecs, self._info.name)
            query: Any = sa.select(_ONE).select_from(self._table).limit(_ONE)
            if condition is not None:
                query = query.where(builder.test(condition))
            before: Any = self._table
            for constraint in chain:
                holder = constraint.holder.alias()
                pairs = zip(constraint.reference.fields, constraint.reference.target_fields, strict=True)
                query = query.join(holder, sa.and_(*(holder.c[field] == before.c[target] for field, target in pairs)))
                before = holder
            statement = Statement(query, compiler.sa_dialect, builder.binds, self._info.name)
            if await fetch(statement.sql, statement.values(params)):
                return self.of(chain[-1], is_own=False)
        return error

    async def found_of_row(
        self, fetch: Fetch, error: Exception, writer: RowWriter, prepared: Any, compiler: Compiler
    ) -> Exception:
        """Return the error of a row that could not be inserted; one of a foreign key with its relationship."""
        if not isinstance(error, ForeignKeyViolation):
            return error
        error = self.named(error, writer)
        if error.relationship:
            return error
        stored = writer.stored(prepared)
        for constraint in self.own.values():
            pairs = tuple(zip(constraint.reference.fields, constraint.reference.target_fields, strict=True))
            values = {target: stored.get(field) for field, target in pairs}
            is_itself = constraint.target is self._table and all(stored.get(target) == value for target, value in values.items())
            if None in values.values() or is_itself:
                continue
            query = sa.select(_ONE).select_from(constraint.target)
            query = query.where(*(constraint.target.c[target] == sa.bindparam(target) for target in values))
            compiled = query.compile(dialect=compiler.sa_dialect)
            if not await fetch(str(compiled), [values[name] for name in compiled.positiontup or ()]):
                return self.of(constraint, is_own=True)
        return error
