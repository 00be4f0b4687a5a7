"""Operations compiled for rows in Python: which rows may match, which do, and in which order. It knows facts and tables."""

from __future__ import annotations

import enum
import functools
import itertools
import operator
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import attrs

from resourcekit.data_layers.base import Aggregate, Operation, Plan, Row, Select
from resourcekit.data_layers.by_key import by_key
from resourcekit.data_layers.rows.table import Draft, Fields, Key, Table, Values
from resourcekit.data_layers.rows.values import Refused, check_parameter, copied, must_copy
from resourcekit.errors import Invalid
from resourcekit.flow.clock import utc_now
from resourcekit.flow.evaluation import Evaluator, compile_expression
from resourcekit.flow.expression import And, Compare, Expression, Field, In, Now, Or, Param, Sort, Value
from resourcekit.flow.rewriting import children, fields_of, rebuild
from resourcekit.resource_info import ResourceInfo

__all__ = ["Params", "RowPlan", "Wanted", "check", "compile_value", "copier", "figure", "moment", "parameters"]

Params = Mapping[str, Any]
Read = Callable[[Params], Any]
Copy = Callable[[Row], Row]

_NOW = "now()"  # no parameter of the engine's has such a name


def compile_value(expression: Expression) -> Evaluator:
    """Compile an expression whose ``now()`` is one moment for the whole statement; see ``moment``."""
    return compile_expression(_pinned(expression))


def _pinned(node: Expression) -> Expression:
    if isinstance(node, Now):
        return Param(_NOW)
    if isinstance(node, In) and isinstance(node.options, Value) and isinstance(node.options.value, tuple):
        options = tuple(_pinned(option) if isinstance(option, Expression) else option for option in node.options.value)
        return In(_pinned(node.operand), Value(options))
    parts = children(node)
    return rebuild(node, tuple(_pinned(part) for part in parts)) if parts else node


def moment(params: Params) -> dict[str, Any]:
    """Return the parameters of one run, with the moment at which it runs."""
    return {**params, _NOW: utc_now()}


def parameters(*nodes: Expression | None) -> frozenset[str]:
    """Return the names of all parameters in some expressions."""
    own = frozenset(node.name for node in nodes if isinstance(node, Param))
    return own.union(*(parameters(*children(node)) for node in nodes if node is not None), *map(_option_names, nodes))


def _option_names(node: Expression | None) -> frozenset[str]:
    if isinstance(node, In) and isinstance(node.options, Value) and isinstance(node.options.value, tuple):
        return parameters(*(option for option in node.options.value if isinstance(option, Expression)))
    return frozenset()


def check(value: object) -> None:
    """Raise Invalid where no store can compare with a value (NUL, half a surrogate pair, naive datetime, over 64 bits)."""
    try:
        check_parameter(value)
    except Refused as refused:
        raise Invalid(f"a value to compare with {refused}") from None


def copier(info: ResourceInfo, fields: Fields | None) -> Copy:
    """Return the function that copies a row for its receiver, with these fields only (``None``: all)."""
    names = tuple(info.attributes) if fields is None else fields
    changeable = frozenset(name for name in names if must_copy(info.attributes[name].type))
    if changeable:
        return lambda row: {name: copied(row[name]) if name in changeable else row[name] for name in names}
    if fields is None:
        return dict.copy
    return lambda row: {name: row[name] for name in names}


@attrs.frozen
class _Equal:
    """Rows whose fields hold given values: a key, an identity or an index."""

    fields: Fields
    values: tuple[Read, ...]


@attrs.frozen
class _Among:
    """Rows whose key is one of several."""

    options: Read


_Access = tuple[_Equal | _Among, ...]
"""Where rows that match can be, taken together; ``None`` stands for "anywhere"."""


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
class _Guide:
    """Finds the shortest way to the rows of a condition."""

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


def _sort_value(value: Any) -> tuple[bool, Any]:
    # An enum's members are ordered as their values are.
    return value is not None, value.value if isinstance(value, enum.Enum) else value


@attrs.frozen
class Wanted:
    """Rows that an operation asks for: by key, by the values of an identity or index, or all there are."""

    keys: tuple[Key, ...] = ()
    equal: tuple[tuple[Fields, Values], ...] = ()
    everything: bool = False


class RowPlan(Plan):
    """An operation on rows that match.

    point: the parameter that holds the whole primary key, where the condition asks for exactly one; else ``None``.
    rest: what the condition asks besides the key; ``None`` for nothing. reads: the attributes that it asks this of.
    matches: the whole condition.
    """

    __slots__ = (
        "_access",
        "_compared",
        "_first",
        "_is_fixed",
        "_most",
        "_order",
        "copy",
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
        self._compared = tuple(sorted(parameters(condition)))
        self._access = _Guide(info, table).access(condition)
        order: tuple[Sort, ...] = ()
        fields: Fields | None = None
        self._first: Evaluator | None = None
        self._most: Evaluator | None = None
        self.point: str | None = None
        self.rest: Evaluator | None = None
        self.reads: Fields = ()
        self._is_fixed = True
        if isinstance(operation, Select):
            order, fields = operation.order, operation.fields
            self._first = None if operation.offset is None else compile_expression(operation.offset)
            self._most = None if operation.limit is None else compile_expression(operation.limit)
            if self._first is None and self._most is None:
                self._find_point(condition)
        elif isinstance(operation, Aggregate) and operation.kind == "exists":
            self._find_point(condition)
        self._order = tuple((compile_value(sort.by), sort.descending) for sort in reversed(order))
        self.copy = copier(info, fields)

    def _find_point(self, condition: Expression | None) -> None:
        asked = by_key(condition, self.table.primary_key)
        if asked is not None and len(asked.params) == 1:
            (self.point,) = asked.params
            if asked.rest is not None:
                self.rest, self.reads, self._is_fixed = compile_value(asked.rest), tuple(fields_of(asked.rest)), asked.is_fixed

    def passes(self, row: Row, params: Params) -> bool:
        """Say whether the rest of the condition holds of the row with the key that was asked for."""
        if self.rest is None:
            return True
        if self._is_fixed:
            return bool(self.rest(row, params, row))
        self.check(params)
        return bool(self.rest(row, moment(params), row))

    def check(self, params: Params) -> None:
        """Raise Invalid where the condition compares with a value that no store can compare with."""
        for name in self._compared:
            check(params[name])

    def rows(self, draft: Draft, params: Params) -> Iterator[Row]:
        """Yield the rows of a draft that match; ``params`` come from ``moment``. Their places are looked up at once."""
        self.check(params)
        found = draft.scan(self.matches, params) if self._access is None else list(self._candidates(draft, params))
        matches = self.matches
        return iter(found) if matches is None else (row for row in found if matches(row, params, row))

    def wanted(self, params: Params) -> Wanted:
        """Return the rows that ``rows`` will look at, for a store that has to fetch them first."""
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
        """Remove the rows that match from a draft, and return them as they are kept."""
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
                return []  # A stored value of these fields can be hashed, and so equals none of those.
            if way.fields != primary_key:
                return draft.holding(way.fields, values)
            keys = [values[0] if len(values) == 1 else values]
        else:
            keys = [key for key in way.options(params) if _hashable(key)]
        return [row for key in keys if (row := draft.get(key)) is not None]

    def ordered(self, rows: Iterator[Row], params: Params) -> Iterator[Row]:
        """Sort rows as the plan says, ``None`` before all else; rows that are equal by that stay in the store's order."""
        if not self._order:
            return rows
        found = list(rows)
        for by, descending in self._order:
            found.sort(key=lambda row, by=by: _sort_value(by(row, params, row)), reverse=descending)  # type: ignore[misc]  # a default argument in a lambda
        return iter(found)

    @property
    def is_ordered(self) -> bool:
        """The operation names an order, so all rows must be there before the first one can be given."""
        return bool(self._order)

    def cut(self, rows: Iterator[Row], params: Params) -> Iterator[Row]:
        """Leave out what offset and limit leave out."""
        first = 0 if self._first is None else self._first({}, params, {}) or 0
        most = None if self._most is None else self._most({}, params, {})
        return itertools.islice(rows, first, None if most is None else first + most)

    async def cut_async(self, rows: AsyncIterator[Row], params: Params) -> AsyncIterator[Row]:
        """Do the same with rows that come by and by; asks for no more than it gives."""
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
        """Return matching rows in order, without what offset and limit leave out, as they are kept."""
        return self.cut(self.ordered(rows, params), params)


def figure(operation: Aggregate, rows: Iterator[Row]) -> Any:
    """Return the figure of an aggregate over the rows that match; ``None`` for min, max and sum of nothing."""
    if operation.kind == "exists":
        return next(rows, None) is not None
    if operation.kind == "count":
        return sum(1 for _ in rows)
    assert operation.field is not None
    values = [value for row in rows if (value := row[operation.field]) is not None]
    if operation.kind == "sum":
        return functools.reduce(operator.add, values) if values else None
    return (min if operation.kind == "min" else max)(values, default=None)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
