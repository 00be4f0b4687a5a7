"""The law book on SQL over SQLite, in both colours."""

from __future__ import annotations

from pathlib import Path

from resourcekit.data_layers import SQL
from resourcekit.data_layers.base import DataLayer
from resourcekit.testing import DataLayerLaws


class TestSQLiteLaws(DataLayerLaws):
    def make_data_layer(self, tmp_path: Path) -> DataLayer:
        return SQL(f"sqlite:///{tmp_path}/laws.db")
