"""Inserts and upserts: the values that are sent for each row, how rows are sent, and the outcome of each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from resourcekit.data_layers.base import Insert, OnConflict, Params, Plan, Row
from resourcekit.data_layers.sql.compile.compiler import Compiler
from resourcekit.data_layers.sql.compile.row_makers import compile_kept, compile_stored
from resourcekit.data_layers.sql.compile.statement import SQLPlan
from resourcekit.data_layers.sql.dialects.columns import FLOAT, Family
from resourcekit.data_layers.sql.dialects.error_info import ErrorKind, TooLarge
from resourcekit.data_layers.sql.dialects.many_rows import KeysAmbiguous, ManyRows
from resourcekit.data_layers.sql.execution.connection import Connection, Stored, atomically, in_savepoint
from resourcekit.data_layers.sql.execution.failures import identity_of
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable
from resourcekit.errors import FieldFinding, Invalid, NotNull, UniqueViolation
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import Outcome, WriteFailure, WriteResult

__all__ = ["RowWriter", "Written", "write_rows"]

_PART = "resourcekit_part"
"""Name of the savepoint around a part of the rows of a call."""

Prepared = Stored | Exception
"""The stored forms of one row and of the conflict's parameters, or the error for a row that cannot be stored."""


@attrs.define(eq=False)  # not frozen: one is made for each row, and frozen ones take twice as long
class Written:
    """Result of one row: the outcome, with the row if the statement returned it, or the error that refused it."""

    outcome: Outcome
    row: Any = None
    error: Exception | None = None


_MANY = 8
"""Rows from which on they are prepared column by column."""

_KEY_FAMILIES = frozenset({Family.TEXT, Family.UUID, Family.NUMBER})
"""Families whose values are sent in the form in which they are returned."""

_BARE = {outcome: Written(outcome) for outcome in Outcome}
_INSERTED = _BARE[Outcome.INSERTED]
_ONE_INSERTED = (Outcome.INSERTED,)


class RowWriter(Plan):
    """A compiled insert.

    returns: the statement returns rows.
    is_plain: the statement has no conflict clause and returns nothing, so all rows can be sent at once, in the hope that none is
        refused.
    many_rows: how many rows are sent.
    """

    __slots__ = (
        "_as_kept",
        "_compiler",
        "_fields",
        "_fills",
        "_gives_row",
        "_info",
        "_plan",
        "_rest",
        "_stored",
        "is_plain",
        "many_rows",
        "returns",
    )

    operation: Insert

    def __init__(self, operation: Insert, compiler: Compiler, info: ResourceInfo) -> None:
        super().__init__(operation)
        conflict = operation.on_conflict
        fills = operation.returning and any(name not in operation.fields for name in compiler.codecs)
        self.is_plain = conflict is None and not fills
        self._plan, self._info, self._compiler = SQLPlan(operation, compiler.statement), info, compiler
        self._fills = fills
        self._gives_row = fills or (conflict is not None and conflict.action == "update" and operation.returning)
        self.returns = self._plan.statement.returns
        self._fields = tuple(
            (name, compiler.written(name), info.attributes[name].allow_none)
            for name in compiler.codecs
            if name in operation.fields
        )
        self._stored, self._as_kept = compile_stored(self._fields), compile_kept(info.attributes, self._fields)
        self._rest: Stored | None = self._plan.statement.constants(len(self._fields))
        self.many_rows = ManyRows(self._plan.statement.sql, len(self._fields), self.returns)
        if conflict is not None and conflict.action == "update" and len(conflict.target) == 1:
            self.many_rows = self._matched_by(conflict.target[0], conflict)

    def _matched_by(self, key: str, conflict: OnConflict) -> ManyRows:
        """Return how rows are sent that one attribute distinguishes."""
        codec, returned = self._compiler.codecs[key], None
        if key not in self.operation.fields or codec.family not in _KEY_FAMILIES or codec is FLOAT:
            return self.many_rows
        if self.returns:
            returned = list(self._compiler.codecs).index(key) if self.operation.returning else 0
        sent = [name for name, _, _ in self._fields].index(key)
        return attrs.evolve(self.many_rows, sent=sent, returned=returned, has_condition=conflict.where is not None)

    def prepared(self, rows: Sequence[Row], params: Params) -> tuple[str, list[Prepared]]:
        """Return the statement's text, and for each row the values of its placeholders.

        Raise Invalid for a parameter of the conflict that cannot be stored. A row that cannot be stored is a failure of its own.
        """
        if self._rest is not None:
            return self._plan.statement.sql, self._prepare_all(rows, self._rest)
        statement, values = self._plan.prepared(params)
        return statement.sql, self._prepare_all(rows, values[len(self._fields) :])

    def _prepare_all(self, rows: Sequence[Row], rest: Stored) -> list[Prepared]:
        usual: list[Any] = list(map(self._stored, rows))
        if None in usual:
            return [self._prepare(row, rest) for row in rows]
        return [[*stored, *rest] for stored in usual] if rest else usual

    def _prepare(self, row: Row, rest: Stored) -> Prepared:
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

    def stored(self, prepared: Stored) -> dict[str, Any]:
        """Return the stored forms of a row's values, by attribute."""
        return {name: value for (name, _, _), value in zip(self._fields, prepared, strict=False)}

    def field_at(self, position: int) -> str:
        """Return the attribute that a placeholder of the statement belongs to."""
        return self._plan.statement.field_at(position)

    def send(self, connection: Connection, sql: str, row: Stored) -> Written:
        """Run the statement for one row, and return its result."""
        if not self.returns:
            count = connection.run(sql, row)
            return _INSERTED if self.is_plain else self.row_result(connection, count, None)
        found = connection.fetch(sql, row)
        return self.row_result(connection, len(found), found[0] if found else None)

    def row_result(self, connection: Connection, count: int, row: Any) -> Written:
        """Return the result of a row. Called once after each row."""
        if self.is_plain:
            return _INSERTED
        if self.operation.on_conflict is None:
            return Written(Outcome.INSERTED, row) if count else _INSERTED
        table = self._compiler.table
        outcome = self._compiler.dialect.outcome(connection, table, count, row)
        if isinstance(outcome, Outcome):
            # A row that was inserted is as it was given, unless the database fills a column of it.
            is_read = self._fills or (self._gives_row and outcome is not Outcome.INSERTED)
            return Written(outcome, row) if is_read else _BARE[outcome]
        violation = UniqueViolation(*identity_of(outcome, self._info), resource=self._info.name)
        return Written(Outcome.FAILED, error=violation)

    def result(
        self,
        rows: Sequence[Row],
        prepared: Sequence[Prepared],
        written: Sequence[Written],
        as_ours: Callable[[Exception], Exception] = lambda error: error,
    ) -> WriteResult:
        """Return the result of all rows. written: one entry for each row that could be prepared, in order."""
        if self.is_plain and len(rows) == 1 and written and written[0] is _INSERTED:
            one_row = (self._as_kept(rows[0], prepared[0]),) if self.operation.returning else ()  # type: ignore[arg-type]  # it was written
            return WriteResult(1, one_row, _ONE_INSERTED)
        outcomes: list[Outcome] = []
        failures: list[WriteFailure] = []
        kept: list[Row] = []
        if self.is_plain and len(written) == len(rows) and all(one is _INSERTED for one in written):
            if self.operation.returning:
                kept = [self._as_kept(row, stored) for row, stored in zip(rows, prepared, strict=True)]  # type: ignore[arg-type]  # all were written
            return WriteResult(len(rows), tuple(kept), (Outcome.INSERTED,) * len(rows))
        if len(written) == len(rows) and all(one.row is not None and one.outcome is not Outcome.SKIPPED for one in written):
            returned = self._plan.statement.rows([one.row for one in written]) if self.operation.returning else ()
            return WriteResult(len(rows), tuple(returned), tuple([one.outcome for one in written]))
        done = iter(written)
        # All at once, because one call for each row would take as long as the rest.
        found = [one.row for one in written if one.row is not None and one.outcome is not Outcome.SKIPPED]
        read = iter(self._plan.statement.rows(found) if found else ())
        for index, (row, stored) in enumerate(zip(rows, prepared, strict=True)):
            one = Written(Outcome.FAILED, error=stored) if isinstance(stored, Exception) else next(done)
            outcomes.append(one.outcome)
            if one.error is not None:
                failures.append(WriteFailure(index, as_ours(one.error)))
            elif one.outcome is not Outcome.SKIPPED and self.operation.returning and not isinstance(stored, Exception):
                kept.append(next(read) if one.row is not None else self._as_kept(row, stored))
        count = sum(outcome in (Outcome.INSERTED, Outcome.UPDATED) for outcome in outcomes)
        return WriteResult(count, tuple(kept), tuple(outcomes), tuple(failures))


def write_rows(connection: Connection, writer: RowWriter, sql: str, rows: Sequence[Stored], nested: bool) -> list[Written]:
    """Insert rows in one transaction. A row that violates a constraint gets an error as its result; the others are written."""
    if len(rows) == 1:
        return [_write_row(connection, writer, sql, rows[0], guarded=nested and connection.dialect.aborts_transaction)]
    try:
        return _write_many(connection, writer, sql, rows, nested)
    except TooLarge as large:
        large.field = writer.field_at(large.position)
        raise


def _write_many(connection: Connection, writer: RowWriter, sql: str, rows: Sequence[Stored], nested: bool) -> list[Written]:
    def write_each(connection: Connection) -> list[Written]:
        return [_write_row(connection, writer, sql, row, guarded=connection.dialect.aborts_transaction) for row in rows]

    if not writer.is_plain and not connection.dialect.sends_many(writer.many_rows):
        return atomically(connection, lambda: connection.in_driver_thread(write_each), nested=nested)

    def write_at_once(connection: Connection) -> list[Written]:
        return _write_at_once(connection, writer, sql, rows)

    try:
        return atomically(connection, lambda: connection.in_driver_thread(write_at_once), nested=nested)
    except KeysAmbiguous:
        return atomically(connection, lambda: connection.in_driver_thread(write_each), nested=nested)
    except _errors(connection) as error:
        if not _is_refusal(connection, error):
            raise
    return atomically(
        connection, lambda: connection.in_driver_thread(lambda inside: _write_in_parts(inside, writer, sql, rows)), nested=nested
    )


def _write_at_once(connection: Connection, writer: RowWriter, sql: str, rows: Sequence[Stored]) -> list[Written]:
    """Send all rows in one batch. The whole batch fails if one row is refused."""
    many_rows = attrs.evolve(writer.many_rows, sql=sql)
    if writer.is_plain:
        connection.dialect.insert_many(connection, many_rows, rows)
        return [_INSERTED] * len(rows)
    found = connection.dialect.send_many(connection, many_rows, rows)
    return [writer.row_result(connection, count, returned[0] if returned else None) for count, returned in found]


def _write_in_parts(connection: Connection, writer: RowWriter, sql: str, rows: Sequence[Stored]) -> list[Written]:
    """Send the rows in several batches. The batch size is quartered after a refusal and doubled after a success.

    One bad row is thus isolated in few steps, and many bad rows cost no more than sending rows one by one.
    """
    written: list[Written] = []
    size = len(rows) // 4
    while len(written) < len(rows):
        part = rows[len(written) : len(written) + max(size, 1)]
        if len(part) == 1:
            written.append(_write_row(connection, writer, sql, part[0], guarded=True))
            size = 1 if written[-1].error else 2
            continue
        try:
            written += in_savepoint(connection, lambda part=part: _write_at_once(connection, writer, sql, part), _PART)  # type: ignore[misc]  # bound now
            size *= 2
        except KeysAmbiguous:
            size = 1
        except _errors(connection) as error:
            if not _is_refusal(connection, error):
                raise
            size //= 4
    return written


def _write_row(connection: Connection, writer: RowWriter, sql: str, row: Stored, *, guarded: bool) -> Written:
    try:
        if guarded:
            return in_savepoint(connection, lambda: writer.send(connection, sql, row), _PART)
        return writer.send(connection, sql, row)
    except _errors(connection) as error:
        writer.row_result(connection, 0, None)
        if not _is_refusal(connection, error):
            raise
        if isinstance(error, TooLarge):
            error.field = writer.field_at(error.position)
        return Written(Outcome.FAILED, error=error)


def _errors(connection: Connection) -> tuple[type[Exception], ...]:
    return (TooLarge, *connection.dialect.errors)


def _is_refusal(connection: Connection, error: Exception) -> bool:
    """Return whether an error concerns one row only, so that the connection can go on."""
    if isinstance(error, TooLarge):
        return True
    kind = connection.dialect.explain(error, None).kind
    return kind in (ErrorKind.UNIQUE, ErrorKind.NOT_NULL, ErrorKind.FOREIGN_KEY, ErrorKind.UNSTORABLE)
