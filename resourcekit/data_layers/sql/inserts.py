"""Inserts and upserts of rows: what goes to the database for each row, and what became of it. It runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from resourcekit.data_layers.base import Insert, Params, Plan, Row
from resourcekit.data_layers.sql.columns import FLOAT, Family
from resourcekit.data_layers.sql.failures import identity_of
from resourcekit.data_layers.sql.link import Link, Stored
from resourcekit.data_layers.sql.plans import Compiler, SQLPlan
from resourcekit.data_layers.sql.work import Written
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.errors import FieldFinding, Invalid, NotNull, UniqueViolation
from resourcekit.flow.result import Outcome, WriteFailure, WriteResult
from resourcekit.resource_info import ResourceInfo

__all__ = ["RowWriter"]

Prepared = Stored | Exception
"""The stored forms of one row and of the conflict's parameters; or why the row cannot be kept."""


class RowWriter(Plan):
    """A compiled insert.

    returns: the statement gives something back. is_plain: no conflict is foreseen.
    """

    __slots__ = ("_compiler", "_fields", "_gives_row", "_info", "_plan", "is_plain", "returns")

    operation: Insert

    def __init__(self, operation: Insert, compiler: Compiler, info: ResourceInfo) -> None:
        super().__init__(operation)
        conflict = operation.on_conflict
        self.is_plain = conflict is None
        self._plan, self._info, self._compiler = SQLPlan(operation, compiler), info, compiler
        self._gives_row = conflict is not None and conflict.action == "update" and operation.returning
        self.returns = self._plan.statement.returns
        self._fields = tuple(
            (name, compiler.written(name), info.attributes[name].allow_none)
            for name in compiler.codecs
            if name in operation.fields
        )

    def prepared(self, rows: Sequence[Row], params: Params) -> tuple[str, list[Prepared]]:
        """Return the statement's text, and for each row what goes into its placeholders.

        Raises Invalid for a parameter of the conflict that cannot be kept; a row that cannot be is its own failure.
        """
        statement, values = self._plan.prepared(params)
        rest = values[len(self._fields) :]
        return statement.sql, [self._prepare(row, rest) for row in rows]

    def _prepare(self, row: Row, rest: list[Any]) -> Prepared:
        stored: list[Any] = []
        for name, codec, allow_none in self._fields:
            value = row.get(name)
            if value is None:
                if not allow_none:
                    return NotNull(name, resource=self._info.name)
                stored.append(None)
                continue
            try:
                stored.append(codec.encode(value))
            except (Unstorable, NoneGiven) as refused:
                return Invalid(FieldFinding(name, str(refused)), resource=self._info.name)
        stored.extend(rest)
        return stored

    def judge(self, link: Link, count: int, row: Any) -> Written:
        """Say what became of a row; once after each."""
        if self.is_plain:
            return Written(Outcome.INSERTED)
        table = self._compiler.table
        told = self._compiler.room.outcome(link, table, count, row)
        if isinstance(told, Outcome):
            return Written(told, row if self._gives_row else None)
        violation = UniqueViolation(*identity_of(told, self._info), resource=self._info.name)
        return Written(Outcome.FAILED, error=violation)

    def result(
        self,
        rows: Sequence[Row],
        prepared: Sequence[Prepared],
        written: Sequence[Written],
        as_ours: Callable[[Exception], Exception] = lambda error: error,
    ) -> WriteResult:
        """Tell what became of each row. written: one entry for each row that could be prepared, in order."""
        outcomes: list[Outcome] = []
        failures: list[WriteFailure] = []
        kept: list[Row] = []
        done = iter(written)
        for index, (row, stored) in enumerate(zip(rows, prepared, strict=True)):
            one = Written(Outcome.FAILED, error=stored) if isinstance(stored, Exception) else next(done)
            outcomes.append(one.outcome)
            if one.error is not None:
                failures.append(WriteFailure(index, as_ours(one.error)))
            elif one.outcome is not Outcome.SKIPPED and self.operation.returning and not isinstance(stored, Exception):
                kept.append(self._plan.statement.rows([one.row])[0] if one.row is not None else self._as_kept(row, stored))
        count = sum(outcome in (Outcome.INSERTED, Outcome.UPDATED) for outcome in outcomes)
        return WriteResult(count, tuple(kept), tuple(outcomes), tuple(failures))

    def _as_kept(self, row: Row, stored: Stored) -> Row:
        """Return an inserted row as a read would return it."""
        kept: Row = dict.fromkeys(self._info.attributes)
        for (name, codec, _), value in zip(self._fields, stored, strict=False):
            if value is None:
                continue
            if codec is FLOAT:
                kept[name] = float(value)
            elif codec.decode is not None:
                kept[name] = codec.decode(value)
            else:
                kept[name] = row[name] if codec.family is Family.TEXT else value
        return kept
