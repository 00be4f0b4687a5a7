"""Joins: relationships whose destinations are found and checked, which a domain does when it is sealed.

A maintainer opens it to change how a destination is found, or which declarations of relationships are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from resourcekit.actions.runtime import Runtime
from resourcekit.declarations.relationships import Relationship
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.compiler import gathering, raise_all
from resourcekit.dsl.lazy import resolve
from resourcekit.errors import DeclarationError, InvalidArgument, did_you_mean
from resourcekit.expressions.nodes import Expression, Sort, as_condition
from resourcekit.expressions.query import as_sort
from resourcekit.expressions.rewriting import refers
from resourcekit.resource_info import ResourceInfo

__all__ = ["Join", "join_all", "join_of"]


@attrs.frozen(eq=False)
class Join:
    """A relationship with its destination.

    own: the attributes of the source that are compared. other: those of the destination, in the same order; of ``through`` for a
    many_to_many.
    through: the resource between the two. onward: its attributes that refer to the destination; far: those that they refer to.
    condition, order: of the related records, beside those of the destination's primary read.
    """

    entity: Relationship
    destination: Any
    own: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    through: Any = None
    onward: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    condition: Expression | None = None
    order: tuple[Sort, ...] = ()


def join_of(runtime: Runtime, name: str, owner: Any) -> Join:
    """Return a relationship of a resource. Raise InvalidArgument for one of another resource."""
    join: Join | None = runtime.joins.get(name)
    if join is not None and owner is runtime.resource:
        return join
    what = f"{getattr(owner, '__name__', owner)}.{name} is no relationship of {runtime.info.name}"
    raise InvalidArgument(f"{what}. {did_you_mean(name, runtime.joins)}".rstrip(), resource=runtime.info.name)


def join_all(members: Sequence[Any]) -> list[DeclarationError]:
    """Find the destinations of the relationships of a domain's members, and return the errors of all of them."""
    errors: list[DeclarationError] = []
    for member in members:
        info: ResourceInfo = member.__info__
        joins: dict[str, Join] = {}
        for name, entity in info.relationships.items():
            with gathering(errors, info.name, entity.origin, (entity.section, name)):
                joins[name] = _join(info, entity, members)
        member.__runtime__.joins = joins
    return errors or [*_circles(members)]


def _wrong(code: str, what: str, hint: str) -> DeclarationError:
    return DeclarationError(code, what, hint=hint)


def _join(info: ResourceInfo, entity: Relationship, members: Sequence[Any]) -> Join:
    if entity.limit is not None and entity.limit < 1:
        raise _wrong(
            "RK003", f"option 'limit' must be a number from 1 on, is {entity.limit}", "Leave it out to load all records."
        )
    destination = _found(info, entity.target if entity.to is None else entity.to, members)
    other: ResourceInfo = destination.__info__
    if entity.kind == "related":
        return Join(entity, destination)
    if entity.kind == "belongs_to":
        far = entity.to_field or other.primary_key
        _require(info, entity.key, other, far, f"{entity.name} = belongs_to")
        _require_none(info, entity)
        join = Join(entity, destination, entity.key, far)
    elif entity.kind == "many_to_many":
        through = _found(info, entity.through, members)
        middle: ResourceInfo = through.__info__
        _require(middle, entity.source, info, info.primary_key, "many_to_many")
        _require(middle, entity.destination, other, other.primary_key, "many_to_many")
        join = Join(entity, destination, info.primary_key, entity.source, through, entity.destination, other.primary_key)
    else:
        own = _referred(info, entity, other) or info.primary_key
        _require(other, entity.key, info, own, entity.kind)
        _require_one(entity, other)
        join = Join(entity, destination, own, entity.key)
    return attrs.evolve(join, condition=_condition(destination, entity), order=_order(destination, entity))


def _found(info: ResourceInfo, given: Any, members: Sequence[Any]) -> Any:
    """Return a resource class. A text is a name of the module, or of a member of the domain, or ``"app.library.Author"``."""
    if isinstance(given, str):
        found = _named(info, given, members)
    else:
        found = given if isinstance(given, type) or not callable(given) else _called(given, "to")
    if isinstance(found, type) and isinstance(found.__dict__.get("__runtime__"), Runtime):
        return found
    raise _wrong("RK091", f"refers to {_text(found)}, which is no resource", "Name a class that inherits from Resource.")


def _text(value: object) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def _named(info: ResourceInfo, name: str, members: Sequence[Any]) -> Any:
    module, _, last = name.rpartition(":" if ":" in name else ".")
    found: Any = sys.modules.get(info.module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not None:
        return found
    by_name = {member.__name__: member for member in members}
    if name in by_name:
        return by_name[name]
    if module and "." not in last:
        try:
            return resolve(f"{module}:{last}")
        except DeclarationError as error:
            raise _wrong("RK091", f"refers to {name!r}: {error.what}", error.hint) from error
    hint = did_you_mean(name, by_name) if name.lower() in {each.lower() for each in by_name} else ""
    cure = f'Write to="package.module.{name}", or declare {name} in this domain.'
    raise _wrong("RK091", f"refers to {name!r}, which is neither in {info.module} nor in the domain", f"{hint} {cure}".strip())


def _called(function: Callable[[], Any], option: str) -> Any:
    try:
        return function()
    except Exception as error:  # a lambda of the user can fail in any way
        what = f"the function of {option} raised {type(error).__name__}: {error}"
        raise _wrong("RK091" if option == "to" else "RK092", what, f"Correct {option}=lambda: ...") from error


def _referred(info: ResourceInfo, entity: Relationship, other: ResourceInfo) -> tuple[str, ...]:
    """Return the attributes that the belongs_to with the same key refers to; empty without such a one."""
    back = [each for each in other.relationships.values() if each.kind == "belongs_to" and each.key == entity.key]
    return next((each.to_field for each in back if each.target in (info.name, None) or _text(each.target) == info.name), ())


def _require(holder: ResourceInfo, key: tuple[str, ...], other: ResourceInfo, far: tuple[str, ...], kind: str) -> None:
    """Raise DeclarationError if the attributes of a key do not exist, or cannot hold the values that they refer to."""
    if len(key) != len(far):
        what = f"the key ({', '.join(key)}) refers to ({', '.join(far)}) of {other.name}, which are {len(far)} attributes"
        raise _wrong("RK092", what, f"Name {len(far)}, as a tuple.")
    errors = []
    for name, target in zip(key, far, strict=True):
        if target not in other.attributes:
            what = f"refers to {target!r}, which is no attribute of {other.name}"
            errors.append(_wrong("RK092", what, did_you_mean(target, other.attributes)))
            continue
        wanted = other.attributes[target].type
        if name not in holder.attributes:
            what = f"its key {name!r} is no attribute of {holder.name}"
            hint = f"Declare it: {name}: Attr[{_written(wanted)}] = attribute(...)."
            errors.append(_wrong("RK092", what, hint))
        elif _comparable(holder.attributes[name].type) != _comparable(wanted):
            what = f"the key {name!r} is {holder.attributes[name].type}, and {other.name}.{target} is {wanted}"
            errors.append(_wrong("RK093", what, f"Give both the same type; {kind} compares their values."))
    raise_all(errors)


def _written(kind: Any) -> str:
    return kind.python.__name__ if isinstance(getattr(kind, "python", None), type) else str(kind)


def _comparable(kind: Any) -> object:
    """Return a value that is equal for types whose values can be compared and are hashable."""
    if kind.basic.kind in (Kind.ANY, Kind.LIST, Kind.MAP):
        return object()
    return (kind.kind, kind.own, kind.python if kind.kind in (Kind.ENUM, Kind.LITERAL) else None)


def _require_none(info: ResourceInfo, entity: Relationship) -> None:
    """Raise DeclarationError if the key may be None and the annotation does not allow it."""
    if not entity.allow_none and any(info.attributes[name].allow_none for name in entity.key):
        what = f"its key may be None, and the annotation One[{_text(entity.target).strip(chr(39))}] has no None"
        raise _wrong("RK090", what, f"Write One[{_text(entity.target).strip(chr(39))} | None].")


def _require_one(entity: Relationship, other: ResourceInfo) -> None:
    """Raise DeclarationError for a has_one that several records may answer in no order."""
    if entity.kind != "has_one" or entity.sort:
        return
    unique = [set(group.fields) for group in other.identities.values()] + [set(other.primary_key)]
    if not any(group <= set(entity.key) for group in unique):
        what = f"several records of {other.name} may have one {', '.join(entity.key)}, and no order selects one"
        raise _wrong("RK094", what, f"Declare identity({', '.join(map(repr, entity.key))}) there, or give sort=.")


def _condition(destination: Any, entity: Relationship) -> Expression | None:
    if entity.where is None:
        return None
    try:
        given = as_condition(_called(entity.where, "where"))
        # A condition over further resources is checked when it is used, because these may not be sealed yet.
        checked: Expression = given if refers(given) else destination.__runtime__.conditions.condition(given)
    except InvalidArgument as error:
        raise _wrong("RK092", f"its where cannot be used: {error}", "Write a condition over the other resource.") from error
    return checked


def _order(destination: Any, entity: Relationship) -> tuple[Sort, ...]:
    if not entity.sort:
        return ()
    keys = _called(entity.sort, "sort") if callable(entity.sort) else entity.sort
    try:
        order = tuple(map(as_sort, [keys] if isinstance(keys, (str, Sort)) else keys))
        destination.__runtime__.conditions.order(order)
    except (InvalidArgument, TypeError) as error:
        raise _wrong("RK092", f"its sort cannot be used: {error}", "Name attributes of the other resource.") from error
    return order


def _circles(members: Sequence[Any]) -> Iterator[DeclarationError]:
    """Find resources that refer to each other with required keys only, so that no first record can be stored."""
    edges: dict[Any, list[Join]] = {}
    for member in members:
        joins = [join for join in member.__runtime__.joins.values() if join.entity.kind == "belongs_to"]
        edges[member] = [
            join for join in joins if not any(member.__info__.attributes[name].allow_none for name in join.entity.key)
        ]
    reported: set[frozenset[Any]] = set()
    for member in members:
        path = _path_back(member, edges)
        if path is not None and frozenset(path) not in reported:
            reported.add(frozenset(path))
            join = edges[member][0] if len(path) == 1 else next(one for one in edges[member] if one.destination is path[1])
            around = " to ".join(each.__name__ for each in (*path, member))
            yield DeclarationError(
                "RK095",
                f"no first record can be stored: {around} refer to each other, and every key is required",
                resource=member.__name__,
                path=(join.entity.section, join.entity.name),
                origin=join.entity.origin,
                hint=f"Let one key be None: {join.entity.key[0]}: Attr[... | None] = attribute(default=None).",
            )


def _path_back(start: Any, edges: dict[Any, list[Join]]) -> list[Any] | None:
    """Return the resources on a shortest way from one back to itself; ``None`` if there is none."""
    ways, seen = [[start]], set[Any]()
    while ways:
        way = ways.pop(0)
        for join in edges.get(way[-1], ()):
            if join.destination is start:
                return way
            if join.destination not in seen:
                seen.add(join.destination)
                ways.append([*way, join.destination])
    return None
