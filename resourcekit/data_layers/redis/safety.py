"""Unsafe settings of a server: settings that may lose acknowledged writes, or cause stale reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from resourcekit.dsl.diagnostics import Finding

__all__ = ["ASK", "ASK_MORE", "NAMES", "Fact", "Facts", "findings_of", "read_facts"]

ASK: tuple[tuple[bytes, ...], ...] = (
    (b"INFO", b"memory"),
    (b"INFO", b"persistence"),
    (b"INFO", b"replication"),
    (b"INFO", b"cluster"),
    (b"CONFIG", b"GET", b"replica-read-only"),
)
"""Commands that are sent on each new connection, and again on one that has been used for long."""

ASK_MORE = (*ASK, (b"INFO", b"stats"))

NAMES = frozenset({"maxmemory-policy", "appendonly", "replica-read-only"})
"""Settings that a user may accept by name; the names are those of the server."""


@attrs.frozen
class Fact:
    """An unsafe setting: its name, its effect, and the cure."""

    name: str
    what: str
    cure: str


@attrs.frozen
class Facts:
    """The facts that a server reports about itself; ``None`` if it does not report them.

    policy: the keys that are evicted when memory is full (maxmemory-policy).
    appends: each write is appended to a file.
    is_replica: it is a replica that does not redirect, as a replica in a cluster would.
    read_only: it refuses writes as a replica.
    evicted: number of keys that it evicted since it was started.
    replicas: number of its replicas.
    asks_for_replicas: it accepts writes only while it has some replicas.
    """

    policy: str | None = None
    appends: bool | None = None
    is_replica: bool = False
    read_only: bool | None = None
    evicted: int = 0
    replicas: int = 0
    asks_for_replicas: bool = False

    def unsafe(self) -> Iterable[Fact]:
        """Yield the settings that may lose records, or cause stale reads."""
        if self.policy != "noeviction":
            what = f"the server evicts records when its memory is full (maxmemory-policy {self.policy or 'unknown'})"
            yield Fact("maxmemory-policy", what, _cure("CONFIG SET maxmemory-policy noeviction", "maxmemory-policy"))
        if not self.appends:
            what = "the server forgets what it acknowledged when it restarts (appendonly no)"
            yield Fact("appendonly", what, _cure("CONFIG SET appendonly yes, and the same in its file", "appendonly"))
        if self.read_only is False:
            what = "the server, once it is a replica, takes writes that no other server gets (replica-read-only no)"
            yield Fact("replica-read-only", what, _cure("CONFIG SET replica-read-only yes", "replica-read-only"))


def _cure(setting: str, name: str) -> str:
    return f'Say {setting}; or accept it by name: Redis(..., accept=["{name}"])'


def read_facts(answers: Sequence[Any]) -> Facts:
    """Read the answers to ``ASK`` or ``ASK_MORE``. An error answer counts as no report: a server may refuse CONFIG."""
    fields: dict[str, str] = {}
    for answer in answers:
        if isinstance(answer, bytes):
            lines = (line.partition(":") for line in answer.decode("utf-8", "replace").splitlines())
            fields.update((name, value.strip()) for name, colon, value in lines if colon)
        elif isinstance(answer, list) and len(answer) == 2:  # the answer of CONFIG GET: a name and its value
            fields[answer[0].decode()] = answer[1].decode()
    appends, read_only = fields.get("aof_enabled"), fields.get("replica-read-only")
    return Facts(
        policy=fields.get("maxmemory_policy"),
        appends=None if appends is None else appends == "1",
        is_replica=fields.get("role") == "slave" and fields.get("cluster_enabled") != "1",
        read_only=None if read_only is None else read_only == "yes",
        evicted=int(fields.get("evicted_keys", "0")),
        replicas=int(fields.get("connected_slaves", "0")),
        asks_for_replicas="min_slaves_good_slaves" in fields,
    )


def findings_of(facts: Facts, accepted: frozenset[str]) -> list[Finding]:
    """Return findings about a server that can be used."""
    findings = []
    if facts.evicted and "maxmemory-policy" not in accepted:
        findings.append(
            Finding(
                id="RK163",
                what=f"the server has evicted {facts.evicted} keys since it was started",
                why="They may have been records; what looks for one that was lost raises Unavailable, and a check answers revoked.",
                cure="Restore the server from a backup of before; give it more memory, and a database that nothing else fills.",
                level="warning",
            )
        )
    if facts.replicas and not facts.asks_for_replicas:
        findings.append(
            Finding(
                id="RK164",
                what="the server has replicas, and goes on without them (min-replicas-to-write 0)",
                why="Cut off from them, it answers from the past until it learns that another one is the primary now.",
                cure="Say CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 10, and the same in its file.",
                level="info",
            )
        )
    return findings
