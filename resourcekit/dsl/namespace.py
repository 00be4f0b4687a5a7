"""The namespace of a class body: gives entities their names, and records repeated declarations."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.recorder import Recorder, Unfinished, values_inside
from resourcekit.errors import DeclarationError

__all__ = ["Body", "other_names", "unnamed"]


class Body(Recorder):
    """The namespace of a class statement.

    An entity builder gets its name at once, so that the lines below can use it in expressions. repeated: name to the entity
    that a later line replaced; Python itself would lose it silently. shared: declarations with two names, the later one first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.repeated: dict[str, Entity] = {}
        self.shared: list[tuple[str, str, Entity]] = []

    def __setitem__(self, name: str, value: Any) -> None:
        """Store a value under a name."""
        former = self.get(name)
        if former is not value and isinstance(former, (Word, Entity)):
            self.repeated[name] = former.entity if isinstance(former, Word) else former
        elif isinstance(former, FunctionType) and isinstance(value, (Word, Entity)):
            entity = value.entity if isinstance(value, Word) else value
            if getattr(entity, "function", None) is not former:  # else the function is what the declaration runs
                self.repeated[name] = entity
        if isinstance(value, Word):
            if former is not value and (first := next((each for each, word in self.items() if word is value), None)):
                self.shared.append((name, first, value.entity))
            value.named(name)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        """Remove a name. Its entity was removed on purpose, and is not reported."""
        removed = {id(entity.origin) for entity in _entities(self.get(name))}
        self.made = [entity for entity in self.made if id(entity.origin) not in removed]
        super().__delitem__(name)


def _entities(value: object) -> list[Entity]:
    return [each for each in values_inside(value) if isinstance(each, Entity)]


def other_names(cls: type) -> frozenset[str]:
    """Return the names that a class body uses for other things than declarations: methods, constants."""
    return frozenset(
        name for name, value in vars(cls).items() if not isinstance(value, (Word, Entity)) and not name.startswith("__")
    )


def unnamed(body: Body, cls: type, resource: str) -> list[DeclarationError]:
    """Return an error for every entity of the class body that is neither named nor part of a named one."""
    # An entity and the copies that attrs.evolve makes of it share one Origin object, and no other entity has it.
    reached = {id(entity.origin) for entity in body.repeated.values()}
    held: dict[int, str] = {}
    waiting = list(body.made)
    for name, value in vars(cls).items():
        if isinstance(value, (Word, Entity)):
            reached |= {id(entity.origin) for entity in _entities(value)}
        elif isinstance(value, (list, tuple, set, frozenset, dict)) or type(value) is type:
            inside = _entities(dict(vars(value)) if isinstance(value, type) else value)
            held |= {id(entity.origin): name for entity in inside}
            waiting += inside
    errors = [_two_names(*names, resource) for names in body.shared]
    errors += [_unfinished(name, resource) for name, value in vars(cls).items() if isinstance(value, Unfinished)]
    for entity in waiting:
        # An entity with a name of its own, such as an argument, may be stored in a collection for the actions of subclasses.
        if id(entity.origin) in reached or (entity.name and id(entity.origin) in held):
            continue
        reached.add(id(entity.origin))
        errors.append(_without_name(entity, resource, held.get(id(entity.origin), "")))
    return errors


def _without_name(entity: Entity, resource: str, holder: str) -> DeclarationError:
    kind = type(entity).__name__
    if entity.name:
        what = f"the {kind} {entity.name!r} is part of no declaration and would be ignored"
        hint = "Give it to the declaration that it belongs to, or remove it."
    else:
        where = f"is kept in {holder!r}" if holder else "has no name"
        what = f"this {kind} {where} and would be ignored"
        hint = "Assign it to a name of its own in the class body: name = ..."
    return DeclarationError("RK037", what, resource=resource, path=(entity.section, entity.name), origin=entity.origin, hint=hint)


def _two_names(name: str, first: str, entity: Entity, resource: str) -> DeclarationError:
    what = f"{first!r} and {name!r} are one and the same {type(entity).__name__}"
    hint = f"Write the declaration of {name!r} once more."
    return DeclarationError("RK037", what, resource=resource, path=(entity.section, name), origin=entity.origin, hint=hint)


def _unfinished(name: str, resource: str) -> DeclarationError:
    hint = "Write it as a decorator above a function: @action(...)."
    return DeclarationError(
        "RK037", f"{name!r} decorates no function and would be ignored", resource=resource, path=(name,), hint=hint
    )
