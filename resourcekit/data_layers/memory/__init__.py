"""Records in the memory of this process: the reference model of the port. It knows no other data layer."""

from __future__ import annotations

from resourcekit.data_layers.memory.layer import Memory

__all__ = ["Memory"]
