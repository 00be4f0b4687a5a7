"""Runs update and destroy actions: in one atomic statement where all steps can, else by comparing what was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from resourcekit.data_layers.base import Delete, UnsupportedExpression, Update
from resourcekit.declarations.action import DestroyAction, UpdateAction
from resourcekit.declarations.attribute import Constraints
from resourcekit.declarations.change import AtomicChange
from resourcekit.declarations.validation import AtomicValidation
from resourcekit.engine.around import run_around
from resourcekit.engine.casting import CastError
from resourcekit.engine.create import decorated, placed
from resourcekit.engine.inputs import Inputs
from resourcekit.engine.notify import notify_after_commit
from resourcekit.engine.read import read_named
from resourcekit.engine.runtime import Runtime
from resourcekit.engine.steps import apply_changes, apply_validations, as_change, as_validation
from resourcekit.errors import FieldFinding, Invalid, NotFound, StaleRecord
from resourcekit.flow.changeset import Changeset
from resourcekit.flow.clock import utc_now
from resourcekit.flow.context import Context
from resourcekit.flow.evaluation import compile_expression
from resourcekit.flow.expression import Compare, Expression, Field, Now, Value, all_of
from resourcekit.flow.query import Query
from resourcekit.flow.rewriting import fields_of, with_fields
from resourcekit.flow.shape import Shaper

__all__ = ["ChangeRunner"]


@attrs.frozen
class _Target:
    """The record of one run. visible: what must hold of it to be seen; is_read: the changeset has the record as it was read."""

    key: dict[str, Any]
    visible: Expression | None
    context: Context
    is_read: bool = False


class ChangeRunner:
    """An update or destroy action of one resource, compiled once.

    is_atomic: all its steps can be part of one statement, so that nothing need be read first.
    """

    def __init__(self, runtime: Runtime, action: UpdateAction | DestroyAction) -> None:
        self.runtime, self.action = runtime, action
        info = runtime.info
        self.removes = isinstance(action, DestroyAction) and not action.soft
        self.inputs = Inputs(action.arguments.values(), [info.attributes[name] for name in action.accept])
        self._changes = [as_change(change) for change in action.changes]
        if action.function is not None:
            self._changes.append(decorated(runtime, action))
        self._validations = [as_validation(validation) for validation in action.validations]
        self.is_atomic = action.function is None and not (self.removes and action.changes)
        self.is_atomic &= all(isinstance(step, AtomicChange) for step in action.changes)
        self.is_atomic &= all(isinstance(step, AtomicValidation) for step in action.validations)
        self.notifiers = (*(info.options.get("notifiers") or ()), *action.notifiers)  # type: ignore[misc]  # a sequence

    async def run(self, record_or_key: Any, given: Mapping[str, Any], context: Context) -> Any:
        """Write to one record and return it, as it is then (for a destroy: as it was)."""
        changeset = self.bind(given)
        try:
            key = self.runtime.key_params(record_or_key)
        except CastError as error:
            raise self.invalid(error.finding(self.runtime.key[0])) from None
        given_record = record_or_key if self.runtime.is_record(record_or_key) else None
        record = await self._run_one(attrs.evolve(changeset, record=given_record), key, context)
        if self.notifiers:
            await notify_after_commit(self.runtime.store, self.notifiers, self.runtime.resource, self.action, record, context)
        return record

    def bind(self, given: Mapping[str, Any]) -> Changeset:
        """Return the changeset of an input. Raises Invalid with all that is wrong."""
        arguments, values, findings = self.inputs.bind(given)
        if findings:
            raise self.invalid(*findings)
        kind: Literal["update", "destroy"] = "destroy" if self.removes else "update"
        return Changeset(kind, arguments, values)

    async def _run_one(self, changeset: Changeset, key: dict[str, Any], context: Context) -> Any:
        target = _Target(key, await self.visible(context), context)
        if self.is_atomic:
            try:
                return await self._around(await self.atomic(changeset, context), target)
            except UnsupportedExpression:
                pass  # the store cannot compute it: read, compute here, and compare when writing
        record = changeset.record
        if record is None:
            record = await self.runtime.fetch(key, target.visible)
        if record is None:
            raise self._not_found()
        ready = await apply_changes(attrs.evolve(changeset, record=record), self._changes, context)
        findings = [*ready.findings, *await apply_validations(ready, self._validations, context)]
        if findings:
            raise self.invalid(*findings)
        return await self._around(ready.where(self._as_read(record)), attrs.evolve(target, is_read=True))

    async def _around(self, changeset: Changeset, target: _Target) -> Any:
        async def write(final: Changeset) -> Any:
            return await self._write(final.computed() if target.is_read else final, target)

        return await run_around(self.runtime.store, changeset, target.context, write, transaction=self.action.transaction)

    async def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        """Return the changeset whose values, atomics and condition make one statement.

        Raises UnsupportedExpression where a statement cannot see to all that the result must keep.
        """
        for change in self.action.changes:
            written = change.atomic(changeset, context)
            computed = {
                name: value for name, value in written.items() if isinstance(value, Expression) and not isinstance(value, Now)
            }
            plain = {name: value for name, value in written.items() if name not in computed}
            changeset = changeset.set_atomic(**computed) if computed else changeset
            changeset = changeset.set(**plain) if plain else changeset
        given = {**{name: Value(value) for name, value in changeset.values.items()}, **changeset.atomics}
        for validation in self.action.validations:
            rule = with_fields(validation.atomic(changeset, context), given)
            if fields_of(rule):
                changeset = changeset.where(rule)
            elif not compile_expression(rule)({}, changeset.arguments, {}):
                found = await apply_validations(changeset, [as_validation(validation)], context)
                raise self.invalid(*(found or [FieldFinding("", "is refused")]))
        for name, expression in changeset.atomics.items():
            for bound in self._bounds(name, expression):
                changeset = changeset.where(bound | expression.is_none())
        return changeset

    def _bounds(self, name: str, value: Expression) -> list[Expression]:
        """Return what a computed value must keep, so that the statement itself sees to it."""
        attribute = self.runtime.info.attributes.get(name)
        limits = Constraints() if attribute is None else attribute.constraints
        if (limits.min_length, limits.max_length, limits.match) != (None, None, None):
            raise UnsupportedExpression("a statement does not see to the length or the form of what it computes")
        return [
            *([] if limits.minimum is None else [value >= limits.minimum]),
            *([] if limits.maximum is None else [value <= limits.maximum]),
        ]

    async def visible(self, context: Context) -> Expression | None:
        """Return what the action's read (the primary one unless it names one) lets be seen; ``None`` for everything."""
        read = read_named(self.runtime, self.action.finds_with)
        if read.is_plain:
            return None
        condition = (await read.prepare(Query(), {}, context)).condition
        return None if condition is None else self.runtime.conditions.condition(condition)

    def _as_read(self, record: Any) -> Expression:
        """Require of the stored record all that was read, so that nobody's write in between is lost."""
        others = [name for name in self.runtime.fields if name not in self.runtime.key]
        return all_of(*(Compare("==", Field(name), Value(getattr(record, name))) for name in others))

    async def _write(self, changeset: Changeset, target: _Target) -> Any:
        condition, key = all_of(target.visible, changeset.condition), target.key
        shaper = Shaper()
        extra, shape = shaper.shape(condition)
        whole = all_of(self.runtime.by_key, extra)
        if self.removes:
            plan = self.runtime.plan(("delete", shape), lambda: Delete(whole, returning=True))
            result = await self.runtime.store.delete(plan, {**key, **shaper.params})
        else:
            assignments, names = self.assignments(changeset, shaper)
            plan = self.runtime.plan(("update", shape, names), lambda: Update(whole, assignments, returning=True))
            try:
                result = await self.runtime.store.update(plan, {**key, **shaper.params})
            except Invalid as error:
                raise placed(error, self.runtime.info.name, self.action.name) from None
        if result.count == 0:
            raise await self._why_nothing(changeset, target)
        return self.runtime.record(result.rows[0])

    def assignments(self, changeset: Changeset, shaper: Shaper) -> tuple[dict[str, Expression], object]:
        """Return attribute to expression, and the key of their shape. Raises Invalid with all that is wrong."""
        found: dict[str, Expression] = {}
        shapes: list[tuple[str, object]] = []
        findings: list[FieldFinding] = []
        values = {**self._touched(changeset), **changeset.values}
        for name, value in {**values, **changeset.atomics}.items():
            if name not in self.runtime.casts or name in self.runtime.key:
                findings.append(FieldFinding(name, "is no attribute that an update can write"))
            elif name in changeset.atomics:
                found[name], shape = shaper.shape(self.runtime.conditions.assigned(name, changeset.atomics[name]))
                shapes.append((name, shape))
            else:
                # One shape for None and for values, unlike in a filter: an assignment means the same for both.
                found[name] = shaper.place(self._cast(name, value, findings))
                shapes.append((name, "?"))
        if findings:
            raise self.invalid(*findings)
        if not found:  # nothing to write: the record is still looked for, and its condition checked
            first = next((name for name in self.runtime.fields if name not in self.runtime.key), self.runtime.key[0])
            found[first], shapes = Field(first), [(first, "same")]
        return found, tuple(shapes)

    def _cast(self, name: str, value: object, findings: list[FieldFinding]) -> Any:
        try:
            return self.runtime.casts[name](utc_now() if isinstance(value, Now) else value)
        except CastError as error:
            findings.append(error.finding(name))
            return None

    def _touched(self, changeset: Changeset) -> dict[str, Any]:
        attributes = self.runtime.info.attributes.values()
        return {
            attribute.name: attribute.update_default_factory()
            for attribute in attributes
            if attribute.update_default_factory is not None and attribute.name not in changeset.atomics
        }

    async def _why_nothing(self, changeset: Changeset, target: _Target) -> Exception:
        """Find out why no record was written: gone, refused by a rule, or changed by somebody else."""
        record = await self.runtime.fetch(target.key, target.visible)
        if record is None:
            return self._not_found()
        tried = attrs.evolve(changeset, record=record)
        findings = await apply_validations(tried, self._validations, target.context)
        for name in changeset.atomics:
            self._cast(name, tried.get(name), findings)
        if findings:
            return self.invalid(*findings)
        return StaleRecord(
            "the record was changed by somebody else; read it again and repeat",
            resource=self.runtime.info.name,
            action=self.action.name,
        )

    def invalid(self, *findings: FieldFinding) -> Invalid:
        """Return an Invalid of this action."""
        return Invalid(findings, resource=self.runtime.info.name, action=self.action.name)

    def _not_found(self) -> NotFound:
        return NotFound("there is no record with this key", resource=self.runtime.info.name, action=self.action.name)
