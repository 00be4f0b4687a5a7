"""The declaration ``Memory``."""

from __future__ import annotations

from typing import ClassVar

import attrs

from resourcekit.data_layers.base import Capability, DataLayer, Store
from resourcekit.data_layers.memory.store import CAPABILITIES, MemoryStore
from resourcekit.data_layers.rows.values import require_keys
from resourcekit.declarations.filled import refuse_sql_text
from resourcekit.errors import DeclarationError
from resourcekit.resource_info import ResourceInfo

__all__ = ["Memory"]


@attrs.frozen(kw_only=True)
class Memory(DataLayer):
    """Store records in this process. They are lost when it ends, and no other process sees them.

    Each resource has rows of its own. All resources on ``Memory()`` share transactions. A fork copies the rows as they are at
    that moment.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    @property
    def in_process(self) -> bool:
        """True: each store has rows of its own, which are lost when the process ends."""
        return True

    def bind(self, info: ResourceInfo) -> Store:
        """Return a new, empty store.

        Raise DeclarationError RK151 if the rows have no usable key (``require_keys``), and RK063 for columns that SQL text fills.
        """
        require_keys(info)
        for finding in refuse_sql_text(info, "Memory"):
            raise DeclarationError(
                finding.id, finding.what, resource=info.name, path=finding.path, origin=finding.origin, hint=finding.cure
            )
        return MemoryStore(info)
