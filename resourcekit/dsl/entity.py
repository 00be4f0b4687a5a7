"""A declared value of a class body. It knows where it stands and nothing of what it means."""

from __future__ import annotations

from typing import ClassVar, Self

import attrs

from resourcekit.dsl.origin import Origin
from resourcekit.dsl.scope import Scope

__all__ = ["Entity", "Word"]


@attrs.frozen(kw_only=True, eq=False)
class Entity:
    """The base of everything that can be declared: attributes, actions, identities, and the words of extensions.

    An entity is immutable; extensions replace it by an evolved copy. ``section`` names the kind in error texts and in
    ``explain``, in the plural.

    name: as the class body says it. origin: where it is declared, and by whom.
    doc: one or two sentences on it, for ``explain`` and for pages of reference.
    """

    section: ClassVar[str] = "entities"

    name: str = ""
    origin: Origin = attrs.field(factory=Origin)
    doc: str = ""

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Return this entity as it stands in a class body: under that name, with that annotation (``None``: without).

        ``scope`` turns annotation texts into objects. Raises DeclarationError where the annotation will not do.
        """
        return self if self.name else attrs.evolve(self, name=name)


class Word:
    """A value of a class body that stands for an entity while it also serves type checkers as something else."""

    __slots__ = ("entity",)

    entity: Entity

    def __init__(self, entity: Entity) -> None:
        self.entity = entity

    def named(self, name: str) -> None:
        """Take notice of the name that the class body gives, as soon as it does."""

    @classmethod
    def bare(cls) -> Word | None:
        """Return the word that an annotation without a value stands for; ``None`` where it stands for nothing."""
        return None
