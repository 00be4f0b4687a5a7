"""A server program of the tests' own: started, frozen, thawed, killed and removed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Server", "free_port"]

_TIME_LIMIT = 60
"""Seconds of real time that a server has to start or to stop."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server(ABC):
    """One server on a port of 127.0.0.1, with its files in a temporary folder, run by a user without privileges.

    users: whom to run it as where this process is root; the first one that this machine knows.
    """

    users: Sequence[str] = ("nobody",)

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"resourcekit-{name}-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user = self._unprivileged()

    def _unprivileged(self) -> int | None:
        """Return the user to run as; ``None`` where this process is unprivileged itself."""
        if os.geteuid() != 0:
            return None
        for name in self.users:
            try:
                return pwd.getpwnam(name).pw_uid
            except KeyError:
                continue
        return 65534

    def own_all(self) -> None:
        """Let the server's user have all its files."""
        if self._user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self._user, -1, follow_symlinks=False)

    def run(self, *words: object) -> None:
        """Run a program as the server's user. Raises LookupError where it fails."""
        done = subprocess.run(
            [str(word) for word in words], check=False, capture_output=True, timeout=_TIME_LIMIT, **self._as_user()
        )
        if done.returncode:
            raise LookupError(f"{words[0]} failed: {done.stderr.decode()[-300:]}")

    def _as_user(self) -> dict[str, object]:
        # Servers refuse to run as root.
        return {"cwd": self.folder} if self._user is None else {"cwd": self.folder, "user": self._user, "extra_groups": []}

    @abstractmethod
    def command(self) -> list[str]:
        """Return the words that start it in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether the server accepts connections."""

    def start(self) -> None:
        """Start it and wait until it answers; the files of an earlier start are kept."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True, **self._as_user())
        ends_at = time.monotonic() + _TIME_LIMIT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise LookupError(f"{self.name} did not start: {self.log.read_text()[-300:]}")
            time.sleep(0.05)  # there is nothing that announces it

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended."""
        return self._process is not None

    def _family(self) -> list[int]:
        """Return the processes of the server. Backends may be groups of their own, so it is found by its parent."""
        assert self._process is not None
        words = ["ps", "-o", "pid=", "--ppid", str(self._process.pid)]
        children = subprocess.run(words, check=False, capture_output=True, text=True, timeout=_TIME_LIMIT).stdout.split()
        return [self._process.pid, *map(int, children)]

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all the processes that it has started."""
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(pid, number)

    def freeze(self) -> None:
        """Freeze it: it keeps its connections and answers nothing. Return once all of it is stopped."""
        self.signal_all(signal.SIGSTOP)
        ends_at = time.monotonic() + _TIME_LIMIT
        while not all(_stands_still(pid) for pid in self._family()):
            assert time.monotonic() < ends_at, f"{self.name} was not frozen"
            time.sleep(0.005)  # a thread stops when it next comes to it, and nothing announces that

    def thaw(self) -> None:
        """Let it go on."""
        self.signal_all(signal.SIGCONT)

    def stop(self) -> None:
        """End it; connections are cut at once."""
        self._end(self.ending)

    ending: signal.Signals = signal.SIGTERM
    """The signal that asks it to end soon and in order."""

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """End it and start it again, with the same port and files."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self.thaw()
            self._process.send_signal(how)
            self._process.wait(_TIME_LIMIT)
            self._process = None

    def remove(self) -> None:
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _stands_still(pid: int) -> bool:
    """Return whether all threads of a process are stopped."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            state = task.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
        except OSError:  # it has ended
            continue
        if state not in "TtZ":
            return False
    return True
