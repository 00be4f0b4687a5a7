"""Typed access to the facts of a resource, during compilation and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs

from resourcekit.declarations.action import Action
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.calculations import Calculation
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.relationships import Relationship
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.state import State as KitState
from resourcekit.errors import MissingMethod
from resourcekit.known_names import unchangeable

__all__ = [
    "Facts",
    "State",
]

E = TypeVar("E", bound=Entity)


class Facts:
    """Typed views of declared entities. A subclass implements ``all_of``."""

    def all_of(self, kind: type[E]) -> Mapping[str, E]:
        """Return the declared entities of one kind (subclasses included) by name, in the order of declaration."""
        raise MissingMethod.of(self, "all_of")

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
    def relationships(self) -> Mapping[str, Relationship]:
        """Relationships by name."""
        return self.all_of(Relationship)

    @property
    def calculations(self) -> Mapping[str, Calculation]:
        """Calculations by name."""
        return self.all_of(Calculation)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the attributes of the primary key, in the order of declaration."""
        return tuple(name for name, attribute in self.attributes.items() if attribute.primary_key)


@unchangeable("the state of a transformer", "its methods return another one: return state.add(...)")
@attrs.frozen(kw_only=True, eq=False, slots=False)
class State(KitState, Facts):
    """A resource while transformers change it; ``state.attributes`` and the like have the same meaning as on ResourceInfo."""
