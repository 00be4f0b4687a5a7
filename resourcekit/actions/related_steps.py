"""Changes over relationships: which of them are refused at declaration, and how relate_actor and cascade_destroy run.

A maintainer opens it to change which declarations of ``manage``, ``relate_actor`` and ``cascade_destroy`` are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from resourcekit.actions.interface import action_of
from resourcekit.actions.joins import Join
from resourcekit.actions.managed_inputs import Runners
from resourcekit.actions.managing import Managing, destroy_all, related_to
from resourcekit.actions.read import fetch_all, shown_query
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.call_context import Context
from resourcekit.changeset import Changeset
from resourcekit.data_layers.base import Capability
from resourcekit.declarations.action import Action, CreateAction, DestroyAction, UpdateAction
from resourcekit.declarations.managed import CascadeDestroy, Manage, RelateActor, RelatedStep
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.compiler import gathering
from resourcekit.errors import DeclarationError, InvalidArgument, did_you_mean
from resourcekit.expressions.nodes import Field
from resourcekit.resource_info import ResourceInfo

__all__ = ["compile_related_steps"]


def compile_related_steps(members: Sequence[Any]) -> list[DeclarationError]:
    """Compile the changes over relationships of a domain's members. Return the errors of those that cannot work."""
    errors: list[DeclarationError] = []
    for member in members:
        runtime: Runtime = member.__runtime__
        steps: dict[Any, Any] = {}
        for action in runtime.info.actions.values():
            for change in getattr(action, "changes", ()):
                if isinstance(change, RelatedStep):
                    with gathering(errors, runtime.info.name, change.origin, ("actions", action.name)):
                        steps[change] = _compiled(runtime, action, change)
        runtime.related_steps = steps
    return errors


def _wrong(what: str, hint: str) -> DeclarationError:
    return DeclarationError("RK100", what, hint=hint)


def _compiled(runtime: Runtime, action: Action, step: RelatedStep) -> Any:
    join: Join | None = runtime.joins.get(step.relationship)
    if join is None:
        what = f"{step.called} names {step.relationship!r}, which is no relationship of {runtime.info.name}"
        raise _wrong(what, did_you_mean(step.relationship, runtime.joins) or "Declare it, or correct the name.")
    if join.entity.kind == "related":
        raise _wrong(
            f"{step.called} names {step.relationship}, which a function loads", "Write to its records by their own actions."
        )
    if isinstance(step, RelateActor):
        return _actor(runtime, action, step, join)
    _require_one_transaction(runtime, join, step)
    if isinstance(step, CascadeDestroy):
        return _cascade(runtime, action, step, join)
    assert isinstance(step, Manage)
    return _manage(runtime, action, step, join)


def _require_one_transaction(runtime: Runtime, join: Join, step: RelatedStep) -> None:
    """Raise DeclarationError if the writes to both resources cannot be one transaction."""
    for resource in (join.destination, join.through):
        other = None if resource is None else resource.__runtime__
        if other is None or runtime.is_moved or other.is_moved:
            continue
        lacking = next((each for each in (runtime, other) if Capability.TRANSACTION not in each.store.capabilities), None)
        if lacking is not None:
            what = f"{step.called} writes to several records, and the data layer of {lacking.info.name} has no transactions"
            raise _wrong(what, "Keep both resources in one SQL database, or write to the related records by their own actions.")
        if runtime.store.plain.group != other.store.plain.group:
            what = f"{step.called} writes to {other.info.name}, which is kept in another store: no transaction holds both"
            raise _wrong(what, "Keep both resources in one store, or write to the related records by their own actions.")


def _one_action(info: ResourceInfo, kind: type[Action], named: str | None, option: str, why: str) -> str:
    """Return the name of an action of the other resource: the named one, the primary one, or the only one of its kind."""
    found = info.all_of(kind)
    if named is not None:
        if named in found:
            return named
        raise _wrong(
            f"{info.name}.{named} is no {kind.kind} action, and {why}", did_you_mean(named, found) or f"Correct {option}=."
        )
    primary = [name for name, action in found.items() if action.primary]
    names = primary or list(found)
    if len(names) == 1:
        return names[0]
    what = f"{info.name} has {'no' if not names else 'several'} {kind.kind} actions{'' if not names else ', none primary'}, and {why}"
    example = "create(...)" if kind is CreateAction else f"{kind.kind}()"
    raise _wrong(what, f"Declare one there: name = {example}." if not names else f'Name one: {option}="{names[0]}".')


def _runner(resource: Any, name: str) -> Callable[[], Any]:
    return lambda: action_of(resource, name).runner()


# manage


def _manage(runtime: Runtime, action: Action, step: Manage, join: Join) -> Managing:
    if not isinstance(action, (CreateAction, UpdateAction)):
        raise _wrong(
            f"manage belongs in a create or an update, not in a {action.kind}", "Write cascade_destroy in a destroy action."
        )
    if join.entity.limit is not None:
        raise _wrong(f"{join.entity.name} is limited, so its other records are not known", "Name a relationship without limit.")
    other: ResourceInfo = join.destination.__info__
    if step.argument not in action.arguments:
        raise _wrong(
            f"the action has no argument {step.argument!r}", f'Declare it: arguments=[argument("{step.argument}", list[dict])].'
        )
    _check_order(step, join, other)
    use = _needed(step, join, other, is_create=isinstance(action, CreateAction) and action.upsert is None)
    return Managing(runtime, step, _match_fields(step, join, other), _runner(runtime.resource, action.name), use)


def _match_fields(step: Manage, join: Join, other: ResourceInfo) -> tuple[str, ...]:
    if step.match_by is None:
        return other.primary_key
    if step.match_by not in other.identities:
        what = f"match_by names {step.match_by!r}, which is no identity of {other.name}"
        raise _wrong(what, did_you_mean(step.match_by, other.identities) or f"Declare it there: {step.match_by} = identity(...).")
    set_by_key = join.other if join.through is None and join.entity.kind != "belongs_to" else ()
    fields = tuple(name for name in other.identities[step.match_by].fields if name not in set_by_key)
    if not fields:
        what = f"the identity {step.match_by!r} of {other.name} has no attribute besides the key of {join.entity.name}"
        raise _wrong(what, "Name another identity, or leave match_by out.")
    return fields


def _check_order(step: Manage, join: Join, other: ResourceInfo) -> None:
    name = step.order_by
    if name is None:
        return
    if join.entity.kind != "has_many":
        raise _wrong(f"order_by is of a has_many, and {join.entity.name} is a {join.entity.kind}", "Leave order_by out.")
    if name not in other.attributes:
        raise _wrong(f"order_by names {name!r}, which is no attribute of {other.name}", did_you_mean(name, other.attributes))
    if other.attributes[name].type.kind is not Kind.INTEGER:
        what = f"order_by names {name!r} of {other.name}, which is {other.attributes[name].type}"
        raise _wrong(what, f"Declare it there: {name}: Attr[int] = attribute().")


def _needed(step: Manage, join: Join, other: ResourceInfo, *, is_create: bool) -> Runners:
    """Return the actions of the other resource that the options need. Raise DeclarationError for those that cannot be."""
    creates, relates = step.on_no_match == "create", step.on_no_match == "relate"
    updates = step.on_match == "update" and not is_create
    finds = {*(() if is_create else (step.on_match, step.on_missing))}
    unrelates, destroys = "unrelate" in finds, "destroy" in finds
    given: dict[str, Any] = {}
    called = f"manage({join.entity.name!r})"
    if join.through is not None:
        between: ResourceInfo = join.through.__info__
        if creates or relates:
            name = _one_action(between, CreateAction, None, "primary", f"{called} relates records")
            given["link"] = _runner(join.through, name)
        if unrelates or destroys:
            name = _one_action(between, DestroyAction, None, "primary", f"{called} unrelates records")
            given["unlink"] = _runner(join.through, name)
    elif join.entity.kind != "belongs_to":
        keys = [name for name in join.other if name in other.primary_key]
        if keys and (relates or unrelates):
            what = f"{called} relates or unrelates records, and {other.name}.{keys[0]} is a part of their key, which no update writes"
            raise _wrong(what, 'Create and destroy them: kind="direct_control".')
        updates = updates or relates or unrelates or (step.order_by is not None and not is_create)
    if unrelates and join.through is None:
        _require_optional(join, other, called)
    for option, kind, is_needed, does in (
        ("create", CreateAction, creates, "creates"),
        ("update", UpdateAction, updates, "updates"),
        ("destroy", DestroyAction, destroys, "destroys"),
    ):
        if is_needed:
            name = _one_action(other, kind, getattr(step, option), option, f"{called} {does} records")
            given[option] = _runner(join.destination, name)
    return Runners(**given)


def _require_optional(join: Join, other: ResourceInfo, called: str) -> None:
    holder, names = (join.entity.key, None) if join.entity.kind == "belongs_to" else (join.other, other)
    if names is None:
        required = not join.entity.allow_none
        name = holder[0]
    else:
        needed = [each for each in holder if not names.attributes[each].allow_none]
        required, name = bool(needed), f"{other.name}.{(needed or holder)[0]}"
    if required:
        what = f"{called} unrelates records, and the key {name} must not be None"
        raise _wrong(what, f'Let it be None: {name.rpartition(".")[2]}: Attr[... | None]; or destroy: on_missing="destroy".')


# relate_actor


class _Actor:
    """Sets the key of a belongs_to to the actor."""

    def __init__(self, runtime: Runtime, step: RelateActor, join: Join) -> None:
        self._runtime, self._step, self._join = runtime, step, join

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Set the key. Raise InvalidArgument for an actor of another kind."""
        actor, join = context.actor, self._join
        if actor is None:
            return changeset if self._step.allow_none else changeset.reject(join.entity.name, "needs an actor")
        is_other_record = hasattr(type(actor), "__runtime__") and not isinstance(actor, join.destination)
        held = actor if isinstance(actor, Mapping) else {name: getattr(actor, name, None) for name in join.other}
        if is_other_record or any(held.get(name) is None for name in join.other):
            what = f"the actor is a {type(actor).__name__}, and {join.entity.name} needs a {join.destination.__name__}"
            raise InvalidArgument(what, resource=self._runtime.info.name, action=changeset.action)
        return changeset.set(**{own: held[other] for own, other in zip(join.own, join.other, strict=True)})

    atomic = change


def _actor(runtime: Runtime, action: Action, step: RelateActor, join: Join) -> _Actor:
    if join.entity.kind != "belongs_to":
        what = f"relate_actor names {join.entity.name}, which is a {join.entity.kind}"
        raise _wrong(what, "Name a belongs_to: its key is set to that of the actor.")
    if isinstance(action, UpdateAction) and (keys := [name for name in join.own if name in runtime.key]):
        raise _wrong(f"relate_actor sets {keys[0]!r}, a part of the primary key, in an update", "Write it in a create action.")
    return _Actor(runtime, step, join)


# cascade_destroy

_destroying: ContextVar[frozenset[Any]] = ContextVar("resourcekit_destroying", default=frozenset())
"""Records whose related records are being destroyed: records that refer to each other in a circle come once."""


class _Cascade:
    """Destroys the related records of a record before it."""

    def __init__(self, runtime: Runtime, step: CascadeDestroy, join: Join, runner: Callable[[], Any]) -> None:
        self._runtime, self._step, self._join, self._runner = runtime, step, join, runner

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Have a hook destroy the related records."""
        del context
        return changeset.before_action(self._destroy)

    atomic = change

    async def _destroy(self, changeset: Changeset, context: Context) -> None:
        record = changeset.record
        running, mine = _destroying.get(), _identity(self._runtime, record)
        token = _destroying.set(running | {mine})
        try:
            related = await self._related(record)
            others = [each for each in related if _identity(self._runner().runtime, each) not in _destroying.get()]
            await destroy_all(self._runner(), others, context)
        finally:
            _destroying.reset(token)

    async def _related(self, record: Any) -> list[Any]:
        if self._join.through is None:
            return await related_to(self._runtime, self._step.relationship, record)
        return await _between(self._join, record)


def _identity(runtime: Runtime, record: Any) -> tuple[Any, ...]:
    return (id(runtime), *(repr(getattr(record, name)) for name in runtime.key))


async def _between(join: Join, record: Any) -> list[Any]:
    """Return the records between a record and its related ones."""
    between = runtime_of(join.through)
    conditions = [Field(other) == getattr(record, own) for own, other in zip(join.own, join.other, strict=True)]
    return await fetch_all(between, (await shown_query(between)).filter(*conditions))


def _cascade(runtime: Runtime, action: Action, step: CascadeDestroy, join: Join) -> _Cascade:
    if not isinstance(action, DestroyAction):
        raise _wrong(f"cascade_destroy belongs in a destroy action, not in a {action.kind}", "Move it there.")
    if join.entity.kind == "belongs_to":
        what = f"cascade_destroy names {join.entity.name}, a belongs_to, whose record others may refer to"
        raise _wrong(what, "Name a has_one, a has_many or a many_to_many.")
    if join.entity.limit is not None:
        raise _wrong(f"{join.entity.name} is limited, so its other records would stay", "Name a relationship without limit.")
    target = join.destination if join.through is None else join.through
    name = _one_action(
        target.__info__, DestroyAction, step.action, "action", f"cascade_destroy({step.relationship!r}) destroys its records"
    )
    return _Cascade(runtime, step, join, _runner(target, name))
