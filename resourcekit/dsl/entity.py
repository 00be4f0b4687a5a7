"""Entities and entity builders: the base classes of declared values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeVar, cast

import attrs

from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.option import Options, allow_any_order, require_order, require_values
from resourcekit.dsl.recorder import record, running_class_body
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError

__all__ = [
    "Entity",
    "EntityOptions",
    "Word",
    "extend",
    "shadowed_builder",
]


def shadowed_builder(declared: Entity | Word) -> DeclarationError:
    """Return the error for a declaration that a later line of the class body calls like the builder of its name."""
    entity = declared.entity if isinstance(declared, Word) else declared
    body: Mapping[str, Any] = running_class_body() or {}
    name = next((name for name, value in body.items() if value is declared), entity.name)
    return DeclarationError(
        "RK038",
        f"{name!r} is the {type(entity).__name__} declared at {entity.origin}, and no builder any more"
        if name
        else "is no builder",
        path=(entity.section, name),
        origin=Origin.here(),
        hint=f"Give the declaration another name, or import the builder under one: from resourcekit import {name} as {name}_builder.",
    )


@attrs.frozen(kw_only=True, eq=False)
class Entity:
    """The base of everything that can be declared: attributes, actions, identities, and the entities of extensions.

    An entity is immutable; extensions replace it by a changed copy. ``section`` is the plural name of its kind in error texts
    and in ``explain``.
    singleton: a class body has at most one entity of this kind; ``state.one_of(Kind)`` returns it.
    deprecated: the replacement, as a sentence, if the kind must not be used any more. A use shows a DeprecationWarning.
    name: from the class body.
    origin: place and author of the declaration.
    doc: one or two sentences, for ``explain`` and for reference pages.
    extras: options that other extensions added, by their class; ``EntityOptions.of(entity)`` reads them.
    """

    section: ClassVar[str] = "entities"
    singleton: ClassVar[bool] = False
    deprecated: ClassVar[str] = ""

    name: str = ""
    origin: Origin = attrs.field(factory=Origin)
    doc: str = ""
    extras: Mapping[type, object] = attrs.field(factory=dict, repr=False)

    def __init_subclass__(cls) -> None:
        """Raise DeclarationError RK015 for fields in an order that attrs refuses."""
        super().__init_subclass__()
        if "__attrs_attrs__" in vars(cls):
            require_order(cls)
        else:
            allow_any_order(cls)

    def __attrs_post_init__(self) -> None:
        """Check the fields that ``option`` made (RK003).

        Record the entity in the class body that runs now, so that one without a name is reported (RK037).
        """
        if not isinstance(self.origin, Origin):
            what = f"the origin of {type(self).__name__} must be an Origin, is {self.origin!r}"
            raise DeclarationError(
                "RK015", what, path=(type(self).__name__, "origin"), origin=Origin.here(), hint="Write origin=Origin.here()."
            )
        require_values(self, self.origin)
        record(self)

    @classmethod
    def singleton_kind(cls) -> type[Entity] | None:
        """Return the class of which a class body has at most one entity; ``None`` if there may be several."""
        kinds = [kind for kind in cls.__mro__ if issubclass(kind, Entity) and kind.singleton]
        return kinds[-1] if kinds else None

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Return this entity with the name and the annotation from the class body (``None`` without annotation).

        ``scope`` resolves annotation texts. Raise DeclarationError for a wrong annotation.
        """
        return self if self.name else attrs.evolve(self, name=name)

    if not TYPE_CHECKING:  # for checkers it is not callable

        def __call__(self, *args: Any, **given: Any) -> NoReturn:
            """Raise DeclarationError RK038: a declaration took the name of a builder, and a later line calls that."""
            raise shadowed_builder(self)


class Word:
    """An entity builder: a value of a class body that holds an entity and has another type for type checkers."""

    __slots__ = ("entity",)

    entity: Entity

    def __init__(self, entity: Entity) -> None:
        self.entity = entity

    if not TYPE_CHECKING:  # for checkers it is not callable

        def __call__(self, *args: Any, **given: Any) -> NoReturn:
            """Raise DeclarationError RK038: a declaration took the name of a builder, and a later line calls that."""
            raise shadowed_builder(self)

    def named(self, name: str) -> None:
        """Receive the name from the class body, as soon as it is assigned."""

    @classmethod
    def bare(cls) -> Word | None:
        """Return the entity builder for an annotation without a value; ``None`` if such an annotation declares nothing."""
        return None


D = TypeVar("D")


@attrs.frozen(kw_only=True)
class EntityOptions(Options):
    """The base of options for entities of another extension.

    A builder of the author puts them on a declaration with ``extend``; the extension lists the class in ``entity_options``.
    on: the kind of entity that may have them.
    """

    on: ClassVar[type[Entity]] = Entity

    @classmethod
    def of(cls, entity: Entity) -> Self | None:
        """Return these options of an entity; ``None`` if it has none."""
        found = entity.extras.get(cls)
        return found if isinstance(found, cls) else None


def extend(declared: D, options: EntityOptions) -> D:
    """Return a declaration (the value of an entity builder, or an entity) with added options.

    ``def masked(declared: D, *, shows: int = 4) -> D: return extend(declared, Masked(shows=shows))``, and in a class body
    ``card: Attr[str] = masked(attribute(), shows=2)``.

    Raise DeclarationError RK003 for a declaration of another kind than ``on``.
    """
    # Any: checkers see the type of the attribute or the caller here, not that of the builder.
    given: Any = declared
    entity = given.entity if isinstance(given, Word) else given
    kind = type(options)
    if not isinstance(entity, kind.on):
        what = f"{kind.__name__} belongs to a declaration of the kind {kind.on.__name__}, is given {type(entity).__name__}"
        hint = "Give it the result of that entity builder."
        raise DeclarationError("RK003", what, path=(kind.__name__,), origin=options.origin, hint=hint)
    changed = attrs.evolve(entity, extras={**entity.extras, kind: options})
    if not isinstance(given, Word):
        return cast("D", changed)
    given.entity = changed
    return declared
