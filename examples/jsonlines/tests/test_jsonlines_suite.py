"""JSON lines pass the conformance suite."""

from __future__ import annotations

from pathlib import Path

from resourcekit.testing import DataLayerSuite
from resourcekit_jsonlines import JSONLines


class TestJSONLines(DataLayerSuite):
    """Every test, but those of transactions and leases."""

    def make_data_layer(self, tmp_path: Path) -> JSONLines:
        """Return a layer on an empty folder."""
        return JSONLines(tmp_path)
