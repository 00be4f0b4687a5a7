"""The state of a resource during compilation: immutable, with the author of each addition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from keyword import iskeyword
from types import MappingProxyType
from typing import Any, Self, TypeVar

import attrs

from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.extension_checks import is_plain_method
from resourcekit.dsl.option import wrong_fields
from resourcekit.errors import DeclarationError, did_you_mean
from resourcekit.known_names import shown

__all__ = ["State", "options_of"]

E = TypeVar("E", bound=Entity)
X = TypeVar("X")
_NOTHING: Mapping[Any, Any] = {}


def options_of(kind: type[X], extensions: Mapping[type, object]) -> X | None:
    """Return the options of an extension, or of a subclass of it, among those of a resource; ``None`` if it has neither."""
    candidates = (extensions.get(kind), *extensions.values())
    return next((options for options in candidates if isinstance(options, kind)), None)


def _read_only(entities: Mapping[str, Entity]) -> Mapping[str, Entity]:
    """Return entities as a mapping that a transformer cannot change in place."""
    return MappingProxyType(entities)


def _same_singleton(entity: Entity, entities: Mapping[str, Entity]) -> Entity | None:
    """Return the entity that is not allowed beside a singleton; ``None`` if there is none."""
    kind = entity.singleton_kind()
    return None if kind is None else next((there for there in entities.values() if isinstance(there, kind)), None)


@attrs.frozen(kw_only=True, eq=False)
class State:
    """The declarations so far. Every method returns a new state. The compiler sets ``by`` to the running extension.

    entities: by name. A name has one meaning, whatever its kind, because all of them become names on the class.
    reserved: names that the class body uses for other things than declarations; no entity may have one.
    settable: the class options that a transformer may set; the others are read before transformers run.
    """

    name: str
    module: str
    doc: str = ""
    origin: Origin = attrs.field(factory=Origin)
    entities: Mapping[str, Entity] = attrs.field(default=_NOTHING, converter=_read_only)
    reserved: frozenset[str] = frozenset()
    extensions: Mapping[type, object] = _NOTHING
    options: Mapping[str, object] = _NOTHING
    settable: frozenset[str] = frozenset()
    persisted: Mapping[str, object] = _NOTHING
    functions: Mapping[str, Callable[..., object]] = _NOTHING
    history: Mapping[tuple[str, str], tuple[str, ...]] = _NOTHING
    by: str = "you"

    def all_of(self, kind: type[E]) -> Mapping[str, E]:
        """Return the entities of one kind (subclasses included) by name, in the order of declaration."""
        return MappingProxyType({name: entity for name, entity in self.entities.items() if isinstance(entity, kind)})

    def one_of(self, kind: type[E]) -> E | None:
        """Return the entity of a singleton kind; ``None`` if there is none."""
        return next(iter(self.all_of(kind).values()), None)

    def extension(self, kind: type[X]) -> X | None:
        """Return the options of an extension (or of a subclass) that the resource names; ``None`` if it does not."""
        return options_of(kind, self.extensions)

    def add(self, *entities: Entity) -> Self:
        """Add entities under names that are free.

        Raise DeclarationError RK010 with both places if a name is taken or a singleton is there already, and RK055 if a
        method or a constant of the class body has the name.
        """
        new = dict(self.entities)
        for entity in entities:
            self._require_sound(entity)
            if (there := new.get(entity.name) or _same_singleton(entity, new)) is not None:
                called = repr(entity.name) if there.name == entity.name else f"the {type(entity).__name__} of a resource"
                raise DeclarationError(
                    "RK010",
                    f"{called} is declared twice: {there.origin}, and {self._placed(entity).origin}",
                    resource=self.name,
                    path=(entity.section, entity.name),
                    origin=entity.origin,
                    hint="Rename or remove one of the two.",
                )
            self._require_free(entity.name, entity.section, self._placed(entity).origin.declared_by)
            new[entity.name] = self._placed(entity)
        return self._with(new, entities, "added")

    def add_new(self, *entities: Entity) -> Self:
        """Add the entities whose names are free; existing declarations are kept, as is an existing singleton."""
        return self.add(
            *(entity for entity in entities if entity.name not in self.entities and not _same_singleton(entity, self.entities))
        )

    def replace(self, entity: Entity) -> Self:
        """Replace the entity with the same name. Raise DeclarationError RK011 if there is none."""
        self._require_sound(entity)
        there = self._existing(entity.name, entity.section)
        if there.section != entity.section:
            what = f"{self.by} replaces {entity.name!r} of the {there.section} by a {type(entity).__name__}"
            raise self._wrong(what, there.section, entity.name, "Remove the one, and add the other under a name of its own.")
        return self._with({**self.entities, entity.name: entity}, (entity,), "replaced")

    def remove(self, name: str) -> Self:
        """Remove an entity. Raise DeclarationError RK011 if there is none."""
        gone = self._existing(name, "entities")
        return self._with({key: value for key, value in self.entities.items() if key != name}, (gone,), "removed")

    def set_option(self, name: str, value: object) -> Self:
        """Set a class option. Raise DeclarationError RK016 for one that is not in ``settable``, because nothing would read it."""
        if name not in self.settable:
            what = f"{self.by} sets the class option {name!r}, which a transformer cannot set"
            close = did_you_mean(str(name), self.settable)
            hint = f"{close} For a value of your own, call persist(key, value) instead.".lstrip()
            raise self._wrong(what, "options", str(name), hint)
        return attrs.evolve(self, options={**self.options, name: value})

    def persist(self, key: str, value: object) -> Self:
        """Store a value for run time; ``info(R).persisted[key]`` reads it. Raise RK016 for a key that is no text."""
        if not isinstance(key, str):
            raise self._wrong(f"{self.by} persists under {key!r}, which is no text", "persisted", repr(key), "Give a text.")
        return attrs.evolve(self, persisted={**self.persisted, key: value})

    def define(self, name: str, function: Callable[..., object]) -> Self:
        """Put a function on the class. It replaces an action of that name, which stays available through ``info``.

        Raise DeclarationError RK055 if the class body has a method or a constant of that name.
        """
        self._require_name(name, "functions")
        if not callable(function) and not hasattr(function, "__get__"):
            raise self._wrong(
                f"{self.by} defines {name!r} as {shown(function)}, which cannot be called", "functions", name, "Give a function."
            )
        if is_plain_method(function):
            what = f"{self.by} defines {name!r} as a plain function, which would not be given the resource"
            raise self._wrong(what, "functions", name, "Write @function above it, and async def.")
        self._require_free(name, "functions", self.by)
        history = {**self.history, ("functions", name): (*self.history.get(("functions", name), ()), f"defined by {self.by}")}
        return attrs.evolve(self, functions={**self.functions, name: function}, history=history)

    def _wrong(self, what: str, section: str, name: str, hint: str) -> DeclarationError:
        return DeclarationError("RK016", what, resource=self.name, path=(section, name), origin=self.origin, hint=hint)

    def _require_name(self, name: object, section: str) -> None:
        """Raise DeclarationError RK016 for a name that an extension cannot put on a class."""
        if not isinstance(name, str) or not name.isidentifier() or iskeyword(name) or name.startswith("__"):
            what = (
                f"{self.by} adds something to the {section} under the name {name!r}"
                if name
                else f"{self.by} adds to the {section} without a name"
            )
            raise self._wrong(what, section, str(name), "Give it a name that a class can have, such as changed_by.")

    def _require_sound(self, entity: Entity) -> None:
        """Raise DeclarationError RK016 if an extension adds something that is no entity, has no name, or has wrong fields."""
        if self.by == "you":
            return
        if not isinstance(entity, Entity):
            what = f"{self.by} adds {shown(entity)}, which is no entity"
            raise self._wrong(what, "entities", type(entity).__name__, "Add an entity; named(name, builder(...)) makes one.")
        self._require_name(entity.name, entity.section)
        for name, problem in wrong_fields(entity):
            what = f"{self.by} adds {entity.name!r}, whose {name} {problem}"
            raise self._wrong(what, entity.section, entity.name, f"Correct the {name} in the transformer.")

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
