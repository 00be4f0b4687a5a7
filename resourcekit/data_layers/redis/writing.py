"""Commits the writes of snapshots in one script on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resourcekit.call_context import call_deadline
from resourcekit.data_layers.redis.scripts import COMMIT, Words
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.snapshot import Snapshot
from resourcekit.errors import OutcomeUnknown, Unavailable

__all__ = ["Changed", "commit", "write"]


class Changed(Exception):  # internal: the caller reads again, or gives up
    """Another write came between the reads and this commit. Nothing was written."""


async def write(
    server: Server,
    tag: str,
    markers: Sequence[tuple[bytes, bytes]],
    snapshots: Mapping[Any, Snapshot],
    *,
    all_reads: bool,
    replicas: int,
) -> None:
    """Write the rows of the snapshots, if the rows that they read are unchanged.

    Args:
        server: The server.
        tag: The hash tag of all names.
        markers: The sets whose markers are checked, with the markers.
        snapshots: The snapshots by store.
        all_reads: Check everything that was read; otherwise written rows and identities only.
        replicas: The number of replicas that must have the write before this returns.

    Raises:
        Changed: Another write came first. Nothing was written.
        Unavailable: The store was emptied. Nothing was written.
        OutcomeUnknown: No answer came, or too few replicas have the write.
    """
    versions: list[Words] = []
    ranges: list[Words] = []
    counters: list[Words] = []
    commands: list[Words] = []
    for snapshot in snapshots.values():
        checks = snapshot.checks(all_reads=all_reads)
        versions, ranges, counters = versions + checks[0], ranges + checks[1], counters + checks[2]
        commands += snapshot.commands()
    await commit(server, tag, markers, versions, commands, ranges=ranges, counters=counters, replicas=replicas)


async def commit(
    server: Server,
    tag: str,
    markers: Sequence[tuple[bytes, bytes]],
    versions: Sequence[Words],
    commands: Sequence[Words],
    *,
    ranges: Sequence[Words] = (),
    counters: Sequence[Words] = (),
    replicas: int = 0,
) -> None:
    """Run commands if these versions, ranges and counters are unchanged. Raise the errors of ``write``."""
    counted = [(len(command), *command) for command in commands]
    words = [word for part in (markers, versions, ranges, counters, counted) for word in _listed(part)]
    milliseconds = max(1, int(call_deadline(server, server.seconds).remaining() * 500))  # a server ends WAIT up to 0.1 s late
    after = [(b"WAIT", replicas, milliseconds)] if replicas else []
    answers = await server.script(tag, COMMIT, markers[0][0], words, *after, writes=True)
    if answers[0] == b"changed":
        raise Changed
    if answers[0] == b"emptied":
        raise Unavailable("the store was emptied since this process began to use it; nothing was written")
    if replicas and answers[1] < replicas:
        msg = f"the write is on the primary, and {answers[1]} of {replicas} replicas have it"
        raise OutcomeUnknown(msg)


def _listed(part: Sequence[Words]) -> list[bytes | int]:
    return [len(part), *(word for words in part for word in words)]
