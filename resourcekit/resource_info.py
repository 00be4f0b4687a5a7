"""Read-only facts of a compiled resource, used by the engine, data layers and extensions."""

# A cached property overrides a property here.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import NoReturn, TypeVar

import attrs

from resourcekit.declarations.action import Action
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.calculations import Calculation
from resourcekit.declarations.facts import Facts
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.relationships import Relationship
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity
from resourcekit.errors import UnknownArgument, did_you_mean
from resourcekit.known_names import KnownNames

__all__ = ["ResourceInfo"]

E = TypeVar("E", bound=Entity)


class _ByName(dict[str, E]):
    """Declarations by name. An unknown name is UnknownArgument, a KeyError, and names a similar one."""

    def __missing__(self, name: str) -> NoReturn:
        raise UnknownArgument(f"there is no declaration {name!r} of this kind. {did_you_mean(str(name), self)}".rstrip())


@attrs.frozen(kw_only=True, eq=False, slots=False)
class ResourceInfo(KnownNames, Facts):
    """All facts of a resource, after all extensions have run.

    name: of the class.
    module: of the class.
    doc: the docstring of the class.
    entities: all declarations, in order.
    extensions: option values by extension class, in the order of application.
    options: the remaining class options (``notifiers``, ...).
    persisted: values that transformers stored for later.
    history: for each ``(section, name)``, the authors of its declaration and changes, first to last.
    static_defaults: by attribute, the default that is the same for all records, as a value of the attribute's own type.
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
    static_defaults: Mapping[str, object] = MappingProxyType({})

    def all_of(self, kind: type[E]) -> Mapping[str, E]:
        """Return the declared entities of one kind by name, in the order of declaration."""
        return MappingProxyType(_ByName({entity.name: entity for entity in self.entities if isinstance(entity, kind)}))

    def one_of(self, kind: type[E]) -> E | None:
        """Return the entity of a singleton kind; ``None`` if there is none."""
        return next((entity for entity in self.entities if isinstance(entity, kind)), None)

    # Cached here, and not in Facts, because only finished facts do not change.
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
    def relationships(self) -> Mapping[str, Relationship]:
        """Relationships by name."""
        return self.all_of(Relationship)

    @cached_property
    def calculations(self) -> Mapping[str, Calculation]:
        """Calculations by name."""
        return self.all_of(Calculation)

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the attributes of the primary key, in the order of declaration."""
        return super().primary_key

    @property
    def snake_name(self) -> str:
        """The name in snake case, for tables: ``refresh_token`` for ``RefreshToken``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.name).lower()

    @property
    def qualified_name(self) -> str:
        """Module and name, as ``explain`` and ``doctor`` show it."""
        return f"{self.module}.{self.name}"
