"""Records in the memory of this process. This data layer is the reference model of the port."""

from __future__ import annotations

from resourcekit.data_layers.memory.layer import Memory

__all__ = ["Memory"]
