"""JSON lines keep the laws of the port."""

from __future__ import annotations

from pathlib import Path

from resourcekit.testing import DataLayerLaws
from resourcekit_jsonlines import JSONLines


class TestJSONLines(DataLayerLaws):
    """Every law, but those of transactions and leases."""

    def make_data_layer(self, tmp_path: Path) -> JSONLines:
        """Return a layer on an empty folder."""
        return JSONLines(tmp_path)
