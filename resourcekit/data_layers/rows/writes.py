"""Inserts and updates over a draft, with checks of values, identities and conflicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resourcekit.clock import current_clock
from resourcekit.data_layers.base import (
    Aggregate,
    Delete,
    DeleteInBatches,
    Insert,
    Operation,
    Plan,
    Row,
    Select,
    Update,
)
from resourcekit.data_layers.rows.parameters import check, parameters
from resourcekit.data_layers.rows.plan import Params, RowPlan, Wanted, compile_value, copier
from resourcekit.data_layers.rows.table import Draft, Fields, Table, undo
from resourcekit.data_layers.rows.values import Refused, converter
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, NotNull, UniqueViolation
from resourcekit.expressions.evaluation import Evaluator
from resourcekit.expressions.nodes import Expression, Now
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import Outcome, WriteFailure, WriteResult

__all__ = ["InsertPlan", "Keep", "UpdatePlan", "compile_operation"]


class Keep:
    """Converts values of callers to stored values."""

    __slots__ = ("_computed", "_converters", "_filled", "_resource", "_table")

    def __init__(self, info: ResourceInfo, table: Table | None = None) -> None:
        self._resource, self._table = info.name, table
        self._filled = {name: each for name, each in info.attributes.items() if each.is_filled}
        self._computed = {name: compile_value(each.computed) for name, each in self._filled.items() if each.is_computed}
        self._converters = {
            name: (converter(attribute.type), attribute.allow_none) for name, attribute in info.attributes.items()
        }

    def value(self, field: str, value: Any) -> Any:
        """Return a value as it is stored.

        Raise NotNull for a ``None`` that is not allowed, and Invalid for a value that no store accepts.
        """
        keep, allow_none = self._converters[field]
        if value is None:
            if allow_none:
                return None
            raise NotNull(field, resource=self._resource)
        try:
            return keep(value)
        except Refused as refused:
            raise Invalid(FieldFinding(field, str(refused)), resource=self._resource) from None

    def row(self, given: Row) -> Row:
        """Return a whole row as it is stored, in the order of the attributes. Missing values are ``None``, unless they are filled."""
        fields, filled = self._converters, self._filled
        if filled:
            return {field: self.value(field, given.get(field)) for field in fields if field in given or field not in filled}
        return {field: self.value(field, given.get(field)) for field in fields}

    def filled(self, row: Row) -> Row:
        """Return a row with the values that a database would fill: the next key, defaults, computed values."""
        if not self._filled:
            return row
        new = dict.fromkeys(self._converters) | row
        for field, attribute in self._filled.items():
            if attribute.generated:
                assert self._table is not None
                new[field] = next(self._table.numbers)
            elif field not in row and not attribute.is_computed:
                default = attribute.database_default
                new[field] = self.value(field, default.at(current_clock().now()) if isinstance(default, Now) else default)
        return self.computed(new)

    def computed(self, row: Row) -> Row:
        """Compute the computed attributes of a new row, in place, and return it."""
        for field, compute in self._computed.items():
            try:
                row[field] = self.value(field, compute(row, {}, row))
            except OverflowError:
                raise Invalid(FieldFinding(field, "is too large"), resource=self._resource) from None
        return row


class _Assign:
    """Computes new values of a row from the row before the update."""

    __slots__ = ("_assignments", "_keep", "fields")

    def __init__(self, keep: Keep, assignments: Mapping[str, Expression]) -> None:
        self._keep = keep
        self._assignments = {field: compile_value(expression) for field, expression in assignments.items()}
        self.fields = frozenset(assignments)

    def changed(self, row: Row, params: Params, incoming: Row) -> Row:
        """Return the updated row."""
        new = dict(row)
        for field, compute in self._assignments.items():
            try:
                value = compute(row, params, incoming)
            except OverflowError:
                raise Invalid(FieldFinding(field, "is too large")) from None
            new[field] = self._keep.value(field, value)
        return self._keep.computed(new)


class InsertPlan(Plan):
    """A compiled Insert."""

    __slots__ = ("_assign", "_compared", "_copy", "_info", "_keep", "_table", "_target", "_where")

    operation: Insert

    def __init__(self, operation: Insert, info: ResourceInfo, table: Table, keep: Keep) -> None:
        super().__init__(operation)
        self._info, self._table, self._keep = info, table, keep
        conflict = operation.on_conflict
        self._target: Fields | None = None if conflict is None else _target(conflict.target, table)
        self._assign: _Assign | None = None
        self._where: Evaluator | None = None
        self._compared: frozenset[str] = frozenset()
        if conflict is not None and conflict.action == "update":
            self._assign = _Assign(keep, conflict.set)
            self._where = None if conflict.where is None else compile_value(conflict.where)
            self._compared = parameters(conflict.where)
        self._copy = copier(info, None)

    def kept(self, rows: Sequence[Row]) -> list[Row | Exception]:
        """Return each row as it is stored, or the error that refuses it. It needs no lock."""
        kept: list[Row | Exception] = []
        for row in rows:
            try:
                kept.append(self._keep.row(row))
            except Invalid as error:
                kept.append(error)
        return kept

    def wanted(self, rows: Sequence[Row | Exception]) -> Wanted:
        """Return the rows that ``run`` will read, for a store that has to fetch them first."""
        table = self._table
        sound = [row for row in rows if not isinstance(row, Exception)]
        pairs = ((fields, tuple([row[field] for field in fields])) for fields in table.identities.values() for row in sound)
        return Wanted(tuple(map(table.key_of, sound)), tuple(pair for pair in pairs if None not in pair[1]))

    def run(
        self, draft: Draft, rows: Sequence[Row | Exception], params: Params, check_row: Callable[[int], None] | None = None
    ) -> WriteResult:
        """Write rows that ``kept`` returned, one after the other.

        check_row: called after each row with the length that the journal had before it; an Invalid that it raises refuses the row.
        """
        for name in self._compared:
            check(params[name])
        outcomes: list[Outcome] = []
        failures: list[WriteFailure] = []
        written: list[Row] = []
        for index, given in enumerate(rows):
            try:
                if isinstance(given, Exception):
                    raise given  # one path for all errors of a row
                row = self._keep.filled(given)
                mark = len(draft.journal)
                outcome, current = self._write(draft, row, params)
                if check_row is not None:
                    self._check(draft, mark, check_row)
            except Invalid as error:
                error.__traceback__ = None
                failures.append(WriteFailure(index, error))
                outcome = Outcome.FAILED
            else:
                if outcome is not Outcome.SKIPPED:
                    written.append(current)
            outcomes.append(outcome)
        returned = tuple(self._copy(row) for row in written) if self.operation.returning else ()
        return WriteResult(len(written), returned, tuple(outcomes), tuple(failures))

    @staticmethod
    def _check(draft: Draft, mark: int, check_row: Callable[[int], None]) -> None:
        try:
            check_row(mark)
        except Invalid:
            undo(draft.journal, mark)
            raise

    def _write(self, draft: Draft, row: Row, params: Params) -> tuple[Outcome, Row]:
        there = self._in_conflict(draft, row)
        if there is None:
            self._refuse_taken(draft, row)
            draft.put(self._table.key_of(row), row)
            return Outcome.INSERTED, row
        if self._assign is None or (self._where is not None and not self._where(there, params, row)):
            return Outcome.SKIPPED, there
        new = self._assign.changed(there, params, row)
        mark = len(draft.journal)
        draft.put(self._table.key_of(there), None)
        try:
            self._refuse_taken(draft, new)
        except UniqueViolation:
            undo(draft.journal, mark)
            raise
        draft.put(self._table.key_of(new), new)
        return Outcome.UPDATED, new

    def _in_conflict(self, draft: Draft, row: Row) -> Row | None:
        if self._target is None:
            return None
        if self._target == self._table.primary_key:
            return draft.get(self._table.key_of(row))
        values = tuple([row[field] for field in self._target])
        if None in values:
            return None
        return next(iter(draft.holding(self._target, values)), None)

    def _refuse_taken(self, draft: Draft, row: Row) -> None:
        if (taken := draft.taken(row)) is not None:
            raise UniqueViolation(*taken, resource=self._info.name)


def _target(names: Fields, table: Table) -> Fields:
    """Return the primary key or the identity with these fields, in its own order."""
    for fields in (table.primary_key, *table.identities.values()):
        if frozenset(fields) == frozenset(names):
            return fields
    raise InvalidArgument(f"neither the primary key nor an identity consists of {', '.join(names)}")


class UpdatePlan(RowPlan):
    """A compiled Update."""

    __slots__ = ("_assign", "_info", "_is_unique")

    operation: Update

    def __init__(self, operation: Update, info: ResourceInfo, table: Table, keep: Keep) -> None:
        super().__init__(operation, info, table, operation.condition)
        self._info = info
        self._assign = _Assign(keep, operation.assignments)
        unique = {field for fields in (table.primary_key, *table.identities.values()) for field in fields}
        self._is_unique = not unique.isdisjoint(self._assign.fields)

    def run(self, draft: Draft, params: Params) -> WriteResult:
        """Update all rows that match. After an error the caller must undo the draft's writes."""
        changes = [(row, self._assign.changed(row, params, row)) for row in self.rows(draft, params)]
        if self._is_unique:
            # Remove all old rows first: only at the end must no two rows share values.
            for old, _ in changes:
                draft.put(self.table.key_of(old), None)
        for _, new in changes:
            if self._is_unique and (taken := draft.taken(new)) is not None:
                raise UniqueViolation(*taken, resource=self._info.name)
            draft.put(self.table.key_of(new), new)
        returned = tuple(self.copy(new) for _, new in changes) if self.operation.returning else ()
        return WriteResult(len(changes), returned)


def compile_operation(operation: Operation, info: ResourceInfo, table: Table, keep: Keep) -> Plan:
    """Return the plan of an operation. Every expression can be computed, because Python computes it."""
    match operation:
        case Insert():
            return InsertPlan(operation, info, table, keep)
        case Update():
            return UpdatePlan(operation, info, table, keep)
        case Select() | Delete() | DeleteInBatches() | Aggregate():
            return RowPlan(operation, info, table, operation.condition)
