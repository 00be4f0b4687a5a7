"""One side of the sweep's benchmark, alone in its process: ``sweeping.py SIDE URL``; prints JSON.

``revoke`` and ``check`` say ``ready`` and then call, once every few milliseconds, until their standard input is closed. A
line in it parts what was before from what comes after.
"""

from __future__ import annotations

import json
import resource
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

_BETWEEN = {"revoke": 0.004, "check": 0.001}
"""Seconds between two calls: many of them fall into each batch of a sweep."""


def ours(url: str) -> dict[str, Any]:
    """Sweep a token resource; says ``ready``, and begins at a line, so that the start is not measured."""
    import peers

    from resourcekit.data_layers.sql.maintenance import sweep

    token = peers.token_resource(url)
    token.jti_revoked("unknown")
    print("ready", flush=True)
    sys.stdin.readline()
    log, largest = Path(f"{make_url(url).database}-wal"), 0
    steps: list[float] = []
    last = time.perf_counter()

    def watch(_: object) -> None:
        nonlocal largest, last
        largest = max(largest, log.stat().st_size if log.exists() else 0)
        now = time.perf_counter()
        steps.append(now - last)
        last = now

    pause = sweep.pause

    async def watched(seconds: float) -> None:
        nonlocal last
        steps.append(time.perf_counter() - last)
        await pause(seconds)
        last = time.perf_counter()  # no transaction is open in a pause

    sweep.pause = watched
    memory = _Memory()
    result = token.expunge_expired(on_progress=watch)
    return {
        "seconds": result.seconds,
        "removed": result.removed,
        "batches": result.batches,
        "longest_batch": max(steps),
        "growth": memory.growth(),
        "log": largest,
    }


def django(url: str) -> dict[str, Any]:
    """Flush a Django blacklist."""
    from blacklist_settings import configure

    configure(url)
    from django.core.management import call_command
    from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

    count, memory = OutstandingToken.objects.count(), _Memory()
    began = time.perf_counter()
    call_command("flushexpiredtokens")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "removed": count - OutstandingToken.objects.count(), "growth": memory.growth()}


def storage(url: str) -> None:
    """Make the table of a token resource."""
    import peers

    peers.token_resource(url)


def migrate(url: str) -> None:
    """Make the tables of a Django blacklist."""
    from blacklist_settings import configure

    configure(url)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def revoke(url: str) -> list[list[float]]:
    """Revoke tokens one by one, and print how long each call took."""
    import peers

    return _called(peers.token_resource(url).revoke_jti, "revoke")


def check(url: str) -> list[list[float]]:
    """Check tokens one by one, none of which was revoked, and print how long each call took."""
    import peers

    return _called(peers.token_resource(url).jti_revoked, "check")


def _called(call: Callable[[str], object], side: str) -> list[list[float]]:
    import peers

    for jti in peers.jtis(200, seed=2):
        call(jti)
    waits: list[list[float]] = [[]]
    print("ready", flush=True)
    for jti in peers.jtis(200_000, seed=time.time_ns()):
        began = time.perf_counter()
        call(jti)
        waits[-1].append(time.perf_counter() - began)
        if select.select([sys.stdin], [], [], _BETWEEN[side])[0]:
            if not sys.stdin.readline():
                break
            waits.append([])
    return waits


class _Memory(threading.Thread):
    """Watches how much memory of its own this program has: pages of a file that is mapped belong to the system."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._before = self._most = _own()
        self._is_over = threading.Event()
        self.start()

    def run(self) -> None:
        """Look every few milliseconds."""
        while not self._is_over.wait(0.01):
            self._most = max(self._most, _own())

    def growth(self) -> float:
        """Stop, and return by how much it grew at the most, in MiB."""
        self._is_over.set()
        self.join()
        return (max(self._most, _own()) - self._before) / 1024


def _own() -> int:
    """Return the program's own memory in KiB; on systems that report only the peak, the peak."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


if __name__ == "__main__":
    side: Callable[[str], object] = {each.__name__: each for each in (ours, django, storage, migrate, revoke, check)}[sys.argv[1]]
    print(json.dumps(side(sys.argv[2])))
