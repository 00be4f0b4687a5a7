"""Checks a recorded history of tokens: once revoked, never seen live.

An event says who did what with which token, when the call began and when it had returned, and what it gave. Two calls that
overlap may have happened in either order; what had returned before another began, came first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import attrs

__all__ = ["Event", "read", "violations"]


@attrs.frozen(kw_only=True)
class Event:
    """One call that returned. began, ended: seconds of one clock for all. saw: what it gave, or the name of its error."""

    who: int
    did: str
    jti: str
    began: float
    ended: float
    saw: object

    @property
    def revokes(self) -> bool:
        """Whether the token is revoked once this call has returned, or was seen so in a committed record."""
        # A plain check may answer "dead" because of an error, or because the token is past its time; that does not count.
        return (self.did in ("revoke", "consume") and self.saw == "done") or self.saw in (
            "TokenRevoked",
            "TokenConsumed",
            "dead by token",
        )

    @property
    def finds_live(self) -> bool:
        """Whether this call took the token for live."""
        return (self.did == "consume" and self.saw == "done") or self.saw in ("live", "live by none")


def read(path: Path) -> list[Event]:
    """Return the events of a file, in the order in which they ended."""
    events = [Event(**json.loads(line)) for line in path.read_text().splitlines()]
    return sorted(events, key=lambda event: event.ended)


def violations(history: Iterable[Event]) -> list[tuple[Event, Event]]:
    """Return pairs of a call after which a token was revoked, and a later one that took it for live."""
    tokens: dict[str, list[Event]] = defaultdict(list)
    for event in history:
        tokens[event.jti].append(event)
    found: list[tuple[Event, Event]] = []
    for events in tokens.values():
        ends = min((event for event in events if event.revokes), key=lambda event: event.ended, default=None)
        if ends is not None:
            found += [(ends, event) for event in events if event.finds_live and event.began > ends.ended]
        # Two who used up one token: whichever came first, the other one found it live although it was revoked.
        won = sorted((event for event in events if event.did == "consume" and event.saw == "done"), key=lambda event: event.ended)
        found += [(won[0], other) for other in won[1:] if other.began <= won[0].ended]
    return found
