"""The conformance suite on SQL over PostgreSQL, sync and async, on a real server."""

from __future__ import annotations

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
class TestPostgreSQLSuite(DataLayerSuite):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> Iterator[None]:
        """An empty database for each test."""
        with scratch("postgresql", tmp_path) as self.database:
            yield

    database: Database

    def make_data_layer(self, tmp_path: Path) -> DataLayer:
        return SQL(Repo(self.database.url, timeout=PATIENCE))

    def cut_connections(self) -> None:
        self.database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
