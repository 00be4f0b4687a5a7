"""Read-only facts of a compiled resource; stands between the words of a class body and the work of engine and stores."""

# A cached property stands for a property here.
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

import attrs

from resourcekit.declarations.action import Action
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.facts import Facts
from resourcekit.declarations.identity import Identity, Index
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.origin import Origin

__all__ = ["ResourceInfo"]

E = TypeVar("E", bound=Entity)


@attrs.frozen(kw_only=True, eq=False, slots=False)
class ResourceInfo(Facts):
    """Everything that is known of a resource, after all extensions have had their say.

    name: of the class; module: where it stands; doc: its docstring.
    entities: everything declared, in order. extensions: option values by extension class, in the order of application.
    options: the class options that are left (``notifiers``, ...). persisted: what transformers kept for later.
    history: for each ``(section, name)``, who touched it, first to last.
    """

    name: str
    module: str
    doc: str = ""
    origin: Origin
    entities: tuple[Entity, ...]
    extensions: Mapping[type, object]
    options: Mapping[str, object]
    persisted: Mapping[str, object]
    functions: Mapping[str, Callable[..., object]]
    history: Mapping[tuple[str, str], tuple[str, ...]]

    def all_of(self, kind: type[E]) -> Mapping[str, E]:
        """Return the declared entities of one kind by name, in the order of declaration."""
        return MappingProxyType({entity.name: entity for entity in self.entities if isinstance(entity, kind)})

    # Cached here, and not in Facts: only finished facts stay as they are. A cached property reads as a property does.
    @cached_property
    def attributes(self) -> Mapping[str, Attribute]:
        """Attributes by name."""
        return self.all_of(Attribute)

    @cached_property
    def actions(self) -> Mapping[str, Action]:
        """Actions of every kind by name."""
        return self.all_of(Action)

    @cached_property
    def identities(self) -> Mapping[str, Identity]:
        """Identities by name, without the primary key."""
        return self.all_of(Identity)

    @cached_property
    def indexes(self) -> Mapping[str, Index]:
        """Indexes by name."""
        return self.all_of(Index)

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the attributes that make the key, in the order of declaration."""
        return super().primary_key

    @property
    def snake_name(self) -> str:
        """The name in snake case, as tables are called: ``refresh_token`` for ``RefreshToken``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.name).lower()

    @property
    def qualified_name(self) -> str:
        """Module and name, as ``explain`` and ``doctor`` show it."""
        return f"{self.module}.{self.name}"
