"""One side of the sweep's benchmark, alone in its process: ``sweeping.py ours|django|revoke FILE``; prints JSON.

``revoke`` says ``ready`` and then revokes tokens, one every few milliseconds, until its standard input is closed.
"""

from __future__ import annotations

import json
import resource
import select
import sys
import time
from pathlib import Path
from typing import Any

_BETWEEN = 0.004
"""Seconds between two revokes: an attempt falls into each batch of a sweep, many times over."""


def ours(path: Path) -> dict[str, Any]:
    """Sweep a token resource."""
    import peers

    token = peers.token_resource(path)
    log, largest = path.with_name(f"{path.name}-wal"), 0
    steps: list[float] = []
    last = time.perf_counter()

    def watch(_: object) -> None:
        nonlocal largest, last
        largest = max(largest, log.stat().st_size if log.exists() else 0)
        now = time.perf_counter()
        steps.append(now - last)
        last = now

    before = _peak()
    result = token.expunge_expired(on_progress=watch)
    return {
        "seconds": result.seconds,
        "removed": result.removed,
        "batches": result.batches,
        "longest_batch": max(steps),
        "growth": _peak() - before,
        "log": largest,
    }


def django(path: Path) -> dict[str, Any]:
    """Flush a Django blacklist."""
    from blacklist_settings import configure

    configure(str(path))
    from django.core.management import call_command
    from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

    count, before = OutstandingToken.objects.count(), _peak()
    began = time.perf_counter()
    call_command("flushexpiredtokens")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "removed": count - OutstandingToken.objects.count(), "growth": _peak() - before}


def revoke(path: Path) -> dict[str, Any]:
    """Revoke tokens one by one, and tell how long each had to wait."""
    import peers

    token = peers.token_resource(path)
    for jti in peers.jtis(20, seed=2):
        token.revoke_jti(jti)
    waits: list[float] = []
    print("ready", flush=True)
    for jti in peers.jtis(100_000, seed=3):
        began = time.perf_counter()
        token.revoke_jti(jti)
        waits.append(time.perf_counter() - began)
        if select.select([sys.stdin], [], [], _BETWEEN)[0]:
            break
    waits.sort()
    return {"longest": waits[-1], "p99": waits[len(waits) * 99 // 100], "median": waits[len(waits) // 2], "count": len(waits)}


def _peak() -> float:
    """Return the most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    side = {"ours": ours, "django": django, "revoke": revoke}[sys.argv[1]]
    print(json.dumps(side(Path(sys.argv[2]))))
