"""A pause in the colour of the call. It knows nobody."""

from __future__ import annotations

import time

from resourcekit.flow.context import Colour, colour

__all__ = ["pause"]


async def pause(seconds: float) -> None:
    """Wait for so many seconds: in a sync call the thread waits, in a task the others go on."""
    if seconds <= 0:
        return
    if colour.get() is Colour.SYNC:
        time.sleep(seconds)  # noqa: ASYNC251  # a sync call blocks, and must not suspend
        return
    import asyncio  # 30 ms that a program without tasks need not pay

    await asyncio.sleep(seconds)
