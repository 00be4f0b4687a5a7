"""The sweep: a million of two million rows go, while others write. Each sweep runs in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import blacklist
import peers
from plan import Run
from report import Line

__all__ = ["sweep"]

_PROGRAM = Path(__file__).with_name("sweeping.py")


def sweep(run: Run) -> Iterable[Line]:
    """``expunge_expired`` on SQLite against ``flushexpiredtokens`` of a Django blacklist, and what a writer feels of it."""
    sizes = run.sizes
    revoked = peers.jtis(sizes.swept)
    ours = run.made("swept.db", lambda path: peers.make_tables(path, revoked, expired=sizes.expired))
    theirs: dict[str, Any] | None = None
    quiet = [_swept("ours", ours, sizes.expired)]
    if blacklist.is_there():
        blacklist.use(run)
        listed = run.made("flushed.db", lambda path: blacklist.make_tables(path, revoked, expired=sizes.expired))
        theirs = _swept("django", listed, sizes.expired)
    quiet += [_swept("ours", ours, sizes.expired) for _ in range(sizes.sweeps - 1)]
    seconds, memory = [each["seconds"] for each in quiet], [each["growth"] for each in quiet]
    what = f"{sizes.expired:,} of {sizes.swept:,} rows, SQLite"
    if theirs is not None:
        factor = theirs["seconds"] / statistics.median(seconds)
        yield Line(f"flushexpiredtokens of a Django blacklist / expunge_expired, {what}", factor, budget=20.0, at_least=True)
        yield Line("flushexpiredtokens takes", theirs["seconds"], "s")
        yield Line("memory growth of flushexpiredtokens", theirs["growth"], "MiB")
    yield Line(f"expunge_expired takes, {what}", statistics.median(seconds), "s")
    yield Line("memory growth of expunge_expired", max(memory), "MiB", budget=10.0)
    yield Line("longest batch, nobody else writing", max(each["longest_batch"] for each in quiet) * 1000, "ms")
    yield Line("largest write-ahead log", max(each["log"] for each in quiet) / 2**20, "MiB")
    yield from _felt(run, ours)


def _felt(run: Run, template: Path) -> Iterable[Line]:
    """Sweep while another process revokes."""
    copied = _copy(template)
    with _revoking(copied) as idle:
        time.sleep(run.sizes.idle)
    with _revoking(copied) as busy:
        swept = _run("ours", copied)
    _remove(copied)
    yield Line("longest wait of a concurrent revoke during the sweep", busy["longest"] * 1000, "ms", budget=100.0)
    yield Line("the same, 99 of 100 wait at most", busy["p99"] * 1000, "ms")
    yield Line("longest wait of a revoke without a sweep", idle["longest"] * 1000, "ms")
    yield Line("revokes during the sweep", busy["count"], "")
    yield Line("expunge_expired takes beside them", swept["seconds"], "s")
    yield Line("largest write-ahead log beside them", swept["log"] / 2**20, "MiB")


def _swept(side: str, template: Path, expired: int) -> dict[str, Any]:
    path = _copy(template)
    found = _run(side, path)
    _remove(path)
    if found["removed"] != expired:
        msg = f"{side} removed {found['removed']} rows of {expired}"
        raise AssertionError(msg)
    return found


def _copy(template: Path) -> Path:
    path = template.with_name(f"copy-of-{template.name}")
    _remove(path)
    shutil.copyfile(template, path)
    with path.open("rb") as file:  # the copy's own pages must not be written to the disk while something is timed
        os.fsync(file.fileno())
    return path


def _remove(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


def _command(side: str, path: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return {"args": [sys.executable, str(_PROGRAM), side, str(path)], "env": environment, "text": True}


def _run(side: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(**_command(side, path), check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def _revoking(path: Path) -> Iterator[dict[str, Any]]:
    """Let another process revoke tokens inside the block; afterwards the mapping holds what it found."""
    found: dict[str, Any] = {}
    with subprocess.Popen(**_command("revoke", path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield found
        process.stdin.close()
        found.update(json.loads(process.stdout.read()))
