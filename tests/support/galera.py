"""A MariaDB Galera cluster of the tests' own: three nodes on 127.0.0.1, started from the machine's programs."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.databases import MISSING, run_sql
from tests.support.mariadb import MariaDB
from tests.support.servers import free_port

__all__ = ["Galera", "Node", "nodes", "provider", "started"]

_PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib/libgalera_smm.so")
"""Where distributions put the library that replicates."""


class Node(MariaDB):
    """One node. The first one of a cluster begins it; the others get its data when they join.

    Attributes:
        address: Where the nodes speak to each other.
    """

    def __init__(self, *options: str) -> None:
        super().__init__(*options)
        self.address = f"127.0.0.1:{free_port()}"
        self._incremental, self._transfer = free_port(), free_port()
        self._peers: list[Node] = []
        self._begins = False

    def join(self, peers: list[Node]) -> None:
        """Name the nodes of the cluster; call it before the node is started."""
        self._peers = peers

    def begin(self) -> None:
        """Start the node as the first of a new cluster."""
        self._begins = True
        try:
            self.start()
        finally:
            self._begins = False

    def command(self) -> list[str]:
        peers = ",".join(node.address for node in self._peers)
        options = f"gmcast.listen_addr=tcp://{self.address};ist.recv_addr=127.0.0.1:{self._incremental};gcache.size=32M"
        return [
            *super().command(),
            "--wsrep-on=ON",
            f"--wsrep-provider={provider()}",
            "--wsrep-cluster-name=resourcekit",
            f"--wsrep-cluster-address=gcomm://{peers}",
            "--wsrep-node-address=127.0.0.1",
            f"--wsrep-node-name={self.port}",
            f"--wsrep-provider-options={options}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{self._transfer}",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            *(["--wsrep-new-cluster"] if self._begins else []),
        ]

    def answers(self) -> bool:
        """A node that still gets the data of the others lets clients in and refuses their statements."""
        return super().answers() and self.status("wsrep_ready") == "ON" and self.status("wsrep_local_state_comment") == "Synced"

    def status(self, name: str) -> str:
        """Return a status variable."""
        return str(self.query(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1])

    def query(self, sql: str) -> list[Any]:
        """Run a statement of the test's own on this node, and return its rows."""
        import pymysql

        connection = pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", autocommit=True, connect_timeout=5, ssl_disabled=True
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()


class Galera:
    """Three nodes that hold the same data. Raises LookupError if a program or the library is missing."""

    def __init__(self, *options: str) -> None:
        provider()
        for program in ("rsync", "ss"):
            if shutil.which(program) is None:
                raise LookupError(f"{program} is not installed, which a node needs to join a cluster")
        self.nodes = [Node(*options) for _ in range(3)]
        for node in self.nodes:
            node.join(self.nodes)

    def start(self) -> None:
        """Start all nodes, one after the other, and wait until each has the data of the cluster."""
        first, *others = self.nodes
        first.begin()
        for node in others:
            node.start()

    def remove(self) -> None:
        """End all nodes at once, whatever they wait for, and remove their files."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.remove()


def provider() -> str:
    """Return the path of the library that replicates. Raises LookupError if it is missing."""
    for place in _PROVIDERS:
        if Path(place).exists():
            return place
    raise LookupError("galera-4 is not installed")


def started(*options: str) -> Galera:
    """Start a cluster that the caller removes. Raises LookupError, with nothing left behind, if it cannot be started."""
    if _failed:
        raise LookupError(_failed[0])
    cluster = Galera(*options)
    try:
        cluster.start()
    except LookupError as error:
        cluster.remove()
        _failed.append(str(error))
        raise
    return cluster


_failed: list[str] = []
"""Why no cluster can be started, so that this is tried once in a process."""


_kept: list[Galera] = []
"""Clusters that end with the run."""


@contextmanager
def nodes(count: int = 3) -> Iterator[list[str]]:
    """Yield a URL for each node of a cluster that others use, too, to a database that is empty.

    Skips the test if the cluster cannot be started, and fails it under CI.
    """
    try:
        urls = _shared()[:count]
    except LookupError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{MISSING}{missing}")
        pytest.skip(f"{MISSING}{missing}")
    name = f"resourcekit_test_{secrets.token_hex(6)}"
    run_sql(urls[0], f"CREATE DATABASE {name}")
    try:
        yield [url.replace("/test", f"/{name}") for url in urls]
    finally:
        run_sql(urls[0], f"DROP DATABASE {name}")


@functools.cache
def _shared() -> list[str]:
    """Return the URLs of one cluster for all workers of this run; the last of them to end removes it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(8)
    place = Path(tempfile.gettempdir()) / f"resourcekit-galera-run-{run}"
    place.mkdir(exist_ok=True)
    users = (place / "users").open("w")  # held open, and locked, as long as this process lives
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        state = place / "state"
        if not state.exists():
            cluster = started()
            _kept.append(cluster)
            known = [{"url": node.url, "pid": node.pid, "folder": str(node.folder)} for node in cluster.nodes]
            state.write_text(json.dumps(known), encoding="utf-8")
        known = json.loads(state.read_text(encoding="utf-8"))
    owner = os.getpid()
    atexit.register(lambda: _leave(place, users, known) if os.getpid() == owner else None)
    return [node["url"] for node in known]


def _leave(place: Path, users: IO[str], known: list[dict[str, Any]]) -> None:
    """Remove the cluster if no other worker uses it."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        users.close()
        return
    for cluster in _kept:
        cluster.remove()
    for node in [] if _kept else known:
        with contextlib.suppress(ProcessLookupError):
            os.kill(node["pid"], signal.SIGKILL)
    for node in known:
        shutil.rmtree(node["folder"], ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
