"""How a sweep shares a PostgreSQL server with other sessions: how long it waits for locks, and when it pauses."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialects.base import ConnectionLike, Element

__all__ = ["begin", "delete_unlocked", "rest_after"]

_LOCK_TIMEOUT_MS = 20
"""Milliseconds that a batch waits for locked rows; longer than a commit takes."""

_REST = 3
"""Length of a pause as a multiple of the batch before it, if other sessions are active."""

_LONGEST_REST = 0.25
"""Longest pause of a sweep in seconds, however long the batch took."""

_OTHERS = (
    "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' "
    "AND (state = 'active' AND coalesce(wait_event_type, '') NOT IN ('Lock', 'Client') "
    "OR state_change > clock_timestamp() - make_interval(secs => %s)))"
)
"""Query whether other sessions were active in the last seconds. Sessions that wait for a lock, as leaders of a fleet do, or for
their client do not count. Nor do sessions that this user may not see."""


def begin(connection: ConnectionLike, *, waits: bool) -> None:
    """Set up the transaction of a batch. Both settings end with it.

    The log is still flushed to the local disk. Otherwise the next session that needs a free page, which may be a check, would
    have to flush it. The commit waits for no replica.
    """
    connection.run("SET LOCAL synchronous_commit = local")
    if not waits:
        connection.run(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")


def rest_after(connection: ConnectionLike, took: float) -> float:
    """Return how many seconds a sweep pauses after a batch of ``took`` seconds.

    If other sessions were active meanwhile, three quarters of the time are left to them, because a sweep keeps processors and
    disks busy. If this user may not see other sessions, the sweep assumes that there are some.
    """
    try:
        is_alone = not connection.fetch(_OTHERS, (took,))[0][0]
    except connection.dialect.errors:
        if connection.dialect.is_broken(connection):
            raise
        is_alone = False
    return 0.0 if is_alone else min(_REST * took, _LONGEST_REST)


def delete_unlocked(table: sa.Table, found: sa.Select[Any]) -> Any:
    """Return a DELETE of those of the rows, found by a query of their ctids, that are not locked by others.

    The ctids are passed as an array, so that the rows are looked up and the table is not scanned.
    """
    places: Element = sa.func.array(found.correlate(None).scalar_subquery())
    return sa.delete(table).where(sa.literal_column("ctid") == sa.func.any(places))
