"""The tests of a fleet, on clusters of three nodes and on single servers that several processes share."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from resourcekit.data_layers import SQL, Redis, Repo
from resourcekit.data_layers.base import DataLayer
from resourcekit.testing import FleetSuite
from tests.support import galera, valkey
from tests.support.databases import KINDS, MISSING, run_sql, scratch
from tests.support.postgres import Postgres, pair_started

pytestmark = pytest.mark.slow

PATIENCE = timedelta(minutes=1)
"""Longer than a call may take by default: three servers on a machine that does other things, too."""

ROUNDS = int(os.environ.get("RESOURCEKIT_TEST_FLEET_ROUNDS", "300"))
"""How often each long test of a cluster asks; a fourth of it is the number of races."""


TESTS = """
from datetime import timedelta
from resourcekit.data_layers import SQL, Repo
from resourcekit.testing import FleetSuite

class TestFleet(FleetSuite):
    rounds = 150
    time_limit = timedelta(minutes=30)

    def make_data_layer(self, node):
        return SQL(Repo({urls!r}[node], timeout=timedelta(minutes=1)), reads={reads!r})
"""


def verdict(folder: Path, reads: str, urls: list[str]) -> tuple[int, bool]:
    """Run a test of acknowledged writes over nodes that are read as is said.

    Return pytest's exit code, and whether the test counted checks that missed a write.
    """
    file = folder / f"test_{reads}.py"
    file.write_text(TESTS.format(urls=urls, reads=reads), encoding="utf-8")
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "-k", "test_an_insert and sync and not async", str(file)]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], check=False, capture_output=True, text=True, timeout=600)
    return done.returncode, "assert 0 == " in done.stdout


class OnGalera(FleetSuite):
    """Three nodes of MariaDB."""

    @pytest.fixture(autouse=True)
    def place(self) -> Iterator[None]:
        """An empty database for each test."""
        with galera.nodes(self.nodes) as self.urls:
            yield

    urls: list[str]

    def make_data_layer(self, node: int) -> DataLayer:
        return SQL(Repo(self.urls[node], timeout=PATIENCE))


class TestGalera(OnGalera):
    rounds, races = 10, 4


@pytest.mark.slow
class TestGaleraLong(OnGalera):
    time_limit: ClassVar[timedelta] = timedelta(hours=1)
    rounds: ClassVar[int] = ROUNDS
    races: ClassVar[int] = ROUNDS // 4


class OnRedisCluster(FleetSuite):
    """Three nodes of Valkey; each node of the fleet is a client that knows another one of them."""

    @pytest.fixture(autouse=True)
    def place(self, valkey_nodes: Callable[[], list[str]]) -> None:
        """An empty tag for each test."""
        self.urls, self.tag = valkey_nodes(), f"test-{secrets.token_hex(6)}"

    urls: list[str]
    tag: str

    def make_data_layer(self, node: int) -> DataLayer:
        return Redis(self.urls[node : node + 1], tag=self.tag, timeout=PATIENCE)


class TestRedisCluster(OnRedisCluster):
    rounds, races = 10, 4


@pytest.mark.slow
class TestRedisClusterLong(OnRedisCluster):
    time_limit: ClassVar[timedelta] = timedelta(hours=1)
    rounds: ClassVar[int] = ROUNDS
    races: ClassVar[int] = ROUNDS // 4


class OnStandby(FleetSuite):
    """A PostgreSQL primary that waits for its standby; each node knows both hosts, in an order of its own."""

    @pytest.fixture(autouse=True)
    def place(self, hosts: Callable[[], list[int]]) -> None:
        """An empty schema for each test."""
        ports, schema = hosts(), f"fleet_{secrets.token_hex(6)}"
        run_sql(f"postgresql://postgres@127.0.0.1:{ports[0]}/postgres", f"CREATE SCHEMA {schema}")
        pairs = (ports, ports[::-1], ports)
        where = [f"host=127.0.0.1:{one}&host=127.0.0.1:{other}" for one, other in pairs]
        self.urls = [f"postgresql://postgres@/postgres?{each}&options=-csearch_path%3D{schema}" for each in where]

    urls: list[str]

    def make_data_layer(self, node: int) -> DataLayer:
        return SQL(Repo(self.urls[node], timeout=PATIENCE))


@pytest.mark.slow
class TestStandby(OnStandby):
    rounds, races = 10, 4


@pytest.mark.slow
class TestStandbyLong(OnStandby):
    time_limit: ClassVar[timedelta] = timedelta(hours=1)
    rounds: ClassVar[int] = ROUNDS
    races: ClassVar[int] = ROUNDS // 4


@pytest.fixture(scope="session")
def hosts() -> Iterator[Callable[[], list[int]]]:
    """A function that returns the ports of a primary and its synchronous standby, which are started when they are first needed."""
    kept: list[Postgres] = []

    def ports() -> list[int]:
        try:
            if not kept:
                kept.append(Postgres("wal_level=replica", "max_wal_senders=4"))
                kept[0].start()
                kept.append(pair_started(kept[0]))
        except LookupError as missing:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}{missing}")
        return [server.port for server in kept]

    yield ports
    for server in reversed(kept):
        server.remove()


@pytest.fixture(scope="session")
def valkey_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], list[str]]]:
    """A function that returns the URLs of a cluster, which is started when it is first needed."""
    started: list[valkey.Valkey] = []

    def urls() -> list[str]:
        if valkey.binary() is None:
            pytest.skip("a Valkey server is missing")
        if not started:
            started.extend(valkey.cluster(tmp_path_factory.mktemp("fleet")))
        return [node.url for node in started]

    yield urls
    for node in started:
        node.stop()


@pytest.mark.parametrize("kind", KINDS)
class TestOneServer(FleetSuite):
    """One server, or file, with three sets of connections, as three processes have them."""

    rounds, races = 10, 4

    @pytest.fixture(autouse=True)
    def place(self, kind: str, tmp_path: Path) -> Iterator[None]:
        """An empty database for each test."""
        with scratch(kind, tmp_path) as database:
            self.url = database.url
            yield

    url: str

    def make_data_layer(self, node: int) -> DataLayer:
        return SQL(Repo(self.url, timeout=PATIENCE))


def test_stale_reads_fail_the_suite(tmp_path: Path) -> None:
    """The tests find a layer that answers from the past: the same cluster, without waiting for the other nodes.

    On a machine that is busy a client may be slower than the cluster for a whole run, so there are some runs.
    """
    with galera.nodes() as urls:
        fresh = verdict(tmp_path, "fresh", urls)
    stale = [(0, False)]
    while stale[-1] == (0, False) and len(stale) < 6:
        with galera.nodes() as urls:
            stale.append(verdict(tmp_path, "stale", urls))

    assert ((0, False), (1, True)) == (fresh, stale[-1])
