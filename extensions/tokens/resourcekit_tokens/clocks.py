"""Checks of the clocks that a sweep relies on. Open it to change when a sweep refuses to run.

Serves promise P7 (records are removed later than their tokens end): a wrong wall clock would remove them early.
"""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta
from pathlib import Path

from resourcekit import utc_now
from resourcekit.errors import UnsafeStore
from resourcekit.extending import Clock, current_clock
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.tokens import Tokens

__all__ = ["check_clocks", "distance_of_clocks", "moved_since_boot", "name_of_boot", "time_of_boot", "trusted_distance"]

_MEASURABLE = timedelta(seconds=1)
"""Clocks that differ by less count as equal, even if ``clock_skew`` is smaller: reading a clock takes time."""

_BEGAN = (time.time(), Clock().monotonic())

_ALWAYS = timedelta(days=-36_500)
"""``lowered_after`` of a record that replaces any other, also one that was made under a clock that was ahead."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_OFFSETS = Path("/proc/self/timens_offsets")


def trusted_distance(options: TokenOptions) -> timedelta:
    """Return how far the clocks of the store and of this system may disagree."""
    return max(options.clock_skew, _MEASURABLE)


async def distance_of_clocks(tokens: Tokens) -> timedelta:
    """Return by how much the clocks of the store and of this system disagree at least, however long the answer takes."""
    before = utc_now()
    there = await tokens.store.now()
    return max(before - there, there - utc_now(), timedelta(0))


def name_of_boot() -> str | None:
    """Return the name under which the time of this boot is recorded; ``None`` where the system does not tell boots apart.

    Processes of one name read one boot clock: containers may have an offset of their own (a time namespace).
    """
    try:
        boot = _BOOT.read_text().strip()
    except OSError:
        return None
    try:
        offsets = _OFFSETS.read_text()
    except OSError:
        offsets = ""
    return f"boot {hashlib.sha256(f'{boot} {offsets}'.encode()).hexdigest()[:32]}"


def time_of_boot() -> int:
    """Return the wall time at which the boot clock began, in milliseconds. It changes only if the wall clock is moved."""
    return round((time.time() - Clock().monotonic()) * 1000)


async def moved_since_boot(tokens: Tokens) -> timedelta | None:
    """Return by how much this system's clock was moved since the first sweep after its boot; ``None`` if there was none."""
    name = name_of_boot()
    recorded = None if name is None else await tokens.store.recorded_setting(name)
    return None if recorded is None else abs(timedelta(milliseconds=time_of_boot() - recorded))


async def check_clocks(tokens: Tokens, *, accept: bool = False, dry_run: bool = False) -> None:
    """Raise UnsafeStore if this system's clock is off by more than the margin of the records allows for: ``clock_skew``.

    accept: record the clock as it is, if it was moved before this process began. dry_run: record nothing.
    """
    trusted = trusted_distance(tokens.options)
    if await distance_of_clocks(tokens) > trusted:
        raise UnsafeStore(
            f"the store's clock and this system's disagree by more than clock_skew, {trusted}; set one of them right"
        )
    if type(current_clock()) is not Clock:
        return
    drift = abs((time.time() - _BEGAN[0]) - (Clock().monotonic() - _BEGAN[1]))
    if drift > trusted.total_seconds():
        raise UnsafeStore(
            f"this system's clock was moved by more than clock_skew, {trusted}, since the process began; restart it"
        )
    if (name := name_of_boot()) is None or tokens.store.current_transaction() is not None:
        return
    moved = await moved_since_boot(tokens)
    if moved is not None and moved > trusted and not accept:
        raise UnsafeStore(
            f"RK236: this system's clock was moved by {moved.total_seconds():.0f} s between two sweeps, more than clock_skew, {trusted}; "
            "set it right, or, if it is right now, run resourcekit expunge with --accept-clock once"
        )
    if (moved is None or moved > trusted) and not dry_run:
        await tokens.store.record_setting(name, time_of_boot(), lowered_after=_ALWAYS)
