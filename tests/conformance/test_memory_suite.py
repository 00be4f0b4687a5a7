"""Memory passes the conformance suite."""

from __future__ import annotations

from pathlib import Path

from resourcekit.data_layers import Memory
from resourcekit.testing import DataLayerSuite


class TestMemory(DataLayerSuite):
    """Every test, on records in memory."""

    def make_data_layer(self, tmp_path: Path) -> Memory:
        """Return a layer; each bound store is new and empty."""
        return Memory()
