"""How a sweep behaves beside others on PostgreSQL: what it waits for, and when it rests. It knows no condition."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.sql.dialect import Element, Wire

__all__ = ["begin", "delete_unlocked", "rest_after"]

_MOMENT = 20
"""Milliseconds for which a batch waits for rows that others hold: longer than a commit takes."""

_REST = 3
"""How many times as long as a batch took others have the server for themselves, if there are any."""

_LONGEST_REST = 0.25
"""Seconds that a sweep rests at the most, however long a batch took."""

_OTHERS = (
    "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' "
    "AND (state = 'active' AND coalesce(wait_event_type, '') NOT IN ('Lock', 'Client') "
    "OR state_change > clock_timestamp() - make_interval(secs => %s)))"
)
"""Whether anybody else was at work in the last seconds: not those who wait for a lock, as leaders of a fleet do, or for their
client. What users do whom this one may not see is not counted."""


def begin(link: Wire, *, waits: bool) -> None:
    """Say how the transaction of a batch behaves; both settings end with it.

    Where a sweep does not write the log to the disk by itself, whoever needs room for a page next has to, which may be a
    check. No replica is waited for.
    """
    link.run("SET LOCAL synchronous_commit = local")
    if not waits:
        link.run(f"SET LOCAL lock_timeout = {_MOMENT}")


def rest_after(link: Wire, took: float) -> float:
    """Return how many seconds a sweep rests after a batch that took so many.

    Where others were at work meanwhile, three quarters of the time are theirs: what they feel of a sweep is that the
    machine's processors and disks are busy. Whoever may not look takes it that there are others.
    """
    try:
        is_alone = not link.fetch(_OTHERS, (took,))[0][0]
    except link.room.errors:
        if link.room.is_broken(link):
            raise
        is_alone = False
    return 0.0 if is_alone else min(_REST * took, _LONGEST_REST)


def delete_unlocked(table: sa.Table, found: sa.Select[Any]) -> Any:
    """Return a DELETE of rows that a query found by their places, and that nobody else holds.

    An array, so that they are looked up, and the table is not read.
    """
    places: Element = sa.func.array(found.correlate(None).scalar_subquery())
    return sa.delete(table).where(sa.literal_column("ctid") == sa.func.any(places))
