"""Operations compiled for a table: each one a statement, and more where a call brings other shapes. It runs nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import (
    Aggregate,
    Delete,
    DeleteInBatches,
    Insert,
    OnConflict,
    Operation,
    Params,
    Plan,
    Select,
    UnsupportedExpression,
    Update,
)
from resourcekit.data_layers.sql.columns import DURATION, FLOAT, INTEGER, Codec, Family
from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.expressions import Builder
from resourcekit.data_layers.sql.shapes import collections_in, shape_of, shaped
from resourcekit.data_layers.sql.statement import Statement
from resourcekit.data_layers.unstorable import NoneGiven
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.flow.expression import Expression

__all__ = ["Compiler", "SQLPlan"]


# Said in the text: some dialects would else bind a zero at each call.
_NOUGHT, _ONE = sa.literal_column("0"), sa.literal_column("1")


@attrs.frozen(eq=False)
class Compiler:
    """Makes statements for one resource's table."""

    room: Room
    dialect: sa.Dialect
    table: sa.Table
    codecs: Mapping[str, Codec]
    resource: str

    def statement(self, operation: Operation) -> Statement:
        """Build and compile the statement of an operation."""
        builder = Builder(self.room, self.table, self.codecs, self.resource)
        match operation:
            case Select():
                return self._select(builder, operation)
            case Insert():
                return self._insert(builder, operation)
            case Update():
                return self._update(builder, operation)
            case Delete():
                built = self._where(builder, sa.delete(self.table), operation.condition)
                return self._finish(builder, built, returning=operation.returning)
            case Aggregate():
                return self._aggregate(builder, operation)
            case DeleteInBatches():
                return self._finish(builder, self._where(builder, sa.delete(self.table), operation.condition))

    def _where(self, builder: Builder, built: Any, condition: Expression | None) -> Any:
        return built if condition is None else built.where(builder.test(condition))

    def _finish(self, builder: Builder, built: Any, *, returning: bool = False) -> Statement:
        if returning:
            built = built.returning(*(self.table.c[name] for name in self.codecs))
        return Statement(built, self.dialect, builder.binds, self.resource, self.codecs if returning else None)

    def _select(self, builder: Builder, operation: Select) -> Statement:
        fields = tuple(self.codecs) if operation.fields is None else operation.fields
        built: Any = sa.select(*(self.table.c[name] for name in fields)).select_from(self.table)
        built = self._where(builder, built, operation.condition)
        for key in operation.order:
            built = built.order_by(self.room.order(builder.sort_key(key.by), descending=key.descending))
        number = builder.value_of(INTEGER)
        if operation.limit is not None:
            built = built.limit(builder.value(operation.limit, number).element).offset(_NOUGHT)
        if operation.offset is not None:
            built = built.offset(builder.value(operation.offset, number).element)
        return Statement(built, self.dialect, builder.binds, self.resource, {name: self.codecs[name] for name in fields})

    def _insert(self, builder: Builder, operation: Insert) -> Statement:
        # The row's own placeholders come first, in the order of the fields; whoever runs it relies on that.
        columns = {name: builder.place(name) for name in self.codecs if name in operation.fields}
        built: Any = self.room.insert(self.table).values(columns)
        conflict = operation.on_conflict
        if conflict is None:
            return self._finish(builder, built)
        if conflict.action == "skip":
            return self._finish(builder, built.on_conflict_do_nothing(index_elements=list(conflict.target)))
        return self._finish(builder, self._on_conflict(builder, built, conflict), returning=operation.returning)

    def _on_conflict(self, builder: Builder, built: Any, conflict: OnConflict) -> Any:
        builder.incoming = built.excluded
        assignments = self._assignments(builder, conflict.set)
        if not assignments:  # Nothing to write, but the row is there: write what it holds.
            assignments = {conflict.target[0]: self.table.c[conflict.target[0]]}
        where = None if conflict.where is None else builder.test(conflict.where)
        marked = self.room.mark_update(where)
        return built.on_conflict_do_update(index_elements=list(conflict.target), set_=assignments, where=marked)

    def _update(self, builder: Builder, operation: Update) -> Statement:
        assignments = self._assignments(builder, operation.assignments)
        built = sa.update(self.table).ordered_values(*assignments.items())
        return self._finish(builder, self._where(builder, built, operation.condition), returning=operation.returning)

    def _assignments(self, builder: Builder, given: Mapping[str, Expression]) -> dict[str, Any]:
        unknown = [name for name in given if name not in self.codecs]
        if unknown:
            raise InvalidArgument(
                FieldFinding("", "an assignment names an attribute that does not exist"), resource=self.resource
            )
        assignments = {}
        for name, node in given.items():
            codec = self.codecs[name]
            built = builder.value(node, builder.value_of(codec, name))
            if built.codec is not None and built.codec.family is not codec.family:
                raise UnsupportedExpression("the value is of another type than the attribute")
            assignments[name] = built.element
        return assignments

    def _aggregate(self, builder: Builder, operation: Aggregate) -> Statement:
        if operation.kind == "exists":
            built = self._where(builder, sa.select(sa.literal_column("1")).select_from(self.table), operation.condition)
            return Statement(built.limit(_ONE).offset(_NOUGHT), self.dialect, builder.binds, self.resource)
        if operation.kind == "count":
            built = self._where(builder, sa.select(sa.func.count()).select_from(self.table), operation.condition)
            return Statement(built, self.dialect, builder.binds, self.resource, {"figure": INTEGER})
        assert operation.field is not None
        codec, column = self.codecs[operation.field], self.table.c[operation.field]
        if operation.kind == "sum":
            return self._sum(builder, operation, codec, column)
        if not codec.ordered:
            raise UnsupportedExpression("these values have no order in the database")
        built = self._where(builder, sa.select(getattr(sa.func, operation.kind)(column)), operation.condition)
        return Statement(built, self.dialect, builder.binds, self.resource, {"figure": codec})

    def _sum(self, builder: Builder, operation: Aggregate, codec: Codec, column: sa.Column[Any]) -> Statement:
        if codec.family not in (Family.NUMBER, Family.DECIMAL, Family.DURATION):
            raise UnsupportedExpression("these values cannot be summed")
        if codec is FLOAT:
            built = self._where(builder, sa.select(sa.func.sum(column)), operation.condition)
            return Statement(built, self.dialect, builder.binds, self.resource, {"figure": codec})
        if codec.family is Family.DECIMAL:
            built = self._where(builder, sa.select(column).where(column.is_not(None)), operation.condition)
            return Statement(built, self.dialect, builder.binds, self.resource, {"figure": codec})
        # In two halves, because the whole may go beyond 64 bits; ``whole_sum`` puts them together.
        low = sa.func.sum(column.bitwise_and(sa.literal_column("4294967295")))
        high = sa.func.sum(column.bitwise_rshift(sa.literal_column("32")))
        built = self._where(builder, sa.select(high, low), operation.condition)
        exact = attrs.evolve(codec, decode=None if codec is not DURATION else codec.decode)
        return Statement(built, self.dialect, builder.binds, self.resource, {"high": INTEGER, "low": exact})


class SQLPlan(Plan):
    """A compiled operation of one table."""

    __slots__ = ("_collections", "_scalars", "_variants", "compiler", "statement")

    def __init__(self, operation: Operation, compiler: Compiler) -> None:
        super().__init__(operation)
        self.compiler = compiler
        self._scalars, self._collections = collections_in(operation)
        self._variants: dict[Hashable, Statement] = {}
        # A collection has no size yet: compiled for one item, to find out whether it can be.
        first = shaped(operation, _Ones()) if self._collections else operation
        self.statement = compiler.statement(first)

    def prepared(self, params: Params) -> tuple[Statement, list[Any]]:
        """Return the statement for the shape of these values, and their stored forms.

        Raises Invalid for a value that cannot be kept.
        """
        if not self._collections:
            try:
                return self.statement, self.statement.values(params)
            except NoneGiven:
                pass
        key = shape_of(self._scalars, self._collections, params)
        statement = self._variants.get(key)
        if statement is None:
            statement = self.compiler.statement(shaped(self.operation, params))
            if len(self._variants) < _MOST_VARIANTS:
                self._variants[key] = statement
        return statement, statement.values(params)


_MOST_VARIANTS = 64


class _Ones(dict[str, Any]):
    """Parameters of which each holds one thing that is not None."""

    def __missing__(self, name: str) -> Any:
        """Return something that is both a value and a collection of one."""
        return ("",)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the same."""
        del default
        return self[name]
