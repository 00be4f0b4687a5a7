"""Which settings of a server let it forget what it acknowledged. It knows what INFO answers, and no connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

__all__ = ["ASK", "NAMES", "Fact", "Facts", "read_facts"]

ASK: tuple[tuple[bytes, ...], ...] = ((b"INFO", b"memory"), (b"INFO", b"persistence"))

NAMES = frozenset({"maxmemory-policy", "appendonly"})
"""Settings that may be accepted by name, as the server calls them."""


@attrs.frozen
class Fact:
    """An unsafe setting: its name, what it does, and the cure."""

    name: str
    what: str
    cure: str


@attrs.frozen
class Facts:
    """policy: what goes when memory is full; appends: each write goes to a file. ``None`` where the server does not tell."""

    policy: str | None
    appends: bool | None

    def unsafe(self) -> Iterable[Fact]:
        """Yield what may lose records."""
        if self.policy != "noeviction":
            what = f"the server evicts records when its memory is full (maxmemory-policy {self.policy or 'unknown'})"
            yield Fact("maxmemory-policy", what, _cure("CONFIG SET maxmemory-policy noeviction", "maxmemory-policy"))
        if not self.appends:
            what = "the server forgets what it acknowledged when it restarts (appendonly no)"
            yield Fact("appendonly", what, _cure("CONFIG SET appendonly yes, and the same in its file", "appendonly"))


def _cure(setting: str, name: str) -> str:
    return f'Say {setting}; or accept it by name: Redis(..., accept=["{name}"])'


def read_facts(answers: Sequence[Any]) -> Facts:
    """Read the answers to ``ASK``."""
    told: dict[str, str] = {}
    for answer in answers:
        if isinstance(answer, bytes):
            lines = (line.partition(":") for line in answer.decode("utf-8", "replace").splitlines())
            told.update((name, value.strip()) for name, colon, value in lines if colon)
    appends = told.get("aof_enabled")
    return Facts(told.get("maxmemory_policy"), None if appends is None else appends == "1")
