"""The conformance suite on Redis, on Valkey, and on a cluster of three Valkey nodes, sync and async."""

from __future__ import annotations

from datetime import timedelta

import pytest

from resourcekit.testing import DataLayerSuite

PATIENCE = timedelta(minutes=1)
"""Longer than a call may take by default: ten thousand rows on a machine that does other things, too."""


class TestRedisSuite(DataLayerSuite):
    @pytest.fixture(autouse=True)
    def _server(self, request, redis_layer) -> None:
        self._make = redis_layer
        kind = request.node.callspec.params["redis_layer"]
        nodes = {
            "valkey": lambda: [request.getfixturevalue("valkey_server")],
            "cluster": lambda: request.getfixturevalue("valkey_cluster"),
        }
        self._nodes = nodes[kind]() if kind in nodes else []

    def make_data_layer(self, tmp_path):
        return self._make(timeout=PATIENCE)

    def cut_connections(self) -> None:
        if not self._nodes:  # the machine's own server has other users
            super().cut_connections()
        for node in self._nodes:
            with node.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
