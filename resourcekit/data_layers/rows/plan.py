"""Plans for rows in Python: candidate rows, matching rows and their order.

A maintainer opens it to change which conditions use a key or an index.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import attrs

from resourcekit.data_layers.base import Aggregate, Operation, Plan, Row, Select
from resourcekit.data_layers.by_key import by_key
from resourcekit.data_layers.rows.groups import Grouping
from resourcekit.data_layers.rows.parameters import beside_json, check, compared_with, moment, parameters, pinned
from resourcekit.data_layers.rows.table import Draft, Fields, Key, Table, Values
from resourcekit.data_layers.rows.values import copied, must_copy
from resourcekit.expressions.aggregates import rank
from resourcekit.expressions.evaluation import Evaluator, compile_expression
from resourcekit.expressions.nodes import And, Compare, Expression, Field, In, Or, Param, Sort, Value
from resourcekit.expressions.related import Related
from resourcekit.expressions.rewriting import children, fields_of
from resourcekit.resource_info import ResourceInfo

__all__ = ["Params", "RowPlan", "Wanted", "check", "compile_value", "copier", "is_related", "moment", "parameters"]

Params = Mapping[str, Any]
Read = Callable[[Params], Any]
Copy = Callable[[Row], Row]


def compile_value(expression: Expression) -> Evaluator:
    """Compile an expression. Its ``now()`` is one time for the whole statement, which ``moment`` adds to the parameters."""
    return compile_expression(pinned(expression))


def is_related(node: Expression | None) -> bool:
    """Return whether an expression reads rows of another store, or other rows of its own."""
    return node is not None and (isinstance(node, Related) or any(map(is_related, children(node))))


def copier(info: ResourceInfo, fields: Fields | None) -> Copy:
    """Return a function that copies a row for its receiver, with these fields only (``None``: all)."""
    names = tuple(info.attributes) if fields is None else fields
    changeable = frozenset(name for name in names if must_copy(info.attributes[name].type))
    if changeable:
        return lambda row: {name: copied(row[name]) if name in changeable else row[name] for name in names}
    if fields is None:
        return dict.copy
    return lambda row: {name: row[name] for name in names}


@attrs.frozen
class _Equal:
    """Rows whose fields have given values: a key, an identity or an index."""

    fields: Fields
    values: tuple[Read, ...]


@attrs.frozen
class _Among:
    """Rows whose key is one of several."""

    options: Read


_Access = tuple[_Equal | _Among, ...]
"""The union of the places of matching rows; ``None`` in its stead means that they can be anywhere."""


def _reader(node: Expression) -> Read | None:
    match node:
        case Param(name):
            return lambda params: params[name]
        case Value(value):
            return lambda params: value
        case _:
            return None


def _equalities(parts: tuple[Expression, ...]) -> dict[str, Read]:
    found: dict[str, Read] = {}
    for part in parts:
        match part:
            case Compare("==", Field(name), other) | Compare("==", other, Field(name)):
                read = _reader(other)
                if read is not None:
                    found.setdefault(name, read)
            case _:
                pass
    return found


def _options(parts: tuple[Expression, ...], primary_key: Fields) -> Read | None:
    for part in parts:
        match part:
            case In(Field(name), options) if primary_key == (name,):
                if not (isinstance(options, Value) and isinstance(options.value, tuple)):
                    return _reader(options)
                reads = [_reader(option if isinstance(option, Expression) else Value(option)) for option in options.value]
                known = [read for read in reads if read is not None]
                if len(known) == len(reads):
                    return lambda params: [read(params) for read in known]
            case _:
                pass
    return None


@attrs.frozen
class _AccessPaths:
    """Finds the shortest access path to the rows of a condition."""

    info: ResourceInfo
    table: Table

    def access(self, condition: Expression | None) -> _Access | None:
        if condition is None:
            return None
        if isinstance(condition, Or):
            ways = [self.access(part) for part in condition.parts]
            known = [way for way in ways if way is not None]
            return tuple(itertools.chain(*known)) if len(known) == len(ways) else None
        parts = condition.parts if isinstance(condition, And) else (condition,)
        equal = _equalities(parts)
        if fields := self._held(equal, [self.table.primary_key]):
            return (_Equal(fields, tuple(equal[field] for field in fields)),)
        if options := _options(parts, self.table.primary_key):
            return (_Among(options),)
        indexes = [index.fields for index in self.info.indexes.values() if not self._is_changeable(index.fields)]
        if fields := self._held(equal, [*self.table.identities.values(), *indexes]):
            if fields not in self.table.unique:
                self.table.use_index(fields)
            return (_Equal(fields, tuple(equal[field] for field in fields)),)
        inner = (self.access(part) for part in parts if isinstance(part, (And, Or)))
        return next((way for way in inner if way is not None), None)

    def _is_changeable(self, fields: Fields) -> bool:
        return any(must_copy(self.info.attributes[field].type) for field in fields)

    @staticmethod
    def _held(equal: Mapping[str, Read], candidates: list[Fields]) -> Fields | None:
        return next((fields for fields in candidates if all(field in equal for field in fields)), None)


@attrs.frozen
class Wanted:
    """Rows that an operation reads: by key, by values of an identity or index, or all rows."""

    keys: tuple[Key, ...] = ()
    equal: tuple[tuple[Fields, Values], ...] = ()
    everything: bool = False


class RowPlan(Plan):
    """An operation on the rows that match a condition.

    point: the parameter with the primary key, if the condition selects exactly one key; else ``None``.
    is_related: an expression of the operation reads rows besides those of its condition.
    rest: the condition besides the key; ``None`` if there is none.
    reads: the attributes that ``rest`` uses.
    matches: the whole condition.
    """

    __slots__ = (
        "_access",
        "_compared",
        "_fields",
        "_first",
        "_is_fixed",
        "_json",
        "_most",
        "_order",
        "_resource",
        "computed",
        "copy",
        "is_related",
        "matches",
        "point",
        "reads",
        "rest",
        "table",
    )

    def __init__(self, operation: Operation, info: ResourceInfo, table: Table, condition: Expression | None) -> None:
        super().__init__(operation)
        self.table = table
        self.matches = None if condition is None else compile_value(condition)
        computed: Mapping[str, Expression] = getattr(operation, "computed", {})
        self.computed = {name: compile_value(each) for name, each in computed.items()}
        assigned: Mapping[str, Expression] = getattr(operation, "assignments", {})
        keys = [key.by for key in getattr(operation, "order", ())]
        self._compared = tuple(sorted(parameters(condition, *computed.values(), *keys)))
        self.is_related = any(map(is_related, (condition, *computed.values(), *assigned.values(), *keys)))
        self._json, self._fields, self._resource = beside_json(condition, info), compared_with(condition, info), info.name
        self._access = _AccessPaths(info, table).access(condition)
        order: tuple[Sort, ...] = ()
        fields: Fields | None = None
        self._first: Evaluator | None = None
        self._most: Evaluator | None = None
        self.point: str | None = None
        self.rest: Evaluator | None = None
        self.reads: Fields = ()
        self._is_fixed = True
        if isinstance(operation, Aggregate) and operation.kind == "exists":
            self._find_point(condition)
        elif isinstance(operation, (Select, Aggregate)):
            order, fields = operation.order, getattr(operation, "fields", None)
            self._first = None if operation.offset is None else compile_expression(operation.offset)
            self._most = None if operation.limit is None else compile_expression(operation.limit)
            if self._first is None and self._most is None and isinstance(operation, Select) and operation.figures is None:
                self._find_point(condition)
        self._order = tuple((compile_value(sort.by), sort.descending) for sort in reversed(order))
        self.copy = dict.copy if getattr(operation, "figures", None) is not None else copier(info, fields)

    def _find_point(self, condition: Expression | None) -> None:
        if self.is_related or self.computed:
            return
        asked = by_key(condition, self.table.primary_key)
        if asked is not None and len(asked.params) == 1:
            (self.point,) = asked.params
            if asked.rest is not None:
                self.rest, self.reads, self._is_fixed = compile_value(asked.rest), tuple(fields_of(asked.rest)), asked.is_fixed

    def passes(self, row: Row, params: Params) -> bool:
        """Return whether the row with the selected key meets the rest of the condition."""
        if self.rest is None:
            return True
        if self._is_fixed:
            return bool(self.rest(row, params, row))
        self.check(params)
        return bool(self.rest(row, moment(params), row))

    def check(self, params: Params) -> None:
        """Raise Invalid if the condition compares with a value that no store can compare with."""
        for name in self._compared:
            check(params[name], self._fields.get(name, ""), self._resource, is_json=name in self._json)

    def rows(self, draft: Draft, params: Params) -> Iterator[Row]:
        """Yield the matching rows of a draft. ``params`` come from ``moment``.

        The candidates are looked up before this returns.
        """
        self.check(params)
        if self._access is None:
            # Whether a row matches may depend on rows of other tables, so each row counts as read.
            found = draft.scan(None if self.is_related else self.matches, params)
        else:
            found = list(self._candidates(draft, params))
        matches = self.matches
        return iter(found) if matches is None else (row for row in found if matches(row, params, row))

    def given(self, row: Row, params: Params) -> Row:
        """Return a row for its receiver, with the computed values of the operation. ``params`` come from ``moment``."""
        copy = self.copy(row)
        for name, compute in self.computed.items():
            copy[name] = compute(row, params, row)
        return copy

    def wanted(self, params: Params) -> Wanted:
        """Return the rows that ``rows`` will read, for a store that has to fetch them first."""
        self.check(params)
        if self._access is None:
            return Wanted(everything=True)
        keys: list[Key] = []
        equal: list[tuple[Fields, Values]] = []
        for way in self._access:
            if isinstance(way, _Among):
                keys += (key for key in way.options(params) if _hashable(key))
                continue
            values = tuple([read(params) for read in way.values])
            if not _hashable(values):
                continue
            if way.fields == self.table.primary_key:
                keys.append(values[0] if len(values) == 1 else values)
            elif way.fields in self.table.unique and None in values:
                return Wanted(everything=True)
            else:
                equal.append((way.fields, values))
        return Wanted(tuple(keys), tuple(equal))

    def remove(self, draft: Draft, params: Params) -> list[Row]:
        """Remove the matching rows from a draft, and return them as they are stored."""
        found = list(self.rows(draft, params))
        for row in found:
            draft.put(self.table.key_of(row), None)
        return found

    def _candidates(self, draft: Draft, params: Params) -> Iterator[Row]:
        seen: set[Any] = set()
        for way in self._access or ():
            for row in self._reach(way, draft, params):
                key = self.table.key_of(row)
                if key not in seen:
                    seen.add(key)
                    yield row

    def _reach(self, way: _Equal | _Among, draft: Draft, params: Params) -> list[Row]:
        primary_key = self.table.primary_key
        if isinstance(way, _Equal):
            values = tuple([read(params) for read in way.values])
            if not _hashable(values):
                return []  # Stored values of these fields are hashable, so none of them equals this value.
            if way.fields != primary_key:
                return draft.holding(way.fields, values)
            keys = [values[0] if len(values) == 1 else values]
        else:
            keys = [key for key in way.options(params) if _hashable(key)]
        return [row for key in keys if (row := draft.get(key)) is not None]

    def ordered(self, rows: Iterator[Row], params: Params) -> Iterator[Row]:
        """Sort rows in the order of the plan, ``None`` first. Rows that compare as equal keep the store's order."""
        if not self._order:
            return rows
        found = list(rows)
        for by, descending in self._order:
            found.sort(key=lambda row, by=by: rank(by(row, params, row)), reverse=descending)  # type: ignore[misc]  # a default argument in a lambda
        return iter(found)

    @property
    def is_ordered(self) -> bool:
        """True if the operation has an order, or groups, so that all rows are needed before the first one can be returned."""
        return bool(self._order) or getattr(self.operation, "figures", None) is not None

    def cut(self, rows: Iterator[Row], params: Params) -> Iterator[Row]:
        """Apply offset and limit."""
        first = 0 if self._first is None else self._first({}, params, {}) or 0
        most = None if self._most is None else self._most({}, params, {})
        return itertools.islice(rows, first, None if most is None else first + most)

    async def cut_async(self, rows: AsyncIterator[Row], params: Params) -> AsyncIterator[Row]:
        """Apply offset and limit to rows that arrive over time. No more rows are requested than needed."""
        first = 0 if self._first is None else self._first({}, params, {}) or 0
        most = None if self._most is None else self._most({}, params, {})
        count = 0
        if most == 0:
            return
        async for row in rows:
            count += 1
            if count > first:
                yield row
            if most is not None and count == first + most:
                return

    def shown(self, rows: Iterator[Row], params: Params) -> Iterator[Row]:
        """Return matching rows as they are stored, in order, with offset and limit applied; or their groups."""
        if isinstance(self.operation, Select) and self.operation.figures is not None:
            return Grouping(self.operation.fields or (), self.operation.figures).rows_of(rows)
        found = self.ordered(rows, params)
        if isinstance(self.operation, Select) and self.operation.distinct:
            found = _first_of_each(found, self.operation.distinct)
        if isinstance(self.operation, Select) and self.operation.each:
            return self._cut_each(found, self.operation.each, params)
        return self.cut(found, params)

    def _cut_each(self, rows: Iterator[Row], fields: Fields, params: Params) -> Iterator[Row]:
        first = 0 if self._first is None else self._first({}, params, {}) or 0
        most = None if self._most is None else self._most({}, params, {})
        seen: Counter[Values] = Counter()
        for row in rows:
            values = tuple([row[field] for field in fields])
            seen[values] += 1
            if seen[values] > first and (most is None or seen[values] <= first + most):
                yield row


def _first_of_each(rows: Iterator[Row], fields: Fields) -> Iterator[Row]:
    seen: set[Values] = set()
    for row in rows:
        values = tuple([row[field] for field in fields])
        if values not in seen:
            seen.add(values)
            yield row


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
