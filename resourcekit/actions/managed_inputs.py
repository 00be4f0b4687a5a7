"""The meaning of each input of ``manage``: which records it creates, updates, relates or removes.

A maintainer opens it to change how an input is matched with a related record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from resourcekit.actions.casting import CastError
from resourcekit.actions.create import CreateRunner
from resourcekit.actions.joins import Join
from resourcekit.actions.loading import KEYS, among, padded
from resourcekit.actions.read import shown_query
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.actions.selects import select_plan
from resourcekit.actions.update import ChangeRunner
from resourcekit.call_context import Context
from resourcekit.changeset import Changeset
from resourcekit.declarations.managed import Manage
from resourcekit.dsl.option import MISSING
from resourcekit.errors import FieldFinding, ForeignKeyViolation, Invalid, NotFound, NotNull, UniqueViolation

__all__ = ["Failed", "Item", "Key", "ManagedInputs", "ManagedPlan", "Runners", "placed_findings"]

Key = tuple[Any, ...]
Item = tuple[str, Any]
"""The place of an input, and the input."""


@attrs.frozen(eq=False)
class Runners:
    """The actions that write to related records, each as a function that returns its runner; ``None`` if none is needed.

    create, update, destroy: of the destination. link, unlink: of the resource between the two of a many_to_many.
    """

    create: Callable[[], CreateRunner] | None = None
    update: Callable[[], ChangeRunner] | None = None
    destroy: Callable[[], ChangeRunner] | None = None
    link: Callable[[], CreateRunner] | None = None
    unlink: Callable[[], ChangeRunner] | None = None


class _Wrong(Exception):
    """An input that cannot be written."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


@attrs.define(eq=False)
class ManagedPlan:
    """The writes of one ``manage``, each with the place of its input.

    removals: records, and whether they are destroyed. updates: record, input, and values that the program sets.
    links: existing records to relate. creates: changesets that are ready.
    """

    items: int
    removals: list[tuple[str, Any, bool]] = attrs.field(factory=list)
    updates: list[tuple[str, Any, Mapping[str, Any], Mapping[str, Any]]] = attrs.field(factory=list)
    links: list[tuple[str, Any, Mapping[str, Any]]] = attrs.field(factory=list)
    creates: list[tuple[str, Changeset]] = attrs.field(factory=list)
    errors: list[tuple[str, Invalid]] = attrs.field(factory=list)

    @property
    def findings(self) -> list[FieldFinding]:
        """The problems of all inputs."""
        return [each for path, error in self.errors for each in placed_findings(path, error)]

    def refuse(self, path: str, message: str, field: str = "") -> None:
        """Add a problem of an input."""
        self.errors.append((path, Invalid(FieldFinding(field, message))))

    async def trying(self, path: str, work: Awaitable[Any]) -> Any:
        """Await work, and note what is wrong with its input. Raise Failed after an error of the store."""
        try:
            return await work
        except (UniqueViolation, ForeignKeyViolation, NotNull) as error:
            self.errors.append((path, error))
            raise Failed from None
        except NotFound:
            self.refuse(path, "the record does not exist any more")
        except Invalid as error:
            self.errors.append((path, error))
        return None


class Failed(Exception):
    """A statement failed, so that no other one may follow."""


def placed_findings(path: str, error: Invalid) -> list[FieldFinding]:
    """Return the findings of a related record, with the place of its input."""
    return [FieldFinding(f"{path}.{each.path}" if each.path else path, each.message) for each in error.findings]


class ManagedInputs:
    """The inputs of a ``manage`` of one action.

    fields: the attributes of the other resource that tell which record an input means.
    own_runner: returns the runner of the action. use: the actions of the other resource.
    """

    def __init__(
        self, runtime: Runtime, step: Manage, fields: tuple[str, ...], own_runner: Callable[[], Any], use: Runners
    ) -> None:
        self.runtime, self.step, self.fields, self._own_runner, self._use = runtime, step, fields, own_runner, use

    @property
    def join(self) -> Join:
        """The relationship with its destination."""
        found: Join = self.runtime.joins[self.step.relationship]
        return found

    @property
    def destination(self) -> Runtime:
        """The other resource."""
        return runtime_of(self.join.destination)

    @property
    def _is_held(self) -> bool:
        return self.join.entity.kind == "belongs_to"

    def findings(self, arguments: Mapping[str, Any], *, missing: bool) -> list[FieldFinding]:
        """Return what is wrong in the inputs, as far as their types tell. missing: what a create needs and an input lacks."""
        items = self._items(arguments)
        plan = ManagedPlan(len(items or ()))
        for path, item in items or ():
            if missing:
                found = self._lacking(item)
                plan.errors += [(path, Invalid(found))] if found else []
                continue
            try:
                self._key(item)
            except _Wrong as error:
                plan.refuse(path, str(error), error.path)
            try:
                self._check(item)
            except _Wrong as error:
                plan.refuse(path, str(error), error.path)
            except Invalid as error:
                plan.errors.append((path, error))
        return plan.findings

    def _lacking(self, item: Any) -> list[FieldFinding]:
        is_new = isinstance(item, Mapping) and self._use.create is not None and self._use.update is None
        return self._use.create().missing(item, self._forced) if is_new and self._use.create is not None else []

    def _check(self, item: Any) -> None:
        step, use = self.step, self._use
        has_key = not isinstance(item, Mapping) or all(item.get(name) is not None for name in self.fields)
        if not isinstance(item, Mapping):
            if (
                len(self.fields) != 1
                or isinstance(item, (list, type(None)))
                or (use.update is None and step.on_no_match == "create")
            ):
                raise _Wrong("must be a mapping")
            return
        creates = step.on_no_match == "create" and use.create is not None
        if not (has_key and step.on_match == "update" and use.update is not None):
            if creates and use.create is not None:
                use.create().bind(self._for_create(item), also=self._forced)
            return
        try:
            use.update().bind(self._for_update(item))
        except Invalid:
            if not creates or use.create is None:
                raise
            try:
                use.create().bind(self._for_create(item), also=self._forced)  # it may be meant for a new record
            except Invalid:
                pass
            else:
                return
            raise

    def _items(self, arguments: Mapping[str, Any]) -> list[Item] | None:
        """Return the inputs with their places; ``None`` if the caller gave none, so that nothing is written."""
        name = self.step.argument
        value = arguments.get(name, MISSING)
        if value is MISSING or (value is None and self.join.entity.is_many):
            return None
        if not self.join.entity.is_many:
            return [] if value is None else [(name, value)]
        return [(f"{name}.{number}", each) for number, each in enumerate(value if isinstance(value, (list, tuple)) else ())]

    def _key(self, item: Any) -> Key | None:
        """Return the key that an input has; ``None`` if it has none. Raise _Wrong for a key of a wrong type."""
        destination = self.destination
        if isinstance(item, destination.resource):
            return tuple([getattr(item, name) for name in self.fields])
        if isinstance(item, Mapping):
            given = [item.get(name) for name in self.fields]
        elif len(self.fields) == 1 and item is not None and not isinstance(item, (list, dict)):
            given = [item]
        else:
            return None
        if None in given:
            return None
        key = []
        for name, value in zip(self.fields, given, strict=True):
            try:
                key.append(destination.casts[name](value))
            except CastError as error:
                raise _Wrong(str(error), name if isinstance(item, Mapping) else "") from None
        return tuple(key)

    @property
    def _forced(self) -> tuple[str, ...]:
        """The attributes of the other resource that the program sets."""
        keys = () if self._is_held or self.join.through is not None else self.join.other
        return keys if self.step.order_by is None else (*keys, self.step.order_by)

    def _for_create(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return self._without(item, self._use.create, ())

    def _for_update(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return self._without(item, self._use.update, self.fields)

    def _without(self, item: Mapping[str, Any], runner: Any, known: Sequence[str]) -> dict[str, Any]:
        """Return an input without what the program sets, and without a key that the action does not take."""
        takes = {*runner().action.accept, *runner().action.arguments}
        dropped = {name for name in self._forced if name in takes or name == self.step.order_by}
        dropped |= {name for name in known if name not in takes}
        return {name: value for name, value in item.items() if name not in dropped}

    async def _plan(self, items: Sequence[Item], existing: Sequence[Any], record: Any, context: Context) -> ManagedPlan:
        plan, step, used, wanted = ManagedPlan(len(items)), self.step, set[Key](), list[tuple[str, Key, Mapping[str, Any]]]()
        by_key = {tuple([getattr(each, name) for name in self.fields]): each for each in existing}
        places = self._places(items, existing)
        for path, item in items:
            try:
                key = self._key(item)
                if key is not None and key in used:
                    raise _Wrong("is given twice", self._named(item))
                used |= set() if key is None else {key}
                there = None if key is None else by_key.get(key)
                if there is not None:
                    self._matched(plan, path, item, there, places)
                elif step.on_no_match == "create" and self._use.create is not None:
                    await self._new(plan, (path, item), key, next(places, {}), record, context)
                elif step.on_no_match == "relate":
                    if key is None:
                        raise _Wrong(f"needs {' and '.join(self.fields)} of an existing record")
                    wanted.append((path, key, next(places, {})))
                elif step.on_no_match == "error":
                    raise _Wrong("there is no related record with this key", self._named(item))
            except _Wrong as error:
                plan.refuse(path, str(error), error.path)
        await self._look_up(plan, wanted, dict(items))
        for key, each in by_key.items():
            if key not in used:
                self._missing(plan, each)
        return plan

    def _named(self, item: Any) -> str:
        return self.fields[0] if isinstance(item, Mapping) else ""

    def _places(self, items: Sequence[Item], existing: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the place of each input in the order; of new ones only, after the last, if others may stay as they are."""
        name = self.step.order_by
        if name is None:
            return iter(())
        first = 0
        if self.step.on_missing == "ignore":
            first = max((place for each in existing if (place := getattr(each, name)) is not None), default=-1) + 1
        return iter([{name: first + number} for number in range(len(items))])

    def _matched(self, plan: ManagedPlan, path: str, item: Any, there: Any, places: Iterator[Mapping[str, Any]]) -> None:
        step = self.step
        also = {} if step.on_missing == "ignore" else next(places, {})
        if all(getattr(there, name) == value for name, value in also.items()):
            also = {}
        if step.on_match == "error":
            raise _Wrong("is related already", self._named(item))
        if step.on_match in ("unrelate", "destroy"):
            plan.removals.append((path, there, step.on_match == "destroy"))
            return
        given = self._for_update(item) if step.on_match == "update" and isinstance(item, Mapping) else {}
        if also or (step.on_match == "update" and isinstance(item, Mapping) and not self._holds(there, given)):
            plan.updates.append((path, there, given, also))

    def _holds(self, there: Any, given: Mapping[str, Any]) -> bool:
        """Return whether an update would change nothing, and has no step that must run."""
        runner = None if self._use.update is None else self._use.update()
        if runner is None or not runner.has_no_steps:
            return False
        values = runner.bind(given).values
        return all(getattr(there, name) == value and type(getattr(there, name)) is type(value) for name, value in values.items())

    async def _new(
        self, plan: ManagedPlan, placed: Item, key: Key | None, place: Mapping[str, Any], record: Any, context: Context
    ) -> None:
        path, item = placed
        if not isinstance(item, Mapping) or self._use.create is None:
            raise _Wrong("must be a mapping" if key is None else "there is no related record with this key")
        runner = self._use.create()
        if key is not None and not {*self.fields} <= {*runner.action.accept, *runner.action.arguments}:
            raise _Wrong("there is no related record with this key", self._named(item))
        also = {**({} if record is None else self._keys(record)), **place}
        ready = await plan.trying(path, runner.prepare(self._for_create(item), context, {**dict.fromkeys(self._forced), **also}))
        if ready is not None:
            plan.creates.append((path, ready))

    def _keys(self, record: Any) -> dict[str, Any]:
        """Return the values that relate a record of the destination to a record."""
        if self._is_held or self.join.through is not None:
            return {}
        return {other: getattr(record, own) for own, other in zip(self.join.own, self.join.other, strict=True)}

    async def _look_up(
        self, plan: ManagedPlan, wanted: Sequence[tuple[str, Key, Mapping[str, Any]]], items: Mapping[str, Any]
    ) -> None:
        """Find the records to relate, as the primary read shows them."""
        if not wanted:
            return
        keys = list(dict.fromkeys(key for _, key, _ in wanted))
        destination = self.destination
        asked = attrs.evolve(await shown_query(destination), loads=(), computed=()).filter(among(self.fields, keys))
        statement, params = select_plan(destination, asked)
        rows = await destination.store.select(statement, {**params, KEYS: padded(keys)})
        found = {tuple([row[name] for name in self.fields]): destination.record(row) for row in rows}
        for path, key, place in wanted:
            if key in found:
                plan.links.append((path, found[key], place))
            else:
                plan.refuse(path, "there is no record with this key", self._named(items[path]))

    def _missing(self, plan: ManagedPlan, there: Any) -> None:
        name = self.step.argument
        if self.step.on_missing == "error":
            plan.refuse(name, "leaves out a related record")
        elif self.step.on_missing != "ignore":
            plan.removals.append((name, there, self.step.on_missing == "destroy"))
