"""Foreign keys: the belongs_to relationships whose rule for removals a data layer keeps.

A maintainer opens it to change which rules of ``on_delete`` are refused, or how data layers learn of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from resourcekit.actions.joins import Join
from resourcekit.actions.runtime import Runtime
from resourcekit.data_layers.base import Capability, Reference, Store
from resourcekit.declarations.action import DestroyAction, UpdateAction
from resourcekit.declarations.relationships import Relationship
from resourcekit.dsl.compiler import gathering
from resourcekit.errors import DeclarationError
from resourcekit.resource_info import ResourceInfo

__all__ = ["parents_first", "refer_all"]

_WRITE_NOTHING = 'Write on_delete="nothing"'


def refer_all(members: Sequence[Any]) -> list[DeclarationError]:
    """Let the stores of a domain's members keep their foreign keys. Return the errors of rules that cannot be kept."""
    errors: list[DeclarationError] = []
    found: list[tuple[Runtime, list[Reference[Store]]]] = []
    for member in members:
        runtime: Runtime = member.__runtime__
        references: list[Reference[Store]] = []
        for join in _kept(runtime):
            with gathering(errors, runtime.info.name, join.entity.origin, (join.entity.section, join.entity.name)):
                references += _reference(runtime, join)
        found.append((runtime, references))
    for runtime, references in [] if errors else found:
        runtime.references = tuple(references)
        for reference in references:
            reference.holder.keep_reference(reference)
            if reference.target is not reference.holder:
                reference.target.keep_reference(reference)
    return errors


def _kept(runtime: Runtime) -> Iterator[Join]:
    for join in runtime.joins.values():
        if join.entity.kind == "belongs_to" and join.entity.on_delete != "nothing":
            yield join


def _wrong(code: str, what: str, hint: str) -> DeclarationError:
    return DeclarationError(code, what, hint=hint)


def _reference(runtime: Runtime, join: Join) -> Iterator[Reference[Store]]:
    """Yield the foreign key of a relationship; nothing if a test has moved one of the two resources to another data layer."""
    other: Runtime = join.destination.__runtime__
    holder, target, rule = runtime.store.plain, other.store.plain, join.entity.on_delete
    stated = f'on_delete="{rule}"'
    if holder.group != target.group:
        if runtime.is_moved or other.is_moved:
            return
        what = f"{stated} cannot be kept: {other.info.name} is kept in another store"
        raise _wrong("RK096", what, f"{_WRITE_NOTHING}; a removed {other.info.name} then leaves keys that refer to no record.")
    for each, name in ((holder, runtime.info.name), (target, other.info.name)):
        if Capability.REFERENCES not in each.capabilities:
            what = f"{stated} cannot be kept: the data layer of {name} has no {Capability.REFERENCES.value}"
            raise _wrong("RK096", what, f"{_WRITE_NOTHING}, or keep both resources in one SQL database.")
    pairs = dict(zip(join.other, join.own, strict=True))
    groups = (other.info.primary_key, *(group.fields for group in other.info.identities.values()))
    unique = next((group for group in groups if set(group) == set(pairs)), None)
    if unique is None:
        what = f"{stated} cannot be kept: several records of {other.info.name} may have one {', '.join(pairs)}"
        raise _wrong("RK096", what, f"Declare identity({', '.join(map(repr, pairs))}) there. Or: {_WRITE_NOTHING}.")
    if rule != "restrict":
        _check_silent(runtime.info, join.entity, other.info)
    name = f"{runtime.info.name}.{join.entity.name}"
    yield Reference(name, holder, tuple(pairs[field] for field in unique), target, tuple(unique), rule)


def _check_silent(info: ResourceInfo, entity: Relationship, other: ResourceInfo) -> None:
    """Raise DeclarationError for a nullify that cannot be stored, and for rules that would go round code of the resource."""
    stated = f'on_delete="{entity.on_delete}"'
    required = [name for name in entity.key if not info.attributes[name].allow_none]
    if entity.on_delete == "nullify" and required:
        what = f"{stated} cannot be kept: {required[0]} must not be None"
        raise _wrong("RK097", what, f"Let it be None: {required[0]}: Attr[... | None]; or write another on_delete.")
    does = "removes" if entity.on_delete == "cascade" else "changes"
    passed = next(_passed_over(info, entity.on_delete), None)
    if passed is not None:
        what = f"{stated} {does} records of {info.name} in the store, and {passed}"
        cure = f'Write on_delete="restrict", and write to them by their own actions before a {other.name} is removed.'
        raise _wrong("RK097", what, cure)


def _passed_over(info: ResourceInfo, rule: str) -> Iterator[str]:
    """Yield what a removal or a change of records by the store would pass over."""
    kind = DestroyAction if rule == "cascade" else UpdateAction
    actions = [action for action in info.actions.values() if isinstance(action, kind)]
    if info.options.get("notifiers"):
        yield "its notifiers would not learn of it"
    for action in actions:
        if isinstance(action, DestroyAction) and action.soft:
            yield f"its action {action.name} keeps them in an archive"
        if action.notifiers:
            yield f"the notifiers of its action {action.name} would not learn of it"
        if rule == "cascade" and (action.changes or action.validations):
            yield f"the changes and validations of its action {action.name} would not run"


def parents_first(members: Sequence[Any]) -> list[Any]:
    """Return resources and all to which their foreign keys refer, in an order in which their storage can be created.

    Resources that refer to each other in a circle come in the order given, and once more at the end.
    """
    order: list[Any] = []
    again: list[Any] = []
    _visit(members, order, again, [])
    return [*order, *dict.fromkeys(again)]


def _visit(resources: Sequence[Any], order: list[Any], again: list[Any], path: list[Any]) -> None:
    for resource in resources:
        if resource in path:
            if resource is not path[-1]:
                again += path[path.index(resource) :]
        elif resource not in order:
            _visit([join.destination for join in _kept(resource.__runtime__)], order, again, [*path, resource])
            order.append(resource)
