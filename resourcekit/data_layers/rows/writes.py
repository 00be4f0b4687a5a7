"""Inserts and updates over a draft: keeps the value laws, identities and conflicts. It knows drafts, and no transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from resourcekit.data_layers.rows.plan import Params, RowPlan, Wanted, check, compile_value, copier, parameters
from resourcekit.data_layers.rows.table import Draft, Fields, Table, undo
from resourcekit.data_layers.rows.values import Refused, keeper
from resourcekit.errors import FieldFinding, Invalid, NotNull, UniqueViolation
from resourcekit.flow.evaluation import Evaluator
from resourcekit.flow.expression import Expression
from resourcekit.flow.result import Outcome, WriteFailure, WriteResult
from resourcekit.resource_info import ResourceInfo

__all__ = ["InsertPlan", "Keep", "UpdatePlan", "compile_operation"]


class Keep:
    """Turns what a caller gives into what is kept."""

    __slots__ = ("_keepers", "_resource")

    def __init__(self, info: ResourceInfo) -> None:
        self._resource = info.name
        self._keepers = {name: (keeper(attribute.type), attribute.allow_none) for name, attribute in info.attributes.items()}

    def value(self, field: str, value: Any) -> Any:
        """Return a value as it is kept.

        Raises NotNull for a ``None`` that must not be, Invalid for what no store keeps.
        """
        keep, allow_none = self._keepers[field]
        if value is None:
            if allow_none:
                return None
            raise NotNull(field, resource=self._resource)
        try:
            return keep(value)
        except Refused as refused:
            raise Invalid(FieldFinding(field, str(refused)), resource=self._resource) from None

    def row(self, given: Row) -> Row:
        """Return a whole row as it is kept, in the order of the attributes; what is missing is ``None``."""
        return {field: self.value(field, given.get(field)) for field in self._keepers}


class _Assign:
    """Computes new values of a row from the row as it was."""

    __slots__ = ("_assignments", "_keep", "fields")

    def __init__(self, keep: Keep, assignments: Mapping[str, Expression]) -> None:
        self._keep = keep
        self._assignments = {field: compile_value(expression) for field, expression in assignments.items()}
        self.fields = frozenset(assignments)

    def changed(self, row: Row, params: Params, incoming: Row) -> Row:
        """Return the row as it shall be."""
        new = dict(row)
        for field, compute in self._assignments.items():
            try:
                value = compute(row, params, incoming)
            except OverflowError:
                raise Invalid(FieldFinding(field, "is too large")) from None
            new[field] = self._keep.value(field, value)
        return new


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
        """Return the rows as they are kept, or why not; needs no lock."""
        kept: list[Row | Exception] = []
        for row in rows:
            try:
                kept.append(self._keep.row(row))
            except Invalid as error:
                kept.append(error)
        return kept

    def wanted(self, rows: Sequence[Row | Exception]) -> Wanted:
        """Return the rows that ``run`` will look at, for a store that has to fetch them first."""
        table = self._table
        sound = [row for row in rows if not isinstance(row, Exception)]
        pairs = ((fields, tuple([row[field] for field in fields])) for fields in table.identities.values() for row in sound)
        return Wanted(tuple(map(table.key_of, sound)), tuple(pair for pair in pairs if None not in pair[1]))

    def run(self, draft: Draft, rows: Sequence[Row | Exception], params: Params) -> WriteResult:
        """Write rows (from ``kept``) one after the other."""
        for name in self._compared:
            check(params[name])
        outcomes: list[Outcome] = []
        failures: list[WriteFailure] = []
        written: list[Row] = []
        for index, row in enumerate(rows):
            try:
                if isinstance(row, Exception):
                    raise row  # one way out for all that a row violates
                outcome, stands = self._write(draft, row, params)
            except Invalid as error:
                error.__traceback__ = None
                failures.append(WriteFailure(index, error))
                outcome = Outcome.FAILED
            else:
                if outcome is not Outcome.SKIPPED:
                    written.append(stands)
            outcomes.append(outcome)
        returned = tuple(self._copy(row) for row in written) if self.operation.returning else ()
        return WriteResult(len(written), returned, tuple(outcomes), tuple(failures))

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
    """Return the key or the identity with these names, in its own order."""
    for fields in (table.primary_key, *table.identities.values()):
        if frozenset(fields) == frozenset(names):
            return fields
    msg = f"neither the primary key nor an identity consists of {', '.join(names)}"
    raise ValueError(msg)


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
        """Change all rows that match; after an error the draft must be taken back by the caller."""
        changes = [(row, self._assign.changed(row, params, row)) for row in self.rows(draft, params)]
        if self._is_unique:
            # All old rows go first: what counts is that no two rows have the same values at the end.
            for old, _ in changes:
                draft.put(self.table.key_of(old), None)
        for _, new in changes:
            if self._is_unique and (taken := draft.taken(new)) is not None:
                raise UniqueViolation(*taken, resource=self._info.name)
            draft.put(self.table.key_of(new), new)
        returned = tuple(self.copy(new) for _, new in changes) if self.operation.returning else ()
        return WriteResult(len(changes), returned)


def compile_operation(operation: Operation, info: ResourceInfo, table: Table, keep: Keep) -> Plan:
    """Return the plan of an operation. Everything is computed in Python, so every expression can be."""
    match operation:
        case Insert():
            return InsertPlan(operation, info, table, keep)
        case Update():
            return UpdatePlan(operation, info, table, keep)
        case Select() | Delete() | DeleteInBatches() | Aggregate():
            return RowPlan(operation, info, table, operation.condition)
