"""Runs a create action: input to changeset, changes, defaults, validations, one insert."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from resourcekit.data_layers.base import Insert, OnConflict, Plan, Select, UnsupportedExpression
from resourcekit.declarations.action import CreateAction, Upsert
from resourcekit.declarations.attribute import Attribute
from resourcekit.dsl.sentinel import MISSING
from resourcekit.engine.around import run_around
from resourcekit.engine.casting import CastError
from resourcekit.engine.inputs import Inputs
from resourcekit.engine.notify import notify_after_commit
from resourcekit.engine.runtime import Runtime
from resourcekit.engine.steps import apply_changes, apply_validations, as_change, as_validation
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument
from resourcekit.flow.changeset import Changeset
from resourcekit.flow.clock import utc_now
from resourcekit.flow.context import Context
from resourcekit.flow.expression import Compare, Existing, Expression, Field, Incoming, Now, Param, all_of
from resourcekit.flow.result import Outcome
from resourcekit.flow.rewriting import with_fields
from resourcekit.flow.shape import Shaper

__all__ = ["CreateRunner"]


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
            if attribute.default is not MISSING or attribute.default_factory is not None
        }
        self._touches = {
            name: (f"touched{position}", attribute.update_default_factory)
            for position, (name, attribute) in enumerate(info.attributes.items())
            if attribute.update_default_factory is not None
        }
        self._validations = [as_validation(validation) for validation in action.validations]
        self.notifiers = (*_listed(info.options.get("notifiers")), *action.notifiers)

    async def run(self, given: Mapping[str, Any], context: Context) -> Any:
        """Create one record and return it."""
        return await self.write(await self.prepare(given, context), context)

    async def write(self, changeset: Changeset, context: Context) -> Any:
        """Write a changeset that is ready, with its hooks, and return the record."""
        store = self.runtime.store
        outcomes: list[Outcome] = []

        async def insert(final: Changeset) -> Any:
            return await self._write(final, outcomes)

        record = await run_around(store, changeset, context, insert, transaction=self.action.transaction)
        if self.notifiers and outcomes != [Outcome.SKIPPED]:
            await notify_after_commit(store, self.notifiers, self.runtime.resource, self.action, record, context)
        return record

    async def prepare(self, given: Mapping[str, Any], context: Context) -> Changeset:
        """Return the changeset that is ready to be written. Raises Invalid with all that is wrong."""
        changeset = await apply_changes(self.bind(given), self.changes, context)
        return await self.validated(changeset, context)

    def bind(self, given: Mapping[str, Any]) -> Changeset:
        """Return the changeset of an input, with the defaults of what is not given. Raises Invalid for a wrong input."""
        arguments, values, findings = self._inputs.bind(given)
        if findings:
            raise self._invalid(findings)
        defaults = {name: default() for name, default in self._defaults.items() if name not in values}
        return Changeset("create", arguments, values, defaults=defaults)

    async def validated(self, changeset: Changeset, context: Context) -> Changeset:
        """Return the changeset if all validations let it pass. Raises Invalid with all that is wrong."""
        found = [*changeset.findings, *await apply_validations(changeset, self._validations, context)]
        if found:
            raise self._invalid(found)
        return changeset

    def row(self, changeset: Changeset) -> dict[str, Any]:
        """Return the complete row of a changeset: cast, with defaults. Raises Invalid with all that is wrong."""
        row: dict[str, Any] = {}
        findings: list[FieldFinding] = []
        # There is no stored record yet: what the store would compute is computed from the defaults.
        values = {**changeset.defaults, **changeset.computed().values}
        for name, cast in self.runtime.casts.items():
            value = values.get(name)
            if value is None and name not in values and not self._attributes[name].allow_none:
                findings.append(FieldFinding(name, "is required"))
                continue
            try:
                row[name] = cast(utc_now() if isinstance(value, Now) else value)
            except CastError as error:
                findings.append(error.finding(name))
        if not values.keys() <= self._attributes.keys():
            unknown = sorted(values.keys() - self._attributes.keys())
            findings.extend(FieldFinding(name, "is no attribute; a change sets it") for name in unknown)
        if findings:
            raise self._invalid(findings)
        return row

    def _invalid(self, findings: Iterable[FieldFinding]) -> Invalid:
        return Invalid(findings, resource=self.runtime.info.name, action=self.action.name)

    async def _write(self, changeset: Changeset, outcomes: list[Outcome]) -> Any:
        row = self.row(changeset)
        store = self.runtime.store
        plan, params = self.plan(changeset)
        result = await store.insert(plan, [row], params)
        if result.failures:
            raise placed(result.failures[0].error, self.runtime.info.name, self.action.name)
        outcomes.extend(result.outcomes)
        if outcomes and outcomes[0] is Outcome.SKIPPED:
            return await self._existing(row)
        return self.runtime.record(result.rows[0])

    def plan(self, changeset: Changeset, moment: datetime | None = None) -> tuple[Plan, dict[str, Any]]:
        """Return the plan of the insert and the parameters of its conflict clause.

        moment: what attributes get that are touched with the time; now, unless given.
        """
        upsert = self.action.upsert
        if upsert is None:
            return self.runtime.plan("insert", lambda: Insert(self.runtime.fields)), {}
        if changeset.atomics:
            plan, params = self._planned(upsert, changeset)
        else:  # nothing but the names of what came decides
            plan, params = self.runtime.keep((self, frozenset(changeset.values)), self._planned, upsert, changeset)
        touched = {
            param: moment if moment is not None and touch is utc_now else touch() for param, touch in self._touches.values()
        }
        return plan, {**params, **touched}

    def _planned(self, upsert: Upsert, changeset: Changeset) -> tuple[Plan, dict[str, Any]]:
        """Return the plan and the parameters of a changeset, all but what is touched at each call."""
        shaper = Shaper()
        target = self._target(upsert)
        came = self._given(changeset, target)
        assignments = (
            came if upsert.set is None else {**{name: came[name] for name in upsert.given if name in came}, **upsert.set}
        )
        shaped = {name: shaper.shape(expression) for name, expression in assignments.items()}
        where = shaper.shape(upsert.where) if upsert.where is not None else (None, None)
        key = ("upsert", target, tuple((name, shape) for name, (_, shape) in shaped.items()), where[1])
        conflict = OnConflict(
            target, "update" if shaped else "skip", {name: expression for name, (expression, _) in shaped.items()}, where[0]
        )
        try:
            return self.runtime.plan(key, lambda: Insert(self.runtime.fields, conflict)), shaper.params
        except UnsupportedExpression as error:
            where_from = {"resource": self.runtime.info.name, "action": self.action.name}
            raise InvalidArgument(
                f"the data layer cannot compute this where the record is there: {error}", **where_from
            ) from None

    def _target(self, upsert: Upsert) -> tuple[str, ...]:
        info = self.runtime.info
        return info.primary_key if upsert.identity is None else info.identities[upsert.identity].fields

    def _given(self, changeset: Changeset, target: tuple[str, ...]) -> dict[str, Expression]:
        """Return what is written to a record that is there: what came, and what is computed, from the stored record."""
        stored = {name: Existing(name) for name in self._attributes}
        touched = {name: Param(param) for name, (param, _) in self._touches.items()}
        came = {name: Incoming(name) for name in changeset.values}
        computed = {
            name: with_fields(self.runtime.conditions.assigned(name, expression), stored)
            for name, expression in changeset.atomics.items()
        }
        kept = {*target, *self.runtime.key}
        written: dict[str, Expression] = {**touched, **came, **computed} if {*came, *computed} - kept else {}
        return {name: written[name] for name in sorted(written.keys() - kept)}

    async def _existing(self, row: Mapping[str, Any]) -> Any:
        """Return the record that an upsert left as it was."""
        upsert = self.action.upsert
        target = self.runtime.key if upsert is None else self._target(upsert)
        condition = all_of(*(Compare("==", Field(name), Param(name)) for name in target))
        plan = self.runtime.plan(("existing", target), lambda: Select(condition))
        rows = await self.runtime.store.select(plan, {name: row[name] for name in target})
        return self.runtime.record(rows[0]) if rows else None


def _default_of(attribute: Attribute) -> Callable[[], Any]:
    if attribute.default_factory is not None:
        return attribute.default_factory
    return utc_now if isinstance(attribute.default, Now) else attribute.default_value


def decorated(runtime: Runtime, action: Any) -> Any:
    """Return a decorated action's function as a change: it gets the changeset, the arguments and the context by name."""
    function, context_name = action.function, action.context_parameter

    def change(changeset: Changeset, context: Context) -> Any:
        named = {name: changeset.arguments[name] for name in action.parameters}
        if context_name is not None:
            named[context_name] = context
        return function(runtime.resource, changeset, **named) if action.takes_class else function(changeset, **named)

    change.__qualname__ = getattr(function, "__qualname__", action.name)
    return change


def placed(error: Exception, resource: str, action: str) -> Exception:
    """Give an Invalid that comes from a store the names of resource and action."""
    if isinstance(error, Invalid):
        error.resource, error.action = resource, action
    return error


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if value else ()
