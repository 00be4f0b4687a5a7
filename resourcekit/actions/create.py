"""Runs create actions: input, changeset, changes, defaults, validations, one insert."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from resourcekit.actions.casting import CastError
from resourcekit.actions.compiled_rows import compile_row
from resourcekit.actions.filled_inserts import insert_each
from resourcekit.actions.lifecycle import run_lifecycle
from resourcekit.actions.notify import notifiers_of, notify_after_commit
from resourcekit.actions.runtime import Inputs, Runtime
from resourcekit.actions.steps import apply_changes, apply_validations, as_change, as_validation
from resourcekit.actions.upsert import Done, Planned, Upserts
from resourcekit.call_context import Context
from resourcekit.changeset import NO_HOOKS, Changeset
from resourcekit.clock import utc_now
from resourcekit.data_layers.base import Insert, Plan, Row, Store
from resourcekit.declarations.action import CreateAction
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.change import Change
from resourcekit.declarations.managed import Manage, RelatedStep
from resourcekit.dsl.option import MISSING
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.expressions.nodes import Expression, Now
from resourcekit.results import WriteResult, Written

__all__ = ["CreateRunner"]

_NOTHING: Mapping[str, Any] = {}

_Input = tuple[dict[str, Any], dict[str, Any], dict[str, Any], datetime | None]
"""Arguments, values, defaults and the time of an action."""


class CreateRunner:
    """A create action of one resource, compiled once."""

    def __init__(self, runtime: Runtime, action: CreateAction) -> None:
        self.runtime, self.action = runtime, action
        info = runtime.info
        self._attributes = info.attributes
        self._inputs = Inputs(action.arguments.values(), [info.attributes[name] for name in action.accept])
        self.changes = [as_change(change) for change in action.changes]
        if action.function is not None:
            self.changes.append(decorated(runtime, action))
        self._defaults = {
            name: _default_of(attribute)
            for name, attribute in info.attributes.items()
            if attribute.default_factory is not None or isinstance(attribute.default, Now)
        }
        self._constants = {
            name: attribute.default
            for name, attribute in info.attributes.items()
            if attribute.default is not MISSING and name not in self._defaults
        }
        self._validations = [as_validation(validation) for validation in action.validations]
        self._manages = any(isinstance(change, Manage) for change in action.changes)
        self._needed = self._needed_inputs()
        self._upserts = None if action.upsert is None else Upserts(runtime, action, action.upsert, self._validations)
        self.notifiers = notifiers_of(runtime, action.name)
        has_steps = self.changes or self._validations or self._upserts is not None or self.notifiers
        self.is_plain = not has_steps and not action.transaction
        """No step looks at a changeset, so none is made."""
        has_more = self.changes or self._validations or self.notifiers or action.transaction or action.arguments
        left = {name: each for name, each in info.attributes.items() if name not in runtime.filled or name in action.accept}
        self._make_row = None if has_more else compile_row(left, runtime.casts, action.accept)

    async def run(self, given: Mapping[str, Any], context: Context) -> Any:
        """Create one record and return it.

        Raise StaleRecord if the condition of an upsert excludes the existing record.
        """
        if self.is_plain:
            return (await self._insert(self.plain_row(given))).record
        return (await self.write(await self.prepare(given, context), context)).record

    def plain_row(self, given: Mapping[str, Any], moment: datetime | None = None) -> dict[str, Any]:
        """Return the complete row of an input of an action without steps. Raise Invalid with all findings.

        moment: the time for its timestamps; the current time by default.
        """
        try:
            row = None if self._make_row is None else self._make_row(given, moment)
        except CastError:
            row = None
        if row is not None:
            return row
        _, values, defaults, moment = self._bind(given, moment)
        return self._row({**defaults, **values}, values, moment)

    async def outcome(self, given: Mapping[str, Any], context: Context) -> Written[Any]:
        """Create one record and return it with the outcome, which may be "skipped"."""
        return await self.write(await self.prepare(given, context), context, may_skip=True)

    async def write(self, changeset: Changeset, context: Context, *, may_skip: bool = False) -> Written[Any]:
        """Write a changeset that is ready, and run its hooks."""
        if changeset.hooks is NO_HOOKS and not self.action.transaction and not self.notifiers:
            done = await self._write(changeset, context, may_skip=may_skip)
            return Written(done.record, done.outcome.value)  # type: ignore[arg-type]  # a failure is raised
        store = self.runtime.store
        results: list[Done] = []

        async def insert(final: Changeset) -> Any:
            results.append(await self._write(final, context, may_skip=may_skip))
            return results[-1].record

        record = await run_lifecycle(store, changeset, context, insert, transaction=self.action.transaction)
        if self.notifiers and results[-1].is_changed:
            await notify_after_commit(store, self.notifiers, self.runtime.resource, self.action, record, context)
        return Written(record, results[-1].outcome.value)  # type: ignore[arg-type]  # a failure is raised

    async def prepare(self, given: Mapping[str, Any], context: Context, also: Mapping[str, Any] = _NOTHING) -> Changeset:
        """Return a changeset that is ready to be written. Raise Invalid with all findings.

        also: values that the program sets, besides the input.
        """
        bound = self.bind(given, also=also)
        changeset = await apply_changes(bound.set(**also) if also else bound, self.changes, context)
        return await self.validated(changeset, context)

    def bind(self, given: Mapping[str, Any], moment: datetime | None = None, also: Collection[str] = ()) -> Changeset:
        """Return the changeset of an input, with defaults for attributes that are not given.

        Raise Invalid with all inputs that are wrong or missing. moment: the time for all its timestamps; the current time by
        default. also: attributes that the program sets, so that the input need not have them.
        """
        arguments, values, defaults, moment = self._bind(given, moment or utc_now(), also)
        where: dict[str, Any] = {"resource": self.runtime.resource, "action": self.action.name}
        return Changeset("create", arguments, values, defaults=defaults, moment=moment, **where)

    def _bind(self, given: Mapping[str, Any], moment: datetime | None, also: Collection[str] = ()) -> _Input:
        """Return arguments, values and defaults, and the time of the action; ``None``: read when a default first needs it."""
        arguments, values, findings = self._inputs.bind(given)
        if self._manages:
            findings += self.runtime.related_findings(self.action.changes, arguments, given, findings)
        if findings:
            raise self._invalid([*findings, *self.missing(given, also)])
        defaults = {name: value for name, value in self._constants.items() if name not in values}
        for name, default in self._defaults.items():
            if name not in values:
                if default is utc_now:
                    defaults[name] = moment = moment or utc_now()
                elif isinstance(default, Now):
                    moment = moment or utc_now()
                    defaults[name] = default.at(moment)
                else:
                    defaults[name] = default()
        return arguments, values, defaults, moment

    def missing(self, given: Collection[str], also: Collection[str] = ()) -> list[FieldFinding]:
        """Return a finding for each input that only the caller can give, and did not."""
        return [FieldFinding(name, "is required") for name in self._needed if name not in given and name not in also]

    async def validated(self, changeset: Changeset, context: Context) -> Changeset:
        """Return the changeset if all validations pass. Raise Invalid with all findings."""
        found = [*changeset.findings, *await apply_validations(changeset, self._validations, context)]
        if changeset.findings:  # a change that refused did not set its values, so missing values are not reported as well
            raise self._invalid(found)
        if found:
            raise self._invalid([*found, *self._missing(changeset, {finding.path for finding in found})])
        return changeset

    def _missing(self, changeset: Changeset, reported: Collection[str]) -> list[FieldFinding]:
        """Return a finding for each attribute that needs a value and has none, except those that are reported already."""
        has = {*changeset.values, *changeset.atomics, *changeset.defaults, *reported}
        needed = (name for name, each in self._attributes.items() if not each.allow_none and not each.is_filled)
        return [FieldFinding(name, "is required") for name in needed if name not in has]

    def row(self, changeset: Changeset) -> dict[str, Any]:
        """Return the complete row of a changeset, cast and with defaults. Raise Invalid with all findings."""
        # There is no stored record yet: expressions are computed here from the defaults.
        written = self.runtime.computed(changeset) if changeset.atomics else changeset
        return self._row({**changeset.defaults, **written.values}, {}, changeset.moment)

    def _row(self, values: Mapping[str, Any], are_cast: Mapping[str, Any], moment: datetime | None) -> dict[str, Any]:
        """Return the complete row of these values. are_cast: those of them that were cast already."""
        row: dict[str, Any] = {}
        findings: list[FieldFinding] = []
        filled = self.runtime.filled
        for name, cast in self.runtime.casts.items():
            if name in filled and name not in values:
                continue
            if name in self.runtime.read_only:
                findings.append(FieldFinding(name, "is filled by the database; a change sets it"))
                continue
            if name in are_cast:
                row[name] = are_cast[name]
                continue
            value = values.get(name)
            if value is None and self._attributes[name].allow_none:
                row[name] = None
                continue
            if value is None and name not in values:
                findings.append(FieldFinding(name, "is required"))
                continue
            try:
                row[name] = cast(value.at(moment or utc_now()) if isinstance(value, Now) else value)
            except CastError as error:
                findings += error.findings(name)
        if not values.keys() <= self._attributes.keys():
            unknown = sorted(values.keys() - self._attributes.keys())
            findings.extend(FieldFinding(name, "is no attribute; a change sets it") for name in unknown)
        if findings:
            raise self._invalid(findings)
        return row

    def _invalid(self, findings: Iterable[FieldFinding]) -> Invalid:
        return Invalid(findings, resource=self.runtime.info.name, action=self.action.name)

    async def _write(self, changeset: Changeset, context: Context, *, may_skip: bool) -> Done:
        row = self.row(changeset)
        if self._upserts is not None:
            return await self._upserts.write(changeset, row, context, may_skip=may_skip)
        return await self._insert(row)

    async def insert_plain(self, rows: Sequence[Row], *, returning: bool) -> WriteResult:
        """Insert complete rows of an action without steps. returning: the result has the rows."""
        kind = "insert" if returning else "insert only"
        if self.runtime.filled:
            return await insert_each(self.runtime, kind, rows, returning=returning)
        plan = self.runtime.plan(kind, lambda: Insert(self.runtime.fields, returning=returning))
        return await self.runtime.store.insert(plan, rows, {})

    async def upsert_plain(
        self, inputs: Sequence[Any], moment: datetime, context: Context, *, returning: bool
    ) -> WriteResult | None:
        """Write the inputs of an upsert without steps by one plan; ``None`` if an input is unusual, or differs from the first.

        No changeset is made for each: what the conflict clause writes depends only on the names of the given attributes.
        """
        first = inputs[0]
        if self._upserts is None or self._make_row is None or self.runtime.filled or type(first) is not dict:
            return None
        rows: list[Row] = []
        for given in inputs:
            try:
                row = self._make_row(given, moment) if type(given) is dict and given.keys() == first.keys() else None
            except CastError:
                return None
            if row is None:
                return None
            rows.append(row)
        planned = await self._upserts.usual_plan(self.bind(first, moment), context, returning=returning)
        if planned is None or planned.plan is None:
            return None
        return await self.runtime.store.insert(planned.plan, rows, planned.params)

    async def _insert(self, row: dict[str, Any]) -> Done:
        if self.runtime.filled:
            store, plan = self.runtime.store, self._inserting(row)
        else:
            store, plan = self.runtime.keep("insert", self._compiled)
        result = await store.insert(plan, [row], {})
        if result.failures:
            raise placed(result.failures[0].error, self.runtime.info.name, self.action.name)
        return Done(self.runtime.record(result.rows[0]), result.outcomes[0])

    def _compiled(self) -> tuple[Store, Plan]:
        return self.runtime.store, self.runtime.plan("insert", lambda: Insert(self.runtime.fields))

    def _inserting(self, names: Collection[str]) -> Plan:
        """Return the plan of an insert of these values."""
        fields = self.runtime.inserted(names)
        return self.runtime.plan(("insert", fields) if self.runtime.filled else "insert", lambda: Insert(fields))

    async def visible(self, context: Context) -> Expression | None:
        """Return the condition that an existing record must meet for an upsert to write to it; ``None`` without condition or
        upsert.
        """
        return None if self._upserts is None else await self._upserts.visible(context)

    def plan(self, changeset: Changeset, visible: Expression | None, context: Context) -> Planned:
        """Return the plan of the insert and the parameters of its conflict clause. The plan is ``None`` if one statement cannot
        do it.
        """
        if self._upserts is None:
            return Planned(self._inserting(self.runtime.inserted_by(changeset)), {})
        return self._upserts.plan(changeset, visible, context)

    def is_compared(self, changeset: Changeset) -> bool:
        """Return whether only a read of the existing record finds out whether an upsert changes anything."""
        return self._upserts is not None and self._upserts.is_compared(changeset)

    async def unchanged(
        self, rows: Sequence[tuple[Changeset | None, Row]], visible: Expression | None, context: Context
    ) -> Mapping[int, Any]:
        """Return the existing records that these rows do not change, by position. Two rows of one record are both written."""
        return {} if self._upserts is None else await self._upserts.unchanged(rows, visible, context)

    def _needed_inputs(self) -> tuple[str, ...]:
        """Return the accepted attributes that only the caller can set; empty if a change does not declare the attributes that
        it writes.
        """
        action = self.action
        others = [change for change in action.changes if not isinstance(change, RelatedStep)]
        if action.function is not None or not all(isinstance(change, Change) and change.writes for change in others):
            return ()
        related = [change.relationship for change in action.changes if isinstance(change, RelatedStep)]
        relationships = [one for name in related if (one := self.runtime.info.relationships.get(name)) is not None]
        written = {name for one in relationships if one.kind == "belongs_to" for name in one.key}
        written |= {name for change in others if isinstance(change, Change) for name in change.writes}
        needed = (name for name in action.accept if not self._attributes[name].has_default)
        return tuple(name for name in needed if name not in written)


def _default_of(attribute: Attribute) -> Callable[[], Any] | Now:
    if isinstance(attribute.default, Now):
        return utc_now if type(attribute.default) is Now else attribute.default
    return attribute.default_factory or utc_now


def decorated(runtime: Runtime, action: Any) -> Any:
    """Return the function of a decorated action as a change. It gets the changeset, and arguments and context by name."""
    function, context_name = action.function, action.context_parameter

    def change(changeset: Changeset, context: Context) -> Any:
        named = {name: changeset.arguments[name] for name in action.parameters}
        if context_name is not None:
            named[context_name] = context
        return function(runtime.resource, changeset, **named) if action.takes_class else function(changeset, **named)

    change.__qualname__ = getattr(function, "__qualname__", action.name)
    return change


def placed(error: Exception, resource: str, action: str) -> Exception:
    """Set the resource and the action on an Invalid that a store raised."""
    if isinstance(error, Invalid):
        error.resource, error.action = resource, action
    return error
