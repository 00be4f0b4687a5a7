"""Values that are computed with the records of a query: calculations, and expressions that a load names.

A maintainer opens it to change where such values are computed: in the statement that reads the records, by a function over them, or
here, of related records that are loaded for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from resourcekit.actions.calculations import check_arguments, computed_of, expression_of
from resourcekit.actions.loaded import Loaded, check_extra, keep_loaded, keep_unreadable, loaded_of
from resourcekit.actions.relating import Shown, figure_problem, is_plain, resolved_expression
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.actions.selects import plan_of
from resourcekit.data_layers.base import Capability, Row, Select
from resourcekit.data_layers.unstorable import PartialRow
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import FieldFinding, InvalidArgument, UnreadableValue, did_you_mean
from resourcekit.expressions.aggregates import aggregated, rank
from resourcekit.expressions.evaluation import Evaluator, compile_expression
from resourcekit.expressions.nodes import Calculated, Expression, Field, Sort
from resourcekit.expressions.query import Computed, Load, Query
from resourcekit.expressions.related import ManyOf
from resourcekit.expressions.rewriting import fields_of, is_constant
from resourcekit.expressions.shape import Shaper

__all__ = ["Attach", "Computing", "with_computed"]

Attach = Callable[[Runtime, Sequence[Any], Sequence[Load], Shown], Awaitable[None]]
"""Loads relationships of records."""


class Computing:
    """The computed values of one query.

    columns: those that the statement computes, by the name of their column.
    fields: the attributes that functions over records need.
    """

    def __init__(self, runtime: Runtime, shown: Shown, attach: Attach) -> None:
        self.runtime, self._shown, self._attach = runtime, shown, attach
        self.columns: dict[str, Expression] = {}
        self.fields: list[str] = []
        self._of_columns: dict[str, Computed] = {}
        self._by_functions: list[Computed] = []
        self._of_related: list[tuple[Computed, ManyOf]] = []
        self._here: list[tuple[Computed, Evaluator, frozenset[str]]] = []

    @classmethod
    async def of(cls, runtime: Runtime, given: Sequence[Computed], shown: Shown, attach: Attach) -> Computing:
        """Return how each value is computed. Raise InvalidArgument for one that cannot be."""
        computing = cls(runtime, shown, attach)
        for number, each in enumerate(given):
            _check_name(runtime, each)
            await computing._add(f"= {number}", each)
        return computing

    async def _add(self, column: str, each: Computed) -> None:
        calculation = self.runtime.info.calculations.get(each.node.name) if isinstance(each.node, Calculated) else None
        if calculation is not None and isinstance(each.node, Calculated) and calculation.function is not None:
            if each.node.owner is not self.runtime.resource:
                raise InvalidArgument(
                    f"{each.node} is no calculation of {self.runtime.info.name}", resource=self.runtime.info.name
                )
            self.fields += calculation.needs
            self._by_functions.append(each)
            return
        try:
            node = self.runtime.conditions.value(await resolved_expression(self.runtime, each.node, self._shown)).node
            self._require_computable(node)
        except InvalidArgument:
            many = self._many(each.node)
            if many is None:
                raise
            _require_figure(self.runtime, many)
            self.fields += many.relation.owner.__runtime__.joins[many.relation.name].own
            self._of_related.append((each, many))
            return
        if is_constant(node):  # the same for every row: of the actor, or of values alone
            self._here.append((each, compile_expression(node), frozenset()))
        elif Capability.RELATED in self.runtime.store.capabilities:
            self.columns[column], self._of_columns[column] = node, each
        else:  # an expression over the record alone, which any row answers
            self.fields += [name for name in self.runtime.fields if name in fields_of(node)]
            self._here.append((each, compile_expression(node), fields_of(node)))

    def _require_computable(self, node: Expression) -> None:
        if Capability.RELATED not in self.runtime.store.capabilities or is_constant(node):
            return
        shaper = Shaper()
        shaped, key = shaper.shape(node)
        plan_of(self.runtime, ("computes", key), lambda: Select(computed={"= 0": shaped}))

    def _many(self, node: Expression) -> ManyOf | None:
        """Return an aggregate that can be computed of loaded records: over their attributes alone."""
        if isinstance(node, Calculated):
            calculation = self.runtime.info.calculations.get(node.name)
            if calculation is None or calculation.expression is None:
                return None
            node = expression_of(self.runtime, calculation, check_arguments(self.runtime, calculation, node.arguments))
        if not isinstance(node, ManyOf) or node.relation.owner is not self.runtime.resource:
            return None
        destination = runtime_of(self.runtime.joins[node.relation.name].destination)
        nodes = (node.part, node.where, *(key.by for key in node.sort))
        return node if all(is_plain(destination, each) for each in nodes) else None

    def records(self, rows: Sequence[Row]) -> list[Any]:
        """Return the records of rows, with the values that the statement computed."""
        if not self._of_columns:
            return list(map(self.runtime.record, rows))
        related = [(column, each.name) for column, each in self._of_columns.items() if not each.is_extra]
        extra = [(column, each.name) for column, each in self._of_columns.items() if each.is_extra]
        found = []
        for row in rows:
            unreadable = self._renamed(row) if isinstance(row, PartialRow) else {}
            loaded = Loaded(
                {name: row.pop(column) for column, name in related if name not in unreadable},
                {name: row.pop(column) for column, name in extra if name not in unreadable},
            )
            record = self.runtime.record(row)
            keep_loaded(record, loaded)
            found.append(record)
        return found

    def _renamed(self, row: PartialRow) -> Mapping[str, UnreadableValue]:
        """Name computed values that cannot be read as the query does. Return the errors of the row."""
        for column, each in self._of_columns.items():
            if (error := row.unreadable.pop(column, None)) is not None:
                findings = [FieldFinding(each.name, finding.message) for finding in error.findings]
                row.unreadable[each.name] = UnreadableValue(findings, resource=error.resource)
        return row.unreadable

    def take(self, record: Any, row: Row) -> None:
        """Keep the values that the statement computed with a record that was read before."""
        _keep(record, [(each, row[column]) for column, each in self._of_columns.items()])

    async def finish(self, records: Sequence[Any]) -> None:
        """Compute the values that the statement did not compute."""
        if not records:
            return
        for each, evaluate, names in self._here:
            for record in _readable(each, records, names):
                _keep(record, [(each, evaluate(vars(record), {}, vars(record)))])
        for each in self._by_functions:
            assert isinstance(each.node, Calculated)
            calculation = self.runtime.info.calculations[each.node.name]
            arguments = check_arguments(self.runtime, calculation, each.node.arguments)
            readable = _readable(each, records, calculation.needs)
            values = await computed_of(self.runtime, calculation, readable, arguments) if readable else []
            for record, value in zip(readable, values, strict=True):
                _keep(record, [(each, value)])
        for each, many in self._of_related:
            await self._aggregate(records, each, many)

    async def _aggregate(self, records: Sequence[Any], each: Computed, many: ManyOf) -> None:
        """Load related records, and compute a value of those of each record."""
        destination = runtime_of(self.runtime.joins[many.relation.name].destination)
        asked: Query[Any] = Query(many.only, many.order, many.limit)
        records = _readable(each, records, self.runtime.joins[many.relation.name].own)
        copies = [self.runtime.only(record, vars(record)) for record in records]
        await self._attach(self.runtime, copies, [Load(many.relation.asking(asked), "")], self._shown)
        where = None if many.where is None else compile_expression(destination.conditions.condition(many.where))
        part = _part(destination, many)
        sort = [
            (compile_expression(key.by), key.descending)
            for key in reversed(destination.conditions.order(_whole(destination, many)))
        ]
        nodes = (many.where, many.part, *(key.by for key in _whole(destination, many)))
        names = frozenset[str]().union(*(fields_of(node) for node in nodes if node is not None))
        for record, copy in zip(records, copies, strict=True):
            loaded = loaded_of(copy)
            found = () if loaded is None else loaded.related[many.relation.name]
            rows = [vars(one) for one in (found if isinstance(found, tuple) else () if found is None else (found,))]
            if (error := next((error for row in rows if (error := _error_of(row, names)) is not None), None)) is not None:
                keep_unreadable(record, {each.name: error})
                continue
            rows = rows if where is None else [row for row in rows if where(row, {}, row)]
            for by, descending in sort:
                rows.sort(key=lambda row: rank(by(row, {}, row)), reverse=descending)  # called at once
            values: list[Any] = rows if part is None else [part(row, {}, row) for row in rows]
            _keep(record, [(each, aggregated(many.kind, values, distinct=many.distinct))])


def _error_of(row: Mapping[str, Any], names: Collection[str]) -> UnreadableValue | None:
    """Return the error of the first of the named attributes of a row that cannot be read."""
    unreadable = row.unreadable if isinstance(row, PartialRow) else {}
    return next((unreadable[name] for name in names if name in unreadable), None)


def _readable(each: Computed, records: Sequence[Any], names: Collection[str]) -> Sequence[Any]:
    """Return the records whose named attributes can be read; reading the computed value of the others raises the error of one."""
    readable = []
    for record in records:
        if (error := _error_of(vars(record), names)) is None:
            readable.append(record)
        else:
            keep_unreadable(record, {each.name: error})
    return readable


def _whole(runtime: Runtime, many: ManyOf) -> tuple[Sort, ...]:
    return (*many.sort, *(Sort(Field(name)) for name in runtime.key)) if many.sort else ()


def _part(destination: Runtime, many: ManyOf) -> Any:
    if many.part is None:
        return None
    checked = destination.conditions
    return compile_expression(checked.condition(many.part) if many.kind == "every" else checked.value(many.part).node)


def _require_figure(runtime: Runtime, many: ManyOf) -> None:
    """Raise InvalidArgument for an aggregate that loaded records do not have either, before any is loaded."""
    destination = runtime_of(runtime.joins[many.relation.name].destination)
    if many.where is not None:
        destination.conditions.condition(many.where)
    destination.conditions.order(many.sort)
    if many.part is None or many.kind == "every":
        _part(destination, many)
        return
    read = destination.conditions.value(many.part)
    # Values of a type of the application have sums and an order of their own, which only Python knows.
    is_own = read.type is not None and read.type.kind is Kind.OWN
    if not is_own and (problem := figure_problem(destination, many.kind, read.node, read.family)):
        raise InvalidArgument(FieldFinding(many.relation.name, problem), resource=runtime.info.name)


def _check_name(runtime: Runtime, each: Computed) -> None:
    info = runtime.info
    if each.is_extra:
        check_extra(info, each.name)
    if not each.is_extra and each.name not in info.calculations:
        hint = did_you_mean(each.name, info.calculations)
        raise InvalidArgument(FieldFinding(each.name, f"is no calculation of {info.name}. {hint}".rstrip()), resource=info.name)


def _keep(record: Any, values: Sequence[tuple[Computed, Any]]) -> None:
    """Keep computed values with a record."""
    before = loaded_of(record) or Loaded()
    related = {each.name: value for each, value in values if not each.is_extra}
    extra = {each.name: value for each, value in values if each.is_extra}
    keep_loaded(record, Loaded({**before.related, **related}, {**before.extra, **extra}))


async def with_computed(runtime: Runtime, query: Query[Any], shown: Shown, attach: Attach) -> tuple[Query[Any], Computing]:
    """Return a query that selects what its computed values need, and how these are computed."""
    computing = await Computing.of(runtime, query.computed, shown, attach)
    if query.selected is not None and computing.fields:
        query = query.select(*query.selected, *computing.fields)
    return query, computing
