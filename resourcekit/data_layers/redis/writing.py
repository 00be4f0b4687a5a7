"""Commits what views hold, in one script on the server. It knows views, and no statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resourcekit.data_layers.redis.scripts import COMMIT, Words
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.view import View
from resourcekit.errors import OutcomeUnknown, Unavailable
from resourcekit.flow.context import ambient_context

__all__ = ["Changed", "write"]


class Changed(Exception):  # no error: the caller reads again, or gives up
    """Another write came between what was read and this commit; nothing was written."""


async def write(
    server: Server,
    tag: str,
    canaries: Sequence[tuple[bytes, bytes]],
    views: Mapping[Any, View],
    *,
    all_reads: bool,
    replicas: int,
) -> None:
    """Write what the views hold, if what they read is still so.

    replicas: how many must have it before this returns. Raises Changed, Unavailable where the store was emptied, and
    OutcomeUnknown where no answer came or too few replicas have it.
    """
    versions: list[Words] = []
    ranges: list[Words] = []
    counters: list[Words] = []
    commands: list[Words] = []
    for view in views.values():
        checks = view.checks(all_reads=all_reads)
        versions, ranges, counters = versions + checks[0], ranges + checks[1], counters + checks[2]
        commands += ((len(command), *command) for command in view.commands())
    words = [word for part in (canaries, versions, ranges, counters, commands) for word in _listed(part)]
    milliseconds = max(1, int(ambient_context().remaining(server.seconds) * 500))  # a server ends it up to 0.1 s late
    after = [(b"WAIT", replicas, milliseconds)] if replicas else []
    answers = await server.script(tag, COMMIT, canaries[0][0], words, *after, writes=True)
    if answers[0] == b"changed":
        raise Changed
    if answers[0] == b"emptied":
        raise Unavailable("the store was emptied since this process began to use it; nothing was written")
    if replicas and answers[1] < replicas:
        msg = f"the write stands on the primary, and {answers[1]} of {replicas} replicas have it"
        raise OutcomeUnknown(msg)


def _listed(part: Sequence[Words]) -> list[bytes | int]:
    return [len(part), *(word for words in part for word in words)]
