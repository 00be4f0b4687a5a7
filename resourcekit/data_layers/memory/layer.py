"""``Memory`` as a declaration. It knows the facts of a resource, and no other data layer."""

from __future__ import annotations

from typing import ClassVar

import attrs

from resourcekit.data_layers.base import Capability, DataLayer, Store
from resourcekit.data_layers.memory.store import CAPABILITIES, MemoryStore
from resourcekit.data_layers.rows.keys import require_keys
from resourcekit.resource_info import ResourceInfo

__all__ = ["Memory"]


@attrs.frozen(kw_only=True)
class Memory(DataLayer):
    """Keep records in this process: they are gone when it ends, and no other process sees them.

    Each resource has rows of its own; all resources on ``Memory()`` share transactions. A fork copies the rows as they
    are at that moment.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    def bind(self, info: ResourceInfo) -> Store:
        """Return a new, empty store.

        Raises DeclarationError RK151 where rows cannot be told apart; see ``require_keys``.
        """
        require_keys(info)
        return MemoryStore(info)
