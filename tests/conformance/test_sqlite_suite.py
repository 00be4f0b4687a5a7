"""The conformance suite on SQL over SQLite, sync and async."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from resourcekit.data_layers import SQL, Repo
from resourcekit.data_layers.base import DataLayer
from resourcekit.testing import DataLayerSuite

PATIENCE = timedelta(minutes=1)
"""Longer than a call may take by default: ten thousand rows on a machine that does other things, too."""


class TestSQLiteSuite(DataLayerSuite):
    def make_data_layer(self, tmp_path: Path) -> DataLayer:
        return SQL(Repo(f"sqlite:///{tmp_path}/tests.db", timeout=PATIENCE))
