"""The law book on SQL over SQLite, in both colours."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from resourcekit.data_layers import SQL, Repo
from resourcekit.data_layers.base import DataLayer
from resourcekit.testing import DataLayerLaws

PATIENCE = timedelta(minutes=1)
"""Longer than a call may take by default: ten thousand rows on a machine that does other things, too."""


class TestSQLiteLaws(DataLayerLaws):
    def make_data_layer(self, tmp_path: Path) -> DataLayer:
        return SQL(Repo(f"sqlite:///{tmp_path}/laws.db", timeout=PATIENCE))
