"""The conformance suite on SQL over MariaDB, sync and async, on a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from resourcekit.data_layers import SQL, Repo
from resourcekit.data_layers.base import DataLayer
from resourcekit.testing import DataLayerSuite
from tests.support.databases import Database, scratch

PATIENCE = timedelta(minutes=1)
"""Longer than a call may take by default: ten thousand rows on a machine that does other things, too."""


@pytest.mark.slow
class TestMariaDBSuite(DataLayerSuite):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> Iterator[None]:
        """An empty database for each test."""
        with scratch("mariadb", tmp_path) as self.database:
            yield

    database: Database

    def make_data_layer(self, tmp_path: Path) -> DataLayer:
        return SQL(Repo(self.database.url, timeout=PATIENCE))

    def cut_connections(self) -> None:
        here = "db = database() AND id <> connection_id()"
        for (number,) in self.database.run(f"SELECT id FROM information_schema.processlist WHERE {here}"):
            with contextlib.suppress(Exception):  # it may have ended by itself
                self.database.run(f"KILL {number}")
