"""The law book on Redis, on Valkey, and on a cluster of three Valkey nodes, in both colours."""

from __future__ import annotations

import pytest

from resourcekit.testing import DataLayerLaws


class TestRedisLaws(DataLayerLaws):
    @pytest.fixture(autouse=True)
    def _server(self, redis_layer) -> None:
        self._make = redis_layer

    def make_data_layer(self, tmp_path):
        return self._make()
