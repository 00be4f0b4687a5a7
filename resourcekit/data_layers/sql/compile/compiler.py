"""Compiles operations to statements for one table. A maintainer opens it to change the SQL of an operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Select,
    UnsupportedExpression,
    Update,
)
from resourcekit.data_layers.sql.compile.expressions import Builder
from resourcekit.data_layers.sql.compile.groups import FigureParts, figure_parts, finisher
from resourcekit.data_layers.sql.compile.parts import Built
from resourcekit.data_layers.sql.compile.related import Joins
from resourcekit.data_layers.sql.compile.statement import Statement
from resourcekit.data_layers.sql.dialects.base import Conflict, Dialect
from resourcekit.data_layers.sql.dialects.columns import (
    DYNAMIC,
    FLOAT,
    INTEGER,
    Codec,
    Family,
    at_most,
)
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.expressions.aggregates import Figure
from resourcekit.expressions.nodes import Expression

__all__ = ["Compiler"]


# Literals, because some dialects would otherwise send a zero as a parameter of each call.
_ZERO: sa.ColumnElement[int] = sa.literal_column("0")
_ONE: sa.ColumnElement[int] = sa.literal_column("1")


_RANK = "resourcekit rank"
"""Name of a column with the rank of a row. No attribute has such a name."""


@attrs.frozen(eq=False)
class Compiler:
    """Compiles operations to statements for one resource's table.

    bounds: the most code points or bytes that columns accept, for columns that have a limit.
    """

    dialect: Dialect
    sa_dialect: sa.Dialect
    table: sa.Table
    codecs: Mapping[str, Codec]
    resource: str
    bounds: Mapping[str, int] = attrs.field(factory=dict)

    def written(self, name: str) -> Codec:
        """Return the codec for values that are written to a column. It refuses values that the column would cut."""
        return at_most(self.codecs[name], self.bounds.get(name))

    def sends_whole(self, name: str) -> bool:
        """Return whether a collection of values of an attribute is sent as one parameter."""
        codec, column = self.codecs.get(name), self.table.c.get(name)
        if codec is None or column is None:
            return False
        return self.dialect.sends_whole(codec) and self.dialect.equal_key(column, codec) is column

    def statement(self, operation: Operation) -> Statement:
        """Return the compiled statement of an operation."""
        can_join = isinstance(operation, (Select, Aggregate))
        builder = Builder(self.dialect, self.table, self.codecs, self.resource, joins=Joins(is_open=can_join))
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

    def _finish(self, builder: Builder, built: Any, *, returning: bool = False, more: Sequence[Any] = ()) -> Statement:
        columns = [
            *([self.table.c[name] for name in self.codecs] if returning else []),
            *(each for each in more if each is not None),
        ]
        if columns:
            built = built.returning(*map(self.dialect.returned, columns))
        returned, returns = self.codecs if returning else None, bool(columns)
        return Statement(built, self.sa_dialect, builder.binds, self.resource, returned, returns=returns, key=self._key())

    def _select(self, builder: Builder, operation: Select) -> Statement:
        if operation.figures is not None:
            return self._groups(builder, operation, operation.figures)
        fields = tuple(self.codecs) if operation.fields is None else operation.fields
        if operation.distinct or operation.each:
            return self._ranked(builder, operation, fields)
        computed = {name: builder.value(node) for name, node in operation.computed.items()}
        columns = [built.element.label(name) for name, built in computed.items()]
        built: Any = sa.select(*(self.table.c[name] for name in fields), *columns)
        built = self._where(builder, built, operation.condition)
        built = self._cut(builder, built, operation).select_from(builder.joins.source(self.table))
        if operation.lock and self.dialect.is_server:  # a transaction of SQLite holds the lock of the whole file
            built = built.with_for_update(of=self.table) if builder.joins.found else built.with_for_update()
        returned = {**{name: self.codecs[name] for name in fields}, **_codecs(computed)}
        needed = self._needed(operation)
        return Statement(built, self.sa_dialect, builder.binds, self.resource, returned, key=self._key(), needed=needed)

    def _ranked(self, builder: Builder, operation: Select, fields: tuple[str, ...]) -> Statement:
        """Return the first row, or the rows from offset to limit, for each combination of values."""
        order = [builder.sort_key(key.by, descending=key.descending) for key in operation.order]
        partition = [self._same(name) for name in operation.distinct or operation.each]
        rank = sa.func.row_number().over(partition_by=partition, order_by=order)
        columns = [self.table.c[name] for name in self.codecs]
        inner = self._where(builder, sa.select(*columns, rank.label(_RANK)), operation.condition)
        ranked = inner.select_from(builder.joins.source(self.table)).subquery("ranked")
        # The outer order names the columns of the subquery, and shares the placeholders.
        outer = attrs.evolve(builder, table=ranked, binds=builder.binds, joins=Joins())
        computed = {name: outer.value(node) for name, node in operation.computed.items()}
        built: Any = sa.select(
            *(ranked.c[name] for name in fields), *(each.element.label(name) for name, each in computed.items())
        )
        if operation.distinct:
            built = self._cut(outer, built.where(ranked.c[_RANK] == _ONE), operation)
        else:
            built = built.where(*self._places(outer, ranked.c[_RANK], operation))
            built = self._cut(outer, built, attrs.evolve(operation, limit=None, offset=None))
        built = built.select_from(outer.joins.source(ranked))
        returned = {**{name: self.codecs[name] for name in fields}, **_codecs(computed)}
        needed = self._needed(operation)
        return Statement(built, self.sa_dialect, builder.binds, self.resource, returned, key=self._key(), needed=needed)

    def _needed(self, operation: Select) -> set[str] | None:
        """Return the fields without which a row is an error; ``None``: all of them (see Statement)."""
        return {column.key for column in self.table.primary_key} if operation.partial else None

    def _same(self, name: str) -> Any:
        """Return the expression of a column that is equal for equal values."""
        return self.dialect.equal_key(self.table.c[name], self.codecs[name])

    @staticmethod
    def _places(builder: Builder, rank: Any, operation: Select) -> list[Any]:
        """Return the tests that a rank is above the offset, and at most the limit above it."""
        number, tests = builder.value_of(INTEGER), []
        if operation.offset is not None:
            tests.append(rank > builder.value(operation.offset, number).element)
            rank = rank - builder.value(operation.offset, number).element
        if operation.limit is not None:
            tests.append(rank <= builder.value(operation.limit, number).element)
        return tests

    def _groups(self, builder: Builder, operation: Select, figures: Mapping[str, Figure]) -> Statement:
        keys = operation.fields or ()
        columns = [self.table.c[name] for name in keys]
        returned, parts = {name: self.codecs[name] for name in keys}, list[FigureParts]()
        for name, figure in figures.items():
            part = figure_parts(self.dialect, name, figure, self.codecs.get(figure.field), self.table.c.get(figure.field))
            parts.append(part)
            columns += part.columns
            returned |= part.codecs
        built: Any = self._where(builder, sa.select(*columns), operation.condition)
        built = built.select_from(builder.joins.source(self.table))
        finish = finisher(parts)
        return Statement(
            built.group_by(*map(self._same, keys)), self.sa_dialect, builder.binds, self.resource, returned, key=(), finish=finish
        )

    @staticmethod
    def _cut(builder: Builder, built: Any, operation: Select | Aggregate) -> Any:
        for key in operation.order:
            built = built.order_by(builder.sort_key(key.by, descending=key.descending))
        number = builder.value_of(INTEGER)
        if operation.limit is not None:
            built = built.limit(builder.value(operation.limit, number).element).offset(_ZERO)
        if operation.offset is not None:
            built = built.offset(builder.value(operation.offset, number).element)
        return built

    def _key(self) -> tuple[str, ...]:
        """Return the attributes of the primary key whose values error messages may show."""
        return tuple(
            column.key for column in self.table.primary_key if column.key in self.codecs and not column.info.get("sensitive")
        )

    def _insert(self, builder: Builder, operation: Insert) -> Statement:
        # The row's own placeholders come first, in the order of the fields; RowWriter relies on that.
        columns = {name: builder.place(name) for name in self.codecs if name in operation.fields}
        conflict = operation.on_conflict
        built: Any = self.dialect.insert(self.table, columns, meets=conflict is not None)
        fills = operation.returning and len(columns) < len(self.codecs)
        if conflict is None:
            return self._finish(builder, built, returning=fills)
        met = self._conflict(builder, built, conflict)
        returning = fills or (operation.returning and met.set is not None)
        mark = self.dialect.mark(met)
        # An outcome without its row is found by the key.
        key = [self.table.c[name] for name in conflict.target] if mark is not None and not returning else []
        return self._finish(builder, self.dialect.on_conflict(built, met), returning=returning, more=[*key, mark])

    def _conflict(self, builder: Builder, built: Any, conflict: OnConflict) -> Conflict:
        if conflict.action == "skip":
            return Conflict(conflict.target)
        builder.incoming = self.dialect.incoming(built)
        assignments = self._assignments(builder, conflict.set)
        if not assignments:  # An empty SET is no valid SQL, so a column gets its own value.
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
        builder.is_wide = False
        for name, node in given.items():
            codec = self.codecs[name]
            built = builder.value(node, builder.value_of(self.written(name), name))
            if built.codec is not None and built.codec.family is not codec.family:
                raise UnsupportedExpression("the value is of another type than the attribute")
            if codec.scale is not None and built.codec is not None and built.codec.scale != codec.scale:
                raise UnsupportedExpression("the value may have more digits than the attribute")
            assignments[name] = builder.stored(built, codec).element
        builder.is_wide = True
        return assignments

    def _aggregate(self, builder: Builder, operation: Aggregate) -> Statement:
        if operation.kind == "exists":
            built = self._where(builder, sa.select(sa.literal_column("1")), operation.condition)
            built = built.select_from(builder.joins.source(self.table))
            return Statement(built.limit(_ONE).offset(_ZERO), self.sa_dialect, builder.binds, self.resource)
        if operation.kind == "count":
            built = self._where(builder, sa.select(sa.func.count()), operation.condition)
            built = built.select_from(builder.joins.source(self.table))
            return Statement(built, self.sa_dialect, builder.binds, self.resource, {"figure": INTEGER})
        assert operation.field is not None
        codec, column = self.codecs[operation.field], self.table.c[operation.field]
        source: Any = self._where(builder, sa.select(column.label("figure")), operation.condition)
        if operation.limit is not None or operation.offset is not None:
            # The rows are bounded first, and the value is computed of those that are left.
            source = self._cut(builder, source, operation).select_from(builder.joins.source(self.table))
            column = source.subquery("bounded").c.figure
            source = sa.select(column)
        else:
            source = source.select_from(builder.joins.source(self.table))
        if operation.kind in ("sum", "avg"):
            return self._sum(builder, source, column, codec, operation)
        # The first in an order, because PostgreSQL has no min and max for some types, and enums sort by their values.
        key = builder.sort_key(Built(column, codec, nullable=False), descending=operation.kind == "max")
        built = source.where(column.is_not(None)).order_by(key).limit(_ONE).offset(_ZERO)
        return Statement(built, self.sa_dialect, builder.binds, self.resource, {"figure": codec}, figure_of=operation.field)

    def _sum(self, builder: Builder, source: Any, column: Any, codec: Codec, operation: Aggregate) -> Statement:
        if codec.family not in (Family.NUMBER, Family.DECIMAL, Family.DURATION):
            raise UnsupportedExpression("these values cannot be summed")
        if codec.family is Family.DECIMAL:
            built = source.where(column.is_not(None))
            return Statement(
                built, self.sa_dialect, builder.binds, self.resource, {"figure": codec}, figure_of=operation.field or ""
            )
        count, number = ([sa.func.count(column)], {"count": INTEGER}) if operation.kind == "avg" else ([], {})
        is_span = codec.family is Family.DURATION
        if codec.computing is not None:
            column, codec = self.dialect.computable(column, codec), codec.computing
        if codec is FLOAT or self.dialect.sums_exactly:
            exact = codec if codec is FLOAT else codec if is_span else attrs.evolve(codec, decode=_whole)
            built = source.with_only_columns(sa.func.sum(column), *count)
            return Statement(built, self.sa_dialect, builder.binds, self.resource, {"figure": exact, **number})
        # In two halves, because the sum may exceed 64 bits; store._whole_sum combines them.
        low = sa.func.sum(column.bitwise_and(sa.literal_column("4294967295")))
        high = sa.func.sum(column.bitwise_rshift(sa.literal_column("32")))
        exact = codec if is_span else attrs.evolve(codec, decode=None)
        built = source.with_only_columns(high, low, *count)
        return Statement(built, self.sa_dialect, builder.binds, self.resource, {"high": INTEGER, "low": exact, **number})


def _codecs(computed: Mapping[str, Built]) -> dict[str, Codec]:
    """Return the codecs of computed values."""
    found = {}
    for name, built in computed.items():
        codec = DYNAMIC if built.codec is None else built.codec
        # Some databases return sums and quotients as decimals.
        found[name] = attrs.evolve(codec, decode=_whole) if codec is INTEGER else codec
    return found


def _whole(stored: Any) -> int:
    """Return a sum that the database returns as a decimal."""
    return int(stored)
