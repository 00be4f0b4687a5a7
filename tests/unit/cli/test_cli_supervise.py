"""``resourcekit supervise`` as a process of its own, ended by signals."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.support.commands import running

pytestmark = pytest.mark.slow


def read(process: subprocess.Popen[str], count: int) -> tuple[list[str], list[str]]:
    """Return so many lines that it prints, at least, and apart from them the one that doctor, which looks meanwhile, finds."""
    lines: list[str] = []
    found: list[str] = []
    while len(lines) < count or not found:
        line = process.stdout.readline()
        assert line
        (found if line.startswith(("error", "warning", "info")) else lines).append(line)
    return lines, found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_each_run_and_stops_at_a_signal(folder, number):
    """A line for each service and each run, good or failed, without the error's text; a clean end with exit code 0."""
    with running(folder, "supervise", "helpdesk_app") as process:
        lines, found = read(process, 4)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)

    assert lines[0].startswith("Count of Ticket: every 0:00:01, first at ")
    assert "Count of Ticket returned 1 after" in lines[2]
    assert "Count of Ticket failed with OSError (1 in a row) after" in lines[3]
    assert [True] == [line.startswith("warning RK150 helpdesk_app.Ticket: its records are kept in the memory") for line in found]
    assert rest.endswith(f"{number.name}: stopping\nStopped.\n")
    assert ("", 0) == (errors, process.returncode)


def test_a_run_that_hangs_does_not_hold_it_up(folder):
    """After ``--stop-timeout`` it ends in any case, with exit code 1."""
    app = folder / "helpdesk_app.py"
    app.write_text(app.read_text().replace("self.runs += 1", "import time; print('begun', flush=True); time.sleep(60)"))
    with running(folder, "supervise", "helpdesk_app", "--stop-timeout", "0.1") as process:
        lines, _ = read(process, 3)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)

    assert "begun\n" in lines
    assert "left behind" in rest
    assert 1 == process.returncode


def until(holds: Callable[[], object]) -> None:
    """Wait in real time until something holds that another process does."""
    ends_at = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.05)  # it is not announced


def test_a_file_tells_a_probe_that_it_is_healthy(folder):
    """There while all is well, gone when a service is late by two intervals, and gone at the end. The live file stays."""
    app, file, live = folder / "helpdesk_app.py", folder / "healthy", folder / "live"
    app.write_text(app.read_text().replace("if self.runs == 2:", "if self.runs > 2:"))
    with running(folder, "supervise", "helpdesk_app", "--health-file", str(file), "--live-file", str(live)) as process:
        until(file.exists)
        received = json.loads(file.read_text())
        until(lambda: not file.exists())
        lives = live.exists()  # what the service fails with is no reason to start the process again
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)

    assert (True, "running", True, False) == (received["healthy"], received["state"], lives, live.exists())
    assert ("", 0) == (errors, process.returncode)


def test_the_file_of_a_healthy_one_is_renewed_and_goes_with_it(folder):
    """A probe that looks at its age sees a process that hangs."""
    file = folder / "healthy"
    with running(folder, "supervise", "helpdesk_app", "--health-file", str(file)) as process:
        until(file.exists)
        before = file.stat().st_mtime_ns
        until(lambda: file.exists() and file.stat().st_mtime_ns > before)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert (0, False) == (process.returncode, file.exists())
