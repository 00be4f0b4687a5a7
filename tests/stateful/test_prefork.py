"""Supervisors in a real pre-fork server: forked workers know that nothing runs in them, and started there they take turns."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")]
PATIENCE = 60
"""Seconds of real time after which a test gives up."""

APP = """
import json, os
from datetime import timedelta
from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit.supervisor import Scheduling, Supervisor
from resourcekit_tokens import TokenRecord, TokenResource

accounts = Domain("accounts")

class Token(TokenRecord, domain=accounts, data_layer=SQL("sqlite:///tokens.db"),
            extensions=[TokenResource(expunge_interval=timedelta(seconds=2), max_lifetime=timedelta(days=1))]):
    pass

def note(status):
    with open("runs", "a") as file:
        file.write(f"{os.getpid()} {status.last_run.timestamp()}\\n")

accounts.create_storage()
Token.revoke_jti("dead")
supervisor = Supervisor(accounts, on_run=note, scheduling=Scheduling(first_within=0.2, retry_within=0.2))
if os.environ["START_IN"] == "master":
    supervisor.start()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    dead, live = Token.jti_revoked("dead"), Token.jti_revoked("live")
    state = {"pid": os.getpid(), "state": supervisor.state, "healthy": supervisor.health().is_healthy, "checks": [dead, live]}
    return [json.dumps(state).encode()]
"""
CONFIG = """
import os
def post_fork(server, worker):
    if os.environ["START_IN"] == "worker":
        import prefork_app
        prefork_app.supervisor.start()
"""


class Gunicorn:
    """A master with three workers, forked after the app was imported."""

    def __init__(self, folder: Path, start_in: str) -> None:
        (folder / "prefork_app.py").write_text(APP)
        (folder / "gunicorn.conf.py").write_text(CONFIG)
        self.folder, self.port = folder, free_port()
        words = ["--preload", "--workers", "3", "--bind", f"127.0.0.1:{self.port}", "--graceful-timeout", "5", "prefork_app:app"]
        command = [sys.executable, "-W", "ignore", "-m", "gunicorn", *words]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env={**os.environ, "START_IN": start_in}, stderr=log)

    def ask(self) -> dict[str, Any]:
        """Return the answer of one of its workers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=PATIENCE) as answer:
            received: dict[str, Any] = json.load(answer)
            return received

    def workers(self) -> set[int]:
        """Return its children."""
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False)
        return {int(pid) for pid in found.stdout.split()}

    def runs(self) -> list[tuple[int, float]]:
        """Return the sweeps so far: who, and when."""
        file = self.folder / "runs"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(pid), float(moment)) for pid, moment in map(str.split, lines)]

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait in real time until something holds, and return it."""
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            try:
                if found := holds():
                    return found
            except OSError:
                pass
            time.sleep(0.05)  # processes do not announce what they do
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> int:
        """End it as a deployment does."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[[str], Gunicorn]]:
    """A function that starts the server, with its supervisor in the master or in the workers."""
    started: list[Gunicorn] = []

    def start(start_in: str) -> Gunicorn:
        started.append(Gunicorn(tmp_path, start_in))
        started[-1].until(started[-1].ask)
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(PATIENCE)


def test_a_supervisor_of_the_master_is_told_as_forked_in_its_workers(gunicorn):
    """They answer, also one that is forked in the middle of a sweep's life; the master's goes on, and ends with it."""
    server = gunicorn("master")
    received = server.ask()
    old = server.until(lambda: len(found := server.workers()) == 3 and found)
    os.kill(min(old), signal.SIGKILL)
    server.until(lambda: len(server.workers() - old) == 1)
    server.until(lambda: len(server.runs()) >= 2)
    answers = [server.ask() for _ in range(12)]

    assert ("forked", False) == (received["state"], received["healthy"])
    assert [[True, False]] * 12 == [answer["checks"] for answer in answers]
    assert {"forked"} == {answer["state"] for answer in answers}
    assert {server.process.pid} == {pid for pid, _ in server.runs()}
    assert 0 == server.stop()


def test_supervisors_of_the_workers_take_turns(gunicorn):
    """Each runs, one of them sweeps in an interval, and one that is killed is replaced by the others."""
    server = gunicorn("worker")
    received = server.ask()
    server.until(lambda: len(server.runs()) >= 2)
    sweeper = server.runs()[-1][0]
    os.kill(sweeper, signal.SIGKILL)
    server.until(lambda: any(pid != sweeper for pid, _ in server.runs()[-1:]))
    moments = [moment for _, moment in server.runs()]
    answer = server.until(lambda: server.ask() if server.ask()["healthy"] else None)

    assert ("running", "running", [True, False]) == (received["state"], answer["state"], answer["checks"])
    # Half an interval: when a run was noted and when its turn was given lie apart on a busy machine.
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(moments))
    assert server.process.pid not in {pid for pid, _ in server.runs()}
    assert 0 == server.stop()
