"""Writes related records from the input of an action: what ``manage`` declares.

A maintainer opens it to change the order of these writes, or when they run.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from resourcekit.actions.bulk import bulk_change, create_prepared
from resourcekit.actions.loaded import copied, loaded_of
from resourcekit.actions.loading import attach
from resourcekit.actions.managed_inputs import Failed, Item, ManagedInputs, ManagedPlan, placed_findings
from resourcekit.actions.read import fetch_all, shown_query
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.actions.update import ChangeRunner
from resourcekit.call_context import Context
from resourcekit.changeset import Changeset
from resourcekit.data_layers.base import Update
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.expressions.nodes import Field, In, Param, Value
from resourcekit.expressions.query import Load, Query

__all__ = ["Managing", "destroy_all", "related_to"]


async def related_to(runtime: Runtime, name: str, record: Any) -> list[Any]:
    """Return the related records of a record, as its relationship shows them."""
    held = copied(record)
    await attach(runtime, [held], [Load(getattr(runtime.resource, name))], shown_query)
    loaded = loaded_of(held)
    found = None if loaded is None else loaded.related[name]
    return list(found) if isinstance(found, tuple) else [] if found is None else [found]


async def destroy_all(runner: ChangeRunner, records: Sequence[Any], context: Context) -> None:
    """Destroy records by an action; in one statement if no step and no notifier has to know each of them."""
    action, key = runner.action, runner.runtime.key
    is_notified = action.changes or action.validations or action.function or action.transaction or runner.notifiers
    if len(records) > 1 and len(key) == 1 and runner.removes and not is_notified:
        keys = tuple(getattr(each, key[0]) for each in records)
        await bulk_change(runner, Query(In(Field(key[0]), Value(keys))), {}, context, strategy="atomic")
        return
    for record in records:
        await runner.run(record, {}, context)


class Managing(ManagedInputs):
    """A ``manage`` of one action, compiled once."""

    def change(self, changeset: Changeset, context: Context) -> Changeset | Awaitable[Changeset]:
        """Prepare the related records of a create; have hooks write those of an update."""
        if changeset.kind == "create":
            return self._of_create(changeset, context)
        return self._hooked(changeset, lock=True)

    def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        """Have hooks write the related records. The engine locks the record before they run."""
        return self._hooked(changeset, lock=False)

    def _hooked(self, changeset: Changeset, *, lock: bool) -> Changeset:
        items = self._items(changeset.arguments)
        if items is None:
            return changeset
        plans: list[ManagedPlan] = []

        async def before(ready: Changeset, context: Context) -> Changeset:
            if lock:
                await self.runtime.fetch(self.runtime.key_params(ready.record), lock=True)
            existing = await related_to(self.runtime, self.step.relationship, ready.record)
            plan = await self._plan(items, existing, ready.record, context)
            plans.append(plan)
            for finding in plan.findings:
                ready = ready.reject(finding.path, finding.message)
            return await self._with_key(ready, plan, context) if self._is_held and not plan.errors else ready

        async def checked(ready: Changeset, context: Context) -> None:
            if ready.findings:
                others = await self._own_runner().refusals(attrs.evolve(ready, findings=()), context)
                raise self._invalid(ready, list(dict.fromkeys([*others, *ready.findings])))

        async def after(final: Changeset, record: Any, context: Context) -> None:
            await self._write(plans[-1], final, record, context)

        return changeset.before_action(before).before_action(checked, phase="last").after_action(after)

    async def _of_create(self, changeset: Changeset, context: Context) -> Changeset:
        items = self._items(changeset.arguments)
        is_upsert = getattr(self._own_runner().action, "upsert", None) is not None
        if items is None or (not items and not is_upsert):
            return changeset
        own = {name: changeset.get(name) for name in self.join.own}
        if not self._is_held and (is_upsert or None in own.values()):  # the record may exist, or its key is not known yet
            return changeset.after_action(self._late(items))
        plan = await self._plan(items, [], None, context)
        if plan.errors:
            for finding in plan.findings:
                changeset = changeset.reject(finding.path, finding.message)
            return changeset
        if not self._is_held:

            async def after(final: Changeset, record: Any, context: Context) -> None:
                await self._write(plan, final, record, context)

            return changeset.after_action(after)
        if plan.creates:

            async def before(ready: Changeset, context: Context) -> Changeset:
                return await self._with_key(ready, plan, context)

            child = plan.creates[0][1]
            known = {name: child.get(far) for name, far in zip(self.join.own, self.join.other, strict=True)}
            return changeset.set(**known).before_action(before)
        return await self._with_key(changeset, plan, context)

    def _late(self, items: Sequence[Item]) -> Callable[..., Awaitable[None]]:
        async def after(final: Changeset, record: Any, context: Context) -> None:
            existing = await related_to(self.runtime, self.step.relationship, record)
            plan = await self._plan(items, existing, record, context)
            await self._write(plan, final, record, context)

        return after

    async def _with_key(self, changeset: Changeset, plan: ManagedPlan, context: Context) -> Changeset:
        """Write the record that this one refers to, and set the key."""
        target: Any = None
        try:
            for path, there, given, also in plan.updates:
                await plan.trying(path, self._runner("update").run(there, given, context, also))
            for path, ready in plan.creates:
                target = await plan.trying(path, self._runner("create").write(ready, context))
                target = None if target is None else target.record
        except Failed:
            pass
        if plan.errors:
            raise self._failed(changeset, plan)
        target = plan.links[0][1] if plan.links else target
        if target is None and not plan.removals:
            return changeset
        pairs = zip(self.join.own, self.join.other, strict=True)
        return changeset.set(**{own: None if target is None else getattr(target, other) for own, other in pairs})

    async def _write(self, plan: ManagedPlan, changeset: Changeset, record: Any, context: Context) -> None:
        """Write the related records: removals first, then updates, then inserts. Raise Invalid with all findings."""
        try:
            await self._remove(plan, record, context)
            if not self._is_held:
                await self._update(plan, record, context)
                await self._insert(plan, record, context)
        except Failed:
            pass
        if plan.errors:
            raise self._failed(changeset, plan)

    async def _remove(self, plan: ManagedPlan, record: Any, context: Context) -> None:
        gone = [each for _, each, _ in plan.removals]
        if gone and self.join.through is not None:
            await plan.trying(self.step.argument, self._unlink(record, gone, context))
        destroyed = [each for _, each, is_destroyed in plan.removals if is_destroyed]
        if destroyed:
            await plan.trying(self.step.argument, destroy_all(self._runner("destroy"), destroyed, context))
        if self.join.through is None and not self._is_held:
            nothing = dict.fromkeys(self.join.other)
            for path, each, is_destroyed in plan.removals:
                if not is_destroyed:
                    await plan.trying(path, self._runner("update").run(each, {}, context, nothing))

    async def _unlink(self, record: Any, gone: Sequence[Any], context: Context) -> None:
        join, between = self.join, runtime_of(self.join.through)
        asked = await shown_query(between)
        for own, other in zip(join.own, join.other, strict=True):
            asked = asked.filter(Field(other) == getattr(record, own))
        keys = {tuple([getattr(each, name) for name in join.far]) for each in gone}
        found = [each for each in await fetch_all(between, asked) if tuple([getattr(each, name) for name in join.onward]) in keys]
        await destroy_all(self._runner("unlink"), found, context)

    async def _update(self, plan: ManagedPlan, record: Any, context: Context) -> None:
        moved = await self._parked(plan)
        for path, there, given, also in plan.updates:
            await plan.trying(path, self._runner("update").run(moved.get(path, there), given, context, also))
        if self.join.through is None:
            for path, there, place in plan.links:
                also = {**self._keys(record), **place}
                if any(getattr(there, name) != value for name, value in also.items()):
                    await plan.trying(path, self._runner("update").run(there, {}, context, also))

    async def _parked(self, plan: ManagedPlan) -> Mapping[str, Any]:
        """Move records behind the last place, if an identity lets no two of them have one place while they change it."""
        name, destination = self.step.order_by, self.destination
        groups = (destination.key, *(each.fields for each in destination.info.identities.values()))
        moves = [(path, there) for path, there, _, also in plan.updates if name in also]
        if name is None or not moves or not any(name in group for group in groups):
            return {}
        last = max(plan.items, *(getattr(there, name) or 0 for _, there in moves)) + 1
        statement = destination.plan(("park", name), lambda: Update(destination.by_key, {name: Param("to")}, returning=True))
        found: dict[str, Any] = {}
        for number, (path, there) in enumerate(moves):
            params = {**destination.key_params(there), "to": last + number}
            done = await destination.store.update(statement, params)
            found[path] = destination.record(done.rows[0]) if done.rows else there
        return found

    async def _insert(self, plan: ManagedPlan, record: Any, context: Context) -> None:
        made = list[Any]()
        if plan.creates:
            ready = [each.set(**self._keys(record)) for _, each in plan.creates]
            done = await create_prepared(self._runner("create"), ready, context)
            self._note(plan, [path for path, _ in plan.creates], done.failures)
            made = list(done.records)
        if self.join.through is None:
            return
        pairs = [*((path, each) for path, each, _ in plan.links), *zip((path for path, _ in plan.creates), made, strict=False)]
        links = list[Changeset]()
        for path, each in pairs:
            also = {other: getattr(record, own) for own, other in zip(self.join.own, self.join.other, strict=True)}
            also |= {onward: getattr(each, far) for onward, far in zip(self.join.onward, self.join.far, strict=True)}
            ready_link = await plan.trying(path, self._runner("link").prepare({}, context, also))
            links += [] if ready_link is None else [ready_link]
        if len(links) == len(pairs) and links:
            done = await create_prepared(self._runner("link"), links, context)
            self._note(plan, [path for path, _ in pairs], done.failures)

    @staticmethod
    def _note(plan: ManagedPlan, paths: Sequence[str], failures: Sequence[Any]) -> None:
        for failure in failures:
            if not isinstance(failure.error, Invalid):
                raise failure.error
            index: int = failure.index
            plan.errors.append((paths[index], failure.error))
        if failures:
            raise Failed

    def _runner(self, name: str) -> Any:
        return getattr(self._use, name)()

    def _failed(self, changeset: Changeset, plan: ManagedPlan) -> Invalid:
        """Return the error of an action: that of the related record with its place, or one for all of them."""
        if len(plan.errors) > 1 or type(plan.errors[0][1]) is Invalid:
            return self._invalid(changeset, plan.findings)
        path, error = plan.errors[0]
        reported = copy.copy(error)
        reported.findings = tuple(placed_findings(path, error))
        reported.args = (reported.findings,)
        reported.resource, reported.action = self.runtime.info.name, changeset.action
        return reported

    def _invalid(self, changeset: Changeset, findings: Sequence[FieldFinding]) -> Invalid:
        return Invalid(findings, resource=self.runtime.info.name, action=changeset.action)
