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
from resourcekit.data_layers.sql.columns import DURATION, FLOAT, INTEGER, Codec, Family, at_most
from resourcekit.data_layers.sql.dialect import Conflict, Room
from resourcekit.data_layers.sql.expressions import Builder
from resourcekit.data_layers.sql.shapes import collections_in, shape_of, shaped
from resourcekit.data_layers.sql.statement import Statement
from resourcekit.data_layers.unstorable import NoneGiven
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.flow.expression import Expression

__all__ = ["Compiler", "SQLPlan"]


# Said in the text: some dialects would else bind a zero at each call.
_NOUGHT: sa.ColumnElement[int] = sa.literal_column("0")
_ONE: sa.ColumnElement[int] = sa.literal_column("1")


@attrs.frozen(eq=False)
class Compiler:
    """Makes statements for one resource's table.

    bounds: the most code points or bytes that columns take, for those that have a bound of their own.
    """

    room: Room
    dialect: sa.Dialect
    table: sa.Table
    codecs: Mapping[str, Codec]
    resource: str
    bounds: Mapping[str, int] = attrs.field(factory=dict)

    def written(self, name: str) -> Codec:
        """Return how a value is kept that is written to a column: refused where the column would cut it."""
        return at_most(self.codecs[name], self.bounds.get(name))

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

    def _finish(self, builder: Builder, built: Any, *, returning: bool = False, mark: Any = None) -> Statement:
        columns = [self.table.c[name] for name in self.codecs] if returning else []
        if columns or mark is not None:
            built = built.returning(*columns, *([] if mark is None else [mark]))
        returned, returns = self.codecs if returning else None, returning or mark is not None
        return Statement(built, self.dialect, builder.binds, self.resource, returned, returns=returns)

    def _select(self, builder: Builder, operation: Select) -> Statement:
        fields = tuple(self.codecs) if operation.fields is None else operation.fields
        built: Any = sa.select(*(self.table.c[name] for name in fields)).select_from(self.table)
        built = self._where(builder, built, operation.condition)
        for key in operation.order:
            built = built.order_by(builder.sort_key(key.by, descending=key.descending))
        number = builder.value_of(INTEGER)
        if operation.limit is not None:
            built = built.limit(builder.value(operation.limit, number).element).offset(_NOUGHT)
        if operation.offset is not None:
            built = built.offset(builder.value(operation.offset, number).element)
        return Statement(built, self.dialect, builder.binds, self.resource, {name: self.codecs[name] for name in fields})

    def _insert(self, builder: Builder, operation: Insert) -> Statement:
        # The row's own placeholders come first, in the order of the fields; whoever runs it relies on that.
        columns = {name: builder.place(name) for name in self.codecs if name in operation.fields}
        conflict = operation.on_conflict
        built: Any = self.room.insert(self.table, columns, meets=conflict is not None)
        if conflict is None:
            return self._finish(builder, built)
        met = self._conflict(builder, built, conflict)
        returning = operation.returning and met.set is not None
        return self._finish(builder, self.room.on_conflict(built, met), returning=returning, mark=self.room.mark(met))

    def _conflict(self, builder: Builder, built: Any, conflict: OnConflict) -> Conflict:
        if conflict.action == "skip":
            return Conflict(conflict.target)
        builder.incoming = self.room.incoming(built)
        assignments = self._assignments(builder, conflict.set)
        if not assignments:  # Nothing to write, but the row is there: write what it holds.
            assignments = {conflict.target[0]: self.table.c[conflict.target[0]]}
        where = None if conflict.where is None else builder.test(conflict.where)
        return Conflict(conflict.target, assignments, where)

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
            built = builder.value(node, builder.value_of(self.written(name), name))
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
        if self.room.sums_exactly:
            exact = attrs.evolve(codec, decode=_whole if codec is not DURATION else _whole_duration)
            built = self._where(builder, sa.select(sa.func.sum(column)), operation.condition)
            return Statement(built, self.dialect, builder.binds, self.resource, {"figure": exact})
        # In two halves, because the whole may go beyond 64 bits; ``whole_sum`` puts them together.
        low = sa.func.sum(column.bitwise_and(sa.literal_column("4294967295")))
        high = sa.func.sum(column.bitwise_rshift(sa.literal_column("32")))
        built = self._where(builder, sa.select(high, low), operation.condition)
        exact = attrs.evolve(codec, decode=None if codec is not DURATION else codec.decode)
        return Statement(built, self.dialect, builder.binds, self.resource, {"high": INTEGER, "low": exact})


def _whole(stored: Any) -> int:
    """Return a sum that the database gives as a decimal."""
    return int(stored)


def _whole_duration(stored: Any) -> Any:
    assert DURATION.decode is not None
    return DURATION.decode(int(stored))


class SQLPlan(Plan):
    """A compiled operation of one table.

    question: how tasks ask it together, which its store finds out when the first one does (see ``coalescing``).
    """

    __slots__ = ("_collections", "_scalars", "_variants", "compiler", "question", "statement")

    def __init__(self, operation: Operation, compiler: Compiler) -> None:
        super().__init__(operation)
        self.compiler = compiler
        self.question: Any = ...
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
