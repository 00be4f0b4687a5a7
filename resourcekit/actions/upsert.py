"""Writes one row of an upsert: inserts it, or updates the existing record if the action may write to it.

All conditions of the update (the primary read, the condition of the upsert, the limits of computed values) are part of the
statement. If a store cannot check one of them in its statement, the values are computed here and written by compare and set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import attrs

from resourcekit.actions.casting import CastError
from resourcekit.actions.computed import is_chosen, required_of
from resourcekit.actions.loading import MOST_KEYS, padded
from resourcekit.actions.notify import notifiers_of
from resourcekit.actions.read import primary_read
from resourcekit.actions.runtime import Runtime
from resourcekit.actions.steps import Step, apply_validations, is_late, known
from resourcekit.actions.unchanged import can_compare, changes
from resourcekit.call_context import Context
from resourcekit.changeset import Changeset
from resourcekit.clock import utc_now
from resourcekit.data_layers.base import Capability, Insert, OnConflict, Plan, Row, Select, UnsupportedExpression, Update
from resourcekit.declarations.action import CreateAction, Upsert
from resourcekit.declarations.validation import AtomicValidation
from resourcekit.errors import FieldFinding, Invalid, StaleRecord, UniqueViolation
from resourcekit.expressions.evaluation import compile_expression, same
from resourcekit.expressions.nodes import Case, Compare, Existing, Expression, Field, In, Incoming, Param, all_of
from resourcekit.expressions.query import Query
from resourcekit.expressions.rewriting import fields_of, with_fields
from resourcekit.expressions.shape import Shaper
from resourcekit.results import Outcome, WriteResult

__all__ = ["Done", "Planned", "Upserts"]

_TOUCHED = "touched "
"""Begins the names of the parameters with the times of an update. No other parameter has such a name."""

_KEYS = "keys of the batch"
"""The parameter with the keys of the rows of a batch."""

_ATTEMPTS = 100
"""Attempts of one upsert against concurrent writes to the same record, before it raises StaleRecord."""


class Planned(NamedTuple):
    """The plan of an insert and the parameters of its conflict clause.

    plan: ``None`` if no statement of the store expresses the clause.
    is_open: a row that the store skips may have to be refused, or may be as it should be already.
    """

    plan: Plan | None
    params: Mapping[str, Any]
    is_open: bool = False


class Done(NamedTuple):
    """The result of one row. is_changed: something was written."""

    record: Any
    outcome: Outcome
    is_changed: bool = True


class _Conflict(NamedTuple):
    """The values that are written to an existing record, and the declared condition for that."""

    assignments: Mapping[str, Expression]
    when: Expression | None

    @property
    def written(self) -> dict[str, Expression]:
        """The assignments without those of the time of the update, which alone are no change."""
        return {name: node for name, node in self.assignments.items() if not _is_touch(node)}

    @property
    def computed(self) -> dict[str, Expression]:
        """The assignments whose values were neither given nor stored before."""
        return {name: node for name, node in self.assignments.items() if not is_chosen(name, node)}


class Upserts:
    """The upsert of one create action, compiled once."""

    def __init__(self, runtime: Runtime, action: CreateAction, upsert: Upsert, validations: Sequence[Step]) -> None:
        self._runtime, self._action, self._upsert, self._validations = runtime, action, upsert, validations
        info = runtime.info
        self._attributes = info.attributes
        self._target = info.primary_key if upsert.identity is None else info.identities[upsert.identity].fields
        self._touches = {
            name: (f"{_TOUCHED}{position}", attribute.update_default_factory)
            for position, (name, attribute) in enumerate(info.attributes.items())
            if attribute.update_default_factory is not None
        }
        declared = [*(upsert.set or {}).values(), *([] if upsert.where is None else [upsert.where])]
        self._is_static = not action.validations and not any(map(is_late, declared))
        self._is_notified = bool(notifiers_of(runtime, action.name))
        self._place = {"resource": info.name, "action": action.name}

    async def visible(self, context: Context) -> Expression | None:
        """Return the condition of the primary read, which a record must meet to be updated; ``None`` for no condition."""
        read = primary_read(self._runtime)
        if self._upsert.ignores_read or read.is_plain:
            return None
        condition = (await read.prepare(Query(), {}, context)).condition
        return None if condition is None else self._runtime.conditions.condition(condition)

    def plan(self, changeset: Changeset, visible: Expression | None, context: Context) -> Planned:
        """Return the plan for a changeset."""
        if changeset.atomics or visible is not None or not self._is_static:
            planned = self._plan(changeset, visible, context)
        else:  # the plan depends only on the names of the given values
            key = (self, frozenset(changeset.values))
            planned = self._runtime.keep(key, self._plan, changeset, None, context)
        if not self._touches:
            return planned
        return planned._replace(params={**planned.params, **self._touched(changeset)})

    async def usual_plan(self, changeset: Changeset, context: Context, *, returning: bool) -> Planned | None:
        """Return the plan for all inputs that give the same attributes; ``None`` if each row may need something else.

        returning: the result needs the rows.
        """
        if not self._is_static or self.is_compared(changeset) or await self.visible(context) is not None:
            return None
        planned = self.plan(changeset, None, context)
        if planned.plan is None or planned.is_open:
            return None
        return planned if returning else planned._replace(plan=self._without_rows(planned.plan))

    def _without_rows(self, plan: Plan) -> Plan:
        assert isinstance(plan.operation, Insert)
        return self._runtime.keep(
            (self, "without rows", plan), self._runtime.store.compile, attrs.evolve(plan.operation, returning=False)
        )

    async def write(self, changeset: Changeset, row: Row, context: Context, *, may_skip: bool) -> Done:
        """Write a row and return the record with its outcome.

        Raise Invalid for a value that the record cannot hold, UniqueViolation for a record that the primary read hides, and
        StaleRecord for one that the condition of the upsert excludes, unless ``may_skip``.
        """
        visible, store = await self.visible(context), self._runtime.store
        conflict = self._conflict_to_compare(changeset)
        if conflict is not None:
            there = await self._existing(row, visible)  # equal values may be spelled differently, which only a read finds
            if there is not None and (done := await self._unchanged(conflict, there, changeset, row, context)):
                return done
        for _ in range(_ATTEMPTS):
            planned = self.plan(changeset, visible, context)
            plan = planned.plan or self._insert_or_skip(changeset)
            result = await store.insert(plan, [row], planned.params)
            if result.failures:
                raise self._placed(result.failures[0].error)
            if result.outcomes[0] is not Outcome.SKIPPED:
                return Done(self._runtime.record(result.rows[0]), result.outcomes[0])
            there = await self._existing(row, visible)
            done = None if there is None else await self._go_after(there, changeset, row, context, planned, may_skip=may_skip)
            if done is not None:
                return done
        raise self._stale()

    def is_compared(self, changeset: Changeset) -> bool:
        """Return whether only a read of the existing record finds out whether anything changes."""
        return self._conflict_to_compare(changeset) is not None

    async def unchanged(
        self, rows: Sequence[tuple[Changeset | None, Row]], visible: Expression | None, context: Context
    ) -> dict[int, Any]:
        """Return the existing records that already have all values of these rows, by position of the row.

        Only the first row of a record is compared: what the others would find depends on it. A row without a changeset is not compared.
        """
        first: dict[tuple[Any, ...], int] = {}
        for position, (_, row) in enumerate(rows):
            first.setdefault(tuple(row[name] for name in self._target), position)
        found: dict[int, Any] = {}
        for key, there in (await self._all_existing(list(first), visible)).items():
            position = first[key]
            changeset, row = rows[position]
            conflict = None if changeset is None else self._conflict_to_compare(changeset)
            if changeset is not None and conflict is not None and await self._unchanged(conflict, there, changeset, row, context):
                found[position] = there
        return found

    # The statement

    def _plan(self, changeset: Changeset, visible: Expression | None, context: Context) -> Planned:
        conflict = self._conflict(changeset)
        if self._is_watched(conflict):
            if can_compare(self._runtime, conflict.written):
                planned = self._statement(changeset, conflict, visible, context, changes(conflict.written, Existing))
                if planned.plan is not None:
                    return planned
            differs = changes(conflict.written, Existing)
            touched = {
                name: Case(differs, node, Existing(name)) for name, node in conflict.assignments.items() if _is_touch(node)
            }
            planned = self._statement(
                changeset, conflict._replace(assignments={**conflict.assignments, **touched}), visible, context
            )
            if planned.plan is not None:
                return planned
        return self._statement(changeset, conflict, visible, context)

    def _is_watched(self, conflict: _Conflict) -> bool:
        """Return whether it matters that an upsert changes nothing: a notifier would get it, or a time would be written."""
        return bool(conflict.written) and (self._is_notified or len(conflict.written) < len(conflict.assignments))

    def _statement(
        self,
        changeset: Changeset,
        conflict: _Conflict,
        visible: Expression | None,
        context: Context,
        differs: Expression | None = None,
    ) -> Planned:
        shaper = Shaper()
        try:
            required = [*self._required(changeset, conflict, context)]
            if visible is not None:
                required.append(with_fields(visible, {name: Existing(name) for name in self._attributes}))
            required += [] if differs is None else [differs]
            parts = [*required, *([] if conflict.when is None else [conflict.when])]
            if required and Capability.UPSERT_WHERE not in self._runtime.store.capabilities:
                return Planned(None, {}, is_open=True)
            shaped = {name: shaper.shape(expression) for name, expression in conflict.assignments.items()}
            where = shaper.shape(all_of(*parts)) if parts else (None, None)
            fields = self._runtime.inserted_by(changeset)
            key = ("upsert", self._target, tuple((name, shape) for name, (_, shape) in shaped.items()), where[1], fields)
            clause = OnConflict(
                self._target, "update" if shaped else "skip", {name: node for name, (node, _) in shaped.items()}, where[0]
            )
            plan = self._runtime.plan(key, lambda: Insert(fields, clause))
        except UnsupportedExpression:
            return Planned(None, {}, is_open=True)
        return Planned(plan, shaper.params, is_open=bool(required))

    def _insert_or_skip(self, changeset: Changeset) -> Plan:
        clause, fields = OnConflict(self._target, "skip"), self._runtime.inserted_by(changeset)
        return self._runtime.plan(("upsert", self._target, (), None, fields), lambda: Insert(fields, clause))

    def _touched(self, changeset: Changeset) -> dict[str, Any]:
        moment = changeset.moment or utc_now()
        return {param: moment if touch is utc_now else touch() for param, touch in self._touches.values()}

    def _conflict_to_compare(self, changeset: Changeset) -> _Conflict | None:
        """Return the conflict if only a read of the record finds out whether anything changes; else ``None``."""
        if changeset.atomics or not self._is_static:
            return self._compared(changeset)
        return self._runtime.keep((self, "compared", frozenset(changeset.values)), self._compared, changeset)

    def _compared(self, changeset: Changeset) -> _Conflict | None:
        conflict = self._conflict(changeset)
        return conflict if self._is_watched(conflict) and not can_compare(self._runtime, conflict.written) else None

    def _conflict(self, changeset: Changeset) -> _Conflict:
        upsert, assigned = self._upsert, self._runtime.conditions.assigned
        came = self._given(changeset)
        when = None if upsert.where is None else self._runtime.conditions.condition(known(upsert.where, changeset))
        if upsert.set is None:
            return _Conflict(came, when)
        declared = {name: assigned(name, known(node, changeset)) for name, node in upsert.set.items()}
        return _Conflict({**{name: came[name] for name in upsert.given if name in came}, **declared}, when)

    def _given(self, changeset: Changeset) -> dict[str, Expression]:
        """Return the assignments for an existing record: given values, and computed values that start from the stored record."""
        stored = {name: Existing(name) for name in self._attributes}
        touched = {name: Param(param) for name, (param, _) in self._touches.items()}
        came = {name: Incoming(name) for name in changeset.values}
        computed = {
            name: with_fields(self._runtime.conditions.assigned(name, expression), stored)
            for name, expression in changeset.atomics.items()
        }
        kept = {*self._target, *self._runtime.key}
        written: dict[str, Expression] = {**touched, **came, **computed} if {*came, *computed} - kept else {}
        return {name: written[name] for name in sorted(written.keys() - kept)}

    def _required(self, changeset: Changeset, conflict: _Conflict, context: Context) -> list[Expression]:
        """Return the conditions for the computed values: limits of attributes, and validations that read them.

        Raise UnsupportedExpression if a rule has no form that a statement could check.
        """
        computed, attributes, rules = conflict.computed, self._attributes, list[Expression]()
        for name, node in computed.items():
            rule = required_of(attributes[name], self._runtime.casts[name], node, attributes)
            rules += [] if rule is None else [rule]
        if not computed:
            return rules
        after: dict[str, Expression] = {**{name: Existing(name) for name in attributes}, **conflict.assignments}
        for validation in self._action.validations:
            if isinstance(validation, AtomicValidation):
                rule = validation.atomic(changeset, context)
                rules += [with_fields(rule, after)] if fields_of(rule) & computed.keys() else []
                continue
            reads = frozenset().union(*map(fields_of, getattr(validation, "reads", ())))
            if not reads or reads & computed.keys():
                raise UnsupportedExpression("a validation has no atomic form")
        return rules

    # The existing record

    async def _existing(self, row: Row, visible: Expression | None) -> Any:
        """Return the existing record, or ``None`` if it is gone. Raise UniqueViolation if the primary read hides it."""
        target, shaper = self._target, Shaper()
        condition = all_of(*(Compare("==", Field(name), Param(name)) for name in target))
        extra, shape = (None, None) if visible is None else shaper.shape(visible)
        params = {**{name: row[name] for name in target}, **shaper.params}
        plan = self._runtime.plan(("existing", target, shape), lambda: Select(all_of(condition, extra)))
        if rows := await self._runtime.store.select(plan, params):
            return self._runtime.record(rows[0])
        if visible is None:
            return None
        plan = self._runtime.plan(("existing", target, None), lambda: Select(condition))
        if await self._runtime.store.select(plan, params):
            raise UniqueViolation(self._upsert.identity or "primary_key", target, **self._place)
        return None

    async def _all_existing(self, keys: Sequence[tuple[Any, ...]], visible: Expression | None) -> dict[tuple[Any, ...], Any]:
        """Return the existing records that the primary read shows, by the values of the target."""
        target, found, shaper = self._target, dict[tuple[Any, ...], Any](), Shaper()
        extra, shape = (None, None) if visible is None else shaper.shape(visible)
        one_by_one = all_of(*(Compare("==", Field(name), Param(name)) for name in target))
        condition = In(Field(target[0]), Param(_KEYS)) if len(target) == 1 else one_by_one
        plan = self._runtime.plan(("all existing", target, shape), lambda: Select(all_of(condition, extra)))
        if len(target) == 1:
            parts = [keys[start : start + MOST_KEYS] for start in range(0, len(keys), MOST_KEYS)]
            asked: list[dict[str, Any]] = [{_KEYS: padded(part)} for part in parts]
        else:
            asked = [dict(zip(target, key, strict=True)) for key in keys]
        for params in asked:
            for row in await self._runtime.store.select(plan, {**shaper.params, **params}):
                found[tuple(row[name] for name in target)] = self._runtime.record(row)
        return found

    async def _go_after(
        self, there: Any, changeset: Changeset, row: Row, context: Context, planned: Planned, *, may_skip: bool
    ) -> Done | None:
        """Find the reason why a record was not written, and write to it if no statement could. Return ``None`` if it changed
        meanwhile.
        """
        conflict, stored, touched = self._conflict(changeset), vars(there), self._touched(changeset)
        if not conflict.assignments:
            return Done(there, Outcome.SKIPPED, is_changed=False)
        if conflict.when is not None and not compile_expression(conflict.when)(stored, touched, row):
            if may_skip:
                return Done(there, Outcome.SKIPPED, is_changed=False)
            raise self._stale()
        if not planned.is_open:
            return None
        values, findings = await self._values(conflict, there, changeset, row, context)
        if findings:
            raise Invalid(findings, **self._place)
        if self._is_watched(conflict) and all(same(values[name], stored[name]) for name in conflict.written):
            return Done(there, Outcome.UPDATED, is_changed=False)
        return None if planned.plan is not None else await self._compare_and_set(there, values)

    async def _values(
        self, conflict: _Conflict, there: Any, changeset: Changeset, row: Row, context: Context
    ) -> tuple[dict[str, Any], list[FieldFinding]]:
        """Return the values that would be written to a record, and their findings."""
        values: dict[str, Any] = {}
        findings: list[FieldFinding] = []
        touched = self._touched(changeset)
        for name, node in conflict.assignments.items():
            try:
                values[name] = self._runtime.casts[name](compile_expression(node)(vars(there), touched, row))
            except CastError as error:
                findings += error.findings(name)
            except OverflowError:
                findings.append(FieldFinding(name, "is too large"))
        if conflict.computed and not findings:
            tried = attrs.evolve(changeset, record=there, values={**changeset.values, **values}, atomics={}, findings=())
            findings += await apply_validations(tried, self._validations, context)
        return values, findings

    async def _unchanged(self, conflict: _Conflict, there: Any, changeset: Changeset, row: Row, context: Context) -> Done | None:
        """Return the result if a record has all values already, in the same spelling; else ``None``."""
        if conflict.when is not None and not compile_expression(conflict.when)(vars(there), self._touched(changeset), row):
            return None
        values, findings = await self._values(conflict, there, changeset, row, context)
        if findings or any(repr(values[name]) != repr(vars(there)[name]) for name in conflict.written):
            return None
        return Done(there, Outcome.UPDATED, is_changed=False)

    async def _compare_and_set(self, there: Any, values: Mapping[str, Any]) -> Done | None:
        """Write values to a record if it is still as it was read."""
        runtime, shaper = self._runtime, Shaper()
        read, shape = shaper.shape(runtime.as_read(there))
        assignments = {name: shaper.place(value) for name, value in values.items()}
        plan = runtime.plan(
            ("compare and set", shape, tuple(values)),
            lambda: Update(all_of(runtime.by_key, read), assignments, returning=True),
        )
        try:
            result: WriteResult = await runtime.store.update(plan, {**runtime.key_params(there), **shaper.params})
        except Invalid as error:
            raise self._placed(error) from None
        return Done(runtime.record(result.rows[0]), Outcome.UPDATED) if result.count else None

    def _placed(self, error: Exception) -> Exception:
        if isinstance(error, Invalid):
            error.resource, error.action = self._place["resource"], self._place["action"]
        return error

    def _stale(self) -> StaleRecord:
        return StaleRecord("the record that is there is not one that this upsert may write to", **self._place)


def _is_touch(node: Expression) -> bool:
    return isinstance(node, Param) and node.name.startswith(_TOUCHED)
