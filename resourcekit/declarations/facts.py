"""The names by which the facts of a resource are read, while it is being built and afterwards. It knows no store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from resourcekit.declarations.action import Action
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.identity import Identity, Index
from resourcekit.dsl.entity import Entity

__all__ = ["Facts"]

E = TypeVar("E", bound=Entity)


class Facts:
    """Typed views over declared entities; ``all_of`` is all that a holder must provide."""

    def all_of(self, kind: type[E]) -> Mapping[str, E]:
        """Return the declared entities of one kind (subclasses included) by name, in the order of declaration."""
        raise NotImplementedError

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """Attributes by name."""
        return self.all_of(Attribute)

    @property
    def actions(self) -> Mapping[str, Action]:
        """Actions of every kind by name."""
        return self.all_of(Action)

    @property
    def identities(self) -> Mapping[str, Identity]:
        """Identities by name, without the primary key."""
        return self.all_of(Identity)

    @property
    def indexes(self) -> Mapping[str, Index]:
        """Indexes by name."""
        return self.all_of(Index)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the attributes that make the key, in the order of declaration."""
        return tuple(name for name, attribute in self.attributes.items() if attribute.primary_key)
