"""The sweep: a million of two million rows go, while others check and revoke. Each sweep runs in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import blacklist
import server_databases as servers
from plan import Run
from report import Line
from targets import MariaTarget, PostgresTarget, SQLiteTarget, Target, command

__all__ = ["sweep"]

_MIB = 2**20


def sweep(run: Run) -> Iterable[Line]:
    """``expunge_expired`` against ``flushexpiredtokens`` of a Django blacklist on the same database, and what others feel of it."""
    yield from _on_sqlite(SQLiteTarget(run))
    for kind, measured in (("postgresql", _on_postgresql), ("mariadb", _on_mariadb)):
        try:
            yield Line(f"measured on {kind} {servers.version(kind)}", 1, "server")
        except servers.MissingServer as missing:
            yield Line(f"{kind} could not be measured: {missing}", 0, "server")
            continue
        yield from measured(run)


def _on_sqlite(target: Target) -> Iterable[Line]:
    quiet = yield from _against_django(target, at_least=20.0)
    yield Line("largest write-ahead log", max(each["log"] for each in quiet) / _MIB, "MiB")
    idle, busy, swept = _felt(target, "revoke")
    yield Line("longest wait of a concurrent revoke during the sweep, SQLite", busy[-1] * 1000, "ms", budget=100.0)
    yield from _about(busy, idle, "revokes, SQLite")
    yield Line("expunge_expired takes beside them", swept["seconds"], "s")
    yield Line("largest write-ahead log beside them", swept["log"] / _MIB, "MiB")


def _on_postgresql(run: Run) -> Iterable[Line]:
    with ExitStack() as stack:
        target = PostgresTarget(run, stack)
        yield from _against_django(target, at_least=50.0)
        rounds = [_felt(target, "check") for _ in range(run.sizes.sweeps)]
        idle, busy = (sorted(wait for each in rounds for wait in each[side]) for side in (0, 1))
        name = "p99 of concurrent checks during the sweep / without one, PostgreSQL"
        yield Line(name, _p99(busy) / _p99(idle), budget=1.5)
        yield from _about(busy, idle, "checks, PostgreSQL")
        yield Line("longest transaction beside them, at most", _longest([each[2] for each in rounds]), "ms", budget=250.0)
        idle, busy, _ = _felt(target, "revoke")
        yield from _about(busy, idle, "revokes, PostgreSQL")


def _on_mariadb(run: Run) -> Iterable[Line]:
    idle, busy, swept = _felt(MariaTarget(run), "revoke")
    what = f"{run.sizes.expired:,} of {run.sizes.swept:,} rows, MariaDB"
    yield Line("p99 of new revocations during the sweep, MariaDB", _p99(busy) * 1000, "ms", budget=250.0)
    yield from _about(busy, idle, "revokes, MariaDB")
    yield Line(f"expunge_expired takes beside them, {what}", swept["seconds"], "s")
    yield Line("memory growth of expunge_expired, MariaDB", swept["growth"], "MiB", budget=10.0)
    yield Line("longest transaction beside them, at most, MariaDB", _longest([swept]), "ms")


def _against_django(target: Target, *, at_least: float) -> Iterator[Line]:
    """Sweep without other clients, resourcekit and the blacklist in turn; return what was measured of resourcekit."""
    sizes = target.run.sizes
    what = f"{sizes.expired:,} of {sizes.swept:,} rows, {target.name}"
    quiet = [_quiet(target, "ours")]
    theirs = _quiet(target, "django") if blacklist.is_there() else None
    quiet += [_quiet(target, "ours") for _ in range(sizes.sweeps - 1)]
    seconds = statistics.median(each["seconds"] for each in quiet)
    if theirs is not None:
        name = f"flushexpiredtokens of a Django blacklist / expunge_expired, {what}"
        yield Line(name, theirs["seconds"] / seconds, budget=at_least, at_least=True)
        yield Line(f"flushexpiredtokens takes, {target.name}", theirs["seconds"], "s")
        yield Line(f"memory growth of flushexpiredtokens, {target.name}", theirs["growth"], "MiB")
    yield Line(f"expunge_expired takes, {what}", seconds, "s")
    yield Line(f"memory growth of expunge_expired, {target.name}", max(each["growth"] for each in quiet), "MiB", budget=10.0)
    longest = 250.0 if target.name == "PostgreSQL" else None
    yield Line(f"longest transaction, no other clients, at most, {target.name}", _longest(quiet), "ms", budget=longest)
    return quiet


def _quiet(target: Target, side: str) -> dict[str, Any]:
    with target.ours() if side == "ours" else target.theirs() as url:
        process = subprocess.Popen(**command(side, url), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return _found(process, side, target.run.sizes.expired)


def _felt(target: Target, side: str) -> tuple[list[float], list[float], dict[str, Any]]:
    """Let another process check or revoke tokens, first without a sweep and then beside one.

    Returns how long its calls took, in order, for each of the two; and what the sweep found.
    """
    with (
        target.ours() as url,
        _begun(side, url) as others,
        _begun("ours", url) as sweep,
    ):
        target.settle(url)
        time.sleep(target.run.sizes.idle)
        _tell(others, "the sweep begins")
        _tell(sweep, "begin")
        swept = _found(sweep, "ours", target.run.sizes.expired)
        idle, busy = map(sorted, json.loads(others.communicate()[0]))
    return idle, busy, swept


def _begun(side: str, url: str) -> subprocess.Popen[str]:
    """Start a side that says when it is ready, and return it."""
    process = subprocess.Popen(**command(side, url), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _found(process: subprocess.Popen[str], side: str, expired: int) -> dict[str, Any]:
    """Return what a sweep says of itself; its standard input is closed, at which one that waits for a line begins."""
    found: dict[str, Any] = json.loads(process.communicate()[0].splitlines()[-1])
    if found["removed"] != expired:
        msg = f"{side} removed {found['removed']} rows of {expired}"
        raise AssertionError(msg)
    return found


def _about(busy: list[float], idle: list[float], what: str) -> Iterable[Line]:
    """Print more about the waits of other clients."""
    for name, waits in (("beside the sweep", busy), ("without a sweep", idle)):
        yield Line(f"{what}, {name}: 99 of 100 take at most", _p99(waits) * 1000, "ms")
        yield Line(f"{what}, {name}: the longest of {len(waits):,}", waits[-1] * 1000, "ms")


def _p99(waits: list[float]) -> float:
    return waits[len(waits) * 99 // 100]


def _longest(swept: list[dict[str, Any]]) -> float:
    """Return the longest time between two commits of a sweep, in milliseconds; no transaction was longer."""
    return max(float(each["longest_batch"]) for each in swept) * 1000
