"""Runs update and destroy actions: as one atomic statement if all steps allow it, else by compare and set on the record read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

from resourcekit.actions.casting import CastError
from resourcekit.actions.compiled_changes import CompiledChange, compile_change, is_compilable
from resourcekit.actions.computed import required_of
from resourcekit.actions.create import decorated, placed
from resourcekit.actions.lifecycle import run_lifecycle
from resourcekit.actions.notify import notifiers_of, notify_after_commit
from resourcekit.actions.read import read_named, shown_query
from resourcekit.actions.relating import is_plain, resolved_expression
from resourcekit.actions.runtime import Inputs, Runtime
from resourcekit.actions.steps import apply_atomic, apply_changes, apply_validations, as_change, as_validation
from resourcekit.actions.unchanged import can_compare, changes, holds_already
from resourcekit.call_context import Context
from resourcekit.changeset import NO_HOOKS, Changeset
from resourcekit.clock import utc_now
from resourcekit.data_layers.base import Capability, Delete, Plan, UnsupportedExpression, Update
from resourcekit.declarations.action import DestroyAction, UpdateAction
from resourcekit.declarations.change import AtomicChange
from resourcekit.declarations.managed import Manage
from resourcekit.declarations.validation import AtomicValidation
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, NotFound, StaleRecord
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Expression, Field, Now, Value, all_of
from resourcekit.expressions.query import Query
from resourcekit.expressions.rewriting import fields_of, has_fragment, is_constant, refers, with_fields
from resourcekit.expressions.shape import Shaper
from resourcekit.results import WriteResult

__all__ = ["ChangeRunner", "Target"]

_NOTHING: Mapping[str, Any] = {}


@attrs.frozen
class Target:
    """The record of one run.

    visible: the condition that a record must meet to be visible. is_read: the changeset has the record as it was read.
    unchanged: holds the record once it is known that nothing of it changes.
    """

    key: dict[str, Any]
    visible: Expression | None
    context: Context
    is_read: bool = False
    unchanged: list[Any] = attrs.field(factory=list)


class ChangeRunner:
    """An update or destroy action of one resource, compiled once.

    is_atomic: all its steps can be part of one statement, so no read is needed first.
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
        self._manages = any(isinstance(change, Manage) for change in action.changes)
        self.is_atomic = action.function is None
        self.is_atomic &= all(isinstance(step, AtomicChange) for step in action.changes)
        self.is_atomic &= all(isinstance(step, AtomicValidation) for step in action.validations)
        self.touches = {
            name: attribute.update_default_factory
            for name, attribute in info.attributes.items()
            if attribute.update_default_factory is not None
        }
        self.notifiers = notifiers_of(runtime, action.name)
        self.has_no_steps = not (action.changes or action.validations or action.function or self.notifiers)
        self._is_compilable = is_compilable(runtime, action) and read_named(runtime, action.finds_with).is_plain

    async def run(
        self, record_or_key: Any, given: Mapping[str, Any], context: Context, also: Mapping[str, Any] = _NOTHING
    ) -> Any:
        """Write to one record and return its new state; for a destroy, its last state.

        also: values that the program sets, besides the input.
        """
        if self._is_compilable and not also and (written := await self._write_usual(record_or_key, given, context)) is not None:
            return written
        changeset, key = self._bind(record_or_key, given)
        changeset = changeset.set(**also) if also else changeset
        given_record = record_or_key if self.runtime.is_record(record_or_key) else None
        target = Target(key, await self.visible(context), context)
        record = await self._run_one(attrs.evolve(changeset, record=given_record), target)
        if self.notifiers and not target.unchanged:
            await notify_after_commit(self.runtime.store, self.notifiers, self.runtime.resource, self.action, record, context)
        return record

    async def _write_usual(self, record_or_key: Any, given: Mapping[str, Any], context: Context) -> Any:
        """Write with the compiled statement of this action; ``None`` if the steps have to run, or to tell what is wrong."""
        runtime = self.runtime
        values: Mapping[str, Any] = _NOTHING
        names: tuple[str, ...] = ()
        if given:  # a compiled action has no arguments, so nothing has to be filled in for an empty input
            _, values, findings = self.inputs.bind(given)
            if findings:
                return None
            names = tuple(values)
        compiled = runtime.keep(("usual", self, names), self._compiled, names)
        if compiled is None or (compiled.tests and not compiled.passes(values)):
            return None
        try:
            params = {**compiled.constants, **runtime.key_params(record_or_key)}
            for name, param in compiled.given:
                params[param] = values[name]
            if compiled.made:
                compiled.add_made(params)
            result = await compiled.write(compiled.plan, params)
        except CastError:
            return None
        except Invalid as error:
            raise placed(error, runtime.info.name, self.action.name) from None
        if not result.count:
            return await self._after_nothing(record_or_key, given, context, is_compared=compiled.is_compared)
        record = runtime.record(result.rows[0])
        if self.notifiers:
            await notify_after_commit(runtime.store, self.notifiers, runtime.resource, self.action, record, context)
        return record

    def _compiled(self, names: tuple[str, ...]) -> CompiledChange | None:
        return compile_change(self.runtime, self.action, names, self.touches, is_notified=bool(self.notifiers))

    async def _after_nothing(self, record_or_key: Any, given: Mapping[str, Any], context: Context, *, is_compared: bool) -> Any:
        """Return the record if nothing of it was to change; ``None`` if it has to be written after all. Raise the reason else."""
        changeset, key = self._bind(record_or_key, given)
        changeset, target = await self.atomic(changeset, context), Target(key, None, context)
        if is_compared:
            await self._look(changeset, target)
            if target.unchanged:
                return target.unchanged[0] if holds_already(self.runtime, target.unchanged[0], changeset) else None
        raise await self._why_nothing(changeset, target)

    def _bind(self, record_or_key: Any, given: Mapping[str, Any]) -> tuple[Changeset, dict[str, Any]]:
        """Return the changeset and the parameters of the key. Raise Invalid with all findings, those of the key first."""
        try:
            key = self.runtime.key_params(record_or_key)
        except CastError as error:
            wrong = error.finding(self.runtime.key[0])
        else:
            return self.bind(given), key
        try:
            self.bind(given)
        except Invalid as others:
            raise self.invalid(wrong, *others.findings) from None
        raise self.invalid(wrong)

    def bind(self, given: Mapping[str, Any]) -> Changeset:
        """Return the changeset of an input. Raise Invalid with all findings."""
        arguments, values, findings = self.inputs.bind(given)
        if self._manages:
            findings += self.runtime.related_findings(self.action.changes, arguments, given, findings)
        if findings:
            raise self.invalid(*findings)
        kind: Literal["update", "destroy"] = "destroy" if self.removes else "update"
        where: dict[str, Any] = {"resource": self.runtime.resource, "action": self.action.name}
        return Changeset(kind, arguments, values, moment=utc_now(), **where)

    async def _run_one(self, changeset: Changeset, target: Target) -> Any:
        context = target.context
        reason = "a step of the action needs the record first"
        if self.is_atomic:
            try:
                ready = await self.atomic(changeset, context)
                if ready.hooks is not NO_HOOKS:
                    self.compiled(ready, target, None)  # raises before a hook runs, if the store cannot compute it
                return await self._lifecycle(ready, target)
            except UnsupportedExpression as error:
                reason = str(error)  # the store cannot compute it: read, compute here, and compare when writing
        record = changeset.record
        if record is None:
            record = await self.runtime.fetch(target.key, target.visible)
        if record is None:
            raise self._not_found()
        ready = await apply_changes(attrs.evolve(changeset, record=record), self._changes, context)
        for name, node in ready.atomics.items():
            if has_fragment(node):
                what = f"is computed by a fragment(...) inside of the statement, and that is not possible here: {reason}"
                cure = "compute it with methods of attributes, or in Python"
                raise InvalidArgument(FieldFinding(name, f"{what}; {cure}"), **self._place())
        findings = [*ready.findings, *await apply_validations(ready, self._validations, context)]
        if findings:
            raise self.invalid(*findings)
        return await self._lifecycle(ready.where(self.runtime.as_read(record)), attrs.evolve(target, is_read=True))

    async def _lifecycle(self, changeset: Changeset, target: Target) -> Any:
        async def write(final: Changeset) -> Any:
            return await self._write(self.runtime.computed(final) if target.is_read else final, target)

        async def read(ready: Changeset) -> Changeset:
            record = await self.runtime.fetch(target.key, target.visible, lock=True)
            if record is None:
                raise self._not_found()
            ready = attrs.evolve(ready, record=record)
            return ready if Capability.LOCK in store.capabilities else ready.where(self.runtime.as_read(record))

        store = self.runtime.store
        chosen = None if target.is_read else read
        return await run_lifecycle(store, changeset, target.context, write, transaction=self.action.transaction, read=chosen)

    async def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        """Return the changeset whose values, atomics and condition make one statement.

        Raise UnsupportedExpression if a statement cannot check all limits that the result must keep.
        """
        for change in self.action.changes:
            changeset = apply_atomic(changeset, change, context)
        if changeset.findings:
            raise self.invalid(*changeset.findings)
        constant = {name: node for name, node in changeset.atomics.items() if is_constant(node)}
        changeset = changeset.set(**{name: compile_expression(node)({}, {}, {}) for name, node in constant.items()})
        findings: list[FieldFinding] = []
        given = {**{name: Value(value) for name, value in changeset.values.items()}, **changeset.atomics}
        for validation in self.action.validations:
            rule = with_fields(validation.atomic(changeset, context), given)
            if fields_of(rule) or refers(rule):
                changeset = changeset.where(rule)
            elif not compile_expression(rule)({}, changeset.arguments, {}):
                found = await apply_validations(changeset, [as_validation(validation)], context)
                findings += found or [FieldFinding("", "is refused")]
        if findings and not (self._manages and changeset.hooks.before_action):
            raise self.invalid(*findings)
        for finding in findings:  # a hook of ``manage`` raises them, with those of the related records
            changeset = changeset.reject(finding.path, finding.message)
        changeset = await self._resolved(changeset)
        for name, expression in changeset.atomics.items():
            required = self._required(name, expression)
            changeset = changeset if required is None else changeset.where(required)
        return changeset

    def _required(self, name: str, expression: Expression) -> Expression | None:
        """Return the condition under which an attribute may hold a computed value; ``None`` if it always may."""
        runtime, attributes = self.runtime, self.runtime.info.attributes
        if name not in attributes or name in runtime.key:
            return None
        return required_of(attributes[name], runtime.casts[name], runtime.conditions.assigned(name, expression), attributes)

    async def refusals(self, changeset: Changeset, context: Context) -> list[FieldFinding]:
        """Return the findings of the validations on a changeset that has its record."""
        return await apply_validations(changeset, self._validations, context)

    async def visible(self, context: Context) -> Expression | None:
        """Return the condition of the action's read (the primary read by default); ``None`` if it shows every record."""
        read = read_named(self.runtime, self.action.finds_with)
        if read.is_plain:
            return None
        condition = (await read.prepare(Query(), {}, context)).condition
        return None if condition is None else self.runtime.conditions.condition(condition)

    async def _resolved(self, changeset: Changeset) -> Changeset:
        """Return a changeset whose expressions over related records the store can compute."""
        nodes = (changeset.condition, *changeset.atomics.values())
        if all(is_plain(self.runtime, node) for node in nodes):
            return changeset
        atomics = {name: await resolved_expression(self.runtime, node, shown_query) for name, node in changeset.atomics.items()}
        where = changeset.condition
        if where is not None and not is_plain(self.runtime, where):
            where = self.runtime.conditions.condition(await resolved_expression(self.runtime, where, shown_query))
        return attrs.evolve(changeset, atomics=atomics, condition=where)

    async def _write(self, changeset: Changeset, target: Target) -> Any:
        changeset = await self._resolved(changeset)
        try:
            result = await (self._delete if self.removes else self._update)(changeset, target)
        except Invalid as error:
            raise placed(error, self.runtime.info.name, self.action.name) from None
        if target.unchanged:
            return target.unchanged[0]
        if result.count == 0:
            raise await self._why_nothing(changeset, target)
        return self.runtime.record(result.rows[0])

    async def _delete(self, changeset: Changeset, target: Target) -> WriteResult:
        return await self.runtime.store.delete(*self.compiled(changeset, target, None))

    async def _update(self, changeset: Changeset, target: Target) -> WriteResult:
        """Write, unless nothing changes. If the record was not read and it matters, the statement compares."""
        names = {*changeset.values, *changeset.atomics}
        if not names or (target.is_read and holds_already(self.runtime, changeset.record, changeset)):
            return await self._look(changeset, target)
        if target.is_read or not (self.notifiers or self.touches):
            return await self._send(changeset, target, None)
        if not can_compare(self.runtime, names) and any(map(has_fragment, changeset.atomics.values())):
            return await self._send(changeset, target, None)
        if not can_compare(self.runtime, names):  # equal values may be spelled differently, which only a read finds
            found = await self._look(changeset, target)
            if not target.unchanged or holds_already(self.runtime, target.unchanged[0], changeset):
                return found
            target.unchanged.clear()
            return await self._send(changeset, target, None)
        try:
            result = await self._send(changeset, target, names)
        except UnsupportedExpression:
            return await self._send(changeset, target, None)
        if result.count:
            return result
        found = await self._look(changeset, target)
        if target.unchanged and not holds_already(self.runtime, target.unchanged[0], changeset):
            target.unchanged.clear()  # another caller wrote in between
            return await self._send(changeset, target, None)
        return found

    async def _look(self, changeset: Changeset, target: Target) -> WriteResult:
        """Read the record instead of a write that would change nothing."""
        record = await self.runtime.fetch(target.key, all_of(target.visible, changeset.condition))
        target.unchanged.extend([] if record is None else [record])
        return WriteResult(0)

    async def _send(self, changeset: Changeset, target: Target, compared: Collection[str] | None) -> WriteResult:
        """Run the statement. compared: attributes of which at least one must change; ``None`` to write in any case."""
        return await self.runtime.store.update(*self.compiled(changeset, target, compared))

    def compiled(self, changeset: Changeset, target: Target, compared: Collection[str] | None) -> tuple[Plan, dict[str, Any]]:
        """Return the plan of the statement and its parameters. Raise UnsupportedExpression if the store cannot compute it."""
        shaper = Shaper()
        extra, shape = shaper.shape(all_of(target.visible, changeset.condition))
        if self.removes:
            plan = self.runtime.plan(("delete", shape), lambda: Delete(all_of(self.runtime.by_key, extra), returning=True))
            return plan, {**target.key, **shaper.params}
        assignments, names = self.assignments(changeset, shaper)
        whole = all_of(self.runtime.by_key, extra)
        if compared is not None:
            whole = all_of(whole, changes({name: assignments[name] for name in sorted(compared)}))
        key = ("update", shape, names, compared is None)
        plan = self.runtime.plan(key, lambda: Update(whole, assignments, returning=True))
        return plan, {**target.key, **shaper.params}

    def assignments(self, changeset: Changeset, shaper: Shaper) -> tuple[dict[str, Expression], object]:
        """Return the expressions by attribute, and the key of their shape. Raise Invalid with all findings."""
        found: dict[str, Expression] = {}
        shapes: list[tuple[str, object]] = []
        findings: list[FieldFinding] = []
        values = {**self._touched(changeset), **changeset.values}
        for name, value in {**values, **changeset.atomics}.items():
            if name not in self.runtime.casts or name in self.runtime.key or name in self.runtime.read_only:
                findings.append(FieldFinding(name, "is no attribute that an update can write"))
            elif name in changeset.atomics:
                found[name], shape = shaper.shape(self.runtime.conditions.assigned(name, changeset.atomics[name]))
                shapes.append((name, shape))
            else:
                # One shape for None and for values, unlike in a filter: an assignment has the same meaning for both.
                found[name] = shaper.place(self._cast(name, value, findings, changeset.moment))
                shapes.append((name, "?"))
        if findings:
            raise self.invalid(*findings)
        if not found:  # a bulk update without values: records are counted by assigning an attribute to itself
            fixed = {*self.runtime.key, *self.runtime.read_only}
            first = next((name for name in self.runtime.fields if name not in fixed), self.runtime.key[0])
            found[first], shapes = Field(first), [(first, "same")]
        return found, tuple(shapes)

    def _cast(self, name: str, value: object, findings: list[FieldFinding], moment: datetime | None = None) -> Any:
        try:
            return self.runtime.casts[name](value.at(moment or utc_now()) if isinstance(value, Now) else value)
        except CastError as error:
            findings += error.findings(name)
            return None

    def _touched(self, changeset: Changeset) -> dict[str, Any]:
        attributes, moment = self.runtime.info.attributes.values(), changeset.moment
        return {
            attribute.name: moment
            if moment and attribute.update_default_factory is utc_now
            else attribute.update_default_factory()
            for attribute in attributes
            if attribute.update_default_factory is not None and attribute.name not in changeset.atomics
        }

    async def _why_nothing(self, changeset: Changeset, target: Target) -> Exception:
        """Find the reason why no record was written: it is gone, a rule refused it, or another caller changed it."""
        record = await self.runtime.fetch(target.key, target.visible)
        if record is None:
            return self._not_found()
        tried = attrs.evolve(changeset, record=record)
        findings = await apply_validations(tried, self._validations, target.context)
        for name, node in changeset.atomics.items():
            if not has_fragment(node):
                self._cast(name, tried.get(name), findings)
            elif (required := self._required(name, node)) is not None and (
                await self.runtime.fetch(target.key, all_of(target.visible, required)) is None
            ):
                findings.append(FieldFinding(name, "is computed by a fragment(...), and its limits do not let that value pass"))
        if findings:
            return self.invalid(*findings)
        return StaleRecord("the record was changed by another writer; read it again and repeat", **self._place())

    def invalid(self, *findings: FieldFinding) -> Invalid:
        """Return an Invalid error of this action."""
        return Invalid(findings, **self._place())

    def _not_found(self) -> NotFound:
        return NotFound("there is no record with this key", **self._place())

    def _place(self) -> dict[str, str]:
        return {"resource": self.runtime.info.name, "action": self.action.name}
