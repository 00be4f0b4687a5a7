"""A resource while extensions work on it: an immutable state that remembers who added what. It knows no resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import attrs

from resourcekit.dsl.entity import Entity
from resourcekit.dsl.origin import Origin
from resourcekit.errors import DeclarationError, did_you_mean

__all__ = ["State"]

E = TypeVar("E", bound=Entity)
X = TypeVar("X")
_NOTHING: Mapping[Any, Any] = {}


@attrs.frozen(kw_only=True, eq=False)
class State:
    """What is known so far. Every method returns a new state; ``by`` is set by the compiler to whoever works.

    entities: by name. One name means one thing, whatever its kind, because all of them become names on the class.
    reserved: names that the class body uses for something that is no declaration; no entity may take one.
    """

    name: str
    module: str
    doc: str = ""
    origin: Origin = attrs.field(factory=Origin)
    entities: Mapping[str, Entity] = _NOTHING
    reserved: frozenset[str] = frozenset()
    extensions: Mapping[type, object] = _NOTHING
    options: Mapping[str, object] = _NOTHING
    persisted: Mapping[str, object] = _NOTHING
    functions: Mapping[str, Callable[..., object]] = _NOTHING
    history: Mapping[tuple[str, str], tuple[str, ...]] = _NOTHING
    by: str = "you"

    def all_of(self, kind: type[E]) -> Mapping[str, E]:
        """Return the entities of one kind (subclasses included) by name, in the order of declaration."""
        return {name: entity for name, entity in self.entities.items() if isinstance(entity, kind)}

    def extension(self, kind: type[X]) -> X | None:
        """Return the options of an extension that the resource names; ``None`` where it does not."""
        found = self.extensions.get(kind)
        return found if isinstance(found, kind) else None

    def add(self, *entities: Entity) -> Self:
        """Add entities under names that are still free.

        Raises DeclarationError RK010 naming both places where a name is taken, and RK055 where a method or a constant of
        the class body has it.
        """
        new = dict(self.entities)
        for entity in entities:
            if (there := new.get(entity.name)) is not None:
                raise DeclarationError(
                    "RK010",
                    f"{entity.name!r} is declared twice: {there.origin}, and {self._placed(entity).origin}",
                    resource=self.name,
                    path=(entity.section, entity.name),
                    origin=entity.origin,
                    hint="Rename or remove one of the two.",
                )
            self._require_free(entity.name, entity.section, self._placed(entity).origin.declared_by)
            new[entity.name] = self._placed(entity)
        return self._with(new, entities, "added")

    def add_new(self, *entities: Entity) -> Self:
        """Add those entities whose names are still free; the declarations that stand already win."""
        return self.add(*(entity for entity in entities if entity.name not in self.entities))

    def replace(self, entity: Entity) -> Self:
        """Put an entity in the place of the one with its name.

        Raises DeclarationError RK011 where there is none.
        """
        self._existing(entity.name, entity.section)
        return self._with({**self.entities, entity.name: entity}, (entity,), "replaced")

    def remove(self, name: str) -> Self:
        """Take an entity away.

        Raises DeclarationError RK011 where there is none.
        """
        gone = self._existing(name, "entities")
        return self._with({key: value for key, value in self.entities.items() if key != name}, (gone,), "removed")

    def set_option(self, name: str, value: object) -> Self:
        """Set a class option."""
        return attrs.evolve(self, options={**self.options, name: value})

    def persist(self, key: str, value: object) -> Self:
        """Keep a value for run time; ``info(R).persisted[key]`` reads it."""
        return attrs.evolve(self, persisted={**self.persisted, key: value})

    def define(self, name: str, function: Callable[..., object]) -> Self:
        """Put a function on the class; it wins over an action of that name, which stays reachable through ``info``.

        Raises DeclarationError RK055 where the class body has a method or a constant of that name.
        """
        self._require_free(name, "functions", self.by)
        return attrs.evolve(self, functions={**self.functions, name: function})

    def _placed(self, entity: Entity) -> Entity:
        if self.by == "you" or entity.origin.declared_by != "you":
            return entity
        return attrs.evolve(entity, origin=attrs.evolve(entity.origin, declared_by=self.by))

    def _require_free(self, name: str, section: str, wanted_by: str) -> None:
        if name in self.reserved:
            raise DeclarationError(
                "RK055",
                f"the class body has something else of that name, which {wanted_by} would hide",
                resource=self.name,
                path=(section, name),
                origin=self.origin,
                hint=f"Give your own {name!r} another name.",
            )

    def _existing(self, name: str, section: str) -> Entity:
        found = self.entities.get(name)
        if found is None:
            raise DeclarationError(
                "RK011",
                f"there is no {name!r} to replace or remove, asked for by {self.by}",
                resource=self.name,
                path=(section, name),
                origin=self.origin,
                hint=did_you_mean(name, self.entities),
            )
        return found

    def _with(self, entities: Mapping[str, Entity], touched: tuple[Entity, ...], verb: str) -> Self:
        history = dict(self.history)
        for entity in touched:
            key = (entity.section, entity.name)
            history[key] = (*history.get(key, ()), f"{verb} by {self.by}")
        return attrs.evolve(self, entities=entities, history=history)
