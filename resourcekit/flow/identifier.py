"""Keys that sort by the time they were made; they know the clock only."""

from __future__ import annotations

import secrets
from uuid import UUID

from resourcekit.flow.clock import utc_now

__all__ = ["uuid7"]


def uuid7() -> UUID:
    """Return a UUID of version 7 (RFC 9562, 5.7): 48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = int(utc_now().timestamp() * 1000)
    random = secrets.randbits(74)
    value = (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (2**62 - 1)
    return UUID(int=value)
