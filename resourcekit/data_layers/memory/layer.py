"""``Memory`` as a declaration. It knows the facts of a resource, and no other data layer."""

from __future__ import annotations

from typing import ClassVar

import attrs

from resourcekit.data_layers.base import Capability, DataLayer, Store
from resourcekit.data_layers.memory.store import CAPABILITIES, MemoryStore
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import DeclarationError
from resourcekit.resource_info import ResourceInfo

__all__ = ["Memory"]

_NO_KEYS = frozenset({Kind.LIST, Kind.MAP, Kind.ANY})


@attrs.frozen(kw_only=True)
class Memory(DataLayer):
    """Keep records in this process: they are gone when it ends, and no other process sees them.

    Each resource has rows of its own; all resources on ``Memory()`` share transactions. A fork copies the rows as they
    are at that moment.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    def bind(self, info: ResourceInfo) -> Store:
        """Return a new, empty store.

        Raises DeclarationError RK151 where the resource has no primary key, or where the key or an identity holds a
        list, a dict or a value of any type, which cannot be compared as a key.
        """
        if not info.primary_key:
            raise DeclarationError(
                "RK151",
                "has no primary key",
                resource=info.name,
                origin=info.origin,
                hint="Declare one with attribute(primary_key=True).",
            )
        groups = {"primary_key": info.primary_key, **{name: identity.fields for name, identity in info.identities.items()}}
        for group, fields in groups.items():
            for field in fields:
                attribute = info.attributes[field]
                if attribute.type.kind in _NO_KEYS:
                    raise DeclarationError(
                        "RK151",
                        f"{attribute.type} cannot be part of {group}",
                        resource=info.name,
                        path=("attributes", field),
                        origin=attribute.origin,
                        hint="Use a type whose values are atomic (str, int, UUID, datetime, ...).",
                    )
        return MemoryStore(info)
