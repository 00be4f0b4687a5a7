"""The law book on Redis, on Valkey, and on a cluster of three Valkey nodes, in both colours."""

from __future__ import annotations

from datetime import timedelta

import pytest

from resourcekit.testing import DataLayerLaws

PATIENCE = timedelta(minutes=1)
"""Longer than a call may take by default: ten thousand rows on a machine that does other things, too."""


class TestRedisLaws(DataLayerLaws):
    @pytest.fixture(autouse=True)
    def _server(self, redis_layer) -> None:
        self._make = redis_layer

    def make_data_layer(self, tmp_path):
        return self._make(timeout=PATIENCE)
