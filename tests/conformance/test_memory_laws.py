"""Memory keeps the laws of the port."""

from __future__ import annotations

from pathlib import Path

from resourcekit.data_layers import Memory
from resourcekit.testing import DataLayerLaws


class TestMemory(DataLayerLaws):
    """Every law, on records in memory."""

    def make_data_layer(self, tmp_path: Path) -> Memory:
        """Return a layer; each bound store is new and empty."""
        return Memory()
