"""What all servers have in common: connections that may die, and a time by which an answer is due. It knows no driver."""

from __future__ import annotations

import select
from collections.abc import Callable

__all__ = ["LATE", "PRIMARY", "says_nothing", "sooner"]

LATE = "It takes no writes, and what others write reaches it late: a check may pass a token that was revoked just now."
PRIMARY = "Connect to the primary server."
"""What is wrong with a replica, and the cure."""


def says_nothing(descriptor: int) -> Callable[[], bool]:
    """Return a function that says whether nothing waits to be read.

    A server speaks unasked only to say goodbye, and a connection that was cut can be read from, too.
    """
    if not hasattr(select, "poll"):  # Windows
        return lambda: not select.select([descriptor], [], [], 0)[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLERR | select.POLLHUP)
    return lambda: not poll.poll(0)


def sooner(seconds: float) -> float:
    """Return when a server is to stop by itself: so much earlier that its answer comes before the caller gives up.

    A caller that has to give up alone knows nothing of what it sent.
    """
    return max(seconds / 2, seconds * 0.9 - 0.02)
